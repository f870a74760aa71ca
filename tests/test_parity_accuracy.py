"""Gradients against mpmath, over the whole range of float64 and float32, near poles and whole numbers.

The property, for each elementwise function, each of its arguments, backward and forward: the
derivative that the engine gives is off by at most 8 units, where a unit is

    eps (|f'(x)| + sum_j |x_j df'/dx_j|),

eps being 2^-52 or 2^-23: what a change of each argument by its last digit makes of the derivative.
It is never NaN or infinite where the derivative is finite, nor finite where that is infinite. Where
the derivative is above the largest number or below the smallest normal one, infinity, and 0 or a
subnormal number, are right. `tests/accuracy/measure.py` is that definition, and the modules beside
it are the table of functions and their derivatives in mpmath. A case with another limit says why.

`python -m tests.accuracy` prints the worst.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("mpmath")

from tests.accuracy.measure import ALLOWED, Case, measure
from tests.accuracy.table import CASES, LIMITS
from tinygrad_cv.rules.table import WITHOUT_GRADIENT
from tinygrad_cv.tensor import TABLE, Rule

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_derivatives_are_accurate_at_every_scale(case: Case) -> None:
    found = [finding for dtype in case.dtypes for finding in measure(case, dtype)]
    assert found and all(finding.compared >= 10 for finding in found)
    wrong = [str(finding) for finding in found if not finding.error <= case.limit]
    assert not wrong, "\n".join(wrong)


def test_a_larger_limit_has_a_reason() -> None:
    assert all(limit > ALLOWED and because for limit, because in LIMITS.values())


def test_every_elementwise_function_of_numpy_is_in_the_table() -> None:
    names = {case.name.partition(",")[0] for case in CASES}
    alike = {"conjugate", "nextafter", "heaviside", "frexp", "float_power", "divide"}
    functions: list[Any] = [f for f in TABLE if isinstance(f, np.ufunc) and f not in WITHOUT_GRADIENT]
    missing = [
        f.__name__
        for f in functions
        if isinstance(TABLE[f], Rule)
        and getattr(np, f.__name__, None) is f
        and f.signature is None
        and f.__name__ not in names | alike
    ]
    assert not missing
