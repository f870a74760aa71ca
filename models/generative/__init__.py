"""Models that generate images."""

from .ddpm import DDPM, DDPMConfig
from .gan import Discriminator, GANConfig, Generator

__all__ = ["DDPM", "DDPMConfig", "Discriminator", "GANConfig", "Generator"]
