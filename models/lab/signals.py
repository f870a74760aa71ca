"""Ctrl-C and SIGTERM: a command ends at once, a training when its step is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

Leave = Callable[[], None]


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which a scheduler or `kill` asks a command to end."""


@contextmanager
def handled(numbers: Sequence[int], handler: Callable[[Leave], None]) -> Iterator[None]:
    """Inside this context these signals call handler(leave); `leave` ends that early.

    In another thread than the main one, which alone is told of signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}

    def leave() -> None:
        for number, earlier in before.items():
            signal.signal(number, earlier)

    def handle(*_: Any) -> None:
        handler(leave)

    try:
        for number in numbers:
            signal.signal(number, handle)
        yield
    finally:
        leave()


@contextmanager
def told_to_end() -> Iterator[None]:
    """Inside this context SIGTERM ends a command like Ctrl-C: it takes away what it has begun."""

    def end(_: Leave) -> NoReturn:
        raise Terminated

    with handled([signal.SIGTERM], end):
        yield


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that a step is not cut in half.

    A second signal does at once what it did before: Ctrl-C raises KeyboardInterrupt.
    """
    event = threading.Event()

    def ask(leave: Leave) -> None:
        event.set()
        leave()

    with handled([signal.SIGINT, signal.SIGTERM], ask):
        yield event
