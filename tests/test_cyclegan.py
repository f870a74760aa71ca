"""CycleGAN: there and back without pairs, the pool of earlier fakes; and the least-squares loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.generative.cyclegan import (
    CycleDiscriminators,
    CycleGANConfig,
    CycleGenerators,
    cycle_loss,
)
from models.generative.gan import discriminator_loss, generator_loss
from models.lab.tasks.cyclegan import PRESETS, CycleGANTask, ImagePool
from tinygrad_cv import data

DIGITS = data.digits("train")
RNG = np.random.default_rng
COLOURED = CycleGANConfig(num_channels=3, generator_channels=(4, 8), discriminator_channels=(4,))


def images(channels: int, seed: int = 0) -> np.ndarray:
    return RNG(seed).random((5, channels, 8, 8), np.float32)


def test_x_and_y_are_translated_each_by_its_own_generator() -> None:
    model = CycleGenerators(COLOURED, rng=RNG(0))
    x, y = images(1), images(3)
    there = model(tg.Tensor(np.concatenate([x, y], axis=1))).numpy()
    np.testing.assert_allclose(there[:, 1:], model.translate(x), atol=1e-6)
    np.testing.assert_allclose(there[:, :1], model.F(tg.Tensor(y)).numpy(), atol=1e-6)


def test_each_discriminator_sees_its_own_kind_only() -> None:
    model = CycleDiscriminators(COLOURED, rng=RNG(0))
    x, y = images(1), images(3)
    logits = model(tg.Tensor(np.concatenate([x, y], axis=1))).numpy()
    assert logits.shape == (5, 2, 4, 4)
    for changed in (0, 1):
        other = [x, y]
        other[changed] = 1 - other[changed]
        moved = model(tg.Tensor(np.concatenate(other, axis=1))).numpy() != logits
        assert moved[:, changed].any()
        assert not moved[:, 1 - changed].any()


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_cycle_loss_is_the_mean_over_both_kinds(in_x: float, in_y: float) -> None:
    """Whatever the numbers of their channels."""
    pair = np.concatenate([images(1), images(3)], axis=1)
    moved = pair.copy()
    moved[:, :1] += in_x
    moved[:, 1:] -= in_y
    assert cycle_loss(moved, pair, COLOURED) == pytest.approx((in_x + in_y) / 2, abs=1e-6)


@given(st.integers(0, 10_000))
def test_the_least_squares_loss_is_that_of_the_paper(seed: int) -> None:
    real, fake = RNG(seed).normal(0, 2, (2, 7))
    verdicts = (1 + real) / 2, (1 + fake) / 2
    expected = np.mean((verdicts[0] - 1) ** 2) + np.mean(verdicts[1] ** 2)
    assert discriminator_loss(real, fake, "least-squares") == pytest.approx(expected)
    expected = np.mean((verdicts[1] - 1) ** 2)
    assert generator_loss(fake, "least-squares") == pytest.approx(expected)


@given(st.integers(0, 9), st.lists(st.integers(1, 6), max_size=8), st.integers(0, 100))
def test_the_pool_loses_no_image(size: int, batches: list[int], seed: int) -> None:
    pool, rng = ImagePool(size, ()), RNG(seed)
    seen = given_back = np.zeros(0)
    for number, count in enumerate(batches):
        new = np.arange(count) + 10.0 * number
        out = pool.exchange(new, rng=rng)
        assert len(out) == count
        if len(seen) + count <= size or not size:
            np.testing.assert_array_equal(out, new)
        seen, given_back = np.concatenate([seen, new]), np.concatenate([given_back, out])
    assert len(pool.images) == min(size, len(seen))
    assert set(pool.images) <= set(seen)
    assert set(given_back) <= set(seen)
    assert set(seen) == set(pool.images) | set(given_back)


def test_a_full_pool_gives_an_earlier_image_every_other_time() -> None:
    pool = ImagePool(1000, ())
    pool.exchange(np.zeros(1000), rng=RNG(0))
    given_back = pool.exchange(np.ones(1000), rng=RNG(1))
    assert 0.35 < np.mean(given_back == 0) < 0.5  # some of the places have new images by then
    assert np.sum(pool.images == 1) == np.sum(given_back == 0)


def test_no_outline_has_its_digit_in_the_training() -> None:
    task = CycleGANTask(PRESETS["tiny"], DIGITS, rng=RNG(0))
    others, digits = task.batches.arrays
    shared = np.all(others[:, None] == digits[None], axis=(2, 3))
    assert len(others) == len(digits) == len(DIGITS.images) // 2
    assert not shared.any() or shared.mean() < 1e-5  # but for two equal scans
    (pair,) = task.next_batch()
    assert set(np.unique(pair[:, 0])) == {0, 1}
    assert len(np.unique(pair[:, 1])) > 2


def test_the_way_back_is_learned_with_the_way_there() -> None:
    """Few steps lower the cycle loss, which both generators share."""
    task = CycleGANTask(PRESETS["tiny"], DIGITS, rng=RNG(0))
    before = {name: p.data.copy() for name, p in task.generator.named_parameters()}
    losses = [task.step(step)["cycle L1"] for step in range(40)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) * 0.9
    for name, parameter in task.generator.named_parameters():
        assert np.any(parameter.data != before[name]), name
