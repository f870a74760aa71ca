"""The VAE: its divergence, its bounds, and its gradient, beside what is known exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import tinygrad_cv as tg
from models.generative.vae import VAE, Posterior, VAEConfig, between, binarise, plane
from models.lab.settings import changed, configure
from models.lab.tasks.vae import PRESETS, VAETask
from tinygrad_cv import data
from tinygrad_cv.testing import check_grad

LINEAR = VAEConfig((2, 3), latent_dim=2, hidden_sizes=(), likelihood="gaussian")
SMALL = VAEConfig((3, 2), latent_dim=2, hidden_sizes=(5,))
SEEDS = st.integers(0, 2**32 - 1)


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def model_of(config: VAEConfig, seed: int = 0) -> VAE:
    """A model in float64 whose weights are larger than at the start."""
    model = VAE(config, rng=generator(seed)).to(np.float64)
    for parameter in model.parameters():
        parameter.data = parameter.data * 2
    return model


def pixels(config: VAEConfig, n: int, seed: int) -> Any:
    grey = generator(seed).random((n, config.pixels))
    return grey if config.likelihood == "gaussian" else np.round(grey)


# --------------------------------------------------------------------------- the divergence


@given(SEEDS)
def test_the_divergence_is_the_mean_of_log_q_less_log_p_over_draws(seed: int) -> None:
    rng = generator(seed)
    mean, log_variance = rng.normal(size=3), rng.normal(size=3)
    posterior = Posterior(mean, log_variance)
    z = posterior.draw(rng.standard_normal((20_000, 3)))
    log_q = stats.norm.logpdf(z, mean, np.exp(log_variance / 2)).sum(axis=1)
    log_p = stats.norm.logpdf(z).sum(axis=1)
    drawn = log_q - log_p
    error = drawn.std() / math.sqrt(len(drawn))
    assert abs(posterior.divergence() - drawn.mean()) < 5 * error


@given(SEEDS)
def test_the_divergence_has_its_gradient_and_is_least_at_the_prior(seed: int) -> None:
    mean, log_variance = generator(seed).normal(size=(2, 4, 3))
    check_grad(lambda m, v: Posterior(m, v).divergence(), mean, log_variance)
    slopes = tg.grad(lambda m, v: Posterior(m, v).divergence().sum(), argnums=(0, 1))(mean, log_variance)
    np.testing.assert_allclose(slopes[0], mean)
    np.testing.assert_allclose(slopes[1], (np.exp(log_variance) - 1) / 2, atol=1e-12)
    assert Posterior(np.zeros((1, 3)), np.zeros((1, 3))).divergence() == 0
    assert np.all(Posterior(mean, log_variance).divergence() > 0)


# ------------------------------------------------------------------------------- the bounds


@given(SEEDS, st.sampled_from(["dense", "convolutional"]), st.sampled_from(["bernoulli", "gaussian"]))
def test_the_bound_of_k_draws_rises_with_k(
    seed: int, architecture: str, likelihood: str
) -> None:
    """Over all subsets of any draws: so it rises with k in expectation."""
    config = replace(SMALL, architecture=architecture, likelihood=likelihood)
    model, x = model_of(config, seed), pixels(config, 4, seed)
    noise = generator(seed).standard_normal((5, 4, 2))
    bounds = []
    for k in range(1, 6):
        some = [model.iwae(x, np.stack(subset)).numpy() for subset in combinations(noise, k)]
        bounds.append(np.mean(some, axis=0))
    assert np.all(np.diff(bounds, axis=0) > -1e-9)
    assert np.all(bounds[4] - bounds[0] > 1e-6)


def test_the_elbo_is_the_bound_of_one_draw_in_expectation() -> None:
    """They differ in the noise, since the divergence of one is exact and that of the other drawn."""
    model, x = model_of(SMALL), pixels(SMALL, 4, 1)
    noise = generator(2).standard_normal((20_000, 4, 2))
    log_likelihood, divergence = model.elbo(x, noise)
    log_weights = model.log_weights(x, noise).numpy()
    differences = log_weights - (log_likelihood - divergence).numpy()
    error = differences.std(axis=0) / math.sqrt(len(noise))
    assert np.all(error > 0)
    assert np.all(abs(differences.mean(axis=0)) < 5 * error)


def linear_model(seed: int) -> tuple[VAE, np.ndarray, np.ndarray]:
    """A linear-Gaussian VAE with its exact posterior; images, and their exact log p(x).

    x = W z + b + sigma noise, where the columns of W are orthogonal, so that the posterior is a
    Gaussian of independent dimensions.
    """
    rng = generator(seed)
    model = model_of(LINEAR, seed)
    W = np.linalg.qr(rng.standard_normal((6, 2))).Q * rng.uniform(0.5, 3, 2)  # (P, Z)
    b, variance = rng.standard_normal(6), rng.uniform(0.1, 1)
    posterior_variance = 1 / (1 + np.square(W).sum(axis=0) / variance)  # (Z,)
    A = posterior_variance[:, None] * W.T / variance  # (Z, P)
    encoder, decoder = model.encoder[0], model.decoder[0]
    decoder.weight.data, decoder.bias.data = W, b
    model.likelihood.log_variance.data = np.log(variance)
    encoder.weight.data = np.concatenate([A, np.zeros((2, 6))])
    encoder.bias.data = np.concatenate([-A @ b, np.log(posterior_variance)])
    x = rng.standard_normal((5, 6)) * 2
    exact = stats.multivariate_normal(b, W @ W.T + variance * np.eye(6)).logpdf(x)
    return model, x, exact


@given(SEEDS)
def test_with_the_exact_posterior_every_draw_gives_the_exact_likelihood(seed: int) -> None:
    model, x, exact = linear_model(seed)
    noise = generator(seed).standard_normal((3, 5, 2))
    np.testing.assert_allclose(model.log_weights(x, noise).numpy(), np.tile(exact, (3, 1)))
    np.testing.assert_allclose(model.iwae(x, noise).numpy(), exact)


def all_moments(Z: int, n: int) -> np.ndarray:
    """Noise (2 Z, n, Z) whose mean over the draws is that of N(0, 1) for all squares."""
    points = math.sqrt(Z) * np.eye(Z)
    return np.repeat(np.concatenate([points, -points])[:, None], n, axis=1)


@given(SEEDS)
def test_with_another_posterior_the_bounds_are_below_the_exact_likelihood(seed: int) -> None:
    model, x, exact = linear_model(seed)
    rng = generator(seed)
    bias = model.encoder[0].bias
    bias.data = bias.data + rng.standard_normal(4)
    log_likelihood, divergence = model.elbo(x, all_moments(2, 5))
    elbo = (log_likelihood.mean(axis=0) - divergence).numpy()
    assert np.all(elbo < exact)
    # exact - ELBO is the divergence between the two posteriors.
    true = linear_model(seed)[0].encode(x)
    log_variance, wrong = true.log_variance.numpy(), model.encode(x)
    ratio = np.exp(wrong.log_variance.numpy() - log_variance)
    shift = np.square(wrong.mean.numpy() - true.mean.numpy()) / np.exp(log_variance)
    gap = 0.5 * (ratio + shift - 1 - np.log(ratio)).sum(axis=1)
    np.testing.assert_allclose(exact - elbo, gap, rtol=1e-6, atol=1e-9)


@given(SEEDS)
def test_the_reparameterised_gradient_is_that_of_the_expectation(seed: int) -> None:
    """For a linear-Gaussian VAE E_q log p(x | z) is known: |x - W m - b|^2 gains W's variance."""
    model = model_of(LINEAR, seed)
    x = generator(seed).standard_normal((4, 6))

    def expected() -> Any:
        posterior = model.encode(x)
        W, log_variance = model.decoder[0].weight, model.likelihood.log_variance
        squares = np.square(x - model.decode(posterior.mean)).sum(axis=1)
        spread = np.exp(posterior.log_variance) @ np.square(W).sum(axis=0)
        log_p = (squares + spread) * np.exp(-log_variance) + 6 * (np.log(2 * np.pi) + log_variance)
        return (0.5 * log_p + posterior.divergence()).mean()

    gradients = []
    for loss in (expected(), model.loss(x, all_moments(2, 4))):
        model.zero_grad()
        loss.backward()
        gradients.append([loss.item(), *(p.grad.copy() for p in model.parameters())])
    for analytic, drawn in zip(*gradients, strict=True):
        np.testing.assert_allclose(drawn, analytic, rtol=1e-9, atol=1e-11)


@given(SEEDS, st.sampled_from(["bernoulli", "gaussian"]), st.floats(0, 4))
def test_the_loss_has_its_gradient(seed: int, likelihood: str, beta: float) -> None:
    config = replace(SMALL, likelihood=likelihood, hidden_sizes=())
    model, x = model_of(config, seed), pixels(config, 2, seed)
    noise = generator(seed).standard_normal((2, 2))
    parts = [model.encoder[0], model.decoder[0]]

    def loss(W: Any, b: Any, V: Any, c: Any) -> Any:
        for part, weight, bias in zip(parts, (W, V), (b, c), strict=True):
            part.forward = lambda h, weight=weight, bias=bias: h @ weight.T + bias
        return model.loss(x, noise, beta=beta)

    check_grad(loss, *[p.data.copy() for part in parts for p in (part.weight, part.bias)])


# ------------------------------------------------------------------------------- likelihoods


@pytest.mark.parametrize("num_levels", [2, 3, 17])
def test_the_probabilities_of_all_levels_add_up_to_one(num_levels: int) -> None:
    config = VAEConfig((1, 1), latent_dim=1, hidden_sizes=(3,), num_levels=num_levels)
    model, z = model_of(config), np.full((num_levels, 1), 0.7)
    levels = np.linspace(0, 1, num_levels)[:, None]
    log_p = model.likelihood.log_likelihood(levels, model.decode(z)).numpy()
    assert np.exp(log_p).sum() == pytest.approx(1)


def test_grey_images_become_pixels_with_their_grey_values_as_probabilities() -> None:
    grey = np.tile(np.array([[0.0, 0.25, 1.0]]), (4000, 1))
    drawn = binarise(grey, rng=generator(0))
    assert set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn.mean(axis=0), grey[0], atol=0.03)
    task = VAETask(PRESETS["tiny"], data.digits("train"), rng=generator(0))
    seen = [task.model.observed(task.batches.arrays[0][:50], rng=task.rng) for _ in range(2)]
    assert not np.array_equal(*seen)


@pytest.mark.parametrize("changes", [{}, {"num_levels": 5}, {"likelihood": "gaussian"}])
def test_images_drawn_from_the_likelihood_have_its_means(changes: dict[str, Any]) -> None:
    model = VAE(replace(SMALL, **changes), rng=generator(0))
    means = np.tile(generator(1).random((1, 3, 2), np.float32), (5000, 1, 1))
    drawn = model.likelihood.draw(means, generator(2))
    np.testing.assert_allclose(drawn.mean(axis=0), means[0], atol=0.03)
    if "likelihood" not in changes:
        assert len(np.unique(drawn)) == model.config.num_levels


# ----------------------------------------------------------------------- shapes, and classes


@pytest.mark.parametrize("shape", [((9, 7), 1), ((8, 8), 3), ((5, 12), 1)])
@pytest.mark.parametrize("num_classes", [0, 4])
def test_convolutions_give_back_images_of_any_size(shape: Any, num_classes: int) -> None:
    size, channels = shape
    config = VAEConfig(size, channels, 3, "convolutional", (4, 6), num_classes=num_classes)
    model = VAE(config, rng=generator(0))
    images = model.sample(2, rng=generator(1))
    assert images.shape == (2, *config.image_shape)
    labels = np.array([1, 3]) if num_classes else None
    x = model.observed(images, rng=generator(2))
    assert model.reconstruct(x, labels).shape == images.shape
    assert model.bounds(x, labels, k=3, rng=generator(3)).shape == (2,)


def test_the_bounds_of_each_class_classify() -> None:
    digits, test = data.digits("train"), data.digits("test")
    changes = {"model.num_classes": 10, "model.num_levels": 17, "model.hidden_sizes": (32,), "training.steps": 120}
    settings = changed(PRESETS["digits"], {**changes, "training.lr": 5e-3, "training.warmup_steps": 10})
    task = VAETask(settings, digits, rng=generator(0))
    for step in range(120):
        task.step(step)
    x = task.model.observed(test.images[:200], rng=generator(1))
    bounds = task.model.class_bounds(x, k=5, rng=generator(2))
    assert bounds.shape == (200, 10)
    assert np.mean(bounds.argmax(axis=1) == test.labels[:200]) > 0.6  # chance: 0.1


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_missing_pixels_are_drawn_and_known_ones_stay(likelihood: str) -> None:
    """Where a latent vector decides all pixels, the known ones decide the missing ones."""
    config = VAEConfig((2, 2), latent_dim=1, hidden_sizes=(), likelihood=likelihood)
    model = VAE(config, rng=generator(0))
    encoder, decoder = model.encoder[0], model.decoder[0]
    encoder.weight.data = np.array([[2.0, 2, 2, 2], [0, 0, 0, 0]], np.float32)
    encoder.bias.data = np.array([-4.0, -6], np.float32)
    slope, middle = (20, 0) if likelihood == "bernoulli" else (0.25, 0.5)
    decoder.weight.data = np.full((4, 1), slope, np.float32)
    decoder.bias.data = np.full(4, middle, np.float32)
    images = np.repeat(np.array([0, 1], np.float32), 4).reshape(2, 2, 2)
    known = np.ones((2, 2, 2), bool)
    known[:, 0, 0] = False
    filled = model.inpaint(np.where(known, images, 0.5), known, rng=generator(1))
    np.testing.assert_array_equal(filled[known], images[known])
    np.testing.assert_allclose(filled[:, 0, 0], [0, 1], atol=0.3)


def test_classes_are_needed_where_a_model_has_them_and_refused_elsewhere() -> None:
    x, noise = np.zeros((2, 6), np.float32), np.zeros((2, 2), np.float32)
    plain, conditional = VAE(SMALL, rng=generator(0)), VAE(replace(SMALL, num_classes=3), rng=generator(0))
    with pytest.raises(ValueError, match="num_classes=0: it has no classes"):
        plain.loss(x, noise, np.zeros(2, int))
    with pytest.raises(ValueError, match="num_classes=3: this VAE tells classes apart"):
        conditional.loss(x, noise)
    with pytest.raises(ValueError, match="label=3: the classes of this model are 0 to 2"):
        conditional.loss(x, noise, np.array([0, 3]))
    with pytest.raises(ValueError, match="has no classes; train one with num_classes"):
        plain.class_bounds(x, rng=generator(0))
    with pytest.raises(ValueError, match=r"model\.num_classes=4: digits has 10"):
        configure(PRESETS, "tiny", data.digits("train"), {"model.num_classes": "4"})


# ------------------------------------------------------------------------- the latent space


def test_a_path_has_its_ends_and_a_plane_its_quantiles() -> None:
    start, end = generator(0).standard_normal((2, 3, 4)).astype(np.float32)
    path = between(start, end, 5)
    np.testing.assert_array_equal(path[:, 0], start)
    np.testing.assert_array_equal(path[:, -1], end)
    np.testing.assert_allclose(path[:, 2], (start + end) / 2, rtol=1e-6)
    z = plane(3, 2, 0, 4)
    assert z.shape == (4, 4, 3)
    assert not z[..., 1].any()
    expected = [0.125, 0.375, 0.625, 0.875]
    np.testing.assert_allclose(stats.norm.cdf(z[:, 0, 2]), expected, rtol=1e-6)
    np.testing.assert_allclose(stats.norm.cdf(z[0, :, 0]), expected, rtol=1e-6)
