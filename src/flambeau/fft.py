"""Discrete Fourier transforms: the array API's extension ``fft``."""

from flambeau.ops.fft import *  # noqa: F403
from flambeau.ops.fft import __all__ as __all__
