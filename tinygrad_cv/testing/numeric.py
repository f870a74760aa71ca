"""Derivatives by differences, each with an estimate of its own error.

Along a direction d the function phi(t) = <cotangent, f(x + t d) - f(x)> is evaluated at
t = +-h, +-h/2, +-h/4, +-h/8: one *rung* of a ladder of ever shorter steps. Richardson extrapolation
(Ridders 1982) of the central differences gives the slope, and of the one-sided differences the
slopes to the right and to the left: where those two differ, and still do on a fine rung, there is a
kink. The error estimate is the change that the last extrapolation made, plus what rounding does to
phi. A direction climbs down until its slope is resolved at its own scale, or until rounding is all
that is left of its error. Where the two sides have no value, the function has an edge.

Rounding is not the only noise: a function may compute in float32, stop an iteration early, or round
its value. `noise` measures that (Moré & Wild, Estimating computational noise, 2011).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import comb
from typing import NamedTuple, TypeAlias

import numpy as np

from ..typing import ArrayLike

LEVELS = 4  # a rung takes the steps h, h/2, h/4 and h/8
RUNGS = tuple(range(5, 46, 4))  # the h of each rung is 2 to the minus this
LONGER = (1, -3)  # rungs above, for what rounding hides on the others
FINE = 25  # a kink that is not there at this rung is another point's
RESOLVED = 1e-10  # an error below this share of the slope needs no further rung
SPACINGS = tuple(2.0**-k for k in range(42, 5, -4))  # of the points at which noise is measured
POINTS = 9  # so many of them, to each side

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


# ----------------------------------------------------------------------------------------- a ladder


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
        value = np.where(larger_error < error, middle, value)
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


# ------------------------------------------------------------------------------------ a second look


def every_rung(phi: Phi, i: int, eps: float, near: int = 0) -> np.ndarray:
    """The slopes along one direction on each rung, the longest step first: (rungs,) of `SLOPES`.

    What noise may do to them is in their errors: at a step that is longer than the noise's own
    scale it is divided by the step, and at a shorter one it is a slope itself. Steps within which
    the function stands still know nothing.
    """
    exponents = sorted({*LONGER, *rungs(near)})
    found = np.concatenate([rung(phi, [i], [e], eps)[0] for e in exponents])
    shortest = found["step"] / 2 ** (LEVELS - 1)
    still, levels = noise(phi, i, float(np.median(found["size"])))
    for name in ("error", "right_error", "left_error"):
        found[name][shortest < still] = np.inf
        for spacing, level in levels:
            slope = 4 * level / np.maximum(spacing, shortest)
            found[name] = np.fmax(found[name], slope)
    largest_level = max((level for _, level in levels), default=0.0)
    found["jump"] &= found["steepest"] * shortest > 10 * largest_level
    return found


def noise(phi: Phi, i: int, size: float) -> tuple[float, list[tuple[float, float]]]:
    """The spacing of points below which phi stands still, or 0; and the noise of phi.

    That is its standard deviation at each spacing where there is any, by differences of equally
    spaced points: those of a smooth function vanish with each order, those of noise do not. It is
    there wherever one looks, unlike a kink. What is larger than 1e-4 of the numbers, `size`, and
    than 3e-3 of what phi does in a long step, is no noise.
    """
    long_step = 2.0 ** -RUNGS[0]
    ends = [abs(_change(phi, i, t)) for t in (long_step, -long_step)]
    most = max(1e-4 * size, 3e-3 * max(ends))
    found = []
    still = 0.0
    stood = False
    for spacing in SPACINGS:
        levels = []
        for first in (0, -POINTS + 1, POINTS - 1, -2 * POINTS + 2):
            points = [spacing * (first + k) for k in range(POINTS)]
            levels.append(_noise_of(np.array([_change(phi, i, t) for t in points])))
        if STANDS in levels:
            stood = True
            continue
        if stood:
            still, stood = spacing, False
        level = sorted(levels)[1]  # a kink is in one window of four
        if 0 < level <= most:
            found.append((spacing, level))
    above = [level for spacing, level in found if spacing >= still]
    if still and above:  # it rounds: some spacing may fit its steps by chance, and seem exact
        return still, [*found, (still, max(above))]
    return 0.0, found


STANDS, UNCLEAR = -1.0, np.inf  # what _noise_of says besides


def _noise_of(values: np.ndarray) -> float:
    """The level at which differences of three orders agree; 0 of a smooth function.

    STANDS if the values stand still, UNCLEAR if they are neither.
    """
    differences = np.diff(values)
    if np.mean(differences == 0) > 0.5:
        return STANDS
    levels = []
    for order in range(1, POINTS - 2):
        levels.append(float(np.sqrt(np.mean(differences**2) / comb(2 * order, order))))
        differences = np.diff(differences)
    for k in range(len(levels) - 2):
        three = levels[k : k + 3]
        if max(three) <= 2.5 * min(three):
            return three[0]
    return 0.0 if levels[-1] < 1e-3 * levels[0] else UNCLEAR


def _change(phi: Phi, i: int, t: float) -> float:
    """phi(t) - phi(0) of a direction with one part."""
    return float(np.sum(phi(i, t)[0])) if t else 0.0


WINDOWS = (2.0, 0.5, 1 / 16, 1 / 64)  # the half widths in which breaks are looked for
SCAN = 64  # intervals of a window
SUSPECTS = 3  # so many places of a window are looked at closely
ORDER = 8  # of the differences that show a break: those of smooth pieces are far smaller
CLOSER = 12  # so often a suspect's interval shrinks to a quarter
SMALL = 1e-2  # a larger break, as a share of the change or of the slope, is the function's own


class Break(NamedTuple):
    """Where two smooth pieces of a function meet: how far it jumps, and how much it turns there."""

    jump: float
    turn: float  # the change of its slope


def small_breaks(phi: Phi, i: int, slope: float, eps: float) -> Iterator[Break]:
    """Places around t = 0 where phi jumps or turns by a little, those far away first.

    What stops early, or takes steps of its own, is made of smooth pieces, and is no more precise
    than they fit together: it jumps where the number of its steps changes, and turns where one of
    them has reached its largest size. Turns are looked for in the wide windows only: many small
    ones close together are the function's own, such as the hidden units of a network.
    """
    for width in WINDOWS:
        points = np.linspace(-width, width, SCAN + 1)
        values = np.array([_change(phi, i, t) for t in points.tolist()])
        bends = abs(np.diff(values, ORDER))
        bends[~np.isfinite(bends)] = 0
        largest_change = float(np.nanmax(abs(values)))
        usual = float(np.median(bends))
        for _ in range(SUSPECTS):
            k = int(np.argmax(bends))
            if not bends[k] > 30 * usual:
                break
            jump, turn = _break_between(phi, i, points[k], points[k + ORDER], eps * largest_change)
            small_turn = width >= WINDOWS[1] and turn <= SMALL * abs(slope)
            yield Break(
                jump if jump <= SMALL * largest_change else 0.0,
                turn if small_turn else 0.0,
            )
            bends[max(0, k - ORDER) : k + ORDER] = 0


def _break_between(phi: Phi, i: int, low: float, high: float, rounding: float) -> Break:
    """What phi does at its sharpest bend in an interval, by sixth differences around it.

    When the spacing of the points shrinks, those of a jump stay, ten times the jump; those of a
    turn shrink with the spacing, of which they are six times the turn; all others shrink faster.
    """
    bends = []
    spacings = []
    for _ in range(CLOSER):
        points = np.linspace(low, high, 2 * ORDER + 1)
        values = np.array([_change(phi, i, t) for t in points.tolist()])
        sixth = abs(np.diff(values, 6))
        k = int(np.argmax(sixth))
        if not (np.isfinite(sixth).all() and sixth[k] > 1e4 * rounding):
            break
        bends.append(float(sixth[k]))
        spacings.append(float(points[1] - points[0]))
        low, high = points[k + 1], points[k + 5]
    if len(bends) < 4:
        return Break(0.0, 0.0)
    shrinks = np.array(bends[:-1]) / bends[1:]  # by 1 at a jump, by 4 at a turn
    if (shrinks[-3:] < 1.6).all():
        return Break(bends[-1] / 10, 0.0)
    turns = (shrinks > 2.2) & (shrinks < 7.3)
    for n in np.flatnonzero(turns[:-1] & turns[1:]).tolist():
        return Break(0.0, bends[n + 1] / (6 * spacings[n + 1]))
    return Break(0.0, 0.0)
