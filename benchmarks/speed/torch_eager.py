"""PyTorch in its eager mode, as an expert writes it: fused attention, gradients set to None, whole recurrent layers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .workloads import WORKLOADS, GANSizes, RecurrentSizes, ViTSizes, batches


def dense(sizes: tuple[int, ...], norm: bool, between: Any, last: list[Any]) -> Any:
    layers: list[Any] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs))
        if i < len(sizes) - 2:
            layers += [*([nn.BatchNorm1d(outputs)] if norm else []), between()]
    return nn.Sequential(*layers, *last)


class GANStep:
    def __init__(self, sizes: GANSizes, adam: dict[str, Any]) -> None:
        self.generator = dense(sizes.generator, sizes.norm, nn.ReLU, [nn.Sigmoid()])
        self.discriminator = dense(sizes.discriminator, False, lambda: nn.LeakyReLU(0.2), [])
        self.model = nn.ModuleList([self.generator, self.discriminator])
        self.optimizers = [torch.optim.Adam(p.parameters(), 1e-3, **adam) for p in (self.generator, self.discriminator)]
        self.ones, self.zeros = torch.ones(sizes.batch, 1), torch.zeros(sizes.batch, 1)

    def step(self, real: Any, noise_d: Any, noise_g: Any) -> float:
        loss_of = F.binary_cross_entropy_with_logits
        with torch.no_grad():
            fake = self.generator(noise_d)
        loss = loss_of(self.discriminator(real), self.ones) + loss_of(self.discriminator(fake), self.zeros)
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
    def __init__(self, model: Any, adam: dict[str, Any]) -> None:
        self.model, self.optimizer = model, torch.optim.Adam(model.parameters(), 1e-3, **adam)

    def step(self, inputs: Any, targets: Any) -> float:
        logits = self.model(inputs)
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.item())


class CharacterModel(nn.Module):  # type: ignore[misc]
    def __init__(self, sizes: RecurrentSizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.characters, sizes.inputs)
        self.recurrent = getattr(nn, sizes.cell)(sizes.inputs, sizes.hidden)
        self.head = nn.Linear(sizes.hidden, sizes.characters)

    def forward(self, characters: Any) -> Any:
        return self.head(self.recurrent(self.embedding(characters))[0])


class Attention(nn.Module):  # type: ignore[misc]
    def __init__(self, dimension: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dimension, dimension))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * dimension))
        self.out_proj = nn.Linear(dimension, dimension)

    def forward(self, x: Any) -> Any:
        b, t, d = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        heads = F.scaled_dot_product_attention(*qkv.unbind(0))  # (B, heads, T, D / heads)
        return self.out_proj(heads.transpose(1, 2).reshape(b, t, d))


class Block(nn.Module):  # type: ignore[misc]
    def __init__(self, sizes: ViTSizes) -> None:
        super().__init__()
        d = sizes.dimension
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.attention = Attention(d, sizes.heads)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Identity(), nn.Linear(4 * d, d))

    def forward(self, z: Any) -> Any:
        z = z + self.attention(self.norm1(z))
        return z + self.mlp(self.norm2(z))


class ViT(nn.Module):  # type: ignore[misc]
    def __init__(self, sizes: ViTSizes) -> None:
        super().__init__()
        self.patch, d = sizes.patch, sizes.dimension
        rows, columns = sizes.shape[0] // sizes.patch, sizes.shape[1] // sizes.patch
        self.patch_embed = nn.Linear(sizes.patch**2 * int(np.prod(sizes.shape[2:])), d)
        self.class_token = nn.Parameter(torch.empty(1, 1, d))
        self.position_embedding = nn.Parameter(torch.empty(1, 1 + rows * columns, d))
        self.blocks = nn.ModuleList([Block(sizes) for _ in range(sizes.depth)])
        self.norm, self.head = nn.LayerNorm(d, eps=1e-6), nn.Linear(d, sizes.classes)

    def forward(self, images: Any) -> Any:
        b, h, w = images.shape[:3]
        p = self.patch
        blocks = images.reshape(b, h // p, p, w // p, p, -1).transpose(2, 3)
        tokens = self.patch_embed(blocks.reshape(b, (h // p) * (w // p), -1))
        z = torch.cat([self.class_token.expand(b, -1, -1), tokens], dim=1) + self.position_embedding
        for block in self.blocks:
            z = block(z)
        return self.head(self.norm(z[:, 0]))


class Contender:
    """One workload, ready to step; `fused` takes PyTorch's fused Adam."""

    def __init__(self, name: str, weights: dict[str, np.ndarray], fused: bool = False) -> None:
        sizes, adam = WORKLOADS[name], {"fused": True} if fused else {}
        if isinstance(sizes, GANSizes):
            self.work: Any = GANStep(sizes, adam)
        else:
            model = ViT(sizes) if isinstance(sizes, ViTSizes) else CharacterModel(sizes)
            self.work = SupervisedStep(model, adam)
        self.work.model.load_state_dict({n: torch.from_numpy(np.array(a)) for n, a in weights.items()})
        self.batches = [tuple(map(torch.from_numpy, batch)) for batch in batches(name)]

    def step(self, i: int) -> float:
        return float(self.work.step(*self.batches[i % len(self.batches)]))
