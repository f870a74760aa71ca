"""Our own operations, each with reference, forward and backward; and formulas of them.

`kernel` says what that means, and `softmax` is the simplest to begin with. What makes the others
fast stands apart, in `fast`.
"""

from .activation import (
    dropout,
    elu,
    gelu,
    leaky_relu,
    prelu,
    quick_gelu,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from .attention import additive_attention, attention, self_attention
from .conv import conv2d, conv_transpose2d
from .embedding import embedding
from .erf import erf
from .group_norm import group_norm
from .kernel import Kernel, kernel
from .linear import linear
from .loss import (
    bce_with_logits,
    cross_entropy,
    kl_div,
    l1,
    mse,
    nll,
    smooth_l1,
    soft_cross_entropy,
)
from .norm import batch_norm, layer_norm, rms_norm
from .pool import (
    adaptive_avg_pool2d,
    avg_pool2d,
    interpolate,
    max_pool2d,
    pixel_shuffle,
    upsample_nearest2d,
)
from .rnn import gru, lstm, rnn
from .softmax import log_softmax, softmax

__all__ = [
    "Kernel",
    "adaptive_avg_pool2d",
    "additive_attention",
    "attention",
    "avg_pool2d",
    "batch_norm",
    "bce_with_logits",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "elu",
    "embedding",
    "erf",
    "gelu",
    "group_norm",
    "gru",
    "interpolate",
    "kernel",
    "kl_div",
    "l1",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "lstm",
    "max_pool2d",
    "mse",
    "nll",
    "pixel_shuffle",
    "prelu",
    "quick_gelu",
    "relu",
    "rms_norm",
    "rnn",
    "self_attention",
    "sigmoid",
    "silu",
    "smooth_l1",
    "soft_cross_entropy",
    "softmax",
    "softplus",
    "tanh",
    "upsample_nearest2d",
]
