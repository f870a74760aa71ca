"""Models that classify images, find objects in them, and segment them."""

from .vit import ViT, ViTConfig

__all__ = ["ViT", "ViTConfig"]
