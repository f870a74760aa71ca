"""What is looked at besides the computation, where someone asked for it: NaN and infinities, and the time."""

from __future__ import annotations

from typing import Any

from . import errors
from .mode import MODE


def forward(function: Any, value: Any, inputs: Any, start: float) -> None:
    """A function has given a value; it began at `start` (of `time.perf_counter`)."""
    if MODE.profile is not None:
        MODE.profile.add(errors.name_of(function), "forward", start, value, errors.calling_line())
    if MODE.anomaly:
        errors.check_finite(function, [value], inputs, errors.calling_line())
