"""Attention: as a function of queries, keys and values, and as a layer with many heads."""

from __future__ import annotations

from typing import Any

from flambeau import random
from flambeau.dtypes import DType, default_float, float64
from flambeau.engine.tape import THREAD
from flambeau.errors import OperandError
from flambeau.nn import init
from flambeau.nn.linear import Linear
from flambeau.nn.module import Module
from flambeau.nn.parameter import Parameter
from flambeau.ops.creation import zeros
from flambeau.ops.record import number, refuse, value_of
from flambeau.primitives.dot_product_attention import Options, scaled_dot_product
from flambeau.primitives.multihead import Heads, multihead
from flambeau.tensor import Tensor


def _dropout_operands(name: str, p: Any) -> list[Any]:
    """What dropout with probability ``p`` takes; nothing for 0."""
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        refuse(OperandError(f"{name}: dropout is a probability from 0 to 1, not {p!r}"))
    if p == 0:
        return []
    return [*random.default_generator().operands(), (float(p), float64)]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value`` over the last two axes.

    Takes queries (..., L, E), keys (..., S, E) and values (..., S, Ev) of one floating-point dtype,
    gives (..., L, Ev); leading axes broadcast.  ``attn_mask`` broadcasts to (..., L, S): where it is
    bool, True means that a key takes part; else it is added to the scores.  ``is_causal`` lets query
    i see keys 0 to i.  ``scale`` is ``1 / sqrt(E)`` unless given.  With ``enable_gqa`` several heads
    of queries, on the third axis from the end, share a head of keys and values.  ``dropout_p`` applies
    whenever it is not 0: there is no training mode here.

    Of long sequences no more than 64 rows of one head's scores are ever held, for the gradient neither:
    they are computed again.

    A query none of whose keys takes part gets 0, with gradients 0, as in PyTorch.  Masked keys at the
    end change no bit of a result: a sequence gives the same alone and padded in a batch.

    Raises ``ShapeError``, ``DTypeError`` and ``OperandError`` where the operands do not fit.

    >>> import flambeau as fb
    >>> x = fb.asarray([[[1.0, 0.0], [0.0, 1.0]]])
    >>> fb.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True).shape
    (1, 2, 2)

    Source: A. Vaswani et al., "Attention is all you need", 2017; grouped queries: J. Ainslie et al.,
    "GQA", 2023.
    """
    name = "scaled_dot_product_attention"
    operands: list[Any] = [value_of(x, name) for x in (query, key, value)]
    if attn_mask is not None:
        if is_causal:
            refuse(OperandError(f"{name}: attn_mask and is_causal exclude each other: put both in one mask"))
        operands.append(value_of(attn_mask, f"{name}: attn_mask"))
    dtype = operands[0].type.dtype
    if scale is not None:
        operands.append(number(scale, dtype, name))
    dropout = _dropout_operands(name, dropout_p)
    options = Options(
        attn_mask is not None, scale is not None, bool(dropout), bool(is_causal), bool(enable_gqa)
    )
    return Tensor(THREAD.tape.record(scaled_dot_product, (options,), [*operands, *dropout]))


class MultiheadAttention(Module):
    """Attention with ``num_heads`` heads, each on its own projection of queries, keys and values.

    Takes ``query`` (L, N, embed_dim), ``key`` (S, N, kdim) and ``value`` (S, N, vdim), with
    ``batch_first`` N in front, or all three without N; gives ``(output, weights)``: the output is
    shaped like ``query``, the weights are (N, L, S), averaged over heads, (N, num_heads, L, S) with
    ``average_attn_weights=False``, and None with ``need_weights=False``.

    ``key_padding_mask`` (N, S) and ``attn_mask`` (L, S) or (N * num_heads, L, S) are bool, True for
    keys that may NOT be seen (the opposite of ``scaled_dot_product_attention``), or are added to the
    scores.  ``is_causal`` says that ``attn_mask`` is the causal mask; without ``attn_mask`` it is
    enough by itself.

    A query all of whose keys are masked gets weights 0, so that its output is the output
    projection's bias.  (PyTorch does so with ``need_weights=False`` and gives NaN otherwise.)  Masked
    keys at the end change no bit of the other results.

    Raises ``ShapeError`` and ``DTypeError`` where inputs or masks do not fit, ``OperandError`` where
    ``embed_dim`` does not divide into heads.

    >>> import flambeau as fb
    >>> x = fb.ones((5, 2, 8))
    >>> output, weights = fb.nn.MultiheadAttention(8, num_heads=2)(x, x, x)
    >>> output.shape, weights.shape
    ((5, 2, 8), (2, 5, 5))

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: DType = default_float,
    ) -> None:
        super().__init__()
        sizes = {"embed_dim": embed_dim, "num_heads": num_heads, "kdim": kdim, "vdim": vdim}
        for what, n in sizes.items():
            if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
                refuse(OperandError(f"MultiheadAttention: {what} must be a positive integer, not {n!r}"))
        if embed_dim % num_heads:
            refuse(
                OperandError(
                    f"MultiheadAttention: embed_dim={embed_dim} does not divide into num_heads={num_heads}"
                )
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        self._packed = self.kdim == embed_dim and self.vdim == embed_dim
        if self._packed:
            self.in_proj_weight = _xavier(3 * embed_dim, embed_dim, dtype)
        else:
            self.q_proj_weight = _xavier(embed_dim, embed_dim, dtype)
            self.k_proj_weight = _xavier(embed_dim, self.kdim, dtype)
            self.v_proj_weight = _xavier(embed_dim, self.vdim, dtype)
        self.in_proj_bias = Parameter(zeros(3 * embed_dim, dtype=dtype)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, dtype=dtype)
        if bias:
            self.out_proj.bias = Parameter(zeros(embed_dim, dtype=dtype))
        self.bias_k = _row(embed_dim, dtype) if add_bias_kv else None
        self.bias_v = _row(embed_dim, dtype) if add_bias_kv else None

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The output, and the weights or None."""
        name = "MultiheadAttention"
        named = (("query", query), ("key", key), ("value", value))
        three = [value_of(x, f"{name}: the {what}") for what, x in named]
        shared = 1
        if three[1] is three[2]:
            shared = 3 if three[0] is three[1] else 2
        operands: list[Any] = three[: 4 - shared]
        if self._packed:
            operands.append(self.in_proj_weight._value)
        else:
            operands += [w._value for w in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)]
        out = self.out_proj
        rest = [self.in_proj_bias, out.weight, out.bias, self.bias_k, self.bias_v]
        operands += [p._value for p in rest if p is not None]
        for mask, what in ((key_padding_mask, "key_padding_mask"), (attn_mask, "attn_mask")):
            if mask is not None:
                operands.append(value_of(mask, f"{name}: {what}"))
        dropout = _dropout_operands(name, self.dropout if self.training else 0.0)
        plan = Heads(
            name,
            self.num_heads,
            self.batch_first,
            shared,
            self._packed,
            self.in_proj_bias is not None,
            self.bias_k is not None,
            self.add_zero_attn,
            key_padding_mask is not None,
            attn_mask is not None,
            bool(is_causal) and attn_mask is None,
            bool(dropout),
            bool(need_weights),
            bool(need_weights and average_attn_weights),
        )
        made = THREAD.tape.record(multihead, (plan,), [*operands, *dropout])
        if need_weights:
            return Tensor(made[0]), Tensor(made[1])
        return Tensor(made), None

    def extra_repr(self) -> str:
        """The sizes, and the options that differ from their defaults."""
        parts = [f"{self.embed_dim}, {self.num_heads}"]
        own = {
            "dropout": (self.dropout, 0.0),
            "bias": (self.in_proj_bias is not None, True),
            "add_bias_kv": (self.bias_k is not None, False),
            "add_zero_attn": (self.add_zero_attn, False),
            "kdim": (self.kdim, self.embed_dim),
            "vdim": (self.vdim, self.embed_dim),
            "batch_first": (self.batch_first, False),
        }
        parts += [f"{name}={value!r}" for name, (value, default) in own.items() if value != default]
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"  # the output projection follows from this


def _xavier(rows: int, columns: int, dtype: DType) -> Parameter:
    return Parameter(init.xavier_uniform_(zeros((rows, columns), dtype=dtype)))


def _row(size: int, dtype: DType) -> Parameter:
    return Parameter(init.xavier_normal_(zeros((1, 1, size), dtype=dtype)))
