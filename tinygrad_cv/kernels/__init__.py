"""Our own operations, each with reference, forward and backward."""

from .activation import dropout, gelu, leaky_relu, relu, sigmoid, silu, tanh
from .kernel import Kernel, kernel
from .linear import linear
from .loss import bce_with_logits, cross_entropy, mse
from .norm import batch_norm, layer_norm
from .softmax import log_softmax, softmax

__all__ = [
    "Kernel",
    "batch_norm",
    "bce_with_logits",
    "cross_entropy",
    "dropout",
    "gelu",
    "kernel",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mse",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]
