"""PyTorch in its eager mode, as an expert writes it.

Fused attention, gradients set to None, whole recurrent layers.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .contenders import CORES
from .torch_unet import Attention, UNet
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

Options = dict[str, Any]  # of Adam


def dense(sizes: tuple[int, ...], norm: bool, between: Any, last: list[Any]) -> Any:
    layers: list[Any] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if i < len(sizes) - 2:
            layers += [*([nn.BatchNorm1d(outputs)] if norm else []), between()]
    return nn.Sequential(*layers, *last)


class GANStep:
    def __init__(self, sizes: GANSizes, adam: Options) -> None:
        self.generator = dense(sizes.generator_sizes, sizes.norm, nn.ReLU, [nn.Sigmoid()])
        self.discriminator = dense(sizes.discriminator_sizes, False, lambda: nn.LeakyReLU(0.2), [])
        self.model = nn.ModuleList([self.generator, self.discriminator])
        self.optimizers = [
            torch.optim.Adam(p.parameters(), RATE, **adam)
            for p in (self.generator, self.discriminator)
        ]
        self.ones, self.zeros = torch.ones(sizes.batch, 1), torch.zeros(sizes.batch, 1)

    def step(self, real: Any, noise_d: Any, noise_g: Any) -> float:
        loss_of = F.binary_cross_entropy_with_logits
        with torch.no_grad():
            fake = self.generator(noise_d)
        loss = loss_of(self.discriminator(real), self.ones) + loss_of(
            self.discriminator(fake), self.zeros
        )
        self.optimizers[1].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[1].step()
        self.discriminator.requires_grad_(False)
        pushed = loss_of(self.discriminator(self.generator(noise_g)), self.ones)
        self.discriminator.requires_grad_(True)
        self.optimizers[0].zero_grad(set_to_none=True)
        pushed.backward()
        self.optimizers[0].step()
        return float(loss.item() + pushed.item())


class SupervisedStep:
    def __init__(self, model: Any, adam: Options, loss: Any) -> None:
        self.model, self.loss, self.optimizer = (
            model,
            loss,
            torch.optim.Adam(model.parameters(), RATE, **adam),
        )

    def step(self, *batch: Any) -> float:
        *inputs, targets = batch
        loss = self.loss(self.model(*inputs), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.item())


class Inference:
    def __init__(self, model: Any) -> None:
        self.model = model.eval()

    def step(self, inputs: Any, targets: Any) -> float:
        with torch.inference_mode():
            return float(F.cross_entropy(self.model(inputs), targets).item())


def cross_entropy(logits: Any, targets: Any) -> Any:
    """The mean over all positions of a sequence, or over images."""
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


class CharacterModel(nn.Module):  # type: ignore[misc]
    def __init__(self, sizes: RecurrentSizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.characters, sizes.inputs)
        self.recurrent = getattr(nn, sizes.cell)(sizes.inputs, sizes.hidden_size)
        self.head = nn.Linear(sizes.hidden_size, sizes.characters)

    def forward(self, characters: Any) -> Any:
        return self.head(self.recurrent(self.embedding(characters))[0])


class Block(nn.Module):  # type: ignore[misc]
    def __init__(self, sizes: ViTSizes) -> None:
        super().__init__()
        d = sizes.hidden_size
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.attn = Attention(d, sizes.num_attention_heads)
        layers = {"fc1": nn.Linear(d, 4 * d), "act": nn.GELU(), "fc2": nn.Linear(4 * d, d)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, z: Any) -> Any:
        z = z + self.attn(self.norm1(z))
        return z + self.mlp(self.norm2(z))


class ViT(nn.Module):  # type: ignore[misc]
    def __init__(self, sizes: ViTSizes) -> None:
        super().__init__()
        self.patch_size, d = sizes.patch_size, sizes.hidden_size
        rows, columns = (
            sizes.image_shape[0] // sizes.patch_size,
            sizes.image_shape[1] // sizes.patch_size,
        )
        self.patch_embed = nn.Linear(sizes.patch_size**2 * int(np.prod(sizes.image_shape[2:])), d)
        self.cls_token = nn.Parameter(torch.empty(1, 1, d))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + rows * columns, d))
        self.blocks = nn.ModuleList([Block(sizes) for _ in range(sizes.num_hidden_layers)])
        self.norm, self.head = nn.LayerNorm(d, eps=1e-6), nn.Linear(d, sizes.num_labels)

    def forward(self, images: Any) -> Any:
        b, h, w = images.shape[:3]
        p = self.patch_size
        blocks = images.reshape(b, h // p, p, w // p, p, -1).transpose(2, 3)
        tokens = self.patch_embed(blocks.reshape(b, (h // p) * (w // p), -1))
        z = torch.cat([self.cls_token.expand(b, -1, -1), tokens], dim=1) + self.pos_embed
        for block in self.blocks:
            z = block(z)
        return self.head(self.norm(z[:, 0]))


OPERATIONS: dict[str, Any] = {
    "softmax": lambda x: torch.softmax(x, -1),
    "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "attention": F.scaled_dot_product_attention,
    "group_norm_silu": lambda x, w, b: F.silu(F.group_norm(x, 8, w, b)),
    "conv": lambda x, w, b: F.conv2d(x, w, b, padding=1),
}


class OperationStep:
    def __init__(self, sizes: Operation) -> None:
        self.name = sizes.name
        self.model = nn.Module()
        for i, shape in enumerate(sizes.shapes):
            setattr(self.model, f"x{i}", nn.Parameter(torch.empty(shape)))

    def step(self, given: Any) -> Any:
        for x in (operands := list(self.model.parameters())):
            x.grad = None
        if self.name == "cross_entropy":
            y = F.cross_entropy(*operands, given)
            y.backward()
        else:
            y = OPERATIONS[self.name](*operands)
            y.backward(given)
        return y

    def check(self, given: Any) -> list[float]:
        """Numbers that show whether value and gradients are right."""
        y = self.step(given)
        return fingerprints(
            [y.detach().numpy(), *(x.grad.numpy() for x in self.model.parameters())]
        )


class ChainStep:
    def __init__(self, sizes: Chain) -> None:
        self.model, self.sizes = nn.Module(), sizes
        self.model.a, self.model.b = nn.Parameter(torch.empty(8)), nn.Parameter(torch.empty(8))

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
        gradients = [x.grad.numpy() for x in self.model.parameters()] if self.sizes.backward else []
        return fingerprints([y.detach().numpy(), *gradients])


def build(sizes: Sizes, adam: Options) -> Any:
    """A workload's model with its way to step."""
    match sizes:
        case GANSizes():
            return GANStep(sizes, adam)
        case ViTSizes():
            model = ViT(sizes)
            return (
                SupervisedStep(model, adam, cross_entropy) if sizes.training else Inference(model)
            )
        case UNetSizes():
            return SupervisedStep(UNet(sizes.config), adam, F.mse_loss)
        case RecurrentSizes():
            return SupervisedStep(CharacterModel(sizes), adam, cross_entropy)
        case Operation():
            return OperationStep(sizes)
    return ChainStep(sizes)


class Contender:
    """One workload, ready to step."""

    def __init__(
        self,
        name: str,
        weights: dict[str, np.ndarray],
        adam: Options | None = None,
        threads: int = CORES,
    ) -> None:
        torch.set_num_threads(threads)
        self.work = build(sizes_of(name), adam or {})
        self.work.model.load_state_dict(
            {n: torch.from_numpy(np.array(a)) for n, a in weights.items()}
        )
        self.batches = [tuple(map(torch.from_numpy, batch)) for batch in batches(name)]
        if hasattr(self.work, "check"):
            self.check = lambda: self.work.check(*self.batches[0])

    def step(self, i: int) -> Any:
        return self.work.step(*self.batches[i % len(self.batches)])
