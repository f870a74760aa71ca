"""The chain rule by hand.

A long formula is a chain of short ones, and the slope of the chain is the product of their slopes.
One neuron has five links. Go forward and note each value; then go back from the loss and multiply
by one local slope after the other. Each is computed from values that the way forward has noted.
"""

import numpy as np

import tinygrad_cv as tg


def loss(w, b):
    y = np.tanh(w * x + b)
    return (y - target) ** 2


x, target = 0.5, 1.0
w, b = -2.0, 0.3

# forward
p = w * x
a = p + b
y = np.tanh(a)
e = y - target
s = e**2

# backward: g_a is the slope of the loss with respect to a, and so on
g_s = 1.0
g_e = g_s * 2 * e
g_y = g_e * 1
g_a = g_y * (1 - y**2)
g_b = g_a * 1
g_p = g_a * 1
g_w = g_p * x

print(f"forward    p = {p:.4f}  a = {a:.4f}  y = {y:.4f}  e = {e:.4f}  loss = {s:.4f}")
print(f"backward   g_e = {g_e:.4f}  g_y = {g_y:.4f}  g_a = {g_a:.4f}")
print(f"by hand    dloss/dw = {g_w:.10f}  dloss/db = {g_b:.10f}")

h = 1e-5
difference = (loss(w + h, b) - loss(w - h, b)) / (2 * h)
print(f"measured   dloss/dw = {difference:.10f}")

engine = [float(g) for g in tg.grad(loss, argnums=(0, 1))(w, b)]
print(f"the engine dloss/dw = {engine[0]:.10f}  dloss/db = {engine[1]:.10f}")

look = loss, w, b
print("\nQuestion: from which of the five values is each local slope computed? Which could be")
print("forgotten before the way back begins?")
