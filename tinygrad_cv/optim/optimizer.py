"""What optimisers share: groups of parameters, the step, and state that can be saved.

Each optimiser states its update twice. `reference` is the paper's, in plain lines, on the arrays of
one parameter: read this. `update` is the same in place and without temporary arrays, on tiles of
many parameters end to end (`flat`); it is tested against the reference.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..engine.arguments import real
from ..engine.errors import check_names
from ..engine.observers import Step, observers
from ..machine import subnormals_as_zero
from ..tensor import Tensor
from ..typing import Shape
from .flat import FlatParameters, Run, State, wide
from .state import check_state, flatten, read_options

Reference: TypeAlias = Callable[..., tuple[np.ndarray, State]]  # (p, g, state, t, **options)
Group: TypeAlias = dict[str, Any]  # "params", and each option of the optimiser by name


class Optimizer:
    """What optimisers share: groups of parameters, the step, and state under PyTorch's names.

    `params` is an iterable of tensors, or a list of groups, which are dicts with "params" and
    options of their own:

        groups = [{"params": weights}, {"params": norms, "weight_decay": 0.0}]
        optimizer = AdamW(groups, lr=1e-3, weight_decay=0.1)

    The options in `param_groups` may be changed between steps. Parameters whose `.grad` is None are
    skipped, and their number of steps does not grow. An optimiser that is copied or pickled with
    its model trains on like the original.

    Parameters of float16 are updated in float32 and rounded once, and their state is in float32. So
    a gradient of 0 leaves them as they are in spite of eps, which is 0 in float16. Of PyTorch's own
    the fused optimisers compute like that (with the state rounded to float16 after each step); the
    others make NaN.

    Raises ValueError for options that are unknown or out of range, and for parameters that are
    given twice or not at all; TypeError for parameters that are no floating-point leaf tensors.

    A subclass gives its options to `__init__` here, and defines `check`, `state_names`, `reference`
    and `update`.
    """

    # PyTorch's options that have one value here, and whether its state has "step".
    fixed: ClassVar[Mapping[str, Any]] = {"maximize": False}
    counts_steps: ClassVar[bool] = True

    check: ClassVar[Callable[..., None]]  # (**options)
    reference: ClassVar[Reference]
    update: ClassVar[Callable[..., None]]  # (run, **options), in place

    def __new__(cls, *args: Any, **options: Any) -> Self:
        check_names(cls, options)
        return super().__new__(cls)

    def __init__(self, params: Iterable[Tensor] | Iterable[Group], **defaults: Any) -> None:
        self.defaults = defaults
        self.param_groups = tuple(self._complete(group) for group in _as_groups(params))
        self.parameters = [p for group in self.param_groups for p in group["params"]]
        _check_parameters(self.parameters)
        self._flatten()

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """What is kept for each element of a parameter."""
        raise NotImplementedError

    def _complete(self, group: Group) -> Group:
        """A group with all options; refuses those that are unknown or out of range."""
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f'a group is a dict with "params", not {group!r}')
        for name in group:
            if name != "params" and name not in self.defaults:
                known = ", ".join(self.defaults)
                raise ValueError(f"{type(self).__name__} has no option {name!r}; there are {known}")
        options = {**self.defaults, **group}
        params = tuple(options.pop("params"))
        options = {name: _plain(value) for name, value in options.items()}
        self.check(**options)
        return {"params": params, **options}

    def _flatten(self) -> None:
        """Lay the parameters out in flat buffers, of each group and dtype."""
        self._flat: list[tuple[Group, FlatParameters]] = []
        for group in self.param_groups:
            names = self.state_names(group)
            for dtype in dict.fromkeys(p.dtype for p in group["params"]):
                members = [p for p in group["params"] if p.dtype == dtype]
                self._flat.append((group, FlatParameters(members, names)))

    # ------------------------------------------------------------------------------------- training

    @property
    def lr(self) -> float:
        """The learning rate. Setting it sets that of all groups; ValueError if theirs differ."""
        rates = {group["lr"] for group in self.param_groups}
        if len(rates) > 1:
            raise ValueError(
                f"the groups have different learning rates, {sorted(rates)}; see param_groups"
            )
        return float(rates.pop())

    @lr.setter
    def lr(self, rate: float) -> None:
        check_not_negative(lr=rate)
        for group in self.param_groups:
            group["lr"] = rate

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        watching = observers()
        for group, flat in self._flat:
            options = {**group, "lr": float(group["lr"])}  # no np.float64, which spreads its dtype
            del options["params"]
            steps = steps_of(type(self), options, flat) if watching else []
            for observer in watching:
                for step in steps:
                    observer.step(step)
            shard = flat.reduce_scatter()
            with subnormals_as_zero():
                for run in flat.runs(shard):
                    self.update(run, **options)
            flat.ranks.barrier()
            flat.copy_back()
            for observer in watching:
                for step in steps:
                    observer.stepped(step)

    @classmethod
    def updated(
        cls,
        p: np.ndarray,
        g: np.ndarray,
        state: State,
        t: int,
        **options: Any,
    ) -> tuple[np.ndarray, State]:
        """The new p and state after step t, as `reference` gives them, by the fast `update`."""
        dtype = wide(p.dtype)
        new = np.array(p, dtype, order="C")
        kept = {name: np.array(array, dtype, order="C") for name, array in state.items()}
        flat = {name: array.reshape(-1) for name, array in kept.items()}
        scratch = (np.empty(new.size, new.dtype), np.empty(new.size, new.dtype))
        gradient = np.asarray(g, new.dtype).reshape(-1)
        tile = (new.reshape(-1), gradient, flat, scratch)
        with subnormals_as_zero():
            cls.update(Run(t, new.dtype, iter([tile])), **options)
        return new.astype(p.dtype, copy=False), kept

    def average_gradients(self) -> None:
        """Make each `.grad` the average over the ranks (`parallel`), to clip it before the step.

        Otherwise `step` averages, each rank in its shard, and leaves `.grad` as it is. On one
        process there is nothing to do.
        """
        for _, flat in self._flat:
            flat.all_reduce()

    def zero_grad(self) -> None:
        """Forget the parameters' gradients."""
        for parameter in self.parameters:
            parameter.grad = None
        for _, flat in self._flat:
            flat.averaged = False

    # --------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all state by name: "param_groups.0.lr", "0.step", "0.exp_avg", "1.step", ..."""
        state = {}
        for n, group in enumerate(self.param_groups):
            state[f"param_groups.{n}.lr"] = np.array(group["lr"])
        for n, parameter_state in enumerate(self._states()):
            state |= {f"{n}.{name}": array for name, array in parameter_state.items()}
        return state

    def torch_state_dict(self) -> dict[str, Any]:
        """The state in the form of torch.optim, whose `load_state_dict` takes it.

        There the arrays have to be tensors: convert each by `torch.as_tensor`.
        """
        groups = []
        for group, numbers in zip(self.param_groups, self._numbers(), strict=True):
            groups.append({**group, **self.fixed, "params": numbers})
        states = {}
        for n, state in enumerate(self._states()):
            step = state.pop("step")
            if step > 0:
                states[n] = state
            if step > 0 and self.counts_steps:
                state["step"] = step.astype(np.float32)
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state, of this class's `state_dict` or of PyTorch's, to the same bits.

        PyTorch's also sets the options of the groups. Raises ValueError, before anything changes,
        if the parameters' number or shapes are others, or if PyTorch's optimiser computes something
        that this one does not.
        """
        groups: Sequence[Group] = self.param_groups
        if "param_groups" in state:
            groups = self._read_groups(state["param_groups"])
            state = flatten(state, self._state_shapes(groups))
        check_state(state, self._state_shapes(groups), type(self).__name__)
        completed = []
        for n, group in enumerate(groups):
            completed.append(self._complete({**group, "lr": state[f"param_groups.{n}.lr"]}))
        for own, group in zip(self.param_groups, completed, strict=True):
            own.update(group)
        self._flatten()
        for n, (flat, i) in enumerate(self._places()):
            names = ("step", *flat.state)
            flat.set_state(i, {name: np.asarray(state[f"{n}.{name}"]) for name in names})

    def _numbers(self) -> list[list[int]]:
        """The numbers of each group's parameters."""
        numbers = iter(range(len(self.parameters)))
        return [[next(numbers) for _ in group["params"]] for group in self.param_groups]

    def _places(self) -> list[tuple[FlatParameters, int]]:
        """Where each parameter lies: flat buffers, and its index there."""
        places = {}
        for _, flat in self._flat:
            for i, parameter in enumerate(flat.parameters):
                places[id(parameter)] = flat, i
        return [places[id(parameter)] for parameter in self.parameters]

    def _states(self) -> list[State]:
        """Copies of each parameter's state."""
        return [flat.get_state(i) for flat, i in self._places()]

    def _state_shapes(self, groups: Sequence[Group]) -> dict[str, Shape]:
        """The names and shapes of `state_dict` if the groups had these options."""
        shapes: dict[str, Shape] = {f"param_groups.{n}.lr": () for n in range(len(groups))}
        for group, numbers in zip(groups, self._numbers(), strict=True):
            for n in numbers:
                shapes[f"{n}.step"] = ()
                for name in self.state_names(group):
                    shapes[f"{n}.{name}"] = self.parameters[n].shape
        return shapes

    def _read_groups(self, given: Sequence[Mapping[str, Any]]) -> list[Group]:
        """Own groups with the options of PyTorch's."""
        numbers = [list(group["params"]) for group in given]
        if numbers != self._numbers():
            raise ValueError(
                f"the state has groups of the parameters {numbers}; here they are {self._numbers()}"
            )
        groups = []
        for own, group in zip(self.param_groups, given, strict=True):
            options = read_options(group, self.fixed, type(self).__name__)
            groups.append(self._complete({**own, **options}))
        return groups

    def __getstate__(self) -> dict[str, Any]:
        """All but the flat buffers: a copy of them shares no memory with copied parameters."""
        attributes = {name: value for name, value in vars(self).items() if name != "_flat"}
        return {"attributes": attributes, "states": self._states()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        vars(self).update(saved["attributes"])
        self._flatten()
        for (flat, i), state in zip(self._places(), saved["states"], strict=True):
            flat.set_state(i, state)


def rounded_once(reference: Reference) -> Reference:
    """A reference that computes in float32 what it is given in float16."""

    @functools.wraps(reference)
    def whole(
        p: np.ndarray, g: np.ndarray, state: State, t: int, **options: Any
    ) -> tuple[np.ndarray, State]:
        dtype = wide(p.dtype)
        if dtype == p.dtype:
            return reference(p, g, state, t, **options)
        before = {name: array.astype(dtype) for name, array in state.items()}
        new, after = reference(p.astype(dtype), g.astype(dtype), before, t, **options)
        return new.astype(p.dtype), after

    return whole


def steps_of(kind: type[Optimizer], options: Group, flat: FlatParameters) -> list[Step]:
    """What observers see of the updates of flat parameters."""
    steps = []
    for i, parameter in enumerate(flat.parameters):
        if parameter._grad is None:
            continue

        def state(i: int = i) -> State:
            found = flat.get_state(i)
            del found["step"]
            return found

        steps.append(Step(kind, options, parameter, flat.steps[i] + 1, flat, state))
    return steps


def _as_groups(params: Iterable[Tensor] | Iterable[Group]) -> list[Group]:
    """Groups, or tensors as one group."""
    listed: list[Any] = list(params)
    if any(isinstance(item, dict) for item in listed):
        return listed
    return [{"params": listed}]


def _check_parameters(parameters: list[Tensor]) -> None:
    if not parameters:
        raise ValueError(
            "there are no parameters to optimise; an iterator may have been used up: "
            "pass module.parameters() anew"
        )
    for parameter in parameters:
        if type(parameter) is not Tensor or not parameter.is_leaf or parameter.dtype.kind != "f":
            raise TypeError(f"a parameter is a floating-point leaf tensor, not {parameter!r}")
    if len({id(parameter) for parameter in parameters}) < len(parameters):
        raise ValueError("a parameter is given twice")


def _plain(value: ArrayLike) -> Any:
    """Numbers of NumPy, and arrays of one number, as Python's."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_plain, value))
    if hasattr(value, "item") and np.size(value) == 1:
        return value.item()
    return value


def check_not_negative(**options: float) -> None:
    """Refuse numbers below 0, infinite ones, NaN and what is no number, by name."""
    for name, value in options.items():
        real(name, value)


def check_decay_rate(name: str, value: float) -> None:
    """Refuse the decay rate of a moving average outside of [0, 1), and NaN, by name."""
    real(name, value, below=1)
