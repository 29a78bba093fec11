"""Data sets by name."""

from __future__ import annotations

from flambeau.data.sets.cifar10 import cifar10
from flambeau.data.sets.corpus import TextCorpus
from flambeau.data.sets.mnist import fashion_mnist, mnist
from flambeau.data.sets.named import load
from flambeau.data.sets.shakespeare import shakespeare_mini

__all__ = ["TextCorpus", "cifar10", "fashion_mnist", "load", "mnist", "shakespeare_mini"]
