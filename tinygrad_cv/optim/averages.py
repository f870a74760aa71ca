"""Moving averages of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike

from ..engine.arguments import real, whole
from ..nn import Module


class ExponentialMovingAverage:
    """A smoothed copy of a module's parameters: average = decay average + (1 - decay) parameter.

    Buffers are copied as they are. `with average.applied():` puts the averages into the module for
    a while.
    """

    def __init__(self, module: Module, decay: float) -> None:
        self.module = module
        self.decay = real("decay", decay, most=1)
        self.averages = {name: array.copy() for name, array in module.state_dict().items()}

    def update(self, step: int | None = None) -> None:
        """Move the averages towards the module's present parameters.

        step: how many updates there were before; if it is given, the decay is at most
            (1 + step) / (10 + step), so that the average soon forgets where it began.
        """
        decay = self.decay
        if step is not None:
            decay = min(decay, (1 + whole("step", step, least=0)) / (10 + step))
        buffers = dict(self.module.named_buffers())
        for name, array in self.module.state_dict().items():
            average = self.averages[name]
            if name in buffers:
                average[...] = array
            else:
                move = np.subtract(array, average)
                move *= 1 - decay
                average += move

    @contextmanager
    def applied(self) -> Iterator[Module]:
        """Inside this context the module has the averages, on this rank alone."""
        parameters = dict(self.module.named_parameters())
        buffers = dict(self.module.named_buffers())
        own_weights = {name: parameter.data for name, parameter in parameters.items()}
        own_buffers = {name: array.copy() for name, array in buffers.items()}
        for name, parameter in parameters.items():
            parameter.data = self.averages[name].copy()
        for name, array in buffers.items():
            array[...] = self.averages[name]
        try:
            yield self.module
        finally:
            for name, parameter in parameters.items():
                parameter.data = own_weights[name]
            for name, array in buffers.items():
                array[...] = own_buffers[name]

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the averages, under the names of the module's `state_dict`."""
        return {name: array.copy() for name, array in self.averages.items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Continue from averages that `state_dict` gave.

        Raises ValueError, before anything changes, if names or shapes are not those of the module.
        """
        own = {name: array.shape for name, array in self.averages.items()}
        given = {name: np.shape(array) for name, array in state.items()}
        names = own.keys() | given.keys()
        unfit = sorted(name for name in names if own.get(name) != given.get(name))
        if unfit:
            raise ValueError(
                "the averages do not fit this module: names or shapes differ at " + ", ".join(unfit)
            )
        for name, average in self.averages.items():
            average[...] = state[name]
