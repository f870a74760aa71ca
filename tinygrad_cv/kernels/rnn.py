"""Recurrent layers: each over all time steps is one operation.

x (T, N, I) is read from t = 0 on, from the state h0 (N, H). The weights have PyTorch's layout, one
block of H rows a gate: weight_ih (gates H, I), weight_hh (gates H, H), bias_ih (gates H,) and
bias_hh (gates H,). Where `lengths` (N,) are given, a sequence that has ended keeps its state.

The input's projection and the weights' gradients are one product for a chunk of steps, so many as
stay in the cache between that product and the steps themselves, which write into memory that is
there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from ..engine.arguments import choice
from ..engine.observers import time_steps
from ..machine import RNN_CHUNK, aligned
from ..typing import Array, Gradients
from .activation import positive, sigmoid
from .fast.choose import choose
from .fast.layout import as_rows
from .fast.reduction import sum_of_rows
from .fast.tiles import blocks
from .kernel import kernel

NONLINEARITIES = ("tanh", "relu")
Steps: TypeAlias = "np.ndarray | StatesBefore | SideBySide"  # (T, N, K), read a chunk at a time


# ------------------------------------------------------------------------------------ the plain RNN


@kernel
def rnn(
    x: Array,
    h0: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array,
    bias_hh: Array,
    *,
    nonlinearity: str = "tanh",
    lengths: np.ndarray | None = None,
) -> Array:
    """Hidden states (T, N, H) of the network of Elman 1990:

    h_t = tanh(x_t weight_ih^T + bias_ih + h_(t-1) weight_hh^T + bias_hh), or relu of that.
    """
    h, states = h0, []
    for t in time_steps(len(x)):
        from_input = x[t] @ np.matrix_transpose(weight_ih) + bias_ih
        from_state = h @ np.matrix_transpose(weight_hh) + bias_hh
        a = from_input + from_state
        new = np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0)
        h = where_alive(new, h, lengths, t)
        states.append(h)
    return np.stack(states)


@rnn.forward
def _(
    x: np.ndarray,
    h0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
    nonlinearity: str,
    lengths: np.ndarray | None,
) -> tuple[np.ndarray, None]:
    choice("nonlinearity", nonlinearity, NONLINEARITIES)
    check_lengths(lengths, x)
    projection = Projection(x, h0, weight_ih, weight_hh, bias_ih + bias_hh, (1,))
    h, recurrent = projection.h0, projection.buffer()
    for t, a in projection.steps():  # a becomes the state, in place
        a += np.dot(h, projection.weight_hh, out=recurrent)
        if nonlinearity == "tanh":
            np.tanh(a, out=a)
        else:
            np.maximum(a, 0, out=a)
        hold(a, h, lengths, t)
        h = a
    return projection.memory, None


@rnn.backward
def _(
    g: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    h0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    nonlinearity: str,
    lengths: np.ndarray | None,
    needs: Sequence[bool],
) -> Gradients:
    """da_t = (g_t + da_(t+1) weight_hh) (1 - h_t^2), or for relu times 1 where h_t > 0."""
    dh, carried = zeros(2, y)
    weight_hh = weight_hh.astype(y.dtype, copy=False)
    sums = WeightGradients(x, h0, y, weight_ih, needs)
    product = np.multiply if nonlinearity == "tanh" else choose
    for part in backwards(y):
        if nonlinearity == "tanh":
            slope = np.multiply(y[part], y[part], order="C")
            np.subtract(1, slope, out=slope)
        else:
            slope = positive(y[part])
        for t in reversed(range(part.start, part.stop)):
            a = slope[t - part.start]  # becomes da, in place
            np.add(g[t], carried, out=dh)
            product(dh, a, out=a)
            hold(a, 0, lengths, t)
            np.dot(a, weight_hh, out=carried)
            hold(carried, dh, lengths, t)
        sums.add(part, slope, slope)
    return sums.gradients(carried)


@rnn.jvp
def _(
    x_dot: np.ndarray | None,
    h0_dot: np.ndarray | None,
    weight_ih_dot: np.ndarray | None,
    weight_hh_dot: np.ndarray | None,
    bias_ih_dot: np.ndarray | None,
    bias_hh_dot: np.ndarray | None,
    y: np.ndarray,
    x: np.ndarray,
    h0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    nonlinearity: str,
    lengths: np.ndarray | None,
) -> np.ndarray:
    """h'_t = a'_t (1 - h_t^2), or for relu times 1 where h_t > 0, with

    a'_t = x'_t weight_ih^T + x_t weight_ih'^T + biases'
        + h'_(t-1) weight_hh^T + h_(t-1) weight_hh'^T.
    """
    known = [(x_dot, weight_ih), (x, weight_ih_dot), (StatesBefore(h0, y), weight_hh_dot)]
    projection = tangent_projection(known, (bias_ih_dot, bias_hh_dot), h0_dot, weight_hh, y)
    h_dot, recurrent = projection.h0, projection.buffer()
    product = np.multiply if nonlinearity == "tanh" else choose
    for part in projection.parts():
        if nonlinearity == "tanh":
            slope = np.multiply(y[part], y[part], order="C")
            np.subtract(1, slope, out=slope)
        else:
            slope = positive(y[part])
        for t, a in enumerate(
            projection.memory[part], part.start
        ):  # a becomes the tangent of the state, in place
            a += np.dot(h_dot, projection.weight_hh, out=recurrent)
            product(a, slope[t - part.start], out=a)
            hold(a, h_dot, lengths, t)
            h_dot = a
    return projection.memory


# ----------------------------------------------------------------------------------------- the LSTM


@kernel
def lstm(
    x: Array,
    h0: Array,
    c0: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array,
    bias_hh: Array,
    *,
    lengths: np.ndarray | None = None,
) -> tuple[Array, Array]:
    """Hidden states and cells (T, N, H) of the LSTM of Hochreiter & Schmidhuber 1997.

    With Gers's forget gate: i, f, o = sigmoid(...), z = tanh(...);
    c_t = f c_(t-1) + i z; h_t = o tanh(c_t). The blocks of the weights are i, f, z, o.
    """
    h, c, states, cells = h0, c0, [], []
    for t in time_steps(len(x)):
        from_input = x[t] @ np.matrix_transpose(weight_ih) + bias_ih
        from_state = h @ np.matrix_transpose(weight_hh) + bias_hh
        i, f, z, o = np.split(from_input + from_state, 4, axis=-1)
        new = sigmoid.reference(f) * c + sigmoid.reference(i) * np.tanh(z)
        h = where_alive(sigmoid.reference(o) * np.tanh(new), h, lengths, t)
        c = where_alive(new, c, lengths, t)
        states.append(h)
        cells.append(c)
    return np.stack(states), np.stack(cells)


@lstm.forward
def _(
    x: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
    lengths: np.ndarray | None,
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """All gates take one tanh, since sigmoid(a) = (1 + tanh(a / 2)) / 2."""
    check_lengths(lengths, x)
    factors = (0.5, 0.5, 1, 0.5)  # i, f, z, o
    projection = Projection(x, h0, weight_ih, weight_hh, bias_ih + bias_hh, factors)
    dtype, size = projection.dtype, h0.shape[1]
    half = np.repeat(np.array(factors, dtype), size)
    shift = 1 - half
    states = aligned((len(x), *h0.shape), dtype)
    cells = aligned((len(x), *h0.shape), dtype)
    recurrent, product = projection.buffer(), aligned(h0.shape, dtype)
    h, c = projection.h0, c0.astype(dtype, copy=False)
    for t, a in projection.steps():  # a becomes the gates, in place
        a += np.dot(h, projection.weight_hh, out=recurrent)
        np.tanh(a, out=a)
        a *= half
        a += shift
        i, f, z, o = gate_blocks(a, 4)
        new = np.multiply(f, c, out=cells[t])
        new += np.multiply(i, z, out=product)
        np.multiply(o, np.tanh(new, out=product), out=states[t])
        hold(states[t], h, lengths, t)
        hold(new, c, lengths, t)
        h, c = states[t], new
    return (states, cells), projection.memory


@lstm.backward
def _(
    g: tuple[np.ndarray, np.ndarray],
    y: tuple[np.ndarray, np.ndarray],
    saved: np.ndarray,
    x: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    lengths: np.ndarray | None,
    needs: Sequence[bool],
) -> Gradients:
    """Inside the step dc_t = dc_t + dh_t o (1 - tanh(c_t)^2).

    Each gate's da is that (for o: dh_t) times the gate's partner in its product times its own
    slope, s (1 - s) of a sigmoid and 1 - z^2 of a tanh.
    """
    gates = saved
    states, cells = y
    g_states, g_cells = g
    dh, dc, squashed, inside, through, slope, carried_h, carried_c = zeros(8, cells)
    weight_hh = weight_hh.astype(cells.dtype, copy=False)
    c0 = c0.astype(cells.dtype, copy=False)
    sums = WeightGradients(x, h0, states, weight_ih, [*needs[:2], *needs[3:]])
    for part in backwards(gates):
        da = aligned(gates[part].shape, gates.dtype)
        for t in reversed(range(part.start, part.stop)):
            a = da[t - part.start]
            i, f, z, o = gate_blocks(gates[t], 4)
            di, df, dz, do = gate_blocks(a, 4)
            np.add(carried_h, g_states[t], out=dh)
            np.add(carried_c, g_cells[t], out=dc)
            # dc inside the step
            np.tanh(cells[t], out=squashed)
            np.multiply(dh, o, out=through)
            np.multiply(squashed, squashed, out=slope)
            np.multiply(through, np.subtract(1, slope, out=slope), out=inside)
            inside += dc
            # do = dh tanh(c) o (1 - o)
            np.multiply(through, squashed, out=do)
            do -= np.multiply(do, o, out=slope)
            # dz = dc i (1 - z^2) and di = dc z i (1 - i)
            np.multiply(inside, i, out=through)
            np.multiply(through, z, out=di)
            np.subtract(through, np.multiply(di, z, out=slope), out=dz)
            di -= np.multiply(di, i, out=slope)
            # df = dc c_(t-1) f (1 - f)
            np.multiply(inside, f, out=carried_c)
            np.multiply(carried_c, cells[t - 1] if t else c0, out=df)
            df -= np.multiply(df, f, out=slope)
            hold(a, 0, lengths, t)
            np.dot(a, weight_hh, out=carried_h)
            hold(carried_h, dh, lengths, t)
            hold(carried_c, dc, lengths, t)
        sums.add(part, da, da)
    dx, dh0, *weights = sums.gradients(carried_h)
    return dx, dh0, carried_c, *weights


@lstm.jvp
def _(
    x_dot: np.ndarray | None,
    h0_dot: np.ndarray | None,
    c0_dot: np.ndarray | None,
    weight_ih_dot: np.ndarray | None,
    weight_hh_dot: np.ndarray | None,
    bias_ih_dot: np.ndarray | None,
    bias_hh_dot: np.ndarray | None,
    y: tuple[np.ndarray, np.ndarray],
    saved: np.ndarray,
    x: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    lengths: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """With a' as in `rnn`, the product rule of each step:

    c'_t = f c'_(t-1) + i' z + f' c_(t-1) + i z' and h'_t = o' tanh(c_t) + o (1 - tanh(c_t)^2) c'_t.
    Each gate's tangent is a' times its own slope, and stands in one product; so the slope times the
    gate's partner there is known before the steps begin.
    """
    gates = saved
    states, cells = y
    known = [(x_dot, weight_ih), (x, weight_ih_dot), (StatesBefore(h0, states), weight_hh_dot)]
    projection = tangent_projection(known, (bias_ih_dot, bias_hh_dot), h0_dot, weight_hh, states)
    states_dot = aligned(states.shape, states.dtype)
    cells_dot = aligned(cells.shape, cells.dtype)
    recurrent = projection.buffer()
    before = StatesBefore(c0, cells)
    h_dot = projection.h0
    c_dot = np.zeros_like(h_dot) if c0_dot is None else c0_dot.astype(cells.dtype, copy=False)
    for part in projection.parts():
        squashed = np.tanh(cells[part])
        factors, through = lstm_factors(gates[part], before[part], squashed)
        for t, a in enumerate(projection.memory[part], part.start):
            k = t - part.start
            a += np.dot(h_dot, projection.weight_hh, out=recurrent)
            a *= factors[k]
            _, f, _, _ = gate_blocks(gates[t], 4)
            di, df, dz, do = gate_blocks(a, 4)
            new = np.multiply(f, c_dot, out=cells_dot[t])
            new += di
            new += df
            new += dz
            np.multiply(through[k], new, out=states_dot[t])
            states_dot[t] += do
            hold(states_dot[t], h_dot, lengths, t)
            hold(new, c_dot, lengths, t)
            h_dot, c_dot = states_dot[t], new
    return states_dot, cells_dot


def lstm_factors(
    gates: np.ndarray,
    before: np.ndarray,
    squashed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What the tangents of a' count in c' (of i, f, z) and in h' (of o): (chunk, N, 4 H).

    And o (1 - tanh(c)^2), what that of c counts in h'. `before` are the cells that the steps have
    begun from, `squashed` the tanh of those that they have come to.
    """
    i, _, z, o = np.split(gates, 4, axis=-1)
    factors = np.multiply(gates, gates)
    of_i, of_f, of_z, of_o = np.split(factors, 4, axis=-1)  # views
    np.subtract(gates, factors, out=factors)  # s (1 - s)
    of_i *= z
    of_f *= before
    of_o *= squashed
    np.multiply(z, z, out=of_z)
    np.subtract(1, of_z, out=of_z)
    of_z *= i
    through = squashed * squashed
    np.subtract(1, through, out=through)
    through *= o
    return factors, through


# ------------------------------------------------------------------------------------------ the GRU


@kernel
def gru(
    x: Array,
    h0: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array,
    bias_hh: Array,
    *,
    lengths: np.ndarray | None = None,
) -> Array:
    """Hidden states (T, N, H) of the GRU of Cho et al. 2014.

    With the reset inside the product, as in PyTorch and cuDNN: r, z = sigmoid(...),
    n = tanh(x_t W_n^T + b_n + r (h_(t-1) U_n^T + c_n)); h_t = (1 - z) n + z h_(t-1). The blocks of
    the weights are r, z, n.
    """
    h, states = h0, []
    for t in time_steps(len(x)):
        from_input = x[t] @ np.matrix_transpose(weight_ih) + bias_ih
        from_state = h @ np.matrix_transpose(weight_hh) + bias_hh
        xr, xz, xn = np.split(from_input, 3, axis=-1)
        hr, hz, hn = np.split(from_state, 3, axis=-1)
        r, z = sigmoid.reference(xr + hr), sigmoid.reference(xz + hz)
        n = np.tanh(xn + r * hn)
        h = where_alive((1 - z) * n + z * h, h, lengths, t)
        states.append(h)
    return np.stack(states)


@gru.forward
def _(
    x: np.ndarray,
    h0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    bias_ih: np.ndarray,
    bias_hh: np.ndarray,
    lengths: np.ndarray | None,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The sigmoids are taken by tanh, as in the LSTM."""
    check_lengths(lengths, x)
    factors = (0.5, 0.5, 1)  # r, z, n
    projection = Projection(x, h0, weight_ih, weight_hh, bias_ih, factors)
    dtype, size = projection.dtype, h0.shape[1]
    half = dtype.type(0.5)
    bias_hh = (bias_hh * np.repeat(factors, size)).astype(dtype)
    states = aligned((len(x), *h0.shape), dtype)
    inner = aligned((len(x), *h0.shape), dtype)  # what the reset multiplies
    recurrent, product = projection.buffer(), aligned(h0.shape, dtype)
    h = projection.h0
    for t, a in projection.steps():  # a becomes the gates, in place
        np.dot(h, projection.weight_hh, out=recurrent)
        recurrent += bias_hh
        inner[t] = recurrent[:, 2 * size :]
        rz = a[:, : 2 * size]
        rz += recurrent[:, : 2 * size]
        np.tanh(rz, out=rz)
        rz *= half
        rz += half
        r, z, n = gate_blocks(a, 3)
        n += np.multiply(r, inner[t], out=product)
        np.tanh(n, out=n)
        new = np.subtract(h, n, out=states[t])
        new *= z
        new += n
        hold(new, h, lengths, t)
        h = new
    return states, (projection.memory, inner)


@gru.backward
def _(
    g: np.ndarray,
    y: np.ndarray,
    saved: tuple[np.ndarray, np.ndarray],
    x: np.ndarray,
    h0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    lengths: np.ndarray | None,
    needs: Sequence[bool],
) -> Gradients:
    gates, inner = saved
    size = y.shape[2]
    dh, slope, carried, back = zeros(4, y)
    weight_hh = weight_hh.astype(y.dtype, copy=False)
    h0 = h0.astype(y.dtype, copy=False)
    sums = WeightGradients(x, h0, y, weight_ih, needs)
    for part in backwards(gates):
        da = aligned(gates[part].shape, gates.dtype)  # of the input's projection
        db = aligned(gates[part].shape, gates.dtype)  # of the state's
        for t in reversed(range(part.start, part.stop)):
            a, b = da[t - part.start], db[t - part.start]
            r, z, n = gate_blocks(gates[t], 3)
            dr, dz, dn = gate_blocks(a, 3)
            dhn = b[:, 2 * size :]
            np.add(carried, g[t], out=dh)
            np.multiply(dh, z, out=carried)
            # dz = dh (h_(t-1) - n) z (1 - z)
            np.subtract(y[t - 1] if t else h0, n, out=dz)
            dz *= carried
            dz -= np.multiply(dz, z, out=slope)
            # dn = dh (1 - z) (1 - n^2)
            np.subtract(dh, carried, out=dn)
            np.multiply(n, n, out=slope)
            dn -= np.multiply(slope, dn, out=slope)
            # dr = dn hn r (1 - r)
            np.multiply(dn, r, out=dhn)
            np.multiply(dhn, inner[t], out=dr)
            dr -= np.multiply(dr, r, out=slope)
            hold(a, 0, lengths, t)
            hold(dhn, 0, lengths, t)
            b[:, : 2 * size] = a[:, : 2 * size]
            carried += np.dot(b, weight_hh, out=back)
            hold(carried, dh, lengths, t)
        sums.add(part, da, db)
    return sums.gradients(carried)


@gru.jvp
def _(
    x_dot: np.ndarray | None,
    h0_dot: np.ndarray | None,
    weight_ih_dot: np.ndarray | None,
    weight_hh_dot: np.ndarray | None,
    bias_ih_dot: np.ndarray | None,
    bias_hh_dot: np.ndarray | None,
    y: np.ndarray,
    saved: tuple[np.ndarray, np.ndarray],
    x: np.ndarray,
    h0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    lengths: np.ndarray | None,
) -> np.ndarray:
    """With the tangents a' of the input's part of the gates and b' of the state's, step by step

    n' = (1 - n^2) (a'_n + r b'_n + r' inner), where inner = h_(t-1) U_n^T + c_n, and
    h'_t = z h'_(t-1) + (1 - z) n' + z' (h_(t-1) - n), with r' and z' the slope times a' + b'.
    """
    gates, inner = saved
    size = y.shape[2]
    before = StatesBefore(h0, y)
    from_input = tangent_projection(
        [(x_dot, weight_ih), (x, weight_ih_dot)], (bias_ih_dot,), h0_dot, weight_hh, y
    )
    from_state = tangent_projection([(before, weight_hh_dot)], (bias_hh_dot,), h0_dot, weight_hh, y)
    y_dot = aligned(y.shape, y.dtype)
    recurrent, product = from_state.buffer(), aligned(h0.shape, y.dtype)
    h_dot = from_state.h0
    for part, _ in zip(from_input.parts(), from_state.parts(), strict=True):
        factors = gru_factors(gates[part], before[part], inner[part])
        for t in range(part.start, part.stop):
            a, b = from_input.memory[t], from_state.memory[t]
            b += np.dot(h_dot, from_state.weight_hh, out=recurrent)
            a[:, : 2 * size] += b[:, : 2 * size]
            r, z, _ = gate_blocks(gates[t], 3)
            dr, dz, dn = gate_blocks(a, 3)
            a[:, : 2 * size] *= factors[t - part.start, :, : 2 * size]
            dn += np.multiply(r, b[:, 2 * size :], out=product)
            dn += dr
            dn *= factors[t - part.start, :, 2 * size :]
            new = np.multiply(z, h_dot, out=y_dot[t])
            new += dz
            new += dn
            hold(new, h_dot, lengths, t)
            h_dot = new
    return y_dot


def gru_factors(
    gates: np.ndarray,
    before: np.ndarray,
    inner: np.ndarray,
) -> np.ndarray:
    """What r's tangent counts in that of n's part, and those of z and n in h': (chunk, N, 3 H).

    r (1 - r) inner, z (1 - z) (h_(t-1) - n) and (1 - n^2) (1 - z).
    """
    r, z, n = np.split(gates, 3, axis=-1)
    factors = np.multiply(gates, gates)
    of_r, of_z, of_n = np.split(factors, 3, axis=-1)  # views
    np.subtract(r, of_r, out=of_r)
    of_r *= inner
    np.subtract(z, of_z, out=of_z)
    of_z *= before - n
    np.subtract(1, of_n, out=of_n)
    of_n *= 1 - z
    return factors


# ---------------------------------------------------------------------------------- what they share


class Projection:
    """The input's part of all gates, x_t weight_ih^T + bias, chunk by chunk.

    It also holds what the steps need besides: the first state and the recurrent weights. Each
    gate's weights and bias are multiplied by its factor.
    """

    def __init__(
        self,
        x: Steps,
        h0: np.ndarray,
        weight_ih: np.ndarray,
        weight_hh: np.ndarray,
        bias: np.ndarray,
        factors: Sequence[float],
    ) -> None:
        check_weights(x, h0, weight_ih, weight_hh, len(factors))
        steps, n, _ = x.shape
        dtype = np.result_type(x.dtype, h0, weight_ih, weight_hh, bias)
        factor = np.repeat(np.array(factors, dtype), h0.shape[1])
        self.x = x
        self.dtype = dtype
        self.h0 = h0.astype(dtype, copy=False)
        self.weight_ih = np.multiply(weight_ih.T, factor, dtype=dtype, order="C")  # (I, gates H)
        self.weight_hh = np.multiply(weight_hh.T, factor, dtype=dtype, order="C")  # (H, gates H)
        self.bias = (bias * factor).astype(dtype)
        self.memory = aligned((steps, n, len(factor)), dtype)

    def buffer(self) -> np.ndarray:
        """Memory for the state's part of the gates at one step: (N, gates H)."""
        return aligned(self.memory.shape[1:], self.dtype)

    def parts(self) -> Iterator[slice]:
        """Chunks of steps, whose memory holds the input's part by then."""
        for part in chunks(self.memory):
            rows = as_rows(self.memory[part])  # (chunk N, gates H)
            np.matmul(as_rows(self.x[part]), self.weight_ih, out=rows)
            rows += self.bias
            yield part

    def steps(self) -> Iterator[tuple[int, np.ndarray]]:
        """Each t with the memory of that step."""
        for part in self.parts():
            yield from enumerate(self.memory[part], part.start)


def tangent_projection(
    products: Sequence[tuple[Steps | None, np.ndarray | None]],
    biases: Sequence[np.ndarray | None],
    h0_dot: np.ndarray | None,
    weight_hh: np.ndarray,
    states: np.ndarray,
) -> Projection:
    """What is known of the gates' tangents before the steps begin, and what the steps need.

    It is the sum of products x weight^T, (T, N, K) and (gates H, K), those with None left out, and
    of biases: one product of all x side by side.
    """
    given = [(x, weight) for x, weight in products if x is not None and weight is not None]
    steps, n, size = states.shape
    rows = len(weight_hh)
    x = SideBySide([np.zeros((steps, n, 0), states.dtype), *[x for x, _ in given]])
    none = np.zeros((rows, 0), states.dtype)
    weight = np.concatenate([none, *[weight for _, weight in given]], axis=-1)
    bias = np.zeros(rows, states.dtype)
    for part in biases:
        bias = bias if part is None else bias + part
    h0_dot = np.zeros((n, size), states.dtype) if h0_dot is None else h0_dot
    return Projection(x, h0_dot, weight, weight_hh, bias, [1] * (rows // size))


class StatesBefore:
    """The states that the steps have begun from: (T, N, H), of which a chunk can be taken."""

    def __init__(self, first: np.ndarray, states: np.ndarray) -> None:
        self.first = first
        self.states = states
        self.shape = states.shape
        self.dtype: np.dtype = np.result_type(first, states)

    def __getitem__(self, part: slice) -> np.ndarray:
        if part.start:
            return self.states[part.start - 1 : part.stop - 1]
        return np.concatenate([self.first[None], self.states[: part.stop - 1]])


class SideBySide:
    """Arrays (T, N, K) joined along the last axis, chunk by chunk: while it is in the cache."""

    def __init__(self, arrays: Sequence[Steps]) -> None:
        self.arrays = arrays
        self.shape: tuple[int, ...] = (*arrays[0].shape[:2], sum(a.shape[2] for a in arrays))
        self.dtype: np.dtype = np.result_type(*[a.dtype for a in arrays])

    def __getitem__(self, part: slice) -> np.ndarray:
        return np.concatenate([a[part] for a in self.arrays], axis=-1)


class WeightGradients:
    """The gradients of x, the weights and the biases, added up chunk by chunk.

    `needs` is that of x, h0, weight_ih, weight_hh, bias_ih, bias_hh.
    """

    def __init__(
        self,
        x: np.ndarray,
        h0: np.ndarray,
        states: np.ndarray,
        weight_ih: np.ndarray,
        needs: Sequence[bool],
    ) -> None:
        rows, size = len(weight_ih), h0.shape[1]
        dtype = states.dtype
        dx, _, ih, hh, bias_ih, bias_hh = needs
        self.x = x
        self.before = StatesBefore(h0, states)
        self.weight_ih = weight_ih
        self.dx = np.zeros(x.shape, dtype) if dx else None
        self.dweight_ih = np.zeros(weight_ih.shape, dtype) if ih else None
        self.dweight_hh = np.zeros((rows, size), dtype) if hh else None
        self.dbias_ih = np.zeros(rows, dtype) if bias_ih else None
        self.dbias_hh = np.zeros(rows, dtype) if bias_hh else None

    def add(
        self,
        part: slice,
        da: np.ndarray,
        db: np.ndarray,
    ) -> None:
        """Add those of a chunk of steps.

        da is the gradient of the input's projection, db of the state's: (chunk, N, gates H).
        """
        a, b = as_rows(da), as_rows(db)  # (chunk N, gates H)
        if self.dx is not None:
            self.dx[part] = np.dot(a, self.weight_ih).reshape(self.dx[part].shape)
        if self.dweight_ih is not None:
            self.dweight_ih += np.dot(a.T, as_rows(self.x[part]))
        if self.dweight_hh is not None:
            self.dweight_hh += np.dot(b.T, as_rows(self.before[part]))
        if self.dbias_ih is not None:
            self.dbias_ih += sum_of_rows(a)
        if self.dbias_hh is not None:
            self.dbias_hh += sum_of_rows(b)

    def gradients(self, dh0: np.ndarray) -> Gradients:
        """All, in the order of the kernels' arguments."""
        return (
            self.dx,
            dh0,
            self.dweight_ih,
            self.dweight_hh,
            self.dbias_ih,
            self.dbias_hh,
        )


def check_weights(
    x: Steps,
    h0: np.ndarray,
    weight_ih: np.ndarray,
    weight_hh: np.ndarray,
    gates: int,
) -> None:
    """Raise ValueError if shapes do not fit."""
    size = h0.shape[-1]
    wanted_ih = (gates * size, x.shape[-1])
    wanted_hh = (gates * size, size)
    for name, weight, shape in (
        ("weight_ih", weight_ih, wanted_ih),
        ("weight_hh", weight_hh, wanted_hh),
    ):
        if weight.shape != shape:
            raise ValueError(
                f"{name} has shape {weight.shape}; for x {x.shape} and h0 {h0.shape} it is {shape}"
            )
    if len(x.shape) != 3 or h0.shape != (x.shape[1], size):
        raise ValueError(
            f"x of shape {x.shape} and h0 of shape {h0.shape} do not fit: "
            "they are (T, N, I) and (N, H)"
        )


def check_lengths(lengths: np.ndarray | None, x: np.ndarray) -> None:
    """Raise ValueError unless lengths are whole numbers, one for each sequence of x (T, N, I)."""
    if lengths is None:
        return
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu" or array.shape != x.shape[1:2]:
        raise ValueError(
            f"lengths has shape {array.shape} and dtype {array.dtype}; for x of shape {x.shape} it "
            f"is a whole number for each sequence, {x.shape[1:2]}"
        )


def chunks(gates: np.ndarray) -> Iterator[slice]:
    """The steps of gates (T, N, gates H), so many at a time as stay in the cache."""
    steps, n, width = gates.shape
    return blocks(steps, n * width, RNN_CHUNK)


def backwards(gates: np.ndarray) -> list[slice]:
    """The chunks of steps, the last first."""
    return list(chunks(gates))[::-1]


def gate_blocks(a: np.ndarray, gates: int) -> list[np.ndarray]:
    """Views of the gates' parts of each row: (N, gates H) -> gates times (N, H)."""
    size = a.shape[1] // gates
    return [a[:, k * size : (k + 1) * size] for k in range(gates)]


def hold(
    new: np.ndarray,
    old: np.ndarray | float,
    lengths: np.ndarray | None,
    t: int,
) -> None:
    """In place: sequences that have ended at step t keep the old state."""
    if lengths is not None:
        np.copyto(new, old, where=np.greater_equal(t, lengths)[:, None])


def where_alive(
    new: Array,
    old: Array,
    lengths: np.ndarray | None,
    t: int,
) -> Array:
    """The new state of the sequences that go on at step t, the old one of those that have ended."""
    if lengths is None:
        return new
    return np.where(np.less(t, lengths)[:, None], new, old).astype(new.dtype)


def zeros(count: int, states: np.ndarray) -> np.ndarray:
    """Buffers (count, N, H), each like one step of the states (T, N, H)."""
    buffers = aligned((count, *states.shape[1:]), states.dtype)
    buffers[...] = 0
    return buffers
