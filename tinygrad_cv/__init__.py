"""A small reverse-mode autograd engine in pure NumPy, with generative and vision models written on
it."""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from .checkpoint import checkpoint
from .engine.first_words import hint
from .engine.modes import enable_grad, no_grad
from .engine.observers import detect_anomaly
from .profile import profile
from .safetensors import load, save
from .tape import tape
from .tensor import LAZY_ROOMS, Tensor, derivative, rule
from .transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from . import data, kernels, nn, optim, parallel, rules, scipy, special, testing
    from .kernels import kernel

__version__ = "0.1.0"  # setup.cfg reads it here

__all__ = [
    "Tensor",
    "checkpoint",
    "data",
    "derivative",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "kernel",
    "kernels",
    "load",
    "nn",
    "no_grad",
    "optim",
    "parallel",
    "profile",
    "rule",
    "rules",
    "save",
    "scipy",
    "special",
    "tape",
    "testing",
    "value_and_grad",
    "vjp",
]


def __getattr__(name: str) -> Any:
    """The other rooms are imported when first entered, so that the package imports as fast as
    NumPy."""
    if name == "kernel":
        return importlib.import_module(".kernels", __name__).kernel
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"{__name__} has no {name!r}{hint('tinygrad_cv', name)}")


def __dir__() -> list[str]:
    return [*__all__]


LAZY_ROOMS.append(lambda: importlib.import_module(".rules", __name__))

if importlib.util.find_spec(".engine.fast", __name__) is not None:  # all works without it, slower
    importlib.import_module(".engine.fast", __name__)

del globals()["tensor"]  # the module: tg.tensor(x) is a first word, which `__getattr__` answers
