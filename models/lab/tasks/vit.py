"""Training a ViT, fine-tuning one, and showing where it looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...vision.vit import ViT, ViTConfig, fine_tune, rollout
from ..report.images import grid, heat, write_png
from .images import ClassifierSettings, ImageClassifier, ImageTraining


@dataclass(frozen=True)
class ViTTraining(ImageTraining):
    """How a ViT is trained."""

    lr: float = 2e-3
    weight_decay: float = 0.05
    freeze: str = (
        ""  # what stays as it is: beginnings of parameters' names, with commas between them
    )


@dataclass(frozen=True)
class ViTSettings(ClassifierSettings):
    """A ViT and its training."""

    model: ViTConfig = field(default_factory=ViTConfig)
    training: ViTTraining = field(default_factory=ViTTraining)


PRESETS = {
    "tiny": ViTSettings(
        ViTConfig(
            patch_size=4,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
        ),
        ViTTraining(steps=200, batch_size=16, warmup_steps=10),
    ),
    "digits": ViTSettings(),
    "mnist": ViTSettings(
        ViTConfig(image_size=(28, 28), patch_size=4, num_hidden_layers=6, intermediate_size=256),
        ViTTraining(steps=6000, warmup_steps=500, shift=2, ema_decay=0.999),
    ),
}


class ViTClassifier(ImageClassifier):
    """The training of a ViT."""

    presets = PRESETS
    title = "ViT"

    def __init__(self, settings: ViTSettings, training: Any, *, rng: np.random.Generator) -> None:
        self.vit = model = ViT(settings.model, rng=rng)
        beginnings = tuple(filter(None, settings.training.freeze.split(",")))
        names = [name for name, _ in model.named_parameters()]
        for beginning in beginnings:
            if not any(name.startswith(beginning) for name in names):
                raise ValueError(
                    f"freeze: no parameter's name begins with {beginning!r}; there are {', '.join(names)}"
                )
        for name, weight in model.named_parameters():
            weight.requires_grad = not name.startswith(beginnings) if beginnings else True
        super().__init__(model, settings, training, rng=rng)

    def start_from(self, other: ViTClassifier) -> None:
        """Fine-tuning: begin with another task's averaged weights."""
        fine_tune(self.vit, other.learner.ema.state_dict(), other.vit.grid)
        self.learner.ema.load_state_dict(self.model.state_dict())

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        images = np.random.default_rng(6).permutation(test.images)[:10]
        with self.learner.ema_weights() as model:
            maps = model.attention_maps(images)
        rows, columns = self.vit.grid
        seen = rollout(maps).reshape(-1, rows, columns)
        heads = maps[-1, :, :, 0, 1:].reshape(len(images), -1, rows, columns)  # (B, heads, h, w)
        layers = [
            np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images,
            heat(images, seen),
        ]
        layers += [heat(images, heads[:, head]) for head in range(heads.shape[1])]
        write_png(folder / "attention.png", grid(np.concatenate(layers), len(images)))
        told = "Where the class token looks: the picture, attention rollout through all blocks, each head of the last block"
        return [("attention.png", told), *super().show(folder, training, test)]
