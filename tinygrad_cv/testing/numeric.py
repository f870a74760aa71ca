"""Derivatives by differences, each with an estimate of its own error.

Along a direction d the function phi(t) = <cotangent, f(x + t d) - f(x)> is evaluated at
t = +-h, +-h/2, +-h/4, +-h/8: one *rung* of a ladder of ever shorter steps. Richardson extrapolation
(Ridders 1982) of the central differences gives the slope, and of the one-sided differences the
slopes to the right and to the left: where those two differ, and still do on a fine rung, there is a
kink. The error estimate is the change that the last extrapolation made, plus what rounding does to
phi. A direction climbs down until its slope is resolved at its own scale, or until rounding is all
that is left of its error. Where the two sides have no value, the function has an edge.

Rounding is not the only noise: `noise.py` measures what else there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from ..typing import ArrayLike

# The steps of long rungs are shares of a number that is no power of 2, as the period of a function
# may be one, such as that of a rounding; it has 20 bits, so that x + h is exact.
SHARE = 1 + 149_797 / 2**20
LONG_RUNGS = 29
LEVELS = 4  # a rung takes the steps h, h/2, h/4 and h/8
RUNGS = tuple(range(5, 46, 4))  # the h of each rung is 2 to the minus this
FINE = 25  # a kink that is not there at this rung is another point's
RESOLVED = 1e-10  # an error below this share of the slope needs no further rung

# phi(i, t) gives phi_i(t) - phi_i(0), and the size of the numbers that were subtracted. With one
# direction both may be arrays: one function each.
Phi: TypeAlias = Callable[[int, float], tuple[ArrayLike, ArrayLike]]

SLOPES = np.dtype(
    [
        ("value", float),  # the derivative
        ("error", float),  # how far it can be trusted
        ("rounding", float),  # the part of the error that no shorter step would take away
        ("right", float),  # one-sided derivatives; NaN where the function has no value
        ("left", float),
        ("right_error", float),
        ("left_error", float),
        ("jump", bool),  # the function jumps: right and left are slopes beside the jump
        ("steepest", float),  # the largest |phi(t) / t| that was met
        ("first", float),  # the same on the first rung
        ("size", float),  # of the numbers that were subtracted
        ("step", float),  # h
    ]
)


def kink(slopes: np.ndarray) -> np.ndarray:
    """Where the one-sided slopes differ by more than their errors explain."""
    explained = 20 * (slopes["right_error"] + slopes["left_error"]) + 1e-6 * slopes["steepest"]
    bends: np.ndarray = abs(slopes["right"] - slopes["left"]) > explained
    found: np.ndarray = slopes["jump"] | bends
    return found


def largest(a: np.ndarray) -> float:
    """The largest size of an element, 0 for an empty array."""
    return float(np.max(abs(a), initial=0))


def largest_finite(a: np.ndarray) -> float:
    """The largest size of a finite element, 0 if there is none."""
    finite = a[np.isfinite(a)]
    return largest(finite)


def rungs(near: int = 0) -> list[int]:
    """The exponents of a direction's rungs; `near` is that of its argument's own scale.

    The steps are shares of 1 or of the argument, if that is larger. A smaller argument, 2^-near,
    has rungs at its own scale besides.
    """
    own = range(near + 5, near + 26, 4) if near > 4 else ()
    return sorted({*RUNGS, *own})


def slopes(
    phi: Phi,
    count: int,
    *,
    eps: float = 2.0**-52,
    near: Sequence[int] | None = None,
) -> np.ndarray:
    """Derivatives at t = 0 of `count` functions: (count,) of `SLOPES`, or (parts,) of one phi.

    `phi(i, t)` gives phi_i(t) - phi_i(0) and the size of the numbers that were subtracted, which
    times `eps` is the rounding error. `near`: see `rungs`.
    """
    near = [0] * count if near is None else near
    ladders = [rungs(n) for n in near]
    fine = [FINE if n <= 16 else n + 9 for n in near]
    climbed = [0] * count  # the exponent of the last rung
    best: np.ndarray | None = None
    pending = list(range(count))
    while pending:
        exponents = [next(e for e in ladders[i] if e > climbed[i]) for i in pending]
        attempt = rung(phi, pending, exponents, eps)  # (pending, parts)
        if best is None:
            best = attempt
        else:
            best[pending] = better(best[pending], attempt)
        remaining = []
        for i, exponent in zip(pending, exponents, strict=True):
            climbed[i] = exponent
            kinked = kink(best[i])
            if kinked.any() and exponent < fine[i]:
                climbed[i] = fine[i] - 1  # is the kink still there?
            elif (settled(best[i]) | kinked).all():
                continue
            if climbed[i] < ladders[i][-1]:
                remaining.append(i)
        pending = remaining
    assert best is not None
    return best.reshape(-1)


def settled(slopes: np.ndarray) -> np.ndarray:
    """Where another rung would add nothing."""
    resolved = slopes["error"] <= RESOLVED * abs(slopes["value"])
    as_precise_as_can_be = slopes["error"] <= 2 * slopes["rounding"]
    found: np.ndarray = np.isfinite(slopes["value"]) & (resolved | as_precise_as_can_be)
    return found


def better(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The best of two rungs, of which the new one is finer."""
    with np.errstate(invalid="ignore"):
        return _better(old, new)


def _better(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    best = old.copy()
    _take(best, new, "error", ("value", "rounding", "steepest", "size", "step"))
    _take(best, new, "right_error", ("right",))
    _take(best, new, "left_error", ("left",))
    gap = abs(old["right"] - old["left"])
    resolved = new["right_error"] + new["left_error"] <= 1e-2 * gap
    elsewhere = kink(old) & ~kink(new) & (resolved | old["jump"])
    # A longer step may jump over whole periods, and be sure of itself: a shorter one knows better.
    sure = 1e4 * new["error"] <= np.fmax(abs(new["value"]), abs(old["value"]))
    apart = abs(new["value"] - old["value"]) > 10 * (new["error"] + old["error"])
    elsewhere |= sure & apart
    best[elsewhere] = new[elsewhere]
    best["first"] = old["first"]
    return best


def _take(best: np.ndarray, new: np.ndarray, error: str, others: Sequence[str]) -> None:
    """Take an error of a new rung and what it is the error of, wherever it is smaller."""
    smaller = new[error] < best[error]
    for name in (error, *others):
        best[name][smaller] = new[name][smaller]


def rung(phi: Phi, which: Sequence[int], exponents: Sequence[int], eps: float) -> np.ndarray:
    """Slopes along some of the directions on one rung each: (directions, parts) of `SLOPES`."""
    lengths = 2.0 ** -(np.asarray(exponents, float) + np.arange(LEVELS)[:, None])  # (L, D)
    lengths *= np.where(np.asarray(exponents) <= LONG_RUNGS, SHARE, 1)
    forward, backward, sizes = _evaluate(phi, which, lengths)  # (L, D, parts)
    h = lengths[:, :, None]
    found = np.empty(forward.shape[1:], SLOPES)
    with np.errstate(invalid="ignore", over="ignore"):
        steepest = (np.fmax(abs(forward), abs(backward)) / h).max(axis=0)
        noise = 2 * eps * sizes.max(axis=0) + 2.0**-1070  # numbers may be subnormal
        rounding = noise / h[-1]
        central = (forward - backward) / (2 * h)
        value, error = richardson(central, (2, 4, 6))
        right, right_error, right_jumps = _side(forward, h, noise)
        left, left_error, left_jumps = _side(-backward, h, noise)
        larger_error = np.maximum(right_error, left_error)

        # The central differences of a function whose second derivative jumps have odd error
        # terms: there, the mean of the sides is better.
        middle = (right + left) / 2
        by_sides = larger_error < error
        value = np.where(by_sides, middle, value)
        error = np.fmin(larger_error, error) + rounding
        # Where not even the sides converge, the central differences agree by symmetry alone.
        rough = larger_error > 0.1 * steepest + 10 * rounding
        error = np.where(rough, np.maximum(larger_error, error), error)
        jumps = right_jumps | left_jumps
        error = np.where(jumps, np.inf, error)  # right and left are slopes beside the jump
    found["value"] = value
    found["error"] = _or_infinite(error)
    found["rounding"] = rounding
    found["right"] = right
    found["left"] = left
    found["right_error"] = _or_infinite(right_error + 2 * rounding)
    found["left_error"] = _or_infinite(left_error + 2 * rounding)
    found["jump"] = jumps
    found["steepest"] = found["first"] = np.nan_to_num(steepest)
    found["size"] = np.nan_to_num(sizes.max(axis=0))
    found["step"] = h[0]
    # Two sides that are apart by less than a kink have a mean that is no better than that.
    with np.errstate(invalid="ignore"):
        found["error"] += np.where(by_sides & ~kink(found), np.nan_to_num(abs(right - left)) / 2, 0)
    return found


def _or_infinite(errors: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(errors), errors, np.inf)


def _evaluate(
    phi: Phi, which: Sequence[int], lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """phi(t), phi(-t) and the size of their terms at lengths (L, D): three arrays (L, D, parts)."""
    shape = (*lengths.shape, 2, 2)  # phi(t) and phi(-t), each a change and a size
    rows = []
    for i, steps in zip(which, lengths.T.tolist(), strict=True):
        rows.append([(phi(i, t), phi(i, -t)) for t in steps])
    table = np.array(rows, float)  # (D, L, 2, 2) or (D, L, 2, 2, parts)
    table = table.reshape(shape[1], shape[0], 2, 2, -1).swapaxes(0, 1)
    changes = table[:, :, :, 0]
    sizes = table[:, :, :, 1]
    return changes[:, :, 0], changes[:, :, 1], np.fmax(sizes[:, :, 0], sizes[:, :, 1])


def _side(
    changes: np.ndarray, h: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The slope to one side, its error, and whether the function jumps before it begins.

    changes: phi(h), phi(h/2), ... (L, D, parts). After a jump, phi does not shrink with h; the
    slope is then that of phi between its points.
    """
    slope, error = richardson(changes / h, (1, 2, 3))
    sizes = abs(changes)
    stays = sizes.min(axis=0) > 0.8 * sizes.max(axis=0)
    jumps = stays & (sizes[-1] > 100 * noise)
    if jumps.any():
        beside, beside_error = richardson((changes[:-1] - changes[1:]) / h[1:], (1, 2))
        slope = np.where(jumps, beside, slope)
        error = np.where(jumps, beside_error, error)
    return slope, error, jumps


def richardson(
    table: np.ndarray,
    powers: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Extrapolate table[k], taken at step h / 2^k with error terms h^p for p in powers, to h = 0.

    table: (L, ...) -> value and error, each (...). The value is the entry of the scheme that
    changed least from its neighbours. All that are chosen from know the shortest step: two longer
    ones may agree by accident, on what lies behind a kink.
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
    value = np.array(values)  # (powers + 1, ...)
    error = np.array(errors)  # (powers + 1, ...)
    error[np.isnan(error)] = np.inf
    best = error.argmin(axis=0)[None]
    least_changed = np.take_along_axis(value, best, 0)
    least_error = np.take_along_axis(error, best, 0)
    return least_changed[0], least_error[0]
