"""What can be trained: a model, its optimisers and its batches, one step at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tinygrad_cv import optim

from ..config import Config
from .errors import RunError
from .progress import progress_bar
from .settings import Settings, with_words


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
    draws: ClassVar[str] = ""  # "images" or "text" if `sample` draws any
    options: ClassVar[Config] = Config()  # of `sample`
    memory: ClassVar[tuple[str, ...]] = ()  # parts that are neither weights nor optimisers
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
        """Options of `sample`, of which some are given as text.

        Raises ValueError for a name or a value that does not fit.
        """
        return asdict(with_words(self.options, given))

    def start_from(self, other: Any) -> None:
        """Begin with the weights of another task of this kind, and with their averages.

        Raises RunError if they have other shapes.
        """
        for name, part in self.parts.items():
            if isinstance(part, optim.Optimizer) or name in self.memory:
                continue
            try:
                part.load_state_dict(other.parts[name].state_dict())
            except (ValueError, KeyError) as error:
                message = f"the other weights do not fit this model: {error}"
                raise RunError(f"{self.title}: {message}") from None

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        """Rows of metrics on the data set `name`: this model's, then floor and baselines."""
        raise NotImplementedError

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        """Write images into a folder; their names and what they show."""
        raise NotImplementedError


def in_batches(images: Any, size: int = 500, what: str = "measuring") -> Iterator[Any]:
    """Parts of images, or of what has a length and slices, one after the other, under a bar."""
    with progress_bar(len(images), what, passing=True) as bar:
        for start in range(0, len(images), size):
            part = images[start : start + size]
            yield part
            bar.update(len(part))
