"""The GAN: who learns from what, and that each loss trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from models.generative import gan
from models.lab.settings import changed, configure
from models.lab.tasks.gan import PRESETS, GANTask
from tinygrad_cv import data

DIGITS = data.digits("train")
IMAGES = DIGITS.images


def task(loss: str = "non-saturating", seed: int = 0) -> GANTask:
    settings = changed(PRESETS["tiny"], {"model.loss": loss, "training.steps": 50})
    return GANTask(settings, DIGITS, rng=np.random.default_rng(seed))


def weights(module: Any) -> list[np.ndarray]:
    return [p.data.copy() for p in module.parameters()]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_tiny_has_its_number_of_parameters() -> None:
    one = task()
    assert sum(p.size for p in one.generator.parameters()) == 4 * 8 + 8 + 2 * 8 + 8 * 64 + 64
    assert sum(p.size for p in one.discriminator.parameters()) == 64 * 8 + 8 + 9 + 1


@pytest.mark.parametrize("loss", gan.LOSSES)
def test_a_step_changes_both_networks_and_stays_finite(loss: str) -> None:
    one = task(loss)
    before = weights(one.generator), weights(one.discriminator)
    for step in range(3):
        assert all(np.isfinite(v) for v in one.step(step).values())
    assert not same(before[0], weights(one.generator))
    assert not same(before[1], weights(one.discriminator))


def test_the_discriminator_learns_from_detached_fakes() -> None:
    one = task()
    fake = one.generator(tg.Tensor(one.generator.draw_latents(8, one.rng)))
    real = IMAGES[:8].reshape(8, -1)
    logits = one.discriminator(tg.Tensor(real)), one.discriminator(fake.detach())
    gan.discriminator_loss(*logits, "non-saturating").backward()
    assert all(p.grad is None for p in one.generator.parameters())
    assert all(p.grad is not None for p in one.discriminator.parameters())


def test_the_generator_learns_through_the_discriminator_which_stays() -> None:
    one = task()
    one.discriminator.requires_grad_(False)
    fake = one.generator(tg.Tensor(one.generator.draw_latents(8, one.rng)))
    gan.generator_loss(one.discriminator(fake), "non-saturating").backward()
    for name, parameter in one.generator.named_parameters():
        if not name.endswith("0.bias"):  # batch normalisation takes it off again
            assert np.any(parameter.grad), name
    assert all(p.grad is None for p in one.discriminator.parameters())


def test_the_gradient_penalty_is_zero_for_slope_one_and_trains_the_discriminator() -> None:
    direction = tg.Tensor(np.full(4, 0.5), requires_grad=True)  # length 1
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 5, 4)).astype(np.float32)
    penalty = gan.gradient_penalty(lambda x: x @ direction, real, fake, rng=rng)
    assert penalty.item() == pytest.approx(0, abs=1e-12)
    # Length 2: penalty 1, gradient 2 (2 - 1) w / |w|.
    steep = tg.Tensor(np.full(4, 1.0), requires_grad=True)
    penalty = gan.gradient_penalty(lambda x: x @ steep, real, fake, rng=rng)
    penalty.backward()
    assert penalty.item() == pytest.approx(1)
    np.testing.assert_allclose(steep.grad, 1.0)


def test_same_seed_same_bits() -> None:
    samples = []
    for _ in range(2):
        one = task(seed=3)
        for step in range(5):
            one.step(step)
        samples.append(one.sample(7, rng=np.random.default_rng(1)))
    np.testing.assert_array_equal(*samples)
    assert samples[0].shape == (7, 8, 8)
    assert samples[0].min() >= 0
    assert samples[0].max() <= 1


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="non-saturating, minimax, wgan-gp, hinge"):
        task("square")
    with pytest.raises(ValueError, match="tiny, digits, mnist"):
        configure(PRESETS, "huge", DIGITS, {})
