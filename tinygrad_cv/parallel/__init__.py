"""Training on all cores, or many machines: processes that share each batch and agree on every step.

Every process (a *rank*) runs the ordinary program on its rows of the batch. Gradients are averaged
over the ranks before the optimiser's step, batch normalisation takes the statistics of the whole
batch, and random numbers are drawn for the whole batch, of which each rank takes its rows. So
losses and gradients are those of one process on the same batch, to rounding. Two changes make a
script parallel, the `with` and the `shard`:

    import numpy as np
    from tinygrad_cv import data, kernels, nn, optim, parallel

    digits = data.digits()
    with parallel.workers(2) as team:          # two processes run the block
        rng = np.random.default_rng(0)         # the same on each rank, so all start alike
        model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 32, rng=rng),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Linear(32, 10, rng=rng),
        )
        optimizer = optim.Adam(model.parameters(), lr=1e-2)
        batches = data.batches((digits.images, digits.labels), 64, rng=rng, epochs=5)
        for images, labels in batches:
            loss = kernels.cross_entropy(model(team.shard(images)), team.shard(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()                   # averages the gradients
    model.eval()                               # one process again, which has the model

and the same script under `mpiexec -n 4 python script.py` runs on the ranks of MPI. Keep in mind:

- The loss is a mean over the rows of a batch, and every rank gets equally many rows.
- All ranks make the same calls in the same order. A block for one rank only, such as
  `if team.rank == 0: print(...)`, must not train.
- Optimisers are made inside the block: then the weights lie in memory that the ranks share. What
  one rank writes to them, all have to write.
- To look at gradients before the step, or clip them, call `optimizer.average_gradients()` first.
- Draw random numbers for a batch by `team.draw(rng.standard_normal, shape)`; take a mean over the
  batch inside a model by `parallel.average`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ..machine import cores, free_cores
from .communicator import Communicator, RankError, average, team
from .mpi import launched, mpi
from .processes import processes

__all__ = ["Communicator", "RankError", "average", "cores", "mpi", "processes", "team", "workers"]


@contextmanager
def workers(count: int | Literal["auto"] = "auto") -> Iterator[Communicator]:
    """`count` processes run the block below `with`.

    "auto" are as many as cores are free now, at least one, and a power of two, which divides most
    batches; to see what other programs do takes a fifth of a second. Under mpiexec they are its
    ranks, whatever the count. On a system that cannot fork processes there is one, and a warning.
    """
    if count == "auto":
        count = 1 if launched() else 1 << free_cores().bit_length() - 1
    if not launched() and count > 1 and not hasattr(os, "fork"):
        warnings.warn(
            f"this system cannot fork, so there is one process instead of {count}", stacklevel=3
        )
        count = 1
    with mpi() if launched() else processes(count) as ranks:
        yield ranks
