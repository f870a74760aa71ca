"""Recurrent layers: states that are handed on, lengths, directions, errors."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import nn

X = np.random.default_rng(0).normal(size=(6, 3, 4))  # (T, N, I)


def layer(name: str, **settings: Any) -> Any:
    return getattr(nn, name)(4, 5, 2, rng=np.random.default_rng(1), dtype=np.float64, **settings)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_a_sequence_in_two_halves_is_the_whole_sequence(name: str) -> None:
    net = layer(name)
    whole, last = net(tg.Tensor(X))
    first, state = net(tg.Tensor(X[:2]))
    second, end = net(tg.Tensor(X[2:]), state)
    np.testing.assert_allclose(
        np.concatenate([first.numpy(), second.numpy()]), whole.numpy(), rtol=1e-12
    )
    for a, b in zip(
        end if name == "LSTM" else [end], last if name == "LSTM" else [last], strict=True
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_never_changes_a_result(name: str, bidirectional: bool) -> None:
    net = layer(name, bidirectional=bidirectional)
    lengths = np.array([6, 2, 4])
    padded = X.copy()
    for k, n in enumerate(lengths):
        padded[n:, k] = 1e3
    said, last = net(tg.Tensor(padded), lengths=lengths)
    for k, n in enumerate(lengths):
        alone, end = net(tg.Tensor(X[:n, k : k + 1]))
        np.testing.assert_allclose(said.numpy()[:n, k], alone.numpy()[:, 0], rtol=1e-12)
        assert not said.numpy()[n:, k].any()
        for a, b in zip(
            last if name == "LSTM" else [last], end if name == "LSTM" else [end], strict=True
        ):
            np.testing.assert_allclose(a.numpy()[:, k], b.numpy()[:, 0], rtol=1e-12)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("chunk", [1, 50, 150])  # elements: one step at a time, several, all
def test_chunks_of_any_length_give_the_same_gradients(name: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for size in (1 << 19, chunk):
        monkeypatch.setattr(importlib.import_module("tinygrad_cv.kernels.rnn"), "RNN_CHUNK", size)
        net, x = layer(name), tg.Tensor(X, requires_grad=True)
        said, _ = net(x, lengths=np.array([6, 2, 4]))
        (said * X[..., :1]).sum().backward()
        results.append([said.numpy(), x.grad, *(p.grad for p in net.parameters())])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-13)


def test_shapes_that_do_not_fit_are_named() -> None:
    weights = [np.zeros(s) for s in ((5, 4), (5, 5), (5,), (5,))]
    with pytest.raises(
        ValueError, match=r"weight_ih has shape \(5, 4\); for x \(6, 3, 2\) .* it is \(5, 2\)"
    ):
        tg.kernels.rnn(X[..., :2], np.zeros((3, 5)), *weights)
    with pytest.raises(ValueError, match="one of tanh, relu, not 'sin'"):
        layer("RNN", nonlinearity="sin")(tg.Tensor(X))
    assert "4, 5, num_layers=2, bidirectional=True" in repr(layer("GRU", bidirectional=True))


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize(
    ("x", "lengths", "message"),
    [
        (X[0], None, r"the input, in the order \(T, N, I\), has shape \(3, 4\); I is 4"),
        (X[..., :3], None, r"has shape \(6, 3, 3\); I is 4"),
        (X[:0], None, r"has shape \(0, 3, 4\)"),
        (
            X,
            [6, 2],
            r"lengths is a whole number from 1 to T = 6 for each of the 3 sequences, not \[6, 2\]",
        ),
        (X, [6, 2, 7], "not .*7"),
        (X, [6, 2, 0], "not .*0"),
        (X, [6.0, 2.0, 1.0], "not .*6.0"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, x: np.ndarray, lengths: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        layer(name)(x, lengths=lengths)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_a_state_of_another_shape_is_refused(name: str) -> None:
    state = (np.zeros((1, 3, 5)),) * (2 if name == "LSTM" else 1)
    with pytest.raises(ValueError, match=r"arrays of shape \(2, 3, 5\), not \(1, 3, 5\)"):
        layer(name)(X, state if name == "LSTM" else state[0])
    with pytest.raises(ValueError, match="hidden_size is at least 1, not 0"):
        getattr(nn, name)(4, 0, rng=np.random.default_rng(0))
