"""Logistic regression, support vector machines and naive Bayes beside scikit-learn's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from models.classical.logistic_regression import (
    Parameters,
    ProximalGradient,
    lbfgs,
    lipschitz,
    newton,
    num_rows,
    objective,
    smooth_objective,
)
from models.classical.naive_bayes import NaiveBayes, NaiveBayesConfig
from models.classical.svm import (
    SVM,
    Dual,
    Kernel,
    LinearSVM,
    LinearSVMConfig,
    SVMConfig,
    example_costs,
    kernel_function,
    primal,
    signs,
)
from tinygrad_cv import data

pytestmark = pytest.mark.parity

sklearn = pytest.importorskip("sklearn")

DIGITS, TEST = data.digits(), data.digits("test")


def points(classes: int, seed: int = 0, n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    labels[:classes] = np.arange(classes)
    centres = rng.standard_normal((classes, 5))
    return centres[labels] + rng.standard_normal((n, 5)), labels


def zeros(classes: int, dimensions: int = 5) -> Parameters:
    rows = num_rows(classes)
    return {"weight": np.zeros((rows, dimensions)), "bias": np.zeros(rows)}


def theirs(x: np.ndarray, labels: np.ndarray, **options: Any) -> Parameters:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(tol=1e-12, max_iter=50_000, **options).fit(x, labels)
    return {"weight": model.coef_, "bias": model.intercept_}


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("method", ["lbfgs", "newton", "fista"])
def test_the_optimum_with_l2_is_scikit_learn_s(classes: int, method: str) -> None:
    x, labels = points(classes)
    l2 = 0.01

    def f(p: Any) -> Any:
        return smooth_objective(p, x, labels, l2)

    ours = zeros(classes)
    if method == "lbfgs":
        ours = lbfgs(f, ours)
    elif method == "newton":
        for _ in range(12):
            ours = newton(f, ours)
    else:
        fista, size = ProximalGradient(ours), 1 / lipschitz(x, classes, l2)
        for _ in range(3000):
            ours = fista.iterate(f, ours, size)
    expected = theirs(x, labels, C=1 / (l2 * len(x)))
    assert abs(float(f(ours)) - float(f(expected))) <= 1e-10
    centred = expected["bias"] - (expected["bias"].mean() if classes > 2 else 0)
    np.testing.assert_allclose(ours["weight"], expected["weight"], atol=1e-6)
    np.testing.assert_allclose(ours["bias"], centred, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_optimum_with_l1_is_scikit_learn_s(classes: int, share: float) -> None:
    """`share` of the penalty is l1, the rest l2 (the elastic net)."""
    x, labels = points(classes)
    strength = 0.05
    l1, l2 = share * strength, (1 - share) * strength

    def f(p: Any) -> Any:
        return smooth_objective(p, x, labels, l2)

    ours, size = zeros(classes), 1 / lipschitz(x, classes, l2)
    fista = ProximalGradient(ours)
    for _ in range(3000):
        ours = fista.iterate(f, ours, size, l1)
    options = {"solver": "saga", "l1_ratio": share, "random_state": 0, "C": 1 / (strength * len(x))}
    if sklearn.__version__ < "1.8":
        options["penalty"] = "elasticnet"
    expected = theirs(x, labels, **options)
    assert abs(float(objective(ours, x, labels, l2, l1)) - float(objective(expected, x, labels, l2, l1))) <= 1e-8
    assert (ours["weight"] == 0).sum() > 0
    if classes == 2 or l2:  # otherwise a row may be moved without a change
        np.testing.assert_allclose(ours["weight"], expected["weight"], atol=1e-6)


KERNELS = {"linear": "linear", "polynomial": "poly", "rbf": "rbf"}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("balanced", [False, True])
def test_the_dual_of_each_machine_has_libsvm_s_value(kernel: str, balanced: bool) -> None:
    from sklearn.svm import SVC

    rng = np.random.default_rng(0)
    some = rng.permutation(len(DIGITS.images))[:300]
    images, labels = DIGITS.images[some], DIGITS.labels[some]
    config = SVMConfig(num_examples=300, kernel=kernel, gamma=0.1)
    ours = SVM(config)
    ours.fit(images, labels, C=2.0, balanced=balanced, tolerance=1e-8)
    k = kernel_function(config)
    for dual in ours.duals(labels, C=2.0, balanced=balanced):
        p, members = dual.number, dual.members
        first, second = ours.pairs[p]
        y, x = dual.y, images[members].reshape(len(members), -1).astype(float)
        weights = {1: np.abs(dual.upper - dual.lower)[y == 1][0] / 2, -1: np.abs(dual.upper - dual.lower)[y == -1][0] / 2}
        peer = SVC(C=2.0, kernel=KERNELS[kernel], gamma=0.1, coef0=1.0, degree=3, tol=1e-8, class_weight=weights).fit(x, y)
        beta = np.zeros(len(members))
        beta[peer.support_] = peer.dual_coef_[0]
        matrix = k(x, x)
        expected = y @ beta - beta @ matrix @ beta / 2
        found = ours.coefficients[p, members]
        value = y @ found - found @ matrix @ found / 2
        assert value == pytest.approx(expected, rel=1e-6), (first, second)
        assert abs(ours.biases[p] - peer.intercept_[0]) <= 1e-5


def test_the_votes_are_those_of_libsvm() -> None:
    from sklearn.svm import SVC

    ours = SVM(SVMConfig())
    ours.fit(DIGITS.images, DIGITS.labels, C=10.0, tolerance=1e-6)
    peer = SVC(C=10.0, gamma=0.5, tol=1e-6, decision_function_shape="ovr")
    peer.fit(DIGITS.images.reshape(1200, -1).astype(float), DIGITS.labels)
    scores = peer.decision_function(TEST.images.reshape(597, -1).astype(float))
    np.testing.assert_allclose(ours.scores(TEST.images), scores, atol=1e-4)
    assert set(ours.support_vectors) == set(peer.support_)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_squared_hinge_s_primal_is_libsvm_s_dual(classes: int) -> None:
    """By the kernel matrix with 1 / (2 C) more on its diagonal, and no bound."""
    from sklearn.svm import SVC

    x, labels = points(classes)
    y, costs = signs(labels, classes), example_costs(labels, 0.5)
    value = float(primal(lbfgs(lambda p: primal(p, x, y, costs, squared=True), zeros(classes)), x, y, costs, squared=True))
    matrix = x @ x.T + np.eye(len(x)) / (2 * 0.5)
    total = 0.0
    for column in y.T:
        peer = SVC(C=1e10, kernel="precomputed", tol=1e-10).fit(matrix, column)
        beta = np.zeros(len(x))
        beta[peer.support_] = peer.dual_coef_[0]
        total += column @ beta - beta @ matrix @ beta / 2
    assert value == pytest.approx(total, rel=1e-6)
    config = LinearSVMConfig(num_labels=classes)
    assert LinearSVM(config).weight.shape[0] == num_rows(classes)
    kernel = Kernel(lambda a, b: a @ b.T, x)
    duals = [Dual(kernel, column, costs, squared=True) for column in y.T]
    for dual in duals:
        dual.improve(100_000, 1e-9)
    assert sum(dual.objective for dual in duals) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("distribution", ["gaussian", "bernoulli", "multinomial"])
def test_naive_bayes_has_scikit_learn_s_probabilities(distribution: str) -> None:
    from sklearn import naive_bayes

    ours = NaiveBayes(NaiveBayesConfig(distribution=distribution, smoothing=0.3))
    ours.fit(DIGITS.images, DIGITS.labels)
    peer = {
        "gaussian": naive_bayes.GaussianNB(var_smoothing=0.3),
        "bernoulli": naive_bayes.BernoulliNB(alpha=0.3),
        "multinomial": naive_bayes.MultinomialNB(alpha=0.3),
    }[distribution]
    peer.fit(ours.coordinates(DIGITS.images), DIGITS.labels)
    joint = peer._joint_log_likelihood(ours.coordinates(TEST.images))
    found = ours.log_joint(TEST.images)
    difference = found - joint  # of a multinomial, the number of arrangements
    np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-9)
    if distribution != "multinomial":
        np.testing.assert_allclose(found, joint, rtol=1e-9)
