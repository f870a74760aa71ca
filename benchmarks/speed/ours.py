"""tinygrad_cv, as its user would write it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import tinygrad_cv as tg
from models.vit import ViT, ViTConfig
from tinygrad_cv import kernels, nn, optim
from tinygrad_cv.memory import keep_freed_memory

from .workloads import WORKLOADS, GANSizes, RecurrentSizes, ViTSizes, batches


def dense(sizes: tuple[int, ...], norm: bool, between: Any, last: list[nn.Module], rng: np.random.Generator) -> nn.Module:
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs, rng=rng))
        if i < len(sizes) - 2:
            layers += [*([nn.BatchNorm1d(outputs)] if norm else []), between()]
    return nn.Sequential(*layers, *last)


class GANStep:
    def __init__(self, sizes: GANSizes, rng: np.random.Generator) -> None:
        generator = dense(sizes.generator, sizes.norm, nn.ReLU, [nn.Sigmoid()], rng)
        discriminator = dense(sizes.discriminator, False, lambda: nn.LeakyReLU(0.2), [], rng)
        self.model = nn.ModuleList([generator, discriminator])
        self.generator, self.discriminator = generator, discriminator
        self.optimizers = [optim.Adam(part.parameters(), 1e-3) for part in (generator, discriminator)]

    def step(self, real: Any, noise_d: Any, noise_g: Any) -> float:
        with tg.no_grad():
            fake = self.generator(tg.Tensor(noise_d))
        on_real, on_fake = self.discriminator(tg.Tensor(real)), self.discriminator(fake)
        loss = kernels.bce_with_logits(on_real, 1.0) + kernels.bce_with_logits(on_fake, 0.0)
        self.optimizers[1].zero_grad()
        loss.backward()
        self.optimizers[1].step()
        self.discriminator.requires_grad_(False)
        pushed = kernels.bce_with_logits(self.discriminator(self.generator(tg.Tensor(noise_g))), 1.0)
        self.discriminator.requires_grad_(True)
        self.optimizers[0].zero_grad()
        pushed.backward()
        self.optimizers[0].step()
        return float(loss.item() + pushed.item())


class SupervisedStep:
    """A model with logits and targets."""

    def __init__(self, model: Any) -> None:
        self.model, self.optimizer = model, optim.Adam(model.parameters(), 1e-3)

    def step(self, inputs: Any, targets: Any) -> float:
        loss = kernels.cross_entropy(self.model(inputs), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.item())


class CharacterModel(nn.Module):
    def __init__(self, sizes: RecurrentSizes, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(sizes.characters, sizes.inputs, rng=rng)
        self.recurrent = getattr(nn, sizes.cell)(sizes.inputs, sizes.hidden, rng=rng)
        self.head = nn.Linear(sizes.hidden, sizes.characters, rng=rng)

    def forward(self, characters: Any) -> Any:
        return self.head(self.recurrent(self.embedding(characters))[0])


class Contender:
    """One workload, ready to step."""

    def __init__(self, name: str, weights: dict[str, np.ndarray] | None = None) -> None:
        keep_freed_memory()
        sizes, rng = WORKLOADS[name], np.random.default_rng(1)
        if isinstance(sizes, GANSizes):
            self.work: Any = GANStep(sizes, rng)
        elif isinstance(sizes, ViTSizes):
            config = ViTConfig(
                sizes.shape, sizes.classes, sizes.patch, sizes.dimension, sizes.depth, sizes.heads, 4 * sizes.dimension,
                "none", stochastic_depth=0.0,
            )  # fmt: skip
            self.work = SupervisedStep(ViT(config, rng=rng))
        else:
            self.work = SupervisedStep(CharacterModel(sizes, rng))
        if weights is not None:
            self.work.model.load_state_dict(weights)
        self.batches = batches(name)

    def weights(self) -> dict[str, np.ndarray]:
        return {n: a.copy() for n, a in self.work.model.state_dict().items()}

    def step(self, i: int) -> float:
        return float(self.work.step(*self.batches[i % len(self.batches)]))
