"""Training of the image classifier, written as a user would write it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from flambeau import nn, optim, random
from flambeau.cli.arguments import UsageError
from flambeau.cli.sessions import Session, digest, plural
from flambeau.data import DataLoader, LabelledImages, TensorDataset, transforms
from flambeau.io import save_weights
from flambeau.ops.creation import asarray
from flambeau.runtime.threads import get_num_threads
from flambeau.tensor import Tensor
from flambeau.training import Model
from flambeau.training.callbacks import LearningRateScheduler

TASK = "image-classifier"
# Pulls weights towards 0, which keeps a network from learning 10,000 images by heart.
_WEIGHT_DECAY = {"cnn": 1e-2, "mlp": 1e-3}
_CHANNELS = (16, 32)
_DROPOUT = 0.2
_SHIFT = 1  # pixels, in each direction
_TEST_BATCH = 500


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train: ``model`` is ``"cnn"`` or ``"mlp"``, ``hidden`` the widths of its dense layers."""

    model: str
    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    lr: float
    seed: int
    flip: bool


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
        """Images with channels last, if any, as normalised float32 (count, channels, height, width)."""
        return asarray(self.batch(images))

    def batch(self, images: np.ndarray) -> np.ndarray:
        """The same as a NumPy array."""
        table = ((np.arange(256) / 255 - self.mean) / self.std).astype(np.float32)
        channels = images[:, None] if images.ndim == 3 else np.moveaxis(images, 3, 1)
        made: np.ndarray = np.ascontiguousarray(table[channels])
        return made


class Augment:
    """What is done to a batch of training images before they are normalised.

    For the convolutional network they are shifted at random and, where ``flip`` says that their
    classes stay what they are, half of them are mirrored.
    """

    def __init__(self, scale: Scale, settings: Settings, size: tuple[int, int]) -> None:
        self.scale = scale
        self.steps: list[transforms.Transform] = []
        if settings.model == "cnn":
            self.steps.append(transforms.RandomCrop(size, padding=_SHIFT))
        if settings.flip:
            self.steps.append(transforms.RandomHorizontalFlip())

    def __call__(self, image: np.ndarray) -> np.ndarray:
        made: np.ndarray = self.batch(image[None])[0]
        return made

    def batch(self, images: np.ndarray) -> np.ndarray:
        """What becomes of many images."""
        for step in self.steps:
            images = np.asarray(step.batch(images))
        return self.scale.batch(images)


def perceptron(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers between ``sizes``, with ReLU between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def convolutional(shape: tuple[int, int, int], hidden: tuple[int, ...], classes: int) -> nn.Sequential:
    """Two convolutions with pooling, then dense layers, with dropout before each of them."""
    channels, height, width = shape
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((channels, *_CHANNELS)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        height, width = height // 2, width // 2
    layers.append(nn.Flatten())
    for inputs, outputs in pairwise((_CHANNELS[-1] * height * width, *hidden, classes)):
        layers += [nn.Dropout(_DROPOUT), nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def build(model: str, shape: tuple[int, int, int], hidden: tuple[int, ...], classes: int) -> nn.Sequential:
    """The network for images of ``shape``: channels, height and width."""
    if model == "mlp":
        return perceptron((math.prod(shape), *hidden, classes))
    return convolutional(shape, hidden, classes)


def train(name: str, data: LabelledImages, settings: Settings, output: str, resume: bool) -> None:
    """Train on ``data``, print progress and the test accuracy, and save the weights to ``output``."""
    count, height, width = data.train_images.shape[:3]
    shape = (3 if data.train_images.ndim == 4 else 1, height, width)
    classes = len(data.class_names)
    if settings.model == "cnn" and min(height, width) < 2 ** len(_CHANNELS):
        raise UsageError(
            f"train {TASK}: images of {height}x{width} pixels are too small for the convolutional network: "
            "use --model mlp"
        )
    scale = Scale.of(data.train_images)
    random.seed(settings.seed)
    network = build(settings.model, shape, settings.hidden, classes)
    parameters = sum(math.prod(p.numpy().shape) for p in network.parameters())
    print(
        f"data: {name}, {count} training and {len(data.test_labels)} test images of {height}x{width} pixels"
    )
    threads = plural(get_num_threads(), "thread")
    print(f"model: {settings.model}, {parameters} parameters; {threads}, seed {settings.seed}", flush=True)

    images = TensorDataset(
        data.train_images,
        data.train_labels.astype(np.int64),
        transform=Augment(scale, settings, (height, width)),
    )
    loader = DataLoader(images, settings.batch_size, shuffle=True, generator=settings.seed)
    model = Model(network)
    optimizer = optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=_WEIGHT_DECAY[settings.model])
    model.compile(optimizer, "cross_entropy", ["accuracy"])
    steps = len(loader) * settings.epochs
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=max(steps, 2))
    session = Session(
        TASK,
        {
            "--data": name,
            "--model": settings.model,
            "--hidden": ",".join(map(str, settings.hidden)),
            "--epochs": settings.epochs,
            "--batch-size": settings.batch_size,
            "--lr": settings.lr,
            "--seed": settings.seed,
            "data digest": digest(data.train_images, data.train_labels),
        },
        settings.epochs,
        output,
        resume,
    )
    session.fit(model, loader, [LearningRateScheduler(schedule, "batch")])

    right = count_right(model, scale, data)
    print(f"test accuracy: {right / len(data.test_labels):.4f} ({right} of {len(data.test_labels)})")
    save_weights(
        output,
        network.state_dict(),
        {
            "model": TASK,
            "network": settings.model,
            "shape": json.dumps(shape),
            "hidden": json.dumps(settings.hidden),
            "mean": repr(scale.mean),
            "std": repr(scale.std),
            "classes": json.dumps(data.class_names),
        },
    )
    session.finish()
    print(f"weights: {output}")


def count_right(model: Model, scale: Scale, data: LabelledImages) -> int:
    """How many test images the model puts in the right class."""
    scores = model.predict(scale.apply(data.test_images), batch_size=_TEST_BATCH).numpy()
    return int((scores.argmax(axis=1) == data.test_labels).sum())
