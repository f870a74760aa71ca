"""Models that generate images."""

from .gan import Discriminator, GANConfig, Generator

__all__ = ["Discriminator", "GANConfig", "Generator"]
