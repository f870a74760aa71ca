"""PyTorch at its best.

The fastest of two fast forms of Adam, one thread or all, and for convolutions both layouts.

Subnormal numbers count as zero, since the moments of weights without gradient become such numbers
and are slow to compute with.
"""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np
import torch

from . import torch_eager
from .contenders import CORES, TRAINING
from .workloads import UNetSizes, sizes_of

WARM_UP, TIMED = 3, 5  # steps of each variant


class Contender(torch_eager.Contender):
    """The fastest variant; `variant` names it."""

    def __init__(self, name: str, weights: dict[str, np.ndarray]) -> None:
        layouts = (False, True) if isinstance(sizes_of(name), UNetSizes) else (False,)
        adams = ("fused", "foreach") if name in TRAINING else ("fused",)
        seconds = {}
        for variant in product(adams, sorted({1, CORES}), layouts):
            self.become(name, weights, *variant)
            seconds[variant] = self.seconds()
        adam, threads, channels_last = fastest = min(seconds, key=seconds.__getitem__)
        self.variant = f"{adam} Adam, {threads} thread{'s' * (threads > 1)}" + (
            ", channels last" if channels_last else ""
        )
        self.become(name, weights, *fastest)

    def become(
        self,
        name: str,
        weights: dict[str, np.ndarray],
        adam: str,
        threads: int,
        channels_last: bool,
    ) -> None:
        torch.set_flush_denormal(True)
        super().__init__(name, weights, {adam: True}, threads)
        if channels_last:
            self.work.model.to(memory_format=torch.channels_last)
            self.batches = [tuple(map(last, batch)) for batch in self.batches]

    def seconds(self) -> float:
        """The quickest of a few steps."""
        times = []
        for i in range(WARM_UP + TIMED):
            start = time.perf_counter()
            self.step(i)
            times.append(time.perf_counter() - start)
        return min(times[WARM_UP:])


def last(x: Any) -> Any:
    """Channels last, for a batch of images."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
