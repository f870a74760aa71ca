"""Recurrent layers: each over all time steps is one operation.

x (T, N, I) is read from t = 0 on, from the state h0 (N, H); the weights have PyTorch's layout, one block of H rows a
gate: weight_ih (gates H, I), weight_hh (gates H, H), bias_ih and bias_hh (gates H,). The input's projection of all steps
is one product; the backward pass goes back through the steps once and leaves the weights' gradients to three products.
Where `lengths` (N,) are given, a sequence that has ended keeps its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .activation import sigmoid
from .kernel import kernel

NONLINEARITIES = ("tanh", "relu")


# ------------------------------------------------------------------------------------------------------- the plain RNN


@kernel
def rnn(
    x: Any, h0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, *, nonlinearity: str = "tanh",
    lengths: Any = None,
) -> Any:  # fmt: skip
    """h_t = tanh(x_t weight_ih^T + bias_ih + h_(t-1) weight_hh^T + bias_hh), or relu (Elman 1990): (T, N, H)."""
    h, states = h0, []
    for t in range(len(x)):
        a = x[t] @ np.matrix_transpose(weight_ih) + bias_ih + h @ np.matrix_transpose(weight_hh) + bias_hh
        h = _alive(np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0), h, lengths, t)
        states.append(h)
    return np.stack(states)


@rnn.forward
def _(
    x: Any, h0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, nonlinearity: str, lengths: Any
) -> Any:
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(f"the nonlinearity is one of {', '.join(NONLINEARITIES)}, not {nonlinearity!r}")
    projected = project(x, h0, weight_ih, weight_hh, bias_ih + bias_hh, 1)
    h, states = h0, np.empty((len(x), *h0.shape), projected.dtype)
    back = np.ascontiguousarray(weight_hh.T)
    for t, a in enumerate(projected):
        a += h @ back
        new = np.tanh(a, out=a) if nonlinearity == "tanh" else np.maximum(a, 0, out=a)
        states[t] = h = _alive(new, h, lengths, t)
    return states, None


@rnn.backward
def _(
    g: Any, y: Any, x: Any, h0: Any, weight_ih: Any, weight_hh: Any, nonlinearity: str, lengths: Any,
    needs: Sequence[bool],
) -> Any:  # fmt: skip
    """da_t = (g_t + da_(t+1) weight_hh) (1 - h_t^2)."""
    da = np.empty_like(y)
    carried = np.zeros_like(h0)
    for t in range(len(x) - 1, -1, -1):
        dh = g[t] + carried
        slope = 1 - y[t] * y[t] if nonlinearity == "tanh" else (y[t] > 0).astype(y.dtype)
        da[t] = _alive(dh * slope, 0, lengths, t)
        carried = _alive(da[t] @ weight_hh, dh, lengths, t)
    return gradients(da, da, x, h0, y, weight_ih, carried, needs)


# ------------------------------------------------------------------------------------------------------------ the LSTM


@kernel
def lstm(
    x: Any, h0: Any, c0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, *, lengths: Any = None
) -> Any:
    """Hidden states and cells (T, N, H) of the LSTM (Hochreiter & Schmidhuber 1997, with Gers's forget gate):

    i, f, o = sigmoid(...), z = tanh(...); c_t = f c_(t-1) + i z; h_t = o tanh(c_t). The blocks of the weights are i, f, z, o.
    """
    h, c, states, cells = h0, c0, [], []
    for t in range(len(x)):
        a = x[t] @ np.matrix_transpose(weight_ih) + bias_ih + h @ np.matrix_transpose(weight_hh) + bias_hh
        i, f, z, o = np.split(a, 4, axis=-1)
        new = sigmoid.reference(f) * c + sigmoid.reference(i) * np.tanh(z)
        h = _alive(sigmoid.reference(o) * np.tanh(new), h, lengths, t)
        c = _alive(new, c, lengths, t)
        states.append(h)
        cells.append(c)
    return np.stack(states), np.stack(cells)


@lstm.forward
def _(
    x: Any, h0: Any, c0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, lengths: Any
) -> Any:  # fmt: skip
    gates = project(x, h0, weight_ih, weight_hh, bias_ih + bias_hh, 4)  # (T, N, 4 H), activated in place
    states, cells = (np.empty((len(x), *h0.shape), gates.dtype) for _ in range(2))
    squashed = np.empty_like(cells)  # tanh(c)
    size = h0.shape[1]
    h, c, back = h0, c0, np.ascontiguousarray(weight_hh.T)
    for t, a in enumerate(gates):
        a += h @ back
        a[:, : 2 * size] = sigmoid._forward(a[:, : 2 * size])[0]
        a[:, 3 * size :] = sigmoid._forward(a[:, 3 * size :])[0]
        np.tanh(a[:, 2 * size : 3 * size], out=a[:, 2 * size : 3 * size])
        i, f, z, o = np.split(a, 4, axis=1)
        new = f * c + i * z
        np.tanh(new, out=squashed[t])
        states[t] = h = _alive(o * squashed[t], h, lengths, t)
        cells[t] = c = _alive(new, c, lengths, t)
    return (states, cells), (gates, squashed)


@lstm.backward
def _(
    g: Any, y: Any, saved: Any, x: Any, h0: Any, c0: Any, weight_ih: Any, weight_hh: Any, lengths: Any,
    needs: Sequence[bool],
) -> Any:  # fmt: skip
    (gates, squashed), (states, cells), (g_states, g_cells) = saved, y, g
    da = np.empty_like(gates)
    dh, dc = np.zeros_like(h0), np.zeros_like(c0)
    for t in range(len(x) - 1, -1, -1):
        i, f, z, o = np.split(gates[t], 4, axis=1)
        dh, dc = dh + g_states[t], dc + g_cells[t]
        inside = dc + dh * o * (1 - squashed[t] * squashed[t])
        before = cells[t - 1] if t else c0
        parts = inside * z * i * (1 - i), inside * before * f * (1 - f), inside * i * (1 - z * z), dh * squashed[t] * o * (1 - o)
        da[t] = _alive(np.concatenate(parts, axis=1), 0, lengths, t)
        dh = _alive(da[t] @ weight_hh, dh, lengths, t)
        dc = _alive(inside * f, dc, lengths, t)
    dx, dh0, *weights = gradients(da, da, x, h0, states, weight_ih, dh, [n for k, n in enumerate(needs) if k != 2])
    return dx, dh0, dc, *weights


# ------------------------------------------------------------------------------------------------------------- the GRU


@kernel
def gru(
    x: Any, h0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, *, lengths: Any = None
) -> Any:  # fmt: skip
    """Hidden states (T, N, H) of the GRU (Cho et al. 2014, with the reset inside the product, as in PyTorch and cuDNN):

    r, z = sigmoid(...), n = tanh(x_t W_n^T + b_n + r (h_(t-1) U_n^T + c_n)); h_t = (1 - z) n + z h_(t-1). The blocks are r,
    z, n.
    """
    h, states = h0, []
    for t in range(len(x)):
        xr, xz, xn = np.split(x[t] @ np.matrix_transpose(weight_ih) + bias_ih, 3, axis=-1)
        hr, hz, hn = np.split(h @ np.matrix_transpose(weight_hh) + bias_hh, 3, axis=-1)
        r, z = sigmoid.reference(xr + hr), sigmoid.reference(xz + hz)
        h = _alive((1 - z) * np.tanh(xn + r * hn) + z * h, h, lengths, t)
        states.append(h)
    return np.stack(states)


@gru.forward
def _(x: Any, h0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, lengths: Any) -> Any:
    gates = project(x, h0, weight_ih, weight_hh, bias_ih, 3)  # (T, N, 3 H), activated in place
    states, inner = (np.empty((len(x), *h0.shape), gates.dtype) for _ in range(2))
    size, h, back = h0.shape[1], h0, np.ascontiguousarray(weight_hh.T)
    for t, a in enumerate(gates):
        b = h @ back + bias_hh
        inner[t] = b[:, 2 * size :]
        a[:, : 2 * size] = sigmoid._forward(a[:, : 2 * size] + b[:, : 2 * size])[0]
        r, z, n = np.split(a, 3, axis=1)
        np.tanh(n + r * inner[t], out=n)
        states[t] = h = _alive(n + z * (h - n), h, lengths, t)
    return states, (gates, inner)


@gru.backward
def _(
    g: Any, y: Any, saved: Any, x: Any, h0: Any, weight_ih: Any, weight_hh: Any, lengths: Any, needs: Sequence[bool]
) -> Any:
    gates, inner = saved
    da, db = np.empty_like(gates), np.empty_like(gates)  # of the input's and of the state's projection
    dh = np.zeros_like(h0)
    for t in range(len(x) - 1, -1, -1):
        r, z, n = np.split(gates[t], 3, axis=1)
        dh = dh + g[t]
        before = y[t - 1] if t else h0
        dn = dh * (1 - z) * (1 - n * n)
        dr, dz = dn * inner[t] * r * (1 - r), dh * (before - n) * z * (1 - z)
        da[t] = _alive(np.concatenate([dr, dz, dn], axis=1), 0, lengths, t)
        db[t] = _alive(np.concatenate([dr, dz, dn * r], axis=1), 0, lengths, t)
        dh = _alive(dh * z + db[t] @ weight_hh, dh, lengths, t)
    return gradients(da, db, x, h0, y, weight_ih, dh, needs)


# ------------------------------------------------------------------------------------------------------ what they share


def project(x: np.ndarray, h0: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias: Any, gates: int) -> Any:
    """x weight_ih^T + bias for all steps at once: (T, N, I) -> (T, N, gates H)."""
    size = h0.shape[-1]
    shapes = {"weight_ih": (weight_ih, (gates * size, x.shape[-1])), "weight_hh": (weight_hh, (gates * size, size))}
    for name, (weight, shape) in shapes.items():
        if weight.shape != shape:
            raise ValueError(f"{name} has shape {weight.shape}; for x {x.shape} and h0 {h0.shape} it is {shape}")
    if x.ndim != 3 or h0.shape != (x.shape[1], size):
        raise ValueError(f"x of shape {x.shape} and h0 of shape {h0.shape} do not fit: they are (T, N, I) and (N, H)")
    rows = x.reshape(-1, x.shape[-1]) @ weight_ih.T  # (T N, gates H)
    rows += bias
    return rows.reshape(*x.shape[:2], -1)


def gradients(
    da: np.ndarray, db: np.ndarray, x: np.ndarray, h0: np.ndarray, states: np.ndarray, weight_ih: np.ndarray, dh0: Any,
    needs: Sequence[bool],
) -> tuple[Any, ...]:  # fmt: skip
    """Of x, h0, the weights and the biases, from those of the two projections (T, N, gates H)."""
    a, b = da.reshape(-1, da.shape[-1]), db.reshape(-1, db.shape[-1])  # (T N, gates H)
    before = np.concatenate([h0[None], states[:-1]]).reshape(len(b), -1)  # (T N, H)
    return (
        (a @ weight_ih).reshape(x.shape) if needs[0] else None,
        dh0,
        a.T @ x.reshape(len(a), -1) if needs[2] else None,
        b.T @ before if needs[3] else None,
        a.sum(axis=0) if needs[4] else None,
        b.sum(axis=0) if needs[5] else None,
    )


def _alive(new: Any, old: Any, lengths: Any, t: int) -> Any:
    """The new state of the sequences that go on at step t, the old one of those that have ended."""
    return new if lengths is None else np.where(np.less(t, lengths)[:, None], new, old).astype(new.dtype)
