"""scipy.linalg for tensors: matrix functions, linear systems, decompositions, matrices of a structure."""

from .mirror import mirror

__getattr__, __dir__ = mirror("linalg")
