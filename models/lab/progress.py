"""What takes longer than two seconds is seen: bars, and a thread that keeps the innermost alive."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinygrad_cv import parallel

from .optional import need

PATIENCE = 2.0  # seconds, after which a passing bar is shown
INTERVAL = 0.5  # seconds between two looks at the clock

WITHOUT_TOTAL = "{desc}: {elapsed}"

_open: list[Any] = []  # bars, the innermost last
_watchers: list[Watcher] = []


@contextmanager
def progress_bar(
    total: int | None, what: str, done: int = 0, *, passing: bool = False
) -> Iterator[Any]:
    """tqdm's bar over steps, on rank 0 only.

    A passing one appears after two seconds and leaves nothing behind.
    """
    tqdm = need("tqdm").tqdm
    tqdm.monitor_interval = 0  # a Watcher does its work
    settings: dict[str, Any] = {"unit": "step"}
    if passing:
        settings = {"delay": PATIENCE, "leave": False, "unit": ""}
    if total is None:
        settings["bar_format"] = WITHOUT_TOTAL
    hidden = parallel.team().rank > 0
    _clear()
    bar = tqdm(
        total=total,
        initial=done,
        desc=what,
        dynamic_ncols=True,
        disable=hidden,
        position=0,  # in the place of the one around it
        **settings,
    )
    bar.seen = False  # by a Watcher
    _open.append(bar)
    try:
        yield bar
    finally:
        if passing:
            _clear()
        _open[:] = [other for other in _open if other is not bar]  # to tqdm they are equal
        bar.close()


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Inside this context (or function), if it takes longer than two seconds, one sees why."""
    with progress_bar(None, what, passing=True):
        yield


def print_line(text: str) -> None:
    """Print a text where a bar may be."""
    _clear()
    print(text)


def _clear() -> None:
    """Take the innermost bar away, if it was drawn; the next look draws it again."""
    bar = _open[-1] if _open else None
    if bar is not None and not bar.disable and (bar.seen or bar.last_print_t > bar.start_t):
        bar.clear()


class Watcher:
    """A thread that shows the innermost bar as soon as it is PATIENCE seconds old.

    A bar by itself is drawn only when it is updated, which a long step does not do. The thread
    stops while the process forks: a copy of a thread's locks would be held for ever.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()

    def watch(self) -> None:
        while not self.stopped.wait(INTERVAL):
            bar = _open[-1] if _open else None
            if bar is not None and time.time() - bar.start_t >= PATIENCE:
                bar.seen = True
                bar.refresh()


@contextmanager
def watched() -> Iterator[None]:
    """Inside this context a Watcher looks after the bars."""
    watcher = Watcher()
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)
        watcher.stop()


def _before_fork() -> None:
    for watcher in _watchers:
        watcher.stop()


def _after_fork() -> None:
    for watcher in _watchers:
        watcher.start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
