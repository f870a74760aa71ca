"""What can be trained: a model, its optimisers and its batches, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .errors import RunError
from .settings import Settings, parse


class GeneratedBatches:
    """Batches that are drawn as they are needed: their state is the generator's."""

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Any) -> None:
        """Nothing to go back to."""


class Task:
    """Settings, named parts with a state_dict, a generator of random numbers, batches, and a step.

    Every rank of a team (`tinygrad_cv.parallel`) has the same generator and batches, and takes its
    share in `step`. Without `training`, data to train on, a task can be restored and used but not
    trained.
    """

    title: ClassVar[str]
    presets: ClassVar[Mapping[str, Any]]  # Settings by name
    dataset_kind: ClassVar[str] = "images"  # or "text", "nothing"
    options: ClassVar[Mapping[str, Any]] = {}  # of `sample`, with their usual values
    plots: ClassVar[Mapping[str, tuple[str, ...]]]  # lines of the log that are drawn together
    metrics_help: ClassVar[str]  # what the columns of `evaluate` are

    settings: Settings
    rng: np.random.Generator
    batches: Any = None
    parts: dict[str, Any]

    def __init__(self, settings: Any, training: Any, *, rng: np.random.Generator) -> None:
        raise NotImplementedError

    def step(self, step: int) -> dict[str, float]:
        """One update; what the log shows of it."""
        raise NotImplementedError

    def sample(self, *args: Any, **options: Any) -> Any:
        """`sample(n, rng=rng)`: n images in [0, 1], or a text of n characters.

        Images are (n, H, W) or (n, H, W, C). Raises RunError if the model draws nothing.
        """
        raise RunError(f"{self.title}: this model draws nothing; `eval` shows what it has learned")

    def sampling(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Options of `sample` that were given as text."""
        unknown = [key for key in given if key not in self.options]
        if unknown:
            known = ", ".join(self.options) or "none"
            message = f"sampling has no option {unknown[0]!r}; there are {known}"
            raise ValueError(f"{self.title}: {message}")
        return {key: parse(key, text, self.options[key]) for key, text in given.items()}

    def start_from(self, other: Any) -> None:
        """Begin with the weights of another task."""
        message = "this model cannot be fine-tuned; train it from its own start"
        raise RunError(f"{self.title}: {message}")

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Rows of metrics on the data set `name`: this model's, then floor and baselines."""
        raise NotImplementedError

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        """Write images into a folder; their names and what they show."""
        raise NotImplementedError


def in_batches(images: Any, size: int = 500) -> Iterator[Any]:
    return (images[start : start + size] for start in range(0, len(images), size))
