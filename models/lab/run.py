"""A run's folder, which is all that `sample`, `eval` and `--resume` need.

It holds `config.json` (what is trained, on what, from which seed), `log.jsonl` (a line per logged
step) and `checkpoint.safetensors` (all weights and optimiser state, and in its metadata the step
and the state of every random generator). Rank 0 alone writes it; all read it: on many machines it
lies where each of them sees it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv import parallel, safetensors
from tinygrad_cv.files import atomic_write

from .errors import RunError
from .task import Task

KEYS = {"task", "data", "root", "seed", "config"}  # of config.json
WRITTEN = "it is what `train` wrote when the run began"


@dataclass
class Run:
    """A folder with a run in it."""

    folder: Path

    @property
    def config(self) -> dict[str, Any]:
        """What config.json holds. Raises RunError if it is missing, damaged or of an older kind."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise RunError(
                f"{self.folder} is not a run: it has no config.json. "
                "Train one with `train NAME --out DIR`"
            )
        try:
            loaded: dict[str, Any] = json.loads(path.read_text())
            missing = KEYS - loaded.keys()
        except (ValueError, AttributeError) as error:
            raise RunError(f"{path} cannot be read: {error}; {WRITTEN}") from None
        if missing == {"task"} and "model" in loaded:
            raise RunError(f"{path} was made before configurations were split; train it again")
        if missing:
            raise RunError(f"{path} lacks {', '.join(sorted(missing))}; {WRITTEN}")
        return loaded

    @property
    def log(self) -> list[dict[str, float]]:
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            message = "has a line that is not JSON, maybe cut off at the end; take it out"
            raise RunError(f"{path} {message}") from None

    def create(self, config: Mapping[str, Any]) -> None:
        """Make the folder with its config.json. Raises RunError if there is a run already."""
        if parallel.team().rank:
            return
        if (self.folder / "checkpoint.safetensors").exists():
            message = "holds a run already; go on with --resume, or choose another --out"
            raise RunError(f"{self.folder} {message}")
        places = (self.folder, *self.folder.parents)
        if any(place.exists() and not place.is_dir() for place in places):
            message = "cannot be a run's folder, because a file is in its place"
            raise RunError(f"{self.folder} {message}; choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.folder / "config.json") as file:
            file.write(json.dumps(config, indent=2).encode())

    def save(self, task: Task, step: int) -> None:
        """Write everything that the next step depends on, in one file, all or nothing."""
        if parallel.team().rank:
            return
        arrays = {
            f"{part}/{name}": array
            for part, owner in task.parts.items()
            for name, array in owner.state_dict().items()
        }
        rng, batches = task.rng.bit_generator.state, task.batches.state()
        state = json.dumps({"step": step, "rng": rng, "batches": batches})
        safetensors.save(arrays, self.folder / "checkpoint.safetensors", {"state": state})

    def restore(self, task: Task) -> int:
        """Put a task where the checkpoint was; the number of steps that it had made.

        Raises RunError for a checkpoint of something else, or with NaN or infinities.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return 0
        arrays = {name: np.array(array) for name, array in safetensors.load(path).items()}
        metadata = safetensors.load_metadata(path)
        if "state" not in metadata:
            message = "holds arrays, but not the state of a run"
            raise RunError(f"{path} {message}; it is not a checkpoint that `train` wrote")
        check_finite(path, arrays)
        parts: dict[str, dict[str, np.ndarray]] = {part: {} for part in task.parts}
        for full_name, array in arrays.items():
            part, _, name = full_name.partition("/")
            parts.setdefault(part, {})[name] = array
        for part, owner in task.parts.items():
            try:
                owner.load_state_dict(parts[part])
            except (ValueError, KeyError) as error:
                message = "and the run's config.json do not belong together"
                raise RunError(f"{path} {message}, at {part!r}: {error}") from None
        state = json.loads(metadata["state"])
        if task.batches is not None:
            task.batches.restore(state["batches"])
        task.rng.bit_generator.state = state["rng"]
        return int(state["step"])


def check_finite(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise RunError for arrays of a checkpoint that no training goes on from."""
    floats = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    ill = [name for name, array in floats.items() if not np.isfinite(array).all()]
    if ill:
        where = f"{ill[0]} ({len(ill)} arrays in all)"
        raise RunError(f"{path} has NaN or infinities in {where}; train the run anew")
