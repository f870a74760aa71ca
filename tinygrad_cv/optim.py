"""Optimisers, schedules of the learning rate, gradient clipping, moving averages of weights.

Parameters that an optimiser is given move into an arena, one flat buffer of which each `parameter.data` becomes a view; a
step goes over it in tiles that stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .arena import Arena
from .machine import subnormals_as_zero
from .nn import Module
from .tensor import Tensor, unwrap


class Optimizer:
    """What optimisers share. A subclass names its `slots`, the state it keeps per element, and updates a flat stretch.

    Parameters whose `.grad` is None are skipped, and their number of steps does not grow. `learning_rate` may be set
    at any time. `state_dict` and `load_state_dict` continue a run to the same bits.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        if not self.parameters:
            raise ValueError(
                "there are no parameters to optimise; an iterator may have been used up: pass module.parameters() anew"
            )
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ValueError("a parameter is given twice")
        for p in self.parameters:
            if type(p) is not Tensor or not p.is_leaf or p.dtype.kind != "f":
                raise TypeError(f"a parameter is a floating-point leaf tensor, not {p!r}")
        dtypes = dict.fromkeys(p.dtype for p in self.parameters)
        self.arenas = [
            Arena([p for p in self.parameters if p.dtype == d], self.slots) for d in dtypes
        ]

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for arena in self.arenas:
            mine = arena.average()
            with subnormals_as_zero():
                for tile, step, g in arena.tiles(mine):
                    a, b = (s[: len(g)] for s in arena.scratch)
                    slots = {name: flat[tile] for name, flat in arena.slots.items()}
                    self.update(
                        arena.values[tile], g, a, b, float(self.learning_rate), step, **slots
                    )
            arena.ranks.barrier()

    def average_gradients(self) -> None:
        """Make each `.grad` the average over the ranks (`parallel`), for those who look at it before the step, or clip it.

        Otherwise `step` does that, each rank for the stretch that it updates. On one process there is nothing to do.
        """
        for arena in self.arenas:
            arena.average()
            arena.collect()

    def update(
        self,
        p: np.ndarray,
        g: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        rate: float,
        step: int,
        **slots: np.ndarray,
    ) -> None:
        """Change p in place by its gradient g, which is not written to; a and b are there for intermediate values."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the parameters' gradients."""
        for parameter in self.parameters:
            parameter.grad = None
        for arena in self.arenas:
            arena.averaged = False

    def _state(self) -> Iterator[tuple[int, Arena, int]]:
        """Each parameter's number, arena and place there."""
        places = {
            id(p): (arena, i) for arena in self.arenas for i, p in enumerate(arena.parameters)
        }
        return ((n, *places[id(p)]) for n, p in enumerate(self.parameters))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all state by name: "learning_rate", "0.step", "0.momentum", ... with the parameter's number."""
        state = {"learning_rate": np.array(self.learning_rate)}
        for n, arena, i in self._state():
            state[f"{n}.step"] = np.array(arena.steps[i])
            state |= {
                f"{n}.{slot}": arena.view(flat, i).copy() for slot, flat in arena.slots.items()
            }
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the state of an optimiser of the same kind on parameters of the same shapes."""
        own = {name: array.shape for name, array in self.state_dict().items()}
        given = {name: np.shape(array) for name, array in state.items()}
        if own != given:
            wrong = sorted(
                name for name in own.keys() | given.keys() if own.get(name) != given.get(name)
            )
            told = ", ".join(
                f"{n} (here {own.get(n, 'none')}, given {given.get(n, 'none')})" for n in wrong[:5]
            )
            raise ValueError(
                f"the state does not fit this {type(self).__name__}; {len(wrong)} names or shapes differ: {told}"
            )
        self.learning_rate = float(state["learning_rate"])
        for n, arena, i in self._state():
            arena.steps[i] = int(state[f"{n}.step"])
            for slot, flat in arena.slots.items():
                arena.view(flat, i)[...] = state[f"{n}.{slot}"]


class SGD(Optimizer):
    """Stochastic gradient descent; with momentum, v = momentum v + g and p -= rate v.

    That is PyTorch's form of Sutskever et al. 2013. Nesterov's variant steps along g + momentum v. `weight_decay` adds
    weight_decay p to g.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        if nesterov and not momentum:
            raise ValueError("nesterov needs a momentum above 0")
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.slots = ("momentum",) if momentum else ()
        super().__init__(parameters, learning_rate)

    def update(self, p: Any, g: Any, a: Any, b: Any, rate: float, step: int, **slots: Any) -> None:
        g = _decayed(p, g, self.weight_decay, a)
        if self.momentum:
            v = slots["momentum"]
            v *= self.momentum
            v += g
            g = np.add(g, np.multiply(v, self.momentum, out=b), out=b) if self.nesterov else v
        p -= np.multiply(g, rate, out=b)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1). `weight_decay` adds weight_decay p to the gradient; see `AdamW`."""

    slots = ("gradient_sum", "square_sum")
    decoupled = False

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        super().__init__(parameters, learning_rate)

    def update(self, p: Any, g: Any, a: Any, b: Any, rate: float, step: int, **slots: Any) -> None:
        """p -= rate m' / (sqrt(v') + eps), where m' = m / (1 - beta1^step) and v' likewise make up for the start at 0.

        The moments m and v are kept as discounted sums, m / (1 - beta1) and v / (1 - beta2), and the factors join those of
        the step: a quarter less to go through in memory.
        """
        (beta1, beta2), gradients, squares = self.betas, slots["gradient_sum"], slots["square_sum"]
        if not self.decoupled:
            g = _decayed(p, g, self.weight_decay, a)
        elif self.weight_decay:
            p *= 1 - rate * self.weight_decay
        squares *= beta2
        squares += np.multiply(g, g, out=b)
        gradients *= beta1
        gradients += g
        root = math.sqrt((1 - beta2) / (1 - beta2**step))
        np.sqrt(squares, out=b)
        b += self.eps / root
        np.divide(gradients, b, out=b)
        b *= rate * (1 - beta1) / (1 - beta1**step) / root
        p -= b


class AdamW(Adam):
    """Adam with decoupled weight decay: p -= rate weight_decay p beside the step (Loshchilov & Hutter 2019)."""

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, learning_rate, betas, eps, weight_decay)


class RMSProp(Optimizer):
    """The gradient over the root of its running mean square (Hinton, lecture 6e, 2012), in PyTorch's form.

    `centered` subtracts the squared running mean (Graves 2013, equation 40). With momentum the quotients are summed up
    as the gradients are in `SGD`.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.alpha, self.eps, self.momentum, self.centered, self.weight_decay = (
            alpha,
            eps,
            momentum,
            centered,
            weight_decay,
        )
        self.slots = (
            "square",
            *(["mean"] if centered else []),
            *(["momentum"] if momentum else []),
        )
        super().__init__(parameters, learning_rate)

    def update(self, p: Any, g: Any, a: Any, b: Any, rate: float, step: int, **slots: Any) -> None:
        square = slots["square"]
        g = _decayed(p, g, self.weight_decay, a)
        _towards(square, np.multiply(g, g, out=b), self.alpha, b)
        if self.centered:
            mean = slots["mean"]
            _towards(mean, g, self.alpha, b)
            square = np.subtract(square, np.multiply(mean, mean, out=b), out=b)
        np.sqrt(square, out=b)
        b += self.eps
        np.divide(g, b, out=b)
        if self.momentum:
            v = slots["momentum"]
            v *= self.momentum
            v += b
            np.copyto(b, v)
        b *= rate
        p -= b


def _decayed(p: np.ndarray, g: np.ndarray, weight_decay: float, a: np.ndarray) -> np.ndarray:
    """g + weight_decay p, in a."""
    return np.add(g, np.multiply(p, weight_decay, out=a), out=a) if weight_decay else g


def _towards(average: np.ndarray, value: np.ndarray, decay: float, b: np.ndarray) -> None:
    """average = decay average + (1 - decay) value, in place; b may be the value itself."""
    average *= decay
    average += np.multiply(value, 1 - decay, out=b)


# ---------------------------------------------------------------------------------------------------------- schedules

Schedule = Callable[[int], float]  # step -> factor of the learning rate


def constant() -> Schedule:
    """1 for ever."""
    return lambda step: 1.0


def step_decay(size: int, factor: float) -> Schedule:
    """Times `factor` after every `size` steps."""
    return lambda step: factor ** (step // size)


def cosine(total: int, minimum: float = 0.0) -> Schedule:
    """Half a cosine from 1 down to `minimum` at `total` steps (Loshchilov & Hutter 2017, equation 5)."""
    return lambda step: (
        minimum + (1 - minimum) * (1 + math.cos(math.pi * min(step, total) / total)) / 2
    )


def warm_up(steps: int, then: Schedule | None = None) -> Schedule:
    """1 / steps, 2 / steps, ... up to 1 (Goyal et al. 2017, section 2.2); then another schedule from its start."""
    later = then or constant()
    return lambda step: (step + 1) / steps if step < steps else later(step - steps)


def inverse_square_root(warm_up: int, dimension: int) -> Schedule:
    """dimension^-1/2 min(s^-1/2, s warm_up^-3/2) at step s = 1, 2, ... (Vaswani et al. 2017, equation 3).

    It rises linearly for `warm_up` steps, then falls with the root of the step; the paper's learning rate is this alone.
    """
    return lambda step: min((step + 1) ** -0.5, (step + 1) * warm_up**-1.5) / math.sqrt(dimension)


# ----------------------------------------------------------------------------------------------------------- clipping


def clip_gradients_by_norm(parameters: Iterable[Tensor], maximum: float) -> float:
    """Scale all gradients together to a Euclidean norm of at most `maximum` (Pascanu et al. 2013, algorithm 1).

    Returns the norm before. If that is not finite, the gradients are left as they are.
    """
    owners = [p for p in parameters if p.grad is not None]
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in (unwrap(p.grad) for p in owners)))
    if maximum < norm < math.inf:
        for p in owners:
            g = unwrap(p.grad)
            p.grad = np.multiply(g, maximum / norm, out=g if g.flags.writeable else None)
    return norm


def clip_gradients_by_value(parameters: Iterable[Tensor], maximum: float) -> None:
    """Limit each element of the gradients to [-maximum, maximum]."""
    for p in parameters:
        if p.grad is not None:
            p.grad = np.clip(unwrap(p.grad), -maximum, maximum)


# ----------------------------------------------------------------------------------------------------- moving averages


class ExponentialMovingAverage:
    """A smoothed copy of a module's parameters: average = decay average + (1 - decay) parameter.

    Buffers are copied as they are. `with average.applied():` puts the averages into the module for a while.
    """

    def __init__(self, module: Module, decay: float) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"decay lies between 0 and 1, not {decay}")
        self.module, self.decay = module, decay
        self.averages = {name: array.copy() for name, array in module.state_dict().items()}

    def update(self) -> None:
        """Move the averages towards the module's present parameters."""
        buffers = dict(self.module.named_buffers())
        for name, array in self.module.state_dict().items():
            average = self.averages[name]
            if name in buffers:
                average[...] = array
            else:
                step = np.subtract(array, average)
                average += np.multiply(step, 1 - self.decay, out=step)

    @contextmanager
    def applied(self) -> Iterator[Module]:
        """Inside this context the module has the averaged weights, on this rank alone; its own are laid aside."""
        weights = [
            (weight, weight.data, self.averages[name])
            for name, weight in self.module.named_parameters()
        ]
        buffers = [
            (array, array.copy(), self.averages[name])
            for name, array in self.module.named_buffers()
        ]
        for weight, _, average in weights:
            weight.data = average.copy()
        for array, _, average in buffers:
            array[...] = average
        try:
            yield self.module
        finally:
            for weight, own, _ in weights:
                weight.data = own
            for array, before, _ in buffers:
                array[...] = before

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the averages, under the names of the module's `state_dict`."""
        return {name: array.copy() for name, array in self.averages.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over averages."""
        own, given = (
            {n: np.shape(a) for n, a in arrays.items()} for arrays in (self.averages, state)
        )
        wrong = sorted(n for n in own.keys() | given.keys() if own.get(n) != given.get(n))
        if wrong:
            raise ValueError(
                f"the averages do not fit this module: names or shapes differ at {', '.join(wrong)}"
            )
        for name, average in self.averages.items():
            average[...] = state[name]
