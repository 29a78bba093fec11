"""Compiles a kernel's IR and runs its calls over NumPy arrays, one tile after another."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from llvmlite import binding as llvm

from flambeau.compiler.kernel import Call, Pointer
from flambeau.compiler.target import Target

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()


def machine(target: Target, jit: bool = False) -> llvm.TargetMachine:
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, jit=jit, reloc="default" if jit else "pic"
    )


def optimized(text: str, target: Target, jit: bool = False) -> tuple[llvm.ModuleRef, llvm.TargetMachine]:
    module = llvm.parse_assembly(text)
    module.verify()
    made = machine(target, jit)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(made, options)
    builder.getModulePassManager().run(module, builder)
    return module, made


def assembly(text: str, target: Target) -> str:
    """The assembly of a module for any target."""
    module, made = optimized(text, target)
    return str(made.emit_assembly(module))


class Compiled:
    """Machine code of a module; ``run`` executes calls whose pointers name arrays by slot."""

    def __init__(self, entry: str, text: str, target: Target) -> None:
        module, made = optimized(text, target, jit=True)
        self._engine = llvm.create_mcjit_compiler(module, made)
        self._engine.finalize_object()
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
        self._engine_entry = entry
        self._make = lambda name: signature(self._engine.get_function_address(name))

    def run(self, calls: Sequence[Call], arrays: Sequence[np.ndarray], order: int = 1) -> None:
        for call in calls:
            slots = [
                arrays[a.slot].ctypes.data + a.offset if isinstance(a, Pointer) else a for a in call.args
            ]
            args = np.array(slots, np.int64)
            function = self._make(call.entry)
            for tile in range(call.tiles)[::order]:
                function(args.ctypes.data, tile)
