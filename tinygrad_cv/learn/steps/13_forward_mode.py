"""Forward mode.

The chain rule may also be multiplied from its beginning. Each number carries its rate along with
its value: how fast it changes when the input moves in one direction. That needs no tape and no way
back. But one run answers for one direction: a million weights need a million runs, where the way
back needs one. For few inputs and many outputs it is the other way round.
"""

import numpy as np

import tinygrad_cv as tg


class Dual:
    def __init__(self, value, rate=0.0):
        self.value = value
        self.rate = rate

    def __add__(self, other):
        return Dual(self.value + other.value, self.rate + other.rate)

    def __mul__(self, other):
        rate = self.rate * other.value + self.value * other.rate
        return Dual(self.value * other.value, rate)

    def tanh(self):
        value = np.tanh(self.value)
        return Dual(value, (1 - value**2) * self.rate)


x, y = Dual(0.5, 1.0), Dual(-1.5, 0.0)  # x moves, y stays
z = (x * y + x).tanh() * y
print(f"dual numbers  z = {z.value:.6f}, and dz/dx = {z.rate:.15f}")


def f(x, y):
    return np.tanh(x * y + x) * y


value, rate = tg.jvp(f, (0.5, -1.5), (1.0, 0.0))
backward = tg.grad(f)(0.5, -1.5)
print(f"the engine    z = {float(value):.6f}, and dz/dx = {float(rate):.15f}")
print(f"the way back                   dz/dx = {float(backward):.15f}")

rng = np.random.default_rng(0)
w = rng.normal(size=(3, 5))
layer = lambda x: np.tanh(x @ w)  # 3 inputs, 5 outputs
point = rng.normal(size=3)
columns = [tg.jvp(layer, (point,), (e,))[1] for e in np.eye(3)]
_, pull = tg.vjp(layer, point)
rows = [pull(e)[0] for e in np.eye(5)]
same = np.allclose(np.stack(columns, axis=1), np.stack(rows))
print(f"the Jacobian (5, 3): {len(columns)} runs forward or {len(rows)} back, equal: {same}")

look = f, 0.5, -1.5
print(
    "\nQuestion: how many runs does the gradient of a loss by n weights take, forward and backward?"
)
