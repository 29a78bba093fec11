"""The module of a contraction kernel: its two entries and the inner functions that they call."""

from __future__ import annotations

from flambeau.compiler.contraction.axes import axes_of, reads_b_in_place
from flambeau.compiler.contraction.blocking import packs_a
from flambeau.compiler.contraction.gemm import Packing, Product
from flambeau.compiler.contraction.micro import write_micro
from flambeau.compiler.contraction.packing import write_copy, write_pack
from flambeau.compiler.contraction.shape import shape_for
from flambeau.compiler.contraction.spread import SpreadProduct, write_pack_spread
from flambeau.compiler.ir import Module
from flambeau.compiler.kernel import Kernel
from flambeau.compiler.lowering import entry_name
from flambeau.compiler.target import Target


def lower(kernel: Kernel, target: Target) -> tuple[str, str]:
    """The entry's name and a module defining it and ``<entry>_pack`` as LLVM IR text.

    Both are ``void @f(ptr %args, i64 %tile)``; ``blocking.calls`` says which to call with what.
    Raises ``ValueError`` for a kernel that is not operand 0 times operand 1 with an epilogue.
    """
    check(kernel)
    entry = entry_name(kernel, target)
    shape = shape_for(kernel, target)
    module = Module(entry, target.triple)
    for height in shape.heights:
        write_micro(module, entry, shape, height, shape.vectors)
    if reads_b_in_place(kernel):
        write_micro(module, entry, shape, 1, shape.wide)
    if packs_a(kernel):
        write_copy(module, f"{entry}_copy_a", shape)
    if axes_of(kernel).spread:
        write_pack_spread(module, f"{entry}_pack_b", shape, kernel)
        if packs_a(kernel):
            Packing(module, entry, kernel, shape).write()
        SpreadProduct(module, entry, kernel, target, shape).write()
    else:
        write_pack(module, f"{entry}_pack_b", shape, kernel)
        Packing(module, entry, kernel, shape).write()
        Product(module, entry, kernel, target, shape).write()
    return entry, kept_apart(module.text())


def check(kernel: Kernel) -> None:
    """Raises ``ValueError`` where a kernel is not one that this family can lower."""
    body = kernel.body
    found = [instr for instr in body if instr.op == "contract"]
    if len(found) != 1 or [body[a].op for a in found[0].args] != ["load", "load"]:
        raise ValueError("a contraction kernel multiplies operand 0 by operand 1, once, as they are loaded")
    if [body[a].operand for a in found[0].args] != [0, 1]:
        raise ValueError("a contraction kernel multiplies operand 0 by operand 1, in this order")
    dtype = found[0].dtype
    if dtype.name not in ("float32", "float64") or any(o.dtype is not dtype for o in kernel.operands[:2]):
        a, b = kernel.operands[:2]
        raise ValueError(f"no contraction of {a.dtype} and {b.dtype} to {dtype} is generated")


def kept_apart(text: str) -> str:
    """Keeps LLVM from inlining the inner functions, whose loops need all registers for themselves."""
    lines = [
        line.replace(" #0 {", " #1 {") if line.startswith("define internal ") else line
        for line in text.split("\n")
    ]
    return "\n".join(lines) + 'attributes #1 = { nounwind noinline "no-builtins" }\n'
