"""What is done before an element is called wrong."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np

from ..engine.modes import switched
from .clock import Clock
from .judge import BARS, PRECISE, Ruler, Verdict
from .line import NEARBY, RADII, Direction, Line
from .noise import SMALL, every_rung, small_breaks
from .numeric import RUNGS, better, kink, largest, largest_finite, rung

APART = 1e-3  # one turn alone is the function's own, as of a penalty |x| at 0: two are its solver's
PATIENCE = 2.0  # seconds: if one second look takes longer, one is enough
USUAL = RUNGS[:4]  # on which a smooth function of moderate size has the same slope
CONFIRMED = 3  # so many wrong elements get a second look: then the others are wrong, too

Shifts = Callable[[], np.ndarray]  # how far a gradient moves by rounding alone: flat


class SecondLook:
    """What is done before an element is called wrong, or unresolved.

    All rungs of the ladder, longer ones too, with the function's noise in their error bars; then
    how far the gradient itself moves by rounding; then whether the point is a kink that no line
    along an axis shows, as where three numbers tie in a sort: there the generalised gradient of
    Clarke (1983) has what the slopes nearby have, and all between.
    """

    def __init__(
        self, line: Line, ruler: Ruler, shifts: Shifts, rng: np.random.Generator, clock: Clock
    ) -> None:
        self.line = line
        self.ruler = ruler
        self.shifts = shifts
        self.rng = rng
        self.clock = clock
        self.confirmed = 0
        self.seconds = 0.0  # that the last look took

    def at(
        self,
        i: int,
        direction: Direction,
        along: float,
        numeric: np.ndarray,
        verdict: Verdict,
    ) -> None:
        """Look at direction i, and put into the verdict and the slopes what is seen."""
        most = 1 if self.seconds > PATIENCE else CONFIRMED
        if self.confirmed >= most or self.clock.over:
            return
        start = time.perf_counter()
        if not (verdict.wrong[i] and self.is_plain(i, direction, numeric[i], along)):
            self.by_every_rung(i, direction, along, numeric, verdict)
        if verdict.wrong[i]:
            if self.is_in_pieces(i, direction, numeric[i], along):
                verdict.accept(i, unresolved=is_far(along, numeric["value"][i]))
            elif self.is_ill_conditioned(direction, along, numeric[i]):
                verdict.accept(i)
            elif self.limits_include(direction, along):
                verdict.accept(i, kink=True)
            else:
                self.confirmed += 1
        self.seconds = time.perf_counter() - start

    def is_plain(self, i: int, direction: Direction, numeric: np.void, along: float) -> bool:
        """Whether all usual rungs have this slope, up to little of it and of the difference.

        Then no noise is at work, whose part in a slope is another on each rung.
        """
        difference = abs(along - numeric["value"])
        # Values whose change is less than their rounding may explain a smaller difference.
        hidden = difference * 2.0 ** -USUAL[0] <= 1e3 * self.line.eps * self.ruler.total
        # What is far steeper than all steps show may be steep at a far smaller scale.
        steeper = abs(along) > 100 * numeric["steepest"]
        if hidden or steeper or direction.near > 4:  # or it has rungs at its own scale
            return False
        with np.errstate(all="ignore"), switched("recording", False):
            rungs = np.concatenate([rung(self.line, [i], [e], self.line.eps)[0] for e in USUAL])
        little = 1e-2 * min(difference, abs(numeric["value"]))
        same = abs(rungs["value"] - numeric["value"]) <= little
        return bool((same & ~kink(rungs)).all())

    def by_every_rung(
        self, i: int, direction: Direction, along: float, numeric: np.ndarray, verdict: Verdict
    ) -> None:
        """Judge direction i again, by all rungs of the ladder and the function's noise."""
        with np.errstate(all="ignore"), switched("recording", False):
            rungs = every_rung(self.line, i, self.line.eps, direction.near)
        numeric[i] = functools.reduce(better, rungs[:, None])[0]
        again = self.ruler.judge(
            numeric[i : i + 1],
            np.array([along]),
            np.array([abs(along)]),
            np.array([direction.reach]),
        )
        for name in ("wrong", "unresolved", "kink", "share"):
            getattr(verdict, name)[i] = getattr(again, name)[0]
        if verdict.wrong[i] and self.is_rough(rungs, along):
            verdict.accept(i, unresolved=is_far(along, numeric["value"][i]))

    def is_rough(self, rungs: np.ndarray, along: float) -> bool:
        """Whether shorter steps contradict longer ones, and this is the slope at longer ones.

        As of an iteration that stops early: each piece of it has a slope a little of its own.
        """
        precise = BARS * rungs["error"] <= PRECISE * np.maximum(abs(rungs["value"]), abs(along))
        value, error = rungs["value"][precise], rungs["error"][precise]
        apart = abs(value - value[:, None])  # of each pair: its longer step first
        contradicts = apart > error + error[:, None]
        explains = abs(along - value)[:, None] <= 0.2 * apart
        near = abs(value - along) <= 0.1 * abs(along)
        return bool(near.all() and np.triu(contradicts & explains, 1).any())

    def is_in_pieces(self, i: int, direction: Direction, numeric: np.void, along: float) -> bool:
        """Whether the function is made of smooth pieces that fit no better than explains this.

        In a direction of many elements each of them may turn, and what is one element's own would
        explain another's mistake.
        """
        slope = float(numeric["value"])
        difference = abs(along - slope)
        if len(direction.elements) > 1 or difference > SMALL * abs(slope):
            return False
        with np.errstate(all="ignore"), switched("recording", False):
            turns: list[float] = []
            for jump, turn, place in small_breaks(self.line, i, slope, self.line.eps):
                if difference <= 2 * turn:
                    turns.append(place)
                if difference <= 2 * BARS * jump or (turns and np.ptp(turns) > APART):
                    return True
        return False

    def is_ill_conditioned(self, direction: Direction, along: float, numeric: np.ndarray) -> bool:
        """Whether the difference is what rounding explains.

        That of arguments and cotangents, or that of the terms, one of each value of the function,
        if they cancel.
        """
        moves = abs(self.shifts()[direction.elements]) @ abs(direction.amplitudes)
        value = float(numeric["value"])
        terms = self.line.terms_along(direction, float(numeric["step"]))
        explained = max(BARS * moves, self.ruler.rtol * terms)
        # No condition explains more than 1 %, but what cancels to nothing may have any sign.
        most = max(1e-2 * abs(value), 1e-12 * self.ruler.push * direction.reach)
        return bool(abs(along - value) <= min(explained, most))

    def limits_include(self, direction: Direction, along: float) -> bool:
        """Whether `along` lies between slopes at points nearby, however near.

        Only those slopes count that two steps agree on. Where all are alike there is no kink.
        """
        seed = int(self.rng.integers(2**32))
        limits = []
        for radius in RADII:
            nearby = self.line.slopes_nearby(direction, radius, 1e-4 * radius, seed)
            steepest = largest_finite(nearby)
            if not np.nanmax(nearby) - np.nanmin(nearby) > 1e-2 * steepest:
                return False
            again = self.line.slopes_nearby(direction, radius, 3e-5 * radius, seed)
            limits.append(nearby[abs(nearby - again) <= 1e-3 * steepest])
        close, far = limits
        if min(len(far), len(close)) < 0.9 * NEARBY:
            return False
        stays = np.ptp(close) > 0.3 * np.ptp(far)
        low, high = float(close.min()), float(close.max())
        slack = 1e-5 * largest(close)
        return bool(stays and low - slack <= along <= high + slack)


def is_far(along: float, value: float) -> bool:
    """Whether a derivative is one of which differences know less than its first digits."""
    return abs(along - value) > PRECISE * abs(along)
