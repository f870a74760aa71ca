"""Recurrent and vision layers against PyTorch's with the same weights: values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_cv import Tensor, nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity
X = np.random.default_rng(0).normal(size=(5, 3, 4))  # (T, N, I)


def pair_of(name: str, **settings: Any) -> tuple[Any, Any]:
    """Our layer and PyTorch's, with the same weights, in float64."""
    ours = getattr(nn, name)(4, 6, 2, rng=np.random.default_rng(1), dtype=np.float64, **settings)
    theirs = getattr(torch.nn, name)(4, 6, 2, dtype=torch.float64, **settings)
    theirs.load_state_dict({n: torch.from_numpy(a.copy()) for n, a in ours.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("settings", [{}, {"bidirectional": True}, {"batch_first": True}, {"bias": False}])
@pytest.mark.parametrize("lengths", [None, [5, 2, 3]])
def test_recurrent_layers(name: str, settings: dict[str, Any], lengths: Any) -> None:
    ours, theirs = pair_of(name, **settings)
    x = np.swapaxes(X, 0, 1).copy() if settings.get("batch_first") else X
    a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    one, last = ours(a, lengths=lengths)
    if lengths is None:
        two, final = theirs(b)
    else:
        first = settings.get("batch_first", False)
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            b, lengths, batch_first=first, enforce_sorted=False
        )
        said, final = theirs(packed)
        two, _ = torch.nn.utils.rnn.pad_packed_sequence(said, batch_first=first)
    np.testing.assert_allclose(one.numpy(), two.detach().numpy(), rtol=1e-10, atol=1e-12)
    for ours_last, theirs_last in zip(
        last if name == "LSTM" else [last], final if name == "LSTM" else [final], strict=True
    ):
        np.testing.assert_allclose(
            ours_last.numpy(), theirs_last.detach().numpy(), rtol=1e-10, atol=1e-12
        )
    c = np.random.default_rng(2).normal(size=one.shape)
    ((one * c).sum() + sum((s * s).sum() for s in (last if name == "LSTM" else [last]))).backward()
    (
        (two * torch.from_numpy(c)).sum()
        + sum((s * s).sum() for s in (final if name == "LSTM" else [final]))
    ).backward()
    np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-10, atol=1e-12)
    grads = {n: p.grad.numpy() for n, p in theirs.named_parameters()}
    for n, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad, grads[n], rtol=1e-10, atol=1e-12, err_msg=n)


@pytest.mark.parametrize(
    "name, args, settings, shape",
    [
        ("Conv2d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 7, 6)),
        ("Conv2d", (4, 6, (3, 1)), {"bias": False}, (2, 4, 7, 6)),
        (
            "ConvTranspose2d",
            (4, 6, 3),
            {"stride": 2, "padding": 1, "output_padding": 1},
            (2, 4, 3, 5),
        ),
        ("GroupNorm", (2, 4), {}, (2, 4, 3, 5)),
    ],
)
def test_layers(name: str, args: Any, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    extra = {} if name == "GroupNorm" else {"rng": np.random.default_rng(3)}
    ours = getattr(nn, name)(*args, **settings, **extra, dtype=np.float64)
    theirs = getattr(torch.nn, name)(*args, **settings, dtype=torch.float64)
    theirs.load_state_dict({n: torch.from_numpy(a.copy()) for n, a in ours.state_dict().items()})
    x = np.random.default_rng(4).normal(size=shape)
    a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    one, two = ours(a), theirs(b)
    np.testing.assert_allclose(one.numpy(), two.detach().numpy(), rtol=1e-10, atol=1e-12)
    (one * one).sum().backward()
    (two * two).sum().backward()
    np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-10, atol=1e-10)
    for (n, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=n)
