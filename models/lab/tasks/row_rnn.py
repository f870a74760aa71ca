"""Training an RNN that reads the rows of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...sequence.rnn import RowRNN, RowRNNConfig
from .gradients import GRADIENTS, plot_gradient_norms
from .images import ImageClassifier

ROW_PRESETS = {
    "tiny": RowRNNConfig(hidden=8, bidirectional=False, steps=200, batch=16, warm_up=10),
    "digits": RowRNNConfig(),
    "mnist": RowRNNConfig((28, 28), shift=2, steps=6000),
}


class RowRNNClassifier(ImageClassifier):
    """The training of a network that reads rows."""

    presets = ROW_PRESETS
    title = "RNN that reads rows"

    def __init__(self, config: RowRNNConfig, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(RowRNN(config, rng=rng), config, training, rng=rng)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        plot_gradient_norms(folder / "gradients.png", rng=np.random.default_rng(0))
        return [*super().show(folder, training, test), GRADIENTS]
