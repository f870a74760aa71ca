"""The gradient of a matrix product.

y[i, j] is the sum over k of x[i, k] w[k, j]. So x[i, k] reaches the whole row i of y, each y[i, j]
with the slope w[k, j]: its gradient is the sum over j of g[i, j] w[k, j], and that is g @ w.T. The
same for w gives x.T @ g. When you forget it, ask the shapes: only one product of g and the other
factor fits.
"""

import numpy as np

import tinygrad_cv as tg

rng = np.random.default_rng(0)
x = rng.normal(size=(4, 3))
w = rng.normal(size=(3, 2))
g = rng.normal(size=(4, 2))  # the gradient that arrives at y = x @ w

# element by element
loops = np.zeros_like(x)
for i in range(4):
    for k in range(3):
        for j in range(2):
            loops[i, k] += g[i, j] * w[k, j]

# as products
g_x = g @ w.T  # (4, 2) @ (2, 3) is (4, 3), as x
g_w = x.T @ g  # (3, 4) @ (4, 2) is (3, 2), as w
print(f"x {x.shape} @ w {w.shape} is y {g.shape}")
print(f"g @ w.T is {g_x.shape}, as x; equal to the loops: {np.allclose(g_x, loops)}")
print(f"x.T @ g is {g_w.shape}, as w")


def loss(x, w):
    y = x @ w
    return np.sum(g * y)  # its gradient with respect to y is g


engine_x, engine_w = tg.grad(loss, argnums=(0, 1))(x, w)
same = np.array_equal(g_x, engine_x) and np.array_equal(g_w, engine_w)
print(f"the engine's gradients have the same bits: {same}")
print("\nThe program that it has carried out:\n")
print(tg.tape(loss, x, w))

look = loss, x, w
print("\nQuestion: a layer computes x @ w.T + b. What are its three gradients?")
