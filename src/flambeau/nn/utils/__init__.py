"""What is useful beside layers."""

from flambeau.nn.utils import rnn

__all__ = ["rnn"]
