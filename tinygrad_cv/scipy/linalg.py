"""scipy.linalg for tensors: functions of a matrix, systems, factorisations."""

from .mirror import mirror

__getattr__, __dir__ = mirror("linalg")
