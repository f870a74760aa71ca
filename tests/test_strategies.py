"""The strategies keep their promises, and shrink to what reads well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from tinygrad_cv.testing import strategies as s


@given(s.arrays(domain=(-1, 3), avoid=[0, 2], decimals=2))
def test_arrays_keep_domain_avoidance_and_decimals(a: np.ndarray) -> None:
    assert a.dtype == np.float64
    assert np.all((a >= -1) & (a <= 3))
    assert np.all(np.abs(a) >= 0.05)
    assert np.all(np.abs(a - 2) >= 0.05)
    assert all(len(repr(abs(v))) <= 4 for v in a.ravel().tolist())


@given(s.arrays((3, 3), min_gap=0.25))
def test_a_gap_holds_between_all_elements(a: np.ndarray) -> None:
    assert np.diff(np.sort(a.ravel())).min() >= 0.25 - 1e-9


def test_ordinary_draws_are_spread_over_the_domain() -> None:
    seen: list[np.ndarray] = []

    @settings(max_examples=30, database=None, derandomize=True)
    @given(s.arrays((20,)))
    def collect(a: np.ndarray) -> None:
        seen.append(a)

    collect()
    values = np.concatenate(seen[2:])
    assert np.histogram(values, bins=8, range=(-2, 2))[0].min() > 0.03 * len(values)


@pytest.mark.parametrize(
    "strategy, wanted, simplest",
    [
        (s.arrays((3,)), lambda a: True, [0, 0, 0]),
        (s.arrays((2,), avoid=[0]), lambda a: True, [1, 1]),
        (s.arrays((3,), min_gap=0.1), lambda a: True, [0, 1, -1]),
    ],
)
def test_arrays_shrink_to_the_simplest_numbers(strategy: Any, wanted: Any, simplest: list[float]) -> None:
    assert sorted(find(strategy, wanted).tolist()) == sorted(simplest)


def test_arrays_shrink_to_few_decimals() -> None:
    always_the_same = settings(database=None, derandomize=True)
    found = find(s.arrays((2,)), lambda a: a.max() > 1.2, settings=always_the_same)
    assert found.min() == 0
    assert len(repr(float(found.max()))) <= 4


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="no number of 3 decimals lies in"):
        find(s.arrays((1,), domain=(0.0, 0.01), avoid=[0]), lambda a: True)
    with pytest.raises(ValueError, match="widen it"):
        find(s.arrays((100,), min_gap=1), lambda a: True)


@given(s.broadcastable(3))
def test_broadcastable_arrays_broadcast(parts: tuple[np.ndarray, ...]) -> None:
    assert len(np.broadcast_shapes(*[p.shape for p in parts])) <= 3


@given(s.matmul_inputs())
def test_matmul_inputs_multiply(pair: tuple[np.ndarray, np.ndarray]) -> None:
    np.matmul(*pair)


@given(s.array_and_axis())
def test_an_axis_belongs_to_its_array(pair: Any) -> None:
    np.sum(pair[0], axis=pair[1])


@given(st.data())
def test_indices_are_legal(data: Any) -> None:
    shape = data.draw(s.shapes(0, 3))
    index = data.draw(s.indices(shape))
    assert isinstance(np.zeros(shape)[index], (np.ndarray, float))


@pytest.mark.parametrize(
    "kind",
    [
        lambda part: isinstance(part, int),
        lambda part: isinstance(part, slice) and (part.step or 1) < 0,
        lambda part: part is None,
        lambda part: part is ...,
        lambda part: isinstance(part, np.ndarray) and part.dtype == bool,
        lambda part: isinstance(part, np.ndarray) and part.dtype == int and len(set(part.ravel() % 3)) < part.size,
    ],
)
def test_every_kind_of_index_appears(kind: Any) -> None:
    find(s.indices((3, 3)), lambda i: any(kind(p) for p in (i if isinstance(i, tuple) else (i,))))  # raises if there is none


@given(s.einsum_cases())
def test_einsum_cases_are_legal(case: Any) -> None:
    np.einsum(*case)


@given(s.attention_inputs())
def test_every_query_sees_a_key(case: Any) -> None:
    q, k, v, mask = case
    assert (q @ np.swapaxes(k, -1, -2) @ v).shape == (*q.shape[:-1], v.shape[-1])
    assert mask is None or mask.any(axis=1).all()


@given(s.conv_inputs())
def test_convolutions_have_an_output(case: Any) -> None:
    x, weight, options = case
    assert weight.shape[1] * options["groups"] == x.shape[1]
    assert weight.shape[0] % options["groups"] == 0
    for size, k in zip(x.shape[2:], weight.shape[2:], strict=True):
        assert (size + 2 * options["padding"] - options["dilation"] * (k - 1) - 1) // options["stride"] + 1 >= 1


@given(s.positive_definite(), s.well_conditioned())
def test_matrices_can_be_inverted(p: np.ndarray, w: np.ndarray) -> None:
    np.linalg.cholesky(p)
    assert np.linalg.cond(w) < 50
