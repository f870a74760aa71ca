"""Modules: parts of a network, with parameters, buffers and child modules under PyTorch's names.

A module is a plain object. What it consists of is read off its attributes whenever somebody asks,
so there is no registry of parts that could disagree with them:

    a parameter   a leaf tensor that requires a gradient, or did when it was set (then it is frozen)
    a buffer      an array that was given to `register_buffer`: saved, but not trained
    a child       a module

All other attributes are the user's own, and a recorded result is one of them. Only one kind is
refused, because what is in it would be lost in silence: a list, tuple, dict or set with modules or
parameters in it. `ModuleList`, `ModuleDict`, `ParameterList` and `ParameterDict` take its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from inspect import Parameter, Signature
from types import FunctionType, MappingProxyType
from typing import Any, NamedTuple, Self, TypeGuard

import numpy as np

from ..engine.errors import check_names
from ..engine.first_words import ONE_MACHINE, hint
from ..engine.modes import SWITCHED
from ..engine.observers import scope
from ..engine.operands import NUMBERS, as_numbers, fit
from ..tensor import Tensor
from ..typing import ArrayLike, DTypeLike

CONTAINERS = (list, tuple, dict, set, frozenset, deque, MappingProxyType)


def parameter(array: ArrayLike) -> Tensor:
    """A tensor to be trained: a leaf that requires a gradient."""
    return Tensor(array, requires_grad=True)


def is_parameter(value: object) -> TypeGuard[Tensor]:
    """Whether a value becomes a parameter when it is set on a module."""
    return type(value) is Tensor and value.requires_grad and value.is_leaf


@dataclass(frozen=True)
class Names:
    """Which attributes of a module are parameters and which are buffers.

    It is never changed, only replaced by another one, since a copy of the module shares it.
    """

    parameters: frozenset[str] = frozenset()
    buffers: tuple[str, ...] = ()

    def without(self, name: str) -> Names:
        """The other names."""
        buffers = tuple(other for other in self.buffers if other != name)
        return Names(self.parameters - {name}, buffers)


class Module:
    """A part of a network. A subclass sets attributes in `__init__` and writes `forward`.

    Calling the module calls `forward`. `state_dict` names parameters and buffers by their path, as
    PyTorch does: "0.weight".
    """

    training = True
    _names = Names()
    _hooks: tuple[Callable[[Any, tuple[Any, ...], Any], Any], ...] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        check_names(cls, kwargs)
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments")
        return super().__new__(cls)

    # A layer without options shows none.
    vars()["__new__"].__signature__ = Signature([Parameter("cls", Parameter.POSITIONAL_ONLY)])

    def __getattr__(self, name: str) -> Any:
        advice = hint("module", name)
        if not advice:
            return object.__getattribute__(self, name)  # raises what was raised before
        raise AttributeError(f"{type(self).__name__} has no {name!r}{advice}")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in vars(cls).items():
            if isinstance(value, Module) or is_parameter(value) or hidden_in(value) is not None:
                raise TypeError(
                    f"{cls.__name__}.{name} is set on the class, where all instances share it "
                    f"and none lists it; set self.{name} in __init__"
                )

    # -------------------------------------------------------------------------- setting attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module):
            self.add_module(name, value)
        elif is_parameter(value):
            self.register_parameter(name, value)
        elif name in self._names.parameters and value is not None:
            raise TypeError(
                f"{type(self).__name__}.{name} is a parameter, whose place {kind_of(value)} cannot "
                f"take; to change its values write to .{name}.data"
            )
        elif name in self._names.buffers:
            self.register_buffer(name, value)
        else:
            self._refuse_hidden(name, value)
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        object.__setattr__(self, "_names", self._names.without(name))

    def add_module(self, name: str, module: Module) -> None:
        """Set an attribute that is a child, as `self.name = module` does.

        Raises TypeError unless it is a module, and ValueError if this module is a part of it, or
        for a name that no part can have.
        """
        self._check_name(name)
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: {name} is {why_no_module(module)}")
        if any(part is self for part in module.modules()):
            raise ValueError(
                f"{type(self).__name__}.{name} would make this module a part of itself; "
                "hand it over as an argument of forward"
            )
        object.__setattr__(self, "_names", self._names.without(name))
        object.__setattr__(self, name, module)

    def register_parameter(self, name: str, tensor: Tensor) -> None:
        """Set an attribute that is a parameter, as `self.name = tensor` does, or a frozen one.

        Raises TypeError unless it is a leaf of floating-point numbers, and ValueError for a name
        that no part can have.
        """
        self._check_name(name)
        if type(tensor) is not Tensor or not tensor.is_leaf or tensor.dtype.kind != "f":
            raise TypeError(
                f"{type(self).__name__}.{name}: a parameter is a leaf of floating-point numbers, "
                f"Tensor(array, requires_grad=True), not {kind_of(tensor)}"
            )
        names = self._names.without(name)
        names = replace(names, parameters=names.parameters | {name})
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, name, tensor)

    def register_buffer(self, name: str, array: ArrayLike | None) -> None:
        """Set an attribute that is saved with the parameters but not trained; None: none for now.

        Raises TypeError unless it is an array of numbers, and ValueError for a name that no part
        can have.
        """
        self._check_name(name)
        where = f"{type(self).__name__}.{name}"
        if type(array) is Tensor:
            raise TypeError(f"{where} is a buffer, that is, an array; write tensor.numpy()")
        if array is not None:
            array = np.asarray(array)
            if array.dtype.kind not in NUMBERS:
                raise TypeError(f"{where} is a buffer, which holds numbers, not {array.dtype}")
        names = self._names
        if name not in names.buffers:
            names = Names(names.parameters - {name}, (*names.buffers, name))
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, name, array)

    def _check_name(self, name: str) -> None:
        """Raise ValueError for a name that would spoil a path or hide a method."""
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"{name!r} is no name of a part: that is a text without dots")
        is_method = isinstance(getattr(type(self), name, None), FunctionType)
        if is_method or hasattr(Module, name):
            raise ValueError(
                f"a part of a {type(self).__name__} cannot be called {name!r}, "
                "which means something else there; choose another name"
            )

    def _refuse_hidden(self, name: str, value: Any) -> None:
        """Raise TypeError if a value is a container with modules or parameters in it."""
        part = hidden_in(value)
        if part is not None:
            of = "Module" if isinstance(part, Module) else "Parameter"
            kind = "Dict" if isinstance(value, (dict, MappingProxyType)) else "List"
            raise TypeError(
                f"{type(self).__name__}.{name} is a plain {type(value).__name__}, and modules do "
                f"not see {kind_of(part)} in it; write self.{name} = nn.{of}{kind}(...)"
            )

    # ----------------------------------------------------------------------- listing what there is

    def _contents(self) -> tuple[dict[str, Tensor], dict[str, Module]]:
        """The parameters and the children among the attributes, by name.

        Raises TypeError if a container hides some: a list may have grown since it was set.
        """
        parameters: dict[str, Tensor] = {}
        children: dict[str, Module] = {}
        names = self._names.parameters
        for name, value in vars(self).items():
            category = category_of(value.__class__)
            if category is Module:
                children[name] = value
            elif category is Tensor:
                if name in names or is_parameter(value):
                    parameters[name] = value
            elif category is Iterable:
                self._refuse_hidden(name, value)
        if not names.issuperset(parameters):  # some were set before they required a gradient
            names = names.union(parameters)
            object.__setattr__(self, "_names", replace(self._names, parameters=names))
        return parameters, children

    def _buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """The buffers among the attributes, by name."""
        attributes = vars(self)
        for name in self._names.buffers:
            array = attributes.get(name)
            if array is not None:
                yield name, array

    def _walk(self) -> Iterator[tuple[str, Module, dict[str, Tensor]]]:
        """This module and all below it, each once: prefix of its paths, itself, its parameters."""
        seen: set[int] = set()
        waiting: list[tuple[str, Module]] = [("", self)]
        while waiting:
            prefix, module = waiting.pop()
            if id(module) not in seen:
                seen.add(id(module))
                parameters, children = module._contents()
                yield prefix, module, parameters
                for name in reversed(children):
                    waiting.append((f"{prefix}{name}.", children[name]))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes, by name."""
        yield from self._contents()[1].items()

    def children(self) -> Iterator[Module]:
        """The modules among the attributes."""
        yield from self._contents()[1].values()

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module, named "", and all below it by their paths, each once."""
        return ((prefix[:-1], module) for prefix, module, _ in self._walk())

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module, _ in self._walk())

    def named_parameters(self, recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The parameters by their paths, each once.

        recurse: whether also those of the modules below.
        """
        seen: set[int] = set()
        for prefix, _, parameters in self._walk():
            for name, tensor in parameters.items():
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield prefix + name, tensor
            if not recurse:
                return

    def parameters(self, recurse: bool = True) -> Iterator[Tensor]:
        """The parameters, each once, in the order of `named_parameters`."""
        return (tensor for _, tensor in self.named_parameters(recurse))

    def named_buffers(self, recurse: bool = True) -> Iterator[tuple[str, np.ndarray]]:
        """The buffers by their paths.

        recurse: whether also those of the modules below.
        """
        for prefix, module, _ in self._walk():
            for name, array in module._buffers():
                yield prefix + name, array
            if not recurse:
                return

    # -------------------------------------------------------------------------- saving and loading

    def state_dict(self) -> dict[str, np.ndarray]:
        """The arrays of all parameters and buffers by their paths.

        Those of parameters are read-only, and stay as they are when the parameters are trained on;
        those of buffers are the buffers themselves. What stands in several places is there under
        each of its paths, as in PyTorch.
        """
        owners = self._state("")
        return {name: o.numpy() if isinstance(o, Tensor) else o for name, o in owners}

    def _state(self, prefix: str) -> Iterator[tuple[str, Tensor | np.ndarray]]:
        parameters, children = self._contents()
        for name, tensor in parameters.items():
            yield prefix + name, tensor
        for name, array in self._buffers():
            yield prefix + name, array
        for name, child in children.items():
            yield from child._state(f"{prefix}{name}.")

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> None:
        """Copy arrays into the parameters and buffers of the same names.

        Raises ValueError, before anything is copied, if shapes differ or (with `strict`) if names
        are missing or unexpected.
        """
        own = dict(self._state(""))
        arrays = {name: as_numbers(v, type(self), name) for name, v in state.items() if name in own}
        misfits = [
            f"{name} {array.shape}, not {own[name].shape}"
            for name, array in arrays.items()
            if array.shape != own[name].shape
        ]
        problems = {"of the wrong shape": misfits}
        if strict:
            problems["missing"] = [name for name in own if name not in state]
            problems["unexpected"] = [name for name in state if name not in own]
        if any(problems.values()):
            lines = [f"\n  {what}: {some(names)}" for what, names in problems.items() if names]
            hint = "" if misfits else "\n  strict=False loads what fits"
            raise ValueError(
                f"the state does not fit this {type(self).__name__}:{''.join(lines)}{hint}"
            )
        for name, array in arrays.items():
            fit(array, own[name].dtype, type(self), name)
        for name, array in arrays.items():
            owner = own[name]
            (owner.data if isinstance(owner, Tensor) else owner)[...] = array

    # ------------------------------------------------------------------------ training and calling

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training, or with False to evaluation."""
        for module in self.modules():
            vars(module)["training"] = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation: no dropout, running statistics in batch normalisation."""
        return self.train(False)

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call a function of a module with all below this one, and then with this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self, dtype: DTypeLike) -> Self:
        """Give all parameters and buffers of floating-point numbers another dtype.

        Those that change are new tensors and arrays: make an optimiser afterwards. What stands in
        several places stays one. Raises TypeError for a dtype of other numbers, and for a device.
        """
        where = f"{type(self).__name__}.to: {dtype!r} is no dtype of floating-point numbers"
        try:
            chosen = np.dtype(dtype)
        except TypeError:
            raise TypeError(f"{where}; {ONE_MACHINE}") from None
        if chosen.kind != "f":
            raise TypeError(f"{where}, which parameters are")
        changed: dict[Tensor, Tensor] = {}
        for _, module, parameters in self._walk():
            for name, tensor in parameters.items():
                if tensor.dtype != chosen:
                    if tensor not in changed:
                        array = tensor.numpy().astype(chosen)
                        changed[tensor] = Tensor(array, tensor.requires_grad)
                    module.register_parameter(name, changed[tensor])
            for name, array in module._buffers():
                if array.dtype.kind == "f":
                    module.register_buffer(name, array.astype(chosen, copy=False))
        return self

    def zero_grad(self) -> None:
        """Set the parameters' gradients to None."""
        for tensor in self.parameters():
            tensor.grad = None

    def requires_grad_(self, flag: bool = True) -> Self:
        """Freeze the parameters with False; thaw them with True."""
        for tensor in self.parameters():
            tensor.requires_grad = flag
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What calling the module does. A subclass writes it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if SWITCHED["observer"]:
            with scope("module", type(self).__name__, self):
                output = self.forward(*args, **kwargs)
        else:
            output = self.forward(*args, **kwargs)
        for hook in self._hooks:
            other = hook(self, args, output)
            output = output if other is None else other
        return output

    def register_forward_hook(self, hook: Callable[[Any, tuple[Any, ...], Any], Any]) -> Handle:
        """Have hook(module, args, output) called after each call of this module.

        What it returns takes the place of the output, unless it is None. `remove()` of the result
        ends it.
        """
        self._hooks = (*self._hooks, hook)
        return Handle(self, hook)

    # ------------------------------------------------------------------------------------ printing

    def extra_repr(self) -> str:
        """The arguments that `repr` shows."""
        return ""

    def __repr__(self) -> str:
        head = f"{type(self).__name__}({self.extra_repr()}"
        remark = self._remark()
        lines = [line.replace("\n", "\n  ") for line in self._lines()]
        if not lines:
            return f"{head}){remark}"
        return "\n  ".join([head + remark, *lines]) + "\n)"

    def _lines(self) -> list[str]:
        """What `repr` shows of the parts."""
        return [f"({name}): {child!r}" for name, child in self.named_children()]

    def _remark(self, *remarks: str) -> str:
        """A comment in `repr`, with the number of parameters if there are some."""
        count = sum(tensor.size for tensor in self.parameters())
        if count:
            remarks = (*remarks, f"{count:,} parameters")
        return f"  # {', '.join(remarks)}" if remarks else ""


class Handle(NamedTuple):
    """A hook of a module."""

    module: Module
    hook: Callable[[Any, tuple[Any, ...], Any], Any]

    def remove(self) -> None:
        """Call the hook no more."""
        self.module._hooks = tuple(h for h in self.module._hooks if h is not self.hook)


# ----------------------------------------------------------------------------- what containers hide


@cache
def category_of(cls: type) -> type | None:
    """What instances of a class are to a module: Module, Tensor, Iterable (a container) or None."""
    if issubclass(cls, Module):
        return Module
    if cls is Tensor:
        return Tensor
    return Iterable if issubclass(cls, CONTAINERS) else None


def hidden_in(value: object) -> Module | Tensor | None:
    """A module or a parameter in a container, or in containers inside it; None if there is none."""
    containers, seen = [value], {id(value)}
    while containers:
        elements = [element for container in containers for element in elements_of(container)]
        classes = {element.__class__ for element in elements}
        if not any(map(category_of, classes)):
            return None
        containers = []
        for element in elements:
            if isinstance(element, Module) or is_parameter(element):
                return element
            if isinstance(element, CONTAINERS) and id(element) not in seen:
                seen.add(id(element))
                containers.append(element)
    return None


def elements_of(value: object) -> Iterable[Any]:
    """What a container holds, a dict's keys too; nothing if a value is no container."""
    if isinstance(value, (dict, MappingProxyType)):
        return [*value.keys(), *value.values()]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return value.flat
    return value if isinstance(value, CONTAINERS) else ()


# ---------------------------------------------------------------------------------------- messages


def why_no_module(value: object) -> str:
    """What a value is, that it is no module, and what to write instead, to end a sentence with."""
    if isinstance(value, type):
        return f"the class {value.__name__}, not a module; write {value.__name__}(...)"
    if isinstance(value, (list, tuple)):
        return f"{kind_of(value)}, not a module; unpack it with *, or write nn.ModuleList(...)"
    if callable(value):
        name = getattr(value, "__name__", repr(value))
        return (
            f"the function {name}, not a module; use the layer that does it, such as nn.Tanh(), "
            "or write a Module whose forward calls it"
        )
    return f"{kind_of(value)}, not a module"


def kind_of(value: object) -> str:
    """What a value is, for a message: "a list", "an Embedding", "a recorded result"."""
    if value is None:
        return "None"
    if type(value) is Tensor:
        return kind_of_tensor(value)
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def kind_of_tensor(tensor: Tensor) -> str:
    """The same for a tensor."""
    if not tensor.is_leaf:
        return "a recorded result"
    if tensor.requires_grad:
        return "a parameter" if tensor.dtype.kind == "f" else f"a tensor of {tensor.dtype}"
    return f"a tensor of {tensor.dtype} that requires no gradient"


def some(names: list[str], shown: int = 10) -> str:
    """The names, or the first of them and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
