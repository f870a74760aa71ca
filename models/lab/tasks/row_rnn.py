"""Training an RNN that reads the rows of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...config import NonNegative
from ...sequence.rnn import RowRNN, RowRNNConfig
from .gradients import GRADIENTS, plot_gradient_norms
from .images import ClassifierSettings, ImageClassifier, ImageTraining


@dataclass(frozen=True)
class RowRNNTraining(ImageTraining):
    """How a network that reads rows is trained."""

    lr: float = 3e-3
    weight_decay: float = 0.05
    warmup_steps: NonNegative = 100


@dataclass(frozen=True)
class RowRNNSettings(ClassifierSettings):
    """A network that reads rows, and its training."""

    model: RowRNNConfig = field(default_factory=RowRNNConfig)
    training: RowRNNTraining = field(default_factory=RowRNNTraining)


PRESETS = {
    "tiny": RowRNNSettings(
        RowRNNConfig(hidden_size=8, bidirectional=False),
        RowRNNTraining(steps=200, batch_size=16, warmup_steps=10),
    ),
    "digits": RowRNNSettings(),
    "mnist": RowRNNSettings(
        RowRNNConfig(image_size=(28, 28)),
        RowRNNTraining(steps=6000, shift=2),
    ),
}


class RowRNNClassifier(ImageClassifier):
    """The training of a network that reads rows."""

    presets = PRESETS
    title = "RNN that reads rows"

    def __init__(
        self, settings: RowRNNSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        super().__init__(RowRNN(settings.model, rng=rng), settings, training, rng=rng)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        plot_gradient_norms(folder / "gradients.png", rng=np.random.default_rng(0))
        return [*super().show(folder, training, test), GRADIENTS]
