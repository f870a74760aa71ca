"""np.gradient with uneven spacing: NumPy's value, shape, dtype and refusals, and exact where the theory says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tests.test_rules_reductions import MANY, arrays, compare

AXES = st.sampled_from([{}, {"axis": 0}, {"axis": -1}, {"axis": (0, 1)}, {"axis": (1, 0)}, {"axis": (0, 0)}, {"axis": 2}])


@st.composite
def spacings(draw: st.DrawFn, shape: tuple[int, ...]) -> list[Any]:
    """None, one, or some: numbers, even and uneven coordinates, of the right length and of others."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    lengths = st.sampled_from([*shape, 3])
    coordinates = lengths.map(lambda n: np.cumsum(rng.uniform(0.5, 2, n)))
    even = lengths.map(np.arange)
    return draw(st.lists(st.one_of(st.sampled_from([0.5, -2.0, np.float32(3)]), coordinates, even), max_size=3))


@pytest.mark.filterwarnings("ignore")
@MANY
@given(data=st.data(), axes=AXES, edges=st.sampled_from([{}, {"edge_order": 1}, {"edge_order": 2}, {"edge_order": 3}]))
def test_gradient_has_numpys_spacings_and_edges(data: Any, axes: dict[str, Any], edges: dict[str, Any]) -> None:
    f = data.draw(arrays())
    steps = data.draw(spacings(f.shape))
    compare(lambda f: np.gradient(f, *steps, **axes, **edges), f)
    if np.isfinite(f).all():
        coordinates = [np.asarray(h, float) for h in steps]
        compare(lambda f, *steps: np.gradient(f, *steps, **axes, **edges), f, *coordinates)


@given(seed=st.integers(0, 99), n=st.integers(3, 6))
def test_the_slope_of_a_parabola_is_exact_whatever_the_spacing(seed: int, n: int) -> None:
    """So it has the derivatives of 2 a x + b in a, in b, and in the coordinates too."""
    rng = np.random.default_rng(seed)
    x, g = np.cumsum(rng.uniform(0.5, 2, n)), rng.normal(size=n)
    slopes = lambda a, b, x: np.sum(g * np.gradient(a * x * x + b * x, x, edge_order=2))
    found = tg.grad(slopes, (0, 1, 2))(1.5, -0.5, x)
    for derivative, expected in zip(found, (np.sum(2 * g * x), np.sum(g), 3.0 * g), strict=True):
        np.testing.assert_allclose(derivative, expected, rtol=1e-9, atol=1e-12)
