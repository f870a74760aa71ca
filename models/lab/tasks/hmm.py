"""Fitting hidden Markov models to the rows of images by EM."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...classical.hmm import RowHMM, RowHMMConfig
from ..report.images import grid, in_colour, paint, write_png
from .em import EMSettings, EMTask, EMTraining

DARKEST = 0.25  # light of a dark pixel in the colour of a state


@dataclass(frozen=True)
class HMMSettings(EMSettings):
    """Hidden Markov models of rows, and their training."""

    model: RowHMMConfig = field(default_factory=RowHMMConfig)
    training: EMTraining = field(default_factory=EMTraining)


PRESETS = {
    "tiny": HMMSettings(
        RowHMMConfig(num_states=2, segments=2, covariance="diag"), EMTraining(steps=20)
    ),
    "digits": HMMSettings(),
    "mnist": HMMSettings(RowHMMConfig(image_size=(28, 28), num_states=28, segments=14, floor=0.2)),
}


class HMMTask(EMTask):
    """The fitting of hidden Markov models."""

    presets = PRESETS
    title = "HMM that reads rows"

    settings: HMMSettings
    model: RowHMM

    def __init__(self, settings: HMMSettings, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(RowHMM(settings.model, rng=rng), settings, training, rng=rng)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        rng = np.random.default_rng(4)
        captions = super().show(folder, training, test)
        images, states = self.decoded(test, rng)
        light = DARKEST + (1 - DARKEST) * in_colour(images)
        write_png(folder / "states.png", grid(light * paint(images, states), 10))
        caption = "Test images, each row in the colour of its most probable state (some share one)"
        captions.insert(0, ("states.png", caption))
        write_png(folder / "transitions.png", grid(self.transitions(), 5, gap=2))
        matrices = "From which state (down) to which (across), a matrix for each class"
        captions.append(("transitions.png", matrices))
        captions += self.show_classes(folder, rng)
        return captions

    def transitions(self) -> np.ndarray:
        """The matrices of the first ten classes, (C, S, S), the more probable the lighter."""
        return np.stack([model.transition for model in list(self.model.models)[:10]])

    def decoded(self, test: Any, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Grey test images of the first ten classes, (N, H, W), and a state for each pixel."""
        grey = test.images if test.images.ndim == 3 else test.images.mean(axis=-1)
        order = rng.permutation(len(grey))
        labels = np.zeros(len(grey), int)
        if self.settings.model.num_classes:
            labels = test.labels
        images, states = [], []
        for label, model in enumerate(list(self.model.models)[:10]):
            some = order[labels[order] == label][:10]
            if not len(some):
                continue
            path, _ = model.decode(self.model.rows(test.images[some]))
            images.append(grey[some])
            states.append(np.broadcast_to(path[:, :, None], grey[some].shape) % 10)
        return np.concatenate(images), np.concatenate(states)
