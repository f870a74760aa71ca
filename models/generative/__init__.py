"""Models that generate images."""

from .cgan import ConditionalGANConfig, ConditionalGenerator, ProjectionDiscriminator
from .cyclegan import CycleDiscriminators, CycleGANConfig, CycleGenerators
from .ddpm import DDPM, DDPMConfig
from .gan import Discriminator, GANConfig, Generator
from .pix2pix import PatchDiscriminator, Pix2PixConfig, Pix2PixGenerator
from .pixel_rnn import PixelRNN, PixelRNNConfig
from .text_gan import TextDiscriminator, TextGANConfig, TextGenerator
from .vae import VAE, VAEConfig

__all__ = [
    "DDPM",
    "VAE",
    "ConditionalGANConfig",
    "ConditionalGenerator",
    "CycleDiscriminators",
    "CycleGANConfig",
    "CycleGenerators",
    "DDPMConfig",
    "Discriminator",
    "GANConfig",
    "Generator",
    "PatchDiscriminator",
    "Pix2PixConfig",
    "Pix2PixGenerator",
    "PixelRNN",
    "PixelRNNConfig",
    "ProjectionDiscriminator",
    "TextDiscriminator",
    "TextGANConfig",
    "TextGenerator",
    "VAEConfig",
]
