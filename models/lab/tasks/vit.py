"""Training a ViT, fine-tuning one, and showing where it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...vision.vit import ViT, ViTConfig, fine_tune, rollout
from ..report.images import grid, heat, write_png
from .images import PictureClassifier

PRESETS = {
    "tiny": ViTConfig(patch=4, dimension=8, depth=1, heads=2, hidden=16, steps=200, batch=16, warm_up=10),
    "digits": ViTConfig(),
    "mnist": ViTConfig(patch=4, depth=6, hidden=256, shape=(28, 28), steps=6000, warm_up=500, shift=2, average=0.999),
}


class ViTClassifier(PictureClassifier):
    """The training of a ViT."""

    presets = PRESETS
    title = "ViT"

    def __init__(self, config: ViTConfig, training: Any, *, rng: np.random.Generator) -> None:
        self.vit = model = ViT(config, rng=rng)
        beginnings = tuple(filter(None, config.freeze.split(",")))
        names = [name for name, _ in model.named_parameters()]
        for beginning in beginnings:
            if not any(name.startswith(beginning) for name in names):
                raise ValueError(f"freeze: no parameter's name begins with {beginning!r}; there are {', '.join(names)}")
        for name, weight in model.named_parameters():
            weight.requires_grad = not name.startswith(beginnings) if beginnings else True
        super().__init__(model, config, training, rng=rng)

    def start_from(self, other: ViTClassifier) -> None:
        """Fine-tuning: begin with another task's averaged weights."""
        fine_tune(self.vit, other.learner.average.state_dict(), other.vit.grid)
        self.learner.average.load_state_dict(self.model.state_dict())

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        images = np.random.default_rng(6).permutation(test.images)[:10]
        with self.learner.ema_weights() as model:
            maps = model.attention_maps(images)
        rows, columns = self.vit.grid
        seen = rollout(maps).reshape(-1, rows, columns)
        heads = maps[-1, :, :, 0, 1:].reshape(len(images), -1, rows, columns)  # (B, heads, h, w)
        layers = [np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images, heat(images, seen)]
        layers += [heat(images, heads[:, head]) for head in range(heads.shape[1])]
        write_png(folder / "attention.png", grid(np.concatenate(layers), len(images)))
        told = "Where the class token looks: the picture, attention rollout through all blocks, each head of the last block"
        return [("attention.png", told), *super().show(folder, training, test)]
