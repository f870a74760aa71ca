"""Training a multilayer perceptron, which classifies images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...vision.mlp import MLP, MLPConfig
from .images import ClassifierSettings, ImageClassifier, ImageTraining


@dataclass(frozen=True)
class MLPSettings(ClassifierSettings):
    """The network and its training."""

    model: MLPConfig = field(default_factory=MLPConfig)
    training: ImageTraining = field(default_factory=ImageTraining)


class MLPClassifier(ImageClassifier):
    """The training of a multilayer perceptron."""

    title = "Multilayer perceptron"
    presets: ClassVar = {
        "tiny": MLPSettings(MLPConfig(hidden_sizes=(8,)), ImageTraining(steps=200, batch_size=16)),
        "digits": MLPSettings(training=ImageTraining(weight_decay=0.1)),
        "mnist": MLPSettings(
            MLPConfig(image_size=(28, 28), hidden_sizes=(500, 500)),
            ImageTraining(steps=10_000, weight_decay=0.1, shift=2),
        ),
    }

    def __init__(self, settings: MLPSettings, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(MLP(settings.model, rng=rng), settings, training, rng=rng)
