"""Hands differentiation and batching down to the primitives that hold graphs."""

from __future__ import annotations

from flambeau.autodiff.batching import batch
from flambeau.autodiff.forward import pushforward
from flambeau.autodiff.reverse import pullback
from flambeau.primitives.subgraphs import RULES

RULES.pullback = pullback
RULES.pushforward = pushforward
RULES.batch = batch
