"""Who may write to an array, and who still needs it as it is.

What a record has saved cannot change, so a gradient is never wrong because somebody wrote into an
array. Nothing is watched or compared; three cases cover all that a node saves:

- the value of a recorded operation: others only ever see it read-only;
- the array of a leaf, which is the tensor's own. Everyone reads it through one read-only window,
  the *reader*, and a user writes to it through another, the *writer*. Who wants to write while
  anyone holds the reader gets a copy, with which the tensor goes on; who reads while anyone holds
  the writer gets a copy;
- a constant, an array of the user's: a record keeps a private copy (`constant`). One above
  `LARGE_CONSTANT` bytes is locked instead, that is, made read-only until the last record is gone.

How a window is known to be out of use: an array that looks at a memoryview is the base of all its
own views, and they keep it alive (a view of an ordinary array looks at the array at the bottom). So
a weak reference to a window is dead once nobody holds the window or anything that was derived from
it.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..machine import LARGE_CONSTANT


def window(array: Any) -> np.ndarray:
    """A read-only array that looks at the memory of another, and is the base of its own views."""
    return np.asarray(memoryview(array).toreadonly())


# ----------------------------------------------------------------------------- the array of a leaf


THREADS = threading.RLock()  # that ask one tensor for its array at the same time


def own(tensor: Any, array: Any) -> None:
    """Let a tensor go on with this array, which nobody else has."""
    tensor._memory = memoryview(array).toreadonly()
    tensor._array = np.asarray(tensor._memory)
    tensor._writer = None


def are_read(tensors: Iterable[Any]) -> bool:
    """Whether anyone needs one of their arrays as it is: a record, or a result that is a view.

    Each tensor takes a new reader, and looks whether the old one is gone. If it is not, nobody may
    write to that memory any more.
    """
    for tensor in tensors:
        reader = weakref.ref(tensor._array)
        tensor._array = np.asarray(tensor._memory)
        if reader() is not None:
            return True
    return False


def writer_of(tensor: Any) -> np.ndarray | None:
    """What a tensor has given out to write to, if anyone still has it."""
    reference = tensor._writer
    writer: np.ndarray | None = None if reference is None else reference()
    if writer is None and THREADS.acquire(blocking=False):
        if tensor._writer is reference:
            tensor._writer = None  # so that nobody need ask again
        THREADS.release()
    return writer


def read(tensor: Any) -> np.ndarray:
    """A tensor's array as it is now, and remains whatever is written to the tensor later."""
    array: np.ndarray = tensor._array
    return array if writer_of(tensor) is None else window(array.copy())


def write(tensor: Any) -> np.ndarray:
    """A tensor's array, to write to; a copy, with which it goes on, if anyone needs it as it is."""
    with THREADS:
        writer = writer_of(tensor)
        if writer is not None:
            return writer
        if tensor._memory is None or are_read([tensor]):
            own(tensor, tensor._array.copy())
        writer = np.asarray(memoryview(tensor._memory.obj))
        tensor._writer = weakref.ref(writer)
        return writer


# -------------------------------------------------------------------------------------- constants


def constant(value: Any) -> Any:
    """What a record keeps of an operand that is no tensor: nobody else can write to it."""
    if isinstance(value, np.ndarray):
        if value.nbytes > LARGE_CONSTANT:
            owner = bases(value)[-1]
            if owner.base is None:
                return locked(value)
            if _is_immutable(owner.base):
                return window(value)
        return value.copy(order="K")  # images keep their channels last
    if type(value) in (list, tuple):
        return type(value)(map(constant, value))
    return value


def bases(array: np.ndarray) -> list[np.ndarray]:
    """An array, and the arrays whose memory it looks at; the last one is at the bottom."""
    chain = [array]
    while isinstance(chain[-1].base, np.ndarray):
        chain.append(chain[-1].base)
    return chain


def _is_immutable(memory: Any) -> bool:
    """Whether memory that is no array's is of a kind that nobody in this process can write to."""
    if isinstance(memory, mmap.mmap):
        return memoryview(memory).readonly
    return isinstance(memory, bytes)


class Lock:
    """The locks of one array's memory: how many records need it, and what was made read-only."""

    def __init__(self) -> None:
        self.holders = 0
        self.members: list[np.ndarray] = []


LOCKS: dict[int, Lock] = {}  # by the id of the array at the bottom


def locked(array: np.ndarray) -> np.ndarray:
    """A large array, read-only for everyone who asks for it until the last holder of this is gone.

    A write to it raises where it is written. A view that was taken before and lies outside keeps
    its own right to write: this is the one handle that a lock does not cover.
    """
    chain = bases(array)
    key = id(chain[-1])
    with THREADS:
        lock = LOCKS.setdefault(key, Lock())
        lock.holders += 1
        for member in chain:
            if member.flags.writeable:
                member.flags.writeable = False
                lock.members.append(member)
    reader = window(array)
    weakref.finalize(reader, _unlock, key)
    return reader


def _unlock(key: int) -> None:
    with THREADS:
        lock = LOCKS[key]
        lock.holders -= 1
        if lock.holders:
            return
        del LOCKS[key]
        # An array can be written to again only after the arrays below it can.
        for member in sorted(lock.members, key=lambda member: len(bases(member))):
            member.flags.writeable = True


# ------------------------------------------------------------------------------ functions of a user


def guarded(value: Any) -> Any:
    """What a user's function returned, made read-only: not even the function writes to it again."""
    if isinstance(value, (list, tuple)):
        parts = [guarded(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if type(value) is np.ndarray:
        if value.base is not None:
            value = value.copy()
        value.flags.writeable = False
    return value


def read_only(gradient: Any) -> Any:
    """A gradient for a formula of a user's: others are given the same array."""
    if type(gradient) is list:
        return [read_only(part) for part in gradient]
    return window(gradient) if type(gradient) is np.ndarray else gradient
