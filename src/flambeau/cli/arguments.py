"""Arguments of commands: kinds of values, and errors that are one sentence."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NoReturn


class UsageError(Exception):
    """Arguments that cannot be worked with: shown as one sentence, exit code 2."""


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses with one sentence instead of a usage text."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise UsageError(f"{self.prog.partition(' ')[2]}: {message}" if " " in self.prog else message)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, and descriptions as they are written."""


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """The kind of argument that is a whole number from ``low`` to ``high``."""
    bounds = f"at least {low}" if high is None else f"from {low} to {high}"

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"a whole number is needed, not {text!r:.60}") from None
        if number < low or (high is not None and number > high):
            raise argparse.ArgumentTypeError(f"the number must be {bounds}, not {text}")
        return number

    return convert


def positive(text: str) -> float:
    """The kind of argument that is a finite number above 0."""
    number = _finite(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"the number must be finite and above 0, not {text}")
    return number


def not_negative(text: str) -> float:
    """The kind of argument that is a finite number of at least 0."""
    number = _finite(text, "finite and at least 0")
    if number < 0:
        raise argparse.ArgumentTypeError(f"the number must be finite and at least 0, not {text}")
    return number


def _finite(text: str, needed: str = "finite and above 0") -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number is needed, not {text!r:.60}") from None
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"the number must be {needed}, not {text}")
    return number


def sizes(text: str) -> tuple[int, ...]:
    """The kind of argument that is one or more sizes with commas between them."""
    size = whole(1)
    return tuple([size(part) for part in text.split(",")])
