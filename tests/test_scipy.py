"""`tg.scipy`: a tensor in the place of an array changes nothing but the gradient.

The rows of these functions are in tests/rows/scipy_*.py; here is what a row does not say: values at
the ends of supports and of invalid parameters, SciPy's errors, differential equations.
"""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.signal
import scipy.special
import scipy.stats

import tinygrad_cv as tg
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.rules import SCIPY, enter_scipy, refused_arguments
from tinygrad_cv.rules.scipy.stats import CONTINUOUS, DISCRETE, _shapes_of
from tinygrad_cv.rules.table import DEFINITIONS
from tinygrad_cv.tensor import TABLE, Rule

enter_scipy()
MIRRORED = {
    name_of(f): f
    for f in TABLE
    if re.match(r"scipy\.(?!special)", name_of(f)) and name_of(f).split(".")[1] in SCIPY
}
EPS = np.finfo(float).eps


def leaf(array: Any, dtype: Any = float) -> tg.Tensor:
    return tg.Tensor(np.asarray(array, dtype), requires_grad=True)


def mirror_of(name: str) -> Any:
    found: Any = tg
    for part in name.split("."):
        found = getattr(found, part)
    return found


# ---------------------------------------------------------------------------------------- the doors


def test_the_table_has_functions_of_every_room() -> None:
    rooms = {name.split(".")[1] for name in MIRRORED}
    assert rooms == {"linalg", "signal", "integrate", "stats"}
    assert len(MIRRORED) > 200


def required(function: Any) -> list[Any]:
    """As many tensors as a function needs."""
    row = TABLE[function]
    signature = row.signature
    square = [[2.0, 0.5], [0.5, 1.0]]
    if "func" in signature.defaults:
        return [lambda y, t: -y, leaf([1.0, 2.0]), leaf([0.0, 1.0])]
    if signature.variadic:
        return [leaf(square)] * 2
    pairs = {"c_and_lower": (leaf(square), True), "lu_and_piv": (leaf(square), np.arange(2))}
    return [pairs.get(name, leaf(square)) for name in signature.required] or [leaf(square)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MIRRORED)
def test_the_error_on_scipys_own_function_names_the_mirror(name: str) -> None:
    function = MIRRORED[name]
    with pytest.raises((TypeError, AttributeError), match=rf"For {re.escape(name)}, here use tg\.{re.escape(name)}\."):
        function(*required(function))
    assert tg.rule(mirror_of(name)) is TABLE[function]


def test_the_error_on_a_function_without_a_mirror_says_so() -> None:
    with pytest.raises(TypeError, match=r"scipy\.linalg\.schur has no mirror in tg\.scipy"):
        scipy.linalg.schur(leaf(np.eye(2)))
    with pytest.raises(TypeError, match=r"tg\.scipy\.stats\.norm\.logpdf"):
        scipy.stats.norm(loc=leaf(0.0)).logpdf(1.0)


def test_a_function_that_the_user_hands_to_scipy_is_not_blamed_on_it() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"np\.asarray\(t\)") as error:
        scipy.integrate.quad(lambda s: s * np.asarray(x)[0], 0, 1)
    assert "mirror" not in str(error.value)


def test_a_mirror_hands_out_scipys_own_for_arrays() -> None:
    a = np.array([[2.0, 1.0], [0.5, 1.0]])
    np.testing.assert_array_equal(tg.scipy.linalg.expm(a), scipy.linalg.expm(a))
    assert tg.scipy.linalg.expm is tg.scipy.linalg.expm
    assert tg.scipy.linalg.schur is scipy.linalg.schur
    assert tg.scipy.linalg.LinAlgError is scipy.linalg.LinAlgError
    assert tg.scipy.special.erf is scipy.special.erf
    assert inspect.signature(tg.scipy.linalg.solve_triangular) == inspect.signature(scipy.linalg.solve_triangular)
    assert tg.special.logsumexp is tg.scipy.special.logsumexp
    assert "expm" in dir(tg.scipy.linalg) and "linalg" in dir(tg.scipy)


def test_a_room_that_is_not_mirrored_names_those_that_are() -> None:
    with pytest.raises(AttributeError, match=r"no 'optimize'; it mirrors integrate, linalg"):
        tg.scipy.optimize  # noqa: B018
    with pytest.raises(AttributeError, match="nonsense"):
        tg.scipy.linalg.nonsense  # noqa: B018


def test_a_row_prints_by_its_mirror() -> None:
    assert str(tg.rule(tg.scipy.linalg.expm)).splitlines()[0].startswith("scipy.linalg.expm: A <- frechet(")


def test_a_rule_of_the_users_for_a_mirror_is_that_of_scipys_function() -> None:
    before = TABLE[scipy.linalg.expm]
    try:
        tg.derivative(tg.scipy.linalg.expm, A=lambda g, y: 7 * g)
        x = leaf(np.eye(2))
        tg.scipy.linalg.expm(x).sum().backward()
        np.testing.assert_array_equal(x.grad, np.full((2, 2), 7.0))
    finally:
        TABLE[scipy.linalg.expm] = before


def test_a_tape_has_the_names_of_the_source() -> None:
    def f(matrix: Any, vector: Any) -> Any:
        grown = tg.scipy.linalg.expm(matrix)
        density = tg.scipy.stats.norm.logpdf(grown @ vector)
        return np.sum(density)

    text = tg.tape(f, np.eye(2) / 2, np.ones(2)).text()
    assert "grown = scipy.linalg.expm(matrix)" in text
    assert "density = " in text and "from" not in text


def svd_sum(a: Any, weights: Any, driver: str) -> Any:
    u, _, vh = tg.scipy.linalg.svd(a[:, :3], full_matrices=False, lapack_driver=driver)
    return np.sum(weights[:, :3] * u) + np.sum(weights[:3, :3] * vh)


def eigh_sum(a: Any, weights: Any, driver: str) -> Any:
    return np.sum(weights * tg.scipy.linalg.eigh(a + a.T, driver=driver)[1])


CALLS_OF_DRIVERS = [(svd_sum, "gesdd"), (svd_sum, "gesvd"), (eigh_sum, "ev"), (eigh_sum, "evd"), (eigh_sum, "evx")]


@pytest.mark.parametrize("call, driver", CALLS_OF_DRIVERS)  # the signs of "evr" jump with the rounding
def test_the_signs_of_vectors_are_those_of_the_driver(call: Any, driver: str) -> None:
    """A loss that depends on the signs has the gradient of the vectors that are its value."""
    rng = np.random.default_rng(0)
    for _ in range(8):
        a, weights, direction = rng.normal(size=(3, 4, 4))
        loss = partial(call, weights=weights, driver=driver)
        slope = (loss(a + 1e-6 * direction) - loss(a - 1e-6 * direction)) / 2e-6
        assert np.sum(tg.grad(loss)(a) * direction) == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_an_option_without_a_derivative_is_refused_by_name() -> None:
    a = leaf(np.eye(2) * 2)
    with pytest.raises(NotImplementedError, match=r"scipy\.linalg\.eigh .*'subset_by_index'"):
        tg.scipy.linalg.eigh(a, subset_by_index=[0, 0])
    with pytest.raises(NotImplementedError, match=r"scipy\.linalg\.qr .*'pivoting'"):
        tg.scipy.linalg.qr(a, pivoting=True)
    with pytest.raises(NotImplementedError, match=r"scipy\.integrate\.odeint .*'full_output'"):
        tg.scipy.integrate.odeint(lambda y, t: -y, leaf([1.0]), [0.0, 1.0], full_output=1)


def test_permission_to_overwrite_an_operand_is_not_used() -> None:
    for name in ("solve", "solve_triangular", "lu_factor", "cho_factor", "inv", "eigvalsh", "svdvals"):
        a = np.asfortranarray([[2.0, 1.0], [1.0, 3.0]])
        x, b = tg.Tensor(a, requires_grad=True), tg.Tensor(np.ones(2))
        more = [b] if name.startswith("solve") else []
        options = {"overwrite_b": True} if name.startswith("solve") else {"overwrite_a": True}
        getattr(tg.scipy.linalg, name)(x, *more, **options)
        np.testing.assert_array_equal(x.numpy(), a)
        np.testing.assert_array_equal(b.numpy(), [1, 1])


# ------------------------------------------------------------------------------------ distributions

SHAPES = {"n": [4.0, 7.0, 1.0], "p": [0.3, 0.9, 0.5], "default": [2.5, 0.7, 1.0]}


def shapes_of(distribution: Any) -> list[np.ndarray]:
    """Three valid values of each shape."""
    names = distribution.shapes.split(", ") if distribution.shapes else []
    return [np.array(SHAPES.get(name, SHAPES["default"])) for name in names]


def methods_of(name: str) -> Iterator[tuple[str, np.ndarray]]:
    """The methods of a distribution, with points (or probabilities) inside, outside and at the ends."""
    points = np.array([-np.inf, -2.0, -0.3, 0.0, 0.2, 0.5, 1.0, 1.7, 3.0, 40.0, np.inf, np.nan])
    if name in DISCRETE:
        for method in DISCRETE[name].formulas():
            yield method, np.array([-1.0, 0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 50.0, np.nan])
        return
    for method in CONTINUOUS[name].formulas():
        yield method, points
    for method in CONTINUOUS[name].quantiles():
        yield method, np.array([-0.5, 0.0, 1e-9, 0.3, 0.5, 0.9, 1.0, 1.5, np.nan])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_values_of_distributions_are_scipys(name: str) -> None:
    """Within and outside the support and at its ends, with parameters that are not valid, too."""
    distribution, mirrored = getattr(scipy.stats, name), getattr(tg.scipy.stats, name)
    scales = [] if name in DISCRETE else [2.0, 0.5, 1.0]
    shapes = shapes_of(distribution)
    bad = [np.full(3, -1.0) for _ in shapes]
    for method, points in methods_of(name):
        x = points[:, None]
        calls = [((x, *shapes), {}), ((x, *shapes), {"loc": 1})]
        if name not in DISCRETE:
            calls += [((x, *shapes, 0.3, np.array(scales)), {}), ((x, *shapes, 0, -1.0), {})]
        calls += [((x, *bad), {}), ((x.astype(np.float32), *shapes), {}), ((1, *[s[0] for s in shapes]), {})]
        for args, options in calls:
            expected = getattr(distribution, method)(*args, **options)
            found = getattr(mirrored, method)(tg.Tensor(args[0]), *args[1:], **options)
            assert found.dtype == expected.dtype and found.shape == np.shape(expected)
            # Differences of logarithms and rounded points are of the size of what they are made of.
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14, err_msg=f"{method} {args}")


def slope(f: Callable[..., Any], args: list[Any], i: int) -> np.ndarray:
    """By Richardson's extrapolation of central differences."""

    def central(h: float) -> Any:
        above, below = list(args), list(args)
        above[i], below[i] = args[i] + h, args[i] - h
        return (f(*above) - f(*below)) / (2 * h)

    return np.asarray((4 * central(1e-3) - central(2e-3)) / 3)


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_gradients_of_distributions_agree_with_differences(name: str) -> None:
    """In each argument, or it is refused by name, and printed among the refusals."""
    distribution, mirrored = getattr(scipy.stats, name), getattr(tg.scipy.stats, name)
    shapes = shapes_of(distribution)
    printed = refused_arguments()
    for method, _ in methods_of(name):
        f, theirs = getattr(mirrored, method), getattr(distribution, method)
        if name in DISCRETE:
            args, first = [np.array([1.0, 0.0, 1.0]), *shapes], 1
        else:
            lower, upper = distribution.support(*shapes)
            inside = np.where(np.isfinite(upper), 0.4, np.where(np.isfinite(lower), lower + 0.6, -0.7))
            x = np.array([0.2, 0.7, 0.4]) if method in ("ppf", "isf") else 0.3 + inside * 1.5
            args, first = [np.broadcast_to(x, 3), *shapes, np.full(3, 0.3), np.full(3, 1.5)], 0
        for i in range(first, len(args)):
            function = f"scipy.stats.{name}.{method}"
            argument = DEFINITIONS[theirs].signature.positional[i]
            if argument in printed.get(function, ()):
                message = f"{function} is not differentiated with respect to '{argument}'; "
                with pytest.raises(NotImplementedError, match=re.escape(message)):
                    f(*args[:i], leaf(args[i]), *args[i + 1 :])
                f(*args[:i], tg.Tensor(args[i]), *args[i + 1 :])
                with tg.no_grad():
                    f(*args[:i], leaf(args[i]), *args[i + 1 :])
                continue
            gradient = tg.grad(lambda *a, f=f: f(*a).sum(), argnums=i)(*args)
            with np.errstate(invalid="ignore"):
                expected = np.nan_to_num(slope(theirs, args, i))  # constant where it is infinite
            np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-7, err_msg=f"{method} {i}")
    densities = [f"scipy.stats.{name}.{density}" for density in ("logpdf", "pdf", "logpmf", "pmf")]
    whole = {"k", "loc", "n"} if name in DISCRETE else set()
    assert all(set(printed.get(density, ())) <= whole for density in densities)


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_shapes_are_refused_only_where_a_formula_has_no_derivative(name: str) -> None:
    distribution = getattr(scipy.stats, name)
    shapes = shapes_of(distribution)
    family = (CONTINUOUS | DISCRETE)[name]
    formulas = family.formulas() | (family.quantiles() if name in CONTINUOUS else {})
    whole = family.constant if name in DISCRETE else ()
    for method, formula in formulas.items():
        for i, shape in enumerate(_shapes_of(distribution)):
            if shape in family.refused(method) and shape not in whole:
                with pytest.raises(NotImplementedError):
                    formula(np.array([0.2, 0.7, 0.4]), *shapes[:i], leaf(shapes[i]), *shapes[i + 1 :])


def test_the_shares_of_weights_that_broadcast_are_taken_of_all() -> None:
    p, q = np.array([0.3, 1.7, 0.9]), np.array(0.65)
    found = tg.scipy.stats.entropy(leaf(p), leaf(q))
    np.testing.assert_allclose(found.item(), scipy.stats.entropy(p, q), rtol=1e-12)
    slopes = tg.grad(lambda p, q, b: tg.scipy.stats.entropy(p, q, b), argnums=(0, 1, 2))(p, q, 2.0)
    for i, gradient in enumerate(slopes):
        if i == 0:  # along p, which changes the shares
            expected = [slope(lambda t, e=e: scipy.stats.entropy(p + t * e, q, 2.0), [0.0], 0) for e in np.eye(3)]
        else:
            expected = slope(scipy.stats.entropy, [p, q, 2.0], i)
        np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-9)


def test_a_fraction_is_no_whole_number() -> None:
    """Its mass is 0 whatever the rate."""
    assert tg.grad(lambda mu: tg.scipy.stats.poisson.pmf(1.5, mu))(2.0) == 0


def test_the_density_at_two_degrees_of_freedom_has_a_second_derivative() -> None:
    """x^0 is 1, and its derivatives in the exponent are powers of log x."""
    for name, more in (("chi2", ()), ("f", (3.0,))):
        density = getattr(tg.scipy.stats, name).logpdf
        mixed = tg.grad(tg.grad(lambda x, df, d=density, m=more: d(x, df, *m)), argnums=1)(1.5, 2.0)
        beside = tg.grad(tg.grad(lambda x, df, d=density, m=more: d(x, df, *m)), argnums=1)(1.5, 2.0 + 1e-7)
        np.testing.assert_allclose(mixed, beside, rtol=1e-6)


def test_cholesky_factors_of_several_matrices_solve() -> None:
    a = np.stack([2 * np.eye(2), np.eye(2) + 1])
    for lower in (True, False):
        c, order = tg.scipy.linalg.cho_factor(leaf(a), lower)
        np.testing.assert_array_equal(order, scipy.linalg.cho_factor(a, lower)[1])
        x = tg.scipy.linalg.cho_solve((c, order), np.ones((2, 2, 1)))
        np.testing.assert_allclose(x.detach().numpy(), np.linalg.solve(a, np.ones((2, 2, 1))))


def test_half_precision_is_taken_as_single() -> None:
    a = np.array([[2.0, 1.0], [0.5, 3.0]])
    for name in ("svd", "polar", "qr", "pinv", "inv", "solve", "svdvals", "eigh", "eigvalsh", "det", "lu", "cholesky"):
        function = getattr(tg.scipy.linalg, name)
        others = [np.ones(2)] if name == "solve" else []
        half, single = leaf(a @ a.T, np.float16), leaf(a @ a.T)
        for x in (half, single):
            found = function(x, *others)
            first = found if isinstance(found, tg.Tensor) else found[-1]
            (first**2).sum().backward()
            assert first.dtype in (np.float32, np.float64)
        assert half.grad.dtype == np.float16
        np.testing.assert_allclose(half.grad, single.grad, rtol=2e-3, atol=2e-3)


def test_a_parameter_that_is_not_valid_has_no_finite_gradient() -> None:
    for scale in (-1.0, 0.0, np.nan):
        gradients = tg.grad(lambda x, s: tg.scipy.stats.norm.logpdf(x, 0.0, s), argnums=(0, 1))(0.5, scale)
        assert np.all(np.isnan(gradients))
    assert np.isnan(tg.grad(lambda a: tg.scipy.stats.gamma.logpdf(1.0, a))(-1.0))
    assert tg.grad(tg.scipy.stats.expon.logpdf)(-1.0) == 0


def test_whole_numbers_have_no_derivative() -> None:
    for call in (
        lambda k: tg.scipy.stats.poisson.logpmf(k, 2.0),
        lambda n: tg.scipy.stats.binom.pmf(1, n, 0.5),
    ):
        with pytest.raises(NotImplementedError, match=r"scipy\.stats\.\w+\.\w+ is not differentiated .*'[kn]'"):
            call(leaf(3.0))


def test_a_distribution_may_be_given_its_parameters_before() -> None:
    loc, scale = leaf(0.5), leaf(2.0)
    frozen = tg.scipy.stats.norm(loc, scale=scale)
    value = frozen.logpdf(1.0) + frozen.cdf(1.0)
    value.backward()
    f = lambda m, s: tg.scipy.stats.norm.logpdf(1.0, m, s) + tg.scipy.stats.norm.cdf(1.0, m, s)
    assert (loc.grad, scale.grad) == tg.grad(f, argnums=(0, 1))(0.5, 2.0)
    plain = tg.scipy.stats.norm(0.5, 2.0)
    assert plain.mean() == 0.5 and plain.logpdf(1.0) == scipy.stats.norm(0.5, 2.0).logpdf(1.0)
    covariance = leaf(np.eye(2) * 3)
    tg.scipy.stats.multivariate_normal(cov=covariance).entropy().backward()
    np.testing.assert_allclose(covariance.grad, np.eye(2) / 6)
    with pytest.raises(TypeError, match="has no mirror"):
        frozen.mean()


@pytest.mark.parametrize(
    "x, options",
    [
        (np.zeros((2, 4, 3)), {"mean": [0.1, 0.2, 0.3], "cov": 2.0}),
        (np.ones(3), {"mean": [0.1, 0.2, 0.3], "cov": [1.0, 2.0, 3.0]}),
        (np.arange(4.0), {"mean": 1.0, "cov": 2.0}),
        (0.5, {}),
        ([0.3, -0.2], {"cov": [[2.0, 0.5], [0.5, 1.0]]}),
        ([[0.3, -0.2]], {"cov": [[2.0, 0.5], [0.5, 1.0]], "allow_singular": True}),
    ],
)
def test_the_normal_distribution_of_several_numbers_takes_what_scipys_takes(x: Any, options: Any) -> None:
    expected = scipy.stats.multivariate_normal.logpdf(x, **options)
    found = tg.scipy.stats.multivariate_normal.logpdf(leaf(x), **options)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


def test_entropies_are_scipys_and_agree_with_differences() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 3))
    weights, others = rng.uniform(0.5, 2, size=(2, 4, 2))
    calls: list[tuple[Callable[[Any], Callable[..., Any]], np.ndarray]] = [
        (lambda s: lambda a: s.multivariate_normal.entropy(cov=a @ a.T + np.eye(3)), a),
        (lambda s: lambda a: s.dirichlet.entropy(a[0] * a[0] + 1), a),
        (lambda s: lambda p: np.sum(s.entropy(p, base=2)), weights),
        (lambda s: lambda p: np.sum(s.entropy(p, others, axis=1)), weights),
        (lambda s: lambda q: np.sum(s.entropy(others, q, keepdims=True)), weights),
    ]
    for of, x in calls:
        ours, theirs = of(tg.scipy.stats), of(scipy.stats)
        assert ours(leaf(x)).item() == pytest.approx(theirs(x), rel=1e-13)
        np.testing.assert_allclose(tg.grad(ours)(x), slopes(theirs, x), rtol=1e-7, atol=1e-8)


def test_a_singular_covariance_is_refused() -> None:
    cov = np.ones((2, 2))
    for options in ({}, {"allow_singular": True}):
        with pytest.raises(np.linalg.LinAlgError):
            tg.scipy.stats.multivariate_normal.logpdf(leaf([0.5, 0.5]), cov=cov, **options)


# ------------------------------------------------------------------------------------------- linalg


def test_functions_of_a_matrix_are_accurate_at_every_size_of_the_gradient() -> None:
    a = np.array([[0.3, 0.7], [-0.2, 0.5]])
    for function in (tg.scipy.linalg.expm, tg.scipy.linalg.logm, tg.scipy.linalg.sqrtm):
        of = lambda scale, f=function: tg.vjp(f, a + np.eye(2))[1](np.full((2, 2), scale))[0]
        for scale in (1e-200, 1e-30, 1e12, 1e200):
            np.testing.assert_allclose(of(scale) / scale, of(1.0), rtol=1e-13)
        np.testing.assert_allclose(of(1e-310), 0, atol=1e-308)


def test_a_matrix_with_equal_eigenvalues_has_the_limit() -> None:
    """Of log A at the identity: the gradient of sum C log A is C^T-like, C itself."""
    c = np.array([[1.0, 2.0], [3.0, 4.0]])
    gradient = tg.grad(lambda a: (c * tg.scipy.linalg.logm(a)).sum())(np.eye(2))
    np.testing.assert_allclose(gradient, c, rtol=1e-13)
    jordan = np.array([[2.0, 1.0], [0.0, 2.0]])
    found = tg.grad(lambda a: (c * tg.scipy.linalg.sqrtm(a)).sum())(jordan)
    root = scipy.linalg.sqrtm(jordan)
    np.testing.assert_allclose(found, scipy.linalg.solve_sylvester(root.T, root.T, c), rtol=1e-12)


def test_a_root_that_is_complex_has_a_real_gradient_for_a_real_matrix() -> None:
    f = lambda a: np.real(tg.scipy.linalg.sqrtm(a)[0, 1])
    a = np.array([[-2.0, 1.0], [0.5, 3.0]])
    gradient = tg.grad(f)(a)
    assert gradient.dtype == float
    h = 1e-6
    step = np.array([[h, 0], [0, 0]])
    root = lambda a: scipy.linalg.sqrtm(a)[0, 1].real
    assert gradient[0, 0] == pytest.approx((root(a + step) - root(a - step)) / (2 * h), rel=1e-6)


def test_a_matrix_equation_of_real_and_complex_matrices_is_refused() -> None:
    """SciPy gives something that is no solution; its gradients by way of complex ones are right."""
    a, b, q = np.array([[1.0, -2.0], [2.0, 1.5]]), np.eye(2) * (1 + 1j), np.ones((2, 2))
    wrong = scipy.linalg.solve_sylvester(a, b, q)
    assert np.abs(a @ wrong + wrong @ b - q).max() > 0.1
    with pytest.raises(TypeError, match="give all of them as complex"):
        tg.scipy.linalg.solve_sylvester(leaf(a), b, q)
    with pytest.raises(TypeError, match="give all of them as complex"):
        tg.scipy.linalg.solve_continuous_lyapunov(leaf(a), b)
    right = lambda a: tg.scipy.linalg.solve_sylvester(a + 0j, b, q + 0j)
    x = right(leaf(a)).numpy()
    np.testing.assert_allclose(a @ x + x @ b, q, atol=1e-13)
    f = lambda a: np.sum(np.real(right(a)) * np.arange(4.0).reshape(2, 2))
    np.testing.assert_allclose(tg.grad(f)(a), slopes(f, a), rtol=1e-7)


def slopes(f: Callable[[Any], Any], x: np.ndarray, h: float = 1e-5) -> np.ndarray:
    """The gradient by central differences, one element after the other."""
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = h
        found[place] = (f(x + step) - f(x - step)) / (2 * h)
    return found


@pytest.mark.parametrize("turn", [0.0, 0.4j])
def test_the_logarithm_of_a_matrix_is_the_inverse_of_exp_to_second_order(turn: complex) -> None:
    rng = np.random.default_rng(0)
    a = np.eye(3) + rng.normal(size=(3, 3)) / 8
    a = a + turn * rng.normal(size=(3, 3)) / 4 if turn else a
    c = rng.normal(size=(3, 3))
    f = lambda a: np.sum(c * np.real(tg.scipy.linalg.expm(tg.scipy.linalg.logm(a))))
    np.testing.assert_allclose(tg.grad(f)(a), c, atol=1e-12)
    second = tg.hvp(f, a, rng.normal(size=(3, 3)).astype(a.dtype))
    np.testing.assert_allclose(second, 0, atol=1e-11)
    v = rng.normal(size=(3, 3)).astype(a.dtype)
    both = lambda a: tg.scipy.linalg.expm(tg.scipy.linalg.logm(a))
    np.testing.assert_allclose(tg.jvp(both, (a,), (v,))[1], v, atol=1e-12)


def test_a_power_of_a_matrix_is_differentiated_in_matrix_and_exponent() -> None:
    rng = np.random.default_rng(0)
    a, c = np.eye(3) + rng.normal(size=(3, 3)) / 8, rng.normal(size=(3, 3))
    root = lambda a: np.sum(c * tg.scipy.linalg.sqrtm(a))
    power = lambda a, p: np.sum(c * tg.scipy.linalg.fractional_matrix_power(a, p))
    np.testing.assert_allclose(tg.grad(power)(a, 0.5), tg.grad(root)(a), rtol=1e-10)
    slope = (power(a, 0.3 + 1e-5) - power(a, 0.3 - 1e-5)) / 2e-5
    assert tg.grad(power, argnums=1)(a, 0.3) == pytest.approx(slope, rel=1e-8)


def test_a_factorisation_of_a_batch_is_that_of_each_matrix() -> None:
    rng = np.random.default_rng(0)
    batch, b = rng.normal(size=(3, 4, 4)), rng.normal(size=(4, 2))
    f = lambda a: tg.scipy.linalg.lu_solve(tg.scipy.linalg.lu_factor(a), b).sum()
    one = np.stack([tg.grad(f)(a) for a in batch])
    inverse = np.linalg.inv(batch)
    expected = -(inverse.mT.sum(-1, keepdims=True) * (inverse @ b).sum(-1)[:, None])
    np.testing.assert_allclose(one, expected, rtol=1e-9)
    factor = lambda a: (tg.scipy.linalg.lu_factor(a)[0] ** 2).sum()
    parts = np.stack([tg.grad(factor)(a) for a in batch])
    np.testing.assert_allclose(tg.grad(factor)(batch), parts, rtol=1e-9)


# -------------------------------------------------------------------------------- other conventions


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_integrals_of_samples_are_scipys(n: int, axis: int) -> None:
    rng = np.random.default_rng(n)
    y = rng.normal(size=(n, n))
    x = np.cumsum(rng.uniform(0.5, 1, size=n))
    for name in ("trapezoid", "simpson", "cumulative_trapezoid"):
        for options in ({"axis": axis}, {"x": x, "axis": axis}, {"dx": 0.3, "axis": axis}):
            expected = getattr(scipy.integrate, name)(y, **options)
            found = getattr(tg.scipy.integrate, name)(leaf(y), **options)
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-14)


# --------------------------------------------------------------------------- differential equations


def pendulum(y: Any, t: Any, damping: Any, force: Any) -> list[Any]:
    """With a damping, and a force that grows with time."""
    return [y[1], -damping * y[1] - np.sin(y[0]) + force * t]


TIMES = np.array([0.0, 0.4, 0.5, 1.2])
START = (np.array([0.5, -0.2]), TIMES, np.array(0.3), np.array(0.7))


def swing(y0: Any, t: Any, damping: Any, force: Any) -> Any:
    return tg.scipy.integrate.odeint(pendulum, y0, t, (damping, force), rtol=1e-11, atol=1e-11)


def test_a_differential_equation_has_scipys_solution() -> None:
    y0, t, *args = START
    found = tg.scipy.integrate.odeint(pendulum, leaf(y0), t, tuple(args))
    np.testing.assert_array_equal(found.numpy(), scipy.integrate.odeint(pendulum, y0, t, tuple(args)))


def test_a_differential_equation_is_differentiated_in_start_times_and_parameters() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 2))
    f = lambda *args: np.sum(weights * swing(*args))
    gradients = tg.grad(f, argnums=(0, 1, 2, 3))(*START)
    tangents = tuple(np.random.default_rng(i).normal(size=np.shape(x)) for i, x in enumerate(START))
    _, pushed = tg.jvp(f, START, tangents)
    h = 1e-4
    ahead, behind = ([x + s * h * v for x, v in zip(START, tangents, strict=True)] for s in (1, -1))
    numeric = (f(*ahead) - f(*behind)) / (2 * h)
    along = sum(np.sum(g * v) for g, v in zip(gradients, tangents, strict=True))
    assert along == pytest.approx(numeric, rel=1e-6)
    assert pushed == pytest.approx(along, rel=1e-8)
    for i, (gradient, x) in enumerate(zip(gradients, START, strict=True)):
        one = lambda v, i=i: f(*START[:i], v, *START[i + 1 :])
        for place in np.ndindex(np.shape(x)):
            step = np.zeros(np.shape(x))
            step[place] = h
            assert gradient[place] == pytest.approx((one(x + step) - one(x - step)) / (2 * h), rel=1e-5, abs=1e-7)


def test_a_differential_equation_has_second_derivatives() -> None:
    """y = y0 exp(-k t): d2y / dk2 = t^2 y, d2y / dk dy0 = -t exp(-k t)."""
    decay = lambda y, t, k: -k * y
    f = lambda k, y0: tg.scipy.integrate.odeint(decay, y0, [0.0, 2.0], (k,), rtol=1e-11, atol=1e-11)[-1, 0]
    k, y0 = 0.4, 1.5
    end = np.exp(-k * 2.0)
    assert tg.grad(f)(k, y0) == pytest.approx(-2 * y0 * end, rel=1e-8)
    assert tg.grad(tg.grad(f))(k, y0) == pytest.approx(4 * y0 * end, rel=1e-8)
    assert tg.grad(tg.grad(f), argnums=1)(k, y0) == pytest.approx(-2 * end, rel=1e-8)
    assert tg.jvp(lambda k: tg.grad(f)(k, y0), (k,), (1.0,))[1] == pytest.approx(4 * y0 * end, rel=1e-8)


def test_time_may_come_first_and_a_parameter_may_be_of_any_shape() -> None:
    rng = np.random.default_rng(0)
    a, y0 = rng.normal(size=(3, 3)) / 2, rng.normal(size=3)
    f = lambda a: tg.scipy.integrate.odeint(
        lambda t, y, a: a @ y, y0, [0.0, 1.0], (a,), tfirst=True, rtol=1e-11, atol=1e-11
    )[-1].sum()
    exact = lambda a: (tg.scipy.linalg.expm(a) @ y0).sum()
    np.testing.assert_allclose(tg.grad(f)(a), tg.grad(exact)(a), rtol=1e-7)


def test_a_tensor_that_the_equation_hides_is_refused() -> None:
    hidden = leaf(2.0)
    with pytest.raises(TypeError, match="would silently cut a tensor"):
        tg.scipy.integrate.odeint(lambda y, t: -hidden * y, leaf([1.0]), [0.0, 1.0])


def test_observers_see_a_solution_as_one_operation() -> None:
    """And not the hundreds of evaluations of its equation; so the tape prints and runs it."""
    f = lambda y0, k: np.sum(tg.scipy.integrate.odeint(lambda y, t, k: -k * y, y0, [0.0, 1.0], (k,)))
    arguments = np.array([1.0, 2.0]), np.array(0.3)
    tape = tg.tape(f, *arguments)
    assert len(tape.text().splitlines()) < 20
    found = tape.run().gradients
    for name, gradient in zip(("y0", "k"), tg.grad(f, argnums=(0, 1))(*arguments), strict=True):
        np.testing.assert_array_equal(found[name], gradient)


def test_a_solver_that_gives_up_raises() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="odeint"):
            tg.scipy.integrate.odeint(lambda y, t: y**2, leaf([1.0]), [0.0, 2.0], mxstep=20)


# ------------------------------------------------------------------------------------------- parity


@pytest.fixture(scope="module")
def jax() -> Any:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax


def agree(ours: Callable[..., Any], theirs: Callable[..., Any], *args: Any, jax: Any, rtol: float = 1e-10) -> None:
    """Values, and the gradients of a weighted sum in every argument."""
    value = ours(*args)
    np.testing.assert_allclose(value, theirs(*args), rtol=rtol, atol=1e-13)
    weights = np.random.default_rng(0).normal(size=np.shape(value))
    which = tuple(range(len(args)))
    found = tg.grad(lambda *a: np.sum(weights * ours(*a)), argnums=which)(*args)
    expected = jax.grad(lambda *a: (weights * theirs(*a)).sum(), argnums=which)(*args)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_distributions_agree_with_jax(name: str, jax: Any) -> None:
    module = getattr(importlib.import_module("jax").scipy.stats, name, None)
    if module is None:
        pytest.skip("JAX does not have it")
    for method, _ in methods_of(name):
        if hasattr(module, method):
            agree_at_points(name, method, getattr(module, method), jax)


def agree_at_points(name: str, method: str, theirs: Callable[..., Any], jax: Any) -> None:
    ours = getattr(getattr(tg.scipy.stats, name), method)
    shapes = shapes_of(getattr(scipy.stats, name))
    if name in DISCRETE:
        k = np.array([1.0, 0.0, 1.0])
        if name == "binom":
            agree(lambda p: ours(k, shapes[0], p), lambda p: theirs(k, shapes[0], p), shapes[1], jax=jax)
        elif method in ("logpmf", "pmf"):
            agree(lambda *s: ours(k, *s), lambda *s: theirs(k, *s), *shapes, jax=jax)
        return
    of_probability = method in ("ppf", "isf")
    x = np.array([0.2, 0.7, 0.4]) if of_probability else np.array([0.4, 0.9, 0.6])
    x = x + 1.5 if name == "pareto" and not of_probability else x
    loc, scale = np.full(3, 0.1), np.full(3, 1.3)
    if name == "vonmises":
        agree(ours, theirs, x, shapes[0], jax=jax)
    elif name.startswith("gumbel"):  # where JAX's gradient raises TypeError
        np.testing.assert_allclose(ours(x, loc, scale), theirs(x, loc, scale), rtol=1e-8)
    elif method in ("logpdf", "pdf") or not shapes:
        agree(ours, theirs, x, *shapes, loc, scale, jax=jax, rtol=1e-8)
    else:
        call = lambda f: lambda x, m, s: f(x, *shapes, m, s)
        agree(call(ours), call(theirs), x, loc, scale, jax=jax, rtol=1e-8)


@pytest.mark.parity
def test_distributions_of_several_numbers_agree_with_jax(jax: Any) -> None:
    rng = np.random.default_rng(0)
    x, mean, a = rng.normal(size=(5, 3)), rng.normal(size=3), rng.normal(size=(3, 3))
    normal = lambda stats: lambda x, m, a: stats.multivariate_normal.logpdf(x, m, a @ a.T + np.eye(3))
    agree(normal(tg.scipy.stats), normal(jax.scipy.stats), x, mean, a, jax=jax)
    share, alpha = np.array([0.2, 0.5]), np.array([1.3, 2.0, 0.7])
    full = lambda stats, np: lambda x, a: stats.dirichlet.logpdf(np.append(x, 1 - np.sum(x)), a)
    agree(full(tg.scipy.stats, np), full(jax.scipy.stats, jax.numpy), share, alpha, jax=jax)


MATRIX = np.array([[1.0, 0.3, -0.2], [0.1, 1.5, 0.4], [-0.3, 0.2, 2.0]])
PARITY_LINALG: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "expm": lambda la: lambda a: la.expm(a),
    "sqrtm": lambda la: lambda a: la.sqrtm(a @ a).real,
    "solve_triangular": lambda la: lambda a: la.solve_triangular(a, MATRIX, lower=True, trans=1),
    "cho_solve": lambda la: lambda a: la.cho_solve(la.cho_factor(a @ a.T, lower=True), MATRIX),
    "lu_solve": lambda la: lambda a: la.lu_solve(la.lu_factor(a), MATRIX),
    "cholesky": lambda la: lambda a: la.cholesky(a @ a.T, lower=True),
    "block_diag": lambda la: lambda a: la.block_diag(a, 2 * a),
    "toeplitz": lambda la: lambda a: la.toeplitz(a[0], a[1]),
    "eigh": lambda la: lambda a: la.eigh(a + a.T)[0],
    "svd": lambda la: lambda a: la.svd(a, compute_uv=False),
    "det": lambda la: lambda a: la.det(a),
    "inv": lambda la: lambda a: la.inv(a),
    "solve": lambda la: lambda a: la.solve(a, MATRIX),
    "solve_sylvester": lambda la: lambda a: la.solve_sylvester(a, a.T, MATRIX),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", PARITY_LINALG)
def test_linear_algebra_agrees_with_jax(name: str, jax: Any) -> None:
    f = PARITY_LINALG[name]
    try:
        theirs = f(jax.scipy.linalg)
        jax.grad(lambda a: theirs(a).sum())(MATRIX)
    except (AttributeError, NotImplementedError) as error:
        pytest.skip(f"JAX: {error}")
    agree(f(tg.scipy.linalg), theirs, MATRIX, jax=jax, rtol=1e-9)


@pytest.mark.parity
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", ["convolve", "correlate", "fftconvolve"])
@pytest.mark.parametrize("shapes", [((7,), (3,)), ((3,), (6,)), ((4, 5), (2, 3))])
def test_convolutions_agree_with_jax(name: str, mode: str, shapes: Any, jax: Any) -> None:
    a, b = (np.random.default_rng(i).normal(size=shape) for i, shape in enumerate(shapes))
    ours, theirs = (lambda a, b, m=m: getattr(m, name)(a, b, mode=mode) for m in (tg.scipy.signal, jax.scipy.signal))
    agree(ours, theirs, a, b, jax=jax)


@pytest.mark.parity
def test_integrals_and_differential_equations_agree_with_jax(jax: Any) -> None:
    from jax.experimental.ode import odeint

    y, x = np.random.default_rng(0).normal(size=(2, 6)), np.cumsum(np.random.default_rng(1).uniform(1, 2, 6))
    agree(tg.scipy.integrate.trapezoid, jax.scipy.integrate.trapezoid, y, x, jax=jax)
    theirs = lambda *args: odeint(
        lambda y, t, d, f: jax.numpy.stack(pendulum_of(jax.numpy)(y, t, d, f)), *args, rtol=1e-10, atol=1e-10
    )
    agree(swing, theirs, *START, jax=jax, rtol=1e-6)


def pendulum_of(np: Any) -> Callable[..., list[Any]]:
    return lambda y, t, damping, force: [y[1], -damping * y[1] - np.sin(y[0]) + force * t]


def test_every_definition_of_scipys_is_in_the_table() -> None:
    """And none of the rules is one that a definition hides."""
    for name, function in MIRRORED.items():
        assert isinstance(TABLE[function], Rule) or TABLE[function] is DEFINITIONS[function], name
