"""Lists and dicts of modules and of parameters. Names are PyTorch's.

    self.blocks = nn.ModuleList([nn.Linear(2, 2, rng=rng)])      # "blocks.0.weight", ...
    self.heads = nn.ModuleDict({"box": nn.ReLU()})               # "heads.box"
    self.tables = nn.ParameterList([nn.parameter(array)])        # "tables.0"
    self.scales = nn.ParameterDict({"x": nn.parameter(array)})   # "scales.x"

They behave like Python's list and dict. What cannot be a member is refused by its place.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any, Self

from .module import Module, is_parameter, kind_of, why_no_module


class OfModules(Module):
    """A module whose members are its children."""

    def _members(self) -> dict[str, Any]:
        """The members by name, in order."""
        return self._contents()[1]

    def _check(self, name: str, member: object) -> None:
        """Raise TypeError if something cannot be a member."""
        if not isinstance(member, Module):
            raise TypeError(f"{type(self).__name__}: {name} is {why_no_module(member)}")

    def _put(self, name: str, member: Any) -> None:
        """Set a member."""
        self.add_module(name, member)


class OfParameters(Module):
    """A module whose members are its parameters."""

    def _members(self) -> dict[str, Any]:
        """The members by name, in order."""
        return self._contents()[0]

    def _check(self, name: str, member: object) -> None:
        """Raise TypeError if something cannot be a member."""
        if not is_parameter(member):
            raise TypeError(
                f"{type(self).__name__}: {name} is {kind_of(member)}, not a leaf tensor that "
                "requires a gradient; write Tensor(array, requires_grad=True)"
            )

    def _put(self, name: str, member: Any) -> None:
        """Set a member, even one that is frozen."""
        self.register_parameter(name, member)

    def _lines(self) -> list[str]:
        return [f"({name}): {p.shape}, {p.dtype}" for name, p in self._members().items()]


class Container:
    """What the list and the dict ask of the class that says what their members are."""

    _members: Callable[[], dict[str, Any]]
    _check: Callable[[str, object], None]
    _put: Callable[[str, Any], None]


class NumberedList(Container, MutableSequence):
    """A list whose members are attributes named "0", "1", ..."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self.extend(members)

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._members().values())

    def __getitem__(self, index: int | slice) -> Any:
        """The member at a position, which may count from the end; of a slice, a list."""
        if isinstance(index, slice):
            return self._part(index)
        return list(self)[index]

    def _part(self, index: slice) -> NumberedList:
        """A list of the members in a slice, numbered anew."""
        part = ParameterList() if isinstance(self, OfParameters) else ModuleList()
        for i, member in enumerate(list(self)[index]):
            part._put(str(i), member)
        return part

    def __setitem__(self, index: int, member: Any) -> None:  # type: ignore[override]
        """Replace one member."""
        name = list(self._members())[operator.index(index)]
        self._check(name, member)
        self._put(name, member)

    def __delitem__(self, index: int | slice) -> None:
        """Take members out; those behind them move up."""
        members = list(self)
        del members[index]
        self._number(members)

    def insert(self, index: int, member: Any) -> None:
        """Put a member before the one at a position; those from there on move down."""
        self._check(str(index), member)
        members = list(self)
        members.insert(index, member)
        self._number(members)

    def append(self, member: Any) -> Self:  # type: ignore[override]
        """Add a member at the end; returns the list."""
        return self.extend([member])

    def extend(self, members: Iterable[Any]) -> Self:  # type: ignore[override]
        """Add members at the end; returns the list. If one is refused, none is added."""
        if not isinstance(members, Iterable):
            raise TypeError(
                f"{type(self).__name__} takes an iterable of members, not {kind_of(members)}"
            )
        taken = self._members()
        free = (str(i) for i in itertools.count(len(taken)) if str(i) not in taken)
        added = dict(zip(free, members, strict=False))
        for name, member in added.items():
            self._check(name, member)
        for name, member in added.items():
            self._put(name, member)
        return self

    def _number(self, members: list[Any]) -> None:
        """Make these the members, named by their positions."""
        for name in self._members():
            delattr(self, name)
        for i, member in enumerate(members):
            self._put(str(i), member)


class NamedDict(Container, MutableMapping):
    """A dict whose members are attributes of the same names."""

    __eq__ = object.__eq__  # two modules are equal if they are one
    __hash__ = object.__hash__

    def __init__(self, members: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self.update(members)

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[str]:
        return iter(self._members())

    def __getitem__(self, name: str) -> Any:
        return self._members()[name]

    def __setitem__(self, name: str, member: Any) -> None:
        self._check(name, member)
        self._put(name, member)

    def __delitem__(self, name: str) -> None:
        if name not in self._members():
            raise KeyError(name)
        delattr(self, name)


class ModuleList(OfModules, NumberedList):
    """A list of modules: indexing, slices, iteration, append, extend, insert, del."""


class ModuleDict(OfModules, NamedDict):
    """A dict of modules. Names have no dots and are not those of methods."""


class ParameterList(OfParameters, NumberedList):
    """A list of parameters, that is, of tensors Tensor(array, requires_grad=True)."""


class ParameterDict(OfParameters, NamedDict):
    """A dict of parameters. Names have no dots and are not those of methods."""
