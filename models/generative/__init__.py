"""Models that generate images."""

from .ddpm import DDPM, DDPMConfig
from .gan import Discriminator, GANConfig, Generator
from .pixel_rnn import PixelRNN, PixelRNNConfig

__all__ = [
    "DDPM",
    "DDPMConfig",
    "Discriminator",
    "GANConfig",
    "Generator",
    "PixelRNN",
    "PixelRNNConfig",
]
