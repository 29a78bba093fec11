"""Primitives: the operations everything else is made of, each owning all of its rules.

A primitive is registered whole: registration fails when a rule is missing, so that no operation
can exist that cannot be typed, computed, differentiated (or says why not), batched and lowered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flambeau.errors import RegistrationError

Rule = Callable[..., Any]


class Effect(Enum):
    """What a primitive does besides computing its outputs."""

    PURE = "pure"  # equal inputs give equal outputs; may be shared, dropped or recomputed
    RANDOM = "random"  # pure in its counter, but not to be merged with a twin
    HOST = "host"  # calls the user's Python


class Lowering(Enum):
    """Which family of kernels can compute a primitive."""

    ELEMENTWISE = "elementwise"
    VIEW = "view"  # no data moves: only shape and strides change
    REDUCE = "reduce"
    CONTRACT = "contract"
    CONTROL = "control"  # holds sub-graphs
    HOST = "host"  # called on the host, inside the same plan


@dataclass(frozen=True, slots=True)
class NoGradient:
    """Stands where a derivative would: differentiating is an error, and ``reason`` says why."""

    reason: str


class Primitive:
    """One operation and its rules.

    ``infer(*types, **attrs)`` gives the output types and raises where operands do not fit;
    ``reference(*arrays, **attrs)`` computes with NumPy;
    ``vjp(g, inputs, outputs, **attrs)`` gives a cotangent (or None) per input, and
    ``jvp(t, inputs, outputs, **attrs)`` a tangent per output from a tangent (or None) per input,
    both written with builders;
    ``batch(inputs, batched, **attrs)`` computes with an extra leading axis on the inputs marked
    in ``batched`` and returns outputs that all have it;
    ``sizes`` names the attributes that only hold sizes: they are no part of a program's structure.

    The residuals of a vjp rule are the inputs and outputs it uses; they are found by running it.
    """

    __slots__ = (
        "batch",
        "effect",
        "infer",
        "jvp",
        "lowering",
        "name",
        "outputs",
        "reference",
        "sizes",
        "vjp",
    )

    def __init__(
        self,
        name: str,
        *,
        infer: Rule,
        reference: Rule,
        vjp: Rule | NoGradient,
        jvp: Rule | NoGradient,
        batch: Rule,
        lowering: Lowering,
        effect: Effect = Effect.PURE,
        outputs: int | None = 1,
        sizes: tuple[str, ...] = (),
    ) -> None:
        rules = {"infer": infer, "reference": reference, "vjp": vjp, "jvp": jvp, "batch": batch}
        for rule, given in rules.items():
            if not callable(given) and not isinstance(given, NoGradient):
                raise RegistrationError(f"primitive {name!r} has no {rule} rule")
        if not isinstance(effect, Effect) or not isinstance(lowering, Lowering):
            raise RegistrationError(f"primitive {name!r} needs an Effect and a Lowering")
        if name in REGISTRY:
            raise RegistrationError(f"there is already a primitive called {name!r}")
        self.name = name
        self.infer = infer
        self.reference = reference
        self.vjp = vjp
        self.jvp = jvp
        self.batch = batch
        self.lowering = lowering
        self.effect = effect
        self.outputs = outputs  # None: as many as infer says
        self.sizes = sizes
        REGISTRY[name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return (primitive, (self.name,))


REGISTRY: dict[str, Primitive] = {}


def primitive(name: str) -> Primitive:
    """The registered primitive of that name; raises ``KeyError`` where there is none."""
    return REGISTRY[name]
