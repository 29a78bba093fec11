"""Lowering of contraction kernels: matrix products with batches, any strides and a fused epilogue.

Each output element is one chain of fused multiply-adds in the order of K, starting from zero,
within chunks of 4096; the chunks' results are added in order.  Blocking reloads what a chain has
come to, so no size but K, no number of threads and no vector width can change a bit.

``shape`` says what one round of the innermost loop computes, ``micro`` writes that loop,
``packing`` copies operands into the order in which it reads them, ``finish`` writes the epilogue,
``gemm`` the loops around all of them, and ``blocking`` chooses block sizes from a call's sizes.
"""

from flambeau.compiler.contraction.blocking import calls, packed, packed_sizes, packs_alone, workspace
from flambeau.compiler.contraction.module import lower

__all__ = ["calls", "lower", "packed", "packed_sizes", "packs_alone", "workspace"]
