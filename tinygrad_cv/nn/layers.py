"""Layers: kernels with their parameters. Names and shapes are PyTorch's, so that weights interchange."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import kernels, parallel
from ..kernels.fast.geometry import Pair, pair
from ..tensor import Tensor
from . import init
from .module import Module


def parameter(array: np.ndarray) -> Tensor:
    """A tensor to be trained."""
    return Tensor(array, requires_grad=True)


class Linear(Module):
    """x weight^T + bias: (..., in_features) -> (..., out_features).

    The weight (out, in) and the bias start uniform in +- 1 / sqrt(in), as PyTorch's. `forward` takes an activation as
    `kernels.linear` does.
    """

    takes_activation = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        bound = 1 / math.sqrt(in_features)
        self.weight = parameter(
            init.uniform((out_features, in_features), -bound, bound, rng=rng, dtype=dtype)
        )
        self.bias = (
            parameter(init.uniform((out_features,), -bound, bound, rng=rng, dtype=dtype))
            if bias
            else None
        )

    def forward(self, x: Any, **activation: Any) -> Any:
        return kernels.linear(x, self.weight, self.bias, **activation)

    def describe(self) -> str:
        outputs, inputs = self.weight.shape
        return f"{inputs}, {outputs}" + (", bias=False" if self.bias is None else "")


class Conv2d(Module):
    """Convolution of pictures (N, C, H, W) with kernels (out_channels, in_channels / groups, kh, kw).

    Weight and bias start uniform in +- 1 / sqrt(in_channels / groups kh kw), as PyTorch's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator,
        dtype: Any = np.float32,
    ) -> None:
        self.options: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        }
        shape = self.weight_shape(in_channels, out_channels, groups, pair(kernel_size))
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = parameter(init.uniform(shape, -bound, bound, rng=rng, dtype=dtype))
        self.bias = (
            parameter(init.uniform((out_channels,), -bound, bound, rng=rng, dtype=dtype))
            if bias
            else None
        )

    @staticmethod
    def weight_shape(
        inputs: int, outputs: int, groups: int, size: tuple[int, int]
    ) -> tuple[int, ...]:
        return outputs, inputs // groups, *size

    def forward(self, x: Any, shift: Any = None) -> Any:
        """With a shift (N, out_channels) that is added to every pixel of its picture, as a bias of its own."""
        bias = self.bias if shift is None else shift if self.bias is None else self.bias + shift
        return kernels.conv2d(x, self.weight, bias, **self.options)

    def describe(self) -> str:
        usual = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
        changed = [f"{n}={v}" for n, v in self.options.items() if v != usual[n]]
        return ", ".join([f"{self.weight.shape}", *changed])


class ConvTranspose2d(Conv2d):
    """The adjoint of a convolution as a layer, kernels (in_channels, out_channels / groups, kh, kw): it enlarges pictures."""

    def __init__(self, *sizes: Any, output_padding: Pair = 0, **settings: Any) -> None:
        super().__init__(*sizes, **settings)
        self.options["output_padding"] = output_padding

    @staticmethod
    def weight_shape(
        inputs: int, outputs: int, groups: int, size: tuple[int, int]
    ) -> tuple[int, ...]:
        return inputs, outputs // groups, *size

    def forward(self, x: Any) -> Any:  # type: ignore[override]
        return kernels.conv_transpose2d(x, self.weight, self.bias, **self.options)


class Embedding(Module):
    """A table of vectors, looked up by number: integers (...) -> (..., dimension). Starts from N(0, 1), as PyTorch's."""

    def __init__(
        self, number: int, dimension: int, *, rng: np.random.Generator, dtype: Any = np.float32
    ) -> None:
        self.weight = parameter(rng.standard_normal((number, dimension)).astype(dtype))

    def forward(self, indices: Any) -> Any:
        return kernels.embedding(indices, self.weight)

    def describe(self) -> str:
        return ", ".join(map(str, self.weight.shape))


class BatchNorm1d(Module):
    """Batch normalisation of (N, C) or (N, C, L) over all axes but C (Ioffe & Szegedy 2015), the batch being that of all
    ranks (`parallel`).

    Training normalises by the batch's statistics and moves the running ones towards them (with the unbiased variance):
    running = (1 - momentum) running + momentum batch. Evaluation normalises by the running ones.
    """

    running_mean: np.ndarray
    running_var: np.ndarray
    num_batches_tracked: np.ndarray

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        dtype: Any = np.float32,
    ) -> None:
        self.eps, self.momentum = eps, momentum
        self.weight = parameter(np.ones(num_features, dtype))
        self.bias = parameter(np.zeros(num_features, dtype))
        self.register_buffer("running_mean", np.zeros(num_features, dtype))
        self.register_buffer("running_var", np.ones(num_features, dtype))
        self.register_buffer("num_batches_tracked", np.array(0))

    def forward(self, x: Any) -> Any:
        if not self.training:
            statistics = {"mean": self.running_mean, "variance": self.running_var}
            return kernels.batch_norm(x, self.weight, self.bias, eps=self.eps, **statistics)
        count = x.size // self.weight.size * parallel.team().size
        if count < 2:
            raise ValueError(
                f"x of shape {x.shape} has one value per channel, hence no variance; train on larger batches, or eval()"
            )

        def observe(mean: np.ndarray, variance: np.ndarray) -> None:
            unbiased = variance * (count / (count - 1))
            for running, value in ((self.running_mean, mean), (self.running_var, unbiased)):
                running += self.momentum * (value - running)
            self.num_batches_tracked += 1

        return kernels.batch_norm(
            x, self.weight, self.bias, eps=self.eps, observe=observe, average=parallel.average
        )

    def describe(self) -> str:
        return f"{self.weight.size}, eps={self.eps:g}, momentum={self.momentum:g}"


class BatchNorm2d(BatchNorm1d):
    """Batch normalisation of pictures (N, C, H, W) over all axes but C, in all else as `BatchNorm1d`."""

    def forward(self, x: Any) -> Any:
        if x.ndim != 4:
            raise ValueError(f"x has shape {x.shape}; pictures are (N, C, H, W)")
        return super().forward(x)


class LayerNorm(Module):
    """Normalisation of each sample over its last axes, which have this shape (Ba, Kiros & Hinton 2016)."""

    def __init__(
        self, shape: int | tuple[int, ...], eps: float = 1e-5, *, dtype: Any = np.float32
    ) -> None:
        self.eps = eps
        self.weight = parameter(np.ones(shape, dtype))
        self.bias = parameter(np.zeros(shape, dtype))

    def forward(self, x: Any) -> Any:
        return kernels.layer_norm(x, self.weight, self.bias, eps=self.eps)

    def describe(self) -> str:
        return f"{self.weight.shape}, eps={self.eps:g}"


class GroupNorm(Module):
    """Normalisation over each of `num_groups` groups of channels of each sample: (N, C, ...) (Wu & He 2018).

    `forward` takes an activation as `kernels.group_norm` does.
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, *, dtype: Any = np.float32
    ) -> None:
        self.num_groups, self.eps = num_groups, eps
        self.weight = parameter(np.ones(num_channels, dtype))
        self.bias = parameter(np.zeros(num_channels, dtype))

    def forward(self, x: Any, **activation: Any) -> Any:
        return kernels.group_norm(
            x, self.weight, self.bias, groups=self.num_groups, eps=self.eps, **activation
        )

    def describe(self) -> str:
        return f"{self.num_groups}, {self.weight.size}, eps={self.eps:g}"


class Dropout(Module):
    """In training, each element is dropped with probability p and the others are scaled by 1 / (1 - p).

    `batch_axis` says along which axis ranks share a batch (`parallel`): 1 for sequences (T, N, ...).
    """

    def __init__(self, p: float = 0.5, *, batch_axis: int = 0, rng: np.random.Generator) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability, not {p}")
        self.p, self.batch_axis, self.rng = p, batch_axis, rng

    def forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        drawn = parallel.team().draw(self.rng.random, x.shape, self.batch_axis, dtype=np.float32)
        return kernels.dropout(x, drawn >= self.p, p=self.p)

    def describe(self) -> str:
        return f"{self.p:g}"


class ReLU(Module):
    """max(x, 0)."""

    activation = MappingProxyType({"activation": "relu"})

    def forward(self, x: Any) -> Any:
        return kernels.relu(x)


class LeakyReLU(Module):
    """x above 0, `negative_slope` x below."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope
        self.activation = {"activation": "leaky_relu", "negative_slope": negative_slope}

    def forward(self, x: Any) -> Any:
        return kernels.leaky_relu(x, negative_slope=self.negative_slope)

    def describe(self) -> str:
        return f"{self.negative_slope:g}"


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    activation = MappingProxyType({"activation": "sigmoid"})

    def forward(self, x: Any) -> Any:
        return kernels.sigmoid(x)


class Tanh(Module):
    """tanh x."""

    activation = MappingProxyType({"activation": "tanh"})

    def forward(self, x: Any) -> Any:
        return kernels.tanh(x)


class GELU(Module):
    """x Phi(x), exact or (`approximate="tanh"`) with a tanh in place of the normal distribution function Phi."""

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f'approximate is "none" or "tanh", not {approximate!r}')
        self.approximate = approximate
        self.activation = {"activation": "gelu" if approximate == "none" else "gelu_tanh"}

    def forward(self, x: Any) -> Any:
        return kernels.gelu(x, approximate=self.approximate)

    def describe(self) -> str:
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"


class SiLU(Module):
    """x sigmoid(x)."""

    activation = MappingProxyType({"activation": "silu"})

    def forward(self, x: Any) -> Any:
        return kernels.silu(x)


class Softmax(Module):
    """Probabilities along an axis."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return kernels.softmax(x, axis=self.axis)

    def describe(self) -> str:
        return f"axis={self.axis}"


class Flatten(Module):
    """(N, ...) -> (N, D)."""

    def forward(self, x: Any) -> Any:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Unflatten(Module):
    """(..., D) -> (..., *shape)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = tuple(shape)

    def forward(self, x: Any) -> Any:
        return x.reshape(*x.shape[:-1], *self.shape)

    def describe(self) -> str:
        return f"{self.shape}"
