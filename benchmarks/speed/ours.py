"""tinygrad_cv, as its user would write it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import tinygrad_cv as tg
from models.generative.unet import UNet
from models.vision.vit import ViT
from tinygrad_cv import kernels, nn, optim
from tinygrad_cv.machine import keep_freed_memory
from tinygrad_cv.nn import parameter

from .workloads import (
    RATE,
    Chain,
    GANSizes,
    Operation,
    RecurrentSizes,
    Sizes,
    UNetSizes,
    ViTSizes,
    batches,
    fingerprints,
    sizes_of,
)  # fmt: skip


def dense(
    sizes: tuple[int, ...],
    norm: bool,
    between: Any,
    last: list[nn.Module],
    rng: np.random.Generator,
) -> nn.Module:
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs, rng=rng))
        if i < len(sizes) - 2:
            layers += [*([nn.BatchNorm1d(outputs)] if norm else []), between()]
    return nn.Sequential(*layers, *last)


class GANStep:
    def __init__(self, sizes: GANSizes, rng: np.random.Generator) -> None:
        generator = dense(sizes.generator_sizes, sizes.norm, nn.ReLU, [nn.Sigmoid()], rng)
        discriminator = dense(sizes.discriminator_sizes, False, lambda: nn.LeakyReLU(0.2), [], rng)
        self.model = nn.ModuleList([generator, discriminator])
        self.generator, self.discriminator = generator, discriminator
        self.optimizers = [
            optim.Adam(part.parameters(), RATE) for part in (generator, discriminator)
        ]

    def step(self, real: Any, noise_d: Any, noise_g: Any) -> float:
        with tg.no_grad():
            fake = self.generator(tg.Tensor(noise_d))
        on_real, on_fake = self.discriminator(tg.Tensor(real)), self.discriminator(fake)
        loss = kernels.bce_with_logits(on_real, 1.0) + kernels.bce_with_logits(on_fake, 0.0)
        self.optimizers[1].zero_grad()
        loss.backward()
        self.optimizers[1].step()
        self.discriminator.requires_grad_(False)
        pushed = kernels.bce_with_logits(
            self.discriminator(self.generator(tg.Tensor(noise_g))), 1.0
        )
        self.discriminator.requires_grad_(True)
        self.optimizers[0].zero_grad()
        pushed.backward()
        self.optimizers[0].step()
        return float(loss.item() + pushed.item())


class SupervisedStep:
    """A model and what it should predict from its inputs: a class, or the noise in an image."""

    def __init__(self, model: nn.Module, loss: Any = kernels.cross_entropy) -> None:
        self.model, self.loss, self.optimizer = model, loss, optim.Adam(model.parameters(), RATE)

    def step(self, *batch: Any) -> float:
        *inputs, targets = batch
        loss = self.loss(self.model(*inputs), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.item())


class Inference:
    """A model in evaluation."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.eval()

    def step(self, inputs: Any, targets: Any) -> float:
        with tg.no_grad():
            return float(kernels.cross_entropy(self.model(inputs), targets).item())


class CharacterModel(nn.Module):
    def __init__(self, sizes: RecurrentSizes, rng: np.random.Generator) -> None:
        self.embedding = nn.Embedding(sizes.characters, sizes.inputs, rng=rng)
        self.recurrent = getattr(nn, sizes.cell)(sizes.inputs, sizes.hidden_size, rng=rng)
        self.head = nn.Linear(sizes.hidden_size, sizes.characters, rng=rng)

    def forward(self, characters: Any) -> Any:
        return self.head(self.recurrent(self.embedding(characters))[0])


OPERATIONS: dict[str, Any] = {
    "softmax": kernels.softmax,
    "layer_norm": kernels.layer_norm,
    "gelu": lambda x: kernels.gelu(x, approximate="none"),
    "gelu_tanh": lambda x: kernels.gelu(x, approximate="tanh"),
    "attention": kernels.attention,
    "group_norm_silu": lambda x, w, b: kernels.silu(kernels.group_norm(x, w, b, groups=8)),
    "conv": lambda x, w, b: kernels.conv2d(x, w, b, padding=1),
}


class OperationStep:
    """A single operation, forward and backward; `model` holds its operands."""

    def __init__(self, sizes: Operation, rng: np.random.Generator) -> None:
        self.name = sizes.name
        self.model = nn.Module()
        for i, shape in enumerate(sizes.shapes):
            setattr(self.model, f"x{i}", parameter(rng.standard_normal(shape, np.float32)))
        self.operands = self.model.parameters

    def step(self, given: Any) -> Any:
        for x in (operands := list(self.operands())):
            x.grad = None
        if self.name == "cross_entropy":
            y = kernels.cross_entropy(*operands, given)
            y.backward()
        else:
            y = OPERATIONS[self.name](*operands)
            y.backward(given)
        return y

    def check(self, given: Any) -> list[float]:
        """Numbers that show whether value and gradients are right."""
        y = self.step(given)
        return fingerprints([y.numpy(), *(x.grad for x in self.operands())])


class ChainStep:
    def __init__(self, sizes: Chain) -> None:
        self.model, self.sizes = nn.Module(), sizes
        self.model.a, self.model.b = (
            parameter(np.linspace(0.999, 1, 8, dtype=np.float32)) for _ in range(2)
        )

    def step(self, given: Any) -> Any:
        self.model.a.grad = self.model.b.grad = None
        y, b = self.model.a, self.model.b
        for _ in range(self.sizes.length):
            y = y * b
        if self.sizes.backward:
            y.backward(given)
        return y

    def check(self, given: Any) -> list[float]:
        y = self.step(given)
        return fingerprints(
            [y.numpy(), *([self.model.a.grad, self.model.b.grad] if self.sizes.backward else [])]
        )


def build(sizes: Sizes, rng: np.random.Generator) -> Any:
    """A workload's model with its way to step."""
    match sizes:
        case GANSizes():
            return GANStep(sizes, rng)
        case ViTSizes():
            model = ViT(sizes.config, rng=rng)
            return SupervisedStep(model) if sizes.training else Inference(model)
        case UNetSizes():
            return SupervisedStep(UNet(sizes.config, rng=rng), kernels.mse)
        case RecurrentSizes():
            return SupervisedStep(CharacterModel(sizes, rng))
        case Operation():
            return OperationStep(sizes, rng)
    return ChainStep(sizes)


class Contender:
    """One workload, ready to step."""

    def __init__(self, name: str, weights: dict[str, np.ndarray] | None = None) -> None:
        keep_freed_memory()
        self.work = build(sizes_of(name), np.random.default_rng(1))
        if weights is not None:
            self.work.model.load_state_dict(weights)
        self.batches = batches(name)
        if hasattr(self.work, "check"):
            self.check = lambda: self.work.check(*self.batches[0])

    def step(self, i: int) -> Any:
        return self.work.step(*self.batches[i % len(self.batches)])


def weights(name: str, *, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Initial weights of a workload.

    Those that begin at 0 are drawn too, lest they hide what lies behind them.
    """
    work = build(sizes_of(name), rng)
    state = {n: a.copy() for n, a in work.model.state_dict().items()}
    for parameter_name, p in work.model.named_parameters():
        if not p.data.any():
            state[parameter_name] = 0.02 * rng.standard_normal(p.shape, np.float32)
    return state
