"""Mixtures, hidden Markov models and Bayes' theorem: EM rises along the gradient, and sums over paths are sums."""

from __future__ import annotations

import doctest
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal

import tinygrad_cv as tg
from models.classical import gmm, hmm
from models.classical.bayes import log_evidence, log_posterior
from models.classical.covariances import STRUCTURES, Gaussians, covariance_of, dense, log_densities
from models.classical.gmm import GaussianMixture, GMMConfig, ImageMixture, log_likelihood
from models.classical.hmm import (
    HiddenMarkovModel,
    RowHMM,
    RowHMMConfig,
    Sequences,
    Symbols,
    first_guess,
)
from models.classical.pca import PrincipalComponents
from models.lab.evaluation.bayes import auroc, expected_calibration_error
from models.lab.tasks.gmm import some_labels
from tinygrad_cv import data

Array = np.ndarray[Any, Any]
seeds = st.integers(0, 2**32 - 1)
structures = st.sampled_from(STRUCTURES)


def clumps(n: int, rng: np.random.Generator, dimensions: int = 3) -> Array:
    """Points (n, dimensions) around three centres."""
    centres = 2 * rng.standard_normal((3, dimensions))
    return centres[rng.integers(3, size=n)] + rng.standard_normal((n, dimensions))


def with_gaps(x: Array, rng: np.random.Generator, share: float = 0.3) -> Array:
    return np.where(rng.random(x.shape) < share, np.nan, x)


def drawn_mixture(x: Array, K: int, structure: str, rng: np.random.Generator) -> GaussianMixture:
    """A mixture that is not at rest: three points are far from enough."""
    mixture = GaussianMixture(K, x.shape[1], structure, floor=0.05)
    mixture.maximise(x, rng.dirichlet(np.full(K, 0.3), len(x)))
    return mixture


# --- what belongs to both


@pytest.mark.parametrize("module", [gmm, hmm])
def test_the_examples_of_the_papers_run(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 8
    assert found.failed == 0


@given(seeds, structures)
def test_a_missing_coordinate_is_integrated_out(seed: int, structure: str) -> None:
    """The density of what is known is SciPy's, of the marginal Gaussian; of nothing it is 1."""
    rng = np.random.default_rng(seed)
    gaussians = drawn_mixture(clumps(20, rng), 2, structure, rng).gaussians
    x = with_gaps(clumps(9, rng), rng, 0.5)
    densities = gaussians.log_densities(x)
    for n, row in enumerate(x):
        known = ~np.isnan(row)
        for k in range(2):
            expected = 0.0
            if known.any():
                covariance = dense(gaussians.covariance(k))[np.ix_(known, known)]
                expected = multivariate_normal(gaussians.means[k][known], covariance).logpdf(row[known])
            assert densities[n, k] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(seeds, structures, st.sampled_from([1e-3, 0.3]))
def test_the_m_step_is_the_maximum_under_the_floor(seed: int, structure: str, floor: float) -> None:
    """No neighbour that keeps the floor has a larger weighted log-likelihood."""
    rng = np.random.default_rng(seed)
    x = clumps(12, rng) * [1, 0.1, 0.5]
    weights = rng.dirichlet([1, 1], len(x))
    gaussians = Gaussians(2, 3, structure, floor)
    gaussians.maximise(x, weights)
    best = np.sum(weights * gaussians.log_densities(x))
    for _ in range(30):
        size = 10 ** rng.uniform(-4, -1)
        other = gaussians.covariances + size * rng.standard_normal(gaussians.covariances.shape)
        if structure in ("full", "tied"):
            variances, axes = np.linalg.eigh(other + np.swapaxes(other, -1, -2))
            other = (axes * np.maximum(variances / 2, floor)[..., None, :]) @ np.swapaxes(axes, -1, -2)
        else:
            other = np.maximum(other, floor)
        means = gaussians.means + size * rng.standard_normal((2, 3))
        densities = log_densities(x, means, other, structure)
        assert np.sum(weights * densities) <= best + 1e-9


# --- mixtures


@given(seeds, structures, st.booleans())
def test_em_steps_along_the_gradient(seed: int, structure: str, gaps: bool) -> None:
    """Xu & Jordan 1996: weights and means move by a positive definite matrix times the engine's gradient.

    So do the covariances, once the change of the means is taken out. With gaps, where the matrices are
    others, the step still points upwards.
    """
    rng = np.random.default_rng(seed)
    x = clumps(40, rng)
    mixture = drawn_mixture(x, 3, structure, rng)
    if gaps:
        x = with_gaps(x, rng)
    w, means, covariances = mixture.parameters_of_density()
    N, K, D = *x.shape[:1], *means.shape
    gradients = tg.grad(log_likelihood, argnums=(0, 1, 2))(w, means, covariances, x, structure)
    g_w, g_means, g_covariances = (N * g for g in gradients)
    responsibilities, before = mixture.expect(x)
    assert before == pytest.approx(float(log_likelihood(w, means, covariances, x, structure)), rel=1e-12)
    mass = responsibilities.sum(axis=0)
    mixture.gaussians.floor = 0.0
    mixture.maximise(x, responsibilities)
    new_w, new_means, new_covariances = mixture.parameters_of_density()
    np.testing.assert_allclose(new_w - w, (np.diag(w) - np.outer(w, w)) @ g_w / N, atol=1e-10)
    if gaps:
        step = np.sum((new_means - means) * g_means) + np.sum((new_covariances - covariances) * g_covariances)
        assert step + np.sum((new_w - w) * g_w) > 0
        return
    moved = new_means - means
    for k in range(K):
        covariance = dense(np.asarray(covariance_of(covariances, structure, k, D)))
        np.testing.assert_allclose(moved[k], covariance @ g_means[k] / mass[k], atol=1e-9)
    apart = np.einsum("k,ki,kj->kij", mass, moved, moved)  # by which the new scatter is smaller
    if structure == "full":
        step = new_covariances - covariances + apart / mass[:, None, None]
        expected = 2 * covariances @ g_covariances @ covariances / mass[:, None, None]
    elif structure == "tied":
        step = new_covariances - covariances + apart.sum(axis=0) / N
        expected = 2 * covariances @ g_covariances @ covariances / N
    elif structure == "diag":
        step = new_covariances - covariances + moved**2
        expected = 2 * covariances**2 * g_covariances / mass[:, None]
    else:
        step = new_covariances - covariances + np.mean(moved**2, axis=1)
        expected = 2 * covariances**2 * g_covariances / (D * mass)
    np.testing.assert_allclose(step, expected, atol=1e-9)


@given(seeds, structures, st.booleans(), st.booleans(), st.sampled_from([1e-6, 0.05, 0.5]))
def test_em_of_any_mixture_never_lowers_its_objective(
    seed: int, structure: str, gaps: bool, labelled: bool, floor: float
) -> None:
    rng = np.random.default_rng(seed)
    x = clumps(50, rng) * [1, 1, 0.01]
    x = with_gaps(x, rng) if gaps else x
    labels = np.where(rng.random(50) < 0.5, np.arange(50) % 2, -1) if labelled else None
    mixture = GaussianMixture.fit(
        x, 2, rng=rng, labels=labels, structure=structure, floor=floor, iterations=15, tolerance=-np.inf
    )
    assert len(mixture.log_likelihoods) == 15
    assert np.diff(mixture.log_likelihoods).min() >= -1e-9
    variances = [np.linalg.eigvalsh(dense(mixture.gaussians.covariance(k))).min() for k in range(len(mixture.weights))]
    assert min(variances) >= floor - 1e-13


def test_em_over_the_known_coordinates_recovers_the_truth() -> None:
    """A third of the values is gone, the more often the larger their neighbour: means over what is left are wrong."""
    rng = np.random.default_rng(0)
    x = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 6000)
    x[rng.random(6000) < 1 / (1 + np.exp(-3 * x[:, 0])), 1] = np.nan
    assert np.nanmean(x[:, 1]) < -0.3
    fitted = GaussianMixture.fit(x, 1, rng=rng, iterations=200, tolerance=1e-9).gaussians
    assert fitted.means[0] == pytest.approx([0, 0], abs=0.05)
    assert fitted.covariance(0) == pytest.approx(np.array([[1, 0.8], [0.8, 1]]), abs=0.06)
    filled = GaussianMixture.fit(x, 1, rng=rng).fill_in(x, rng=rng)
    assert np.cov(filled.T) == pytest.approx(np.array([[1, 0.8], [0.8, 1]]), abs=0.06)


def test_missing_values_are_filled_in_by_regression() -> None:
    rng = np.random.default_rng(0)
    x = clumps(300, rng)
    mixture = GaussianMixture.fit(x, 1, rng=rng)
    gap = x[:5].copy()
    gap[:, 2] = np.nan
    slope = np.linalg.lstsq(x[:, :2] - x[:, :2].mean(axis=0), x[:, 2] - x[:, 2].mean())[0]
    expected = x[:, 2].mean() + (x[:5, :2] - x[:, :2].mean(axis=0)) @ slope
    np.testing.assert_allclose(mixture.fill_in(gap)[:, 2], expected)
    np.testing.assert_array_equal(mixture.fill_in(gap)[:, :2], x[:5, :2])


def test_a_mixture_with_all_labels_is_a_mixture_of_each_class() -> None:
    rng = np.random.default_rng(0)
    x, labels = clumps(200, rng), np.arange(200) % 2
    x[labels == 1] += 1
    both = GaussianMixture(2, 3, num_classes=2)
    both.start(x, labels, rng=np.random.default_rng(1))
    alone = []
    generator = np.random.default_rng(1)
    for label in range(2):
        one = GaussianMixture(2, 3)
        one.start(x[labels == label], rng=generator)
        alone.append(one)
    for _ in range(5):
        both.maximise(x, both.expect(x, labels)[0])
        for label, one in enumerate(alone):
            own = x[labels == label]
            one.maximise(own, one.expect(own)[0])
    expected = np.stack([logsumexp(one.log_joint(x), axis=1) for one in alone], axis=1)
    np.testing.assert_allclose(both.class_log_likelihoods(x), expected)


def test_images_without_a_label_help_the_few_with_one() -> None:
    digits = data.digits("train")
    x, truth = digits.images[:600].reshape(600, -1).astype(float), digits.labels[:600]
    labels = some_labels(truth, 3, rng=np.random.default_rng(0))
    kept = labels >= 0
    assert np.bincount(labels[kept]).tolist() == [3] * 10
    accuracy = []
    for rows in (kept, np.full(600, True)):
        mixture = GaussianMixture.fit(
            x[rows], 1, rng=np.random.default_rng(0), labels=labels[rows], structure="tied", floor=0.02, iterations=10
        )
        posterior = log_posterior(mixture.class_log_likelihoods(x[~kept]), mixture.log_prior)
        accuracy.append(np.mean(posterior.argmax(axis=1) == truth[~kept]))
    assert accuracy[1] > accuracy[0] + 0.03


def test_principal_components_keep_the_density_of_a_gaussian() -> None:
    """Where the variance across the axes is the same in all directions, log p(z) + log p(e) is log p(x)."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((6, 6))).Q
    x = rng.standard_normal((4000, 6)) * [2, 1, 0.1, 0.1, 0.1, 0.1] @ axes
    pca = PrincipalComponents(6, 2)
    pca.fit(x)
    assert float(pca.variance) == pytest.approx(0.01, rel=0.05)
    z = pca.project(x)
    by_parts = multivariate_normal(z.mean(axis=0), np.cov(z.T)).logpdf(z) + pca.log_density_across(x)
    whole = multivariate_normal(x.mean(axis=0), np.cov(x.T)).logpdf(x)
    assert by_parts == pytest.approx(whole, abs=0.5)
    assert by_parts.mean() == pytest.approx(whole.mean(), abs=0.01)
    np.testing.assert_allclose(pca.project(pca.reconstruct(z)), z, atol=1e-12)


# --- hidden Markov models


def drawn_sequences(seed: int, kind: str) -> tuple[HiddenMarkovModel, Sequences]:
    """A model of two or three states, and four sequences of one to four steps."""
    rng = np.random.default_rng(seed)
    S = int(rng.integers(2, 4))
    lengths = rng.integers(1, 5, 4)
    if kind == "symbols":
        emissions: Any = Symbols(S, 3, pseudo_count=0.5, rng=rng)
        x = rng.integers(3, size=(4, 4))
    else:
        emissions = Gaussians(S, 2, kind, floor=0.2)
        x = clumps(16, rng, 2)
        emissions.maximise(x, rng.dirichlet(np.ones(S), 16))
        x = x.reshape(4, 4, 2)
    model = HiddenMarkovModel(S, emissions, pseudo_count=0.3)
    model.initial, model.transition = rng.dirichlet(np.ones(S)), rng.dirichlet(np.ones(S), S)
    x[np.arange(4) >= lengths[:, None]] = 99 if kind == "symbols" else np.nan  # which nobody looks at
    return model, Sequences(x, lengths)


kinds = st.sampled_from(["symbols", "full", "diag"])


@given(seeds, kinds)
def test_forward_backward_and_viterbi_are_sums_and_maxima_over_all_paths(seed: int, kind: str) -> None:
    model, batch = drawn_sequences(seed, kind)
    S = len(model.initial)
    expected, (states, best) = model.expect(batch), model.decode(batch)
    log_b = model.log_emissions(batch)
    moves = np.zeros((S, S))
    for n, T in enumerate(batch.lengths):
        paths = np.array(list(product(range(S), repeat=int(T))))
        log_p = np.log(model.initial[paths[:, 0]]) + log_b[n, np.arange(T), paths].sum(axis=1)
        log_p += np.log(model.transition[paths[:, :-1], paths[:, 1:]]).sum(axis=1)
        assert expected.log_likelihoods[n] == pytest.approx(logsumexp(log_p), rel=1e-12)
        share = softmax(log_p)
        for t in range(T):
            np.testing.assert_allclose(expected.states[n, t], np.bincount(paths[:, t], share, S), atol=1e-12)
        for path, p in zip(paths, share, strict=True):
            np.add.at(moves, (path[:-1], path[1:]), p)
        assert best[n] == pytest.approx(log_p.max(), rel=1e-12)
        chosen = (paths == states[n, :T]).all(axis=1)  # of several best paths it may be any
        assert log_p[chosen].item() == pytest.approx(best[n], rel=1e-12)
        assert (states[n, T:] == -1).all()
        assert not expected.states[n, T:].any()
    np.testing.assert_allclose(expected.moves, moves, atol=1e-12)


@given(seeds, kinds)
def test_the_posterior_is_the_gradient_of_the_log_likelihood(seed: int, kind: str) -> None:
    model, batch = drawn_sequences(seed, kind)

    def total(log_initial: Any, log_transition: Any, log_b: Any) -> Any:
        return np.sum(hmm.log_likelihood(log_initial, log_transition, log_b, batch.lengths))

    arguments = model.logarithms(batch)[:3]
    g_initial, g_transition, g_emissions = tg.grad(total, argnums=(0, 1, 2))(*arguments)
    expected = model.expect(batch)
    np.testing.assert_allclose(g_emissions, expected.states, atol=1e-12)
    np.testing.assert_allclose(g_transition, expected.moves, atol=1e-12)
    np.testing.assert_allclose(g_initial, expected.states[:, 0].sum(axis=0), atol=1e-12)


@given(seeds, kinds)
def test_baum_welch_never_lowers_its_objective(seed: int, kind: str) -> None:
    model, batch = drawn_sequences(seed, kind)
    objectives = [model.iterate(batch) for _ in range(15)]
    assert np.diff(objectives).min() >= -1e-9
    np.testing.assert_allclose(model.transition.sum(axis=1), 1)


@given(seeds, st.sampled_from([1, 100, 3000]))
def test_fast_sums_over_paths_are_the_plain_ones_at_any_scale(seed: int, scale: int) -> None:
    """Also of what a product of ordinary numbers cannot hold: of states that only improbable paths reach."""
    rng = np.random.default_rng(seed)
    log_a, ahead = scale * rng.standard_normal((2, 6, 4))
    log_a[0] = -np.inf
    log_b = np.where(rng.random((4, 4)) < 0.4, -np.inf, rng.standard_normal((4, 4)))
    plain = np.asarray(hmm.log_product(log_a, log_b))
    np.testing.assert_allclose(hmm.fast_log_product(log_a, log_b), plain, rtol=1e-13, atol=1e-12)
    total = logsumexp(plain + ahead, axis=1, keepdims=True)
    reached = np.isfinite(total[:, 0])
    log_a, ahead = log_a[reached], (ahead - total)[reached]
    paths = log_a[:, :, None] + log_b + ahead[:, None, :]
    np.testing.assert_allclose(hmm.expected_moves(log_a, log_b, ahead), np.exp(paths).sum(axis=0), atol=1e-12)


@given(seeds)
def test_sums_over_paths_do_not_look_behind_the_end(seed: int) -> None:
    model, batch = drawn_sequences(seed, "symbols")
    log_initial, log_transition, log_b, lengths = model.logarithms(batch)
    junk = np.random.default_rng(seed).standard_normal(log_b.shape)
    other = np.where(batch.within[:, :, None], log_b, junk)
    for sums in (hmm.forward_backward, hmm.viterbi):
        for left, right in zip(
            sums(log_initial, log_transition, log_b, lengths),
            sums(log_initial, log_transition, other, lengths),
            strict=True,
        ):
            np.testing.assert_allclose(left, right, atol=1e-12)


def test_a_batch_of_sequences_is_each_of_them_alone() -> None:
    model, batch = drawn_sequences(5, "full")
    alone = [Sequences(batch.x[n : n + 1, :T]) for n, T in enumerate(batch.lengths)]
    expected = [model.log_likelihoods(one)[0] for one in alone]
    np.testing.assert_allclose(model.log_likelihoods(batch), expected)
    for lengths in (batch.lengths + 4, batch.lengths * 0, batch.lengths[:2]):
        with pytest.raises(ValueError, match="4 sequences of at most 4 steps have the lengths"):
            Sequences(batch.x, lengths)


def test_samples_of_a_hidden_markov_model_have_its_probabilities() -> None:
    model, _ = drawn_sequences(1, "symbols")
    x, z = model.sample(20_000, 4, rng=np.random.default_rng(0))
    assert x.shape == z.shape == (20_000, 4)
    np.testing.assert_allclose(np.bincount(z[:, 0]) / 20_000, model.initial, atol=0.02)
    for state in range(len(model.initial)):
        after = np.bincount(z[:, 1:][z[:, :-1] == state], minlength=len(model.initial))
        np.testing.assert_allclose(after / after.sum(), model.transition[state], atol=0.03)
        emitted = np.bincount(x[z == state], minlength=3)
        np.testing.assert_allclose(emitted / emitted.sum(), model.emissions.probabilities[state], atol=0.03)


def test_baum_welch_finds_a_cycle_of_states() -> None:
    """Symbols that come in turn, some of them wrong: what a mixture, without moves, cannot know."""
    rng = np.random.default_rng(0)
    x = (np.arange(30) + rng.integers(3, size=(40, 1))) % 3
    x = np.where(rng.random(x.shape) < 0.1, rng.integers(3, size=x.shape), x)
    model = HiddenMarkovModel(3, Symbols(3, 3, rng=rng))
    model.transition = rng.dirichlet([1, 1, 1], 3)
    for _ in range(25):
        model.iterate(Sequences(x))
    order = model.emissions.probabilities.argmax(axis=0)  # the state of each symbol
    assert sorted(order) == [0, 1, 2]
    assert all(model.transition[order[i], order[(i + 1) % 3]] > 0.95 for i in range(3))


def test_the_first_guess_divides_each_sequence() -> None:
    x = np.zeros((2, 6, 1))
    x[:, :, 0] = [[0, 0, 5, 0, 0, 5], [0, 0, 0, 5, 9, 9]]
    guess = first_guess(Sequences(x, np.array([6, 4])), 2, 1, rng=np.random.default_rng(0))
    assert guess.tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 0]]
    guess = first_guess(Sequences(x, np.array([6, 4])), 1, 2, rng=np.random.default_rng(0))
    assert (guess[0] == guess[0, 0]).tolist() == [True, True, False, True, True, False]
    with pytest.raises(ValueError, match="num_states=5: each of segments=2 begins with as many"):
        RowHMMConfig(num_states=5, segments=2)


# --- by Bayes' theorem


@given(seeds)
def test_the_posterior_is_likelihood_times_prior_over_evidence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    likelihoods, prior = rng.random((5, 3)), rng.dirichlet([1, 1, 1])
    joint = likelihoods * prior
    log_p = log_posterior(np.log(likelihoods) - 1000, np.log(prior))  # beyond what exp can hold
    np.testing.assert_allclose(np.exp(log_p), joint / joint.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(log_evidence(np.log(likelihoods), np.log(prior)), np.log(joint.sum(axis=1)))
    nothing = log_posterior(np.full((1, 3), -np.inf), np.log(prior))
    np.testing.assert_allclose(np.exp(nothing[0]), prior)


def test_calibration_errors_that_are_known() -> None:
    labels = np.array([0, 0, 1, 0])
    sure, half = np.tile([1.0, 0.0], (4, 1)), np.tile([0.75, 0.25], (4, 1))
    assert expected_calibration_error(sure, labels) == pytest.approx(0.25)
    assert expected_calibration_error(half, labels) == pytest.approx(0)
    mixed = np.array([[1.0, 0], [1.0, 0], [0.5, 0.5], [0.5, 0.5]])
    assert expected_calibration_error(mixed, labels) == pytest.approx(0)
    assert expected_calibration_error(mixed, 1 - labels) == pytest.approx(0.5)


def test_auroc_is_the_share_of_pairs() -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 5, 20), rng.integers(0, 4, 30)
    pairs = (inside[:, None] > outside).mean() + (inside[:, None] == outside).mean() / 2
    assert auroc(inside, outside) == pytest.approx(pairs)
    assert auroc(outside + 9, outside) == 1


@pytest.mark.parametrize(
    ("model", "accuracy"),
    [
        (ImageMixture(GMMConfig(num_components=1, floor=0.015)), 0.96),
        (ImageMixture(GMMConfig(num_components=2, covariance="diag", floor=0.02, principal_components=20)), 0.88),
        (RowHMM(RowHMMConfig(num_states=8, covariance="diag")), 0.7),
    ],
    ids=["Gaussians", "diagonal mixture", "HMM"],
)
def test_a_model_of_each_class_reads_digits(model: Any, accuracy: float) -> None:
    digits = data.digits("train")
    images, labels = digits.images[:500], digits.labels[:500]
    model.start(images, labels, rng=np.random.default_rng(0))
    before = [model.iterate(images, labels) for _ in range(4)]
    assert np.diff(before).min() >= 0
    new = replace(digits, images=digits.images[500:], labels=digits.labels[500:])
    log_p = log_posterior(model.class_log_likelihoods(new.images), model.log_prior)
    assert np.mean(log_p.argmax(axis=1) == new.labels) >= accuracy
    drawn = model.sample(20, label=np.repeat([3, 8], 10), rng=np.random.default_rng(0))
    assert drawn.shape == (20, 8, 8)
    log_p = log_posterior(model.class_log_likelihoods(drawn.astype(float)), model.log_prior)
    assert np.mean(log_p.argmax(axis=1) == np.repeat([3, 8], 10)) >= 0.7
    with pytest.raises(ValueError, match="label=12: the classes of this model are 0 to 9"):
        model.sample(1, label=12, rng=np.random.default_rng(0))


def test_a_mixture_fills_in_the_missing_half_of_a_digit() -> None:
    digits = data.digits("train")
    model = ImageMixture(GMMConfig(num_components=1))
    model.start(digits.images, digits.labels, rng=np.random.default_rng(0))
    images = data.digits("test").images[:50]
    known = np.broadcast_to((np.arange(8) < 4)[:, None], images.shape)
    filled = model.inpaint(np.where(known, images, 0.5), known, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(filled[known], images[known])
    expected = model.mixture.fill_in(np.where(known, images, np.nan).reshape(50, -1)).reshape(images.shape)
    mean = np.broadcast_to(digits.images.mean(axis=0), images.shape)
    drawn, error, usual = (np.mean((guess - images)[~known] ** 2) for guess in (filled, expected, mean))
    assert error < 0.6 * usual
    assert error < drawn < 3 * error
