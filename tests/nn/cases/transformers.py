"""Layers of transformers; their stacks are in ``test_transformer``, for they are made of layers."""

from __future__ import annotations

from flambeau.errors import OperandError, ShapeError
from tests.nn.harness import case, numbers

X, MEMORY = numbers(2, 3, 4), numbers(2, 2, 4, seed=1)
OPTIONS = {"dim_feedforward": 3, "dropout": 0.0, "batch_first": True}

ENCODER = """\
TransformerEncoderLayer(
  (self_attn): MultiheadAttention(4, 1, batch_first=True)
  (linear1): Linear(4, 3, bias=True)
  (dropout): Dropout(p=0.0)
  (linear2): Linear(3, 4, bias=True)
  (norm1): LayerNorm((4,), eps=1e-05, elementwise_affine=True)
  (norm2): LayerNorm((4,), eps=1e-05, elementwise_affine=True)
  (dropout1): Dropout(p=0.0)
  (dropout2): Dropout(p=0.0)
)"""

DECODER = """\
TransformerDecoderLayer(
  (self_attn): MultiheadAttention(4, 1, bias=False, batch_first=True)
  (multihead_attn): MultiheadAttention(4, 1, bias=False, batch_first=True)
  (linear1): Linear(4, 3, bias=False)
  (dropout): Dropout(p=0.0)
  (linear2): Linear(3, 4, bias=False)
  (norm1): LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=False)
  (norm2): LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=False)
  (norm3): LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=False)
  (dropout1): Dropout(p=0.0)
  (dropout2): Dropout(p=0.0)
  (dropout3): Dropout(p=0.0)
)"""

CASES = [
    case(
        "TransformerEncoderLayer",
        4,
        1,
        **OPTIONS,
        inputs=X,
        output=(2, 3, 4),
        shows=ENCODER,
        evaluable=False,
        variant="plain",
        wrong=[
            ((numbers(2, 3, 5),), ShapeError, r"MultiheadAttention: the query must have shape .*\(2, 3, 5\)")
        ],
        refused=[((4, 1), {"activation": "tanh"}, OperandError, "activation must be 'relu', 'gelu' or")],
    ),
    case(
        "TransformerDecoderLayer",
        4,
        1,
        **OPTIONS,
        activation="gelu",
        norm_first=True,
        bias=False,
        inputs=(X, MEMORY),
        output=(2, 3, 4),
        shows=DECODER,
        evaluable=False,
        variant="norm first",
        refused=[((4, 3), {}, OperandError, "embed_dim=4 does not divide into num_heads=3")],
    ),
]
