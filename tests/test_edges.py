"""Kernels, layers and optimisers at the edges: hidden rows, empty batches, infinities, NaN, arguments out of range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import Tensor, jvp, kernels

RNG = np.random.default_rng(0)
SEEDS = st.integers(0, 2**31)


def leaf(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(RNG.normal(size=shape).astype(dtype), requires_grad=True)


# -------------------------------------------------------------------------------------------------------- attention


def attend(query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    return kernels.attention(query, key, value, mask, **options)


def attend_to_itself(query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    """The same in one packed array of one head: (B, L, D) each."""
    return kernels.self_attention(np.concatenate([query, key, value], axis=-1), mask, num_heads=1, **options)


def attend_by_reference(query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
    return kernels.attention.reference(query, key, value, mask, **options)


@pytest.mark.parametrize("form", [attend, attend_to_itself, attend_by_reference])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(seed=SEEDS, causal=st.booleans(), shared=st.booleans())
def test_a_mask_of_minus_infinity_hides_as_false_does(
    form: Any, dtype: Any, seed: int, causal: bool, shared: bool
) -> None:
    """Value, gradients and tangent; among others where a query may look nowhere."""
    rng = np.random.default_rng(seed)
    q, k, v, g = rng.normal(size=(4, 2, 3, 4)).astype(dtype)
    visible = rng.random((3, 3) if shared else (2, 3, 3)) < 0.6
    visible[..., 0, :] = False
    if form is attend_to_itself and not shared:
        visible = visible[:, None]  # (B, num_heads, L, L)
    additive = np.where(visible, 0, -np.inf).astype(dtype)

    def results(mask: np.ndarray) -> list[np.ndarray]:
        tensors = [Tensor(x, requires_grad=True) for x in (q, k, v)]
        y = form(*tensors, mask, causal=causal)
        np.sum(y * g).backward()
        _, y_dot = jvp(lambda *x: form(*x, mask, causal=causal), (q, k, v), (k, v, q))
        return [y.data, *(x.grad for x in tensors), np.asarray(y_dot)]

    found, expected = results(additive), results(visible)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)
        assert np.isfinite(got).all()
    assert not found[0][..., 0, :].any()


def test_the_gradient_of_a_mask_is_zero_where_it_hides() -> None:
    mask = Tensor(np.array([[-np.inf] * 3, [0.5, -np.inf, 1.0]]), requires_grad=True)
    np.sum(kernels.attention(leaf(2, 4), leaf(3, 4), leaf(3, 4), mask) ** 2).backward()
    assert np.isfinite(mask.grad).all()
    assert not mask.grad[mask.data == -np.inf].any()
    assert mask.grad[1, 0] == pytest.approx(-mask.grad[1, 2], rel=1e-12) != 0


def test_a_mask_hides_scores_that_are_infinite() -> None:
    key = np.ones((3, 4))
    key[1] = np.inf
    y = kernels.attention(np.ones((2, 4)), key, np.eye(3), np.array([0, -np.inf, 0]))
    np.testing.assert_array_equal(y, [[0.5, 0, 0.5]] * 2)


@pytest.mark.parametrize("mask", [np.ones((2, 3), int), np.ones((2, 3), np.uint8)])
def test_a_mask_of_integers_is_refused(mask: np.ndarray) -> None:
    """Is 0 "may not be looked at" or "add nothing"? Other libraries differ."""
    with pytest.raises(TypeError, match="mask has dtype u?int"):
        kernels.attention(leaf(2, 4), leaf(3, 4), leaf(3, 4), mask)
    with pytest.raises(TypeError, match="mask of additive_attention is boolean, not u?int"):
        kernels.additive_attention(leaf(2, 4), leaf(3, 4), leaf(4), leaf(3, 4), mask)


def test_additive_attention_refuses_a_mask_to_be_added() -> None:
    with pytest.raises(TypeError, match="mask of additive_attention is boolean, not float64"):
        kernels.additive_attention(leaf(2, 4), leaf(3, 4), leaf(4), leaf(3, 4), np.zeros((2, 3)))
