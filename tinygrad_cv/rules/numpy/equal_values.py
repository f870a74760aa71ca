"""Eigenvalues and singular values that are equal, and their vectors.

Equal values. Their vectors are any basis of the space that they span. A loss that does not depend
on the choice, as a function of the matrix V diag(f(w)) V^H, has a gradient, which is a limit: the
way back takes it (`Limit`), and raises LinAlgError for any other loss, as it does for a second
derivative. Forward mode computes the tangents of all vectors, and refuses; those of the values
alone (eigvalsh, svdvals) it has, right for every loss that has a derivative.

Phases. Complex eigenvectors are unique up to a factor e^(i phi) each, singular vectors up to one
for each pair u_k, v_k. A loss has a gradient if it does not depend on these factors, as those of
|v|^2, v v^H, u v^H or of the values alone; for any other the way back raises LinAlgError. Forward
mode cannot see the loss: tangents of vectors are those with v_k^H v_k' = 0 (for pairs of singular
vectors u_k^H u_k' + v_k^H v_k' = 0), which are right for every loss that has a derivative (see
PyTorch's notes on torch.linalg.eig and torch.linalg.svd).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy import linalg

from ...engine.operands import conjugate
from ...tensor import Node, Place, Rule, Tensor, place_of, pushforward, unwrap
from ...typing import Array, Shape
from ..table import derivative
from .matrices import as_column, as_row, is_negligible, largest_of, mh, skew_part

Divisor: TypeAlias = Callable[[Array], Array]


def equal_pairs(values: Array) -> np.ndarray:
    """Which of the values (..., n), which are sorted, are equal for all one can know: (..., n, n).

    The diagonal is False. LAPACK's errors are some n eps of the largest.
    """
    plain = unwrap(values)
    n = np.shape(plain)[-1]
    largest = np.max(np.abs(plain), axis=-1, keepdims=True, initial=0)
    apart = ~is_negligible(np.diff(plain, axis=-1), largest, 10 * n)
    label = np.cumsum(np.concatenate([apart[..., :0], apart], axis=-1), axis=-1)
    label = np.concatenate([np.zeros((*label.shape[:-1], 1), int), label], axis=-1)[..., :n]
    return np.equal(as_row(label), as_column(label)) & ~np.eye(n, dtype=bool)


def off_diagonal(m: Array) -> Array:
    """m with zeros on its diagonal."""
    return np.where(np.eye(np.shape(m)[-1], dtype=bool), 0, m)


def over_gaps(m: Array, values: Array, equal: np.ndarray) -> Array:
    """m_ij / (v_j - v_i), and 0 on the diagonal and for equal values: how vectors turn."""
    gaps = as_row(values) - as_column(values)
    zero = equal | np.eye(np.shape(values)[-1], dtype=bool)
    return np.where(zero, 0, m / np.where(zero, 1, gaps))


def no_vectors(name: str) -> str:
    return (
        f"{name} are equal: their vectors are not unique and have no derivative. If only the "
        "values are used, take np.linalg.eigvalsh or np.linalg.svdvals; for a function of a matrix "
        "see tinygrad_cv.scipy.linalg; else make the values distinct"
    )


def over_unequal_gaps(m: Array, values: Array, name: str) -> Array:
    """m_ij / (v_j - v_i). Raises LinAlgError if m is not 0 for equal values."""
    equal = equal_pairs(values)
    rounding = is_negligible(m, largest_of(m), 10 * np.shape(values)[-1])
    if np.any(equal & ~rounding):
        raise linalg.LinAlgError(no_vectors(name))
    return over_gaps(m, values, equal)


def refuse_equal(equal: np.ndarray, t: Array, error: str) -> None:
    """Raise LinAlgError for tangents of the vectors of equal values, of matrices that change."""
    moves = np.any(unwrap(t) != 0, axis=(-2, -1), keepdims=True)
    if np.any(equal & moves):
        raise linalg.LinAlgError(error)


def check_equal(values: Array, g: Array, name: str) -> None:
    """Raise LinAlgError if equal values, which alone are used, have different gradients.

    The root of eps is far from rounding, and from what is not. A gradient that was recorded says
    how much of it is rounding of the values.
    """
    plain = unwrap(g)
    eps = np.finfo(plain.dtype).eps
    allowed = np.sqrt(eps) * largest_of(as_row(plain))
    if isinstance(g, Tensor) and place_of(values) is not None:
        change = _along(_steps(values), [g])[0]
        scale = largest_of(as_row(values)) * largest_of(as_row(change))
        allowed = allowed + 100 * np.shape(values)[-1] * eps * scale
    differences = np.abs(gaps_of(plain))
    if np.any(equal_pairs(values) & ~(differences <= allowed)):
        raise linalg.LinAlgError(
            f"{name} are equal, and the loss weighs them differently: which is which is arbitrary, "
            "so that it has no gradient here. Make the values distinct"
        )


def check_phases(name: str, *vectors_and_gradients: tuple[Array, Array]) -> None:
    """Raise LinAlgError if a loss depends on the phases of complex vectors, the columns.

    Turning v_k by a small angle changes the loss by the imaginary part of v_k^H g_k (of pairs of
    singular vectors: by the sum of both). If that should be 0, it is what rounding has left, some
    eps times the size of what is summed, and more where terms cancel in g; if not, it is of the
    order of that size. The square root of eps lies half-way. The eps that is added is for the
    gradient of a loss at its minimum, which is nothing but rounding.
    """
    turning: Any = 0
    size: Any = 0
    for vectors, g in vectors_and_gradients:
        products = conjugate(unwrap(vectors)) * unwrap(g)
        turning = turning + np.sum(products, axis=-2).imag
        size = size + np.sum(np.abs(products), axis=-2)
    if np.iscomplexobj(products):
        eps = np.finfo(products.dtype).eps
        largest = np.max(size, axis=-1, keepdims=True, initial=0)
        if np.any(np.abs(turning) > np.sqrt(eps) * largest + eps):
            raise linalg.LinAlgError(
                f"the loss depends on the phase of {name}, which is arbitrary, so that it has "
                "no gradient; use what does not depend on it, as np.abs(v) ** 2 or the "
                "projection v v^H"
            )


def gaps_of(values: Array) -> Array:
    """v_j - v_i."""
    return as_row(values) - as_column(values)


def sums_of(values: Array) -> Array:
    """v_j + v_i."""
    return as_row(values) + as_column(values)


class Vectors(NamedTuple):
    """A matrix of vectors among the values of an operation, and how a loss depends on it."""

    place: Place
    carried: np.ndarray  # the vectors that belong to the values, conjugated as gradients are
    g: Array  # their gradient
    turning: np.ndarray  # how all vectors there may turn, along a random direction

    def size(self, g: Array) -> np.ndarray:
        """The size of what is summed in V^H g, (..., 1, 1)."""
        g = np.abs(unwrap(g))
        return largest_of(np.abs(mh(self.carried)) @ g) + largest_of(g)


class Limit:
    """The gradient of a matrix by its values and vectors where quotients in it are 0 / 0.

    The vectors V of equal values may be any basis of the space they span. If the loss is a
    differentiable function of the matrix, it does not depend on the choice: the numerator m, which
    says how it changes as they turn, is 0 like the divisor d. Where the values w move apart, to
    w + t h, it is the loss at another matrix, of distinct values, whose gradient has the quotient
    m(t) / t d(h) in its place. For t -> 0 that is m'(0) / d(h), by l'Hopital's rule. The gradient
    of the loss, as it was recorded, is pushed along h.

    It is a limit only if the loss is such a function; then neither the numerators nor the gradient
    change as the vectors turn. `check` looks at one random turning, to first order. What it cannot
    see at the one basis that LAPACK has chosen: a loss whose first three derivatives there are
    those of a function of the matrix (as v^4 at v = 0), and kinks (as |v| at v = 0).
    """

    def __init__(self, values: Array, error: str) -> None:
        self.values, self.error = values, error
        self.steps = _steps(values)
        self.numerators: list[Array] = []  # what is to be 0

    def divide(self, m: Array, divisor: Divisor, zero: np.ndarray) -> Array:
        """m / d of the values, where d is linear; where it is `zero`, the limit."""
        (h,) = self.steps.values()
        (change,) = _along(self.steps, [m])
        d = np.where(zero, divisor(h), divisor(self.values))  # 0 only where m is 0
        self.numerators.append(np.where(zero, m, 0))
        return np.where(d == 0, 0, np.where(zero, change, m) / np.where(d == 0, 1, d))

    def check(self, gradient: Array, vectors: Sequence[Vectors]) -> None:
        """Raise LinAlgError if the numerators are not 0, or if the vectors' turning shows."""
        gradients = [part.g for part in vectors]
        moved = _along(self.steps, gradients)
        turning = {part.place: part.turning for part in vectors}
        turned_gradients = _along(turning, gradients)
        turned_moved = _along(turning, moved)

        def size(gs: Sequence[Array]) -> np.ndarray:
            sizes = [part.size(g) for part, g in zip(vectors, gs, strict=True)]
            return np.sum(sizes, axis=0)

        # What rounding of the vectors and the values makes of a number, and what is far from it.
        n = np.shape(self.values)[-1]
        far = np.sqrt(np.finfo(self.values.dtype).eps)
        eps = 100 * n * far**2
        w = largest_of(as_row(self.values))
        once = size(gradients) + size(turned_gradients)
        twice = size(moved) + size(turned_moved)
        thrice = size(_along(self.steps, moved))
        rounding = eps * (once + w * twice)
        allowed = far * (largest_of(gradient) + twice) + eps * w * thrice

        *changes, turned = _along(turning, [*self.numerators, gradient])
        fits = [_vanishes(turned, allowed)]
        fits += [_vanishes(m, rounding) for m in self.numerators]
        fits += [_vanishes(change, far * once + rounding) for change in changes]
        if not all(fits):
            raise linalg.LinAlgError(self.error)


def _steps(values: Array) -> dict[Place, np.ndarray]:
    """Steps along which values at their place in the graph move apart."""
    numbers = np.arange(1, np.shape(values)[-1] + 1, dtype=values.dtype)
    return {place_of(values): np.broadcast_to(numbers, np.shape(values))}


def _along(seeds: dict[Place, np.ndarray], tensors: Sequence[Array]) -> list[Array]:
    """How tensors change when the values at some places do.

    Raises LinAlgError where functions have no further derivative.
    """
    places = [place_of(tensor) for tensor in tensors]
    try:
        found = pushforward(seeds, [place for place in places if place is not None], graph=True)
    except (NotImplementedError, FloatingPointError) as error:
        raise linalg.LinAlgError(
            "values are equal, so that the gradient is a limit, but of a function that uses their "
            f"vectors only the first derivative is known: {error}"
        ) from error
    changes = []
    for place, tensor in zip(places, tensors, strict=True):
        change = found.get(place)
        changes.append(np.zeros_like(unwrap(tensor)) if change is None else change)
    return changes


def _vanishes(m: Array, allowed: np.ndarray) -> bool:
    """Whether nothing is larger than what is allowed; NaN is."""
    return bool(np.all(np.abs(unwrap(m)) <= allowed))


def normal_like(shape: Shape, like: np.ndarray, seed: int) -> np.ndarray:
    """Normal numbers in the dtype of another array."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    if np.iscomplexobj(like):
        x = x + 1j * rng.normal(size=shape)
    return x.astype(like.dtype)


def random_turning(v: np.ndarray, where: np.ndarray, seed: int) -> np.ndarray:
    """V K for a random skew-Hermitian K, in which vectors turn into each other where they may."""
    k = skew_part(normal_like(where.shape, v, seed))
    return v @ np.where(where | np.eye(where.shape[-1], dtype=bool), k, 0)


def first_derivative(g: Array) -> Array:
    """A gradient that is a limit: how it changes is unknown."""
    return np.array(g)


def _no_second_derivative() -> Array:
    raise linalg.LinAlgError(
        "values are equal: the gradient of a function that uses their vectors is a limit there, "
        "and has no derivative here. Make the values distinct"
    )


first_derivative = derivative(first_derivative, g=_no_second_derivative).tangent(
    g=_no_second_derivative
)


def is_used(g: Array, equal: np.ndarray) -> bool:
    """Whether a loss uses vectors of equal values, of which this is the gradient.

    If it is an array, nobody used them; or all that is known is their gradient.
    """
    used = np.any(unwrap(g) != 0, axis=-2)
    return isinstance(g, Tensor) or bool(np.any(used & np.any(equal, axis=-1)))


class ValuesRule(Rule):
    """A rule of eigenvalues or singular values, sorted, without their vectors.

    Which of equal ones is which is arbitrary: the way back raises LinAlgError if the loss weighs
    them differently. (A formula that looked at numbers would be no expression on the tape.)
    """

    def compute(
        self, arguments: Mapping[str, Any], parents: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        value, saved = super().compute(arguments, parents)
        return value, {**saved, "y": value} if parents else saved

    def pull(
        self, node: Node, gradient: Any, wanted: Collection[str], graph: bool
    ) -> dict[str, Any]:
        if node.saved is not None:
            values = node.saved["y"]
            weights = np.where(values == 0, 0, unwrap(gradient))  # 0 is the kink of |.|
            check_equal(values, weights, "values")
        return super().pull(node, gradient, wanted, graph)
