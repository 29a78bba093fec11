"""Lowering of convolutions that read their input where it lies.

Each result is one chain of fused multiply-adds over the channels of its group and, for each, over those
elements of the window that meet the input, in row-major order, in chunks of 4096 that are added in order.

The innermost loop holds a few positions times some channels of the result in registers: per step it spreads
one element of the input per position over a vector, and multiplies it by neighbouring weights.  Positions lie
anywhere, and a table of offsets says where a step's elements are; so the input is neither copied nor padded.
Positions that meet the same elements of the window are a box; each box skips the others altogether.

``arguments`` says what a call is given, ``blocking`` chooses it from sizes, ``micro`` writes the innermost
loop, ``packing`` what lays out the weights, ``loops`` what is around them, and ``boxes`` cuts positions.
"""

from flambeau.compiler.direct.blocking import calls, packed, packed_sizes, workspace
from flambeau.compiler.direct.boxes import Box, boxes_of
from flambeau.compiler.direct.loops import lower

__all__ = ["Box", "boxes_of", "calls", "lower", "packed", "packed_sizes", "workspace"]
