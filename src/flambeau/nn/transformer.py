"""Transformers: stacks of layers, and the whole of encoder and decoder."""

from __future__ import annotations

import copy
import math
from typing import Any

from flambeau.dtypes import DType, default_float
from flambeau.errors import OperandError, ShapeError
from flambeau.nn import init
from flambeau.nn.containers import ModuleList
from flambeau.nn.module import Module
from flambeau.nn.norms import LayerNorm
from flambeau.nn.transformer_layers import Activation, TransformerDecoderLayer, TransformerEncoderLayer
from flambeau.ops.creation import full
from flambeau.ops.ranges import triu
from flambeau.ops.record import refuse, value_of
from flambeau.ops.transcendental import relu
from flambeau.primitives.views import shape_text
from flambeau.tensor import Tensor


def _copies(name: str, layer: Any, count: int) -> ModuleList:
    if not isinstance(layer, Module):
        refuse(OperandError(f"{name}: a layer is needed, not {layer!r:.80}"))
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        refuse(OperandError(f"{name}: num_layers must be how many layers there are, not {count!r}"))
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


class TransformerEncoder(Module):
    """``num_layers`` copies of an encoder layer one after another, then ``norm`` if there is one.

    The copies begin with the same parameters, which is why ``Transformer`` draws its own.  Padded
    positions are computed like all others: there are no nested tensors to leave them out.

    >>> import flambeau as fb
    >>> layer = fb.nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> fb.nn.TransformerEncoder(layer, num_layers=2)(fb.ones((5, 3, 8))).shape
    (5, 3, 8)
    """

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies("TransformerEncoder", encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Apply all layers in order."""
        value_of(src, "TransformerEncoder")
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=bool(is_causal))
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """``num_layers`` copies of a decoder layer one after another, then ``norm`` if there is one.

    >>> import flambeau as fb
    >>> layer = fb.nn.TransformerDecoderLayer(d_model=8, nhead=2, dim_feedforward=16)
    >>> fb.nn.TransformerDecoder(layer, num_layers=2)(fb.ones((4, 3, 8)), fb.ones((6, 3, 8))).shape
    (4, 3, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies("TransformerDecoder", decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Apply all layers in order."""
        value_of(tgt, "TransformerDecoder")
        x = tgt
        for layer in self.layers:
            x = layer(
                x,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=bool(tgt_is_causal),
                memory_is_causal=memory_is_causal,
            )
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """An encoder of ``src`` and a decoder of ``tgt`` that attends to what the encoder made.

    Takes ``src`` (S, N, d_model) and ``tgt`` (T, N, d_model), with ``batch_first`` N in front, or
    both without N; gives the shape of ``tgt``.  Masks are those of the layers.
    ``custom_encoder`` and ``custom_decoder`` take the places of the stacks.

    >>> import flambeau as fb
    >>> model = fb.nn.Transformer(8, 2, num_encoder_layers=1, num_decoder_layers=1, dim_feedforward=16)
    >>> mask = fb.nn.Transformer.generate_square_subsequent_mask(4)
    >>> model(fb.ones((6, 3, 8)), fb.ones((4, 3, 8)), tgt_mask=mask).shape
    (4, 3, 8)

    Source: A. Vaswani et al., "Attention is all you need", 2017.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: DType = default_float,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "activation": activation,
            "layer_norm_eps": layer_norm_eps,
            "batch_first": batch_first,
            "norm_first": norm_first,
            "bias": bias,
            "dtype": dtype,
        }

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)

        if custom_encoder is None:
            layer: Module = TransformerEncoderLayer(d_model, nhead, **options)
            custom_encoder = TransformerEncoder(layer, num_encoder_layers, norm())
        if custom_decoder is None:
            layer = TransformerDecoderLayer(d_model, nhead, **options)
            custom_decoder = TransformerDecoder(layer, num_decoder_layers, norm())
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's result for ``tgt``."""
        for what, x in (("src", src), ("tgt", tgt)):
            value_of(x, "Transformer")
            if x.ndim not in (2, 3) or x.shape[-1] != self.d_model:
                lead = "batch, positions" if self.batch_first else "positions, batch"
                refuse(
                    ShapeError(
                        f"Transformer: {what} must have shape ({lead}, {self.d_model}) or "
                        f"(positions, {self.d_model}), not {shape_text(x.shape)}"
                    )
                )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        made: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return made

    @staticmethod
    def generate_square_subsequent_mask(sz: int, dtype: DType = default_float) -> Tensor:
        """What is added to scores so that no position sees a later one: -inf there, 0 elsewhere.

        >>> import flambeau as fb
        >>> fb.nn.Transformer.generate_square_subsequent_mask(2)
        tensor([[  0., -inf],
                [  0.,   0.]])
        """
        return triu(full((sz, sz), -math.inf, dtype=dtype), k=1)
