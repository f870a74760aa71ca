"""A small reverse-mode autograd engine in pure NumPy, with generative and vision models written on it."""

from . import data, kernels, nn, optim, parallel, rules, special
from .kernels import kernel
from .mode import detect_anomaly, no_grad
from .profile import profile
from .safetensors import load, save
from .tensor import Tensor, derivative
from .transforms import checkpoint, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

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
