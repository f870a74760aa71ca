"""A small reverse-mode autograd engine in pure NumPy, with generative and vision models written on it."""

import importlib
from typing import TYPE_CHECKING, Any

from .mode import detect_anomaly, no_grad
from .profile import profile
from .safetensors import load, save
from .tensor import LATER, Tensor, derivative
from .transforms import checkpoint, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from . import data, kernels, nn, optim, parallel, rules, special
    from .kernels import kernel

__all__ = [
    "Tensor",
    "checkpoint",
    "data",
    "derivative",
    "detect_anomaly",
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
    "rules",
    "save",
    "special",
    "value_and_grad",
    "vjp",
]


def __getattr__(name: str) -> Any:
    """The other rooms, imported when first entered, so that `import tinygrad_cv` takes little longer than NumPy's own."""
    if name == "kernel":
        return importlib.import_module(".kernels", __name__).kernel
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


LATER.append(lambda: importlib.import_module(".rules", __name__))


def __dir__() -> list[str]:
    return [*__all__]
