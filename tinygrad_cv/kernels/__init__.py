"""Our own operations, each with reference, forward and backward.

`kernel` says what that means, and `softmax` is the simplest to begin with. What makes the others
fast stands apart, in `fast`.
"""

from .activation import dropout, gelu, leaky_relu, relu, sigmoid, silu, tanh
from .attention import additive_attention, attention, self_attention
from .conv import conv2d, conv_transpose2d
from .embedding import embedding
from .erf import erf
from .group_norm import group_norm
from .kernel import Kernel, kernel
from .linear import linear
from .loss import bce_with_logits, cross_entropy, mse
from .norm import batch_norm, layer_norm
from .pool import avg_pool2d, max_pool2d, upsample_nearest2d
from .rnn import gru, lstm, rnn
from .softmax import log_softmax, softmax

__all__ = [
    "Kernel",
    "additive_attention",
    "attention",
    "avg_pool2d",
    "batch_norm",
    "bce_with_logits",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "embedding",
    "erf",
    "gelu",
    "group_norm",
    "gru",
    "kernel",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "lstm",
    "max_pool2d",
    "mse",
    "relu",
    "rnn",
    "self_attention",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
    "upsample_nearest2d",
]
