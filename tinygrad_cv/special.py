"""scipy.special for tensors, under its short name: see `tinygrad_cv.scipy.special`."""

from .scipy.special import __dir__, __getattr__

__all__ = ["__dir__", "__getattr__"]
