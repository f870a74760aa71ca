"""A tape in twenty lines.

Nobody writes the way back by hand: the program notes it while it goes forward. Each operation puts
a line on a tape: its result, its inputs, and its slope with respect to each input. The way back
reads the tape from its end. A number that is used twice gets two contributions, which add up.
"""

import numpy as np

import tinygrad_cv as tg

tape = []


class Number:
    def __init__(self, value, inputs=(), slopes=()):
        self.value = value
        self.gradient = 0.0
        tape.append((self, inputs, slopes))

    def __add__(self, other):
        return Number(self.value + other.value, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Number(self.value * other.value, (self, other), (other.value, self.value))

    def tanh(self):
        value = np.tanh(self.value)
        return Number(value, (self,), (1 - value**2,))


def backward(result):
    result.gradient = 1.0
    for number, inputs, slopes in reversed(tape):
        for parent, slope in zip(inputs, slopes, strict=True):
            parent.gradient += number.gradient * slope


x, y = Number(0.5), Number(-1.5)
z = (x * y + x).tanh() * y
backward(z)
print(f"z = {z.value:.6f}, from {len(tape)} lines on the tape")
print(f"this tape   dz/dx = {x.gradient:.15f}  dz/dy = {y.gradient:.15f}")


def f(x, y):
    return np.tanh(x * y + x) * y


engine = [float(g) for g in tg.grad(f, argnums=(0, 1))(0.5, -1.5)]
print(f"the engine  dz/dx = {engine[0]:.15f}  dz/dy = {engine[1]:.15f}")
print("(Its essence, for arrays, stands first in tinygrad_cv/README.md.)")

look = f, 0.5, -1.5
print("\nQuestion: what goes wrong if you call backward(z) a second time, and why?")
