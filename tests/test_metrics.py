"""The metrics give the answers that are known, and catch the generators that they are there to catch."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.classical.gmm import GaussianMixture
from models.classical.kernel_ridge import kernel_ridge_regression
from models.classical.kmeans import kmeans
from models.classical.nearest import flatten, nearest
from models.lab.evaluation import generation as metrics
from models.lab.evaluation.baselines import BASELINES
from models.lab.evaluation.generation import Evaluator
from tinygrad_cv import data, safetensors

Array = np.ndarray[Any, Any]
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def blobs(n: int, *, rng: np.random.Generator, classes: int = 5, pixels: int = 16) -> tuple[Array, Array]:
    """Images (n, 4, 4) in [0, 1] of well separated classes, as frequent as each other, and their labels."""
    labels = rng.permutation(np.arange(n) % classes)
    means = np.random.default_rng(99).uniform(0.2, 0.8, (classes, pixels))
    return np.clip(means[labels] + 0.04 * rng.standard_normal((n, pixels)), 0, 1).reshape(n, 4, 4), labels


def blob_evaluator(x: Array, labels: Array, hidden: int = 64) -> Evaluator:
    """Random ReLU features and a classifier fitted to them: enough to tell the blobs apart."""
    rng = np.random.default_rng(7)
    flat = x.reshape(len(x), -1)
    weight, bias = rng.standard_normal((hidden, flat.shape[1])), rng.standard_normal(hidden)
    features = np.maximum(flat @ weight.T + bias, 0)
    targets = np.eye(labels.max() + 1)[labels]
    solution = np.linalg.lstsq(np.c_[features, np.ones(len(x))], 20 * (targets - 0.5), rcond=None)[0]
    return Evaluator((weight, solution[:-1].T), (bias, solution[-1]))


# --- Fréchet distance


def with_moments(mean: Array, covariance: Array, n: int, *, rng: np.random.Generator) -> Array:
    """n points whose sample mean and covariance are exactly these."""
    x = rng.standard_normal((n, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return mean + x @ np.linalg.cholesky(covariance).T


@given(seeds)
def test_frechet_distance_of_known_moments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean_a, mean_b = rng.standard_normal((2, 5))
    scale_a, scale_b = rng.uniform(0.1, 2, (2, 5))
    rotation = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    a = with_moments(mean_a, rotation @ np.diag(scale_a**2) @ rotation.T, 50, rng=rng)
    b = with_moments(mean_b, rotation @ np.diag(scale_b**2) @ rotation.T, 70, rng=rng)
    expected = np.sum((mean_a - mean_b) ** 2) + np.sum((scale_a - scale_b) ** 2)  # covariances that commute
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_covariances_that_do_not_commute(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 40, 4)) @ rng.standard_normal((2, 4, 4))
    eigenvalues = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T))  # tr sqrt(C) is the sum of the roots
    gap = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    expected = gap + np.trace(np.cov(a.T) + np.cov(b.T)) - 2 * np.sqrt(eigenvalues.real).sum()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n", [2, 30, 200])
def test_frechet_distance_to_itself_is_zero_even_where_covariances_are_singular(n: int) -> None:
    rng = np.random.default_rng(n)
    x = np.maximum(rng.standard_normal((n, 64)), 0)
    x[:, :5] = 0  # dead ReLUs
    assert metrics.frechet_distance(x, rng.permutation(x)) < 1e-11


def test_frechet_distance_is_symmetric_and_grows_with_a_shift(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 60, 8))
    assert metrics.frechet_distance(a, b) == pytest.approx(metrics.frechet_distance(b, a), rel=1e-10)
    assert metrics.frechet_distance(a, a + 3) == pytest.approx(8 * 9, rel=1e-10)


def test_frechet_distance_refuses_what_has_no_covariance() -> None:
    with pytest.raises(ValueError, match=r"features_b .*N >= 2"):
        metrics.frechet_distance(np.zeros((4, 3)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="differ in width: 3 and 2"):
        metrics.frechet_distance(np.zeros((4, 3)), np.zeros((4, 2)))


# --- inception score


def test_inception_score_of_uniform_one_hot_dropped_and_collapsed() -> None:
    assert metrics.inception_score(np.full((30, 10), 0.1)) == pytest.approx(1)
    assert metrics.inception_score(np.eye(10)[np.arange(50) % 10]) == pytest.approx(10)
    assert metrics.inception_score(np.eye(10)[np.arange(49) % 7]) == pytest.approx(7)
    assert metrics.inception_score(np.eye(10)[np.zeros(50, int)]) == pytest.approx(1)


def test_inception_score_refuses_logits() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        metrics.inception_score(np.array([[2.0, -1.0]]))


# --- nearest neighbours


def brute_force_sides(real: Array, fake: Array) -> tuple[float, float]:
    pooled, is_fake = np.concatenate([real, fake]), np.repeat([False, True], len(real))
    correct = np.empty(len(pooled))
    for i, x in enumerate(pooled):
        distances = np.sum((pooled - x) ** 2, axis=1)
        distances[i] = np.inf
        correct[i] = np.mean(is_fake[distances == distances.min()] == is_fake[i])
    return float(correct[~is_fake].mean()), float(correct[is_fake].mean())


@given(seeds, st.integers(1, 4))
def test_one_nearest_neighbour_agrees_with_the_definition_ties_included(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    real, fake = rng.integers(0, levels + 1, (2, 12, 3)) / 4.0  # few grey levels: many ties
    expected = brute_force_sides(real, fake)
    assert metrics.one_nearest_neighbour_sides(real, fake) == pytest.approx(expected)
    assert metrics.one_nearest_neighbour_accuracy(real, fake) == pytest.approx(sum(expected) / 2)


def test_one_nearest_neighbour_of_same_disjoint_and_copied_images(rng: np.random.Generator) -> None:
    real, same = rng.standard_normal((2, 400, 6))
    assert metrics.one_nearest_neighbour_accuracy(real, same) == pytest.approx(0.5, abs=0.06)
    assert metrics.one_nearest_neighbour_accuracy(real, same + 50) == 1
    assert metrics.one_nearest_neighbour_accuracy(real, rng.permutation(real)) == 0


def test_one_nearest_neighbour_of_blank_images_is_chance() -> None:
    """All distances tie, so every vote is shared: (N - 1) of one's own side against N of the other."""
    assert metrics.one_nearest_neighbour_accuracy(np.zeros((9, 4)), np.zeros((9, 4))) == pytest.approx(8 / 17)


def test_one_nearest_neighbour_sides_see_noise_that_the_mean_does_not(rng: np.random.Generator) -> None:
    real, noise = 0.01 * rng.standard_normal((100, 50)), rng.standard_normal((100, 50))
    on_real, on_fake = metrics.one_nearest_neighbour_sides(real, noise)
    assert on_real == 1 and on_fake < 0.05
    assert metrics.one_nearest_neighbour_accuracy(real, noise) == pytest.approx(0.5, abs=0.03)


def test_one_nearest_neighbour_needs_equal_counts() -> None:
    with pytest.raises(ValueError, match="as many real as fake"):
        metrics.one_nearest_neighbour_accuracy(np.zeros((4, 2)), np.zeros((5, 2)))


def test_nearest_train_distance_is_exact_and_zero_for_copies(rng: np.random.Generator) -> None:
    train = rng.uniform(0, 1, (50, 4, 4)).astype(np.float32) + 100  # an offset that spoils |a|^2 - 2ab + |b|^2
    assert np.array_equal(metrics.nearest_train_distance(train[::5], train), np.zeros(10))
    train, samples = rng.standard_normal((50, 9)), rng.standard_normal((20, 9))
    brute = np.linalg.norm(samples[:, None] - train[None], axis=2).min(axis=1)
    assert np.allclose(metrics.nearest_train_distance(samples, train), brute, rtol=1e-12)


def test_distances_come_in_blocks_that_fit_in_memory(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    x = rng.standard_normal((600, 3))
    whole = nearest(x, x[:500]), metrics.one_nearest_neighbour_sides(x[:300], x[300:])
    monkeypatch.setattr("models.classical.nearest.BLOCK_ELEMENTS", 7_000)
    blocks = nearest(x, x[:500]), metrics.one_nearest_neighbour_sides(x[:300], x[300:])
    assert np.array_equal(whole[0], blocks[0]) and whole[1] == blocks[1]
    tracemalloc.start()
    nearest(x, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600 * 600 * 8 / 4  # the whole matrix would be 2.9 MB


# --- bins


def test_kmeans_finds_separate_clusters(rng: np.random.Generator) -> None:
    x, labels = blobs(200, rng=rng)
    centres = kmeans(x, 5, rng=rng)
    found = nearest(flatten(x), centres)
    assert sorted(np.bincount(found)) == [40] * 5
    assert all(len(np.unique(found[labels == c])) == 1 for c in range(5))
    for k in range(5):
        assert np.allclose(centres[k], flatten(x)[found == k].mean(axis=0))


def test_kmeans_says_when_there_are_too_few_points(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="only 2 distinct"):
        kmeans(np.repeat(np.eye(2), 5, axis=0), 3, rng=rng)
    with pytest.raises(ValueError, match="cannot make 6 clusters of 5 points"):
        kmeans(np.eye(5), 6, rng=rng)


def test_ndb_by_hand(rng: np.random.Generator) -> None:
    """Shares .5 against .6 of n each: z = .1 / sqrt(.55 * .45 * 2 / n) is 1.80 for n = 160, 2.01 for n = 200.

    The two-sided threshold is 1.96; the one-sided one, 1.64, would call both different."""
    centres = np.array([[0.0], [1.0]])

    def ndb(n: int) -> tuple[int, int]:
        train, fake = ((np.arange(n) < share * n).astype(float)[:, None] for share in (0.5, 0.6))
        return metrics.number_of_different_bins(train, fake, centres, rng=rng)

    assert ndb(160) == (0, 2)
    assert ndb(200) == (2, 2)


def test_ndb_is_small_for_the_training_set_and_large_where_modes_are_dropped(rng: np.random.Generator) -> None:
    x, _ = blobs(1000, rng=rng)
    assert metrics.number_of_different_bins(x, x, 20, rng=rng) == (0, 20)
    again, again_labels = blobs(500, rng=rng)
    assert metrics.number_of_different_bins(x, again, 20, rng=rng)[0] <= 3
    assert metrics.number_of_different_bins(x, again[again_labels == 1], 20, rng=rng)[0] >= 16


# --- classes


def test_class_total_variation_by_hand() -> None:
    assert metrics.class_total_variation(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), 4) == pytest.approx(0.5)
    assert metrics.class_total_variation(np.array([0, 1]), np.array([1, 0, 0, 1]), 2) == 0
    assert metrics.class_total_variation(np.array([0]), np.array([3]), 4) == 1
    with pytest.raises(ValueError, match=r"real_labels .* 0\.\.2"):
        metrics.class_total_variation(np.array([0]), np.array([3]), 3)


def test_kernel_ridge_regression_solves_its_normal_equations(rng: np.random.Generator) -> None:
    """Its predictions are those of the minimiser a of |K a - T|^2 + ridge a'K a, found by least squares."""
    x, labels = rng.standard_normal((40, 2)), rng.integers(0, 3, 40)
    squared = lambda a: np.sum((a[:, None] - x) ** 2, axis=-1)
    scale = np.median(squared(x)) / 2
    k = np.exp(-squared(x) / scale)
    root = np.linalg.cholesky(k + 1e-13 * np.eye(40)).T
    a = np.linalg.lstsq(np.vstack([k, np.sqrt(0.1) * root]), np.vstack([np.eye(3)[labels], np.zeros((40, 3))]), rcond=None)[0]
    grid = rng.uniform(-2, 2, (500, 2))
    expected = (np.exp(-squared(grid) / scale) @ a).argmax(axis=1)
    assert np.mean(kernel_ridge_regression(x, labels, 3, ridge=0.1)(grid) == expected) > 0.99


def test_kernel_ridge_regression_takes_equal_images() -> None:
    same = np.zeros((4, 2, 2))
    assert kernel_ridge_regression(same, np.array([1, 1, 1, 0]), 2)(same).tolist() == [1, 1, 1, 1]


def test_tstr_knows_right_from_wrong_labels(rng: np.random.Generator) -> None:
    (x, labels), (test, test_labels) = blobs(200, rng=rng), blobs(100, rng=rng)
    assert metrics.train_on_synthetic_test_on_real(x, labels, test, test_labels, 5) == 1
    assert metrics.train_on_synthetic_test_on_real(x, (labels + 1) % 5, test, test_labels, 5) == 0
    lost = metrics.train_on_synthetic_test_on_real(x[labels < 3], labels[labels < 3], test, test_labels, 5)
    assert lost == pytest.approx(0.6)


# --- the evaluator


def test_evaluator_is_the_network_that_its_state_describes(rng: np.random.Generator) -> None:
    state = {
        "0.weight": np.array([[1.0, 0.0], [0.0, -1.0]]), "0.bias": np.array([0.0, 1.0]),
        "2.weight": np.array([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), "2.bias": np.array([0.0, 0.5, 0.0]),
        "10.weight": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "10.bias": np.array([0.0, 1.0]),
    }  # fmt: skip
    evaluator = Evaluator.from_state(dict(reversed(state.items())))
    images = np.array([[[0.5, 0.25]], [[0.0, 1.0]]])  # (2, 1, 2)
    assert np.allclose(evaluator.features(images), [[1.0, 1.25, 0.0], [0.0, 0.5, 0.0]])
    odds = np.exp([[1.0, 2.25], [0.0, 1.5]])
    assert np.allclose(evaluator.probabilities(images), odds / odds.sum(axis=1, keepdims=True))
    assert evaluator.classes == 2
    assert evaluator.accuracy(images, np.array([1, 0])) == 0.5


def test_evaluator_loads_the_weights_of_its_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, labels = blobs(100, rng=np.random.default_rng(2))
    evaluator = blob_evaluator(train, labels)
    (tmp_path / "evaluators").mkdir()
    state = {f"{2 * i}.weight": w for i, w in enumerate(evaluator.weights)}
    state |= {f"{2 * i}.bias": b for i, b in enumerate(evaluator.biases)}
    safetensors.save(state, tmp_path / "evaluators" / "blobs.safetensors")
    monkeypatch.setattr(metrics, "files", lambda package: tmp_path)
    loaded = Evaluator.load("blobs")
    for own, written in zip((*loaded.weights, *loaded.biases), (*evaluator.weights, *evaluator.biases), strict=True):
        assert np.array_equal(own, written)
    # the same numbers elsewhere in memory may be summed in another order
    np.testing.assert_allclose(loaded.probabilities(train), evaluator.probabilities(train), rtol=1e-9)
    with pytest.raises(ValueError, match="no frozen evaluator for 'letters', only for blobs"):
        Evaluator.load("letters")


def test_evaluator_errors_name_the_cause() -> None:
    with pytest.raises(KeyError, match=r"0\.weight.*this one has: hidden\.bias, hidden\.weight"):
        Evaluator.from_state({"hidden.weight": np.eye(2), "hidden.bias": np.zeros(2)})
    evaluator = Evaluator((np.eye(4), np.eye(4)), (np.zeros(4), np.zeros(4)))
    with pytest.raises(ValueError, match=r"reads 4 pixels .* shape \(3, 3\) have 9"):
        evaluator.features(np.zeros((2, 3, 3)))


# --- all of them together


def test_report_catches_each_broken_baseline(rng: np.random.Generator) -> None:
    (train, train_labels), (test, test_labels) = blobs(600, rng=rng), blobs(300, rng=rng)
    evaluator = blob_evaluator(train, train_labels)
    assert evaluator.accuracy(test, test_labels) == 1
    samples, _ = blobs(300, rng=rng)
    rows = metrics.report(
        samples, train, test, evaluator, baselines=BASELINES, rng=rng, train_labels=train_labels,
        test_labels=test_labels,
    )  # fmt: skip
    by_name = {row.pop("name"): row for row in rows}
    assert list(by_name) == ["generator", "real", *BASELINES]
    good, floor = by_name["generator"], by_name["real"]
    assert good["FD"] < 3 * floor["FD"]
    assert good["IS"] > 4.5 and good["TV"] < 0.03 and good["TSTR"] == 1
    assert abs(good["1-NN"] - 0.5) < 0.1 and good["near copies"] < 0.05 and floor["near copies"] == pytest.approx(0.01)
    for name in ("one Gaussian", "3 classes dropped", "pixel marginals", "only 1s"):
        assert by_name[name]["FD"] > 5 * good["FD"], name
    assert by_name["3 classes dropped"]["TV"] == pytest.approx(0.6, abs=0.01)
    assert by_name["3 classes dropped"]["near copies"] == 1 and by_name["3 classes dropped"]["nearest train"] == 0
    assert by_name["only 1s"]["IS"] == pytest.approx(1, abs=0.05)
    assert by_name["only 1s"]["NDB"] > 20 > 10 > good["NDB"]
    assert by_name["10 class Gaussians"]["FD"] < by_name["one Gaussian"]["FD"]
    table = metrics.format_report(rows).splitlines()
    assert len(table) == 2 + len(rows) and len({line.count("|") for line in table}) == 1


def test_evaluate_does_not_depend_on_the_order_of_the_images(rng: np.random.Generator) -> None:
    (train, train_labels), (test, test_labels) = blobs(120, rng=rng), blobs(60, rng=rng)
    samples, labels = blobs(60, rng=rng)
    real = metrics.RealData(
        train, test, blob_evaluator(train, train_labels), count=60, rng=rng, train_labels=train_labels,
        test_labels=test_labels, bins=5,
    )  # fmt: skip
    order = rng.permutation(60)
    assert real.score(samples, labels) == pytest.approx(real.score(samples[order], labels[order]), rel=1e-6)


@pytest.mark.parametrize(("given", "compared"), [(40, 40), (150, 100)])
def test_counts_are_equal_on_both_sides(given: int, compared: int, rng: np.random.Generator) -> None:
    (train, train_labels), (test, test_labels) = blobs(200, rng=rng), blobs(100, rng=rng)
    drawn: list[int] = []

    def sampler(images: Array, labels: Array, n: int, rng: np.random.Generator) -> Array:
        drawn.append(n)
        return blobs(n, rng=rng)[0]

    rows = metrics.report(
        blobs(given, rng=rng)[0], train, test, blob_evaluator(train, train_labels), baselines={"same": sampler},
        rng=rng, train_labels=train_labels, test_labels=test_labels,
    )  # fmt: skip
    assert drawn == [compared] and len(rows) == 3


def test_evaluate_takes_the_labels_that_come_with_the_samples(rng: np.random.Generator) -> None:
    (train, train_labels), (test, test_labels) = blobs(200, rng=rng), blobs(100, rng=rng)
    samples, labels = blobs(150, rng=rng)
    evaluator = blob_evaluator(train, train_labels)

    def tstr(sample_labels: Array | None) -> float:
        return metrics.evaluate(
            samples, train, test, evaluator, rng=rng, train_labels=train_labels, test_labels=test_labels,
            sample_labels=sample_labels,
        )["TSTR"]  # fmt: skip

    assert tstr(None) == tstr(labels) == 1
    assert tstr((labels + 1) % 5) == 0


@pytest.mark.parametrize("value", [-0.1, 1.5, np.nan])
def test_evaluate_refuses_images_out_of_range(value: float, rng: np.random.Generator) -> None:
    train, labels = blobs(60, rng=rng)
    samples = train.copy()
    samples[3, 0, 0] = value
    with pytest.raises(ValueError, match=r"samples must be finite and in \[0, 1\]"):
        metrics.evaluate(
            samples, train, train, blob_evaluator(train, labels), rng=rng, train_labels=labels, test_labels=labels
        )


def test_digits_baselines_score_as_measured(rng: np.random.Generator) -> None:
    """What needs no evaluator, on the real digits: bounds set around the means of five seeds, for one fixed seed."""
    train, test = data.digits("train"), data.digits("test")
    assert train.labels is not None
    centres = kmeans(train.images, 50, rng=rng)
    bounds = {  # 1-NN from, to; NDB from, to
        "10 class Gaussians": (0.66, 0.80, 0, 6),
        "GMM-30": (0.60, 0.76, 0, 8),
        "one Gaussian": (0.87, 0.96, 4, 20),
        "3 classes dropped": (0.51, 0.65, 9, 22),
        "pixel marginals": (0.75, 0.88, 20, 38),
        "only 1s": (0.94, 0.99, 42, 50),
    }
    assert list(bounds) == list(BASELINES)
    for name, (nearest_from, nearest_to, bins_from, bins_to) in bounds.items():
        drawn = BASELINES[name](train.images, train.labels, len(test.images), rng)
        assert nearest_from <= metrics.one_nearest_neighbour_accuracy(test.images, drawn) <= nearest_to, name
        assert bins_from <= metrics.number_of_different_bins(train.images, drawn, centres, rng=rng)[0] <= bins_to, name


# --- the baselines


@given(seeds, st.integers(1, 6), st.sampled_from([1e-6, 1e-2, 0.3]))
def test_em_never_lowers_the_log_likelihood(seed: int, components: int, floor: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 4)) * [1, 0.5, 0.1, 0]  # one direction without spread
    x[:30] += 1
    mixture = GaussianMixture.fit(x, components, rng=rng, floor=floor, iterations=30, tolerance=-np.inf)
    assert len(mixture.log_likelihoods) == 30
    assert np.diff(mixture.log_likelihoods).min() >= -1e-9
    variances = np.linalg.eigvalsh(mixture.gaussians.covariances)
    assert variances.min() >= floor * (1 - 1e-12) - 4 * np.finfo(float).eps * variances.max()


def test_em_raises_the_log_likelihood_to_that_of_the_truth(rng: np.random.Generator) -> None:
    """Two overlapping clusters, which k-means cuts in the wrong place: EM has far to go, and recovers them."""
    wide, narrow = rng.standard_normal((3000, 2)), 0.2 * rng.standard_normal((1000, 2)) + [1.5, 0]
    mixture = GaussianMixture.fit(np.concatenate([wide, narrow]), 2, rng=rng, floor=1e-4, iterations=300, tolerance=0)
    order = np.argsort(mixture.weights)
    variances = np.linalg.eigvalsh(mixture.gaussians.covariances)
    assert mixture.log_likelihoods[-1] > mixture.log_likelihoods[0] + 0.1
    assert mixture.weights[order] == pytest.approx([0.25, 0.75], abs=0.03)
    assert mixture.gaussians.means[order] == pytest.approx(np.array([[1.5, 0], [0, 0]]), abs=0.08)
    assert variances[order] == pytest.approx(np.array([[0.04, 0.04], [1, 1]]), rel=0.15)


def test_log_densities_are_scipy_s(rng: np.random.Generator) -> None:
    from scipy.stats import multivariate_normal

    x = rng.standard_normal((80, 3))
    mixture = GaussianMixture.fit(x, 2, rng=rng, floor=1e-4)
    for k in range(2):
        of_component = multivariate_normal(mixture.gaussians.means[k], mixture.gaussians.covariance(k))
        expected = np.log(mixture.weights[k]) + of_component.logpdf(x)
        assert np.allclose(mixture.log_joint(x)[:, k], expected)


def test_mixture_samples_have_the_moments_of_the_mixture(rng: np.random.Generator) -> None:
    x = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 3))
    drawn = GaussianMixture.fit(x, 3, rng=rng, floor=1e-6).sample(40_000, rng=rng)
    assert np.allclose(drawn.mean(axis=0), x.mean(axis=0), atol=0.06)
    assert np.allclose(np.cov(drawn.T), np.cov(x.T), atol=0.15)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_make_images_and_depend_only_on_the_generator(name: str) -> None:
    train, labels = blobs(200, rng=np.random.default_rng(1))
    a, b = (BASELINES[name](train, labels, 90, np.random.default_rng(3)) for _ in range(2))
    assert a.shape == (90, 4, 4) and a.min() >= 0 and a.max() <= 1
    assert np.array_equal(a, b)
    assert not np.array_equal(a, BASELINES[name](train, labels, 90, np.random.default_rng(4)))


def test_gaussians_have_the_moments_of_their_images(rng: np.random.Generator) -> None:
    train, labels = blobs(1000, rng=rng)
    for name in ("one Gaussian", "10 class Gaussians"):
        drawn = BASELINES[name](train, labels, 20_000, rng).reshape(20_000, -1)
        flat = train.reshape(1000, -1)
        assert np.allclose(drawn.mean(axis=0), flat.mean(axis=0), atol=0.02), name
        assert np.allclose(np.cov(drawn.T), np.cov(flat.T), atol=0.005), name


def test_pixel_marginals_keep_each_pixel_and_lose_their_correlation(rng: np.random.Generator) -> None:
    train, labels = blobs(1000, rng=rng)
    drawn = BASELINES["pixel marginals"](train, labels, 20_000, rng)
    for pixel in ((0, 0), (2, 3)):
        expected, found = (np.quantile(x[:, *pixel], [0.1, 0.3, 0.5, 0.7, 0.9]) for x in (train, drawn))
        assert np.allclose(found, expected, atol=0.02)
    correlation = np.corrcoef(drawn.reshape(20_000, -1).T)
    assert np.abs(correlation - np.eye(16)).max() < 0.05


def test_wide_images_are_mixed_in_their_principal_components(rng: np.random.Generator) -> None:
    low = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 144))
    train = 0.5 + 0.02 * low.reshape(300, 12, 12)
    drawn = BASELINES["GMM-30"](train, np.zeros(300, int), 50, rng)
    centred = drawn.reshape(50, -1) - train.reshape(300, -1).mean(axis=0)
    axes = np.linalg.svd(low, full_matrices=False)[2][:3]
    outside = centred - centred @ axes.T @ axes
    assert drawn.shape == (50, 12, 12)
    assert np.sqrt(np.mean(centred**2)) > 0.02
    assert np.sum(outside**2) / outside.shape[0] < 1.1 * (100 - 3) * 5e-3  # nothing but the floor of the variances
