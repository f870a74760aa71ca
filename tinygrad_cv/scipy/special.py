"""scipy.special for tensors: the special functions."""

from .mirror import mirror

__getattr__, __dir__ = mirror("special")
