"""A network that writes text, one character after another: its training, and what it writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flambeau import nn, optim, random
from flambeau.cli.arguments import UsageError
from flambeau.cli.sessions import Session, digest, plural
from flambeau.data import CharTokenizer, DataLoader, TextCorpus, TextWindows
from flambeau.dtypes import float32, int64
from flambeau.errors import OperandError, WeightsError
from flambeau.io import save_weights
from flambeau.nn.functional import cross_entropy
from flambeau.ops.creation import asarray
from flambeau.ops.grad_mode import no_grad
from flambeau.ops.manipulation import reshape
from flambeau.ops.reductions import cumulative_sum, softmax
from flambeau.ops.reductions import sum as total
from flambeau.ops.searching import argmax
from flambeau.runtime.threads import get_num_threads
from flambeau.tensor import Tensor
from flambeau.training import Model
from flambeau.training.callbacks import LearningRateScheduler
from flambeau.transforms.compile import compile

TASK = "text-generator"
_CLIP = 1.0
_EVALUATION_BATCH = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train: ``hidden`` units, windows of ``length`` characters, ``batch_size`` of them a step."""

    hidden: int
    length: int
    epochs: int
    batch_size: int
    lr: float
    seed: int


class TextModel(nn.Module):
    """Gated recurrent units over characters, and a layer that scores the next one."""

    def __init__(self, characters: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, characters)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of shape (count, length, characters) for tokens of shape (count, length)."""
        return self.advance(tokens, None)[0]

    def advance(self, tokens: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The scores and the state after these tokens."""
        output, state = self.gru(self.embedding(tokens), state)
        return self.head(output), state


def next_character_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """The mean cross entropy over all positions."""
    flat: Any = reshape(scores, (-1, scores.shape[-1]))  # type: ignore[arg-type]
    return cross_entropy(flat, reshape(targets, (-1,)))


def train(name: str, text: TextCorpus, settings: Settings, output: str, sample: int, resume: bool) -> None:
    """Train on ``text``, print progress, the loss on held-out text and a sample; save the weights."""
    tokenizer = CharTokenizer.fit([text.train, text.test])
    tokens = {"training": tokenizer.encode(text.train), "held-out": tokenizer.encode(text.test)}
    for part, found in tokens.items():
        if len(found) <= settings.length:
            raise UsageError(
                f"train {TASK}: --data {name!r}: the {part} text has {len(found)} characters, "
                f"too few for windows of {settings.length}: choose a smaller --length"
            )
    learned = TextWindows(tokens["training"], settings.length)
    held_out = TextWindows(tokens["held-out"], settings.length)
    random.seed(settings.seed)
    network = TextModel(len(tokenizer), settings.hidden)
    parameters = sum(math.prod(p.numpy().shape) for p in network.parameters())
    print(f"data: {name}, {len(text.train)} training and {len(text.test)} held-out characters")
    threads = plural(get_num_threads(), "thread")
    print(
        f"model: GRU-{settings.hidden} over {len(tokenizer)} characters, {parameters} parameters; "
        f"{threads}, seed {settings.seed}",
        flush=True,
    )

    loader = DataLoader(learned, settings.batch_size, shuffle=True, generator=settings.seed)
    validation = DataLoader(held_out, _EVALUATION_BATCH)
    model = Model(network)
    optimizer = optim.Adam(network.parameters(), lr=settings.lr)
    model.compile(optimizer, next_character_loss, global_clipnorm=_CLIP)
    steps = len(loader) * settings.epochs
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=settings.lr / 20)
    session = Session(
        TASK,
        {
            "--data": name,
            "--hidden": settings.hidden,
            "--length": settings.length,
            "--epochs": settings.epochs,
            "--batch-size": settings.batch_size,
            "--lr": settings.lr,
            "--seed": settings.seed,
            "data digest": digest(*tokens.values()),
            "model": TASK,
            "vocabulary": "".join(tokenizer.characters),
        },
        settings.epochs,
        output,
        resume,
    )
    session.fit(model, loader, [LearningRateScheduler(schedule, "batch")], validation)

    loss = model.history.history["val_loss"][-1]
    print(f"held-out loss: {loss:.4f} nats per character")
    save_weights(output, network.state_dict(), metadata(network.gru.hidden_size, tokenizer))
    session.finish()
    print(f"weights: {output}")
    if sample:
        print(f"a sample:\n{generate(network, tokenizer, '', sample, 0.8, settings.seed)}")


def metadata(hidden: int, tokenizer: CharTokenizer) -> dict[str, str]:
    """What the file of weights says about the model."""
    return {"model": TASK, "hidden": str(hidden), "vocabulary": json.dumps("".join(tokenizer.characters))}


def restored(
    file: str, weights: Mapping[str, Tensor], notes: Mapping[str, Any]
) -> tuple[TextModel, CharTokenizer]:
    """The model that weights belong to, and its characters; raises ``WeightsError`` naming the file."""
    try:
        if notes["model"] != TASK:
            raise ValueError
        vocabulary, hidden = json.loads(notes["vocabulary"]), int(notes["hidden"])
        tokenizer = CharTokenizer(vocabulary)
    except (KeyError, TypeError, ValueError, OperandError):
        raise WeightsError(f"{file}: these are no weights of a text generator") from None
    network = TextModel(len(tokenizer), hidden)
    network.load_state_dict(weights)
    return network, tokenizer


def generate(
    network: TextModel, tokenizer: CharTokenizer, prompt: str, length: int, temperature: float, seed: int
) -> str:
    """The prompt, continued by ``length`` characters.

    Each is drawn with the probabilities that the network gives, the sharper the lower the
    ``temperature``; at 0 the likeliest one is taken.
    """
    first = prompt or ("\n" if "\n" in tokenizer.characters else tokenizer.characters[0])
    dice = random.Generator(seed)
    heat = asarray(max(temperature, 1e-6), dtype=float32)

    def choose(scores: Tensor) -> Tensor:
        scores = scores[0, -1]
        if temperature == 0:
            return reshape(argmax(scores), (1, 1))
        below = cumulative_sum(softmax(scores / heat, axis=-1))
        drawn = dice.uniform(()) * below[-1]
        return reshape(total(below[:-1] <= drawn), (1, 1)).astype(int64)

    def step(token: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        with no_grad():
            scores, state = network.advance(token, state)
            return choose(scores), state

    step = compile(step)
    written = []
    with no_grad():
        scores, state = network.advance(asarray(tokenizer.encode(first).reshape(1, -1)), None)
        token = choose(scores)
        for _ in range(length):
            written.append(int(token.item()))
            token, state = step(token, state)
    return prompt + tokenizer.decode(written)
