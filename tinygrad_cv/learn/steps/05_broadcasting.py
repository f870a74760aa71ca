"""Broadcasting forward is a sum backward.

In x + b NumPy stretches b over the rows of x: each b[j] is used once in every row. A number that is
used n times has n contributions, and they add up. So the gradient of b is that of the sum, summed
over the axes that were stretched. This is the only thing about shapes that a gradient must know,
and an engine does it in one place.
"""

import numpy as np

import tinygrad_cv as tg


def unbroadcast(gradient, shape):
    """A gradient summed over the axes that broadcasting has added or stretched."""
    added = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(added)))
    for axis, length in enumerate(shape):
        if length == 1:
            gradient = gradient.sum(axis=axis, keepdims=True)
    return gradient


rng = np.random.default_rng(0)
cases = [((3, 2), (2,)), ((3, 2), (3, 1)), ((3, 1), (1, 4)), ((2, 3), ())]
equal = []
for x_shape, b_shape in cases:
    x = rng.normal(size=x_shape)
    b = rng.normal(size=b_shape)
    g = np.ones(np.broadcast_shapes(x_shape, b_shape))  # the gradient of x * b in its sum
    g_x = unbroadcast(g * b, x_shape)
    g_b = unbroadcast(g * x, b_shape)
    engine = tg.grad(lambda x, b: np.sum(x * b), argnums=(0, 1))(x, b)
    equal.append(np.allclose(g_x, engine[0]) and np.allclose(g_b, engine[1]))
    print(f"{x_shape} * {b_shape} is {g.shape}; as the engine's: {equal[-1]}")


def loss(x, b):
    return np.sum((x + b) ** 2)


x = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
b = np.array([0.5, -0.5])
g = 2 * (x + b)  # (3, 2), the gradient of x + b
print(f"gradient of x + b:\n{g}\ngradient of b: {g.sum(axis=0)}")
g_b = tg.grad(loss, argnums=1)(x, b)

look = loss, x, b
print("\nQuestion: np.sum is the mirror image: what is its gradient, said with broadcasting?")
