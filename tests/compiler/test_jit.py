from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flambeau.compiler import cache, jit
from flambeau.compiler.target import Target
from flambeau.errors import VerificationError

_number = iter(range(1, 1_000_000))


def answer(name: str, value: int) -> str:
    return f"define i64 @{name}() nounwind {{\n  ret i64 {value}\n}}\n"


def fresh() -> tuple[str, int, str]:
    """A function that no other test has loaded: its name, what it returns, and its module."""
    value = next(_number)
    return f"answer{value}", value, answer(f"answer{value}", value)


def call(address: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64)(address)()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "_current", cache.DiskCache(tmp_path / "cache"))
    return tmp_path / "cache"


def test_functions_of_several_modules_are_loaded() -> None:
    a, one, first = fresh()
    b, two, second = fresh()
    c, three, third = fresh()
    addresses = jit.load({"x": first + second, "y": third})
    assert {name: call(address) for name, address in addresses.items()} == {a: one, b: two, c: three}


def test_a_module_is_compiled_and_loaded_once() -> None:
    name, _, text = fresh()
    before = jit.counters.compiled, jit.counters.functions
    address = jit.load({"x": text})[name]
    assert jit.load({"again": text})[name] == address
    assert (jit.counters.compiled, jit.counters.functions) == (before[0] + 1, before[1] + 1)


def test_internal_functions_are_not_returned_and_may_share_names() -> None:
    texts = {}
    for value in (11, 22):
        name, _, _ = fresh()
        texts[name] = (
            f"@table = private constant i64 {value}\n"
            "define internal i64 @helper() noinline {\n"
            "  %x = load volatile i64, ptr @table\n  ret i64 %x\n}\n"
            f"define i64 @{name}() {{\n  %x = call i64 @helper()\n  ret i64 %x\n}}\n"
        )
    addresses = jit.load(texts)
    assert list(addresses) == list(texts)
    assert [call(address) for address in addresses.values()] == [11, 22]


def test_another_process_loads_from_disk(folder: Path) -> None:
    code = """
import ctypes, sys
from pathlib import Path
from flambeau.compiler import cache, jit
cache.set_folder(sys.argv[1])
address = jit.load({"shared": "define i64 @shared() { ret i64 4711 }"})["shared"]
print(ctypes.CFUNCTYPE(ctypes.c_int64)(address)(), jit.counters.compiled, jit.counters.from_disk)
"""
    command = [sys.executable, "-c", code, str(folder)]
    results = [
        subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout for _ in "ab"
    ]
    assert results == ["4711 1 0\n", "4711 0 1\n"]


@pytest.mark.skipif(os.name != "posix", reason="the disk cache needs POSIX permissions")
def test_a_damaged_file_is_compiled_again(folder: Path) -> None:
    name, value, text = fresh()
    key = jit.key_of(text, Target.host())
    jit.compile_object(text, Target.host())
    cache.current().store(key, jit._pack(*jit.compile_object(text, Target.host())))
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    data[-100] ^= 0xFF
    path.write_bytes(data)
    before = jit.counters.compiled
    with pytest.warns(cache.CacheWarning):
        address = jit.load({"x": text})[name]
    assert call(address) == value
    assert jit.counters.compiled == before + 1


def test_the_key_depends_on_text_target_and_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    text = answer("x", 1)
    keys = {
        jit.key_of(text, Target.avx2()),
        jit.key_of(text, Target.avx2(128)),
        jit.key_of(text, Target.avx512()),
        jit.key_of(text, Target.neon()),
        jit.key_of(text + " ", Target.avx2()),
    }
    assert len(keys) == 5
    monkeypatch.setattr(cache, "source_hash", lambda: bytes(32))
    assert jit.key_of(text, Target.avx2()) not in keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("define void @f() { ret i32 0 }", "LLVM refuses module 'bad'"),
        ("define void @f() { hello }", "LLVM refuses module 'bad'"),
        (
            "declare ptr @malloc(i64)\ndefine ptr @f() {\n %p = call ptr @malloc(i64 8)\n ret ptr %p\n}",
            "module 'bad' calls malloc, which it does not define",
        ),
        (
            "declare float @llvm.exp.f32(float)\n"
            "define float @f(float %x) {\n %y = call float @llvm.exp.f32(float %x)\n ret float %y\n}",
            "module 'bad' calls expf, which it does not define",
        ),
    ],
)
def test_bad_modules_are_refused(text: str, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        jit.load({"bad": text})
    name, value, good = fresh()
    assert call(jit.load({"good": good})[name]) == value  # nothing is broken afterwards


def test_two_modules_may_not_define_the_same_function() -> None:
    name, value, _ = fresh()
    with pytest.raises(VerificationError, match="twice"):
        jit.load({"x": answer(name, value), "y": answer(name, value + 1)})
    addresses = jit.load({"x": answer(name, value)}), jit.load({"y": answer(name, value + 1)})
    assert [call(found[name]) for found in addresses] == [value, value + 1]
    with pytest.raises(VerificationError, match="'y' defines"):
        jit.load({"x": answer(name, value), "y": answer(name, value + 1)})


def test_explicit_vector_loops_stay_as_they_are() -> None:
    text = """
define void @scale(ptr %data, i64 %count) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %place = getelementptr float, ptr %data, i64 %i
  %old = load <8 x float>, ptr %place, align 4
  %new = fmul <8 x float> %old, splat (float 2.0)
  store <8 x float> %new, ptr %place, align 4
  %next = add i64 %i, 8
  %end = icmp uge i64 %next, %count
  br i1 %end, label %out, label %loop
out:
  ret void
}
"""
    assembly = jit.assembly(text, Target.avx2())
    multiplications = [line for line in assembly.splitlines() if "vmulps" in line or "vaddps" in line]
    assert len(multiplications) == 1
    assert "ymm" in multiplications[0]


@pytest.mark.parametrize("target", [Target.avx2(), Target.avx512(), Target.neon()], ids=lambda t: t.name)
def test_objects_for_other_machines(target: Target) -> None:
    functions, code = jit.compile_object(answer("f", 1), target)
    assert functions == ["f"]
    assert code.startswith(b"\x7fELF")


def test_loading_from_many_threads() -> None:
    modules = [fresh() for _ in range(12)]
    results: list[dict[str, int]] = []

    def work() -> None:
        for name, _, text in modules:
            results.append(jit.load({name: text}))

    before = jit.counters.compiled
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 48
    assert jit.counters.compiled == before + 12
    for name, value, _ in modules:
        assert {call(found[name]) for found in results if name in found} == {value}


def test_llvm_is_imported_only_when_something_is_loaded() -> None:
    code = "import sys, flambeau.compiler.jit, flambeau.runtime.driver; assert 'llvmlite' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
