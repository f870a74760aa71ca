"""Modules: parameters, buffers and children under the names that PyTorch gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..engine.modes import SWITCHED
from ..engine.observers import scope
from ..tensor import Tensor


class Module:
    """A part of a network. A subclass sets attributes and writes `forward`; calling the module calls `forward`.

    Attributes that are tensors with `requires_grad` are parameters, arrays given to `register_buffer` are buffers
    (state that is saved but not trained), modules are children; `state_dict` names them by their path, as PyTorch
    does: "0.weight".
    """

    training = True
    activation: Mapping[str, Any] | None = (
        None  # options by which a layer before it can carry this module out
    )
    takes_activation = False  # whether `forward` takes such options
    forward: Callable[..., Any]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: Any) -> None:
        if type(value) is Tensor and value.requires_grad:
            self._names("parameter").add(name)
        elif isinstance(value, (list, tuple)) and any(isinstance(v, Module) for v in value):
            raise TypeError(
                f"modules in a plain {type(value).__name__} are not found; write self.{name} = nn.ModuleList(...)"
            )
        object.__setattr__(self, name, value)

    def _names(self, kind: str) -> set[str]:
        """The names of the attributes that are parameters, or buffers."""
        names: set[str] = self.__dict__.setdefault(f"_{kind}_names", set())
        return names

    def register_buffer(self, name: str, array: np.ndarray) -> None:
        """Set an attribute that is saved with the parameters but not trained."""
        self._names("buffer").add(name)
        setattr(self, name, np.asarray(array))

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes, by name."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def _named(self, *kinds: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
        for names in map(self._names, kinds):
            yield from (
                (prefix + name, v)
                for name, v in vars(self).items()
                if name in names and v is not None
            )
        for name, child in self.children():
            yield from child._named(*kinds, prefix=f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters by their paths; one that stands in several places comes once."""
        seen: set[int] = set()
        for name, parameter in self._named("parameter"):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """The buffers by their paths."""
        return self._named("buffer")

    def parameters(self) -> Iterator[Tensor]:
        """The parameters, each once, in the order of `named_parameters`."""
        seen: set[int] = set()
        for module in self.modules():
            names = module._names("parameter")
            for name, parameter in vars(module).items() if names else ():
                if name in names and parameter is not None and id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield parameter

    def state_dict(self) -> dict[str, np.ndarray]:
        """The arrays of all parameters and buffers by their paths: the arrays themselves, not copies."""
        return {
            name: v.data if type(v) is Tensor else v
            for name, v in self._named("parameter", "buffer")
        }

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into the parameters and buffers of the same names.

        Raises, before anything is copied, if shapes differ or (with `strict`) if names are missing or unexpected.
        """
        own = self.state_dict()
        arrays = {name: np.asarray(value) for name, value in state.items() if name in own}
        shapes = [
            f"{n} {a.shape}, not {own[n].shape}"
            for n, a in arrays.items()
            if a.shape != own[n].shape
        ]
        problems = {"of the wrong shape": shapes}
        if strict:
            problems |= {
                "missing": [n for n in own if n not in state],
                "unexpected": [n for n in state if n not in own],
            }
        if any(problems.values()):
            told = "".join(
                f"\n  {what}: {_some(found)}" for what, found in problems.items() if found
            )
            hint = "" if shapes else "\n  strict=False loads what fits"
            raise ValueError(f"the state does not fit this {type(self).__name__}:{told}{hint}")
        for name, array in arrays.items():
            own[name][...] = array

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training, or with False to evaluation."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation: no dropout, running statistics in batch normalisation."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the parameters' gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, flag: bool = True) -> Self:
        """Freeze the parameters with False; thaw them with True."""
        for parameter in self.parameters():
            parameter.requires_grad = flag
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not SWITCHED["observer"]:
            return self.forward(*args, **kwargs)
        with scope("module", type(self).__name__, self):
            return self.forward(*args, **kwargs)

    def describe(self) -> str:
        """The arguments that `repr` shows."""
        return ""

    def __repr__(self) -> str:
        count = sum(parameter.size for parameter in self.parameters())
        note = f"  # {count:,} parameters" if count else ""
        below = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children()]
        if not below:
            return f"{type(self).__name__}({self.describe()}){note}"
        return "\n  ".join([f"{type(self).__name__}({note}", *below]) + "\n)"


class ModuleList(Module):
    """Modules by number, for a forward of one's own: indexing, iteration, length."""

    def __init__(self, modules: Any = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add a module at the end."""
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return (child for _, child in self.children())

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Sequential(ModuleList):
    """Modules that are carried out one after the other: `Sequential(Linear(...), ReLU())`.

    A layer and the activation behind it are one operation where the layer can do both.
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        layer = None  # that waits for what is behind it
        for module in self:
            if layer is not None:
                x = layer(x, **(module.activation or {}))
                layer = None
                if module.activation is not None:
                    continue
            if module.takes_activation:
                layer = module
            else:
                x = module(x)
        return x if layer is None else layer(x)


def _some(names: list[str], shown: int = 10) -> str:
    return ", ".join(names[:shown]) + (
        f" and {len(names) - shown} more" if len(names) > shown else ""
    )
