"""Switches: whether operations are recorded, and who observes them.

A switch belongs to its thread and to the frame that set it. While a generator or a coroutine is
suspended, the switches that it set are out of force: `with no_grad(): yield x` does not leak into
the code that asked for x. Leaving one restores only what it changed, in whatever order they are
left.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import threading
from collections.abc import AsyncIterator, Generator
from types import FrameType
from typing import Any

from ..typing import Function

SUSPENDABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
CONTEXT_METHODS = ("__enter__", "__exit__", "__aenter__", "__aexit__")


class Switch:
    """One setting of one switch, from `__enter__` to `__exit__`."""

    __slots__ = ("frame", "name", "value")

    def __init__(self, name: str, value: Any, frame: FrameType | None) -> None:
        self.name, self.value = name, value
        self.frame = frame  # of the generator that set it; None if an ordinary function did

    def in_force(self) -> bool:
        """Whether the generator that set this switch, if one did, is running."""
        return self.frame is None or _is_running(self.frame)


class ThreadSwitches(threading.local):
    """The switches of a thread, the latest last."""

    def __init__(self) -> None:
        self.switches: list[Switch] = []


THREAD = ThreadSwitches()
SWITCHED: dict[str, list[Switch]] = {"recording": [], "transform": [], "observer": []}
"""The switches of all threads by name: while there are none, nobody need ask further."""


def setting(name: str, default: Any) -> Any:
    """The value of a switch in this thread, or the default."""
    if SWITCHED[name]:
        for switch in reversed(THREAD.switches):
            if switch.name == name and switch.in_force():
                return switch.value
    return default


def settings(name: str) -> list[Any]:
    """All values that a switch has at the moment, the earliest first."""
    if not SWITCHED[name]:
        return []
    return [s.value for s in THREAD.switches if s.name == name and s.in_force()]


def is_recording() -> bool:
    """Whether operations on tensors that require a gradient are recorded."""
    if SWITCHED["recording"]:
        for switch in reversed(THREAD.switches):
            if switch.name == "recording" and (switch.frame is None or switch.in_force()):
                return bool(switch.value)
    return True


class switched:  # named as a function, like no_grad
    """Set a switch inside a `with` block, or in every call of a function that this decorates."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value
        self.entered: list[tuple[list[Switch], Switch]] = []

    def __enter__(self) -> Any:
        switch = Switch(self.name, self.value, _suspendable_owner(sys._getframe(1)))
        switches = THREAD.switches
        switches.append(switch)
        SWITCHED[self.name].append(switch)
        self.entered.append((switches, switch))
        return self.value

    def __exit__(self, *_: object) -> None:
        only = len(self.entered) == 1
        entry = self.entered[0] if only else self._latest(sys._getframe(1))
        self.entered.remove(entry)
        switches, switch = entry
        switches.remove(switch)
        SWITCHED[self.name].remove(switch)

    def _latest(self, frame: FrameType) -> tuple[list[Switch], Switch]:
        """The latest that a frame entered, or else this thread: others may have entered since.

        The latest of all if there is none, as where another thread closes a generator.
        """
        owner = _suspendable_owner(frame)
        entered = list(self.entered)
        of_thread = [entry for entry in entered if entry[0] is THREAD.switches]
        of_frame = [entry for entry in of_thread if entry[1].frame is owner]
        return (of_frame or of_thread or entered)[-1]

    def __call__(self, function: Function) -> Function:
        """`function`, with the switch set whenever it runs; generators and coroutines too."""
        decorate = _decorated
        if inspect.isgeneratorfunction(function):
            decorate = _decorated_generator
        elif inspect.iscoroutinefunction(function):
            decorate = _decorated_coroutine
        elif inspect.isasyncgenfunction(function):
            decorate = _decorated_async_generator
        return functools.wraps(function)(decorate(function, self.name, self.value))


def _decorated(function: Function, name: str, value: Any) -> Function:
    def call(*args: Any, **kwargs: Any) -> Any:
        with switched(name, value):
            return function(*args, **kwargs)

    return call


def _decorated_generator(function: Function, name: str, value: Any) -> Function:
    def generate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with switched(name, value):
            return (yield from function(*args, **kwargs))

    return generate


def _decorated_coroutine(function: Function, name: str, value: Any) -> Function:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with switched(name, value):
            return await function(*args, **kwargs)

    return call


def _decorated_async_generator(function: Function, name: str, value: Any) -> Function:
    async def generate(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with switched(name, value):
            async for item in function(*args, **kwargs):
                yield item

    return generate


def no_grad() -> switched:
    """A context, and a decorator, in which nothing is recorded (in this thread)."""
    return switched("recording", False)


def enable_grad() -> switched:
    """The same in which computations are recorded, inside of `no_grad`."""
    return switched("recording", True)


def _suspendable_owner(frame: FrameType | None) -> FrameType | None:
    """The generator's frame that a switch is set in; None in an ordinary function.

    The body of a `@contextmanager` and an `__enter__` set switches for the block below the `with`:
    then the function that this block stands in is the owner.
    """
    while frame is not None:
        code = frame.f_code
        if code.co_filename == contextlib.__file__ or code.co_name in CONTEXT_METHODS:
            frame = frame.f_back
            continue
        if not code.co_flags & SUSPENDABLE:
            return None
        caller = frame.f_back
        if caller is None or caller.f_code.co_filename != contextlib.__file__:
            return frame
        frame = caller
    return None


def _is_running(frame: FrameType) -> bool:
    """Whether a frame is on this thread's stack."""
    running: FrameType | None = sys._getframe(1)
    while running is not None:
        if running is frame:
            return True
        running = running.f_back
    return False
