"""The calculus table of polynomials as vectors of coefficients, the highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import linalg

from ...engine import errors
from ...tensor import unwrap
from ...typing import Array, Operand
from ..table import as_array, definition, derivative


def _coefficients(p: Any, function: Any, name: str) -> Array:
    """An operand as an array. Raises TypeError for a poly1d, which the result would have to be."""
    if isinstance(p, np.poly1d):
        raise errors.not_an_operand(function, name, "a poly1d", "give its .coeffs")
    return as_array(p)


# Sums, products, quotients.
def _aligned(a1: Array, a2: Array) -> tuple[Array, Array]:
    """Two vectors, the shorter one with zeros in front."""
    short = len(a2) - len(a1)
    if short == 0:
        return a1, a2
    before = np.zeros(abs(short), a1.dtype if short > 0 else a2.dtype)
    if short > 0:
        return np.concatenate([before, a1]), a2
    return a1, np.concatenate([before, a2])


@definition(np.polyadd)
def polyadd(a1: Array, a2: Array) -> Array:
    """The sum of two polynomials."""
    a1, a2 = np.atleast_1d(_coefficients(a1, np.polyadd, "a1"), _coefficients(a2, np.polyadd, "a2"))
    return np.add(*_aligned(a1, a2))


@definition(np.polysub)
def polysub(a1: Array, a2: Array) -> Array:
    """The difference of two polynomials."""
    a1, a2 = np.atleast_1d(_coefficients(a1, np.polysub, "a1"), _coefficients(a2, np.polysub, "a2"))
    return np.subtract(*_aligned(a1, a2))


@definition(np.polymul)
def polymul(a1: Array, a2: Array) -> Array:
    """The product of two polynomials, whose leading zeros are left out."""
    a1, a2 = np.atleast_1d(_coefficients(a1, np.polymul, "a1"), _coefficients(a2, np.polymul, "a2"))
    return np.convolve(_without_leading_zeros(a1), _without_leading_zeros(a2))


def _without_leading_zeros(p: Array) -> Array:
    """From the first coefficient that is not 0; the last one of a polynomial that is 0."""
    if len(p) == 0:
        return np.zeros(1)
    used = np.flatnonzero(unwrap(p))
    return p[used[0] if len(used) else -1 :]


@definition(np.polydiv)
def polydiv(u: Array, v: Array) -> tuple[Array, Array]:
    """Quotient and remainder; leading coefficients that are nearly 0 are left out of the latter."""
    u, v = np.atleast_1d(_coefficients(u, np.polydiv, "u"), _coefficients(v, np.polydiv, "v"))
    u, v = u + 0.0, v + 0.0
    scale = 1.0 / v[0]
    quotient = []
    rest = u.astype(np.result_type(u.dtype, v.dtype))
    for k in range(len(u) - len(v) + 1):
        factor = scale * rest[k]
        quotient.append(factor)
        rest = rest - np.pad(factor * v, (k, len(u) - len(v) - k))
    while rest.shape[-1] > 1 and np.allclose(unwrap(rest[0]), 0, rtol=1e-14):
        rest = rest[1:]
    return np.stack(quotient) if quotient else np.zeros(1, rest.dtype), rest


# Derivatives and integrals.
@definition(np.polyder)
def polyder(p: Array, m: int = 1) -> Array:
    """The m-th derivative of a polynomial."""
    p = _coefficients(p, np.polyder, "p")
    for _ in range(int(m)):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1)
    return p


@definition(np.polyint)
def polyint(p: Array, m: int = 1, k: Operand | None = None) -> Array:
    """The m-th integral of a polynomial; k are the constants, or one for all of them."""
    p = _coefficients(p, np.polyint, "p")
    m = int(m)
    given = np.zeros(m) if k is None else np.ravel(k)
    constants = np.broadcast_to(given, m) if len(given) == 1 else given
    for i in range(m):
        p = np.concatenate([p / np.arange(len(p), 0, -1), constants[i : i + 1]])
    return p


# Roots.
def _slopes(p: Array, roots: Array) -> Array:
    """How fast each root of p moves with each coefficient: -r^(n - k) / p'(r), (roots, n + 1).

    Raises LinAlgError for roots that are equal for all one can know: rounding moves a root r by
    eps sum |p_k r^(n - k)| / |p'(r)|, and may have moved two equal ones apart as far as that.
    """
    powers = np.vander(roots, len(p))
    slopes = np.polyval(np.polyder(p), roots)
    plain, found = unwrap(p), unwrap(roots)
    eps = np.finfo(found.dtype).eps
    sizes = np.abs(np.vander(found, len(plain))) @ np.abs(plain)
    distances = np.abs(np.subtract.outer(found, found))
    np.fill_diagonal(distances, np.inf)
    nearest = np.min(distances, axis=-1, initial=np.inf)
    if np.any(nearest * np.abs(unwrap(slopes)) <= 100 * len(plain) * eps * sizes):
        raise linalg.LinAlgError(
            "np.roots: roots are equal, and so have no derivative (it is infinite); a symmetric "
            "function of them is one of the coefficients"
        )
    return -powers / np.expand_dims(slopes, -1)


derivative(np.roots, p=lambda g, p, y: g @ _slopes(p, y)).tangent(
    p=lambda t, p, y: _slopes(p, y) @ t,
)


@definition(np.poly)
def poly(seq_of_zeros: Array) -> Array:
    """The coefficients of the polynomial with these roots, or of det(x - A) for a matrix A.

    Those of a matrix by traces of powers (Faddeev and LeVerrier): equal eigenvalues do no harm.
    """
    a = np.atleast_1d(seq_of_zeros) + 0.0
    one = np.ones(1, a.dtype)
    if a.ndim == 1:
        p: Array = one
        for root in a:
            p = np.concatenate([p, 0 * one]) - np.concatenate([0 * one, p * root])
        return p
    n = a.shape[-1]
    coefficients: list[Array] = [one[0]]
    power: Array = np.zeros_like(unwrap(a))
    for k in range(1, n + 1):
        power = a @ power + coefficients[-1] * np.eye(n)
        coefficients.append(-np.trace(a @ power) / k)
    return np.stack(coefficients)


# Least squares.
@definition(np.polyfit, refused=("cov",))
def polyfit(
    x: Array,
    y: Array,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: Array | None = None,
    cov: bool | str = False,
) -> Any:
    """The polynomial of degree `deg` with the least squares of w (p(x) - y), as np.polyfit scales
    them; with `full` or `cov` also what else it returns."""
    x, y = as_array(x) + 0.0, as_array(y) + 0.0
    order = int(deg) + 1
    if rcond is None:
        rcond = len(x) * np.finfo(x.dtype).eps
    left, right = np.vander(x, order), y
    if w is not None:
        w = as_array(w) + 0.0
        left = left * np.expand_dims(w, 1)
        right = right * (np.expand_dims(w, 1) if y.ndim == 2 else w)
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    fitted, residuals, rank, singular_values = linalg.lstsq(left, right, rcond)
    fitted = (fitted.T / scale).T
    if full:
        return fitted, residuals, rank, singular_values, rcond
    if not cov:
        return fitted
    spread = linalg.inv(left.T @ left) / np.outer(scale, scale)
    factor = 1.0 if cov == "unscaled" else residuals / (len(x) - order)
    return fitted, (spread if y.ndim == 1 else np.expand_dims(spread, -1)) * factor
