"""The training loop: boring, separate, resumable. A killed run goes on to the same bits as one that was not.

Every rank of a team (`tinygrad_cv.parallel`) carries out the same loop; rank 0 alone writes. A checkpoint does not tell how
many ranks there were, and so a run goes on with any number of them. All read it: on many machines the run folder lies where
each of them sees it.

A run folder holds `config.json` (what is trained, on what, from which seed), `log.jsonl` (a line per logged step) and
`checkpoint.safetensors` (all weights and optimiser state, and in its metadata the step and the state of every random
generator). It is all that `sample`, `eval` and `--resume` need.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import parallel, safetensors
from tinygrad_cv.files import atomic_write
from tinygrad_cv.machine import keep_freed_memory

if TYPE_CHECKING:
    from .task import Task


class RunError(Exception):
    """Something about a run that its user can put right; the message says how."""


@dataclass
class Run:
    """A folder with a run in it."""

    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        path = self.folder / "config.json"
        if not path.is_file():
            raise RunError(f"{self.folder} is not a run: it has no config.json. Train one with `train NAME --out DIR`")
        try:
            loaded: dict[str, Any] = json.loads(path.read_text())
            missing = {"model", "data", "root", "seed", "config"} - loaded.keys()
        except (ValueError, AttributeError) as error:
            raise RunError(f"{path} cannot be read: {error}; it is what `train` wrote when the run began") from None
        if missing:
            raise RunError(f"{path} lacks {', '.join(sorted(missing))}; it is what `train` wrote when the run began")
        return loaded

    @property
    def log(self) -> list[dict[str, float]]:
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            raise RunError(f"{path} has a line that is not JSON, maybe cut off at the end; take it out") from None

    def create(self, config: dict[str, Any]) -> None:
        if parallel.team().rank:
            return
        if (self.folder / "checkpoint.safetensors").exists():
            raise RunError(f"{self.folder} holds a run already; go on with --resume, or choose another --out")
        if any(part.exists() and not part.is_dir() for part in (self.folder, *self.folder.parents)):
            raise RunError(f"{self.folder} cannot be a run's folder, because a file is in its place; choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / "config.json") as file:
            file.write(json.dumps(config, indent=2).encode())

    def save(self, task: Task, step: int) -> None:
        """Write everything that the next step depends on, in one file, all or nothing."""
        if parallel.team().rank:
            return
        arrays = {f"{part}/{name}": a for part, owner in task.parts.items() for name, a in owner.state_dict().items()}
        state = {"step": step, "rng": task.rng.bit_generator.state, "batches": task.batches.state()}
        safetensors.save(arrays, self.folder / "checkpoint.safetensors", {"state": json.dumps(state)})

    def restore(self, task: Task) -> int:
        """Put a task where the checkpoint was; the number of steps that it had made."""
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return 0
        arrays = {name: np.array(a) for name, a in safetensors.load(path).items()}
        metadata = safetensors.load_metadata(path)
        if "state" not in metadata:
            raise RunError(f"{path} holds arrays, but not the state of a run; it is not a checkpoint that `train` wrote")
        state = json.loads(metadata["state"])
        ill = [name for name, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
        if ill:
            raise RunError(f"{path} has NaN or infinities in {ill[0]} ({len(ill)} arrays in all); train the run anew")
        for part, owner in task.parts.items():
            try:
                owner.load_state_dict({n.partition("/")[2]: a for n, a in arrays.items() if n.partition("/")[0] == part})
            except (ValueError, KeyError) as error:
                raise RunError(f"{path} and the run's config.json do not belong together, at {part!r}: {error}") from None
        if task.batches is not None:
            task.batches.restore(state["batches"])
        task.rng.bit_generator.state = state["rng"]
        return int(state["step"])


def progress_bar(total: int, what: str, done: int = 0, *, passing: bool = False) -> Any:
    """tqdm's bar over steps; a passing one appears after two seconds and leaves nothing behind. On rank 0 only."""
    tqdm = need("tqdm")
    settings = {"delay": 2, "leave": False, "unit": ""} if passing else {"unit": "step"}
    hidden = parallel.team().rank > 0
    return tqdm.tqdm(total=total, initial=done, desc=what, dynamic_ncols=True, disable=hidden, **settings)


def need(module: str) -> Any:
    """A module of the `models` extra, or how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise RunError(f'{module.partition(".")[0]} is missing; pip install "tinygrad_cv[models]" brings it') from None


def train(
    task: Task,
    run: Run,
    steps: int,
    *,
    log_every: int = 50,
    save_every: int = 500,
    watch: Callable[[int], None] | None = None,
) -> None:
    """Carry out the steps that are missing. Ctrl-C ends the step, saves and raises RunError, which says how to go on."""
    keep_freed_memory()
    step = saved = run.restore(task)
    with progress_bar(steps, run.folder.name, step) as bar, opened_log(run, step) as log, asked_to_stop() as asked:
        try:
            while step < steps:
                before = (task.rng.bit_generator.state, task.batches.state())
                figures, stop = over_ranks(task.step(step), asked.is_set())
                step += 1
                if not all(map(math.isfinite, figures.values())):
                    raise RunError(explain_not_finite(task, run, step - 1, before, figures))
                if step % log_every == 0 or step == steps:
                    log.write(json.dumps({"step": step, **figures}) + "\n")
                    log.flush()
                    bar.set_postfix({name: f"{value:.3f}" for name, value in figures.items()}, refresh=False)
                if watch is not None and parallel.team().rank == 0:
                    watch(step)
                if step % save_every == 0 or step == steps or stop:
                    run.save(task, step)
                    saved = step
                bar.update()
                if stop and step < steps:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise RunError(f"stopped; {saved} steps are saved. Go on with the same command and --resume") from None


@contextmanager
def opened_log(run: Run, step: int) -> Iterator[Any]:
    """The log without the lines after a step, to go on with; on other ranks than 0 a file that keeps nothing."""
    path = run.folder / "log.jsonl"
    if parallel.team().rank:
        path = Path(os.devnull)
    else:
        kept = [line for line in run.log if line["step"] <= step]
        with atomic_write(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())
    with open(path, "a") as log:
        yield log


def over_ranks(figures: dict[str, float], stop: bool) -> tuple[dict[str, float], bool]:
    """The mean of a step's figures over the ranks, and whether any of them is asked to stop."""
    values = parallel.average(np.array([*figures.values(), float(stop)]))
    return dict(zip(figures, values.tolist(), strict=False)), bool(values[-1])


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that a step is not cut in half; a second Ctrl-C raises KeyboardInterrupt at once."""
    event = threading.Event()

    def ask(*_: Any) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield event  # Python tells the main thread only
        return
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, ask)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def explain_not_finite(task: Task, run: Run, step: int, before: Any, figures: dict[str, float]) -> str:
    """The operation that made the first NaN, found by making the step again with every operation watched."""
    values = ", ".join(f"{name} {value}" for name, value in figures.items())
    task.rng.bit_generator.state = before[0]
    task.batches.restore(before[1])
    cause = "the weights themselves are not finite any more"
    try:
        with tg.detect_anomaly():
            task.step(step)
    except FloatingPointError as error:
        cause = str(error)
    return (
        f"step {step} gave {values}: {cause}. The last checkpoint in {run.folder} is older; try a smaller learning rate"
    )
