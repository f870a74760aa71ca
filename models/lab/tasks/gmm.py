"""Fitting mixtures of Gaussians by EM, also to images without a label or with missing pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ...classical.gmm import UNKNOWN, GMMConfig, ImageMixture
from ...config import Config, NonNegative
from ..report.images import grid, write_png
from .em import EMSettings, EMTask, EMTraining
from .images import draw_inpainted


@dataclass(frozen=True)
class GMMData(Config):
    """What the mixture gets to see of its training images."""

    labelled: NonNegative = 0  # images that keep their label, as many of each class; 0: all
    missing: Annotated[float, 0, 0.99] = 0.0  # share of the pixels that are missing, at random


@dataclass(frozen=True)
class GMMSettings(EMSettings):
    """Mixtures of Gaussians, and what they are fitted to."""

    model: GMMConfig = field(default_factory=GMMConfig)
    training: EMTraining = field(default_factory=EMTraining)
    data: GMMData = field(default_factory=GMMData)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        classes, labelled = self.model.num_classes, self.data.labelled
        if 0 < labelled < classes:
            raise ValueError(f"data.labelled={labelled}: each of the {classes} classes needs one")
        if labelled and not classes:
            raise ValueError(f"data.labelled={labelled}: the images have no classes")
        if self.data.missing and self.model.principal_components:
            raise ValueError(
                f"data.missing={self.data.missing}: images with missing pixels have no principal "
                "components; take model.principal_components=0"
            )


PRESETS = {
    "tiny": GMMSettings(GMMConfig(num_components=1, covariance="diag"), EMTraining(steps=20)),
    "digits": GMMSettings(),
    "mnist": GMMSettings(
        GMMConfig(image_size=(28, 28), num_components=8, floor=0.1, principal_components=50),
    ),
}


class GMMTask(EMTask):
    """The fitting of mixtures."""

    presets = PRESETS
    title = "Gaussian mixture"

    settings: GMMSettings
    model: ImageMixture

    def __init__(self, settings: GMMSettings, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(ImageMixture(settings.model, rng=rng), settings, training, rng=rng)
        if training is None:
            return
        labelled, missing = settings.data.labelled, settings.data.missing
        if labelled:
            each = labelled // settings.model.num_classes
            self.labels = some_labels(self.labels, each, rng=rng)
        if missing:
            hidden = rng.random(self.images.shape) < missing
            self.images = np.where(hidden, np.float32(np.nan), self.images)

    def inpaint(
        self, images: np.ndarray, known: np.ndarray, *, rng: np.random.Generator
    ) -> np.ndarray:
        """Images (N, H, W[, C]) whose pixels that are not known (N, H, W) are drawn."""
        return self.model.inpaint(images, known, rng=rng)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        rng = np.random.default_rng(4)
        captions = super().show(folder, training, test)
        alive = self.model.mixture.weights > 0
        columns = self.settings.model.num_components
        means = self.model.means()[alive]
        write_png(folder / "means.png", grid(means, columns if columns > 4 else 5 * columns))
        captions.insert(0, ("means.png", "The means of the Gaussians, class by class"))
        captions += self.show_classes(folder, rng)
        if not self.settings.model.principal_components:
            images = rng.permutation(test.images)[:10]
            write_png(folder / "inpainted.png", grid(draw_inpainted(self, images, rng), 10))
            filled = "Missing pixels: the image, what was left of it, three ways to fill it"
            captions.append(("inpainted.png", filled))
        return captions


def some_labels(labels: np.ndarray, each: int, *, rng: np.random.Generator) -> np.ndarray:
    """Labels (N,) of which so many of each class are kept, chosen at random; UNKNOWN elsewhere."""
    order = rng.permutation(len(labels))
    kept = np.full(len(labels), UNKNOWN)
    for label in np.unique(labels):
        members = order[labels[order] == label][:each]
        kept[members] = label
    return kept
