"""Where the time goes: `with tg.profile() as p:` measures every operation inside it, forward and
backward.

    with tg.profile() as p:
        loss = kernels.cross_entropy(model(images), labels)
        loss.backward()
    print(p)                     # time, calls and bytes by operation
    p.write("profile.html")      # who called whom, as a flame chart that opens in a browser

An operation that consists of others, such as a module, contains them; the table counts what each
did itself. Measuring costs a few microseconds an operation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from .engine.errors import Line, calling_line, describe_line, name_of
from .engine.observers import Call, Observer, Pull, Scope, observed

STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; color-scheme: light dark; }
pre { overflow-x: auto; }
.chart { position: relative; border: 1px solid #8884; }
.chart div {
  position: absolute; height: 17px; overflow: hidden; white-space: nowrap; font-size: 11px;
  padding-left: 2px; box-sizing: border-box; border: .5px solid #fff8; color: #222;
}
.forward { background: #9cc4f0; }
.backward { background: #f4b88a; }
.module { background: #d8d8d8; }
"""
ROW = 18  # pixels of a row in the chart


@dataclass
class Event:
    """One operation, carried out once."""

    name: str
    phase: str  # forward, backward or module
    start: float  # seconds since the profile began
    seconds: float
    bytes: int  # of the arrays that it returned
    line: Line | None
    depth: int = 0  # how many others it was part of
    inner: float = 0.0  # of `seconds`, those of its parts


class Profile(Observer):
    """What was measured; as text, a table by operation."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._entered: list[float] = []  # when the scopes began that we are in
        self._origin = perf_counter()

    def forward(self, call: Call) -> None:
        self.add(name_of(call.function), "forward", call.started, call.value, calling_line())

    def backward(self, pull: Pull) -> None:
        name = name_of(pull.node.operation.function)
        self.add(name, "backward", pull.started, list(pull.contributions.values()), pull.node.line)

    def enter(self, scope: Scope) -> None:
        self._entered.append(perf_counter())

    def leave(self, scope: Scope) -> None:
        started = self._entered.pop()
        if scope.kind == "module":
            self.add(scope.name, "module", started, (), None)

    def add(self, name: str, phase: str, start: float, results: Any, line: Line | None) -> None:
        """An operation that began at `start` (of `time.perf_counter`) is done."""
        seconds = perf_counter() - start
        self._events.append(
            Event(name, phase, start - self._origin, seconds, _bytes(results), line)
        )

    @property
    def events(self) -> list[Event]:
        """All operations in the order of their start; one that lies within another's time is a part
        of it."""
        ordered = sorted(self._events, key=lambda e: (e.start, -e.seconds))
        around: list[Event] = []
        for event in ordered:
            while around and event.start >= around[-1].start + around[-1].seconds:
                around.pop()
            event.depth, event.inner = len(around), 0.0
            if around:
                around[-1].inner += event.seconds
            around.append(event)
        return ordered

    def rows(self) -> list[dict[str, Any]]:
        """By operation and phase, the most expensive first: seconds of its own, calls, bytes."""
        totals: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0, 0])
        for event in self.events:
            if event.phase != "module":
                row = totals[event.name, event.phase]
                row[0] += event.seconds - event.inner
                row[1] += 1
                row[2] += event.bytes
        ordered = sorted(totals.items(), key=lambda item: -item[1][0])
        return [
            {"name": n, "phase": p, "seconds": s, "calls": c, "bytes": b}
            for (n, p), (s, c, b) in ordered
        ]

    def __str__(self) -> str:
        rows = self.rows()
        total = sum(row["seconds"] for row in rows)
        header = f"{'operation':32} {'':8} {'calls':>7} {'ms':>10} {'share':>6} {'µs/call':>9}"
        lines = [f"{header} {'MB':>9}"]
        for row in rows:
            seconds, calls = row["seconds"], row["calls"]
            share = seconds / total if total else 0.0
            lines.append(
                f"{row['name'][:32]:32} {row['phase']:8} {calls:7} {1e3 * seconds:10.3f} "
                f"{share:6.1%} {1e6 * seconds / calls:9.1f} {row['bytes'] / 1e6:9.2f}"
            )
        calls = sum(row["calls"] for row in rows)
        lines.append(f"{'in all':32} {'':8} {calls:7} {1e3 * total:10.3f}")
        return "\n".join(lines)

    def write(self, path: str | Path) -> None:
        """Write the flame chart and the table as one self-contained page."""
        from .files import atomic_write

        with atomic_write(path) as file:
            file.write(self.page().encode())

    def page(self) -> str:
        """The flame chart and the table in HTML."""
        import html  # only here: `import tinygrad_cv` is to be quick

        events = self.events
        length = max((e.start + e.seconds for e in events), default=0.0) or 1.0  # seconds
        height = ROW * (1 + max((e.depth for e in events), default=0))  # pixels
        boxes = []
        for event in events:
            title = f"{event.name} {event.phase}: {1e3 * event.seconds:.3f} ms"
            title += f" at {describe_line(event.line)}" if event.line else ""
            left, width = 100 * event.start / length, 100 * event.seconds / length
            place = f"left:{left:.4f}%;width:{width:.4f}%;top:{ROW * event.depth}px"
            title, name = html.escape(title, quote=True), html.escape(event.name)
            boxes.append(f"<div class={event.phase} style='{place}' title='{title}'>{name}</div>")
        return (
            f"<!doctype html><meta charset=utf-8><title>Profile</title><style>{STYLE}</style>"
            f"<h1>{1e3 * length:.2f} ms</h1>"
            "<p>Each box is an operation, as wide as it took long; what it called lies under it. "
            "Blue: forward, orange: backward, grey: modules. Point at one for its time and its "
            f"line.</p><div class=chart style='height:{height}px'>{''.join(boxes)}</div>"
            f"<pre>{html.escape(str(self))}</pre>"
        )


def _bytes(results: Any) -> int:
    if isinstance(results, (tuple, list)):
        return sum(map(_bytes, results))
    return (
        results.nbytes
        if isinstance(results, (np.ndarray, np.generic))
        else _bytes(getattr(results, "_array", ()))
    )


@contextmanager
def profile() -> Iterator[Profile]:
    """Inside this context every operation of this thread is measured; see the module's
    docstring."""
    measured = Profile()
    with observed(measured):
        yield measured
