"""A slope by differences.

The derivative of f at x says how fast f(x) changes when x moves. So measure it: move x by a small
h, and divide the change by h. A step to one side is wrong by about h, steps to both sides by about
h ** 2. But a tiny h is no better: f(x + h) and f(x) are then equal in nearly all of their digits,
and what is left of the difference is rounding.
"""

import numpy as np

import tinygrad_cv as tg


def f(x):
    return np.sin(x) * x


x = 1.0
slope = np.sin(x) + x * np.cos(x)  # by calculus
print(f"by calculus  {slope:.15f}")

one_side = {}
both_sides = {}
print("   h     error of one side   of both sides")
for h in [1e-1, 1e-3, 1e-5, 1e-7, 1e-9, 1e-11, 1e-13]:
    one_side[h] = abs((f(x + h) - f(x)) / h - slope)
    both_sides[h] = abs((f(x + h) - f(x - h)) / (2 * h) - slope)
    print(f"{h:.0e}        {one_side[h]:.1e}            {both_sides[h]:.1e}")

engine = float(tg.grad(f)(x))
print(f"the engine   {engine:.15f}, with no h at all")

look = f, x
print("\nQuestion: which h is the best for one side, which for both sides, and why do they differ?")
