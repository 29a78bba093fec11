"""A training that tests kill and begin again: ``python resumed.py FOLDER MOMENT``.

It prints each step.  At the call number MOMENT of those that change files it dies, as if it was killed
there; 0: never.  At the end it prints a digest of everything that it has come to.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

import flambeau as fb
from flambeau.training import callbacks


class Net(fb.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = fb.nn.Linear(8, 16)
        self.drop = fb.nn.Dropout(0.3)
        self.second = fb.nn.Linear(16, 3)
        self.register_buffer("mean", fb.zeros(16))
        self.register_buffer("seen", fb.asarray(0.0), persistent=False)

    def forward(self, x: Any) -> Any:
        h = fb.relu(self.first(x))
        if self.training:
            with fb.no_grad():
                self.mean = 0.9 * self.mean + 0.1 * h.mean(axis=0)
                self.seen = self.seen + 1.0
        return self.second(self.drop(h - self.mean))


def die_at(moment: int) -> None:
    seen = 0

    def dying(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            for place in ("before", "after"):
                seen += 1
                if seen == moment:
                    os._exit(9)
                if place == "before":
                    made = real(*args, **kwargs)
            return made

        return call

    for name in ("fsync", "rename", "replace", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))


def main(folder: Path, moment: int) -> None:
    fb.random.seed(1)
    random.seed(2)
    np.random.seed(3)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((144, 8)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(np.int64) + (x[:, 3] > 1)
    loader = fb.data.DataLoader(fb.data.TensorDataset(x, y), batch_size=16, shuffle=True, generator=5)
    net = Net()
    model = fb.Model(net)
    optimizer = fb.optim.Adam(net.parameters(), lr=0.01)
    model.compile(optimizer, "cross_entropy", ["accuracy", "f1_score"])
    schedule = fb.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)

    def shake(batch: int, logs: Any) -> None:
        # what a user's callback may do with the generators of Python and NumPy
        optimizer.param_groups[0]["weight_decay"] = 1e-3 * (random.random() + np.random.random())
        print("step", flush=True)

    log = callbacks.CSVLogger(folder / "log.csv")
    stop = callbacks.EarlyStopping("val_loss", patience=50, restore_best_weights=True)
    if moment:
        die_at(moment)
    history = model.fit(
        loader,
        epochs=5,
        verbose=0,
        validation_data=(x[:40], y[:40]),
        callbacks=[
            callbacks.BackupAndRestore(folder / "backup", save_freq=3),
            callbacks.LearningRateScheduler(schedule, "batch"),
            callbacks.LambdaCallback(on_train_batch_end=shake),
            stop,
            log,
        ],
    )
    sha = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        sha.update(name.encode() + tensor.numpy().tobytes())
    sha.update(net.seen.numpy().tobytes())
    sha.update(repr((history.epoch, history.history, stop.best_epoch)).encode())
    sha.update((folder / "log.csv").read_bytes())
    sha.update(repr((fb.random.default_generator().state, random.random(), np.random.random())).encode())
    sha.update(repr(optimizer.state_dict()).encode())
    print("done", sha.hexdigest(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
