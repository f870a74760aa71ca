"""The Transformer and its layers against PyTorch's with the same weights: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.sequence.attention import padding_mask
from models.sequence.transformer import Decoder, DecoderLayer, Encoder, EncoderLayer
from tests.test_parity_models import compare, in_dtype, theirs_like
from tinygrad_cv import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity
RNG = np.random.default_rng(0)
SIZES = (8, 2, 12, 0.0)  # d_model, nhead, dim_feedforward, dropout
LENGTHS, TARGETS = np.array([5, 3, 1]), np.array([4, 2, 3])


class Both(nn.Module):
    """An encoder and a decoder, named as in torch.nn.Transformer."""

    def __init__(self, pre_norm: bool, final_norm: bool) -> None:
        settings = {"final_norm": final_norm, "rng": RNG}
        self.encoder = Encoder(2, *SIZES, pre_norm, **settings)
        self.decoder = Decoder(3, *SIZES, pre_norm, **settings)

    def forward(self, source: Any, target: Any) -> Any:
        inside = padding_mask(LENGTHS, 5)[:, None]
        memory = self.encoder(source, inside)
        return self.decoder(target, memory, padding_mask(TARGETS, 4)[:, None], inside, causal=True)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("pre_norm", "final_norm"), [(False, False), (False, True), (True, True)])
def test_the_transformer_with_all_its_masks(pre_norm: bool, final_norm: bool, dtype: Any) -> None:
    ours = in_dtype(Both(pre_norm, final_norm), dtype)
    settings = {
        "batch_first": True,
        "norm_first": pre_norm,
        "dtype": getattr(torch, dtype.__name__),
    }
    theirs = torch.nn.Transformer(8, 2, 2, 3, 12, 0.0, **settings)
    if not final_norm:  # the paper's own has none
        theirs.encoder.norm = theirs.decoder.norm = None
    theirs_like(theirs, ours)
    hidden = {
        "src_key_padding_mask": torch.from_numpy(~padding_mask(LENGTHS, 5)[:, 0]),
        "memory_key_padding_mask": torch.from_numpy(~padding_mask(LENGTHS, 5)[:, 0]),
        "tgt_key_padding_mask": torch.from_numpy(~padding_mask(TARGETS, 4)[:, 0]),
        "tgt_mask": torch.triu(torch.ones(4, 4, dtype=torch.bool), 1),
    }
    arrays = [RNG.normal(size=(3, 5, 8)), RNG.normal(size=(3, 4, 8))]
    compare(ours, lambda x, y: theirs(x, y, **hidden), ours, theirs, arrays, {}, dtype)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_positions_go_to_queries_and_keys_and_not_to_values(pre_norm: bool) -> None:
    """As in DETR: written out with PyTorch's attention."""
    ours = in_dtype(DecoderLayer(*SIZES, pre_norm, rng=RNG), np.float64)
    settings = {"batch_first": True, "norm_first": pre_norm, "dtype": torch.float64}
    theirs = theirs_like(torch.nn.TransformerDecoderLayer(*SIZES, **settings), ours)
    inside = padding_mask(LENGTHS, 5)[:, None]

    def written_out(y: Any, memory: Any, at: Any, memory_at: Any) -> Any:
        def add_and_norm(y: Any, branch: Any, norm: Any) -> Any:
            return y + branch(norm(y)) if pre_norm else norm(y + branch(y))

        own, other = theirs.self_attn, theirs.multihead_attn
        y = add_and_norm(y, lambda y: own(y + at, y + at, y)[0], theirs.norm1)
        mask = torch.from_numpy(~inside[:, 0, 0])
        y = add_and_norm(
            y,
            lambda y: other(y + at, memory + memory_at, memory, key_padding_mask=mask)[0],
            theirs.norm2,
        )
        return add_and_norm(
            y, lambda y: theirs.linear2(torch.relu(theirs.linear1(y))), theirs.norm3
        )

    given = lambda y, memory, at, memory_at: ours(
        y, memory, memory_mask=inside, position=at, memory_position=memory_at
    )  # fmt: skip
    arrays = [RNG.normal(size=shape) for shape in ((3, 4, 8), (3, 5, 8), (3, 4, 8), (3, 5, 8))]
    compare(given, written_out, ours, theirs, arrays, {}, np.float64)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_positions_in_the_encoder(pre_norm: bool) -> None:
    ours = in_dtype(EncoderLayer(*SIZES, pre_norm, rng=RNG), np.float64)
    x, at = RNG.normal(size=(3, 5, 8)), RNG.normal(size=(5, 8))
    settings = {"batch_first": True, "norm_first": pre_norm, "dtype": torch.float64}
    theirs = theirs_like(torch.nn.TransformerEncoderLayer(*SIZES, **settings), ours)

    def written_out(x: Any, at: Any) -> Any:
        if pre_norm:
            z = theirs.norm1(x)
            x = x + theirs.self_attn(z + at, z + at, z)[0]
            return x + theirs.linear2(torch.relu(theirs.linear1(theirs.norm2(x))))
        x = theirs.norm1(x + theirs.self_attn(x + at, x + at, x)[0])
        return theirs.norm2(x + theirs.linear2(torch.relu(theirs.linear1(x))))

    compare(lambda x, at: ours(x, position=at), written_out, ours, theirs, [x, at], {}, np.float64)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_weights_over_the_memory(pre_norm: bool) -> None:
    ours = in_dtype(DecoderLayer(*SIZES, pre_norm, rng=RNG), np.float64)
    settings = {"batch_first": True, "norm_first": pre_norm, "dtype": torch.float64}
    theirs = theirs_like(torch.nn.TransformerDecoderLayer(*SIZES, **settings), ours)
    y, memory, inside = (
        RNG.normal(size=(3, 4, 8)),
        RNG.normal(size=(3, 5, 8)),
        padding_mask(LENGTHS, 5)[:, None],
    )
    weights = ours.weights(y, memory, None, inside, causal=True)
    seen: list[Any] = []
    attention = theirs.multihead_attn.forward

    def watched(*args: Any, **given: Any) -> Any:
        seen.append(
            attention(*args, **given | {"need_weights": True, "average_attn_weights": False})
        )
        return seen[-1]

    theirs.multihead_attn.forward = watched
    hidden = {"memory_key_padding_mask": torch.from_numpy(~inside[:, 0, 0])}
    theirs(
        torch.from_numpy(y),
        torch.from_numpy(memory),
        tgt_mask=torch.triu(torch.ones(4, 4, dtype=torch.bool), 1),
        **hidden,
    )
    np.testing.assert_allclose(weights.numpy(), seen[0][1].detach().numpy(), rtol=1e-10, atol=1e-12)
