"""A run's folder, which is all that `sample`, `eval` and `--resume` need.

It holds `config.json` (what is trained, on what, from which seed), `log.jsonl` (a line per logged step) and
`checkpoint.safetensors` (all weights and optimiser state, and in its metadata the step and the state of every random
generator). Rank 0 alone writes it; all read it: on many machines it lies where each of them sees it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_cv import parallel, safetensors
from tinygrad_cv.files import atomic_write

from .errors import RunError
from .task import Task


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
            missing = {"task", "data", "root", "seed", "config"} - loaded.keys()
        except (ValueError, AttributeError) as error:
            raise RunError(f"{path} cannot be read: {error}; it is what `train` wrote when the run began") from None
        if missing == {"task"} and "model" in loaded:
            raise RunError(f"{path} was made before configurations were split; train it again")
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
