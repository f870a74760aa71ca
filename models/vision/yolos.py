"""YOLOS (Fang et al. 2021, arXiv 2106.00666): the Vision Transformer's encoder detects objects.

    z_0 = [x_class; x_1 E; ...; x_N E; x_det 1; ...; x_det Q] + E_pos               (equation 1)

Learned detection tokens follow the patches through the same blocks. Each of them predicts a class
and a box, as DETR's object queries do, and is trained by DETR's loss. There is no decoder,
hence one prediction and no auxiliary losses.

Deviations, on purpose: the detection tokens bring their positions with them, which is the same
function; padding is a blank part of the image, and is not masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinygrad_cv import nn
from tinygrad_cv.nn import init, parameter
from tinygrad_cv.typing import Array

from ..config import Fraction
from .detr import MLP
from .vit import Encoder, EncoderConfig


@dataclass(frozen=True)
class YOLOSConfig(EncoderConfig):
    """What makes a YOLOS: the encoder, its detection tokens and the classes."""

    model_type: ClassVar = "yolos"

    num_labels: int = 10  # classes; one more is for no object
    num_detection_tokens: int = 12  # at most so many objects are detected
    image_size: tuple[int, int] = (48, 48)
    patch_size: int = 4
    drop_path_rate: Fraction = 0.0


class YOLOS(Encoder):
    """Images to sets of predictions, as from one decoder layer of DETR.

    Images (B, H, W[, C]) and their mask (B, H, W), which is not used -> logits (1, B, Q, K + 1),
    the last class "no object", and boxes (1, B, Q, 4), cxcywh in (0, 1).
    """

    config_class = YOLOSConfig

    def __init__(self, config: YOLOSConfig, *, rng: np.random.Generator) -> None:
        super().__init__(config, rng=rng)
        d, tokens = config.hidden_size, config.num_detection_tokens
        self.detection_tokens = parameter(init.trunc_normal((1, tokens, d), std=0.02, rng=rng))
        self.class_embed = nn.Linear(d, config.num_labels + 1, rng=rng)
        self.bbox_embed = MLP(d, rng=rng)

    def forward(self, images: Array, mask: np.ndarray) -> tuple[Array, Array]:
        _, Q, _ = self.detection_tokens.shape
        tokens = self.encode(images, self.detection_tokens)  # (B, 1 + N + Q, D)
        hidden = self.norm(tokens[:, -Q:])[None]  # (1, B, Q, D)
        return self.class_embed(hidden), self.bbox_embed(hidden)
