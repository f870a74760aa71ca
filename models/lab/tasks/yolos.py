"""Training a YOLOS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...vision.yolos import YOLOS, YOLOSConfig
from .detection import Detection, DetectionSettings, DetectionTraining
from .scenes import TINY, TINY_TRAINING


@dataclass(frozen=True)
class YOLOSSettings(DetectionSettings):
    """A YOLOS, its training and its scenes."""

    queries: ClassVar = "num_detection_tokens"

    model: YOLOSConfig = field(default_factory=YOLOSConfig)


PRESETS = {
    "tiny": YOLOSSettings(
        YOLOSConfig(
            num_detection_tokens=4,
            image_size=(24, 24),
            patch_size=8,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
        ),
        DetectionTraining(**TINY_TRAINING),
        TINY,
    ),
    "digits": YOLOSSettings(
        YOLOSConfig(num_hidden_layers=6),
        DetectionTraining(steps=16_000, lr=2e-3),
    ),
}


class YOLOSDetection(Detection):
    """The training of a YOLOS."""

    presets = PRESETS
    title = "YOLOS"

    def __init__(self, settings: YOLOSSettings, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(YOLOS(settings.model, rng=rng), settings, training, rng=rng)
