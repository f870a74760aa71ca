"""Training a DETR, and showing where its queries look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...vision.detr import DETR, DETRConfig
from ..report.images import grid, heat, with_boxes, write_png
from .detection import SHOWN, Detection, DetectorConfig
from .scenes import TINY


@dataclass(frozen=True)
class DETRDetectionConfig(DETRConfig, DetectorConfig):
    """A DETR, its scenes and its training. The paper's weights the classes by class_weight=1.0."""


PRESETS = {
    "tiny": DETRDetectionConfig(
        **TINY, queries=4, stem=4, widths=(4, 8), heads=2, dimension=8, hidden=16, encoders=1, decoders=2,
    ),
    "digits": DETRDetectionConfig(steps=40_000, rate=1.5e-3),
}  # fmt: skip


class DETRDetection(Detection):
    """The training of a DETR."""

    presets = PRESETS
    title = "DETR"

    def __init__(self, config: DETRDetectionConfig, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(DETR(config, rng=rng), config, training, rng=rng)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        scenes = self.held_out(test, 4)
        with self.learner.ema_weights() as model:
            maps = model.attention_maps(scenes.images, scenes.mask)
        rows = []
        for image, found, looks in zip(scenes.images, self.predictions(scenes), maps, strict=True):
            surest = np.argsort(-found.scores)[:6]
            warm = heat(np.repeat(image[None], len(surest), axis=0), looks[surest])
            rows += [with_boxes(w, found[[i] if found.scores[i] > SHOWN else []]) for w, i in zip(warm, surest, strict=True)]
        write_png(folder / "queries.png", grid(np.stack(rows), len(surest), scale=1))
        told = (
            f"Where the six surest queries of each scene look, in the last decoder layer, and the boxes of those above {SHOWN:g}"
        )
        return [*super().show(folder, training, test), ("queries.png", told)]
