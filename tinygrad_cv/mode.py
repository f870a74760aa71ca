"""Each thread's own switches: whether computations are recorded, and whether they are watched."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from typing import Any


class Mode(threading.local):
    """Each thread's own switches; `depth` counts the transforms (grad, vjp, ...) at work, a walk is `careful` from the
    first operation on that drops elements, such as np.where, and `profile` measures operations if there is one."""

    recording, anomaly, careful, depth = True, False, False, 0
    profile: Any = None


MODE = Mode()
UNUSUAL: list[
    Any
] = []  # the switches that are set in any thread: while empty, the hot path need not look at `MODE`


class switched(ContextDecorator):
    """Set switches of `MODE` for a while. A class, since that is entered four times as fast as a generator."""

    def __init__(self, **switches: Any) -> None:
        self.switches = switches
        self.before: list[dict[str, Any]] = []

    def _recreate_cm(self) -> switched:
        return switched(**self.switches)

    def __enter__(self) -> None:
        UNUSUAL.append(self.switches)
        mode = MODE.__dict__
        self.before.append({**mode})
        mode.update(self.switches)

    def __exit__(self, *_: object) -> None:
        mode = MODE.__dict__
        mode.clear()
        mode.update(self.before.pop())
        UNUSUAL.pop()


def no_grad() -> Any:
    """Inside this context, or a function decorated with it, nothing is recorded (in this thread)."""
    return switched(recording=False)


def detect_anomaly() -> Any:
    """Inside this context the first operation, in forward order, that makes a NaN or an infinity raises with its line.

    The walk back is watched in the same way, and arrays that it needs are compared whole, not by a sample.
    """
    return switched(anomaly=True)
