"""The training loop: boring, separate, resumable.

A killed run goes on to the same bits as one that was not. Every rank of a team
(`tinygrad_cv.parallel`) carries out the same loop; rank 0 alone writes. A checkpoint does not tell
how many ranks there were, and so a run goes on with any number of them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import parallel
from tinygrad_cv.files import atomic_write
from tinygrad_cv.machine import keep_freed_memory

from .errors import RunError
from .progress import progress_bar
from .run import Run
from .signals import asked_to_stop
from .task import Task

REPLAYED = 50  # steps at most are made again to find out what made a NaN


def train(
    task: Task,
    run: Run,
    steps: int,
    *,
    log_every: int = 50,
    save_every: int = 500,
    on_step: Callable[[int], None] | None = None,
) -> int:
    """Carry out the steps that are missing; the number of steps that are made then.

    Ctrl-C or SIGTERM ends the step, saves and raises RunError, which says how to go on. A step that
    is not finite raises it too, with its cause. `on_step` is called on rank 0 with the number of
    steps made.
    """
    keep_freed_memory()
    step = saved = run.restore(task)
    if step > steps:
        raise RunError(
            f"{run.folder} has made {step} steps already, more than the {steps} that it is asked "
            "for; ask for more, or train another run"
        )
    with (
        progress_bar(steps, run.folder.name, step) as bar,
        opened_log(run, step) as log,
        asked_to_stop() as asked,
    ):
        try:
            while step < steps:
                if step % REPLAYED == 0 or step == saved:
                    moment = Moment(task, step)
                metrics, stop = over_ranks(task.step(step), asked.is_set())
                step += 1
                if not all(map(math.isfinite, metrics.values())):
                    raise RunError(explain_not_finite(task, run, step - 1, moment, metrics))
                if step % log_every == 0 or step == steps:
                    log(json.dumps({"step": step, **metrics}) + "\n")
                    shown = {name: f"{value:.3f}" for name, value in metrics.items()}
                    bar.set_postfix(shown, refresh=False)
                if on_step is not None and parallel.team().rank == 0:
                    on_step(step)
                if step % save_every == 0 or step == steps or stop:
                    run.save(task, step)
                    saved = step
                bar.update()
                if stop and step < steps:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            message = f"stopped; {saved} steps are saved. Go on with the same command and --resume"
            raise RunError(message) from None
        except OSError as error:  # a full disk
            raise RunError(
                f"{error}; {saved} steps are saved. When that is put right, "
                "go on with the same command and --resume"
            ) from None
    return step


class Moment:
    """All that the next step depends on, to make it again from there."""

    def __init__(self, task: Task, step: int) -> None:
        self.step = step
        self.rng, self.batches = task.rng.bit_generator.state, task.batches.state()
        self.parts: dict[str, dict[str, np.ndarray]] = {}
        for name, part in task.parts.items():
            state = part.state_dict().items()
            self.parts[name] = {key: np.array(value) for key, value in state}

    def restore(self, task: Task) -> None:
        for name, part in task.parts.items():
            part.load_state_dict(self.parts[name])
        task.rng.bit_generator.state = self.rng
        task.batches.restore(self.batches)


@contextmanager
def opened_log(run: Run, step: int) -> Iterator[Callable[[str], None]]:
    """What writes a line to the log, which begins without the lines after a step.

    On other ranks than 0 it keeps nothing. An OSError names the file; a line may be cut off then.
    """
    path = run.folder / "log.jsonl"
    if parallel.team().rank:
        path = Path(os.devnull)
    else:
        kept = [line for line in run.log if line["step"] <= step]
        with atomic_write(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())
    with open(path, "ab", buffering=0) as log:

        def write(line: str) -> None:
            left = line.encode()
            try:
                while left:
                    left = left[log.write(left) :]
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None

        yield write


def over_ranks(metrics: dict[str, float], stop: bool) -> tuple[dict[str, float], bool]:
    """The mean of a step's metrics over the ranks, and whether any of them is asked to stop."""
    values = parallel.average(np.array([*metrics.values(), float(stop)]))
    return dict(zip(metrics, values.tolist(), strict=False)), bool(values[-1])


def explain_not_finite(
    task: Task, run: Run, step: int, moment: Moment, metrics: dict[str, float]
) -> str:
    """The operation that made the first NaN: the last steps again, every operation watched.

    The step that shows it may have begun with weights that the one before has spoiled.
    """
    values = ", ".join(f"{name} {value}" for name, value in metrics.items())
    moment.restore(task)
    cause = "the weights themselves are not finite any more"
    try:
        with tg.detect_anomaly():
            for again in range(moment.step, step + 1):
                task.step(again)
    except FloatingPointError as error:
        cause = str(error) if again == step else f"step {again} began it: {error}"
    fix = f"The last checkpoint in {run.folder} is older; try a smaller learning rate"
    return f"step {step} gave {values}: {cause}. {fix}"
