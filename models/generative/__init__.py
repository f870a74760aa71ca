"""Models that generate images."""

from .cgan import ConditionalGANConfig, ConditionalGenerator, ProjectionDiscriminator
from .ddpm import DDPM, DDPMConfig
from .gan import Discriminator, GANConfig, Generator
from .pixel_rnn import PixelRNN, PixelRNNConfig

__all__ = [
    "DDPM",
    "ConditionalGANConfig",
    "ConditionalGenerator",
    "DDPMConfig",
    "Discriminator",
    "GANConfig",
    "Generator",
    "PixelRNN",
    "PixelRNNConfig",
    "ProjectionDiscriminator",
]
