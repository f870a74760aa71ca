"""How long a check may take."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any]


GLANCE = 2  # calls of a function, for its slope along one direction, where that agrees at once
CALLS = 10  # the same where it does not
BESIDE = 60  # calls of a function and its gradient, for all else
SLOW = 10.0  # seconds: of a check that takes longer it is said beforehand


class OutOfTime(BaseException):
    """Ends a check in the middle. No handler of a function's own errors catches it."""


class Clock:
    """A number of seconds from now on, None: as many as it takes.

    A strict clock ends a check in the middle, by OutOfTime from the function that it watches.
    """

    def __init__(self, seconds: float | None = None, strict: bool = False) -> None:
        self.seconds = seconds
        self.strict = strict
        self.start = time.perf_counter()

    @property
    def passed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    @property
    def left(self) -> float:
        """Seconds that are left: infinity if there is no limit."""
        return float("inf") if self.seconds is None else self.seconds - self.passed

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self.left <= 0

    def room(self, seconds: float, inputs: int) -> float:
        """For how many directions of each of some inputs there is time, by the seconds of a call.

        Half of what is left is for all else.
        """
        calls = 0.5 * self.left / max(seconds, 1e-9)
        return max(1.0, calls / CALLS / inputs)

    def announce(self, name: str, seconds: float, directions: float) -> None:
        """Say beforehand that a check without a budget will be slow, by the seconds of a call."""
        calls = GLANCE * directions + BESIDE
        if self.seconds is None and calls * seconds > SLOW:
            warnings.warn(
                f"{name}: a call takes {seconds:.2g} s, and the check some {calls:.0f} calls, "
                f"{calls * seconds:.0f} s in all; budget= gives it fewer seconds",
                stacklevel=6,
            )

    def watch(self, function: Function) -> Function:
        """The function, which raises OutOfTime when the time of a strict clock is over."""
        if not self.strict:
            return function

        def watched(*arguments: Any) -> Any:
            if self.over:
                raise OutOfTime
            return function(*arguments)

        return watched
