"""The command line: `python -m tinygrad_cv.learn`."""

from __future__ import annotations

import argparse
import importlib
import inspect
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ..files import atomic_write
from ..typing import Function
from . import progress
from .errors import LearnError
from .ladder import STEPS

PROGRAM = "python -m tinygrad_cv.learn"
LONGEST = 1000  # characters of an error
COMMANDS = f"the steps 1 to {len(STEPS)}, `exercises` and `check`"
EXAMPLES = f"""
  {PROGRAM}                         list the steps, and how far you have come
  {PROGRAM} 7                       run step 7
  {PROGRAM} 7 --microscope 7.html   and open its computation as a page
  {PROGRAM} exercises               list the gradients to write yourself
  {PROGRAM} exercises my_file.py    write a file to fill in
  {PROGRAM} check my_file.py        grade what you have written
  {PROGRAM} check my_file.py tanh   grade these alone
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{one_line(message)}; see {PROGRAM} --help\n")


def one_line(message: str) -> str:
    """An error as it is printed; what is very long loses its middle."""
    text = " ".join(message.split())
    half = LONGEST // 2
    short = text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"
    return f"learn: {short}"


def parser() -> Parser:
    """The command's words and options."""
    found = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [COMMAND] [WORD ...] [options]",
        description="The ladder: short steps to how gradients come about, and exercises.",
        epilog=f"examples:{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_argument("command", nargs="?", help="the number of a step, `exercises` or `check`")
    found.add_argument("words", nargs="*", help="a file, and for `check` names of exercises")
    found.add_argument(
        "--progress",
        metavar="FILE",
        help=f"where progress is kept; else ${progress.VARIABLE}, else {progress.DEFAULT}",
    )
    found.add_argument("--microscope", metavar="PATH", help="write a step's computation as a page")
    return found


# ---------------------------------------------------------------------------------------- commands


def list_steps(path: Path) -> None:
    """Print the steps, which were run, and what comes next."""
    from .exercises import EXERCISES

    done = progress.read(path)
    climbed = STEPS.keys() & done.steps
    print(f"The ladder ({len(climbed)} of {len(STEPS)} steps done)")
    for number, step in STEPS.items():
        print(f"  {mark(number in climbed)} {number:2}  {step.title}")
    passed = EXERCISES.keys() & done.exercises
    print(f"\nExercises: {len(passed)} of {len(EXERCISES)} pass.\n")
    left = [number for number in STEPS if number not in climbed]
    if left:
        print(f"{PROGRAM} {left[0]:<11} runs step {left[0]}")
    print(f"{PROGRAM} exercises   lists the gradients to write yourself")
    print(f"(progress is kept in {path})")


def run_step(word: str, path: Path, page: str | None) -> None:
    """Show a step, note it, and let the microscope write its page."""
    numbers = {str(number): number for number in STEPS}
    if word not in numbers:
        raise LearnError(f"there is no step {word}; the steps are 1 to {len(STEPS)}")
    number = numbers[word]
    progress.read(path)  # a damaged file is to be known before a long page
    microscope = None if page is None else find_microscope()
    step = STEPS[number]
    names = step.show()
    progress.add(path, steps=[number])
    if microscope is not None:
        microscope(*names["look"], path=page, title=f"Step {number}: {step.title}")
        print(f"\n(the microscope has written {page}; open it in a browser)")
    if number + 1 in STEPS:
        print(f"\n(next: {PROGRAM} {number + 1}, {STEPS[number + 1].title})")


def find_microscope() -> Function:
    """`tg.microscope`, which writes the computation of a function with its arguments as a page."""
    package = importlib.import_module("..", __package__)
    if not hasattr(package, "microscope"):
        raise LearnError("--microscope: this version of the package has no microscope")
    microscope: Function = package.microscope
    return microscope


def list_exercises(path: Path) -> None:
    """Print the exercises, and which have passed."""
    from .exercises import EXERCISES, template

    done = progress.read(path)
    parts = itertools.groupby(EXERCISES.values(), lambda exercise: exercise.part)
    for number, (part, exercises) in enumerate(parts, 1):
        print(f"{number}. {part}")
        for exercise in exercises:
            backward = getattr(template, exercise.backward_name)
            words = ", ".join(inspect.signature(backward).parameters)
            print(f"  {mark(exercise.name in done.exercises)} {exercise.backward_name}({words})")
    print(f"\n{PROGRAM} exercises my_file.py   writes a file to fill in")
    print(f"{PROGRAM} check my_file.py       grades it")
    print(f"(solutions: {Path(template.__file__).with_name('solutions.py')})")


def write_exercises(path: Path) -> None:
    """Write a file to fill in; what is there is not written over."""
    from .exercises import template

    if path.exists():
        raise LearnError(f"{path} is there already, and may hold your work; give another name")
    with atomic_write(path) as file:
        file.write(Path(template.__file__).read_bytes())
    print(f"wrote {path}: fill in a backward, then {PROGRAM} check {path}")


def check(file: Path, names: Sequence[str], path: Path) -> bool:
    """Grade a reader's file, and note what passes; whether all does."""
    from .exercises import EXERCISES, grade

    names = [name.removesuffix("_backward") for name in names]
    for name in names:
        if name not in EXERCISES:
            known = ", ".join(EXERCISES)
            raise LearnError(f"no exercise is called {name!r}; there are {known}")
    progress.read(path)
    outcomes = {}
    for verdict in grade(file, list(dict.fromkeys(names))):
        outcomes[verdict.name] = verdict.outcome
        print(f"{mark(verdict.outcome == 'passes')} {verdict.name:16} {verdict.outcome}", end="")
        print_message(verdict.message)
        if verdict.outcome == "passes":
            progress.add(path, exercises=[verdict.name])
    passed = list(outcomes.values()).count("passes")
    print(f"\n{passed} of {len(outcomes)} pass.")
    return passed == len(outcomes)


def print_message(message: str) -> None:
    """A line behind what stands there, or a block below."""
    lines = message.splitlines()
    if len(lines) <= 1:
        print(f": {message}" if message else "")
        return
    print()
    for line in lines:
        print(f"      {line}")


def mark(done: bool) -> str:
    """A cross in front of what is done."""
    return "x" if done else "."


# -------------------------------------------------------------------------------------------- main


def carry_out(args: argparse.Namespace) -> int:
    """Do what the words say; the exit code. Raises LearnError."""
    command: str | None = args.command
    words: list[str] = args.words
    path = progress.place(args.progress)
    is_step = command is not None and command.isdecimal()
    if args.microscope is not None and not is_step:
        raise LearnError(f"--microscope opens a step: {PROGRAM} 7 --microscope PATH")
    if command is None:
        list_steps(path)
    elif is_step:
        refuse_more(words, 0, "a step takes no further words")
        run_step(command, path, args.microscope)
    elif command == "exercises":
        refuse_more(words, 1, "`exercises` takes one file to write")
        if words:
            write_exercises(Path(words[0]).expanduser())
        else:
            list_exercises(path)
    elif command == "check":
        if not words:
            fix = f"{PROGRAM} exercises my_file.py writes one"
            raise LearnError(f"`check` needs the file to grade; {fix}")
        return 0 if check(Path(words[0]).expanduser(), words[1:], path) else 1
    else:
        raise LearnError(f"there is no {command!r}; there are {COMMANDS}")
    return 0


def refuse_more(words: Sequence[str], most: int, rule: str) -> None:
    """Raise LearnError for words that nobody reads."""
    if len(words) > most:
        raise LearnError(f"{rule}, not {' '.join(words)!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command; the exit code: 1 if a gradient does not pass, 2 for an error."""
    if hasattr(sys.stdout, "reconfigure"):  # not if something else stands in its place
        sys.stdout.reconfigure(errors="backslashreplace")
    args = parser().parse_intermixed_args(argv)
    try:
        code = carry_out(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who reads, as in `| head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (LearnError, OSError) as error:
        print(one_line(str(error)), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("learn: stopped", file=sys.stderr)
        return 130
