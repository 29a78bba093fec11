"""Throw-away primitives, so that graphs can be tested without those the package defines."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flambeau.errors import ShapeError
from flambeau.graph.primitive import REGISTRY, Effect, Lowering, NoGradient, Primitive
from flambeau.graph.types import TensorType

NONE = NoGradient("a primitive of the tests")


def _add(x, y):
    if x != y:
        raise ShapeError(f"toy_add: {x} and {y} differ")
    return x


def _matmul(x, y, contract=((1,), (0,))):
    return TensorType((x.shape[0], y.shape[1]), x.dtype)


def _split(x, axis):
    return (x, x)


def _loop(*operands, body, length=None, branches=()):
    return body.output_types


def _define(name, infer, lowering=Lowering.ELEMENTWISE, **options):
    def rule(*args, **attrs):
        raise AssertionError("these primitives are only typed")

    return Primitive(
        name, infer=infer, reference=rule, vjp=NONE, jvp=NONE, batch=rule, lowering=lowering, **options
    )


@pytest.fixture
def toys():
    """Primitives ``add``, ``relu``, ``matmul``, ``split``, ``loop``, ``random`` and ``attribute``."""
    before = dict(REGISTRY)
    yield SimpleNamespace(
        add=_define("toy_add", _add),
        relu=_define("toy_relu", lambda x: x),
        matmul=_define("toy_matmul", _matmul, Lowering.CONTRACT),
        split=_define("toy_split", _split, Lowering.VIEW, outputs=2),
        loop=_define("toy_loop", _loop, Lowering.CONTROL, outputs=None),
        random=_define("toy_random", lambda x: x, effect=Effect.RANDOM),
        attribute=_define("toy_attribute", lambda x, value: x),
    )
    for name in set(REGISTRY) - set(before):
        del REGISTRY[name]
