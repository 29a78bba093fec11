"""Data sets, loaders and transforms: what ships with flambeau, and readers for common file formats."""

from __future__ import annotations

from flambeau.data import transforms
from flambeau.data.collate import default_collate
from flambeau.data.combine import ConcatDataset, Subset, random_split
from flambeau.data.dataset import Dataset, IterableDataset, TensorDataset
from flambeau.data.draws import uniform
from flambeau.data.errors import DataError, WorkerError
from flambeau.data.fashion_mnist import fashion_mnist_mini
from flambeau.data.images import LabelledImages, load_idx_folder
from flambeau.data.loader import DataLoader
from flambeau.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)
from flambeau.data.sets import TextCorpus, cifar10, fashion_mnist, load, mnist, shakespeare_mini
from flambeau.data.text import BytePairTokenizer, CharTokenizer, TextWindows, pad_sequences, truncate

__all__ = [
    "BatchSampler",
    "BytePairTokenizer",
    "CharTokenizer",
    "ConcatDataset",
    "DataError",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "LabelledImages",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "TextCorpus",
    "TextWindows",
    "WeightedRandomSampler",
    "WorkerError",
    "cifar10",
    "default_collate",
    "fashion_mnist",
    "fashion_mnist_mini",
    "load",
    "load_idx_folder",
    "mnist",
    "pad_sequences",
    "random_split",
    "shakespeare_mini",
    "transforms",
    "truncate",
    "uniform",
]
