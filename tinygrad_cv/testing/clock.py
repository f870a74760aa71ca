"""How long a check may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any]


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

    def watch(self, function: Function) -> Function:
        """The function, which raises OutOfTime when the time of a strict clock is over."""
        if not self.strict:
            return function

        def watched(*arguments: Any) -> Any:
            if self.over:
                raise OutOfTime
            return function(*arguments)

        return watched
