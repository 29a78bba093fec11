"""Training of the image classifier: a multilayer perceptron, written as a user would write it."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from flambeau import nn, optim, random
from flambeau.cli.progress import Progress
from flambeau.data import LabelledImages
from flambeau.dtypes import float32, int64
from flambeau.errors import NonFiniteError
from flambeau.io import save_weights
from flambeau.ops.creation import asarray
from flambeau.ops.grad_mode import no_grad
from flambeau.ops.reductions import sum as total
from flambeau.ops.searching import argmax
from flambeau.runtime.threads import get_num_threads
from flambeau.tensor import Tensor

# Pulls weights towards 0, which keeps a wide network from learning 10,000 images by heart.
_WEIGHT_DECAY = 1e-3
_TEST_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train: ``hidden`` widths, ``epochs``, ``batch_size``, first learning rate, ``seed``."""

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    lr: float
    seed: int


@dataclass(frozen=True, slots=True)
class Scale:
    """The mean and the standard deviation that pixels are normalised with, of pixels from 0 to 1."""

    mean: float
    std: float

    @staticmethod
    def of(images: np.ndarray) -> Scale:
        """That of uint8 images; from exact sums, so that every machine finds the same."""
        counts = np.bincount(images.reshape(-1), minlength=256).tolist()
        number = images.size
        first = sum(value * count for value, count in enumerate(counts))
        second = sum(value * value * count for value, count in enumerate(counts))
        variance = (second * number - first * first) / number**2
        return Scale(first / number / 255, math.sqrt(variance) / 255 or 1.0)

    def apply(self, images: np.ndarray) -> Tensor:
        """Images of shape (count, height, width) as rows of normalised float32 pixels."""
        table = ((np.arange(256) / 255 - self.mean) / self.std).astype(np.float32)
        return asarray(table[images.reshape(len(images), -1)], dtype=float32)


def perceptron(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers between ``sizes``, with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train(name: str, data: LabelledImages, settings: Settings, output: str) -> None:
    """Train on ``data``, print progress and the test accuracy, and save the weights to ``output``."""
    count, height, width = data.train_images.shape
    sizes = (height * width, *settings.hidden, len(data.class_names))
    scale = Scale.of(data.train_images)
    images = scale.apply(data.train_images)
    labels = asarray(data.train_labels, dtype=int64)

    random.seed(settings.seed)
    model = perceptron(sizes)
    parameters = sum(math.prod(p.numpy().shape) for p in model.parameters())
    print(
        f"data: {name}, {count} training and {len(data.test_labels)} test images of {height}x{width} pixels"
    )
    threads = get_num_threads()
    print(
        f"model: {'-'.join(map(str, sizes))}, {parameters} parameters; "
        f"{threads} thread{'s' if threads > 1 else ''}, seed {settings.seed}",
        flush=True,
    )

    began = time.perf_counter()
    _fit(model, images, labels, settings)
    print(f"training time: {time.perf_counter() - began:.2f} s")
    right = _count_right(model, scale, data)
    print(f"test accuracy: {right / len(data.test_labels):.4f} ({right} of {len(data.test_labels)})")
    save_weights(
        output,
        model.state_dict(),
        {
            "model": "image-classifier",
            "sizes": json.dumps(sizes),
            "mean": repr(scale.mean),
            "std": repr(scale.std),
            "classes": json.dumps(data.class_names),
        },
    )
    print(f"weights: {output}")


def _fit(model: nn.Module, images: Tensor, labels: Tensor, settings: Settings) -> None:
    optimizer = optim.Adam(model.parameters(), lr=settings.lr, weight_decay=_WEIGHT_DECAY)
    count, size = len(images), settings.batch_size
    steps = math.ceil(count / size)
    progress = Progress(settings.epochs, steps)
    epoch = 0
    try:
        for epoch in range(1, settings.epochs + 1):
            began = time.perf_counter()
            order = random.permutation(count)
            loss_sum, right = 0.0, 0
            for step in range(steps):
                done = (epoch - 1) * steps + step
                optimizer.param_groups[0]["lr"] = settings.lr * (1 - done / (steps * settings.epochs))
                batch = order[step * size : (step + 1) * size]
                targets = labels[batch]
                logits = model(images[batch])
                loss = nn.functional.cross_entropy(logits, targets)
                hits = total(argmax(logits, axis=1) == targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                value = loss.item()
                if not math.isfinite(value):
                    raise NonFiniteError(
                        f"training failed in epoch {epoch}: the loss is {value}; try a smaller --lr"
                    )
                loss_sum += value * len(targets)
                right += hits.item()
                progress.step(epoch, step + 1, value)
            progress.epoch(epoch, loss_sum / count, right / count, time.perf_counter() - began)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted in epoch {epoch} of {settings.epochs}; no weights were saved"
        ) from None
    finally:
        progress.clear()


def _count_right(model: nn.Module, scale: Scale, data: LabelledImages) -> int:
    """How many test images the model puts in the right class."""
    right = 0
    with no_grad():
        for start in range(0, len(data.test_labels), _TEST_BATCH):
            images = scale.apply(data.test_images[start : start + _TEST_BATCH])
            guesses = argmax(model(images), axis=1).numpy()
            right += int((guesses == data.test_labels[start : start + _TEST_BATCH]).sum())
    return right
