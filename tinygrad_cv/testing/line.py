"""Functions of one number: how the values change along a direction through the inputs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..engine.modes import switched
from .constraints import Projection
from .noise import every_rung
from .numeric import SLOPES, better, richardson, slopes
from .operation import Operation, results

MANY = 400  # so many values, or those of so many inputs, are weighed one by one
LONG = 2.0**-9  # the step at which changes of the values are weighed
UNLIKE = 1e3  # changes that differ by this factor are weighed
# No steps at a glance are powers of 2, which may be periods of the function, as of a rounding.
GLANCE = 7.3e-6  # a central difference at this step is right to ten digits or so
CLOSE = 1.3e-7  # at this one, to eight: among many elements one may be close to a kink
FLAT = (0.0301, -0.00437)  # where a function has the slope 0, these steps change nothing
BENT = 1e-3  # two sides that differ by a larger share of them may be those of a kink
NEARBY = 32  # so many points around a suspected kink are looked at
RADII = (1e-7, 1e-5)  # how far away: a kink looks the same from both


@dataclass
class Direction:
    """A change of some elements of one input, each by its amplitude."""

    which: int  # the input
    elements: np.ndarray  # flat indices
    amplitudes: np.ndarray
    also: Sequence[Direction] = ()  # elements of other inputs that move with them
    # What a line keeps of it: the elements as they are, and the size of the values that they move.
    before: np.ndarray = field(init=False)
    sizes: np.ndarray | None = field(default=None, init=False)

    @property
    def parts(self) -> Sequence[Direction]:
        """This and what moves with it."""
        return (self, *self.also)

    @property
    def reach(self) -> float:
        """The largest amplitude."""
        return max(float(np.max(abs(part.amplitudes), initial=0)) for part in self.parts)

    @property
    def near(self) -> int:
        """How much smaller the elements are than their amplitudes: 2^-near (`numeric.rungs`)."""
        scale = float(np.min(abs(self.before), initial=np.inf, where=self.before != 0))
        if not np.isfinite(scale):
            return 0
        return max(0, int(np.ceil(np.log2(self.reach) - np.log2(scale))))


def amplitudes(base: np.ndarray) -> np.ndarray:
    """What a step of 1 means for each element: 1, or a power of 2 not below a larger element.

    A power of 2, so that the steps themselves have no rounding.
    """
    _, exponents = np.frexp(np.maximum(abs(base), 0.5))
    scale: np.ndarray = np.ldexp(1.0, np.maximum(exponents, 0))
    return scale


def spread(rng: np.random.Generator, count: int) -> np.ndarray:
    """Factors of random sign, from 1 to 2 in size, each another: no two mistakes cancel."""
    signs = 2 * rng.integers(0, 2, count) - 1
    found: np.ndarray = signs * rng.uniform(1, 2, count)
    return found


def own_sizes(base: np.ndarray) -> np.ndarray:
    """The size of each element, 1 of zeros: a step below 1 changes no sign."""
    return np.where(base == 0, 1, abs(base))


class Line:
    """phi(i, t): how <cotangents, values> changes when the inputs move by t along direction i.

    Where the function raises or has no finite value, phi is NaN. Values that are not finite at the
    inputs themselves count for nothing.
    """

    def __init__(
        self,
        operation: Operation,
        inputs: Sequence[np.ndarray],
        cotangents: Sequence[np.ndarray],
        project: Sequence[Projection] | None = None,
    ) -> None:
        self.operation = operation
        self.project = project
        moved = [wide(a) for a in inputs]
        self.base = [real_view(a).copy() for a in moved]
        # The arguments hold the arrays of `moved`, which are changed in place, by flat views.
        self.inputs = moved
        self.arguments = operation.arguments(moved)
        self.moved = [real_view(a).reshape(-1) for a in moved]
        values = operation.value(moved)
        self.eps = coarsest_eps(values)
        self.start = flat(values)
        self.lost = ~np.isfinite(self.start)
        self.finite = not self.lost.any()
        self.cotangent = flat(cotangents)
        if not self.finite:
            self.cotangent = np.where(self.lost, 0, self.cotangent)
            self.start = np.where(self.lost, 0, self.start)
        self.size = abs(self.cotangent) * sizes(values)
        self.size[self.lost] = 0
        self.total = float(self.size.sum())
        self.lengths = [real_view(v).size for v in values]
        self.directions: list[Direction] = []
        self.evaluations = 1
        self.raised: Exception | None = None

    def __call__(self, i: int, t: float) -> tuple[float, float]:
        direction = self.directions[i]
        change = self.change_along(direction, t)
        if change is None:
            return np.nan, np.nan

        # A value that has changed before may hide a change in its rounding now, and so may all of
        # them if none has.
        if direction.sizes is not None:
            np.copyto(direction.sizes, self.size, where=change != 0)
        elif change.any():
            direction.sizes = self.size * (change != 0)
        size = self.total if direction.sizes is None else float(direction.sizes.sum())
        difference = float(self.cotangent.dot(change))
        subtracted = size + abs(difference) + self.operation.magnitude
        return difference, subtracted

    def change_along(self, direction: Direction, t: float) -> np.ndarray | None:
        """The values at a step along a direction, less the first ones; None if there are none."""
        for part in direction.parts:
            self.moved[part.which][part.elements] = part.before + t * part.amplitudes
        change = self.change()
        for part in direction.parts:
            self.moved[part.which][part.elements] = part.before
        return change

    def terms_along(self, direction: Direction, t: float) -> float:
        """The size of the terms of the slope, one of each value, by a step; 0 if there are none."""
        with np.errstate(all="ignore"), switched("recording", False):
            change = self.change_along(direction, t)
        return 0.0 if change is None else float(abs(self.cotangent) @ abs(change)) / t

    def change(self) -> np.ndarray | None:
        """The values where the inputs are now, less those at the start; None if there are none."""
        self.evaluations += 1
        try:
            if self.project is None:
                result = self.operation.function(*self.arguments)
            else:
                pairs = zip(self.project, self.inputs, strict=True)
                projected = [project(a) for project, a in pairs]
                result = self.operation.function(*self.operation.arguments(projected))
        except Exception as error:  # the edge of the domain
            self.raised = error
            return None
        single = type(result) is np.ndarray and result.dtype.kind != "c"
        values = result.reshape(-1) if single else flat(results(result))
        if values.size != self.start.size:
            return None
        change: np.ndarray = values - self.start
        if not self.finite:
            change = np.where(self.lost, 0, change)
        return change

    def weights(self, along: Sequence[Direction] = ()) -> np.ndarray | None:
        """What makes changes of the values alike in size, if they are very unlike: powers of 2.

        Flat; or None. Large values would hide that the gradient of small ones is wrong. Among many
        values of many inputs, each array of them is taken as a whole. The changes are those along
        the first of the directions that stays in the domain; by default all inputs move.
        """
        if self.start.size < 2 or (self.as_arrays and len(self.lengths) < 2):
            return None
        for direction in along or self.everything():
            change, shorter = self.sizes_of_change(direction)
            if np.isfinite(change).all():
                break
        # More than by rounding, which subnormal numbers have most of.
        moves = np.isfinite(change) & (change > 3 * shorter) & (change > np.finfo(float).tiny)
        if not moves.any() or change[moves].max() < UNLIKE * change[moves].min():
            return None
        exponents = np.round(np.log2(change, where=moves, out=np.zeros(change.shape)))
        exponents -= np.median(exponents[moves])
        weights: np.ndarray = np.ldexp(1.0, -np.clip(exponents, -60, 60).astype(int))
        return np.where(moves, weights, 1)

    @property
    def as_arrays(self) -> bool:
        """Whether arrays of values are weighed as a whole."""
        return min(self.start.size, sum(base.size for base in self.base)) > MANY

    def sizes_of_change(self, direction: Direction) -> np.ndarray:
        """How much each value changes by a long and by a shorter step: (2, values)."""
        self.aim([direction])
        found = np.full((2, self.start.size), np.nan)
        with np.errstate(all="ignore"), switched("recording", False):
            for row, t in zip(found, (LONG, LONG / 8), strict=True):
                change = self.change_along(direction, t)
                if change is not None:
                    np.abs(change, out=row)
        if self.as_arrays:  # what each array has
            starts = np.cumsum([0, *self.lengths[:-1]])
            of_arrays = np.maximum.reduceat(found, starts, axis=1)
            found = np.repeat(of_arrays, self.lengths, axis=1)
        return found

    def aim(self, directions: list[Direction]) -> None:
        """Take up directions, by their numbers in this list."""
        self.directions = directions
        for direction in directions:
            direction.sizes = None
            for part in direction.parts:
                base = self.base[part.which].reshape(-1)
                part.before = base[part.elements]

    def everything(self) -> Iterator[Direction]:
        """Directions that move all inputs: by the usual steps, and by shares of each element."""
        rng = np.random.default_rng(0)
        signs = [2 * rng.integers(0, 2, base.size) - 1 for base in self.base]
        for scale in (amplitudes, own_sizes):
            parts = []
            for which, base in enumerate(self.base):
                steps = scale(base.reshape(-1)) * signs[which]
                parts.append(Direction(which, np.arange(base.size), steps))
            yield dataclasses.replace(parts[0], also=parts[1:])

    def glance(
        self, directions: list[Direction], derivatives: np.ndarray, step: float = GLANCE
    ) -> np.ndarray:
        """Central differences along directions, by two calls each: (D,).

        NaN where they may be no derivative at all: at a kink, or at the edge of the domain. Where
        the derivative is said to be 0 they are 0 if the function stands still, else NaN.
        """
        self.aim(directions)
        found = np.full(len(directions), np.nan)
        with np.errstate(all="ignore"), switched("recording", False):
            for i, direction in enumerate(directions):
                if derivatives[i] == 0:
                    ahead, behind = (self.difference(direction, t) for t in FLAT)
                    found[i] = 0 if ahead == behind == 0 else np.nan
                    continue
                ahead = self.difference(direction, step)
                behind = self.difference(direction, -step)
                if abs(ahead + behind) <= BENT * abs(ahead - behind):
                    found[i] = (ahead - behind) / (2 * step)
        return found

    def difference(self, direction: Direction, t: float) -> float:
        """How <cotangents, values> changes by a step along a direction; NaN without a value."""
        change = self.change_along(direction, t)
        return np.nan if change is None else float(self.cotangent.dot(change))

    def slopes(self, directions: list[Direction]) -> np.ndarray:
        """The slopes along directions: (D,) of `numeric.SLOPES`."""
        self.aim(directions)
        near = [direction.near for direction in directions]
        with np.errstate(all="ignore"), switched("recording", False):
            return slopes(self, len(directions), eps=self.eps, near=near)

    def tangent(self, direction: Direction) -> list[np.ndarray]:
        """How the inputs themselves move along a direction: each flat."""
        moves = []
        for base in self.base:
            moves.append(np.zeros(base.size))
        for part in direction.parts:
            moves[part.which][part.elements] = part.amplitudes
        if self.project is None:
            return moves
        steps = 2.0**-8 / 2.0 ** np.arange(4)
        tangents = []
        for base, move, project in zip(self.base, moves, self.project, strict=True):
            ahead = [project(base + h * move.reshape(base.shape)) for h in steps]
            behind = [project(base - h * move.reshape(base.shape)) for h in steps]
            table = (np.array(ahead) - np.array(behind)) / (2 * steps.reshape(-1, *[1] * base.ndim))
            tangents.append(richardson(table, (2, 4, 6))[0].reshape(-1))
        return tangents

    def slopes_nearby(
        self, direction: Direction, radius: float, distance: float, seed: int
    ) -> np.ndarray:
        """Central differences along a direction at random points around the inputs: (NEARBY,).

        radius: how far away, as a share of each element's size. The same seed gives the same
        points. The first two are in order, up and down: so functions break ties, and who comes
        first or last takes all.
        """
        rng = np.random.default_rng(seed)
        base = self.base[direction.which]
        size = np.maximum(1.0, abs(base))
        found = np.empty(NEARBY)
        with np.errstate(all="ignore"), switched("recording", False):
            for k in range(NEARBY):
                away = rng.normal(size=base.shape)
                if k < 2:
                    away = np.sort(away, axis=None)[:: 1 - 2 * k].reshape(base.shape)
                point = base + radius * size * away
                found[k] = self._slope_at(point, direction, distance)
        self.moved[direction.which][...] = base.reshape(-1)
        return found

    def _slope_at(self, point: np.ndarray, direction: Direction, distance: float) -> float:
        """The central difference along a direction at a point; `moved` stays there."""
        ends = []
        for t in (distance, -distance):
            moved = self.moved[direction.which]
            moved[...] = point.reshape(-1)
            moved[direction.elements] += t * direction.amplitudes
            ends.append(self.change())
        ahead, behind = ends
        if ahead is None or behind is None:
            return np.nan
        return float(self.cotangent.dot(ahead - behind)) / (2 * distance)

    def holomorphic(self, directions: list[Direction]) -> np.ndarray:
        """The complex step (Squire & Trapp 1998), exact to rounding: Im <c, f(x + i h d)> / h."""
        self.aim(directions)
        step = 1e-40
        found = np.zeros(len(directions), SLOPES)
        for i, direction in enumerate(directions):
            moved = [a.astype(complex) for a in self.base]
            elements = moved[direction.which].reshape(-1)
            elements[direction.elements] += 1j * step * direction.amplitudes
            values = self.operation.call(moved)
            nested = isinstance(values, (list, tuple))
            values = [np.ravel(v) for v in (values if nested else [values])]
            imaginary = np.concatenate(values).imag
            found["value"][i] = np.dot(self.cotangent, imaginary) / step
            self.evaluations += 1
        for name in ("right", "left"):
            found[name] = found["value"]
        for name in ("error", "right_error", "left_error", "rounding"):
            found[name] = 8 * self.eps * abs(found["value"])
        found["steepest"] = abs(found["value"])
        return found


class TangentLine:
    """phi(t): how each element of the values changes when all inputs move along their tangents."""

    def __init__(
        self,
        operation: Operation,
        inputs: Sequence[np.ndarray],
        tangents: Sequence[np.ndarray],
    ) -> None:
        self.operation = operation
        self.base = inputs
        self.tangents = [wide(t) for t in tangents]
        values = operation.value(inputs)
        self.eps = coarsest_eps(values)
        self.start = flat(values)
        self.size = sizes(values)
        self.evaluations = 1

    def __call__(self, i: int, t: float) -> tuple[np.ndarray, np.ndarray]:
        pairs = zip(self.base, self.tangents, strict=True)
        moved = [np.asarray(x + t * d) for x, d in pairs]
        self.evaluations += 1
        nothing = np.full(self.start.shape, np.nan)
        try:
            values = flat(self.operation.value(moved))
        except Exception:  # the edge of the domain
            values = nothing
        if values.shape != nothing.shape:
            values = nothing
        change = values - self.start
        return change, self.size + abs(change)

    @property
    def near(self) -> int:
        """How much smaller the inputs are than their tangents: 2^-near (`numeric.rungs`)."""
        ratios = [np.inf]
        for x, d in zip(self.base, self.tangents, strict=True):
            moves = (x != 0) & (d != 0)
            ratios.append(float(np.min(abs(x[moves] / d[moves]), initial=np.inf)))
        least = min(ratios)
        return max(0, int(np.ceil(-np.log2(least)))) if np.isfinite(least) else 0

    def slopes(self) -> np.ndarray:
        """The derivative of each element of the values: (m,) of `numeric.SLOPES`."""
        with np.errstate(all="ignore"):
            return slopes(self, 1, eps=self.eps, near=[self.near])

    def look_again(self, k: int) -> np.ndarray:
        """That of one element by every rung, with the function's noise in its error: (1,)."""

        def one(i: int, t: float) -> tuple[float, float]:
            change, size = self(i, t)
            return float(change[k]), float(size[k])

        with np.errstate(all="ignore"):
            rungs = every_rung(one, 0, self.eps, self.near)
        found: np.ndarray = functools.reduce(better, rungs[:, None])
        return found


def coarsest_eps(arrays: Sequence[np.ndarray]) -> float:
    """The rounding of the narrowest dtype among some arrays; float64's if there are none."""
    roundings = [np.finfo(a.dtype).eps for a in arrays]
    return float(max(roundings, default=2.0**-52))


def flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All elements of several arrays in one: (n,) float64, a copy. A complex number is two."""
    if len(arrays) == 1:
        return np.array(real_view(arrays[0]), np.float64).ravel()
    parts = [np.zeros(0)]
    for array in arrays:
        parts.append(np.asarray(real_view(array), np.float64).reshape(-1))
    return np.concatenate(parts)


def sizes(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The size of each element of `flat`. Both parts of a complex number have that of the number,
    whose rounding they share."""
    parts = [np.zeros(0)]
    for array in arrays:
        size = np.asarray(abs(array), np.float64).reshape(-1)
        parts.append(np.repeat(size, 2) if array.dtype.kind == "c" else size)
    return np.concatenate(parts)


def real_view(array: np.ndarray) -> np.ndarray:
    """Real and imaginary parts along a last axis, (..., 2); real numbers as they are.

    A gradient dL/da + i dL/db becomes the gradient with respect to the two of them.
    """
    if array.dtype.kind != "c":
        return array
    contiguous = np.ascontiguousarray(array)
    return contiguous.view(contiguous.real.dtype).reshape(*array.shape, 2)


def wide(array: np.ndarray) -> np.ndarray:
    """A copy in float64 or complex128."""
    dtype = np.complex128 if array.dtype.kind == "c" else np.float64
    return np.array(array, dtype, order="C")
