"""Layers: kernels with their parameters.

Names and shapes are PyTorch's, so that weights interchange. Wherever a layer takes them, `rng`
draws the initial weights and `dtype` is their type. Sizes are whole numbers, Python's or NumPy's.
TypeError and ValueError name the layer and the argument that does not fit, when the layer is built.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np

from .. import kernels, parallel
from ..tensor import Tensor
from ..typing import Array, DTypeLike, Shape
from . import init
from .checks import REQUIRED, Pair, generator, lengths, number, pair, switch, whole_number, word
from .module import Module, parameter


class Linear(Module):
    """An affine map of the last axis, x weight^T + bias: (..., in_features) -> (..., out_features).

    in_features, out_features: lengths of the last axis of x and of the result.
    bias: whether there is a bias (out_features,).
    rng, dtype: draw the weight (out_features, in_features) and the bias uniformly in
        +- 1 / sqrt(in_features).
    """

    def __init__(
        self,
        in_features: SupportsIndex,
        out_features: SupportsIndex,
        bias: bool = True,
        *,
        rng: np.random.Generator = REQUIRED,
        dtype: DTypeLike = np.float32,
    ) -> None:
        inputs = whole_number(self, "in_features", in_features)
        outputs = whole_number(self, "out_features", out_features)
        generator(self, rng)
        bound = 1 / math.sqrt(inputs)
        weight = init.uniform((outputs, inputs), -bound, bound, rng=rng, dtype=dtype)
        self.weight = parameter(weight)
        self.bias: Tensor | None = None
        if switch(self, "bias", bias):
            self.bias = parameter(init.uniform((outputs,), -bound, bound, rng=rng, dtype=dtype))

    def forward(self, x: Array, **activation: Any) -> Array:
        """With an activation, `activation="relu"`, ..., as `kernels.linear` takes it."""
        return kernels.linear(x, self.weight, self.bias, **activation)

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.shape
        text = f"{inputs}, {outputs}"
        return text if self.bias is not None else text + ", bias=False"


class Conv2d(Module):
    """Convolution of images: (N, in_channels, H, W) -> (N, out_channels, H', W').

    in_channels, out_channels: channels of x and of the result.
    kernel_size, stride, padding, dilation: one number, or one for the height and one for the width,
        in pixels. The padding may be "valid", that is 0, or "same", at stride 1: as much as keeps
        the size of x; where it is odd, there is one more below and to the right, as in PyTorch.
    groups: so many groups of channels are convolved apart; divides both numbers of channels.
    bias: whether there is a bias (out_channels,).
    rng, dtype: draw the weight (out_channels, in_channels / groups, kh, kw) and the bias uniformly
        in +- 1 / sqrt(in_channels / groups kh kw).
    """

    def __init__(
        self,
        in_channels: SupportsIndex,
        out_channels: SupportsIndex,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: SupportsIndex = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator = REQUIRED,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_channels = whole_number(self, "in_channels", in_channels)
        self.out_channels = whole_number(self, "out_channels", out_channels)
        self.kernel_size = pair(self, "kernel_size", kernel_size)
        self.stride = pair(self, "stride", stride)
        self.dilation = pair(self, "dilation", dilation)
        self.same = isinstance(padding, str) and padding == "same"
        self.padding = self._padding(padding)
        self.groups = whole_number(self, "groups", groups)
        for name, channels in (("in", self.in_channels), ("out", self.out_channels)):
            if channels % self.groups:
                raise ValueError(
                    f"{type(self).__name__}: {self.groups} groups do not divide "
                    f"{name}_channels={channels}"
                )
        generator(self, rng)
        shape = self.weight_shape()
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        self.weight = parameter(init.uniform(shape, -bound, bound, rng=rng, dtype=dtype))
        self.bias: Tensor | None = None
        if switch(self, "bias", bias):
            drawn = init.uniform((self.out_channels,), -bound, bound, rng=rng, dtype=dtype)
            self.bias = parameter(drawn)

    def _padding(self, padding: Pair | str) -> tuple[int, int]:
        """The padding on each side, in pixels."""
        if not isinstance(padding, str):
            return pair(self, "padding", padding, least=0)
        if word(self, "padding", padding, ("same", "valid")) == "valid":
            return 0, 0
        if self.stride != (1, 1):
            raise ValueError(f'Conv2d: padding="same" needs stride=1, not {self.stride}')
        down, across = self._reach()
        return (down + 1) // 2, (across + 1) // 2  # where it is odd, one too much: see `forward`

    def _reach(self) -> tuple[int, int]:
        """How much smaller than x the result is without padding, at stride 1."""
        kh, kw = self.kernel_size
        dh, dw = self.dilation
        return dh * (kh - 1), dw * (kw - 1)

    def weight_shape(self) -> Shape:
        """(out_channels, in_channels / groups, kh, kw)."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def forward(self, x: Array, shift: Array | None = None) -> Array:
        """`shift` (N, out_channels) is added to all pixels of an image, like a bias of its own."""
        return self._convolve(x, self.weight, shift)

    def _convolve(self, x: Array, weight: Array, shift: Array | None = None) -> Array:
        """x (N, C, H, W) with a weight (out_channels, in_channels / groups, kh, kw)."""
        bias = self.bias
        if shift is not None:
            bias = shift if bias is None else bias + shift
        y = kernels.conv2d(
            x,
            weight,
            bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
        if not self.same:
            return y
        down, across = self._reach()
        if down % 2 == across % 2 == 0:
            return y
        return y[:, :, down % 2 :, across % 2 :]  # of what is odd, one more at the end

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        if self.stride != (1, 1):
            text += f", stride={self.stride}"
        if self.same:
            text += ", padding='same'"
        elif self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"


class Conv1d(Conv2d):
    """Convolution of sequences: (N, in_channels, L) -> (N, out_channels, L').

    The arguments are those of `Conv2d`, each one number; the weight is (out_channels,
    in_channels / groups, kernel_size). A sequence is an image of one row.
    """

    def __init__(
        self,
        in_channels: SupportsIndex,
        out_channels: SupportsIndex,
        kernel_size: SupportsIndex,
        stride: SupportsIndex = 1,
        padding: SupportsIndex | str = 0,
        dilation: SupportsIndex = 1,
        groups: SupportsIndex = 1,
        bias: bool = True,
        *,
        rng: np.random.Generator = REQUIRED,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            (1, whole_number(self, "kernel_size", kernel_size)),
            (1, whole_number(self, "stride", stride)),
            self._across(padding),
            (1, whole_number(self, "dilation", dilation)),
            groups,
            bias,
            rng=rng,
            dtype=dtype,
        )

    def _across(self, padding: SupportsIndex | str) -> Pair | str:
        """The padding of an image of one row."""
        if isinstance(padding, str):
            return padding
        return 0, whole_number(self, "padding", padding, least=0)

    def weight_shape(self) -> Shape:
        """(out_channels, in_channels / groups, kernel_size)."""
        return (self.out_channels, self.in_channels // self.groups, self.kernel_size[1])

    def forward(self, x: Array) -> Array:  # type: ignore[override]
        if x.ndim != 3:
            raise ValueError(f"Conv1d: x has shape {x.shape}; sequences are (N, C, L)")
        rows, weight = x[:, :, None], self.weight[:, :, None]  # (N, C, 1, L), (O, C/g, 1, k)
        return self._convolve(rows, weight)[:, :, 0]  # (N, O, L')


class ConvTranspose2d(Conv2d):
    """The adjoint of a convolution, which enlarges images.

    (N, in_channels, H, W) -> (N, out_channels, H', W'), where
    H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1, and likewise W'.

    output_padding: rows and columns more at the end, less than the stride or the dilation.

    All other arguments are those of `Conv2d`; the weight is (in_channels, out_channels / groups,
    kh, kw).
    """

    def __init__(
        self,
        in_channels: SupportsIndex,
        out_channels: SupportsIndex,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: SupportsIndex = 1,
        bias: bool = True,
        dilation: Pair = 1,
        *,
        rng: np.random.Generator = REQUIRED,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.output_padding = pair(self, "output_padding", output_padding, least=0)
        padding = pair(self, "padding", padding, least=0)
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            rng=rng,
            dtype=dtype,
        )
        steps = map(max, self.stride, self.dilation)
        if any(map(operator.ge, self.output_padding, steps)):
            raise ValueError(
                f"ConvTranspose2d: output_padding={self.output_padding} is not less than "
                f"stride={self.stride} or dilation={self.dilation}"
            )

    def weight_shape(self) -> Shape:
        """(in_channels, out_channels / groups, kh, kw)."""
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def forward(self, x: Array) -> Array:  # type: ignore[override]
        return kernels.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def extra_repr(self) -> str:
        text = super().extra_repr()
        if self.output_padding != (0, 0):
            text += f", output_padding={self.output_padding}"
        return text


class Embedding(Module):
    """A table of vectors, looked up by number: integers (...) -> (..., embedding_dim).

    num_embeddings: rows of the table; the integers lie in 0 ... num_embeddings - 1.
    embedding_dim: length of a vector.
    padding_idx: a row that starts at 0 and gets no gradient.
    rng, dtype: draw the weight (num_embeddings, embedding_dim) from N(0, 1).
    """

    def __init__(
        self,
        num_embeddings: SupportsIndex,
        embedding_dim: SupportsIndex,
        padding_idx: SupportsIndex | None = None,
        *,
        rng: np.random.Generator = REQUIRED,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rows = whole_number(self, "num_embeddings", num_embeddings)
        columns = whole_number(self, "embedding_dim", embedding_dim)
        generator(self, rng)
        weight = rng.standard_normal((rows, columns)).astype(dtype)
        self.padding_idx: int | None = None
        if padding_idx is not None:
            row = whole_number(self, "padding_idx", padding_idx, least=-rows)
            if row >= rows:
                raise ValueError(f"Embedding: padding_idx={row} is not among {rows} rows")
            self.padding_idx = row % rows
            weight[row] = 0
        self.weight = parameter(weight)

    def forward(self, indices: np.ndarray) -> Array:
        y = kernels.embedding(indices, self.weight)
        if self.padding_idx is None:
            return y
        is_padding = (indices == self.padding_idx)[..., None]  # (..., 1)
        return np.where(is_padding, self.weight.detach()[self.padding_idx], y)

    def extra_repr(self) -> str:
        rows, columns = self.weight.shape
        text = f"{rows}, {columns}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"


def add_affine(
    layer: Module, shape: int | Shape, affine: bool, dtype: DTypeLike, bias: bool = True
) -> None:
    """Give a normalisation its weight, of ones, and its bias, of zeros; None for what is off."""
    layer.weight = parameter(np.ones(shape, dtype)) if affine else None
    layer.bias = parameter(np.zeros(shape, dtype)) if affine and bias else None


class BatchNorm1d(Module):
    """Batch normalisation of (N, C) or (N, C, L) over all axes but C; the shape stays.

    Ioffe & Szegedy 2015. The batch is that of all ranks (`parallel`). Training normalises by the
    batch's statistics and moves the running ones towards them (with the unbiased variance):

        running = (1 - momentum) running + momentum batch.

    Evaluation normalises by the running ones.

    num_features: C. Weight, bias and running statistics are (C,).
    eps: added to the variance.
    momentum: the weight of a batch in the running statistics, from 0 to 1. If None, they are the
        mean of those of all batches so far, as in PyTorch.
    affine: whether there are a weight and a bias.
    dtype: of weight, bias and running statistics, which start at 1, 0, and mean 0 and variance 1.
    """

    running_mean: np.ndarray
    running_var: np.ndarray
    num_batches_tracked: np.ndarray

    def __init__(
        self,
        num_features: SupportsIndex,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        channels = whole_number(self, "num_features", num_features)
        self.eps = number(self, "eps", eps)
        if momentum is not None:
            momentum = number(self, "momentum", momentum, most=1)
        self.momentum = momentum
        add_affine(self, channels, switch(self, "affine", affine), dtype)
        self.register_buffer("running_mean", np.zeros(channels, dtype))
        self.register_buffer("running_var", np.ones(channels, dtype))
        self.register_buffer("num_batches_tracked", np.array(0))

    def forward(self, x: Array) -> Array:
        if not self.training:
            return self._normalise_by_running(x)
        count = x.size // self.running_mean.size * parallel.team().size  # values per channel
        if count == 0:
            self.num_batches_tracked[...] += 1
            return self._normalise_by_running(x)
        if count < 2:
            raise ValueError(
                f"x of shape {x.shape} has one value per channel, hence no variance; "
                "train on larger batches, or eval()"
            )

        def observe(mean: np.ndarray, variance: np.ndarray) -> None:
            unbiased = variance * (count / (count - 1))
            self.num_batches_tracked[...] += 1
            momentum = self.momentum
            if momentum is None:
                momentum = 1 / int(self.num_batches_tracked)
            move(self.running_mean, mean, momentum)
            move(self.running_var, unbiased, momentum)

        return kernels.batch_norm(
            x, self.weight, self.bias, eps=self.eps, observe=observe, average=parallel.average
        )

    def _normalise_by_running(self, x: Array) -> Array:
        """The value in evaluation, and of an empty batch, which has no statistics."""
        return kernels.batch_norm(
            x,
            self.weight,
            self.bias,
            eps=self.eps,
            mean=self.running_mean,
            variance=self.running_var,
        )

    def extra_repr(self) -> str:
        momentum = self.momentum if self.momentum is None else f"{self.momentum:g}"
        text = f"{self.running_mean.size}, eps={self.eps:g}, momentum={momentum}"
        return text if self.weight is not None else text + ", affine=False"


def move(running: np.ndarray, value: np.ndarray, momentum: float) -> None:
    """running = (1 - momentum) running + momentum value, in place."""
    running += momentum * (value - running)


class BatchNorm2d(BatchNorm1d):
    """Batch normalisation of images (N, C, H, W) over all axes but C; the shape stays.

    The arguments are those of `BatchNorm1d`.
    """

    def forward(self, x: Array) -> Array:
        if x.ndim != 4:
            raise ValueError(f"x has shape {x.shape}; images are (N, C, H, W)")
        return super().forward(x)


class LayerNorm(Module):
    """Normalisation of each sample over its last axes (Ba, Kiros & Hinton 2016); the shape stays.

    normalized_shape: the lengths of these axes, or one number if it is the last axis alone. Weight
        and bias have this shape and start at 1 and 0.
    eps: added to the variance.
    elementwise_affine: whether there are a weight and a bias.
    bias: whether there is a bias beside the weight.
    dtype: of weight and bias.
    """

    def __init__(
        self,
        normalized_shape: SupportsIndex | Iterable[SupportsIndex],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = lengths(self, "normalized_shape", normalized_shape)
        self.eps = number(self, "eps", eps)
        affine = switch(self, "elementwise_affine", elementwise_affine)
        add_affine(self, self.normalized_shape, affine, dtype, switch(self, "bias", bias))

    def forward(self, x: Array) -> Array:
        shape = self.normalized_shape
        return kernels.layer_norm(x, self.weight, self.bias, eps=self.eps, shape=shape)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps:g}"
        if self.weight is None:
            return text + ", elementwise_affine=False"
        return text if self.bias is not None else text + ", bias=False"


class RMSNorm(Module):
    """Each sample over its root mean square along its last axes; the shape stays.

    Zhang & Sennrich 2019.

    normalized_shape: the lengths of these axes, or one number if it is the last axis alone. The
        weight has this shape and starts at 1.
    eps: added to the mean square. If None, the smallest step of x's dtype at 1, as in PyTorch.
    elementwise_affine: whether there is a weight.
    dtype: of the weight.
    """

    def __init__(
        self,
        normalized_shape: SupportsIndex | Iterable[SupportsIndex],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.normalized_shape = lengths(self, "normalized_shape", normalized_shape)
        self.eps = None if eps is None else number(self, "eps", eps)
        affine = switch(self, "elementwise_affine", elementwise_affine)
        add_affine(self, self.normalized_shape, affine, dtype, bias=False)

    def forward(self, x: Array) -> Array:
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        return kernels.rms_norm(x, self.weight, eps=eps, shape=self.normalized_shape)

    def extra_repr(self) -> str:
        text = f"{self.normalized_shape}, eps={self.eps}"
        return text if self.weight is not None else text + ", elementwise_affine=False"


class GroupNorm(Module):
    """Normalisation of each sample (C, ...) over groups of channels; the shape stays.

    Wu & He 2018.

    num_groups: divides the channels.
    num_channels: C. Weight and bias are (C,) and start at 1 and 0.
    eps: added to the variance.
    affine: whether there are a weight and a bias.
    dtype: of weight and bias.
    """

    def __init__(
        self,
        num_groups: SupportsIndex,
        num_channels: SupportsIndex,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_groups = whole_number(self, "num_groups", num_groups)
        channels = self.num_channels = whole_number(self, "num_channels", num_channels)
        if channels % self.num_groups:
            raise ValueError(
                f"GroupNorm: {self.num_groups} groups do not divide {channels} channels"
            )
        self.eps = number(self, "eps", eps)
        add_affine(self, channels, switch(self, "affine", affine), dtype)

    def forward(self, x: Array, activation: str | None = None) -> Array:
        """`activation` is that of `kernels.group_norm`."""
        return kernels.group_norm(
            x,
            self.weight,
            self.bias,
            groups=self.num_groups,
            eps=self.eps,
            activation=activation,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_groups}, {self.num_channels}, eps={self.eps:g}"
        return text if self.weight is not None else text + ", affine=False"


class InstanceNorm2d(GroupNorm):
    """Normalisation of each channel of each image (N, C, H, W); the shape stays.

    Ulyanov, Vedaldi & Lempitsky 2016. That is `GroupNorm` with a channel a group.

    num_features: C.
    eps: added to the variance.
    affine: whether there are a weight and a bias (C,), which start at 1 and 0.
    dtype: of weight and bias.
    """

    def __init__(
        self,
        num_features: SupportsIndex,
        eps: float = 1e-5,
        affine: bool = False,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        channels = whole_number(self, "num_features", num_features)
        super().__init__(channels, channels, eps, affine, dtype=dtype)


class Dropout(Module):
    """In training, each element is dropped with probability p; the shape stays.

    The other elements are scaled by 1 / (1 - p).

    p: a probability, from 0 to 1.
    batch_axis: along which axis ranks share a batch (`parallel`): 1 for sequences (T, N, ...).
    rng: draws what is dropped.
    """

    def __init__(
        self, p: float = 0.5, *, batch_axis: SupportsIndex = 0, rng: np.random.Generator = REQUIRED
    ) -> None:
        self.p = number(self, "p", p, most=1)
        self.batch_axis = whole_number(self, "batch_axis", batch_axis, least=0)
        self.rng = generator(self, rng)

    def forward(self, x: Array) -> Array:
        if not self.training or self.p == 0:
            return x
        drawn = parallel.team().draw(self.rng.random, x.shape, self.batch_axis, dtype=np.float32)
        return kernels.dropout(x, drawn >= self.p, p=self.p)

    def extra_repr(self) -> str:
        return f"{self.p:g}"


class Identity(Module):
    """x itself, in the place of a layer that is not wanted."""

    def forward(self, x: Array) -> Array:
        return x


class ReLU(Module):
    """max(x, 0) of each element; the shape stays."""

    def forward(self, x: Array) -> Array:
        return kernels.relu(x)


class LeakyReLU(Module):
    """x where it is above 0, `negative_slope` x below; the shape stays.

    negative_slope: from 0 to 1.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = number(self, "negative_slope", negative_slope, most=1)

    def forward(self, x: Array) -> Array:
        return kernels.leaky_relu(x, negative_slope=self.negative_slope)

    def extra_repr(self) -> str:
        return f"{self.negative_slope:g}"


class Sigmoid(Module):
    """1 / (1 + exp(-x)) of each element; the shape stays."""

    def forward(self, x: Array) -> Array:
        return kernels.sigmoid(x)


class Tanh(Module):
    """tanh x of each element; the shape stays."""

    def forward(self, x: Array) -> Array:
        return kernels.tanh(x)


class GELU(Module):
    """x Phi(x) of each element, with the normal distribution function Phi; the shape stays.

    approximate: "none", or "tanh" for the approximation of Phi by a tanh.
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = word(self, "approximate", approximate, ("none", "tanh"))

    def forward(self, x: Array) -> Array:
        return kernels.gelu(x, approximate=self.approximate)

    def extra_repr(self) -> str:
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"


class ELU(Module):
    """x where it is above 0, alpha (exp(x) - 1) below; the shape stays.

    alpha: minus the least value.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = number(self, "alpha", alpha)

    def forward(self, x: Array) -> Array:
        return kernels.elu(x, alpha=self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:g}"


class Softplus(Module):
    """log(1 + exp(beta x)) / beta of each element; the shape stays.

    beta: above 0; the larger, the sharper.
    """

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = number(self, "beta", beta)

    def forward(self, x: Array) -> Array:
        return kernels.softplus(x, beta=self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta:g}"


class PReLU(Module):
    """x where it is above 0, weight x below, with a weight that is trained; the shape stays.

    num_parameters: 1, or the channels, on axis 1 of x. The weight has this length.
    init: what it starts at.
    dtype: of the weight.
    """

    def __init__(
        self,
        num_parameters: SupportsIndex = 1,
        init: float = 0.25,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        count = whole_number(self, "num_parameters", num_parameters)
        start = number(self, "init", init, least=-math.inf)
        self.weight = parameter(np.full(count, start, dtype))

    def forward(self, x: Array) -> Array:
        following = (1,) * (x.ndim - 2)
        return kernels.prelu(x, self.weight.reshape(-1, *following))  # (C, 1, ...)

    def extra_repr(self) -> str:
        return f"{self.weight.size}"


class SiLU(Module):
    """x sigmoid(x) of each element; the shape stays."""

    def forward(self, x: Array) -> Array:
        return kernels.silu(x)


class Softmax(Module):
    """Probabilities along an axis, exp(x) / sum(exp(x)); the shape stays.

    axis: along which they add up to 1.
    """

    def __init__(self, axis: SupportsIndex = -1) -> None:
        self.axis = whole_number(self, "axis", axis, least=-math.inf)

    def forward(self, x: Array) -> Array:
        return kernels.softmax(x, axis=self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class MaxPool2d(Module):
    """The largest of each window of an image: (N, C, H, W) -> (N, C, H', W').

    kernel_size, stride, padding: those of `kernels.max_pool2d`, one number or one for the height
        and one for the width. The stride is the window's size if None.
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.kernel_size = pair(self, "kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair(self, "stride", stride)
        self.padding = pair(self, "padding", padding, least=0)

    def forward(self, x: Array) -> Array:
        return kernels.max_pool2d(
            x, kernel_size=self.kernel_size, stride=self.stride, padding=self.padding
        )

    def extra_repr(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(MaxPool2d):
    """The mean of each window of an image. The arguments are those of `MaxPool2d`."""

    def forward(self, x: Array) -> Array:
        return kernels.avg_pool2d(
            x, kernel_size=self.kernel_size, stride=self.stride, padding=self.padding
        )


class AdaptiveAvgPool2d(Module):
    """The means of windows that divide an image evenly: (N, C, H, W) -> (N, C, H', W').

    output_size: H' and W', or one number for both.
    """

    def __init__(self, output_size: Pair) -> None:
        self.output_size = pair(self, "output_size", output_size)

    def forward(self, x: Array) -> Array:
        return kernels.adaptive_avg_pool2d(x, output_size=self.output_size)

    def extra_repr(self) -> str:
        return f"{self.output_size}"


class PixelShuffle(Module):
    """Channels become pixels: (N, C r^2, H, W) -> (N, C, H r, W r).

    upscale_factor: r.
    """

    def __init__(self, upscale_factor: SupportsIndex) -> None:
        self.upscale_factor = whole_number(self, "upscale_factor", upscale_factor)

    def forward(self, x: Array) -> Array:
        return kernels.pixel_shuffle(x, upscale_factor=self.upscale_factor)

    def extra_repr(self) -> str:
        return f"{self.upscale_factor}"


class Flatten(Module):
    """All axes but the first become one: (N, ...) -> (N, D)."""

    def forward(self, x: Array) -> Array:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))  # (N, D)


class Unflatten(Module):
    """The last axis becomes several: (..., D) -> (..., *shape).

    shape: their lengths, whose product is D; one may be -1, and is what is left.
    """

    def __init__(self, shape: Iterable[SupportsIndex]) -> None:
        self.shape = lengths(self, "shape", shape, least=-1)
        if self.shape.count(-1) > 1:
            raise ValueError(f"Unflatten: shape has one -1 at most, not {self.shape}")

    def forward(self, x: Array) -> Array:
        return x.reshape(*x.shape[:-1], *self.shape)  # (..., *shape)

    def extra_repr(self) -> str:
        return f"{self.shape}"
