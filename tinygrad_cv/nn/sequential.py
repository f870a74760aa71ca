"""Modules that are carried out one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..typing import Array
from .containers import ModuleList
from .layers import GELU, LeakyReLU, Linear, ReLU, Sigmoid, SiLU, Tanh
from .module import Module

# The activations that `kernels.linear` carries out as well, with the options that ask it to.
FUSED: dict[type[Module], Callable[[Any], dict[str, Any]]] = {
    ReLU: lambda layer: {"activation": "relu"},
    LeakyReLU: lambda layer: {"activation": "leaky_relu", "negative_slope": layer.negative_slope},
    Sigmoid: lambda layer: {"activation": "sigmoid"},
    Tanh: lambda layer: {"activation": "tanh"},
    SiLU: lambda layer: {"activation": "silu"},
    GELU: lambda layer: {"activation": "gelu_tanh" if layer.approximate == "tanh" else "gelu"},
}


class Sequential(ModuleList):
    """Modules that are carried out one after the other, each on what the one before it returns.

        nn.Sequential(nn.Linear(4, 8, rng=rng), nn.ReLU(), nn.Linear(8, 1, rng=rng))
        nn.Sequential({"body": nn.Linear(4, 8, rng=rng), "head": nn.Linear(8, 1, rng=rng)})

    The modules are named "0", "1", ..., or by the keys of a single dict, and may be changed like
    those of a `ModuleList`. What is no module (a function, a class, None, a list) is refused by its
    place.

    A `Linear` and the activation behind it are one operation, as `repr` shows. This holds for
    exactly these classes, never for a subclass or for a layer with hooks or another `forward`.
    """

    def __init__(self, *modules: Module | dict[str, Module]) -> None:
        first = modules[0] if len(modules) == 1 else None
        if isinstance(first, dict):
            for name, module in first.items():
                self._check(name, module)
                self._put(name, module)
        else:
            self.extend(modules)

    def forward(self, x: Array) -> Array:
        modules = [value for value in vars(self).values() if isinstance(value, Module)]
        for layer, activation in fused(modules):
            if activation is None:
                x = layer(x)
            else:
                options = FUSED[type(activation)](activation)
                x = layer(x, **options)
        return x

    def _part(self, index: slice) -> Sequential:
        """The modules in a slice, under the names that they have here, as in PyTorch."""
        members = list(self._members().items())
        return Sequential(dict(members[index]))

    def _lines(self) -> list[str]:
        members = self._members()
        names = iter(members)
        lines = []
        for layer, activation in fused(members.values()):
            line = f"({next(names)}): {layer!r}"
            if activation is not None:
                layer_alone = line.removesuffix(layer._remark())
                remark = layer._remark("one operation")
                line = f"{layer_alone} + ({next(names)}): {activation!r}{remark}"
            lines.append(line)
        return lines


def is_plain(module: Module) -> bool:
    """Whether calling a module does what its class says: no other `forward`, and no hooks."""
    return "forward" not in vars(module) and not module._hooks


def fused(modules: Iterable[Module]) -> list[tuple[Module, Module | None]]:
    """The modules in order, each with the activation behind it that it carries out too, or None."""
    pairs: list[tuple[Module, Module | None]] = []
    layer = None  # the module before, if it may carry out an activation
    for module in modules:
        if layer is not None and type(module) in FUSED and is_plain(module):
            pairs[-1] = layer, module
            layer = None
            continue
        pairs.append((module, None))
        layer = module if type(module) is Linear and is_plain(module) else None
    return pairs
