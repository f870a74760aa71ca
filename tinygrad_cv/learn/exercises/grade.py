"""A reader's file is read, and each of its gradients judged by the gradient checker."""

from __future__ import annotations

import functools
import linecache
import multiprocessing
import signal
import sys
import textwrap
import tokenize
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from ...testing import GradMismatch, check_vjp
from ...typing import Function
from ..errors import LearnError
from .table import EXERCISES, Exercise

SECONDS = 30.0  # for reading a file, and for each gradient
STARTED, READ = "started", "read"  # what a process sends when it works, and has read its file
LONGEST = 500  # characters of an error in a reader's file
MODULE = "learn_answers"  # what a reader's file is called as a module


@dataclass(frozen=True)
class Verdict:
    """What became of one exercise: it passes, is wrong, raises, is too slow, missing, or to do."""

    name: str
    outcome: str
    message: str = ""


class Unfinished(Exception):
    """A backward pass that cannot be judged yet; the message says what to do."""


# ------------------------------------------------------------------------------- a reader's file


def load(path: Path) -> ModuleType:
    """Execute a reader's file. Raises LearnError, of one line, if it cannot be."""
    try:
        with tokenize.open(path) as file:  # which heeds a declared encoding
            text = file.read()
    except FileNotFoundError:
        fix = f"python -m tinygrad_cv.learn exercises {path} writes one to fill in"
        raise LearnError(f"there is no file {path}; {fix}") from None
    except OSError as error:
        raise LearnError(f"{path} cannot be read: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError) as error:  # of its encoding
        raise LearnError(f"{path} is not a text of Python: {error}") from None
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module
    sys.path.append(str(path.parent.absolute()))
    linecache.checkcache(str(path))
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        line = (error.text or "").strip()
        place = f"{error.filename}:{error.lineno}"
        raise LearnError(f"{place}: {error.msg}: {line}; nothing was graded") from None
    except (Exception, SystemExit) as error:
        raise LearnError(f"{what_happened(error, path)}; nothing was graded") from None
    finally:
        sys.path.remove(str(path.parent.absolute()))
    names = [exercise.backward_name for exercise in EXERCISES.values()]
    if not any(hasattr(module, name) for name in names):
        reason = f"{path} has no function with the name of an exercise, such as {names[0]}"
        raise LearnError(f"{reason}; nothing was graded")
    return module


def what_happened(error: BaseException, path: Path) -> str:
    """An error in a reader's file on one line: the place, the kind, the message, the code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == str(path)]
    place = f"{path.name}:{own[-1].lineno}: " if own else f"{path.name}: "
    line = f", in `{own[-1].line}`" if own and own[-1].line else ""
    message = textwrap.shorten(str(error), LONGEST, placeholder=" ...")
    return f"{place}{type(error).__name__}{': ' * bool(message)}{message}{line}"


# ------------------------------------------------------------------------------------ one exercise


def judge(exercise: Exercise, module: ModuleType) -> Verdict:
    """Try a reader's backward at each case; the checker's first message is the hint."""
    name = exercise.name
    backward = getattr(module, exercise.backward_name, None)
    path = Path(str(module.__file__))
    if backward is None:
        return Verdict(name, "missing", f"{path.name} has no function {exercise.backward_name}")
    if not callable(backward):
        message = f"{exercise.backward_name} is {type(backward).__name__}, and not a function"
        return Verdict(name, "raises", message)
    try:
        for case in exercise.cases:
            check_vjp(exercise.forward, returning(backward), *case)
    except NotImplementedError as error:
        return Verdict(name, "to do", str(error))
    except GradMismatch as mismatch:
        return Verdict(name, "wrong", str(mismatch))
    except Unfinished as error:
        return Verdict(name, "wrong", str(error))
    except (Exception, SystemExit) as error:
        return Verdict(name, "raises", what_happened(error, path))
    return Verdict(name, "passes")


def returning(backward: Function) -> Function:
    """The same function, which refuses to return nothing."""

    @functools.wraps(backward)
    def returned(*args: Any) -> Any:
        result = backward(*args)
        if result is None:
            raise Unfinished(f"{name_of(backward)} returns None: does it lack a `return`?")
        return result

    return returned


def name_of(function: Function) -> str:
    """What a function calls itself."""
    return str(getattr(function, "__name__", type(function).__name__))


# ------------------------------------------------------------------------- in a process of its own


def grade(path: Path, names: Sequence[str] = (), seconds: float = SECONDS) -> Iterator[Verdict]:
    """The verdicts on some exercises, or on all.

    They come from a process of its own, so that a reader's endless loop or exit ends only that.
    Raises LearnError if the file cannot be read, or executed.
    """
    left = list(names or EXERCISES)
    while left:
        for verdict in grade_until_stuck(path, left, seconds):
            left.remove(verdict.name)
            yield verdict


def grade_until_stuck(path: Path, names: Sequence[str], seconds: float) -> Iterator[Verdict]:
    """The verdicts until the process ends; the last may be that it was too slow, or exited."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=send_verdicts, args=(there, path, names), daemon=True)
    process.start()
    there.close()
    try:
        for name in [STARTED, READ, *names]:
            patience = SECONDS if name == STARTED else seconds
            try:
                received = here.recv() if here.poll(patience) else None
            except EOFError:
                process.join()
                exited = f"ended the process (exit code {process.exitcode})"
                yield unjudged(path, name, "raises", exited)
                return
            if received is None:
                slow = f"took more than {seconds:g} seconds: is there a loop that never ends?"
                yield unjudged(path, name, "too slow", slow)
                return
            if isinstance(received, LearnError):
                raise received
            if isinstance(received, Verdict):
                yield received
    finally:
        process.kill()
        process.join()
        here.close()


def unjudged(path: Path, name: str, outcome: str, what: str) -> Verdict:
    """The verdict on a backward that gave none. Raises LearnError if it was the file itself."""
    if name in (STARTED, READ):
        raise LearnError(f"reading {path} {what}; nothing was graded")
    return Verdict(name, outcome, f"{EXERCISES[name].backward_name} {what}")


def send_verdicts(connection: Connection, path: Path, names: Sequence[str]) -> None:
    """What the process does: say how far it is, and send each verdict as it is found."""
    connection.send(STARTED)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits
    try:
        module = load(path)
    except LearnError as error:
        connection.send(error)
        return
    connection.send(READ)
    for name in names:
        connection.send(judge(EXERCISES[name], module))
