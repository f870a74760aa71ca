"""Models that generate images."""

from .ddpm import DDPM, DDPMConfig
from .gan import Discriminator, GANConfig, Generator
from .pixel_rnn import PixelRNN, PixelRNNConfig
from .vae import VAE, VAEConfig

__all__ = [
    "DDPM",
    "VAE",
    "DDPMConfig",
    "Discriminator",
    "GANConfig",
    "Generator",
    "PixelRNN",
    "PixelRNNConfig",
    "VAEConfig",
]
