"""Training a YOLOS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...vision.yolos import YOLOS, YOLOSConfig
from .detection import Detection, DetectorConfig
from .scenes import TINY


@dataclass(frozen=True)
class YOLOSDetectionConfig(YOLOSConfig, DetectorConfig):
    """A YOLOS, its scenes and its training."""


PRESETS: Mapping[str, YOLOSDetectionConfig] = {
    "tiny": YOLOSDetectionConfig(
        **TINY,
        queries=4,
        patch_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    ),
    "digits": YOLOSDetectionConfig(num_hidden_layers=6, steps=16_000, rate=2e-3),
}


class YOLOSDetection(Detection):
    """The training of a YOLOS."""

    presets = PRESETS
    title = "YOLOS"

    def __init__(self, config: YOLOSDetectionConfig, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(YOLOS(config, rng=rng), config, training, rng=rng)
