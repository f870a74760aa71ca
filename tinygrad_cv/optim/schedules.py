"""Schedules: functions from the step (0, 1, ...) to a factor of the learning rate.

`optimizer.lr = rate * schedule(step)` before each step. What is out of range is refused by name
when the schedule is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
