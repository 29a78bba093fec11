"""What the tests of sequence layers share: the same values for flambeau and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import flambeau as fb
from flambeau import nn
from flambeau.tensor import Tensor

Array = np.ndarray


class Beside:
    """Makes pairs of tensors, ours and PyTorch's, compares them, and takes gradients of both."""

    def __init__(self, torch: Any, rng: np.random.Generator) -> None:
        self.torch = torch
        self.rng = rng
        self.pairs: list[tuple[Tensor, Any]] = []

    def normal(self, *shape: int) -> tuple[Tensor, Any]:
        return self.watched(self.rng.normal(size=shape))

    def watched(self, array: Array) -> tuple[Tensor, Any]:
        """A pair whose gradients ``backward`` compares."""
        pair = (fb.asarray(array, requires_grad=True), self.torch.tensor(array, requires_grad=True))
        self.pairs.append(pair)
        return pair

    def constant(self, array: Array) -> tuple[Tensor, Any]:
        return fb.asarray(array), self.torch.tensor(array)

    def layers(self, name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
        theirs = getattr(self.torch.nn, name)(*args, dtype=self.torch.float64, **options)
        ours = getattr(nn, name)(*args, dtype=fb.float64, **options)
        return self.loaded(ours, theirs)

    def loaded(self, ours: Any, theirs: Any) -> tuple[Any, Any]:
        """The layers with the same random state."""
        for p in theirs.parameters():
            p.data = self.torch.tensor(self.rng.normal(size=p.shape) * 0.5)
        ours.load_state_dict({name: fb.asarray(t.numpy()) for name, t in theirs.state_dict().items()})
        assert list(ours.state_dict()) == list(theirs.state_dict())
        named = zip(ours.named_parameters(), theirs.named_parameters(), strict=True)
        self.pairs += [(p, tp) for (_, p), (_, tp) in named]
        return ours, theirs

    def same(self, ours: Any, theirs: Any) -> None:
        """Check outputs, and the gradients of a weighted sum of them to all that was made here."""
        flat, their_flat = list(_flat(ours)), list(_flat(theirs))
        assert len(flat) == len(their_flat)
        total, their_total = fb.asarray(0.0, dtype=fb.float64), 0.0
        for a, b in zip(flat, their_flat, strict=True):
            close(a, b)
            weight, their_weight = self.constant(self.rng.normal(size=a.shape))
            total = total + fb.sum(a * weight)
            their_total = their_total + (b * their_weight).sum()
        total.backward()
        their_total.backward()  # type: ignore[attr-defined]
        for a, b in self.pairs:
            if b.grad is None:
                assert a.grad is None or not a.grad.numpy().any()
            else:
                assert a.grad is not None
                close(a.grad, b.grad)


def close(ours: Tensor, theirs: Any) -> None:
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-9)


def _flat(made: Any) -> Any:
    if isinstance(made, (tuple, list)):
        for part in made:
            yield from _flat(part)
    elif made is not None:
        yield made
