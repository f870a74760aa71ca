"""Complex numbers. The gradient of a real L with respect to z = a + ib is dL/da + i dL/db."""

from __future__ import annotations

import numpy as np

from tinygrad_cv.typing import Array, Gradients

from .pair import Room, normal

room = Room("complex")
Z = normal(3) + 1j * normal(3, seed=1)
W = normal(3, seed=2) + 1j * normal(3, seed=3)

control = room.control("z^2", lambda z: z * z, Z, right=lambda g, y, z: g * np.conj(2 * z))
control.mistake("not conjugated", lambda g, y, z: g * 2 * z)
control.mistake("the real part only", lambda g, y, z: (g * np.conj(2 * z)).real + 0j)
control = room.control(
    "z w", np.multiply, Z, W, right=lambda g, y, z, w: (g * np.conj(w), g * np.conj(z))
)
control.mistake("one not conjugated", lambda g, y, z, w: (g * np.conj(w), g * z))

control = room.control("|z|", np.abs, Z, right=lambda g, y, z: g * z / y)
control.mistake("conjugated", lambda g, y, z: g * np.conj(z) / y)
control = room.control("|z|^2", lambda z: (z * np.conj(z)).real, Z, right=lambda g, y, z: 2 * g * z)
control.mistake("factor 2 missing: Wirtinger's", lambda g, y, z: g * z)
control = room.control("exp(z)", np.exp, Z, right=lambda g, y, z: g * np.conj(y))
control.mistake("not conjugated", lambda g, y, z: g * y)
control = room.control("angle", np.angle, Z, right=lambda g, y, z: 1j * g * z / np.abs(z) ** 2)
control.mistake("sign wrong", lambda g, y, z: -1j * g * z / np.abs(z) ** 2)
control = room.control("conjugate", np.conj, Z, right=lambda g, y, z: np.conj(g))
control.mistake("not conjugated", lambda g, y, z: g.copy())


def matrix_backward(g: Array, y: Array, a: Array, b: Array) -> Gradients:
    return g @ b.conj().T, a.conj().T @ g


A = normal(2, 3) + 1j * normal(2, 3, seed=4)
B = normal(3, 2, seed=5) + 1j * normal(3, 2, seed=6)
control = room.control("matrix product", np.matmul, A, B, right=matrix_backward)
control.mistake("transposed only", lambda g, y, a, b: (g @ b.T, a.T @ g))

control = room.control(
    "FFT of real numbers", np.fft.fft, normal(6), right=lambda g, y, x: np.fft.fft(g.conj()).real
)
control.mistake("divided by N", lambda g, y, x: np.fft.ifft(g).real)
control = room.control(
    "real FFT",
    np.fft.rfft,
    normal(6),
    right=lambda g, y, x: np.fft.fft(np.concatenate([g, np.zeros(2)]).conj()).real,
)
control.mistake("irfft", lambda g, y, x: 6 * np.fft.irfft(g, 6))

control = room.control(
    "a real x times i",
    lambda x: 1j * x,
    normal(3),
    right=lambda g, y, x: g.imag.copy(),
)
control.mistake("complex for real x", lambda g, y, x: -1j * g, symptom="contract")

room.nasty(
    "sqrt beside its cut",
    np.sqrt,
    np.array([-1 + 1e-3j, 2j]),
    right=lambda g, y, z: g / np.conj(2 * y),
)
room.nasty(
    "real part of a product",
    lambda z, w: (z * w).real,
    Z,
    W,
    right=lambda g, y, z, w: (g * np.conj(w), g * np.conj(z)),
)
room.nasty(
    "|z| at 0", np.abs, np.array([0j, 3 + 4j]), right=lambda g, y, z: g * z / np.where(y, y, 1)
)
room.nasty(
    "real x and complex z",
    lambda x, z: x * z,
    normal(3),
    Z,
    right=lambda g, y, x, z: ((g * np.conj(z)).real, g * x),
)
room.nasty("log of z at 1e-6", np.log, 1e-6 * Z, right=lambda g, y, z: g / np.conj(z))
room.nasty(
    "a spectrum's power",
    lambda x: np.abs(np.fft.rfft(x)) ** 2,
    normal(7),
    right=lambda g, y, x: 2 * np.fft.fft(np.append(g * np.fft.rfft(x), np.zeros(3)).conj()).real,
)
