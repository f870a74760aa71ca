"""scipy.integrate for tensors: integrals of samples, and differential equations."""

from .mirror import mirror

__getattr__, __dir__ = mirror("integrate")
