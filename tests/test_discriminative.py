"""Logistic regression, support vector machines and naive Bayes: their optimum, and what must hold there."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.classical.bayes import log_posterior
from models.classical.logistic_regression import (
    Parameters,
    ProximalGradient,
    lbfgs,
    lipschitz,
    newton,
    num_rows,
    objective,
    smooth_objective,
    soft_threshold,
)
from models.classical.naive_bayes import NaiveBayes, NaiveBayesConfig
from models.classical.svm import (
    SVM,
    Dual,
    Kernel,
    SVMConfig,
    example_costs,
    kernel_function,
    primal,
    signs,
    subgradient_step,
)
from models.lab.cli import main
from models.lab.comparison import labels
from models.lab.comparison.fitting import accuracy, few_labels, grid
from models.lab.comparison.labels import METHODS, Method, choose, fitted, folds
from models.lab.settings import configure
from models.lab.tasks import TASKS
from tinygrad_cv import data

SEEDS = st.integers(0, 10**6)


def points(rng: np.random.Generator, classes: int, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.integers(classes, size=n)
    labels[:classes] = np.arange(classes)
    return rng.standard_normal((classes, 3))[labels] + rng.standard_normal((n, 3)), labels


def zeros(classes: int, dimensions: int = 3) -> Parameters:
    rows = num_rows(classes)
    return {"weight": np.zeros((rows, dimensions)), "bias": np.zeros(rows)}


# ---------------------------------------------------------------------------------- logistic regression


@given(SEEDS, st.integers(2, 4), st.sampled_from([1e-3, 0.1]))
def test_newton_lbfgs_and_fista_end_in_the_same_place(seed: int, classes: int, l2: float) -> None:
    x, labels = points(np.random.default_rng(seed), classes)

    def f(p: Any) -> Any:
        return smooth_objective(p, x, labels, l2)

    by_lbfgs = by_newton = by_fista = zeros(classes)
    by_lbfgs = lbfgs(f, by_lbfgs)
    for _ in range(12):
        by_newton = newton(f, by_newton)
    fista, steepness = ProximalGradient(by_fista), lipschitz(x, classes, l2)
    for _ in range(200):
        by_fista = fista.iterate(f, by_fista, 1 / steepness)
    gradient = tg.grad(f)(by_newton)
    assert max(np.abs(g).max() for g in gradient.values()) < 1e-7  # f's rounding hides the rest
    least = float(f(by_newton))
    assert float(f(by_lbfgs)) == pytest.approx(least, abs=1e-6)
    distance = sum(float(np.sum(part**2)) for part in by_newton.values())  # from zeros, squared
    assert least - 1e-9 <= float(f(by_fista)) <= least + 2 * steepness * distance / 201**2  # Beck & Teboulle, theorem 4.4


@given(SEEDS, st.integers(2, 4), st.floats(0.01, 0.2))
def test_ista_never_rises_and_fista_ends_where_no_subgradient_leads_on(seed: int, classes: int, l1: float) -> None:
    """At the optimum the smooth part's gradient is -l1 sign(w) where w is not 0, and at most l1 where it is."""
    x, labels = points(np.random.default_rng(seed), classes)
    size = 1 / lipschitz(x, classes, 0.01)

    def f(p: Any) -> Any:
        return smooth_objective(p, x, labels, 0.01)

    p, ista = zeros(classes), ProximalGradient(zeros(classes), momentum=False)
    values = []
    for _ in range(20):
        values.append(float(objective(p, x, labels, 0.01, l1)))
        p = ista.iterate(f, p, size, l1)
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(values))
    p, fista = zeros(classes), ProximalGradient(zeros(classes))
    for _ in range(400):
        p = fista.iterate(f, p, size, l1)
    gradient, w = tg.grad(f)(p), p["weight"]
    assert float(objective(p, x, labels, 0.01, l1)) <= values[-1] + 1e-12
    np.testing.assert_allclose(gradient["weight"][w != 0], -l1 * np.sign(w[w != 0]), atol=1e-6)
    assert np.abs(gradient["weight"][w == 0]).max(initial=0) <= l1 + 1e-6
    np.testing.assert_allclose(gradient["bias"], 0, atol=1e-6)


@given(st.floats(-3, 3), st.floats(0, 2))
def test_the_soft_threshold_is_the_proximal_map(w: float, t: float) -> None:
    at = float(soft_threshold(np.array(w), t))
    others = np.linspace(-4, 4, 801)
    assert (at - w) ** 2 / 2 + t * abs(at) <= np.min((others - w) ** 2 / 2 + t * np.abs(others)) + 1e-12


def test_newton_refuses_a_hessian_that_is_too_large() -> None:
    with pytest.raises(ValueError, match="newton: the Hessian of 7850 weights is too large, the limit is 2000"):
        newton(lambda p: p["weight"].sum(), zeros(10, 784))


# -------------------------------------------------------------------------------- support vector machines


def machine(seed: int, kernel: str, squared: bool, room: int = 10**9) -> Dual:
    rng = np.random.default_rng(seed)
    x, labels = points(rng, 2)
    k = kernel_function(SVMConfig(kernel=kernel, gamma=0.3, degree=2))
    costs = example_costs(labels, float(rng.uniform(0.1, 10)), balanced=bool(seed % 2))
    return Dual(Kernel(k, x, room), np.where(labels == 1, 1, -1), costs, squared=squared)


@given(SEEDS, st.sampled_from(["linear", "polynomial", "rbf"]), st.booleans())
def test_smo_ends_where_karush_kuhn_and_tucker_say(seed: int, kernel: str, squared: bool) -> None:
    dual = machine(seed, kernel, squared)
    before = dual.objective
    while dual.improve(10, 1e-7):
        assert dual.objective >= before - 1e-12
        before = dual.objective
    beta, y, b = dual.beta, dual.y, dual.bias
    assert abs(beta.sum()) < 1e-9
    assert np.all((dual.lower <= beta) & (beta <= dual.upper))
    outputs = dual.kernel @ beta + b
    np.testing.assert_allclose(dual.gradient, y - dual.kernel @ beta - dual.extra * beta, atol=1e-9)
    slack = 1 - y * outputs - np.abs(beta) * dual.extra
    nowhere, everything = beta == 0, np.abs(beta) == dual.upper - dual.lower
    assert np.all(slack[nowhere] <= 1e-6), "an example that is none of the support vectors is beyond the margin"
    assert np.all(slack[everything] >= -1e-6), "one of full weight is inside of it"
    np.testing.assert_allclose(slack[~nowhere & ~everything], 0, atol=1e-6)


@given(SEEDS, st.sampled_from(["linear", "rbf"]), st.booleans())
def test_primal_and_dual_have_one_value(seed: int, kernel: str, squared: bool) -> None:
    dual = machine(seed, kernel, squared)
    while dual.improve(1000, 1e-8):
        pass
    product = dual.kernel @ dual.beta
    losses = np.maximum(0, 1 - dual.y * (product + dual.bias))
    costs = 1 / (2 * dual.extra) if squared else dual.upper - dual.lower
    value = dual.beta @ product / 2 + costs @ (losses**2 if squared else losses)
    assert value == pytest.approx(dual.objective, rel=1e-6, abs=1e-6)


@given(SEEDS)
def test_columns_that_are_computed_when_needed_give_the_same_machine(seed: int) -> None:
    whole, parts = machine(seed, "rbf", False), machine(seed, "rbf", False, room=8 * 40 * 3)
    assert parts.kernel.matrix is None
    for dual in (whole, parts):
        dual.improve(2000, 1e-9)
    assert len(parts.kernel.kept) == 3
    np.testing.assert_allclose(parts.beta, whole.beta, atol=1e-5)
    np.testing.assert_allclose(parts.kernel @ whole.beta, whole.kernel @ whole.beta, atol=1e-9)


@given(SEEDS, st.integers(2, 3), st.booleans())
def test_the_primal_by_its_gradient_goes_to_the_dual_s_value(seed: int, classes: int, squared: bool) -> None:
    """The squared hinge by L-BFGS, the hinge, which has kinks, by subgradients, and not as near."""
    x, labels = points(np.random.default_rng(seed), classes)
    y, costs = signs(labels, classes), example_costs(labels, 0.2)

    def f(p: Any) -> Any:
        return primal(p, x, y, costs, squared=squared)

    p = zeros(classes)
    if squared:
        p = lbfgs(f, p)
    else:
        reach = float(costs @ (np.sum(x**2, axis=1) + 1))
        for step in range(300):
            p = subgradient_step(p, tg.grad(f)(p), step, reach)
    optimum = 0.0
    for column in y.T:
        dual = Dual(Kernel(lambda a, b: a @ b.T, x), column, costs, squared=squared)
        dual.improve(100_000, 1e-9)
        optimum += dual.objective
    assert float(f(p)) >= optimum - 1e-6
    assert float(f(p)) == pytest.approx(optimum, rel=1e-6 if squared else 0.05)


def test_a_class_without_examples_gets_no_votes_where_others_have_some() -> None:
    digits = data.digits()
    some = np.flatnonzero(digits.labels < 3)[:60]
    model = SVM(SVMConfig(num_labels=4, num_examples=60))
    model.fit(digits.images[some], digits.labels[some])
    scores = model.scores(digits.images[some])
    assert np.array_equal(scores.argmax(axis=1), digits.labels[some])
    assert scores[:, 3].max() < 0


# ------------------------------------------------------------------------------------------ naive Bayes


@pytest.mark.parametrize("distribution", ["gaussian", "bernoulli", "multinomial"])
def test_naive_bayes_draws_what_it_was_fitted_to(distribution: str) -> None:
    """Fitted again to many of its draws, it is the same."""
    digits = data.digits()
    config = NaiveBayesConfig(distribution=distribution, smoothing=0.05, levels=16)
    model, again = NaiveBayes(config), NaiveBayes(config)
    model.fit(digits.images, digits.labels)
    labels = np.repeat(np.arange(10), 1000)
    drawn = model.sample(10_000, label=labels, rng=np.random.default_rng(0))
    assert drawn.dtype == np.float32 and 0 <= drawn.min() <= drawn.max() <= 1
    again.fit(drawn, labels)
    away = np.abs(again.location - model.location).max()
    assert away < {"gaussian": 0.25, "bernoulli": 0.06, "multinomial": 0.005}[distribution]  # what is beyond 1 is clipped
    log_p = log_posterior(model.class_log_likelihoods(drawn), model.log_prior)
    assert (log_p.argmax(axis=1) == labels).mean() > 0.95


def test_bernoulli_s_probabilities_add_up_to_one() -> None:
    config = NaiveBayesConfig((1, 3), num_classes=2, distribution="bernoulli", smoothing=1.0)
    model, rng = NaiveBayes(config), np.random.default_rng(0)
    model.fit(rng.random((10, 1, 3)), np.arange(10) % 2)
    every = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(8, 1, 3)
    assert np.exp(model.log_joint(every)).sum() == pytest.approx(1)


def test_a_class_that_was_never_seen_has_no_probability_and_is_not_drawn() -> None:
    digits = data.digits()
    some = np.flatnonzero(digits.labels != 3)
    model = NaiveBayes(NaiveBayesConfig())
    model.fit(digits.images[some], digits.labels[some])
    posterior = log_posterior(model.class_log_likelihoods(digits.images[:20]), model.log_prior)
    assert np.all(np.isneginf(posterior[:, 3]))
    assert np.isfinite(np.delete(posterior, 3, axis=1)).all()
    with pytest.raises(ValueError, match="label=3: the classes of this model are"):
        model.sample(2, label=3, rng=np.random.default_rng(0))


# ------------------------------------------------------------------------ generative against discriminative


def test_labels_are_as_many_of_each_class_and_folds_hold_out_each_once() -> None:
    digits = data.digits()
    some = few_labels(digits, 57, np.random.default_rng(0))
    assert np.array_equal(np.bincount(some.labels), [5] * 10)
    assert few_labels(digits, 1200, np.random.default_rng(0)) is digits
    held = np.stack(list(folds(some.labels, 5, np.random.default_rng(0))))
    assert np.all(held.sum(axis=0) == 1)
    assert all(np.array_equal(np.bincount(some.labels[fold]), [1] * 10) for fold in held)


def test_settings_are_chosen_without_a_test_image() -> None:
    """One label a class leaves nothing to choose with; with more, the settings that are right more often win."""
    digits, rng = data.digits(), np.random.default_rng(0)
    method = Method("naive-bayes", "", True, grid(model__smoothing=[1e6, 0.1]))
    one, several = few_labels(digits, 10, rng), few_labels(digits, 100, rng)
    assert choose(method, "digits", one, 0) == {"model.smoothing": "1000000.0"}
    assert choose(method, "digits", several, 0) == {"model.smoothing": "0.1"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_comparison_learns(name: str) -> None:
    some = few_labels(data.digits(), 60, np.random.default_rng(0))
    fast = {"training.steps": "200", "training.warmup_steps": "20", "training.ema_decay": "0.9"}
    fewer = fast if METHODS[name].panel == labels.NETWORKS else {}
    task = fitted(METHODS[name], METHODS[name].candidates[0] | fewer, "digits", some, 0)
    assert accuracy(task, data.digits("test")) > 0.7


def test_a_comparison_goes_on_where_it_was_and_measures_nothing_twice(tmp_path: Path, monkeypatch: Any) -> None:
    words = ["compare", "--only", "naive Bayes", "--labels", "20", "--out", str(tmp_path)]
    assert main([*words, "--seeds", "1"]) == 0
    seen = []

    def counted(*arguments: Any) -> dict[str, Any]:
        seen.append(arguments[-1])
        return {"accuracy": 0.5, "settings": {}}

    monkeypatch.setattr(labels, "measure", counted)
    assert main([*words, "--labels", "10", "--seeds", "2"]) == 0
    assert seen == [0, 1, 1]
    measured = json.loads((tmp_path / "labels.json").read_text())["measured"]
    first = {"name": "naive Bayes", "labels": 20, "seed": 0}
    assert len(measured) == 4
    assert first.items() <= measured[0].items() and measured[0]["accuracy"] > 0.6
    page = (tmp_path / "index.html").read_text()
    assert "naive Bayes (generative)" in page and (tmp_path / "labels.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "9"], "--labels 9: at least 10, one of each class, to 1200"),
        (["--only", "magic"], "nothing that is compared is called 'magic'; there are naive Bayes, "),
        (["--data", "text:nothing.txt"], "nothing.txt"),
    ],
)
def test_what_cannot_be_compared_is_refused(words: list[str], message: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["compare", *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["logistic-regression", "--set", "training.l1=0.1"], "and |W| has a kink at 0; take training.method=ista or fista"),
        (["svm", "--set", "model.num_examples=1201"], "model.num_examples=1201: digits has 1200 images"),
        (["svm", "--set", "model.kernel=sigmoid"], "there are rbf, polynomial, linear"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(words: list[str], message: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err


def test_the_step_of_each_optimiser_lowers_the_objective(tmp_path: Path) -> None:
    """And ends where the others do, but for ISTA, which is on its way."""
    values, task_kind = {}, TASKS["logistic-regression"]
    some = few_labels(data.digits(), 50, np.random.default_rng(0))
    for method, steps in (("lbfgs", 10), ("ista", 20), ("fista", 20)):
        words = {"training.method": method, "training.l2": "0.1"}
        settings = configure(task_kind.presets, "digits", some, words)
        task = task_kind(settings, some, rng=np.random.default_rng(0))
        history = [task.step(step)["objective"] for step in range(steps)]
        assert all(after <= before + 1e-9 for before, after in itertools.pairwise(history)) or method == "fista"
        values[method] = history[-1]
    assert values["lbfgs"] <= min(values.values()) + 1e-9
    assert values["fista"] < values["ista"]
