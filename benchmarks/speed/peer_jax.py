"""JAX: a whole step, with Adam, compiled into one function, to which weights and moments are donated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .functional import Maths, adam, generator, losses, prepared, trained
from .workloads import GANSizes, batches, sizes_of


def conv(x: Any, weight: Any, bias: Any, stride: int) -> Any:
    half = weight.shape[2] // 2
    y = lax.conv_general_dilated(x, weight, (stride, stride), [(half, half)] * 2)
    return y + bias.reshape(1, -1, 1, 1)


def scan(step: Any, state: Any, inputs: Any) -> Any:
    return lax.scan(step, state, inputs)[1]


MATHS = Maths(jnp, scan, jax.scipy.special.erf, conv)


class Contender:
    def __init__(self, name: str, weights: dict[str, np.ndarray]) -> None:
        self.sizes, parts = sizes_of(name), losses(MATHS, name)
        training = getattr(self.sizes, "training", True)
        state = {n: jnp.asarray(a) for n, a in weights.items()}
        zeros: Any = lambda: {n: jnp.zeros_like(a) for n, a in state.items()} if training else {}
        self.state: Any = (state, zeros(), zeros())
        self.batches = [tuple(map(jnp.asarray, prepared(name, batch))) for batch in batches(name)]
        self.compiled = jax.jit(self.trained(parts) if training else self.inference(parts[0][1]), donate_argnums=(0,))
        self.steps = 0

    def inference(self, loss: Any) -> Any:
        return lambda state, step, *batch: (state, loss(state[0], *batch))

    def trained(self, parts: Any) -> Any:
        def whole(state: Any, step: Any, *batch: Any) -> Any:
            w, means, squares = (dict(part) for part in state)
            if isinstance(self.sizes, GANSizes):
                batch = (*batch, generator(MATHS, self.sizes, w, batch[1]))
            total: Any = 0.0
            for begins, loss in parts:
                chosen = trained(w, begins)
                value, gradients = jax.value_and_grad(lambda c, loss=loss: loss({**w, **c}, *batch))(chosen)
                for n, g in gradients.items():
                    w[n], means[n], squares[n] = adam(jnp, w[n], g, means[n], squares[n], step)
                total = total + value
            return (w, means, squares), total

        return whole

    def step(self, i: int) -> float:
        self.steps += 1
        batch = self.batches[i % len(self.batches)]
        self.state, loss = self.compiled(self.state, np.float32(self.steps), *batch)
        return float(loss)
