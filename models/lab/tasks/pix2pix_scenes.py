"""Training pix2pix to paint scenes of digits by their label maps.

A label map has the class of the digit that covers each pixel. How bright a digit is, its soft edge
and the clutter around it are not in it: these the generator makes up.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from ...generative.pix2pix import Pix2PixConfig
from ..evaluation.connected import nearest_digit
from ..evaluation.generation import Evaluator
from ..evaluation.scenes import scene_metrics
from ..report.images import grid, paint, write_png
from ..settings import Settings
from .pix2pix import PairedTranslation, Pix2PixTraining
from .scenes import TINY, SceneConfig, Scenes, check_canvas, draw_scenes, scenes


@dataclass(frozen=True)
class ScenePix2PixSettings(Settings):
    """The networks of pix2pix, their training and their scenes. A data set decides the classes."""

    model: Pix2PixConfig
    training: Pix2PixTraining
    data: SceneConfig = field(default_factory=SceneConfig)

    def fitted(self, dataset: Any) -> Self:
        if dataset is None:
            return self
        return replace(self, model=replace(self.model, condition_channels=channels_of(dataset)))

    def check(self, dataset: Any) -> None:
        check_canvas(self.model, self.data)
        if dataset is not None and self.model.condition_channels != channels_of(dataset):
            raise ValueError(
                f"model.condition_channels={self.model.condition_channels}: "
                f"label maps of {dataset.name} have {channels_of(dataset)}"
            )


def channels_of(dataset: Any) -> int:
    """How many channels a label map has: one for each class, and one for “no digit”."""
    return len(dataset.classes) + 1


PRESETS = {
    "tiny": ScenePix2PixSettings(
        Pix2PixConfig(
            image_size=(24, 24),
            condition_channels=11,
            generator_channels=(8, 8),
            discriminator_channels=(8,),
        ),
        Pix2PixTraining(steps=200, batch_size=4),
        TINY,
    ),
    "digits": ScenePix2PixSettings(
        Pix2PixConfig(image_size=(48, 48), condition_channels=11, generator_channels=(16, 32, 64)),
        Pix2PixTraining(steps=4000, batch_size=16, ema_decay=0.998),
    ),
}


class ScenePix2PixTask(PairedTranslation):
    """The training of pix2pix on scenes. `sample` paints the label maps of the last batch."""

    presets = PRESETS
    title = "pix2pix on scenes"
    metrics_help = (
        "L1: mean absolute difference from the scene that has this label map. read: the share of "
        "the digits that look, in their box, most like a training digit of their class. FD: "
        "Fréchet distance of a frozen classifier's features of the digits, from those of the real "
        "scenes; patch FD: of all patches, with what is between the digits. The label maps are "
        "those of scenes of test digits only. “real”: other such scenes. Baseline: white where "
        "there is a digit."
    )

    settings: ScenePix2PixSettings

    def __init__(
        self, settings: ScenePix2PixSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        super().__init__(settings, None, rng=rng)
        if training is not None:
            size = settings.training.batch_size
            self.batches = scenes(training, settings.data, size, rng=rng)

    def label_maps(self, batch: Scenes) -> np.ndarray:
        """A channel for each class, and one for no digit, (B, K + 1, H, W); padding has zeros."""
        classes = np.arange(self.settings.model.condition_channels)
        covered = batch.cover[:, None] == classes[:, None, None]  # (B, K + 1, H, W)
        return np.asarray(covered & batch.mask[:, None], np.float32)

    def next_batch(self) -> tuple[np.ndarray, ...]:
        """Scenes (B, 1, H, W) and their label maps."""
        batch = self.batches.whole()
        self.conditions.arrays["x"] = self.label_maps(batch)
        return batch.images[:, None], self.conditions.arrays["x"]

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        evaluator = Evaluator.load(name)
        classify = nearest_digit(training)
        config, n = self.settings.data, self.settings.data.measured_scenes
        given = draw_scenes(test, config, range(n))
        others = draw_scenes(test, config, range(n, 2 * n))
        painted = self.translate(self.label_maps(given), rng=np.random.default_rng(1))
        white = np.asarray(given.cover < len(test.classes), np.float32)
        size = test.images.shape[1:3]
        rows = []
        for who, images, scene in (
            ("generator", painted, given),
            ("real", others.images, others),
            ("label maps", white, given),
        ):
            metrics = scene_metrics(
                images, scene.objects, given.images, given.objects, size, classify, evaluator
            )
            if scene is given:
                metrics = {"L1": float(np.abs(images - given.images).mean()), **metrics}
            rows.append({"name": who, **metrics})
        return rows

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        given = draw_scenes(test, self.settings.data, range(8))
        maps, rng = self.label_maps(given), np.random.default_rng(4)
        drawn = [paint(self.translate(maps, rng=rng)) for _ in range(2)]
        rows = [paint(np.zeros_like(given.images), given.cover), *drawn, paint(given.images)]
        write_png(folder / "painted.png", grid(np.concatenate(rows), len(given)))
        caption = "Label maps, what was painted by them, twice, and the scenes they are of"
        return [("painted.png", caption)]
