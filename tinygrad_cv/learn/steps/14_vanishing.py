"""A vanishing gradient.

Through thirty layers the chain rule is a product of thirty matrices. If each makes a gradient a
little smaller, next to nothing arrives at the first layer, and it does not learn; if each makes it
larger, it explodes. What decides is the size of the weights, the slope of the activation, and
whether there is a way around: a residual connection adds x, so the gradient also flows past.
"""

import numpy as np

import tinygrad_cv as tg

LAYERS, WIDTH = 30, 32
rng = np.random.default_rng(0)
x = rng.normal(size=(16, WIDTH))
weights = rng.normal(size=(LAYERS, WIDTH, WIDTH)) / np.sqrt(WIDTH)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def network(offsets, activation, scale, residual):
    """The mean square of the last layer; offsets are added to the layers, and are 0."""
    h = x
    for w, offset in zip(weights[: len(offsets)], offsets, strict=True):
        new = activation(h @ (scale * w)) + offset
        h = h + new if residual else new
    return np.mean(h**2)


def sizes(*settings):
    """How large the gradient is at each layer, compared with the last."""
    zeros = [np.zeros((16, WIDTH)) for _ in range(LAYERS)]
    gradients = tg.grad(lambda offsets: network(offsets, *settings))(zeros)
    norms = np.array([np.linalg.norm(g) for g in gradients])
    return norms / norms[-1]


cases = {
    "sigmoid": (sigmoid, 1.0, False),
    "tanh, weights too small": (np.tanh, 0.5, False),
    "tanh": (np.tanh, 1.0, False),
    "tanh, weights too large": (np.tanh, 2.5, False),
    "tanh, small, residual": (np.tanh, 0.5, True),
}
first = {}
print("gradient at layer            1       10       20       30")
for name, settings in cases.items():
    size = sizes(*settings)
    first[name] = size[0]
    shown = "  ".join(f"{size[i]:.1e}" for i in (0, 9, 19, 29))
    print(f"{name:24} {shown}")

few = [np.zeros((16, WIDTH)) for _ in range(5)]
look = lambda offsets: network(offsets, sigmoid, 1.0, False), few
print(
    "\nQuestion: the slope of a sigmoid is at most 1/4. How large can the gradient at layer 1 be at"
)
print("most, by that alone, and what else made it smaller here?")
