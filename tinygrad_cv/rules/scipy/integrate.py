"""The calculus table of scipy.integrate: integrals of samples, and differential equations.

The solution of dy/dt = f(y, t, args) is differentiated by equations of the same kind, which SciPy's
solver solves (Pontryagin et al. 1962; Chen et al. 2018, "Neural ordinary differential equations"):
on the way back by those of the adjoint a = dL/dy,

    da/dt = -a df/dy,   d(dL/dargs)/dt = -a df/dargs,

from the last time to the first; forward by those of the sensitivity s = dy/dp,

    ds/dt = df/dy s + df/dargs dargs/dp.

Their right-hand sides are functions of arrays and of tensors, so that every order is there. The
accuracy is that of the solver: see its `rtol` and `atol`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import integrate

from ...engine.modes import is_recording, switched
from ...engine.observers import unobserved
from ...tensor import Node, Tensor, backpropagate, place_of, pushforward, unwrap, wrap
from ...typing import Array, Operand
from ..numpy import numeric
from ..numpy.axes import along
from ..table import as_array, definition, derivative, refuse_complex

# ----------------------------------------------------------------------------- integrals of samples


@definition(integrate.trapezoid)
def trapezoid(
    y: Array,
    x: Array | None = None,
    dx: Operand = 1.0,
    axis: int = -1,
) -> Array:
    """np.trapezoid, for which points of several axes, or one, are broadcast to y."""
    if x is not None and np.ndim(x) != 1:
        x = np.broadcast_to(x, np.shape(y))
    return numeric.trapezoid(y, x, dx, axis)


def _distances(
    x: Array | None,
    dx: Operand,
    axis: int,
    ndim: int,
) -> Array:
    """Between the points x, along an axis of as many as y has; or dx."""
    if x is None:
        return as_array(dx)
    if np.ndim(x) == 1:
        shape = [1] * ndim
        shape[axis] = -1
        return np.reshape(np.diff(x), shape)
    return np.diff(x, axis=axis)


@definition(integrate.cumulative_trapezoid)
def cumulative_trapezoid(
    y: Array,
    x: Array | None = None,
    dx: Operand = 1.0,
    axis: int = -1,
    initial: float | None = None,
) -> Array:
    """The integrals up to each point but the first; with `initial`, which is 0, up to that too."""
    y = as_array(y)
    width = _distances(x, dx, axis, y.ndim)
    later = y[along(axis, y.ndim, slice(1, None))]
    earlier = y[along(axis, y.ndim, slice(None, -1))]
    sums = np.cumsum(width * (later + earlier) / 2, axis=axis)
    if initial is None:
        return sums
    shape = list(np.shape(sums))
    shape[axis] = 1
    return np.concatenate([np.zeros(shape, sums.dtype), sums], axis=axis)


def _parabolas(y: Array, h: Array) -> Array:
    """The integral over pairs of intervals h (..., 2 k), y (..., 2 k + 1), each by a parabola."""
    a, b = h[..., ::2], h[..., 1::2]
    total = a + b
    first = y[..., :-2:2] * (2 - b / a)
    middle = y[..., 1:-1:2] * (total * (total / (a * b)))
    last = y[..., 2::2] * (2 - a / b)
    return np.sum(total / 6 * (first + middle + last), axis=-1)


def _last_interval(y: Array, h: Array) -> Array:
    """The integral over the last interval, by the parabola of the last three points (Cartwright
    2017, equation 8)."""
    a, b = h[..., -2], h[..., -1]
    last = (2 * b * b + 3 * a * b) / (6 * (a + b))
    middle = (b * b + 3 * a * b) / (6 * a)
    first = b * b * b / (6 * a * (a + b))
    return last * y[..., -1] + middle * y[..., -2] - first * y[..., -3]


@definition(integrate.simpson)
def simpson(
    y: Array,
    x: Array | None = None,
    dx: Operand = 1.0,
    axis: int = -1,
) -> Array:
    """By a parabola for each pair of intervals; an odd last one by the parabola before it.

    The points are distinct: two that coincide have no parabola, and no derivative.
    """
    y = as_array(y)
    width: Array = np.expand_dims(dx, -1)  # of each integral, if there are several
    if x is not None:
        width = np.moveaxis(_distances(x, dx, axis, y.ndim), axis, -1)
    y = np.moveaxis(y, axis, -1)
    *batch, n = np.shape(y)
    batch = np.broadcast_shapes(batch, np.shape(width)[:-1])
    h = np.broadcast_to(width, (*batch, n - 1))
    if n == 1:
        return np.broadcast_to(0.0 * y[..., 0], batch)
    if n == 2:
        return h[..., 0] * (y[..., 0] + y[..., 1]) / 2
    if n % 2:
        return _parabolas(y, h)
    rest = _last_interval(y, h)
    return _parabolas(y[..., :-1], h[..., :-1]) + rest


# --------------------------------------------------------------------------- differential equations

Slope = Callable[..., Any]  # f(y, t, *args), a vector
Options = Mapping[str, Any]  # of the solver
SUCCESS = "Integration successful."


def _variable(x: Any) -> Any:
    """An operand as a variable of its own in the graph; what has no derivative as it is."""
    if type(x) is Tensor and x._node is not None:
        return np.positive(x)
    value = unwrap(x)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        return value
    return wrap(value, Node(None, {}, {}, value.shape, value.dtype))


def _vector(value: Any) -> Array:
    """What f returned: an array, or a list of numbers."""
    if isinstance(value, (list, tuple)):
        value = np.stack([as_array(part) for part in value])
    return np.ravel(value)


class Linearised:
    """f at a point, and its derivatives there, by y and by each of args."""

    def __init__(
        self,
        f: Slope,
        y: Array,
        t: Array,
        args: Sequence[Any],
    ) -> None:
        self.graph = is_recording() and place_of([y, t, *args]) is not None
        with switched("recording", True):
            self.operands = [_variable(x) for x in (y, *args)]
            self.found = _vector(f(self.operands[0], t, *self.operands[1:]))
        self.value: Array = self.found if self.graph else unwrap(self.found)

    @property
    def roots(self) -> list[Any]:
        """Where the value stands in the graph, if it depends on anything."""
        place = place_of(self.found)
        return [] if place is None else [place]

    def pull(self, a: Array) -> list[Array]:
        """a df/dy, and a df/dargs for each of args."""
        graph = self.graph or (is_recording() and place_of(a) is not None)
        places = [place_of(x) for x in self.operands]
        wanted = [place for place in places if place is not None]
        gradients = backpropagate([(root, a) for root in self.roots], wanted, graph)
        pairs = zip(self.operands, places, strict=True)
        return [gradients.get(place, np.zeros(np.shape(x))) for x, place in pairs]

    def push(self, tangents: Sequence[Any]) -> Array:
        """df/dy s + df/dargs v for the tangents s, v of y and of args."""
        graph = self.graph or (is_recording() and place_of(list(tangents)) is not None)
        pairs = zip(self.operands, tangents, strict=True)
        seeds = {place_of(x): v for x, v in pairs if place_of(x) is not None and v is not None}
        found = pushforward(seeds, self.roots, graph)
        nothing = np.zeros(np.shape(self.value))
        return next((found[root] for root in self.roots if root in found), nothing)


def solution(operands: list[Any], f: Slope, options: Options) -> Array:
    """y at the times t of dy/dt = f(y, t, *args), (times, n); operands are y0, t and args.

    Raises RuntimeError where the solver gives up: SciPy warns, and returns what it has.
    """
    y0, t, *args = operands
    with unobserved():  # f is evaluated hundreds of times
        found, report = integrate.odeint(f, y0, t, tuple(args), full_output=True, **options)
    if report["message"] != SUCCESS:
        raise RuntimeError(f"scipy.integrate.odeint: {report['message']}")
    return found


def _slopes(
    f: Slope,
    y: Array,
    t: Array,
    args: Sequence[Any],
) -> Array:
    """f at each time: (times, n)."""
    return np.stack([_vector(f(y[i], t[i], *args)) for i in range(len(t))])


def _is_parameter(x: Any) -> bool:
    """Whether one of args is differentiated."""
    return hasattr(x, "dtype") and x.dtype.kind == "f"


def _adjoint(
    g: Array,
    y: Array,
    operands: list[Any],
    f: Slope,
    options: Options,
) -> list[Any]:
    """The gradients of y0, t and args: the adjoint's equation, one interval after the other, the
    last one first."""
    y0, t, *args = operands
    n = np.shape(y)[1]
    parameters = [i for i, x in enumerate(args) if _is_parameter(x)]
    sizes = [np.size(args[i]) for i in parameters]

    def backward(state: Array, time: Array, *args: Any) -> Array:
        """Of y, of the adjoint, and of the gradients of the parameters."""
        at = Linearised(f, state[:n], time, args)
        of_y, *of_args = at.pull(state[n : 2 * n])
        rates = [-np.ravel(of_args[i]) for i in parameters]
        return np.concatenate([at.value, -of_y, *rates])

    slopes = _slopes(f, y, t, args)
    of_times = [np.sum(g[i] * slopes[i]) for i in range(1, len(t))]
    adjoint = g[-1]
    collected: Array = np.zeros(sum(sizes))
    for i in range(len(t) - 1, 0, -1):
        start = np.concatenate([y[i], adjoint, collected])
        interval = np.flip(t[i - 1 : i + 1])
        end = solution([start, interval, *args], backward, options)[-1]
        collected = end[2 * n :]
        if i == 1:
            of_times.insert(0, -np.sum(end[n : 2 * n] * slopes[0]))
        adjoint = end[n : 2 * n] + g[i - 1]
    gradients: list[Any] = [None] * len(args)
    parts = np.split(collected, np.cumsum(sizes)[:-1]) if sizes else []
    for i, part in zip(parameters, parts, strict=True):
        gradients[i] = np.reshape(part, np.shape(args[i]))
    of_t = np.stack(of_times) if of_times else np.zeros(np.shape(t))
    return [np.reshape(adjoint, np.shape(y0)), of_t, *gradients]


def _sensitivity(
    t: list[Any],
    y: Array,
    operands: list[Any],
    f: Slope,
    options: Options,
) -> Array:
    """The tangent of the solution from those of y0, t and args, in which t stands for all."""
    y0, times, *args = operands
    along_y0, along_times, *along_args = t
    n = np.shape(y)[1]
    parameters = [i for i, v in enumerate(along_args) if v is not None]

    def forward(state: Array, time: Array, *both: Any) -> Array:
        """Of y and of its tangent; behind args stand their tangents."""
        args, tangents = both[: len(along_args)], [None] * len(along_args)
        for i, v in zip(parameters, both[len(along_args) :], strict=True):
            tangents[i] = v
        at = Linearised(f, state[:n], time, args)
        return np.concatenate([at.value, at.push([state[n:], *tangents])])

    slopes = _slopes(f, y, times, args)
    start = np.zeros(n) if along_y0 is None else np.ravel(along_y0)
    if along_times is not None:
        start = start - slopes[0] * along_times[0]
    state = np.concatenate([np.ravel(y0), start])
    given = [along_args[i] for i in parameters]
    tangent = solution([state, times, *args, *given], forward, options)[:, n:]
    if along_times is not None:
        tangent = tangent + slopes * np.expand_dims(along_times, -1)
    return tangent


solution = derivative(solution, operands=_adjoint).tangent(operands=_sensitivity)
JACOBIAN = ("Dfun", "col_deriv", "ml", "mu")  # only speed
MESSAGES = ("ixpr", "mxhnil", "printmessg")


@definition(integrate.odeint, inert=(*JACOBIAN, *MESSAGES), calls=True)
def odeint(
    func: Slope,
    y0: Operand,
    t: Array,
    args: tuple[Any, ...] = (),
    rtol: float | None = None,
    atol: float | None = None,
    h0: float = 0.0,
    hmax: float = 0.0,
    hmin: float = 0.0,
    mxstep: int = 0,
    mxordn: int = 12,
    mxords: int = 5,
    tfirst: bool = False,
) -> Array:
    """The solution of dy/dt = func(y, t, *args), or of func(t, y, *args) with `tfirst`.

    Differentiated in y0, t and args; func itself must not depend on other tensors. `rtol` and
    `atol` are single numbers.
    """
    args = args if isinstance(args, tuple) else (args,)
    for name, value in (("y0", y0), ("t", t), *((f"args[{i}]", a) for i, a in enumerate(args))):
        if hasattr(value, "dtype"):
            refuse_complex(integrate.odeint, **{name: value})
    options = {
        "rtol": rtol,
        "atol": atol,
        "h0": h0,
        "hmax": hmax,
        "hmin": hmin,
        "mxstep": mxstep,
        "mxordn": mxordn,
        "mxords": mxords,
    }

    def slope(y: Array, time: Array, *args: Any) -> Any:
        return func(time, y, *args) if tfirst else func(y, time, *args)

    return solution([as_array(y0), as_array(t), *args], slope, options)
