"""YOLOS (Fang et al. 2021, arXiv 2106.00666): the Vision Transformer's encoder, as it is, finds objects.

    z_0 = [x_class; x_1 E; ...; x_N E; x_det 1; ...; x_det Q] + E_pos                                          (equation 1)

Learned detection tokens stand behind the patches and go through the same blocks; of each, a class and a box are read as from
DETR's object queries, and DETR's loss teaches them. There is no decoder, hence one prediction and no auxiliary losses.

Deviations, on purpose: the detection tokens bring their positions with them, which is the same thing; padding is a blank part
of the picture, not hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygrad_cv import nn
from tinygrad_cv.nn import init, parameter

from ..config import Fraction
from .detr import MLP
from .vit import Encoder, EncoderConfig


@dataclass(frozen=True)
class YOLOSConfig(EncoderConfig):
    """What makes a YOLOS: the encoder, the size of its pictures, and what it looks for."""

    classes: int = 10
    queries: int = 12  # so many objects can be found at most
    canvas: int = 48  # height and width of the pictures
    patch_size: int = 4
    drop_path_rate: Fraction = 0.0


class YOLOS(Encoder):
    """Pictures to sets: (B, H, W) and their mask -> logits (1, B, Q, K + 1) and boxes (1, B, Q, 4), cxcywh in (0, 1)."""

    def __init__(self, config: YOLOSConfig, *, rng: np.random.Generator) -> None:
        config = replace(config, image_size=(config.canvas, config.canvas))
        super().__init__(config, rng=rng)
        tokens = (1, config.queries, config.hidden_size)
        self.detection_tokens = parameter(init.trunc_normal(tokens, std=0.02, rng=rng))
        self.class_embed = nn.Linear(config.hidden_size, config.classes + 1, rng=rng)
        self.bbox_embed = MLP(config.hidden_size, rng=rng)

    def forward(self, images: Any, mask: np.ndarray) -> tuple[Any, Any]:
        tokens = self.encode(images, self.detection_tokens)
        said = self.norm(tokens[:, -self.detection_tokens.shape[1] :])[None]  # (1, B, Q, D)
        return self.class_embed(said), self.bbox_embed(said)
