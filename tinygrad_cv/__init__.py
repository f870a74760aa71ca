"""A small reverse-mode autograd engine in pure NumPy, with generative and vision models written on it."""

from . import kernels, rules
from .kernels import kernel
from .mode import detect_anomaly, no_grad
from .tensor import Tensor, derivative
from .transforms import checkpoint, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__all__ = [
    "Tensor",
    "checkpoint",
    "derivative",
    "detect_anomaly",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "kernel",
    "kernels",
    "no_grad",
    "rules",
    "value_and_grad",
    "vjp",
]
