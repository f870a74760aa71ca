"""scipy.signal for tensors: convolution and correlation."""

from .mirror import mirror

__getattr__, __dir__ = mirror("signal")
