"""Linear algebra: the array API's extension ``linalg``."""

from flambeau.ops.linalg import *  # noqa: F403
from flambeau.ops.linalg import __all__ as __all__
