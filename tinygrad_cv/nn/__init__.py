"""Modules, layers and initialisers."""

from typing import Never

from ..engine.first_words import hint
from . import init
from .attention import MultiheadAttention, StochasticDepth
from .containers import ModuleDict, ModuleList, ParameterDict, ParameterList
from .layers import (
    GELU,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Embedding,
    Flatten,
    GroupNorm,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    Unflatten,
)
from .module import Module, parameter
from .recurrent import GRU, LSTM, RNN
from .sequential import Sequential

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiheadAttention",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "StochasticDepth",
    "Tanh",
    "Unflatten",
    "init",
    "parameter",
]


def __getattr__(name: str) -> Never:
    """What PyTorch and JAX have here, and this package has not, by its name in this package."""
    raise AttributeError(f"{__name__} has no {name!r}{hint('tinygrad_cv.nn', name)}")
