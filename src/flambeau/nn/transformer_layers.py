"""Layers of transformers: attention and a network of two dense layers, each added to its input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.dtypes import DType, default_float
from flambeau.errors import OperandError
from flambeau.nn.attention import MultiheadAttention
from flambeau.nn.dropout import Dropout
from flambeau.nn.linear import Linear
from flambeau.nn.module import Module
from flambeau.nn.norms import LayerNorm
from flambeau.nn.rectifiers import gelu
from flambeau.ops.record import refuse, value_of
from flambeau.ops.transcendental import relu
from flambeau.tensor import Tensor

Activation = str | Callable[[Tensor], Tensor]
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": relu, "gelu": gelu}


class _Layer(Module):
    """What the layers share: self-attention, the dense network, and where norms stand."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: Activation,
        layer_norm_eps: float,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        dtype: DType,
        memory: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if isinstance(activation, str):
            if activation not in _ACTIVATIONS:
                refuse(
                    OperandError(
                        f"{name}: activation must be 'relu', 'gelu' or a function, not {activation!r}"
                    )
                )
            activation = _ACTIVATIONS[activation]
        elif not callable(activation):
            refuse(
                OperandError(f"{name}: activation must be 'relu', 'gelu' or a function, not {activation!r}")
            )
        count = 3 if memory else 2

        def attention() -> MultiheadAttention:
            return MultiheadAttention(
                d_model, nhead, dropout, bias=bias, batch_first=batch_first, dtype=dtype
            )

        self.self_attn = attention()
        if memory:
            self.multihead_attn = attention()
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, dtype=dtype)
        self.norm_first = norm_first
        for i in range(1, count + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype))
        for i in range(1, count + 1):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = activation

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))  # type: ignore[no-any-return]

    def _add(self, number: int, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """``x`` and a part of the layer added to it, with norm and dropout of the given number."""
        norm, dropout = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        if self.norm_first:
            return x + dropout(part(norm(x)))  # type: ignore[no-any-return]
        return norm(x + dropout(part(x)))  # type: ignore[no-any-return]


class TransformerEncoderLayer(_Layer):
    """Self-attention, then a network of two dense layers, each added to its input and normalized.

    Takes ``src`` of shape (S, N, d_model), with ``batch_first`` (N, S, d_model), or (S, d_model);
    gives the same shape.  ``src_mask``, ``src_key_padding_mask`` and ``is_causal`` are those of
    ``MultiheadAttention``.  With ``norm_first`` norms stand before each part instead of behind.
    ``activation`` is "relu", "gelu" or a function of tensors.

    >>> import flambeau as fb
    >>> layer = fb.nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> layer(fb.ones((5, 3, 8)), is_causal=True).shape
    (5, 3, 8)

    Source: A. Vaswani et al., "Attention is all you need", 2017; norms first: R. Xiong et al., 2020.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: DType = default_float,
    ) -> None:
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            dtype,
            memory=False,
        )

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Apply the layer."""
        value_of(src, "TransformerEncoderLayer")

        def attended(x: Tensor) -> Tensor:
            return _first(
                self.self_attn(
                    x,
                    x,
                    x,
                    attn_mask=src_mask,
                    key_padding_mask=src_key_padding_mask,
                    need_weights=False,
                    is_causal=is_causal,
                )
            )

        return self._add(2, self._add(1, src, attended), self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to the encoder's result, then a network of two dense layers.

    Takes ``tgt`` of shape (T, N, d_model) and ``memory`` (S, N, d_model), with ``batch_first`` N in
    front, or both without N; gives the shape of ``tgt``.  Masks are those of ``MultiheadAttention``,
    for the attention to ``tgt`` and to ``memory``; options those of ``TransformerEncoderLayer``.

    >>> import flambeau as fb
    >>> layer = fb.nn.TransformerDecoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> layer(fb.ones((4, 3, 8)), fb.ones((6, 3, 8)), tgt_is_causal=True).shape
    (4, 3, 8)

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: DType = default_float,
    ) -> None:
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            dtype,
            memory=True,
        )

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Apply the layer."""
        value_of(tgt, "TransformerDecoderLayer")
        value_of(memory, "TransformerDecoderLayer: memory")

        def attended(x: Tensor) -> Tensor:
            return _first(
                self.self_attn(
                    x,
                    x,
                    x,
                    attn_mask=tgt_mask,
                    key_padding_mask=tgt_key_padding_mask,
                    need_weights=False,
                    is_causal=tgt_is_causal,
                )
            )

        def remembered(x: Tensor) -> Tensor:
            return _first(
                self.multihead_attn(
                    x,
                    memory,
                    memory,
                    attn_mask=memory_mask,
                    key_padding_mask=memory_key_padding_mask,
                    need_weights=False,
                    is_causal=memory_is_causal,
                )
            )

        x = self._add(2, self._add(1, tgt, attended), remembered)
        return self._add(3, x, self._feed_forward)


def _first(made: Any) -> Tensor:
    """The output of an attention without its weights."""
    output: Tensor = made[0]
    return output
