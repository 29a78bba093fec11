"""Emitted assembly of convolutions and normalizations: what their innermost loops keep in registers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import flambeau as fb
from flambeau.compiler import contraction, direct, elementwise, jit, normalization
from flambeau.compiler.contraction.shape import shape_for
from flambeau.compiler.kernel import Kernel
from flambeau.compiler.target import Target
from flambeau.graph.builder import Var
from flambeau.nn import functional as F
from flambeau.primitives.convolution import _input_gradient, _weight_gradient, conv_general
from tests.compiler import assembly as asm
from tests.compiler.graphs import f32, graph_of, plan
from tests.compiler.test_convolution import ATTRS

TARGETS = [Target.avx512(), Target.avx512(256), Target.avx2(), Target.neon()]
LOWER = {
    "convolution": direct.lower,
    "contraction": contraction.lower,
    "elementwise": elementwise.lower,
    "normalization": normalization.lower,
}
every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.name}-{t.vector_bits}")


@cache
def code_of(kernel: Kernel, target: Target) -> tuple[str, str]:
    """The entry's name and the assembly, with the passes that run where the kernel is used."""
    entry, text = LOWER[kernel.family](kernel, target)
    optimise = kernel.family not in ("convolution", "contraction")
    jit.compile_object(text, target, entry, optimise)  # refuses code that asks for a library's symbol
    return entry, jit.assembly(text, target, optimise)


# The reader -------------------------------------------------------------------------------------

BAD = {
    "avx2": (
        """
f:                                      # @f
	subq	$24, %rsp
.LBB0_1:
	xorl	%ecx, %ecx
.LBB0_2:                                # %step
	vfmadd231ps	(%rdi), %ymm0, %ymm1
	vmovups	%ymm1, -32(%rsp)                # 32-byte Spill
	cmpq	8(%rsp), %rax
	vmulss	%xmm2, %xmm3, %xmm2
	callq	expf@PLT
	jne	.LBB0_2
	jmp	.LBB0_1
.Lfunc_end0:
""",
        ["vmovups\t%ymm1, -32(%rsp)", "cmpq\t8(%rsp), %rax"],
        ["vmulss\t%xmm2, %xmm3, %xmm2"],
        ["callq\texpf@PLT"],
    ),
    "neon": (
        """
f:                                      // @f
	stp	x29, x30, [sp, #-16]!
	mov	x29, sp
.LBB0_1:
	mov	x8, xzr
.LBB0_2:                                // %step
	fmla	v0.4s, v1.4s, v2.s[0]
	str	q0, [sp, #16]                   // 16-byte Spill
	ldr	x9, [x29, #24]
	fmul	s2, s3, s2
	bl	expf
	cbnz	x8, .LBB0_2
	b	.LBB0_1
.Lfunc_end0:
""",
        ["str\tq0, [sp, #16]", "ldr\tx9, [x29, #24]"],
        ["fmul\ts2, s3, s2"],
        ["bl\texpf"],
    ),
}


@pytest.mark.parametrize("target", [Target.avx2(), Target.neon()], ids=lambda t: t.name)
def test_what_should_not_be_in_a_loop_is_found(target: Target) -> None:
    code, spilled, scalar, called = BAD[target.name]
    body = asm.functions(code)["f"]
    (loop,) = asm.innermost_loops(body)
    assert asm.hottest_loop(body) == loop and asm.multiply_adds(loop) == 1
    assert asm.spills(loop, body, target) == spilled and asm.vectors_in(spilled) == spilled[:1]
    assert asm.scalar_arithmetic(loop, target) == scalar
    assert asm.calls(loop) == called


# Convolutions -----------------------------------------------------------------------------------

KINDS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "3x3": ((2, 32, 14, 14), (48, 32, 3, 3), {}),
    "1x1": ((2, 32, 14, 14), (48, 32, 1, 1), {"padding": ((0, 0), (0, 0))}),
    "strided": ((2, 32, 14, 14), (48, 32, 3, 3), {"strides": (2, 2)}),
    "depthwise": ((2, 32, 14, 14), (32, 1, 3, 3), {"groups": 32}),
    "few channels": ((2, 3, 28, 28), (32, 3, 3, 3), {}),
}
FAMILIES = {  # of the kernels that multiply, in each pass
    "3x3": ("convolution", "convolution", "convolution"),
    "1x1": ("contraction", "contraction", "convolution"),  # the gradient given does not lie channels last
    "strided": ("convolution", "convolution", "convolution"),
    "depthwise": ("elementwise", "elementwise", "contraction"),
    "few channels": ("convolution", "contraction", "convolution"),
}
PASSES = ("forward", "data gradient", "weight gradient")


@cache
def multiplying(kind: str, which: str) -> tuple[Kernel, ...]:
    """The kernels with multiply-adds of one pass of a convolution."""
    x, w, given = KINDS[kind]
    attrs = {**ATTRS, **given}

    def forward(x: Var, w: Var) -> Var:
        return conv_general(x, w, **attrs)

    def data(g: Var, x: Var, w: Var) -> Var:
        return _input_gradient(g, x, w, attrs)

    def weight(g: Var, x: Var, w: Var) -> Var:
        return _weight_gradient(g, x, w, attrs)

    types = [f32(*x), f32(*w)]
    made: Callable[..., Var] = forward
    if which != "forward":
        made = data if which == "data gradient" else weight
        types = [*graph_of(forward, *types).output_types, *types]
    kernels = plan(graph_of(made, *types))[1]
    return tuple({k: None for k in kernels if any(i.op in ("contract", "fma") for i in k.body)})


@pytest.mark.parametrize("which", PASSES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernels_read_below_are_those_of_convolutions(kind: str, which: str) -> None:
    assert {k.family for k in multiplying(kind, which)} == {FAMILIES[kind][PASSES.index(which)]}


@every_target
@pytest.mark.parametrize("which", PASSES)
@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_multiply_in_registers(kind: str, which: str, target: Target) -> None:
    for kernel in multiplying(kind, which):
        entry, code = code_of(kernel, target)
        written = asm.functions(code)
        hot = {name: asm.hottest_loop(body) for name, body in written.items()}
        hot = {name: loop for name, loop in hot.items() if loop}
        for name, loop in hot.items():
            assert not asm.calls(loop), name
            assert not asm.scalar_arithmetic(loop, target), name
            touched = asm.spills(loop, written[name], target)
            # Among so many multiply-adds a loop's end may be compared with memory.
            assert not (asm.vectors_in(touched) if kernel.family == "elementwise" else touched), name
        if kernel.family == "elementwise":
            assert asm.multiply_adds(hot[entry]) % 9 == 0  # the whole window
            continue
        shape = shape_for(kernel, target)
        narrower = range(1, shape.vectors) if kernel.family == "convolution" else ()
        for height in shape.heights:
            for vectors in (*narrower, shape.vectors):
                loop = hot.pop(f"{entry}_micro_{height}x{vectors}")
                assert asm.multiply_adds(loop) == height * vectors
        if kernel.family == "convolution":
            loop = hot.pop(f"{entry}_micro_{shape.heights[0]}x{shape.vectors}_fetching")
            assert asm.multiply_adds(loop) == shape.heights[0] * shape.vectors
        else:  # a single row has loops of its own, one of which packs
            hot.pop(f"{entry}_micro_1x{shape.wide}", None)
            hot.pop(f"{entry}_pack_b", None)
        assert not hot  # there are multiply-adds in those loops alone


# Normalizations ---------------------------------------------------------------------------------


def softmax_and_layer_norm(x: fb.Tensor) -> fb.Tensor:
    return F.layer_norm(fb.softmax(x, axis=-1), (512,))


def its_gradient(x: fb.Tensor) -> fb.Tensor:
    return fb.grad(lambda x: fb.sum(softmax_and_layer_norm(x) * x))(x)


def causal_attention(q: fb.Tensor) -> fb.Tensor:
    return F.scaled_dot_product_attention(q, q, q, is_causal=True)


@every_target
@pytest.mark.parametrize(
    ("function", "shape"),
    [(softmax_and_layer_norm, (64, 512)), (its_gradient, (64, 512)), (causal_attention, (1, 2, 128, 32))],
    ids=lambda p: getattr(p, "__name__", None),
)
def test_rows_are_normalized_in_vectors(
    function: Callable[[fb.Tensor], fb.Tensor], shape: tuple[int, ...], target: Target
) -> None:
    kernels = plan(fb.trace(function, fb.ones(shape)).graph)[1]
    (kernel,) = [k for k in kernels if k.family == "normalization"]
    entry, code = code_of(kernel, target)
    body = asm.functions(code)[entry]
    assert not asm.calls(body)
    loop = asm.hottest_loop(body)  # with the exponentials of 32 points
    assert asm.multiply_adds(loop) >= 2 * 32 // target.lanes(32)
    assert not asm.scalar_arithmetic(loop, target)
    if target.vector_registers * target.vector_bits >= 32 * 256:
        # Narrower registers do not hold 32 points of all the polynomial's values at once.
        assert not asm.vectors_in(asm.spills(loop, body, target))
