"""Mixtures and hidden Markov models beside scikit-learn's and hmmlearn's, iteration by iteration from the same start."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from models.classical.covariances import STRUCTURES, Gaussians
from models.classical.gmm import GaussianMixture
from models.classical.hmm import HiddenMarkovModel, Sequences, Symbols

pytestmark = pytest.mark.parity

ITERATIONS = 12


def points(rng: np.random.Generator, n: int = 300) -> np.ndarray:
    centres = 2 * rng.standard_normal((3, 4))
    return centres[rng.integers(3, size=n)] + rng.standard_normal((n, 4)) @ rng.standard_normal((4, 4))


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("seed", range(3))
def test_mixtures_are_scikit_learn_s_after_each_iteration(structure: str, seed: int) -> None:
    mixture_module = pytest.importorskip("sklearn.mixture")
    x = points(np.random.default_rng(seed))
    ours = GaussianMixture(3, 4, structure, floor=0.0)
    ours.start(x, rng=np.random.default_rng(seed))
    for count in range(1, ITERATIONS):
        weights, means, covariances = ours.parameters_of_density()
        precisions = 1 / covariances if structure in ("diag", "spherical") else np.linalg.inv(covariances)
        theirs = mixture_module.GaussianMixture(
            3,
            covariance_type=structure,
            reg_covar=0,
            tol=0,
            max_iter=1,
            weights_init=weights,
            means_init=means,
            precisions_init=precisions,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged
            theirs.fit(x)
        responsibilities, before = ours.expect(x)
        assert abs(theirs.lower_bound_ - before) <= 1e-8, count
        ours.maximise(x, responsibilities)
        assert abs(theirs.score(x) - ours.expect(x)[1]) <= 1e-8, count
    np.testing.assert_allclose(ours.gaussians.covariances, theirs.covariances_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.gaussians.means, theirs.means_, rtol=1e-8, atol=1e-10)
    assert ours.bic(x) == pytest.approx(theirs.bic(x), abs=1e-6)
    assert ours.aic(x) == pytest.approx(theirs.aic(x), abs=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_many_iterations_are_scikit_learn_s(structure: str) -> None:
    """From one start, without taking over its parameters in between."""
    mixture_module = pytest.importorskip("sklearn.mixture")
    x = points(np.random.default_rng(7))
    ours = GaussianMixture(3, 4, structure, floor=0.0)
    ours.start(x, rng=np.random.default_rng(7))
    weights, means, covariances = ours.parameters_of_density()
    precisions = 1 / covariances if structure in ("diag", "spherical") else np.linalg.inv(covariances)
    start = {"weights_init": weights, "means_init": means, "precisions_init": precisions}
    for count in range(1, ITERATIONS):
        ours.maximise(x, ours.expect(x)[0])
        theirs = mixture_module.GaussianMixture(
            3, covariance_type=structure, reg_covar=0, tol=0, max_iter=count, **start
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.fit(x)
        assert abs(theirs.score(x) - ours.expect(x)[1]) <= 1e-8, count


def joined(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """A batch (N, T, ...) as hmmlearn takes it, one after the other."""
    return np.concatenate([row[:length] for row, length in zip(x, lengths, strict=True)])


def parted(kind: str, seed: int) -> tuple[HiddenMarkovModel, Any, np.ndarray, np.ndarray]:
    """Ours, hmmlearn's with the same parameters, and a batch of sequences with their lengths."""
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    rng = np.random.default_rng(seed)
    N, T, S = 20, 12, 3
    lengths = rng.integers(4, T + 1, N)
    common: dict[str, Any] = {"n_iter": ITERATIONS, "tol": -np.inf, "init_params": "", "implementation": "log"}
    if kind == "symbols":
        emissions: Any = Symbols(S, 5, rng=rng)
        x = rng.integers(5, size=(N, T))
        theirs = hmmlearn.CategoricalHMM(S, **common)
        theirs.emissionprob_ = emissions.probabilities
        theirs.n_features = 5
    else:
        x = points(rng, N * T)
        emissions = Gaussians(S, 4, kind)
        emissions.maximise(x, rng.dirichlet(np.ones(S), N * T))
        x = x.reshape(N, T, 4)
        theirs = hmmlearn.GaussianHMM(S, covariance_type=kind, covars_prior=0, covars_weight=0, min_covar=0, **common)
        theirs.n_features = 4
        theirs.means_ = emissions.means
        theirs.covars_ = emissions.covariances
    ours = HiddenMarkovModel(S, emissions)
    ours.initial, ours.transition = rng.dirichlet(np.ones(S)), rng.dirichlet(np.ones(S), S)
    theirs.startprob_, theirs.transmat_ = ours.initial, ours.transition
    return ours, theirs, x, lengths


@pytest.mark.parametrize("kind", ["symbols", *STRUCTURES])
@pytest.mark.parametrize("seed", range(2))
def test_hidden_markov_models_are_hmmlearn_s(kind: str, seed: int) -> None:
    ours, theirs, x, lengths = parted(kind, seed)
    flat = joined(x, lengths)
    flat = flat[:, None] if kind == "symbols" else flat
    batch = Sequences(x, lengths)
    assert ours.log_likelihoods(batch).sum() == pytest.approx(theirs.score(flat, lengths), abs=1e-8)
    expected = ours.expect(batch).states
    np.testing.assert_allclose(joined(expected, lengths), theirs.predict_proba(flat, lengths), atol=1e-9)
    states, log_p = ours.decode(batch)
    their_log_p, their_states = theirs.decode(flat, lengths)
    assert log_p.sum() == pytest.approx(their_log_p, abs=1e-8)
    np.testing.assert_array_equal(joined(states, lengths), their_states)
    theirs.fit(flat, lengths)
    history = [ours.iterate(batch) for _ in range(ITERATIONS)]
    np.testing.assert_allclose(history, list(theirs.monitor_.history)[-ITERATIONS:], rtol=0, atol=1e-7)
    np.testing.assert_allclose(ours.transition, theirs.transmat_, atol=1e-8)


def test_where_hmmlearn_s_floor_bites_its_likelihood_falls_and_ours_rises() -> None:
    """A coordinate without spread, and covariances that may not become smaller than a floor."""
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    rng = np.random.default_rng(0)
    x = points(rng, 240).reshape(20, 12, 4) * [1, 1, 0.01, 0]
    lengths = np.full(20, 12)
    floor, S = 1e-2, 6
    emissions = Gaussians(S, 4, "diag", floor)
    ours = HiddenMarkovModel(S, emissions)
    batch = Sequences(x)
    ours.start(batch, rng.integers(S, size=(20, 12)))
    theirs = hmmlearn.GaussianHMM(
        S, covariance_type="diag", covars_prior=floor, n_iter=30, tol=-np.inf, init_params="", implementation="log"
    )
    theirs.n_features = 4
    theirs.startprob_, theirs.transmat_ = ours.initial, ours.transition
    theirs.means_, theirs.covars_ = emissions.means, emissions.covariances
    theirs.fit(joined(x, lengths), lengths)
    assert np.diff([ours.iterate(batch) for _ in range(30)]).min() >= -1e-9
    assert np.diff(list(theirs.monitor_.history)).min() < -1e-3
