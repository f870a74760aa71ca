"""Blocks of the models against PyTorch's own layers with the same weights: values, gradients, weights from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.generative.unet import ResidualBlock, UNet, UNetConfig
from models.vision.vit import Block, ViTConfig, bicubic
from tinygrad_cv import Tensor, nn, safetensors
from tinygrad_cv.nn import parameter

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity
F = torch.nn.functional
RNG = np.random.default_rng(0)
TOLERANCE: dict[Any, dict[str, float]] = {
    np.float64: {"rtol": 1e-10, "atol": 1e-11},
    np.float32: {"rtol": 1e-5, "atol": 1e-5},
}


def in_dtype(module: nn.Module, dtype: Any) -> nn.Module:
    """The module with random weights of a dtype, norms' scales near 1."""
    for part in module.modules():
        for name, p in part.named_parameters(recurse=False):
            drawn = RNG.normal(size=p.shape) * 0.4 + ("Norm" in type(part).__name__)
            setattr(part, name, parameter(drawn.astype(dtype)))
    return module


def theirs_like(module: Any, ours: nn.Module, names: dict[str, str] | None = None) -> Any:
    """PyTorch's module with our weights, whose names are ours but for `names`."""
    state = {n: torch.from_numpy(a.copy()) for n, a in ours.state_dict().items()}
    for old, new in (names or {}).items():
        state = {n.replace(old, new): a for n, a in state.items()}
    module.load_state_dict(state)
    return module


def compare(ours: Any, theirs: Any, a: nn.Module, b: Any, arrays: list[Any], names: dict[str, str], dtype: Any) -> None:
    """Values and all gradients at a random cotangent."""
    x = [Tensor(v.astype(dtype), requires_grad=True) for v in arrays]
    y = [torch.tensor(v.astype(dtype), requires_grad=True) for v in arrays]
    one, two = ours(*x), theirs(*y)
    np.testing.assert_allclose(one.numpy(), two.detach().numpy(), **TOLERANCE[dtype])
    c = RNG.normal(size=one.shape).astype(dtype)
    (one * c).sum().backward()
    (two * torch.from_numpy(c)).sum().backward()
    for left, right in zip(x, y, strict=True):
        np.testing.assert_allclose(left.grad, right.grad.numpy(), **TOLERANCE[dtype])
    grads = {n: p.grad.numpy() for n, p in b.named_parameters()}
    for name, p in a.named_parameters():
        for old, new in names.items():
            name = name.replace(old, new)
        scale = max(1.0, np.abs(grads[name]).max())
        np.testing.assert_allclose(p.grad / scale, grads[name] / scale, **TOLERANCE[dtype], err_msg=name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["self", "cross", "causal", "mask", "added mask"])
def test_multi_head_attention(kind: str, dtype: Any) -> None:
    ours = in_dtype(nn.MultiheadAttention(8, 2, rng=RNG), dtype)
    theirs = theirs_like(
        torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=getattr(torch, dtype.__name__)), ours
    )
    query, key = RNG.normal(size=(3, 5, 8)), RNG.normal(size=(3, 4, 8))
    allowed = RNG.random((5, 4)) < 0.6
    allowed[:, 0] = True
    added = RNG.normal(size=(5, 4)).astype(dtype)
    if kind in ("self", "causal"):
        hidden = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if kind == "causal" else None
        f = lambda q: ours(q, causal=kind == "causal")
        g = lambda q: theirs(q, q, q, attn_mask=hidden, need_weights=False)[0]
        compare(f, g, ours, theirs, [query], {}, dtype)
        return
    mask = {"cross": None, "mask": allowed, "added mask": added}[kind]
    other = {"cross": None, "mask": torch.from_numpy(~allowed), "added mask": torch.from_numpy(added)}[kind]
    f = lambda q, k: ours(q, k, mask=mask)  # type: ignore[misc]
    g = lambda q, k: theirs(q, k, k, attn_mask=other, need_weights=False)[0]  # type: ignore[misc]
    compare(f, g, ours, theirs, [query, key], {}, dtype)


def test_attention_maps_are_pytorchs_weights() -> None:
    ours = in_dtype(nn.MultiheadAttention(8, 2, rng=RNG), np.float64)
    theirs = theirs_like(torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64), ours)
    x = RNG.normal(size=(3, 5, 8))
    weights = theirs(*[torch.from_numpy(x)] * 3, average_attn_weights=False)[1]
    np.testing.assert_allclose(ours.weights(x).numpy(), weights.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_vit_block_is_a_pre_norm_encoder_layer(dtype: Any) -> None:
    config = ViTConfig(hidden_size=8, num_attention_heads=2, intermediate_size=12, hidden_act="gelu")
    ours = in_dtype(Block(config, 0.0, rng=RNG), dtype)
    names = {"attention.": "self_attn.", "mlp.0.": "linear1.", "mlp.3.": "linear2."}
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 12, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True, dtype=getattr(torch, dtype.__name__)
    )
    compare(ours, theirs_like(theirs, ours, names), ours, theirs, [RNG.normal(size=(3, 5, 8))], names, dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_residual_block_of_the_unet(dtype: Any) -> None:
    ours = in_dtype(ResidualBlock(4, 6, 10, UNetConfig(groups=2, dropout=0.0), rng=RNG), dtype)

    class Theirs(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = torch.nn.GroupNorm(2, 4), torch.nn.GroupNorm(2, 6)
            self.conv1, self.conv2 = torch.nn.Conv2d(4, 6, 3, padding=1), torch.nn.Conv2d(6, 6, 3, padding=1)
            self.time, self.shortcut = torch.nn.Linear(10, 6), torch.nn.Conv2d(4, 6, 1)

        def forward(self, x: Any, time: Any) -> Any:
            h = self.conv1(F.silu(self.norm1(x))) + self.time(time)[..., None, None]
            return self.conv2(F.silu(self.norm2(h))) + self.shortcut(x)

    theirs = theirs_like(Theirs().to(getattr(torch, dtype.__name__)), ours)
    compare(ours, theirs, ours, theirs, [RNG.normal(size=(2, 4, 6, 5)), RNG.normal(size=(2, 10))], {}, dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_whole_unet(dtype: Any) -> None:
    """The twin that the benchmark races; in float32 wide enough for Winograd, whose error adds up over eleven layers."""
    from benchmarks.speed.torch_unet import UNet as TheirUNet

    config = UNetConfig(base=32, multipliers=(1, 2), attention=(1,), classes=3, dropout=0.0)
    ours = UNet(config, rng=np.random.default_rng(0))
    for part in ours.modules():
        for name, p in part.named_parameters(recurse=False):
            array = p.data
            drawn = array if array.any() else 0.1 * RNG.standard_normal(array.shape)  # the silent layers speak
            setattr(part, name, parameter(drawn.astype(dtype)))
    theirs = theirs_like(TheirUNet(config).to(getattr(torch, dtype.__name__)), ours)
    x, t, labels = RNG.normal(size=(16, 1, 12, 12)).astype(dtype), RNG.integers(1, 1000, 16), RNG.integers(0, 4, 16)
    one, two = ours(x, t, labels), theirs(*map(torch.from_numpy, (x, t, labels)))
    c = RNG.normal(size=one.shape).astype(dtype)
    (one * c).sum().backward()
    (two * torch.from_numpy(c)).sum().backward()
    tolerance = {np.float64: 1e-10, np.float32: 2e-5}[dtype]
    pairs = {"value": (one.numpy(), two.detach().numpy())}
    grads = dict(theirs.named_parameters())
    pairs |= {n: (p.grad, grads[n].grad.numpy()) for n, p in ours.named_parameters()}
    for name, (a, b) in pairs.items():
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max(), name


@pytest.mark.parametrize("old, new", [(4, 7), (7, 4), (5, 5), (2, 9), (1, 3)])
def test_bicubic_interpolation(old: int, new: int) -> None:
    table = RNG.normal(size=(old, old))
    ours = bicubic(old, new) @ table @ bicubic(old, new).T
    theirs = F.interpolate(torch.from_numpy(table)[None, None], (new, new), mode="bicubic", align_corners=False)
    np.testing.assert_allclose(ours, theirs[0, 0].numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (lambda: nn.Conv2d(4, 6, 3, padding=1, rng=RNG), lambda: torch.nn.Conv2d(4, 6, 3, padding=1), (2, 4, 5, 6)),
        (lambda: nn.ConvTranspose2d(4, 6, 3, 2, rng=RNG), lambda: torch.nn.ConvTranspose2d(4, 6, 3, 2), (2, 4, 5, 6)),
        (lambda: nn.GroupNorm(2, 4), lambda: torch.nn.GroupNorm(2, 4), (2, 4, 5, 6)),
        (lambda: nn.LayerNorm(6), lambda: torch.nn.LayerNorm(6), (2, 4, 6)),
        (lambda: nn.Embedding(5, 6, rng=RNG), lambda: torch.nn.Embedding(5, 6), None),
        (
            lambda: nn.MultiheadAttention(6, 2, rng=RNG),
            lambda: torch.nn.MultiheadAttention(6, 2, batch_first=True),
            (2, 4, 6),
        ),
        (lambda: nn.BatchNorm1d(4), lambda: torch.nn.BatchNorm1d(4), (8, 4)),
        (lambda: nn.BatchNorm2d(4), lambda: torch.nn.BatchNorm2d(4), (3, 4, 5, 6)),
        (lambda: nn.RNN(6, 5, 2, rng=RNG), lambda: torch.nn.RNN(6, 5, 2), (7, 3, 6)),
        (lambda: nn.GRU(6, 5, 2, rng=RNG), lambda: torch.nn.GRU(6, 5, 2), (7, 3, 6)),
        (
            lambda: nn.LSTM(6, 5, 2, bidirectional=True, rng=RNG),
            lambda: torch.nn.LSTM(6, 5, 2, bidirectional=True),
            (7, 3, 6),
        ),
    ],
)
def test_a_state_dict_saved_by_pytorch_gives_the_same_outputs(
    ours: Any, theirs: Any, shape: Any, tmp_path: Path
) -> None:
    save = pytest.importorskip("safetensors.torch").save_file
    a, b = ours(), theirs()
    save(b.state_dict(), tmp_path / "weights.safetensors")
    a.load_state_dict(safetensors.load(tmp_path / "weights.safetensors"))
    first = lambda y: y[0] if isinstance(y, tuple) else y
    if shape is None:
        indices = RNG.integers(0, 5, (3, 4))
        compare(lambda: a(indices), lambda: b(torch.from_numpy(indices)), a, b, [], {}, np.float32)
        return
    theirs = (lambda x: b(x, x, x)) if isinstance(b, torch.nn.MultiheadAttention) else b
    compare(lambda x: first(a(x)), lambda x: first(theirs(x)), a, b, [RNG.normal(size=shape)], {}, np.float32)
