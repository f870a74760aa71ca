"""Training on all cores, or many machines: processes that share each batch and agree on every step.

Every process (a *rank*) runs the ordinary program on its rows of the batch; gradients are averaged over the ranks before
the optimiser's step, batch normalisation takes the statistics of the whole batch, and random numbers are drawn for the
whole batch, of which each rank takes its rows. So losses and gradients are those of one process on the same batch, to
rounding. Two changes make a script parallel, the `with` and the `share`:

    import numpy as np
    from tinygrad_cv import data, kernels, nn, optim, parallel

    digits = data.digits()
    with parallel.workers(2) as team:                          # the block is carried out by two processes
        rng = np.random.default_rng(0)                         # the same on each rank, so all start alike
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32, rng=rng), nn.BatchNorm1d(32), nn.ReLU(),
                              nn.Linear(32, 10, rng=rng))
        optimizer = optim.Adam(model.parameters(), 1e-2)
        for images, labels in data.batches((digits.images, digits.labels), 64, rng=rng, epochs=5):
            loss = kernels.cross_entropy(model(team.share(images)), team.share(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()                                   # averages the gradients
    model.eval()                                               # here there is one process again, with the model

and the same script under `mpiexec -n 4 python script.py` runs on the ranks of MPI. What to keep in mind:

- The loss is a mean over the rows of a batch, and every rank gets as many rows.
- All ranks make the same calls in the same order: what only one is to do (`if team.rank == 0: print(...)`) trains nothing.
- Optimisers are made inside the block: weights then lie in the memory that the ranks have in common, and what is written to
  them is written alike by all.
- Gradients that are looked at before the step (clipping) want `optimizer.average_gradients()` first.
- Draws for a batch go through `team.draw(rng.standard_normal, shape)`; a mean over the batch inside a model through
  `parallel.average`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from .communicator import Communicator, RankError, average, team
from .mpi import launched, mpi
from .processes import cores, processes

__all__ = ["Communicator", "RankError", "average", "cores", "mpi", "processes", "team", "workers"]


@contextmanager
def workers(number: int | Literal["auto"] = "auto") -> Iterator[Communicator]:
    """The block below `with` is carried out by so many processes; "auto": one for each core.

    Under mpiexec they are its ranks, whatever the number. Where processes cannot fork there is one, and a warning.
    """
    if number == "auto":
        number = cores()
    if not launched() and number > 1 and not hasattr(os, "fork"):
        warnings.warn(
            f"this system cannot fork, so there is one process instead of {number}", stacklevel=3
        )
        number = 1
    with mpi() if launched() else processes(number) as ranks:
        yield ranks
