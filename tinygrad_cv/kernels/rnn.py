"""Recurrent layers: each over all time steps is one operation.

x (T, N, I) is read from t = 0 on, from the state h0 (N, H); the weights have PyTorch's layout, one block of H rows a
gate: weight_ih (gates H, I), weight_hh (gates H, H), bias_ih and bias_hh (gates H,). The input's projection of all steps
is one product; the backward pass goes back through the steps once and leaves the weights' gradients to three products.
Steps write into memory that is there already. Where `lengths` (N,) are given, a sequence that has ended keeps its state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .activation import sigmoid
from .kernel import kernel
from .reduction import total

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
    states, h, back = project(x, h0, weight_ih, weight_hh, bias_ih + bias_hh, 1)  # (T, N, H), activated in place
    recurrent = np.empty(h.shape, h.dtype)
    for t, a in enumerate(states):
        a += np.dot(h, back, out=recurrent)
        np.tanh(a, out=a) if nonlinearity == "tanh" else np.maximum(a, 0, out=a)
        _hold(a, h, lengths, t)
        h = a
    return states, None


@rnn.backward
def _(
    g: Any, y: Any, x: Any, h0: Any, weight_ih: Any, weight_hh: Any, nonlinearity: str, lengths: Any,
    needs: Sequence[bool],
) -> Any:  # fmt: skip
    """da_t = (g_t + da_(t+1) weight_hh) (1 - h_t^2)."""
    if nonlinearity == "tanh":
        da = np.multiply(y, y, order="C")
        np.subtract(1, da, out=da)
    else:
        da = (y > 0).astype(y.dtype)
    dh, carried = np.zeros((2, *y.shape[1:]), y.dtype)
    weight_hh = weight_hh.astype(y.dtype, copy=False)
    for t in range(len(x) - 1, -1, -1):
        np.add(g[t], carried, out=dh)
        da[t] *= dh
        _hold(da[t], 0, lengths, t)
        np.dot(da[t], weight_hh, out=carried)
        _hold(carried, dh, lengths, t)
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
    """All gates are squashed by one tanh, since sigmoid(a) = (1 + tanh(a / 2)) / 2."""
    gates, h, back = project(x, h0, weight_ih, weight_hh, bias_ih + bias_hh, 4)  # (T, N, 4 H), activated in place
    states, cells, squashed = (np.empty((len(x), *h.shape), h.dtype) for _ in range(3))
    half = np.repeat(np.array([0.5, 0.5, 1, 0.5], h.dtype), h.shape[1])  # i, f, z, o
    c, shift, recurrent, fresh = c0.astype(h.dtype, copy=False), 1 - half, np.empty(gates.shape[1:], h.dtype), np.empty(h.shape, h.dtype)
    for t, a in enumerate(gates):
        a += np.dot(h, back, out=recurrent)
        _squash(a, half, shift)
        i, f, z, o = _blocks(a, 4)
        new = np.multiply(f, c, out=cells[t])
        new += np.multiply(i, z, out=fresh)
        np.tanh(new, out=squashed[t])
        np.multiply(o, squashed[t], out=states[t])
        _hold(states[t], h, lengths, t)
        _hold(new, c, lengths, t)
        h, c = states[t], new
    return (states, cells), (gates, squashed)


@lstm.backward
def _(
    g: Any, y: Any, saved: Any, x: Any, h0: Any, c0: Any, weight_ih: Any, weight_hh: Any, lengths: Any,
    needs: Sequence[bool],
) -> Any:  # fmt: skip
    """Inside the step dc_t = dc_t + dh_t o (1 - tanh(c_t)^2); each gate's da is that (for o: dh_t) times the gate's partner
    in its product times its own slope, s (1 - s) of a sigmoid and 1 - z^2 of a tanh."""
    (gates, squashed), (states, cells), (g_states, g_cells) = saved, y, g
    da = np.empty_like(gates)
    dh, dc, inside, through, slope, carried_h, carried_c = np.zeros((7, *cells.shape[1:]), cells.dtype)
    weight_hh, c0 = weight_hh.astype(dh.dtype, copy=False), c0.astype(dh.dtype, copy=False)
    for t in range(len(x) - 1, -1, -1):
        i, f, z, o = _blocks(gates[t], 4)
        di, df, dz, do = _blocks(da[t], 4)
        np.add(carried_h, g_states[t], out=dh)
        np.add(carried_c, g_cells[t], out=dc)
        np.multiply(dh, o, out=through)
        np.multiply(squashed[t], squashed[t], out=slope)
        np.multiply(through, np.subtract(1, slope, out=slope), out=inside)
        inside += dc
        np.multiply(through, squashed[t], out=do)
        do -= np.multiply(do, o, out=slope)
        np.multiply(inside, i, out=through)
        np.multiply(through, z, out=di)
        np.subtract(through, np.multiply(di, z, out=slope), out=dz)
        di -= np.multiply(di, i, out=slope)
        np.multiply(inside, f, out=carried_c)
        np.multiply(carried_c, cells[t - 1] if t else c0, out=df)
        df -= np.multiply(df, f, out=slope)
        _hold(da[t], 0, lengths, t)
        np.dot(da[t], weight_hh, out=carried_h)
        _hold(carried_h, dh, lengths, t)
        _hold(carried_c, dc, lengths, t)
    rest = [n for k, n in enumerate(needs) if k != 2]
    dx, dh0, *weights = gradients(da, da, x, h0, states, weight_ih, carried_h, rest)
    return dx, dh0, carried_c, *weights


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
    gates, h, back = project(x, h0, weight_ih, weight_hh, bias_ih, 3)  # (T, N, 3 H), activated in place
    states, inner = (np.empty((len(x), *h.shape), h.dtype) for _ in range(2))
    size, half, recurrent = h.shape[1], h.dtype.type(0.5), np.empty(gates.shape[1:], h.dtype)
    bias_hh, fresh = bias_hh.astype(h.dtype, copy=False), np.empty(h.shape, h.dtype)
    for t, a in enumerate(gates):
        np.dot(h, back, out=recurrent)
        recurrent += bias_hh
        inner[t] = recurrent[:, 2 * size :]
        rz, (r, z, n) = a[:, : 2 * size], _blocks(a, 3)
        rz += recurrent[:, : 2 * size]
        _squash(rz, half, half)
        n += np.multiply(r, inner[t], out=fresh)
        np.tanh(n, out=n)
        new = np.subtract(h, n, out=states[t])
        new *= z
        new += n
        _hold(new, h, lengths, t)
        h = new
    return states, (gates, inner)


@gru.backward
def _(
    g: Any, y: Any, saved: Any, x: Any, h0: Any, weight_ih: Any, weight_hh: Any, lengths: Any, needs: Sequence[bool]
) -> Any:
    gates, inner = saved
    da, db = np.empty_like(gates), np.empty_like(gates)  # of the input's and of the state's projection
    dh, slope, carried, back = np.zeros((4, *y.shape[1:]), y.dtype)
    weight_hh, h0 = weight_hh.astype(y.dtype, copy=False), h0.astype(y.dtype, copy=False)
    for t in range(len(x) - 1, -1, -1):
        r, z, n = _blocks(gates[t], 3)
        dr, dz, dn = _blocks(da[t], 3)
        np.add(carried, g[t], out=dh)
        np.multiply(dh, z, out=carried)
        np.subtract(y[t - 1] if t else h0, n, out=dz)
        dz *= carried
        dz -= np.multiply(dz, z, out=slope)  # dh (h - n) z (1 - z)
        np.subtract(dh, carried, out=dn)
        dn -= np.multiply(np.multiply(n, n, out=slope), dn, out=slope)  # dh (1 - z) (1 - n^2)
        dhn = np.multiply(dn, r, out=_blocks(db[t], 3)[2])
        np.multiply(dhn, inner[t], out=dr)
        dr -= np.multiply(dr, r, out=slope)  # dn hn r (1 - r)
        _hold(da[t], 0, lengths, t)
        _hold(dhn, 0, lengths, t)
        db[t, :, : 2 * y.shape[2]] = da[t, :, : 2 * y.shape[2]]
        carried += np.dot(db[t], weight_hh, out=back)
        _hold(carried, dh, lengths, t)
    return gradients(da, db, x, h0, y, weight_ih, carried, needs)


# ------------------------------------------------------------------------------------------------------ what they share


def project(x: np.ndarray, h0: np.ndarray, weight_ih: np.ndarray, weight_hh: np.ndarray, bias: Any, gates: int) -> Any:
    """x weight_ih^T + bias for all steps at once, (T, N, I) -> (T, N, gates H); h0 and a copy of weight_hh^T to go with it."""
    size = h0.shape[-1]
    shapes = {"weight_ih": (weight_ih, (gates * size, x.shape[-1])), "weight_hh": (weight_hh, (gates * size, size))}
    for name, (weight, shape) in shapes.items():
        if weight.shape != shape:
            raise ValueError(f"{name} has shape {weight.shape}; for x {x.shape} and h0 {h0.shape} it is {shape}")
    if x.ndim != 3 or h0.shape != (x.shape[1], size):
        raise ValueError(f"x of shape {x.shape} and h0 of shape {h0.shape} do not fit: they are (T, N, I) and (N, H)")
    dtype = np.result_type(x, h0, weight_ih, weight_hh, bias)
    rows = np.dot(x.reshape(-1, x.shape[-1]), weight_ih.T).astype(dtype, copy=False)  # (T N, gates H)
    rows += bias
    return rows.reshape(*x.shape[:2], -1), h0.astype(dtype, copy=False), weight_hh.T.astype(dtype, order="C")


def gradients(
    da: np.ndarray, db: np.ndarray, x: np.ndarray, h0: np.ndarray, states: np.ndarray, weight_ih: np.ndarray, dh0: Any,
    needs: Sequence[bool],
) -> tuple[Any, ...]:  # fmt: skip
    """Of x, h0, the weights and the biases, from those of the two projections (T, N, gates H)."""
    a, b = da.reshape(-1, da.shape[-1]), db.reshape(-1, db.shape[-1])  # (T N, gates H)
    before = np.concatenate([h0[None], states[:-1]]).reshape(len(b), -1) if needs[3] else None  # (T N, H)
    return (
        np.dot(a, weight_ih).reshape(x.shape) if needs[0] else None,
        dh0,
        np.dot(a.T, x.reshape(len(a), -1)) if needs[2] else None,
        np.dot(b.T, before) if needs[3] else None,
        total(a, 0)[0] if needs[4] else None,
        total(b, 0)[0] if needs[5] else None,
    )


def _squash(a: np.ndarray, half: Any, shift: Any) -> None:
    """shift + half tanh(half a) in place: with one half for both the sigmoid, with half 1 and shift 0 the tanh."""
    a *= half
    np.tanh(a, out=a)
    a *= half
    a += shift


def _blocks(a: np.ndarray, gates: int) -> list[np.ndarray]:
    """The gates' parts of a row each, as views: (N, gates H) -> gates times (N, H)."""
    size = a.shape[1] // gates
    return [a[:, k * size : (k + 1) * size] for k in range(gates)]


def _hold(new: np.ndarray, old: Any, lengths: Any, t: int) -> None:
    """In place: sequences that have ended at step t keep the old state."""
    if lengths is not None:
        np.copyto(new, old, where=np.greater_equal(t, lengths)[:, None])


def _alive(new: Any, old: Any, lengths: Any, t: int) -> Any:
    """The new state of the sequences that go on at step t, the old one of those that have ended."""
    return new if lengths is None else np.where(np.less(t, lengths)[:, None], new, old).astype(new.dtype)
