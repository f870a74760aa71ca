"""Gradients of elementwise functions against mpmath's, in units of what their condition allows.

A case states a function and, in mpmath, its derivative f' in each argument (or its value, which is
then differentiated by a difference in 80 digits). The engine's derivative, backward and forward,
is compared with it at arguments over the whole range of the dtype, in one array.

The unit. Each argument x_j is a rounded number, so nobody can ask for more than the derivative of a
neighbour of it. At one point the unit is

    eps (|f'| + sum_j |x_j df'/dx_j|),    eps = 2^-52 in float64, 2^-23 in float32,

and an error is |computed - f'| divided by it. At the ends of the dtype its own rounding counts:

- a derivative below the smallest normal number may be 0 or any subnormal number;
- one above the largest number is infinite, with its sign; one within the error allowed of it may be
  infinite or not;
- an infinite derivative (mpmath's is infinite, or divides by zero) is infinite, of either sign; a
  `POLE`, from whose two sides the derivative or the value differ in sign, may be NaN too;
- anything else that is infinite or NaN has an infinite error.

Where the function itself is not defined (mpmath gives a complex number, NaN or None) there is
nothing to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp, mpf

import tinygrad_cv as tg

ALLOWED = 8.0  # units
DIGITS = 60
STEP = 1e-20  # relative, for df'/dx_j

POLE = "a pole, whose two sides have other signs"

Slope = Callable[..., Any]


def BY_DIFFERENCE(*_: Any) -> Any:
    """Stands for the slope of a case that states its value."""
    raise NotImplementedError


@dataclass(frozen=True)
class Domain:
    """The real numbers from low to high, with the places where accuracy is often lost."""

    low: float = -np.inf
    high: float = np.inf
    near: Sequence[float] = (0.0, 1.0, -1.0)
    least: float = 0.0  # the smallest magnitude drawn
    whole: bool = False

    def draw(self, dtype: type, count: int, rng: np.random.Generator) -> np.ndarray:
        """Magnitudes that are uniform in the logarithm, moderate numbers, and neighbours."""
        limits = np.finfo(dtype)
        top = min(float(limits.max), max(abs(self.low), abs(self.high)))
        bottom = max(float(limits.tiny), self.least)
        sign = rng.choice([-1.0, 1.0], (2, count))
        wide = sign[0] * np.exp(rng.uniform(np.log(bottom), np.log(top), count))
        middle = min(max(1e-3, bottom), top / 2)
        moderate = sign[1] * np.exp(rng.uniform(np.log(middle), np.log(min(1e3, top)), count))
        parts = [wide, moderate]
        if np.isfinite(self.high - self.low):
            parts.append(rng.uniform(self.low, self.high, count))
        near = np.array([p for p in (*self.near, self.low, self.high) if np.isfinite(p)])
        if near.size:
            centre = rng.choice(near, count)
            away = 10 ** rng.uniform(np.log10(limits.eps), 0, count) * rng.choice([-1, 1], count)
            parts.append(centre + away * np.where(centre == 0, 1, np.abs(centre)))
            neighbour = dtype(rng.choice(near, count // 4))
            parts += [neighbour, np.nextafter(neighbour, dtype(np.inf))]
            parts += [np.nextafter(neighbour, dtype(-np.inf))]
        x = np.concatenate(parts).astype(dtype)
        x = np.rint(x) if self.whole else x
        x = x[(x >= self.low) & (x <= self.high) & np.isfinite(x)]
        x = x[(np.abs(x) >= bottom) | (x == 0)]
        return rng.permutation(x)[:count]


@dataclass(frozen=True)
class Case:
    """A function of real numbers, elementwise, and its derivative in each of its arguments."""

    name: str
    function: Callable[..., Any]
    domains: tuple[Domain, ...]
    slopes: tuple[Slope | None, ...]  # None: a constant
    value: Slope | None = None
    count: int = 240
    digits: int = DIGITS
    dtypes: tuple[type, ...] = (np.float64, np.float32)
    meet: bool = True  # whether some arguments are drawn close to each other
    limit: float = ALLOWED
    because: str = ""  # why the limit is larger

    def points(self, dtype: type, seed: int = 0) -> list[np.ndarray]:
        """One array for each argument."""
        rng = np.random.default_rng(seed)
        drawn = [d.draw(dtype, self.count, rng) for d in self.domains]
        size = min(map(len, drawn))
        drawn = [x[:size] for x in drawn]
        if len(drawn) > 1 and self.meet:
            for x, domain in zip(drawn[1:], self.domains[1:], strict=True):
                if domain.whole:
                    continue
                together = rng.uniform(size=size) < 0.3
                apart = 10 ** rng.uniform(np.log10(np.finfo(dtype).eps / 4), 0, size)
                with np.errstate(over="ignore"):
                    close = (drawn[0] * (1 + apart * rng.choice([-1, 1], size))).astype(dtype)
                allowed = (close >= domain.low) & (close <= domain.high) & np.isfinite(close)
                allowed &= (np.abs(close) >= max(domain.least, np.finfo(dtype).tiny)) | (close == 0)
                x[together & allowed] = close[together & allowed]
        return drawn


@dataclass(frozen=True)
class Finding:
    """The worst point of a case, in one argument, one direction and one dtype."""

    case: str
    argument: int
    direction: str
    dtype: str
    error: float  # in units; infinite for NaN, or a pole that was missed
    at: tuple[float, ...]
    computed: float
    right: float
    failures: int = 0
    compared: int = 0

    def __str__(self) -> str:
        at = ", ".join(f"{x!r}" for x in map(float, self.at))
        return (
            f"{self.error:9.2f}  {self.case}[{self.argument}] {self.direction} {self.dtype} at "
            f"({at}): {self.computed!r} for {self.right!r} ({self.failures} of {self.compared})"
        )


def slope_of(case: Case, argument: int) -> Slope:
    """The derivative in one argument; where only the value is stated, a central difference."""
    stated = case.slopes[argument]
    if stated is not None and stated is not BY_DIFFERENCE:
        return stated
    value = case.value
    assert value is not None

    def difference(*args: Any) -> Any:
        step = mpf(10) ** (-case.digits // 3) * (abs(args[argument]) or 1)
        below, above = list(args), list(args)
        below[argument] -= step
        above[argument] += step
        return (value(*above) - value(*below)) / (2 * step)

    return difference


def evaluated(slope: Slope, args: Sequence[Any]) -> Any:
    """A finite or infinite mpf; None where there is nothing to compare."""
    try:
        y = slope(*args)
    except ZeroDivisionError:
        return mp.inf
    except (ValueError, mp.NoConvergence, OverflowError):
        return None
    if y is None or isinstance(y, str):
        return y
    if isinstance(y, mp.mpc):
        if abs(y.imag) > abs(y) * mpf(10) ** -30:
            return None
        y = y.real
    y = mpf(y)
    return None if mp.isnan(y) else y


def condition(slope: Slope, args: Sequence[Any], right: Any) -> Any:
    """|f'| + sum_j |x_j df'/dx_j|."""
    total = abs(right)
    step_size = STEP * mp.pi  # of all digits, so that a large number does not move by whole ones
    for j, x in enumerate(args):
        if not x:
            continue
        for step in (step_size, -step_size):
            moved = list(args)
            moved[j] = x * (1 + step)
            there = evaluated(slope, moved)
            if isinstance(there, mpf) and mp.isfinite(there):
                total += abs(there - right) / step_size
                break
    return total


def error_of(computed: Any, right: Any, allowed: Any, dtype: type) -> float:
    """The error in units, `allowed` being one."""
    limits = np.finfo(dtype)
    largest, smallest = mpf(float(limits.max)), mpf(float(limits.tiny))
    if right is POLE:
        return 0.0 if not np.isfinite(computed) else np.inf
    if np.isnan(computed):
        return np.inf
    if mp.isinf(right):
        return 0.0 if np.isinf(computed) else np.inf
    if np.isinf(computed):
        near = abs(right) + ALLOWED * allowed + largest * float(limits.eps) >= largest
        return 0.0 if near and (computed > 0) == (right > 0) else np.inf
    got = mpf(float(computed))
    if abs(right) - ALLOWED * allowed > largest:
        return np.inf
    if abs(right) <= smallest and abs(got) <= smallest:
        return 0.0
    difference = abs(got - right)
    if not difference:
        return 0.0
    return float(difference / allowed) if allowed else np.inf


def gradients(case: Case, argument: int, x: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The engine's derivative in one argument, in both directions."""

    def of_one(moving: Any) -> Any:
        return case.function(*x[:argument], moving, *x[argument + 1 :])

    ones = np.ones_like(x[argument])
    with np.errstate(all="ignore"):
        _, pull = tg.vjp(of_one, x[argument])
        (backward,) = pull(ones)
        _, forward = tg.jvp(of_one, [x[argument]], [ones])
    return {"backward": backward, "forward": np.asarray(forward)}


def as_float(right: Any) -> float:
    """What is right at a point, for a report."""
    return float("nan") if right is None or right[0] is POLE else float(right[0])


def measure(case: Case, dtype: type, seed: int = 0) -> list[Finding]:
    """The worst of each argument and direction."""
    x = case.points(dtype, seed)
    found = []
    with mp.workdps(case.digits):
        for argument, stated in enumerate(case.slopes):
            if stated is None:
                continue
            slope = slope_of(case, argument)
            computed = gradients(case, argument, x)
            rights = []
            for numbers in zip(*x, strict=True):
                args = [mpf(float(n)) for n in numbers]
                right = evaluated(slope, args)
                if right is None:
                    rights.append(None)
                    continue
                finite = right is not POLE and mp.isfinite(right)
                size = condition(slope, args, right) if finite else mp.inf
                rights.append((right, size * float(np.finfo(dtype).eps)))
            for direction, values in computed.items():
                with np.errstate(over="ignore"):
                    values = values.astype(dtype)  # SciPy has some functions in float64 only
                errors = [
                    -1.0 if r is None else error_of(v, *r, dtype)
                    for v, r in zip(values, rights, strict=True)
                ]
                worst = int(np.argmax(errors))
                right = rights[worst]
                found.append(
                    Finding(
                        case.name,
                        argument,
                        direction,
                        np.dtype(dtype).name,
                        errors[worst],
                        tuple(a[worst] for a in x),
                        float(values[worst]),
                        as_float(right),
                        sum(e > case.limit for e in errors),
                        sum(e >= 0 for e in errors),
                    )
                )
    return found
