"""Recurrent layers: each over all time steps is one operation.

x (T, N, I) is read from t = 0 on, from the state h0 (N, H); the weights have PyTorch's layout, one block of H rows a
gate: weight_ih (gates H, I), weight_hh (gates H, H), bias_ih and bias_hh (gates H,). The input's projection and the
weights' gradients are one product for a spell of steps, so many as stay in the cache between that product and the steps
themselves, which write into memory that is there already. Where `lengths` (N,) are given, a sequence that has ended keeps
its state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..machine import aligned
from .activation import positive, sigmoid
from .kernel import kernel
from .reduction import total
from .tiles import spans

NONLINEARITIES = ("tanh", "relu")
SPELL = 1 << 19  # elements of the gates of a spell: 2 MB in float32


# ------------------------------------------------------------------------------------------------------- the plain RNN


@kernel
def rnn(
    x: Any,
    h0: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    *,
    nonlinearity: str = "tanh",
    lengths: Any = None,
) -> Any:
    """h_t = tanh(x_t weight_ih^T + bias_ih + h_(t-1) weight_hh^T + bias_hh), or relu (Elman 1990): (T, N, H)."""
    h, states = h0, []
    for t in range(len(x)):
        a = (
            x[t] @ np.matrix_transpose(weight_ih)
            + bias_ih
            + h @ np.matrix_transpose(weight_hh)
            + bias_hh
        )
        h = _alive(np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0), h, lengths, t)
        states.append(h)
    return np.stack(states)


@rnn.forward
def _(
    x: Any,
    h0: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    nonlinearity: str,
    lengths: Any,
) -> Any:
    if nonlinearity not in NONLINEARITIES:
        raise ValueError(
            f"the nonlinearity is one of {', '.join(NONLINEARITIES)}, not {nonlinearity!r}"
        )
    states, steps, h, back = project(
        x, h0, weight_ih, weight_hh, bias_ih + bias_hh, (1,)
    )  # activated in place
    recurrent = aligned(h.shape, h.dtype)
    for t, a in steps:
        a += np.dot(h, back, out=recurrent)
        np.tanh(a, out=a) if nonlinearity == "tanh" else np.maximum(a, 0, out=a)
        _hold(a, h, lengths, t)
        h = a
    return states, None


@rnn.backward
def _(
    g: Any,
    y: Any,
    x: Any,
    h0: Any,
    weight_ih: Any,
    weight_hh: Any,
    nonlinearity: str,
    lengths: Any,
    needs: Sequence[bool],
) -> Any:
    """da_t = (g_t + da_(t+1) weight_hh) (1 - h_t^2)."""
    dh, carried = _zeros(2, y)
    weight_hh, given = weight_hh.astype(y.dtype, copy=False), Gradients(x, h0, y, weight_ih, needs)
    for part in _backwards(y):
        da = (
            np.multiply(y[part], y[part], order="C")
            if nonlinearity == "tanh"
            else positive(y[part])
        )
        if nonlinearity == "tanh":
            np.subtract(1, da, out=da)
        for t in reversed(range(*part.indices(len(x)))):
            a = da[t - part.start]
            np.add(g[t], carried, out=dh)
            a *= dh
            _hold(a, 0, lengths, t)
            np.dot(a, weight_hh, out=carried)
            _hold(carried, dh, lengths, t)
        given.add(part, da, da)
    return given.all(carried)


# ------------------------------------------------------------------------------------------------------------ the LSTM


@kernel
def lstm(
    x: Any,
    h0: Any,
    c0: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    *,
    lengths: Any = None,
) -> Any:
    """Hidden states and cells (T, N, H) of the LSTM (Hochreiter & Schmidhuber 1997, with Gers's forget gate):

    i, f, o = sigmoid(...), z = tanh(...); c_t = f c_(t-1) + i z; h_t = o tanh(c_t). The blocks of the weights are i, f, z, o.
    """
    h, c, states, cells = h0, c0, [], []
    for t in range(len(x)):
        a = (
            x[t] @ np.matrix_transpose(weight_ih)
            + bias_ih
            + h @ np.matrix_transpose(weight_hh)
            + bias_hh
        )
        i, f, z, o = np.split(a, 4, axis=-1)
        new = sigmoid.reference(f) * c + sigmoid.reference(i) * np.tanh(z)
        h = _alive(sigmoid.reference(o) * np.tanh(new), h, lengths, t)
        c = _alive(new, c, lengths, t)
        states.append(h)
        cells.append(c)
    return np.stack(states), np.stack(cells)


@lstm.forward
def _(
    x: Any,
    h0: Any,
    c0: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    lengths: Any,
) -> Any:
    """All gates are squashed by one tanh, since sigmoid(a) = (1 + tanh(a / 2)) / 2."""
    halves = (0.5, 0.5, 1, 0.5)  # i, f, z, o
    gates, steps, h, back = project(
        x, h0, weight_ih, weight_hh, bias_ih + bias_hh, halves
    )  # squashed in place
    states, cells = (aligned((len(x), *h.shape), h.dtype) for _ in range(2))
    half, c = np.repeat(np.array(halves, h.dtype), h.shape[1]), c0.astype(h.dtype, copy=False)
    recurrent, fresh, shift = aligned(gates.shape[1:], h.dtype), aligned(h.shape, h.dtype), 1 - half
    for t, a in steps:
        a += np.dot(h, back, out=recurrent)
        np.tanh(a, out=a)
        a *= half
        a += shift
        i, f, z, o = _blocks(a, 4)
        new = np.multiply(f, c, out=cells[t])
        new += np.multiply(i, z, out=fresh)
        np.multiply(o, np.tanh(new, out=fresh), out=states[t])
        _hold(states[t], h, lengths, t)
        _hold(new, c, lengths, t)
        h, c = states[t], new
    return (states, cells), gates


@lstm.backward
def _(
    g: Any,
    y: Any,
    saved: Any,
    x: Any,
    h0: Any,
    c0: Any,
    weight_ih: Any,
    weight_hh: Any,
    lengths: Any,
    needs: Sequence[bool],
) -> Any:
    """Inside the step dc_t = dc_t + dh_t o (1 - tanh(c_t)^2); each gate's da is that (for o: dh_t) times the gate's partner
    in its product times its own slope, s (1 - s) of a sigmoid and 1 - z^2 of a tanh."""
    gates, (states, cells), (g_states, g_cells) = saved, y, g
    dh, dc, squashed, inside, through, slope, carried_h, carried_c = _zeros(8, cells)
    weight_hh, c0 = weight_hh.astype(dh.dtype, copy=False), c0.astype(dh.dtype, copy=False)
    given = Gradients(x, h0, states, weight_ih, [n for k, n in enumerate(needs) if k != 2])
    for part in _backwards(gates):
        da = aligned(gates[part].shape, gates.dtype)
        for t in reversed(range(*part.indices(len(x)))):
            (i, f, z, o), (di, df, dz, do) = _blocks(gates[t], 4), _blocks(da[t - part.start], 4)
            np.add(carried_h, g_states[t], out=dh)
            np.add(carried_c, g_cells[t], out=dc)
            np.tanh(cells[t], out=squashed)
            np.multiply(dh, o, out=through)
            np.multiply(squashed, squashed, out=slope)
            np.multiply(through, np.subtract(1, slope, out=slope), out=inside)
            inside += dc
            np.multiply(through, squashed, out=do)
            do -= np.multiply(do, o, out=slope)
            np.multiply(inside, i, out=through)
            np.multiply(through, z, out=di)
            np.subtract(through, np.multiply(di, z, out=slope), out=dz)
            di -= np.multiply(di, i, out=slope)
            np.multiply(inside, f, out=carried_c)
            np.multiply(carried_c, cells[t - 1] if t else c0, out=df)
            df -= np.multiply(df, f, out=slope)
            _hold(da[t - part.start], 0, lengths, t)
            np.dot(da[t - part.start], weight_hh, out=carried_h)
            _hold(carried_h, dh, lengths, t)
            _hold(carried_c, dc, lengths, t)
        given.add(part, da, da)
    dx, dh0, *weights = given.all(carried_h)
    return dx, dh0, carried_c, *weights


# ------------------------------------------------------------------------------------------------------------- the GRU


@kernel
def gru(
    x: Any,
    h0: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    *,
    lengths: Any = None,
) -> Any:
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
def _(
    x: Any, h0: Any, weight_ih: Any, weight_hh: Any, bias_ih: Any, bias_hh: Any, lengths: Any
) -> Any:
    halves = (0.5, 0.5, 1)  # r, z, n, as in the LSTM
    gates, steps, h, back = project(
        x, h0, weight_ih, weight_hh, bias_ih, halves
    )  # squashed in place
    states, inner = (aligned((len(x), *h.shape), h.dtype) for _ in range(2))
    size, half, recurrent, fresh = (
        h.shape[1],
        h.dtype.type(0.5),
        aligned(gates.shape[1:], h.dtype),
        aligned(h.shape, h.dtype),
    )
    bias_hh = (bias_hh * np.repeat(halves, size)).astype(h.dtype)
    for t, a in steps:
        np.dot(h, back, out=recurrent)
        recurrent += bias_hh
        inner[t] = recurrent[:, 2 * size :]
        rz, (r, z, n) = a[:, : 2 * size], _blocks(a, 3)
        rz += recurrent[:, : 2 * size]
        np.tanh(rz, out=rz)
        rz *= half
        rz += half
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
    g: Any,
    y: Any,
    saved: Any,
    x: Any,
    h0: Any,
    weight_ih: Any,
    weight_hh: Any,
    lengths: Any,
    needs: Sequence[bool],
) -> Any:
    gates, inner = saved
    dh, slope, carried, back = _zeros(4, y)
    weight_hh, h0 = weight_hh.astype(y.dtype, copy=False), h0.astype(y.dtype, copy=False)
    given = Gradients(x, h0, y, weight_ih, needs)
    for part in _backwards(gates):
        da, db = (
            aligned(gates[part].shape, gates.dtype) for _ in range(2)
        )  # of the input's and the state's projection
        for t in reversed(range(*part.indices(len(x)))):
            a, b = da[t - part.start], db[t - part.start]
            (r, z, n), (dr, dz, dn), dhn = _blocks(gates[t], 3), _blocks(a, 3), _blocks(b, 3)[2]
            np.add(carried, g[t], out=dh)
            np.multiply(dh, z, out=carried)
            np.subtract(y[t - 1] if t else h0, n, out=dz)
            dz *= carried
            dz -= np.multiply(dz, z, out=slope)  # dh (h - n) z (1 - z)
            np.subtract(dh, carried, out=dn)
            dn -= np.multiply(np.multiply(n, n, out=slope), dn, out=slope)  # dh (1 - z) (1 - n^2)
            np.multiply(dn, r, out=dhn)
            np.multiply(dhn, inner[t], out=dr)
            dr -= np.multiply(dr, r, out=slope)  # dn hn r (1 - r)
            _hold(a, 0, lengths, t)
            _hold(dhn, 0, lengths, t)
            b[:, : 2 * y.shape[2]] = a[:, : 2 * y.shape[2]]
            carried += np.dot(b, weight_hh, out=back)
            _hold(carried, dh, lengths, t)
        given.add(part, da, db)
    return given.all(carried)


# ------------------------------------------------------------------------------------------------------ what they share


def project(
    x: np.ndarray,
    h0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias: Any,
    factors: tuple[float, ...],
) -> Any:
    """Memory for (T, N, gates H); the steps (t, part of that memory), which hold x_t weight_ih^T + bias once they are
    reached; h0; weight_hh^T. Each gate's weights and bias are multiplied by its factor."""
    size, gates = h0.shape[-1], len(factors)
    shapes = {
        "weight_ih": (weight_ih, (gates * size, x.shape[-1])),
        "weight_hh": (weight_hh, (gates * size, size)),
    }
    for name, (weight, shape) in shapes.items():
        if weight.shape != shape:
            raise ValueError(
                f"{name} has shape {weight.shape}; for x {x.shape} and h0 {h0.shape} it is {shape}"
            )
    if x.ndim != 3 or h0.shape != (x.shape[1], size):
        raise ValueError(
            f"x of shape {x.shape} and h0 of shape {h0.shape} do not fit: they are (T, N, I) and (N, H)"
        )
    dtype = np.result_type(x, h0, weight_ih, weight_hh, bias)
    factor = np.repeat(np.array(factors, dtype), size)
    forth, back = (np.multiply(w.T, factor, dtype=dtype, order="C") for w in (weight_ih, weight_hh))
    memory, bias = aligned((*x.shape[:2], gates * size), dtype), (bias * factor).astype(dtype)

    def steps() -> Iterator[tuple[int, np.ndarray]]:
        for part in spans(len(x), memory.shape[1] * memory.shape[2], SPELL):
            rows = memory[part].reshape(-1, gates * size)  # (spell N, gates H)
            np.matmul(x[part].reshape(len(rows), -1), forth, out=rows)
            rows += bias
            yield from enumerate(memory[part], part.start)

    return memory, steps(), h0.astype(dtype, copy=False), back


def _backwards(gates: np.ndarray) -> list[slice]:
    """The spells of steps, the last first."""
    return list(spans(len(gates), gates.shape[1] * gates.shape[2], SPELL))[::-1]


class Gradients:
    """Those of x, h0, the weights and the biases, from those of the two projections, spell by spell (T, N, gates H)."""

    def __init__(
        self, x: Any, h0: Any, states: np.ndarray, weight_ih: Any, needs: Sequence[bool]
    ) -> None:
        self.x, self.h0, self.states, self.weight_ih, self.needs = x, h0, states, weight_ih, needs
        self.dx = np.zeros(x.shape, states.dtype) if needs[0] else None
        rows, size = weight_ih.shape[:1], states.shape[2]
        shapes = (
            weight_ih.shape,
            (*rows, size),
            rows,
            rows,
        )  # of weight_ih, weight_hh, bias_ih, bias_hh
        self.sums = [
            np.zeros(s, states.dtype) if needed else None
            for s, needed in zip(shapes, needs[2:], strict=True)
        ]

    def add(self, part: slice, da: np.ndarray, db: np.ndarray) -> None:
        a, b = da.reshape(-1, da.shape[-1]), db.reshape(-1, db.shape[-1])  # (spell N, gates H)
        if self.dx is not None:
            self.dx[part] = np.dot(a, self.weight_ih).reshape(self.dx[part].shape)
        before = (
            [] if part.start else [self.h0[None]]
        )  # the states that these steps have begun from
        before.append(self.states[max(0, part.start - 1) : min(part.stop, len(self.states)) - 1])
        weight_ih, weight_hh, bias_ih, bias_hh = self.sums
        if weight_ih is not None:
            weight_ih += np.dot(a.T, self.x[part].reshape(len(a), -1))
        if weight_hh is not None:
            weight_hh += np.dot(b.T, np.concatenate(before).reshape(len(b), -1))
        if bias_ih is not None:
            bias_ih += total(a, 0)[0]
        if bias_hh is not None:
            bias_hh += total(b, 0)[0]

    def all(self, dh0: np.ndarray) -> tuple[Any, ...]:
        """In the order of the kernels' arguments."""
        return self.dx, dh0, *self.sums


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
    return (
        new
        if lengths is None
        else np.where(np.less(t, lengths)[:, None], new, old).astype(new.dtype)
    )


def _zeros(count: int, states: np.ndarray) -> np.ndarray:
    """Buffers (count, N, H), each like one step of the states (T, N, H)."""
    buffers = aligned((count, *states.shape[1:]), states.dtype)
    buffers[...] = 0
    return buffers
