"""What a function does besides its slope: noise, and the small breaks of what is made of pieces.

Rounding is not the only noise: a function may compute in float32, stop an iteration early, or round
its value. `noise` measures that (Moré & Wild, Estimating computational noise, 2011).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import NamedTuple

import numpy as np

from .numeric import LEVELS, RUNGS, Phi, rung, rungs

LONGER = (1, -3)  # rungs above, for what rounding hides on the others
SPACINGS = tuple(2.0**-k for k in range(42, 5, -4))  # of the points at which noise is measured
POINTS = 9  # so many of them, to each side


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
    place: float = 0.0


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
            jump, turn, place = _break_between(
                phi, i, points[k], points[k + ORDER], eps * largest_change
            )
            small_turn = width >= WINDOWS[1] and turn <= SMALL * abs(slope)
            yield Break(
                jump if jump <= SMALL * largest_change else 0.0,
                turn if small_turn else 0.0,
                place,
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
        return Break(bends[-1] / 10, 0.0, low)
    turns = (shrinks > 2.2) & (shrinks < 7.3)
    for n in np.flatnonzero(turns[:-1] & turns[1:]).tolist():
        return Break(0.0, bends[n + 1] / (6 * spacings[n + 1]), low)
    return Break(0.0, 0.0)
