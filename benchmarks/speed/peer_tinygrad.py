"""tinygrad on the processor: a whole step captured by its JIT. It compiles with clang (or what CC names)."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np

os.environ.setdefault("DEV", "CPU")
if not shutil.which(os.environ.get("CC", "clang")):
    raise ImportError("tinygrad compiles with clang, which is not there")

from tinygrad import Context, Tensor, TinyJit, nn

from .functional import Maths, generator, loop, losses, prepared, trained
from .workloads import RATE, GANSizes, batches, sizes_of

XP = SimpleNamespace(
    exp=Tensor.exp,
    log=Tensor.log,
    sqrt=Tensor.sqrt,
    tanh=Tensor.tanh,
    maximum=Tensor.maximum,
    swapaxes=Tensor.transpose,
    sum=lambda x, axis=None, keepdims=False: x.sum(axis, keepdims),
    mean=lambda x, axis=None, keepdims=False: x.mean(axis, keepdims),
    max=lambda x, axis=None, keepdims=False: x.max(axis, keepdims),
    logaddexp=lambda zero, x: x.softplus(),
    concatenate=lambda parts, axis: parts[0].cat(*parts[1:], dim=axis),
    stack=lambda parts: parts[0].stack(*parts[1:]),
)


def conv(x: Any, weight: Any, bias: Any, stride: int) -> Any:
    return x.conv2d(weight, bias, stride=stride, padding=weight.shape[2] // 2)


def tensor(array: Any) -> Any:
    """Integers as int32."""
    array = np.ascontiguousarray(array)
    return Tensor(array.astype(np.int32) if array.dtype.kind == "i" else array).realize()


MATHS = Maths(XP, loop(XP), Tensor.erf, conv, number=float, array=tensor)


class Contender:
    def __init__(self, name: str, weights: dict[str, np.ndarray]) -> None:
        self.sizes, self.parts = sizes_of(name), losses(MATHS, name)
        self.weights = {n: tensor(a) for n, a in weights.items()}
        self.batches = [tuple(map(tensor, prepared(name, batch))) for batch in batches(name)]
        training = getattr(self.sizes, "training", True)
        if training:
            self.optimizers = [nn.optim.Adam(list(trained(self.weights, b).values()), RATE) for b, _ in self.parts]
        self.compiled = TinyJit(
            self.whole if training else lambda *batch: self.parts[0][1](self.weights, *batch).realize()
        )

    def whole(self, *batch: Any) -> Any:
        total, w = 0, self.weights
        if isinstance(self.sizes, GANSizes):
            batch = (*batch, generator(MATHS, self.sizes, w, batch[1]).detach())
        with Context(TRAINING=1):
            for (begins, loss), optimizer in zip(self.parts, self.optimizers, strict=True):
                value, chosen = loss(w, *batch), list(trained(w, begins).values())
                for weight, gradient in zip(chosen, value.gradient(*chosen), strict=True):
                    weight.grad = gradient
                total = total + value
                Tensor.realize(value, *optimizer.schedule_step())
        return total.realize()  # type: ignore[attr-defined]

    def step(self, i: int) -> float:
        return float(self.compiled(*self.batches[i % len(self.batches)]).item())
