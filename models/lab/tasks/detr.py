"""Training a DETR, and showing where its queries look."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...vision.detr import DETR, DETRConfig
from ...vision.resnet import ResNetConfig
from ..report.images import grid, heat, with_boxes, write_png
from .detection import THRESHOLD, Detection, DetectionSettings, DetectionTraining
from .scenes import TINY, TINY_TRAINING, SceneConfig

SHOWN = 6  # queries of a scene


@dataclass(frozen=True)
class DETRSettings(DetectionSettings):
    """A DETR, its training and its scenes."""

    model: DETRConfig = field(default_factory=DETRConfig)


PRESETS = {
    "tiny": DETRSettings(
        DETRConfig(
            num_queries=4,
            backbone_config=ResNetConfig(embedding_size=4, hidden_sizes=(4, 8)),
            d_model=8,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
        ),
        DetectionTraining(**TINY_TRAINING),
        TINY,
    ),
    "captions": DETRSettings(  # of the judge of captioned scenes
        DETRConfig(
            num_queries=6,
            backbone_config=ResNetConfig(hidden_sizes=(24, 48)),
            d_model=48,
            decoder_layers=2,
            encoder_ffn_dim=96,
            decoder_ffn_dim=96,
        ),
        DetectionTraining(steps=12_000, lr=1.5e-3),
        SceneConfig(
            canvas=24,
            smallest=24,
            digits=3,
            digit=(7, 13),
            fragments=2,
            fragment=4,
        ),
    ),
    "digits": DETRSettings(training=DetectionTraining(steps=40_000, lr=1.5e-3)),
}


class DETRDetection(Detection):
    """The training of a DETR."""

    presets = PRESETS
    title = "DETR"
    settings: DETRSettings

    def __init__(self, settings: DETRSettings, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(DETR(settings.model, rng=rng), settings, training, rng=rng)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        scenes = self.held_out(test, 4)
        with self.learner.ema_weights() as model:
            maps = model.attention_maps(scenes.images, scenes.mask)  # (B, Q, h, w)
        count = min(SHOWN, self.settings.model.num_queries)
        images = []
        predictions = self.predictions(scenes)
        for image, predicted, attention in zip(scenes.images, predictions, maps, strict=True):
            for query in np.argsort(-predicted.scores)[:count]:
                warm = heat(image[None], attention[query][None])[0]
                likely = predicted.scores[query] > THRESHOLD
                images.append(with_boxes(warm, predicted[[query] if likely else []]))
        write_png(folder / "queries.png", grid(np.stack(images), count, scale=1))
        caption = (
            "Where the six surest queries of each scene look, in the last decoder layer, "
            f"and the boxes of those above {THRESHOLD:g}"
        )
        return [*super().show(folder, training, test), ("queries.png", caption)]
