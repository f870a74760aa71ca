"""Models that classify images, find objects in them, and segment them."""

from .detr import DETR, DETRConfig
from .mlp import MLP, MLPConfig
from .resnet import ResNet, ResNetConfig
from .segmenter import Segmenter, SegmenterConfig
from .vit import ViT, ViTConfig
from .yolos import YOLOS, YOLOSConfig

__all__ = [
    "DETR",
    "MLP",
    "YOLOS",
    "DETRConfig",
    "MLPConfig",
    "ResNet",
    "ResNetConfig",
    "Segmenter",
    "SegmenterConfig",
    "ViT",
    "ViTConfig",
    "YOLOSConfig",
]
