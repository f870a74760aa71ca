"""Derivatives by differences, each with an estimate of its own error.

Along a direction d the function phi(t) = <cotangent, f(x + t d) - f(x)> is evaluated at
t = +-h, +-h/2, +-h/4, +-h/8. Richardson extrapolation (Ridders 1982) of the central differences
gives the slope, and of the one-sided differences the slopes to the right and to the left: where
those two differ, there is a kink. The error estimate is the change that the last extrapolation
made, plus what rounding does to phi. Where it stays large, the step was too long (a kink or the
edge of the domain is near, or the function bends sharply): the next attempt is shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..typing import ArrayLike

LEVELS = 4  # an attempt takes the steps h, h/2, h/4 and h/8
STEPS = tuple(2.0**-k for k in (5, 9, 13, 17, 21, 25))  # the h of each attempt
CONFIRMING = (0.7 * 2.0**-5, 0.6 * 2.0**-8)  # other steps, for a second look
RESOLVED = 1e-10  # an error below this share of the largest slope needs no further attempt

# phi(i, t) gives phi_i(t) - phi_i(0), and the size of the numbers that were subtracted.
Phi: TypeAlias = Callable[[int, float], tuple[ArrayLike, ArrayLike]]


@dataclass
class Slopes:
    """Derivatives along D directions, and how far they can be trusted: each an array (D,)."""

    value: np.ndarray
    error: np.ndarray
    right: np.ndarray  # one-sided derivatives
    left: np.ndarray
    side_error: np.ndarray
    jump: np.ndarray  # whether the function itself jumps, so that no slope exists
    rounding: np.ndarray  # the part of the error that no shorter step would take away
    steepest: np.ndarray  # the largest |phi(t) / t| that was met, by which "small" is measured

    @property
    def kink(self) -> np.ndarray:
        """Where the one-sided slopes differ by more than their errors explain."""
        explained = 20 * self.side_error + 1e-4 * self.steepest
        bends = abs(self.right - self.left) > explained
        kink: np.ndarray = self.jump | bends
        return kink

    @property
    def settled(self) -> np.ndarray:
        """Where another attempt would add nothing."""
        size = abs(self.value)
        finite = np.isfinite(size)
        scale = np.maximum(self.steepest, largest_finite(size))
        resolved = self.error <= RESOLVED * scale
        as_precise_as_can_be = self.error <= 2 * self.rounding
        side = np.maximum(abs(self.right), abs(self.left))
        sides_resolved = self.side_error <= 1e-6 * side
        enough = resolved | as_precise_as_can_be | (self.kink & sides_resolved)
        settled: np.ndarray = finite & enough
        return settled


def largest(a: np.ndarray) -> float:
    """The largest size of an element, 0 for an empty array."""
    return float(np.max(abs(a), initial=0))


def largest_finite(a: np.ndarray) -> float:
    """The largest size of a finite element, 0 if there is none."""
    finite = a[np.isfinite(a)]
    return largest(finite)


def richardson(
    table: np.ndarray,
    powers: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Extrapolate table[k], taken at step h / 2^k with error terms h^p for p in powers, to h = 0.

    table: (L, D) -> value and error, each (D,). The value is the entry of the scheme that changed
    least from its neighbours. All that are chosen from know the shortest step: two longer ones may
    agree by accident, on what lies behind a kink.
    """
    column = table
    values = [table[-1]]
    errors = [abs(table[-1] - table[-2])]
    for power in powers[: len(table) - 1]:
        following = column[1:]
        preceding = column[:-1]
        change = (following - preceding) / (2**power - 1)
        column = following + change
        values.append(column[-1])
        errors.append(np.maximum(abs(change[-1]), abs(column[-1] - preceding[-1])))
    value = np.array(values)  # (powers + 1, D)
    error = np.array(errors)  # (powers + 1, D)
    error[np.isnan(error)] = np.inf
    best = error.argmin(axis=0)[None]
    least_changed = np.take_along_axis(value, best, 0)
    least_error = np.take_along_axis(error, best, 0)
    return least_changed[0], least_error[0]


def slopes(
    phi: Phi,
    count: int,
    *,
    eps: float = 2.0**-52,
    steps: Sequence[float] = STEPS,
) -> Slopes:
    """Derivatives at t = 0 of `count` functions.

    `phi(i, t)` gives phi_i(t) - phi_i(0) and the size of the numbers that were subtracted, which
    times `eps` is the rounding error. With count 1, phi may give arrays: one function each.
    """
    best: Slopes | None = None
    pending = np.arange(count)
    for step in steps:
        attempt = _attempt(phi, pending, step, eps)
        one_each = len(attempt.value) == len(pending)
        positions = pending if one_each else np.arange(len(attempt.value))
        if best is None:
            best = attempt
        else:
            _improve(best, attempt, positions)
        unsettled = np.flatnonzero(~best.settled)
        if not len(unsettled):
            break
        if one_each:
            pending = unsettled
    assert best is not None
    return best


def _attempt(
    phi: Phi,
    which: np.ndarray,
    step: float,
    eps: float,
) -> Slopes:
    """Slopes along some of the directions with one first step."""
    lengths = step / 2.0 ** np.arange(LEVELS)
    forward, backward, sizes = _evaluate(phi, which, lengths)
    h = lengths[:, None]  # (L, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        farther = np.maximum(abs(forward), abs(backward))
        steepest = (farther / h).max(axis=0)
        noise = 2 * eps * sizes.max(axis=0)
        rounding = noise / lengths[-1]

        central = (forward - backward) / (2 * h)
        value, error = richardson(central, (2, 4, 6))
        one_sided = np.concatenate([forward, -backward], axis=1) / h  # (L, 2 D)
        sides, errors = richardson(one_sided, (1, 2, 3))
        right, left = np.split(sides, 2)
        larger_error = np.maximum(*np.split(errors, 2))

        # The central differences of a function whose second derivative jumps have odd error
        # terms: there, the mean of the sides is better.
        middle = (right + left) / 2
        value = np.where(larger_error < error, middle, value)
        error = np.minimum(larger_error, error) + rounding
        # Where not even the sides converge, the central differences agree by symmetry alone.
        rough = larger_error > 0.1 * steepest + 10 * rounding
        error = np.where(rough, np.maximum(larger_error, error), error)
        side_error = larger_error + 2 * rounding
        jump = _jumps(forward, noise) | _jumps(backward, noise)
    error[~np.isfinite(error)] = np.inf
    side_error[~np.isfinite(side_error)] = np.inf
    return Slopes(
        value=value,
        error=error,
        right=right,
        left=left,
        side_error=side_error,
        jump=jump,
        rounding=rounding,
        steepest=np.nan_to_num(steepest),
    )


def _evaluate(
    phi: Phi,
    which: np.ndarray,
    lengths: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """phi(t), phi(-t) and the size of their terms at each of L lengths: three arrays (L, D)."""
    forward = []
    backward = []
    sizes = []
    for i in which.tolist():
        pairs = [(phi(i, t), phi(i, -t)) for t in lengths]
        forward.append([change for (change, _), _ in pairs])
        backward.append([change for _, (change, _) in pairs])
        sizes.append([np.maximum(size, other) for (_, size), (_, other) in pairs])
    return _by_level(forward), _by_level(backward), _by_level(sizes)


def _by_level(rows: Sequence[Sequence[ArrayLike]]) -> np.ndarray:
    """(directions, L), or (1, L, outputs) of a phi that gives arrays -> (L, D)."""
    by_level = np.moveaxis(np.array(rows, float), 1, 0)
    return by_level.reshape(LEVELS, -1)


def _jumps(values: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Whether phi(t) - phi(0) does not shrink with t: the function jumps at 0. (L, D) -> (D,)."""
    sizes = abs(values)
    stays = sizes.min(axis=0) > 0.8 * sizes.max(axis=0)
    visible = sizes[-1] > 100 * noise
    jumps: np.ndarray = stays & visible
    return jumps


def _improve(best: Slopes, attempt: Slopes, which: np.ndarray) -> None:
    """Keep what is better in a new attempt."""
    better = attempt.error < best.error[which]
    there = which[better]
    best.value[there] = attempt.value[better]
    best.error[there] = attempt.error[better]
    best.rounding[there] = attempt.rounding[better]

    better = attempt.side_error < best.side_error[which]
    there = which[better]
    best.right[there] = attempt.right[better]
    best.left[there] = attempt.left[better]
    best.side_error[there] = attempt.side_error[better]

    best.jump[which] = attempt.jump


def doubt(slopes: Slopes, phi: Phi, which: np.ndarray, eps: float) -> None:
    """Widen the errors of some directions to those of other steps, and to their disagreement.

    An estimate may be lucky where a function is made of terms that cancel.
    """
    if not len(which):
        return
    attempts = [_attempt(phi, which, step, eps) for step in CONFIRMING]
    confirmed = np.min([a.error for a in attempts], axis=0)
    errors = [slopes.error[which], confirmed]
    roundings = [slopes.rounding[which]]
    for again in attempts:
        disagreement = abs(again.value - slopes.value[which])
        errors.append(np.where(disagreement > again.error, disagreement, 0))
        roundings.append(again.rounding)
    slopes.error[which] = np.max(errors, axis=0)
    slopes.rounding[which] = np.max(roundings, axis=0)
