"""Each thread's own switches: whether computations are recorded, and whether they are watched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Mode(threading.local):
    """Each thread's own switches; `depth` counts the transforms (grad, vjp, ...) at work, a walk is `careful` from the
    first operation on that drops elements, such as np.where, and `profile` measures operations if there is one."""

    recording, anomaly, careful, depth = True, False, False, 0
    profile: Any = None


MODE = Mode()
UNUSUAL: list[Any] = []  # the switches that are set in any thread: while empty, the hot path need not look at `MODE`


@contextmanager
def switched(**switches: Any) -> Iterator[None]:
    """Set switches of `MODE` for a while."""
    before = {name: getattr(MODE, name) for name in switches}
    UNUSUAL.append(switches)
    MODE.__dict__.update(switches)
    try:
        yield
    finally:
        MODE.__dict__.update(before)
        UNUSUAL.pop()


def no_grad() -> Any:
    """Inside this context, or a function decorated with it, nothing is recorded (in this thread)."""
    return switched(recording=False)


def detect_anomaly() -> Any:
    """Inside this context the first operation, in forward order, that makes a NaN or an infinity raises with its line.

    The walk back is watched in the same way, and arrays that it needs are compared whole, not by a sample.
    """
    return switched(anomaly=True)
