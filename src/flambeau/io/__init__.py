"""Files: weights as safetensors, and checkpoints of whole trainings."""

from __future__ import annotations

from flambeau.io.checkpoint import Checkpoint, Checkpoints, load_checkpoint
from flambeau.io.weights import load_metadata, load_weights, save_weights

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "load_checkpoint",
    "load_metadata",
    "load_weights",
    "save_weights",
]
