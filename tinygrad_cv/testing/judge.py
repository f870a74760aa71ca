"""When two derivatives agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .numeric import kink

BARS = 10  # so many error bars apart, two numbers still agree
PRECISE = 1e-2  # a slope whose bars are a larger share of it than this is unresolved


@dataclass
class Verdict:
    """The judgement of each direction: arrays (D,)."""

    wrong: np.ndarray
    unresolved: np.ndarray  # the differences are too rough to decide
    kink: np.ndarray  # the analytic derivative is accepted as one of several
    share: np.ndarray  # the difference as a share of what is allowed

    def accept(self, i: int, *, kink: bool = False, unresolved: bool = False) -> None:
        """Take direction i for right after all, at a kink or as unresolved."""
        self.wrong[i] = False
        self.kink[i] = kink
        self.unresolved[i] = unresolved
        self.share[i] = 0


@dataclass
class Ruler:
    """When two derivatives agree: each is judged at the scale of its own differences.

    They agree within ten error bars, `rtol` of their size, and the rounding of the values that
    change along their direction.
    """

    rtol: float
    eps: float  # of the gradient's dtype
    total: float = 0.0  # the size of all values
    push: float = 0.0  # the largest cotangent

    def rounding(self, numeric: np.ndarray, size: np.ndarray, reach: np.ndarray) -> np.ndarray:
        """How far rounding alone may set two derivatives apart."""
        of_values = 100 * self.eps if self.eps < 1e-14 else 30 * self.eps
        allowed: np.ndarray = self.rtol * np.fmax(size, abs(numeric["value"]))
        allowed += of_values * numeric["size"]
        # Terms that cancel to nothing leave rounding at the scale of the cotangent.
        met = numeric["steepest"] * numeric["step"]
        vanishes = met <= 1e3 * self.eps * numeric["size"]
        allowed += 100 * self.eps * self.push * reach * vanishes
        return allowed

    def judge(
        self,
        numeric: np.ndarray,
        along: np.ndarray,
        size: np.ndarray,
        reach: np.ndarray,
    ) -> Verdict:
        """Analytic derivatives along directions, `along`, against the slopes.

        size: of the terms of each derivative (root of the sum of squares). reach: the largest
        amplitude of each direction. All are arrays (D,).
        """
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            rounding = self.rounding(numeric, size, reach)
            difference = abs(along - numeric["value"])
            share = difference / (BARS * numeric["error"] + rounding)
            otherwise = np.where(along == numeric["value"], 0, np.inf)
            share = np.where(np.isfinite(share), share, otherwise)

            right, left = numeric["right"], numeric["left"]
            to_right = BARS * numeric["right_error"] + rounding
            to_left = BARS * numeric["left_error"] + rounding
            slack = np.maximum(to_right, to_left)
            between = np.minimum(left, right) - slack <= along
            between &= along <= np.maximum(left, right) + slack
            # At the edge of the domain there is a slope on one side only.
            has_right, has_left = np.isfinite(right), np.isfinite(left)
            edge = has_right != has_left
            only = np.where(has_right, right, left)
            slack_of_only = np.where(has_right, to_right, to_left)
            fits_only = abs(along - only) <= slack_of_only
            nowhere = ~has_right & ~has_left

            at_kink = (kink(numeric) & between) | (edge & fits_only)
            unresolvable = nowhere | (edge & ~np.isfinite(slack_of_only))
            beside = np.fmax(abs(right), abs(left))  # at a jump, the slopes beside it count
            at_jump = numeric["jump"] & (slack <= PRECISE * np.fmax(beside, abs(along)))
            wrong = ((share > 1) | at_jump) & ~at_kink & ~unresolvable
            known = np.fmax(abs(numeric["value"]), abs(along))
            scale = self.total or numeric["first"]  # of a value of 0
            enough = PRECISE * known + 1e-8 * scale + rounding
            precise = BARS * numeric["error"] <= enough
            precise |= edge & (slack_of_only <= enough)
            stands_still = (numeric["first"] == 0) & (numeric["steepest"] == 0)
            precise |= stands_still & (along == 0)
            unresolved = ~at_kink & ~wrong & ~precise
        return Verdict(wrong, unresolved, at_kink, np.where(at_kink, 0, share))


def default_rtol(eps: float) -> float:
    """The relative difference that is allowed in a gradient of this precision."""
    return 1e-8 if eps < 1e-15 else 30 * eps
