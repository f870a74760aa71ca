"""PyTorch with its models compiled (torch.compile), and fused Adam. Needs a C++ compiler."""

from __future__ import annotations

import numpy as np
import torch

from . import torch_eager


class Contender(torch_eager.Contender):
    def __init__(self, name: str, weights: dict[str, np.ndarray]) -> None:
        super().__init__(name, weights, {"fused": True})
        work = self.work
        if isinstance(work, torch_eager.GANStep):
            work.generator, work.discriminator = (
                torch.compile(work.generator),
                torch.compile(work.discriminator),
            )
        else:
            work.model = torch.compile(work.model)
