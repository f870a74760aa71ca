"""A small reverse-mode autograd engine in pure NumPy, with generative and vision models written on it."""

from . import rules  # noqa: F401
from .tensor import Tensor, derivative, detect_anomaly, no_grad

__all__ = ["Tensor", "derivative", "detect_anomaly", "no_grad"]
