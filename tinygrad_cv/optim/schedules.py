"""Schedules: functions from the step (0, 1, ...) to a factor of the learning rate.

`optimizer.lr = rate * schedule(step)` before each step. What is out of range is refused by name
when the schedule is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

from ..engine.arguments import real, whole

Schedule: TypeAlias = Callable[[int], float]


def constant() -> Schedule:
    """1 at every step."""
    return lambda step: 1.0


def step_decay(size: int, factor: float) -> Schedule:
    """Multiplied by `factor` after every `size` steps."""
    whole("size", size)
    real("factor", factor)
    return lambda step: factor ** (step // size)


def exponential(factor: float) -> Schedule:
    """Multiplied by `factor` after every step."""
    real("factor", factor)
    return lambda step: factor**step


def multi_step(milestones: Iterable[int], factor: float = 0.1) -> Schedule:
    """Multiplied by `factor` at each of the milestones, which are steps."""
    steps = [whole("milestones", step, least=0) for step in milestones]
    real("factor", factor)
    return lambda step: factor ** sum(milestone <= step for milestone in steps)


def cosine(total: int, minimum: float = 0.0) -> Schedule:
    """Half a cosine from 1 down to `minimum` at step `total`.

    Loshchilov & Hutter 2017, equation 5.
    """
    whole("total", total, least=0)
    real("minimum", minimum, most=1)

    def schedule(step: int) -> float:
        if step >= total:
            return minimum
        angle = math.pi * step / total
        return minimum + (1 - minimum) * (1 + math.cos(angle)) / 2

    return schedule


def cosine_restarts(period: int, growth: int = 1, minimum: float = 0.0) -> Schedule:
    """Half cosines from 1 down to `minimum`, one after the other (Loshchilov & Hutter 2017).

    The first takes `period` steps, and each of the next ones `growth` times as many as the last.
    """
    whole("period", period)
    whole("growth", growth)
    real("minimum", minimum, most=1)

    def schedule(step: int) -> float:
        length = period
        while step >= length:
            step -= length
            length *= growth
        return cosine(length, minimum)(step)

    return schedule


def one_cycle(
    total: int, rise: float = 0.3, start: float = 1 / 25, end: float = 1 / 250_000
) -> Schedule:
    """From `start` up to 1 and down to `end` at step `total` - 1, along cosines.

    Smith & Topin 2018, in PyTorch's form: the peak is at step `rise` `total` - 1.
    """
    whole("total", total)
    real("rise", rise, most=1)
    real("start", start)
    real("end", end)
    peak = rise * total - 1

    def schedule(step: int) -> float:
        if step < peak:
            return between(start, 1.0, step / peak)
        if step >= total - 1 and step > peak:
            return end
        return between(1.0, end, (step - peak) / max(total - 1 - peak, 1.0))

    return schedule


def between(first: float, last: float, part: float) -> float:
    """What a cosine has come to from `first` to `last` after a part of the way, in [0, 1]."""
    return last + (first - last) * (1 + math.cos(math.pi * part)) / 2


class Plateau:
    """Multiplied by `factor` when a loss has not fallen for more than `patience` updates.

        schedule = Plateau(0.1, patience=10)
        schedule.update(loss)           # once an epoch
        optimizer.lr = rate * schedule(step)

    threshold: a loss has fallen if it is below (1 - threshold) times the lowest one.
    """

    def __init__(self, factor: float = 0.1, patience: int = 10, threshold: float = 1e-4) -> None:
        self.factor = real("factor", factor, below=1)
        self.patience = whole("patience", patience, least=0)
        self.threshold = real("threshold", threshold)
        self.value = 1.0
        self.lowest = math.inf
        self.waited = 0  # updates since it was reached

    def update(self, loss: float) -> None:
        """Take a loss into account. NaN has not fallen."""
        self.waited += 1
        if loss < self.lowest * (1 - self.threshold):
            self.lowest = loss
            self.waited = 0
        if self.waited > self.patience:
            self.value *= self.factor
            self.waited = 0

    def __call__(self, step: int) -> float:
        return self.value


def warm_up(steps: int, then: Schedule | None = None) -> Schedule:
    """A linear rise to 1 in `steps` steps, then another schedule from its start.

    The factors are 1 / steps, 2 / steps, ..., 1 (Goyal et al. 2017, section 2.2).
    """
    whole("steps", steps, least=0)
    after = then or constant()

    def schedule(step: int) -> float:
        if step < steps:
            return (step + 1) / steps
        return after(step - steps)

    return schedule


def inverse_square_root(warm_up: int, dimension: int) -> Schedule:
    """dimension^-1/2 min(s^-1/2, s warm_up^-3/2) at s = step + 1 (Vaswani et al. 2017, equation 3).

    It rises linearly for `warm_up` steps and falls with the root of the step afterwards. The paper
    has no other learning rate: use it with a rate of 1.
    """
    whole("warm_up", warm_up)
    whole("dimension", dimension)

    def schedule(step: int) -> float:
        s = step + 1
        factor: float = min(s**-0.5, s * warm_up**-1.5)
        return factor / math.sqrt(dimension)

    return schedule
