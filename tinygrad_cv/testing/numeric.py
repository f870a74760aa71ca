"""Derivatives by differences, each with an estimate of its own error.

Along a direction d the function phi(t) = <cotangent, f(x + t d) - f(x)> is evaluated at t = +-h, +-h/2, +-h/4, +-h/8.
Richardson extrapolation (Ridders 1982) of the central differences gives the slope, and of the one-sided differences
the slopes to the right and to the left: where those two differ, there is a kink. The error estimate is the change that
the last extrapolation made, plus what rounding does to phi. Where it stays large, the step was too long (a kink or the
edge of the domain is near, or the function bends sharply): the next attempt is shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any  # an ndarray

LEVELS = 4
STEPS = tuple(2.0**-k for k in (5, 9, 13, 17, 21, 25))
CONFIRMING = (0.7 * 2.0**-5, 0.6 * 2.0**-8)
RESOLVED = 1e-10  # an error below this share of the largest slope needs no further attempt


@dataclass
class Slopes:
    """Derivatives along D directions, and how far they can be trusted: each an array (D,)."""

    value: Array
    error: Array
    right: Array  # one-sided derivatives
    left: Array
    side_error: Array
    jump: Array  # whether the function itself jumps, so that no slope exists
    rounding: Array  # the part of the error that no shorter step would take away
    steepest: Array  # the largest |phi(t) / t| that was met: what "small" is to be measured by

    @property
    def kink(self) -> Array:
        """Where the one-sided slopes differ by more than their errors explain."""
        return self.jump | (
            np.abs(self.right - self.left) > 20 * self.side_error + 1e-4 * self.steepest
        )

    @property
    def settled(self) -> Array:
        """Where another attempt would not tell more."""
        size = np.abs(self.value)
        scale = np.maximum(self.steepest, np.max(size, initial=0, where=np.isfinite(size)))
        side = np.maximum(np.abs(self.right), np.abs(self.left))
        precise = (self.error <= RESOLVED * scale) | (self.error <= 2 * self.rounding)
        return np.isfinite(size) & (precise | (self.kink & (self.side_error <= 1e-6 * side)))


def richardson(table: Array, powers: Sequence[int]) -> tuple[Array, Array]:
    """Extrapolate table[k], taken at step h / 2^k with error terms h^p for p in powers, to h = 0: (value, error).

    table: (L, D) -> two arrays (D,). The value is the entry of the scheme that changed least from its neighbours.
    """
    column, values, errors = table, [table[-1:]], [np.abs(table[-1:] - table[-2:-1])]
    for power in powers[: len(table) - 1]:
        change = (column[1:] - column[:-1]) / (2**power - 1)
        following = column[1:] + change
        values.append(following)
        errors.append(np.maximum(np.abs(change), np.abs(following - column[:-1])))
        column = following
    value, error = np.concatenate(values), np.concatenate(errors)  # (entries, D)
    error[np.isnan(error)] = np.inf
    best = error.argmin(axis=0)[None]
    return np.take_along_axis(value, best, 0)[0], np.take_along_axis(error, best, 0)[0]


def slopes(
    phi: Callable[[int, float], tuple[Any, Any]],
    count: int,
    *,
    eps: float = 2.0**-52,
    steps: Sequence[float] = STEPS,
) -> Slopes:
    """Derivatives at t = 0 of `count` functions. `phi(i, t)` gives phi_i(t) - phi_i(0) and the size of the numbers that
    were subtracted, which times `eps` is the rounding error. With count 1, phi may give arrays: one function each."""
    found: Slopes | None = None
    pending = np.arange(count)
    for step in steps:
        attempt = _attempt(phi, pending, step, eps)
        positions = pending if len(attempt.value) == len(pending) else np.arange(len(attempt.value))
        if found is None:
            found = attempt
        else:
            _improve(found, attempt, positions)
        unsettled = np.flatnonzero(~found.settled)
        if not len(unsettled):
            break
        pending = unsettled if positions is pending else pending
    assert found is not None
    return found


def _attempt(
    phi: Callable[[int, float], tuple[Any, Any]], which: Array, step: float, eps: float
) -> Slopes:
    """Slopes along some of the directions with one first step."""
    lengths = step / 2.0 ** np.arange(LEVELS)
    plus, minus, size = [], [], []
    for i in which:
        pairs = [(phi(int(i), t), phi(int(i), -t)) for t in lengths]
        plus.append([p[0] for p, _ in pairs])
        minus.append([m[0] for _, m in pairs])
        size.append([np.maximum(p[1], m[1]) for p, m in pairs])
    # (directions, L) or (1, L, outputs) -> (L, D)
    forward, backward, sizes = (
        np.moveaxis(np.array(a, float), 1, 0).reshape(LEVELS, -1) for a in (plus, minus, size)
    )
    h = lengths[:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        steepest = (np.maximum(np.abs(forward), np.abs(backward)) / h).max(axis=0)
        rounding = 2 * eps * sizes.max(axis=0) / lengths[-1]
        value, error = richardson((forward - backward) / (2 * h), (2, 4, 6))
        sides, errors = richardson(np.concatenate([forward, -backward], axis=1) / h, (1, 2, 3))
        (right, left), (right_error, left_error) = np.split(sides, 2), np.split(errors, 2)
        side_error = np.maximum(right_error, left_error) + 2 * rounding
        # A function whose second derivative jumps has odd error terms: there, the mean of the sides is better.
        middle, middle_error = (right + left) / 2, np.maximum(right_error, left_error)
        value, error = (
            np.where(middle_error < error, middle, value),
            np.minimum(middle_error, error) + rounding,
        )
        jump = _jumps(forward, rounding * lengths[-1]) | _jumps(backward, rounding * lengths[-1])
    for a in (error, side_error):
        a[~np.isfinite(a)] = np.inf
    return Slopes(value, error, right, left, side_error, jump, rounding, np.nan_to_num(steepest))


def _jumps(values: Array, noise: Array) -> Array:
    """Whether phi(t) - phi(0) does not shrink with t: the function jumps at 0."""
    sizes = np.abs(values)  # (L, D)
    return (sizes.min(axis=0) > 0.8 * sizes.max(axis=0)) & (sizes[-1] > 100 * noise)


def _improve(found: Slopes, attempt: Slopes, which: Array) -> None:
    """Keep what is better in a new attempt."""
    for better, names in (
        (attempt.error < found.error[which], ("value", "error", "rounding")),
        (attempt.side_error < found.side_error[which], ("right", "left", "side_error")),
    ):
        for name in names:
            getattr(found, name)[which[better]] = getattr(attempt, name)[better]
    found.jump[which] = attempt.jump


def doubt(
    found: Slopes, phi: Callable[[int, float], tuple[Any, Any]], which: Array, eps: float
) -> None:
    """Widen the errors of some directions to those of other steps, and to how far these are off: an estimate may be
    lucky, where a function is made of terms that cancel."""
    if not len(which):
        return
    attempts = [_attempt(phi, which, step, eps) for step in CONFIRMING]
    errors = [found.error[which], np.min([a.error for a in attempts], axis=0)]
    for again in attempts:
        off = np.abs(again.value - found.value[which])
        errors.append(np.where(off > again.error, off, 0))
    found.error[which] = np.max(errors, axis=0)
    found.rounding[which] = np.max([found.rounding[which], *(a.rounding for a in attempts)], axis=0)
