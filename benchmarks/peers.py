"""Gradient checkers behind one interface, and how a planted pair is set before each.

A checker has a `name` and `check(pair)`, which returns what to call: it raises, or returns False,
if something is wrong. NotTaken is raised for a pair that a checker has no form for. A forward
function of NumPy arrays goes to PyTorch as an autograd.Function, to JAX as a custom_vjp or
custom_jvp with a callback, to HIPS autograd as a primitive.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import testing
from tinygrad_cv.typing import Array, ArrayLike, PyTree

from .planted import Pair
from .planted.evidence import drawn_like, fresh, is_float, leaves

Check = Callable[[], Any]
Foreign: TypeAlias = Any  # an array, a function or a context of another library
LARGEST = 5000  # elements of a case for those who fill the whole Jacobian


class NotTaken(Exception):
    """A checker has no form for such a pair."""


class Checker(Protocol):
    """A gradient checker of one project."""

    name: str

    def check(self, pair: Pair) -> Check:
        """The check of a pair at its arguments."""


# ------------------------------------------------------------------------------------------- ours


class Ours:
    """Each pair at its own door, with the options that it asks for."""

    name = "tinygrad_cv"

    def __init__(self, rng: int = 0) -> None:
        self.rng = rng

    def check(self, pair: Pair) -> Check:
        args = fresh(pair.args)
        rng = self.rng
        if not pair.shows:
            return self.property_test(pair)
        if pair.door == "grad2":
            f = self.rule(pair)
            return lambda: testing.check_grad(f, *args, order=2, rng=rng)
        if pair.door == "invariants":
            both = (pair.forward, pair.derivative)
            return lambda: testing.check_invariants(both, *args, rng=rng)
        call = getattr(testing, f"check_{pair.door}")
        options = self.options(pair, call)
        return lambda: call(pair.forward, pair.derivative, *args, rng=rng, **options)

    def options(self, pair: Pair, call: Callable[..., Any]) -> dict[str, Any]:
        """The pair's options; NotTaken for one that the check has not."""
        known = inspect.signature(call).parameters
        found = {}
        for name, value in pair.options.items():
            if name not in known:
                raise NotTaken
            found[name] = value
        return found

    def property_test(self, pair: Pair) -> Check:
        """A mistake that does not show at its arguments, for arguments that are drawn."""
        assert pair.strategy is not None
        decorate = testing.gradtest(pair.strategy(), backward=pair.derivative, examples=200)
        forward = pair.forward

        def function(*args: PyTree) -> PyTree:
            return forward(*args)

        return decorate(function)

    def rule(self, pair: Pair) -> Callable[..., Any]:
        """The pair as a rule of the calculus table, whose formula has a rule of its own."""
        forward, derived, second = pair.forward, pair.derivative, pair.second
        assert second is not None
        slope = tg.derivative(
            lambda c, x: derived(c, x),
            c=lambda g, c, x: second(g, c, x)[0],
            x=lambda g, c, x: second(g, c, x)[1],
        )

        def formula(g: Array, x: Array) -> Array:
            recorded = tg.Tensor in (type(g), type(x))
            return slope(g, x) if recorded else derived(g, x)

        rule = tg.derivative(lambda x: forward(x), x=formula)
        return lambda x: rule(x)


class OurInvariants:
    """`check_invariants` alone, which compares with no differences."""

    name = "check_invariants"

    def check(self, pair: Pair) -> Check:
        if pair.door not in ("vjp", "invariants") or pair.options or not pair.shows:
            raise NotTaken
        args = fresh(pair.args)
        return lambda: testing.check_invariants((pair.forward, pair.derivative), *args)


# ------------------------------------------------------------------------------ forms for the peers


def places(pair: Pair) -> list[int]:
    """The positions of the arrays to differentiate. NotTaken for what peers have no form for."""
    if not pair.shows or set(pair.options) - {"wrt"}:
        raise NotTaken
    if any(isinstance(a, (dict, list, tuple, float, np.random.Generator)) for a in pair.args):
        raise NotTaken
    chosen = range(len(pair.args)) if "wrt" not in pair.options else [pair.options["wrt"]]
    return [i for i in chosen if is_float(pair.args[i])]


def filled(args: PyTree, where: list[int], arrays: Iterable[Any]) -> list[Any]:
    """The arguments with other arrays at some positions."""
    new = list(args)
    for i, array in zip(where, arrays, strict=True):
        new[i] = array
    return new


def listed(result: PyTree, number: int) -> list[Any]:
    """What a backward pass returns, without None for arguments that have no gradient."""
    given = list(result) if isinstance(result, (tuple, list)) else [result]
    return given if len(given) == number else [a for a in given if a is not None]


def outputs(y: PyTree) -> list[np.ndarray]:
    """The floating-point values of a function, which has them as an array or in a tuple."""
    if isinstance(y, dict) or not all(is_float(v) for v in leaves(y)):
        raise NotTaken
    return [np.asarray(v) for v in leaves(y)]


def pull(pair: Pair, g: PyTree, y: PyTree, args: PyTree) -> PyTree:
    """The gradients of a pair with a backward pass, or an adjoint."""
    if pair.door == "adjoint":
        return pair.derivative(g, *args[1:])
    return pair.derivative(g, y, *args)


def cotangents(g: Sequence[Any], y: PyTree) -> PyTree:
    """One array, or a tuple of them, as the value is."""
    return tuple(g) if isinstance(y, tuple) else g[0]


# ---------------------------------------------------------------------------------------- PyTorch


class Torch:
    """torch.autograd.gradcheck, slow (every element) or fast (one random direction)."""

    def __init__(self, fast: bool) -> None:
        self.torch = importlib.import_module("torch")
        self.fast = fast
        self.name = f"torch {'fast' if fast else 'slow'}"

    def check(self, pair: Pair) -> Check:
        torch = self.torch
        where = places(pair)
        outputs(pair.forward(*fresh(pair.args)))
        args = fresh(pair.args)
        given = [torch.tensor(args[i], requires_grad=True) for i in where]
        if not self.fast and sum(t.numel() for t in given) > LARGEST:
            raise NotTaken
        if pair.door == "grad2":
            f = self.second(pair)
            return lambda: (
                torch.autograd.gradcheck(f, given, fast_mode=self.fast)
                and torch.autograd.gradgradcheck(f, given, fast_mode=self.fast)
            )
        if pair.door == "jvp":
            f = self.forward_mode(pair, args, where)
            return lambda: torch.autograd.gradcheck(
                f, given, fast_mode=self.fast, check_forward_ad=True, check_backward_ad=False
            )
        f = self.reverse_mode(pair, args, where)
        return lambda: torch.autograd.gradcheck(f, given, fast_mode=self.fast)

    def as_tensors(self, y: PyTree) -> Foreign:
        """Tensors that share no memory."""
        tensors = [self.torch.from_numpy(np.array(v)) for v in leaves(y)]
        return tuple(tensors) if isinstance(y, tuple) else tensors[0]

    def reverse_mode(self, pair: Pair, args: PyTree, where: list[int]) -> Callable[..., Any]:
        torch = self.torch

        class Function(torch.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Foreign, *tensors: Foreign) -> Foreign:
                ctx.args = filled(args, where, [t.detach().numpy() for t in tensors])
                ctx.y = pair.forward(*ctx.args)
                return self.as_tensors(ctx.y)

            @staticmethod
            def backward(ctx: Foreign, *g: Foreign) -> Foreign:
                given = cotangents([a.numpy() for a in g], ctx.y)
                arrays = listed(pull(pair, given, ctx.y, ctx.args), len(where))
                return tuple(None if a is None else torch.as_tensor(np.asarray(a)) for a in arrays)

        return Function.apply

    def forward_mode(self, pair: Pair, args: PyTree, where: list[int]) -> Callable[..., Any]:
        torch = self.torch

        class Function(torch.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Foreign, *tensors: Foreign) -> Foreign:
                ctx.args = filled(args, where, [t.detach().numpy() for t in tensors])
                return self.as_tensors(pair.forward(*ctx.args))

            @staticmethod
            def jvp(ctx: Foreign, *tangents: Foreign) -> Foreign:
                arrays = [None if t is None else t.numpy() for t in tangents]
                all_tangents = filled([None] * len(args), where, arrays)
                return self.as_tensors(pair.derivative(tuple(ctx.args), tuple(all_tangents)))

        return Function.apply

    def second(self, pair: Pair) -> Callable[..., Any]:
        torch = self.torch

        class Back(torch.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Foreign, g: Foreign, x: Foreign) -> Foreign:
                ctx.save_for_backward(g, x)
                return self.as_tensors(pair.derivative(g.numpy(), x.numpy()))

            @staticmethod
            def backward(ctx: Foreign, h: Foreign) -> Foreign:
                g, x = (t.detach().numpy() for t in ctx.saved_tensors)
                return tuple(map(self.as_tensors, pair.second(h.numpy(), g, x)))

        class Front(torch.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Foreign, x: Foreign) -> Foreign:
                ctx.save_for_backward(x)
                return self.as_tensors(pair.forward(x.numpy()))

            @staticmethod
            def backward(ctx: Foreign, g: Foreign) -> Foreign:
                return Back.apply(g, ctx.saved_tensors[0])

        return Front.apply


# -------------------------------------------------------------------------------------------- JAX


class Jax:
    """jax.test_util.check_grads. JAX's cotangents of complex numbers are PyTorch's, conjugated."""

    name = "jax"

    def __init__(self) -> None:
        self.jax = importlib.import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        logging.getLogger("jax").setLevel(logging.CRITICAL)  # a function that raises is no news
        self.check_grads = importlib.import_module("jax.test_util").check_grads

    def check(self, pair: Pair) -> Check:
        where = places(pair)
        args = fresh(pair.args)
        outputs(pair.forward(*fresh(pair.args)))
        given = tuple(args[i] for i in where)
        if pair.door == "grad2":
            f = self.second(pair)
            return lambda: self.check_grads(f, given, order=2, modes=["rev"])
        if pair.door == "jvp":
            f = self.forward_mode(pair, args, where)
            return lambda: self.check_grads(f, given, order=1, modes=["fwd"])
        f = self.reverse_mode(pair, args, where)
        return lambda: self.check_grads(f, given, order=1, modes=["rev"])

    def called(self, function: Callable[..., PyTree], like: PyTree, *tensors: Foreign) -> Foreign:
        """A NumPy function of traced arrays, whose result has the shapes and dtypes of `like`."""
        jax = self.jax
        shape = lambda a: jax.ShapeDtypeStruct(np.shape(a), np.asarray(a).dtype)
        shapes = jax.tree_util.tree_map(shape, like)

        def call(*arrays: Foreign) -> PyTree:
            result = function(*[np.array(a) for a in arrays])
            return jax.tree_util.tree_map(np.asarray, result)

        return jax.pure_callback(call, shapes, *tensors)

    def reverse_mode(self, pair: Pair, args: PyTree, where: list[int]) -> Callable[..., Any]:
        like = pair.forward(*fresh(args))
        given = [args[i] for i in where]

        def value(*tensors: Foreign) -> Foreign:
            return self.called(
                lambda *arrays: pair.forward(*filled(args, where, arrays)), like, *tensors
            )

        def back(tensors: Foreign, g: Foreign) -> Foreign:
            def call(*arrays: Foreign) -> Foreign:
                full = filled(args, where, arrays[: len(where)])
                y = pair.forward(*full)
                conjugated = [np.conj(a) for a in arrays[len(where) :]]
                found = listed(pull(pair, cotangents(conjugated, y), y, full), len(where))
                return tuple(np.conj(a) if np.iscomplexobj(a) else np.asarray(a) for a in found)

            return self.called(call, tuple(given), *tensors, *leaves(g))

        f = self.jax.custom_vjp(value)
        f.defvjp(lambda *tensors: (value(*tensors), tensors), back)
        function: Callable[..., Any] = f
        return function

    def forward_mode(self, pair: Pair, args: PyTree, where: list[int]) -> Callable[..., Any]:
        like = pair.forward(*fresh(args))

        def value(*tensors: Foreign) -> Foreign:
            return self.called(
                lambda *arrays: pair.forward(*filled(args, where, arrays)), like, *tensors
            )

        def push(primals: Foreign, tangents: Foreign) -> Foreign:
            def call(*arrays: Foreign) -> Foreign:
                full = filled(args, where, arrays[: len(where)])
                all_tangents = filled([None] * len(args), where, arrays[len(where) :])
                return pair.derivative(tuple(full), tuple(all_tangents))

            return value(*primals), self.called(call, like, *primals, *tangents)

        f = self.jax.custom_jvp(value)
        f.defjvp(push)
        function: Callable[..., Any] = f
        return function

    def second(self, pair: Pair) -> Callable[..., Any]:
        x = pair.args[0]
        like = pair.forward(x)
        back = self.jax.custom_vjp(lambda g, x: self.called(pair.derivative, x, g, x))

        def back_of_back(saved: Foreign, h: Foreign) -> Foreign:
            return self.called(lambda h, g, x: tuple(pair.second(h, g, x)), (like, x), h, *saved)

        back.defvjp(lambda g, x: (back(g, x), (g, x)), back_of_back)
        front = self.jax.custom_vjp(lambda x: self.called(pair.forward, like, x))
        front.defvjp(lambda x: (front(x), x), lambda x, g: (back(g, x),))
        function: Callable[..., Any] = front
        return function


# --------------------------------------------------------------------------------- HIPS autograd


class Autograd:
    """autograd.test_util.check_grads. Its complex gradients are PyTorch's, conjugated."""

    name = "autograd"

    def __init__(self) -> None:
        self.extend = importlib.import_module("autograd.extend")
        self.check_grads = importlib.import_module("autograd.test_util").check_grads

    def check(self, pair: Pair) -> Check:
        where = places(pair)
        args = fresh(pair.args)
        y = pair.forward(*fresh(pair.args))
        outputs(y)
        if not isinstance(y, (np.ndarray, np.generic)):
            raise NotTaken
        if pair.door == "grad2":
            f = self.second(pair)
            return lambda: self.check_grads(f, modes=["rev"], order=2)(*args)
        mode = "fwd" if pair.door == "jvp" else "rev"
        f = self.extend.primitive(lambda *args: pair.forward(*args))
        if pair.door == "jvp":
            self.extend.defjvp(f, *[self.push(pair, i) for i in where], argnums=where)
        else:
            makers = [self.pull(pair, k, len(where)) for k in range(len(where))]
            self.extend.defvjp(f, *makers, argnums=where)
        whole = lambda *given: f(*filled(args, where, given))
        first = tuple(range(len(where)))  # else autograd checks the first argument only
        check = self.check_grads(whole, first, modes=[mode], order=1)
        return lambda: check(*[args[i] for i in where])

    def pull(self, pair: Pair, k: int, number: int) -> Callable[..., Any]:
        def maker(y: Foreign, *args: PyTree) -> Callable[[Any], Any]:
            conj = lambda a: np.conj(a) if np.iscomplexobj(a) else a
            return lambda g: conj(listed(pull(pair, conj(g), y, args), number)[k])

        return maker

    def push(self, pair: Pair, place: int) -> Callable[..., Any]:
        def pushed(t: Foreign, y: Foreign, *args: PyTree) -> Foreign:
            tangents = filled([None] * len(args), [place], [t])
            return pair.derivative(tuple(args), tuple(tangents))

        return pushed

    def second(self, pair: Pair) -> Callable[..., Any]:
        assert pair.second is not None
        second = pair.second
        back = self.extend.primitive(lambda g, x: pair.derivative(g, x))
        self.extend.defvjp(
            back,
            lambda y, g, x: lambda h: second(h, g, x)[0],
            lambda y, g, x: lambda h: second(h, g, x)[1],
        )
        front = self.extend.primitive(lambda x: pair.forward(x))
        self.extend.defvjp(front, lambda y, x: lambda g: back(g, x))
        function: Callable[..., Any] = front
        return function


# ------------------------------------------------------------------------------ central differences


class Differences:
    """Adaptive central differences of order 5, as FiniteDifferences.jl has them.

    Five points, at a step that balances rounding against truncation: the fifth derivative is
    estimated from seven points first. Gradients agree within 1e-9, absolute or relative to their
    norm, as in ChainRulesTestUtils.jl.
    """

    name = "central differences"
    order = 5
    tolerance = 1e-9

    def __init__(self) -> None:
        self.grid = np.arange(-2, 3)
        self.wide_grid = np.arange(-3, 4)
        self.weights = self.weights_of(self.grid, 1)
        beside = [self.wide_grid + shift for shift in (-1, 0, 1)]
        self.fifth = [self.weights_of(grid, 5) for grid in beside]

    @staticmethod
    def weights_of(grid: np.ndarray, q: int) -> np.ndarray:
        """The weights of values on a grid in the derivative of order q."""
        powers = np.vander(grid.astype(float), increasing=True).T
        unit = np.zeros(len(grid))
        unit[q] = math.factorial(q)
        return np.linalg.solve(powers, unit)

    @staticmethod
    def balanced(
        weights: np.ndarray, grid: np.ndarray, q: int, bend: float, rounding: float
    ) -> float:
        """The step where the bounds of both errors are equal."""
        p = len(grid)
        first = rounding * np.sum(abs(weights))
        second = bend * np.sum(abs(weights * grid.astype(float) ** p)) / math.factorial(p)
        return float((q / (p - q) * first / second) ** (1 / p))

    def slope(self, phi: Callable[[float], np.ndarray]) -> np.ndarray:
        """The derivative of phi at 0."""
        eps = np.finfo(float).eps
        step = self.balanced(self.fifth[1], self.wide_grid, 5, 10, eps)
        values = np.array([phi(step * k) for k in self.wide_grid])
        bends = [np.tensordot(w, values, 1) / step**5 for w in self.fifth]
        bend = float(np.max(np.abs(bends), initial=0))
        size = float(np.max(np.abs(values), initial=0))
        usual = self.balanced(self.weights, self.grid, 1, 10, eps)
        if bend and size:
            best = self.balanced(self.weights, self.grid, 1, bend, float(np.spacing(size)))
            usual = min(best, 1000 * usual)
        values = np.array([phi(usual * k) for k in self.grid])
        return np.asarray(np.tensordot(self.weights, values, 1) / usual)

    def check(self, pair: Pair) -> Check:
        where = places(pair)
        args = fresh(pair.args)
        if pair.door == "grad2" or any(np.iscomplexobj(args[i]) for i in where):
            raise NotTaken
        if sum(np.size(args[i]) for i in where) > LARGEST:
            raise NotTaken
        if pair.door == "jvp":
            return lambda: self.tangents_agree(pair, args, where)
        return lambda: self.gradients_agree(pair, args, where)

    def agree(self, one: ArrayLike, other: ArrayLike) -> bool:
        """Julia's isapprox: by norms. NaN agrees with nothing."""
        one, other = np.asarray(one), np.asarray(other)
        if one.shape != other.shape:
            return False
        size = max(np.linalg.norm(one.ravel()), np.linalg.norm(other.ravel()))
        apart = np.linalg.norm((one - other).ravel())
        return bool(apart <= max(self.tolerance, self.tolerance * size))

    def gradients_agree(self, pair: Pair, args: PyTree, where: list[int]) -> bool:
        y = pair.forward(*args)
        g = drawn_like(y)
        found = listed(pull(pair, g, y, args), len(where))
        if len(found) != len(where):
            return False
        flat = self.flat(g)
        for i, gradient in zip(where, found, strict=True):
            numeric = np.zeros(np.shape(args[i]))
            for index in np.ndindex(numeric.shape):

                def phi(t: float, i: int = i, index: tuple[int, ...] = index) -> np.ndarray:
                    moved = np.array(args[i])
                    moved[index] += t
                    return self.flat(pair.forward(*filled(args, [i], [moved])))

                numeric[index] = flat @ self.slope(phi)
            if not self.agree(gradient, numeric):
                return False
        return True

    def tangents_agree(self, pair: Pair, args: PyTree, where: list[int]) -> bool:
        tangents = tuple(drawn_like(args))
        pushed = pair.derivative(tuple(args), tangents)

        def phi(t: float) -> np.ndarray:
            moved = [args[i] + t * tangents[i] for i in where]
            return self.flat(pair.forward(*filled(args, where, moved)))

        return self.agree(self.flat(pushed), self.slope(phi))

    @staticmethod
    def flat(values: PyTree) -> np.ndarray:
        """All numbers in one array, a complex one as two."""
        parts = [np.asarray(v).reshape(-1) for v in leaves(values) if v is not None]
        both = itertools.chain.from_iterable(
            (a.real, a.imag) if a.dtype.kind == "c" else (a,) for a in parts
        )
        return np.concatenate([np.zeros(0), *both])
