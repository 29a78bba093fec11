"""From LLVM IR to machine code in this process: verify, optimise, compile, keep, load.

Machine code stays loaded until the process ends: a worker thread may be inside it at any moment.
llvmlite is imported when the first module is loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flambeau.compiler import cache
from flambeau.compiler.object_file import undefined_symbols
from flambeau.compiler.target import Target
from flambeau.errors import VerificationError

# Part of every cache key: raised when the pipeline below or the layout of the payload changes.
_PIPELINE = "1"


@dataclass(slots=True)
class Counters:
    """How modules came to be loaded: ``compiled`` here, or ``from_disk``; ``functions`` counts entries."""

    compiled: int = 0
    from_disk: int = 0
    functions: int = 0


counters = Counters()

# Reentrant, for a signal handler or finalizer that loads while the same thread is loading.
_lock = threading.RLock()
_loaded: dict[bytes, dict[str, int]] = {}
_machines: dict[str, Any] = {}
_linker: _Linker | None = None


def load(modules: Mapping[str, str], target: Target | None = None, optimise: bool = True) -> dict[str, int]:
    """The address of every function that ``modules`` define, loading what is not yet in the process.

    ``modules`` maps a name (used in messages only) to LLVM IR text; no two may define the same
    function.  ``target`` defaults to this machine.  Modules that are written as they shall run are
    compiled faster, to the same code, without ``optimise``.  Thread-safe.  Raises ``VerificationError`` for
    IR that LLVM refuses or that calls functions it does not define.

    >>> load({"twice": ir_text})["twice"]      # doctest: +SKIP
    140203911462912
    """
    with _lock:
        goal = target if target is not None else Target.host()
        wanted = {name: (key_of(text, goal, optimise), text) for name, text in modules.items()}
        missing = {key: (name, text) for name, (key, text) in wanted.items() if key not in _loaded}
        if missing:
            objects = {
                key: (name, _object(key, name, text, goal, optimise)) for key, (name, text) in missing.items()
            }
            _link(objects, goal)
        addresses: dict[str, int] = {}
        for name, (key, _) in wanted.items():
            for function, address in _loaded[key].items():
                if addresses.setdefault(function, address) != address:
                    raise VerificationError(f"module {name!r} defines {function!r}, as another module does")
        return addresses


def key_of(text: str, target: Target, optimise: bool = True) -> bytes:
    """What identifies the machine code of ``text``: 32 bytes."""
    from llvmlite import binding as llvm

    version = ".".join(map(str, llvm.llvm_version_info))
    digest = hashlib.sha256()
    for part in (_PIPELINE, version, target.key, str(optimise), text):
        data = part.encode()
        digest.update(struct.pack("<Q", len(data)))
        digest.update(data)
    digest.update(cache.source_hash())
    return digest.digest()


def compile_object(
    text: str, target: Target, name: str = "module", optimise: bool = True
) -> tuple[list[str], bytes]:
    """The functions ``text`` defines and its object file for ``target``, which need not be this machine."""
    from llvmlite import binding as llvm

    with _lock:
        machine = _machine(target)
        try:
            module = llvm.parse_assembly(text)
            module.verify()
        except RuntimeError as error:
            raise VerificationError(f"LLVM refuses module {name!r}: {error}") from error
        if optimise:
            _optimise(module, machine)
        defined = [f for f in module.functions if not f.is_declaration]
        functions = [f.name for f in defined if f.linkage.name == "external"]
        code: bytes = machine.emit_object(module)
    missing = undefined_symbols(code)
    if missing:
        raise VerificationError(f"module {name!r} calls {', '.join(missing)}, which it does not define")
    return functions, code


def assembly(text: str, target: Target, optimise: bool = True) -> str:
    """The assembly text that ``text`` is compiled to, for any target."""
    from llvmlite import binding as llvm

    with _lock:
        machine = _machine(target)
        module = llvm.parse_assembly(text)
        if optimise:
            _optimise(module, machine)
        return str(machine.emit_assembly(module))


def _optimise(module: Any, machine: Any) -> None:
    """Run LLVM's standard pipeline, less what would rewrite loops."""
    from llvmlite import binding as llvm

    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # Kernels are written with explicit vectors and unrolled by hand: what LLVM would add here only
    # makes copies of loops that are already right.
    options.loop_vectorization = False
    options.slp_vectorization = False
    options.loop_interleaving = False
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)  # a pass manager runs once


def _new_machine(target: Target) -> Any:
    """LLVM's code generator for ``target``."""
    from llvmlite import binding as llvm

    if target.triple.split("-", 1)[0] == llvm.get_process_triple().split("-", 1)[0]:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small"
    )


class _Linker:
    """Puts object files into the process, each set in a library of its own."""

    def __init__(self, target: Target) -> None:
        from llvmlite import binding as llvm

        self._jit = llvm.create_lljit_compiler(_new_machine(target), use_jit_link=True, suppress_errors=True)
        _keep_for_ever(self._jit)
        self._count = 0

    def link(self, objects: list[tuple[list[str], bytes]]) -> dict[str, int]:
        from llvmlite import binding as llvm

        library = llvm.JITLibraryBuilder()
        for functions, code in objects:
            library.add_object_img(code)
            for function in functions:
                library.export_symbol(function)
        self._count += 1
        tracker = library.link(self._jit, f"flambeau-{self._count}")
        _keep_for_ever(tracker)
        return {function: tracker[function] for functions, _ in objects for function in functions}


def _keep_for_ever(thing: object) -> None:
    """Never destroy ``thing``, not even when the interpreter ends: threads may still be in its code."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _machine(target: Target) -> Any:
    found = _machines.get(target.key)
    if found is None:
        found = _machines[target.key] = _new_machine(target)
    return found


def _object(key: bytes, name: str, text: str, target: Target, optimise: bool) -> tuple[list[str], bytes]:
    """The object file of ``text``, from the disk cache or compiled now."""
    store = cache.current()
    payload = store.load(key)
    if payload is not None:
        unpacked = _unpack(payload)
        if unpacked is not None:
            counters.from_disk += 1
            return unpacked
    functions, code = compile_object(text, target, name, optimise)
    counters.compiled += 1
    store.store(key, _pack(functions, code))
    return functions, code


def _link(objects: dict[bytes, tuple[str, tuple[list[str], bytes]]], target: Target) -> None:
    """Load object files together, which is several times faster than one by one."""
    global _linker
    if _linker is None:
        _linker = _Linker(target)
    try:
        addresses = _linker.link([item for _, item in objects.values()])
    except RuntimeError as error:
        names = ", ".join(repr(name) for name, _ in objects.values())
        raise VerificationError(
            f"machine code of {names} cannot be loaded, perhaps it defines a function twice: {error}"
        ) from error
    for key, (_, (functions, _)) in objects.items():
        _loaded[key] = {function: addresses[function] for function in functions}
        counters.functions += len(functions)


def _pack(functions: list[str], code: bytes) -> bytes:
    names = json.dumps(functions).encode()
    return struct.pack("<I", len(names)) + names + code


def _unpack(payload: bytes) -> tuple[list[str], bytes] | None:
    if len(payload) < 4:
        return None
    (length,) = struct.unpack_from("<I", payload)
    try:
        functions = json.loads(payload[4 : 4 + length])
    except ValueError:
        return None
    return functions, payload[4 + length :]


# A fork while another thread is inside LLVM would leave llvmlite's own lock held in the child.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
