"""Diffusion: its arithmetic against probability theory, sampling, classes, missing pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.classical import missing as missing_parts
from models.generative import ddpm, unet
from models.generative.diffusion import PREDICTIONS, Diffusion, betas
from models.lab.settings import changed, configure
from models.lab.tasks.ddpm import PRESETS, DDPMTask
from tinygrad_cv import data

DIGITS = data.digits()
X0 = ddpm.to_network(DIGITS.images[:6])
schedules = st.sampled_from(["linear", "cosine"])
predictions = st.sampled_from(PREDICTIONS)


def make(**changes: Any) -> DDPMTask:
    """A tiny task whose model has other values."""
    model = changed(PRESETS["tiny"].model, changes)
    settings = changed(PRESETS["tiny"], {"model": model})
    return DDPMTask(settings, DIGITS, rng=np.random.default_rng(0))


@given(schedules, st.sampled_from([20, 100, 1000]))
def test_the_schedule_goes_from_the_image_to_noise_in_float64(
    schedule: str, timesteps: int
) -> None:
    diffusion = Diffusion(schedule, timesteps)
    assert diffusion.beta.dtype == diffusion.alphas_cumprod.dtype == np.float64
    assert diffusion.alphas_cumprod[0] == 1
    assert np.all(np.diff(diffusion.alphas_cumprod) < 0)
    assert diffusion.alphas_cumprod[-1] < (1e-4 if timesteps >= 100 else 1e-3)
    assert 0 < diffusion.beta[1] < 0.1


def test_the_linear_schedule_is_the_papers() -> None:
    np.testing.assert_allclose(betas("linear", 1000), np.linspace(1e-4, 0.02, 1000), rtol=1e-12)


@given(schedules, st.integers(1, 50))
def test_one_leap_is_as_many_steps(schedule: str, t: int) -> None:
    """Mean and variance of x_t are those of t steps (equation 2):

    x_t = sqrt(1 - beta_t) x_(t-1) + sqrt(beta_t) epsilon.
    """
    diffusion, mean, variance = Diffusion(schedule, 50), 1.0, 0.0
    for beta in diffusion.beta[1 : t + 1]:
        mean, variance = np.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
    one = np.ones((1, 1), np.float64)
    assert diffusion.q_sample(one, np.array([t]), 0 * one)[0, 0] == pytest.approx(mean, rel=1e-9)
    noisy = diffusion.q_sample(0 * one, np.array([t]), one)
    assert noisy[0, 0] ** 2 == pytest.approx(variance, rel=1e-9)


@given(schedules, st.integers(2, 50))
def test_the_posterior_is_bayes(schedule: str, t: int) -> None:
    """The product of the Gaussians q(x_t | x_(t-1)) and q(x_(t-1) | x_0), by adding precisions."""
    diffusion = Diffusion(schedule, 50)
    x0, x, before, beta = 0.7, -0.4, diffusion.alphas_cumprod[t - 1], diffusion.beta[t]
    precision = 1 / (1 - before) + (1 - beta) / beta
    centre = (np.sqrt(before) * x0 / (1 - before) + np.sqrt(1 - beta) * x / beta) / precision
    mean, variance = diffusion.posterior(np.array(x0), np.array(x), t)
    assert mean == pytest.approx(centre, rel=1e-9)
    assert variance == pytest.approx(1 / precision, rel=1e-9)


@given(schedules, predictions, st.integers(1, 45))
def test_a_right_prediction_gives_back_image_and_noise(
    schedule: str, prediction: str, t: int
) -> None:
    diffusion = Diffusion(schedule, 50, prediction)
    noise, timesteps = np.random.default_rng(t).standard_normal(X0.shape), np.full(len(X0), t)
    images = X0.astype(np.float64)
    x = diffusion.q_sample(images, timesteps, noise)
    target = diffusion.target(images, timesteps, noise)
    x0, epsilon = diffusion.x0_and_epsilon(x, timesteps, target)
    np.testing.assert_allclose(x0, X0, atol=1e-6)
    np.testing.assert_allclose(epsilon, noise, atol=1e-5)


@given(schedules, predictions, st.integers(2, 50))
def test_ddim_with_eta_1_is_the_ancestral_step(schedule: str, prediction: str, t: int) -> None:
    diffusion = Diffusion(schedule, 50, prediction)
    x = np.random.default_rng(t).standard_normal((3, 1, 4, 4))
    network = lambda x, t: np.tanh(x)
    one, _ = diffusion.ancestral_step(network, x, t, rng=np.random.default_rng(1))
    two, _ = diffusion.ddim_step(network, x, t, t - 1, 1.0, rng=np.random.default_rng(1))
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)


@given(schedules, predictions, st.floats(0, 1), st.integers(1, 60))
def test_a_network_that_knows_the_image_draws_it(
    schedule: str, prediction: str, eta: float, steps: int
) -> None:
    task = make(beta_schedule=schedule, prediction_type=prediction, timesteps=50)
    some = X0[:2].astype(np.float64)

    def oracle(x: Any, t: Any) -> Any:
        signal, sigma = task.model.diffusion.scales(t, x)
        return task.model.diffusion.target(some, t, (x - signal * some) / sigma)

    task.model.denoiser = lambda labels, guidance: oracle  # type: ignore[method-assign]
    rng = np.random.default_rng(steps)
    start = task.model.noise(2, rng).astype(np.float64)
    *_, (x, _) = task.model.reverse(start, eta=eta, sampling_steps=steps, rng=rng)
    np.testing.assert_allclose(x, some, atol=1e-4)


@pytest.mark.parametrize("missing", missing_parts.MISSING)
def test_a_part_of_an_image_is_missing(missing: str) -> None:
    known = missing_parts.known_pixels((8, 12), missing)
    assert known.mean() == (0.75 if missing == "middle" else 0.5)
    corners = {
        "lower": [1, 1, 0, 0],
        "upper": [0, 0, 1, 1],
        "left": [0, 1, 0, 1],
        "right": [1, 0, 1, 0],
        "middle": [1, 1, 1, 1],
    }
    assert known[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == corners[missing]


def test_known_pixels_come_back_exactly_and_the_others_are_drawn() -> None:
    task, known = make(), np.zeros((4, 8, 8), bool)
    known[:, :5] = True
    images = DIGITS.images[:4]
    filled = task.inpaint(images, known, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(filled[known], images[known])
    assert not np.array_equal(filled[~known], images[~known])
    assert filled.dtype == images.dtype


def test_guidance_1_is_the_conditional_prediction_and_0_the_unconditional() -> None:
    task = make()
    for step in range(3):
        task.step(step)
    task.model.eval()
    x, t, labels = X0, np.full(len(X0), 7), np.arange(6)
    conditional, unconditional = task.model(x, t, labels).numpy(), task.model(x, t).numpy()
    difference = conditional - unconditional
    assert not np.allclose(difference, 0, atol=1e-6)
    np.testing.assert_array_equal(task.model.denoiser(labels, 1.0)(x, t), conditional)
    np.testing.assert_allclose(task.model.denoiser(labels, 0.0)(x, t), unconditional, atol=1e-6)
    guided = task.model.denoiser(labels, 3.0)(x, t)
    np.testing.assert_allclose(guided, unconditional + 3 * difference, atol=1e-5)


def test_labels_of_each_image_reach_it() -> None:
    """Drawing images with labels in two batches or one is the same, but for the noise."""
    task = make()
    with pytest.raises(ValueError, match="label=10: the classes of this model are 0 to 9"):
        task.sample(2, label=10, rng=np.random.default_rng(0))
    by_class = task.sample(3, label=np.array([1, 2, 3]), rng=np.random.default_rng(0))
    assert by_class.shape == (3, 8, 8)
    assert task.sample(0, rng=np.random.default_rng(0)).shape == (0, 8, 8)


def test_images_survive_the_networks_range() -> None:
    for images in (DIGITS.images[:5], np.random.default_rng(0).random((5, 4, 6, 3), np.float32)):
        back = ddpm.to_images(ddpm.to_network(images), images.shape[1:])
        np.testing.assert_allclose(back, images, atol=1e-6)


def test_a_fresh_unet_predicts_zero_and_takes_time_and_class() -> None:
    config = unet.UNetConfig(base_channels=8, num_heads=2, num_classes=10, dropout=0.0)
    model, t = unet.UNet(config, rng=np.random.default_rng(0)), np.full(len(X0), 3)
    assert not model(X0, t).numpy().any()
    for _, p in model.named_parameters():
        p.data[...] = np.random.default_rng(1).normal(size=p.shape) * 0.3
    one = model(X0, t, np.zeros(6, int)).numpy()
    assert not np.allclose(one, model(X0, t + 1, np.zeros(6, int)).numpy())
    assert not np.allclose(one, model(X0, t, np.ones(6, int)).numpy())
    alone = model(X0[:1], t[:1], np.zeros(1, int)).numpy()
    np.testing.assert_allclose(one[:1], alone, rtol=1e-3, atol=1e-4)


def test_sampling_options_out_of_range_are_refused() -> None:
    for options in ({"sampling_steps": 0}, {"eta": 1.5}, {"eta": -0.1}):
        with pytest.raises(ValueError, match="at least 1 step, and eta from 0 to 1"):
            make().sample(1, rng=np.random.default_rng(0), **options)


def test_a_unet_refuses_images_that_cannot_be_halved() -> None:
    model = unet.UNet(unet.UNetConfig(base_channels=8, num_heads=2), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="images of 8 x 7 cannot be halved"):
        model(X0[..., :7], np.full(6, 1))
    for x, t in ((X0[0], np.full(6, 1)), (X0, np.full(5, 1)), (X0, 1)):
        with pytest.raises(ValueError, match=r"images are \(B, C, H, W\) and timesteps \(B,\)"):
            model(x, t)  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"beta_schedule": "sqrt"}, {"prediction_type": "noise"}])
def test_unknown_names_list_the_known_ones(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"linear, cosine|epsilon, x0, v"):
        make(**changes)


def test_a_model_without_classes_trains_and_refuses_them() -> None:
    task = make(**{"unet.num_classes": 0})
    assert np.isfinite(task.step(0)["loss"])
    assert task.sample(2, rng=np.random.default_rng(0)).shape == (2, 8, 8)
    with pytest.raises(ValueError, match="label=3: it has no classes"):
        task.sample(2, label=3, rng=np.random.default_rng(0))


def test_training_sees_every_time_from_1_to_the_last() -> None:
    task, seen = make(), []
    q_sample = task.model.diffusion.q_sample

    def observed(x0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        seen.extend(t)
        return q_sample(x0, t, noise)

    task.model.diffusion.q_sample = observed  # type: ignore[method-assign]
    for step in range(40):
        task.step(step)
    assert set(seen) == set(range(1, 21))


def test_published_models_have_their_numbers_of_parameters() -> None:
    """Ho et al. 2020, appendix B: 35.7 million for CIFAR10."""
    model = ddpm.DDPM(ddpm.SIZES["ddpm-cifar10"], rng=np.random.default_rng(0))
    assert sum(p.size for p in model.parameters()) == 35_746_307


def test_images_and_unet_have_as_many_channels() -> None:
    with pytest.raises(ValueError, match=r"unet\.in_channels=1: the images have num_channels=3"):
        make(num_channels=3)


def test_fewer_classes_than_the_data_set_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.unet\.num_classes=5: digits has 10"):
        configure(PRESETS, "tiny", DIGITS, {"model.unet.num_classes": "5"})
