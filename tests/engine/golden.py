"""A training run whose bits are the same everywhere, and what they are.

``python -m tests.engine.golden`` prints the digest of a run on this machine.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import flambeau as fb
from flambeau import nn, optim

F = nn.functional
STEPS = 6
# SHA-256 of all parameters and losses of the three networks after so many steps.
GOLDEN = "89f0855a30591657e04d39dcc4c08c03a2ba583f8751b5e3c06efd42d06f721d"


class Recurrent(nn.Module):
    """Embedding, LSTM, layer norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(13, 12)
        self.rnn = nn.LSTM(12, 10, batch_first=True)
        self.norm = nn.LayerNorm(10)
        self.out = nn.Linear(10, 13)

    def forward(self, x: Any) -> Any:
        return self.out(self.norm(self.rnn(self.embedding(x))[0])).reshape(-1, 13)


class Integers:
    """Integers that look random, by arithmetic that no library may change (D. Knuth, TAOCP 3.3.4)."""

    def __init__(self) -> None:
        self.state = 7

    def below(self, limit: int, *shape: int) -> np.ndarray:
        """Integers from 0 to ``limit`` - 1."""
        out = np.empty(shape, np.int64)
        for i in range(out.size):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            out.reshape(-1)[i] = (self.state >> 33) % limit
        return out

    def numbers(self, *shape: int) -> Any:
        """Multiples of 1/32 in [-2, 2]."""
        return fb.asarray((self.below(129, *shape) - 64).astype(np.float32) / 32)


def _weights(module: Any, rng: Integers) -> list[Any]:
    state = {name: rng.numbers(*p.shape) / 4 for name, p in module.named_parameters()}
    module.load_state_dict(state, strict=False)
    return list(module.parameters())


def _runs(rng: Integers) -> Iterable[tuple[Any, Any, Callable[[], Any]]]:
    """Networks with their optimizers and losses."""
    mlp = nn.Sequential(nn.Linear(19, 33), nn.Tanh(), nn.Linear(33, 17), nn.GELU(), nn.Linear(17, 5))
    x, y = rng.numbers(11, 19), fb.asarray(rng.below(5, 11))
    parameters = _weights(mlp, rng)
    yield parameters, optim.AdamW(parameters, 1e-2), lambda: F.cross_entropy(mlp(x), y)
    layers = [nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 18, 3, 2), nn.SiLU()]
    net = nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 3))
    images, wanted = rng.numbers(3, 2, 11, 11), rng.numbers(3, 3)
    weights = _weights(net, rng)
    yield weights, optim.SGD(weights, 0.02, momentum=0.9), lambda: F.mse_loss(net(images), wanted)
    recurrent = Recurrent()
    words, following = (fb.asarray(rng.below(13, 4, 7)) for _ in range(2))
    own = _weights(recurrent, rng)
    yield own, optim.Adam(own, 1e-2), lambda: F.cross_entropy(recurrent(words), following.reshape(-1))


def digest(compiled: bool = False) -> str:
    """The digest of a run."""
    total = hashlib.sha256()
    for parameters, optimizer, loss_of in _runs(Integers()):

        def step(parameters: Any = parameters, optimizer: Any = optimizer, loss_of: Any = loss_of) -> Any:
            optimizer.zero_grad()
            loss = loss_of()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            return loss

        run = fb.compile(step) if compiled else step
        for _ in range(STEPS):
            total.update(np.float32(run().item()).tobytes())
        for p in parameters:
            total.update(np.ascontiguousarray(p.numpy()).tobytes())
    return total.hexdigest()


if __name__ == "__main__":
    found = digest()
    print(found)
    sys.exit(0 if found == GOLDEN or "--print" in sys.argv else 1)
