"""Files: weights as safetensors."""

from __future__ import annotations

from flambeau.io.weights import load_metadata, load_weights, save_weights

__all__ = ["load_metadata", "load_weights", "save_weights"]
