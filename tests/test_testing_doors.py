"""The doors to the checker: Jacobians, Hessians, linear operators, other frameworks, pytest. Each catches a planted
mistake and passes what is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import rosen, rosen_der, rosen_hess
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import tinygrad_cv as tg
from tinygrad_cv.testing import (
    GradMismatch,
    GradReport,
    arrays,
    check,
    check_hessian,
    check_jacobian,
    check_linear_operator,
    check_sparsity,
    session,
)

pytest_plugins = "pytester"

POINT = np.array([0.3, -0.7, 1.2, 0.45])
MATRIX = np.arange(12.0).reshape(3, 4) / 8 - 0.6
COMPLEX = MATRIX + 1j * np.cos(MATRIX)


def wave(x):
    return np.sin(MATRIX @ x)


def jacobian_of_wave(x):
    return np.cos(MATRIX @ x)[:, None] * MATRIX


# ---------------------------------------------------------------------------------------------------------- Jacobians


FORMS = {
    "array": lambda j: j,
    "sparse": scipy.sparse.csr_array,
    "operator": aslinearoperator,
}


@pytest.mark.parametrize("form", FORMS)
def test_a_right_jacobian_passes_in_each_form(form):
    report = check_jacobian(wave, lambda x: FORMS[form](jacobian_of_wave(x)), POINT)
    assert isinstance(report, GradReport)
    assert report.elements == MATRIX.size and report.unresolved == report.kinks == 0


@pytest.mark.parametrize("form", FORMS)
@given(where=st.tuples(st.integers(0, 2), st.integers(0, 3)), factor=st.sampled_from([0, -1, 2, 1.0001]))
def test_one_wrong_entry_of_a_jacobian_is_found_and_named(form, where, factor):
    def wrong(x):
        entries = jacobian_of_wave(x)
        entries[where] *= factor
        return FORMS[form](entries)

    with pytest.raises(GradMismatch, match=rf"1 entries.*\n  of value \[{where[0]}\] by argument 0 'x' \[{where[1]}\]"):
        check_jacobian(wave, wrong, POINT)


@given(x=arrays((2, 3), domain=(-1, 1)), y=arrays((3,), domain=(-1, 1)))
def test_jacobians_of_several_arguments_are_those_of_the_engine(x, y):
    f = lambda x, y: np.tanh(x) @ y
    check_jacobian(f, tg.jacobian(f, (0, 1)), x, y)
    check_jacobian(f, tg.jacobian(f, 1), x, y, wrt=1)


@pytest.mark.parametrize(
    ("factor", "pattern"), [(2, "off by the constant factor 2"), (-1, "of the wrong sign"), (0, "zero")]
)
def test_the_pattern_of_a_wrong_jacobian_is_recognised(factor, pattern):
    with pytest.raises(GradMismatch, match=f"pattern: {pattern}"):
        check_jacobian(wave, lambda x: factor * jacobian_of_wave(x), POINT)


def test_a_transposed_jacobian_is_recognised():
    square = MATRIX[:, :3]
    with pytest.raises(GradMismatch, match="pattern: transposed"):
        check_jacobian(lambda x: square @ x, lambda x: square.T, POINT[:3])


def test_a_jacobian_has_one_of_two_shapes():
    f = lambda x: x * x
    x = np.ones((2, 2))
    matrix = np.diag(2 * x.reshape(-1))
    assert check_jacobian(f, lambda x: matrix, x).elements == 16
    assert check_jacobian(f, lambda x: matrix.reshape(2, 2, 2, 2), x).elements == 16
    with pytest.raises(GradMismatch, match=r"shape \(2, 8\).*\(2, 2, 2, 2\) or \(4, 4\)"):
        check_jacobian(f, lambda x: matrix.reshape(2, 8), x)


def test_a_jacobian_that_changes_its_argument_is_refused():
    def careless(x):
        x *= 2
        return jacobian_of_wave(x)

    with pytest.raises(GradMismatch, match="the Jacobian changed argument 0"):
        check_jacobian(wave, careless, POINT)


def test_a_jacobian_at_a_kink_may_be_any_slope_between():
    x = np.array([0.0, 1.0])
    relu = lambda x: np.maximum(x, 0)
    assert check_jacobian(relu, lambda x: np.diag([0.5, 1]), x).kinks == 1
    with pytest.raises(GradMismatch):
        check_jacobian(relu, lambda x: np.diag([1.5, 1]), x)
    with pytest.raises(GradMismatch, match="kinks='error'"):
        check_jacobian(relu, lambda x: np.diag([0.5, 1]), x, kinks="error")


def test_a_wrong_entry_of_a_large_sparse_jacobian_is_found():
    n = 500
    second = scipy.sparse.diags_array([np.ones(n - 1), -2 * np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1]).tocsr()
    x = np.linspace(-1, 1, n)
    f = lambda x: second @ x + x**2
    right = lambda x: second + scipy.sparse.diags_array(2 * x)
    extra = scipy.sparse.csr_array(([0.01], ([5], [77])), shape=(n, n))
    check_jacobian(f, right, x)
    with pytest.raises(GradMismatch, match=r"of value \[5\] by argument 0 'x' \[77\]"):
        check_jacobian(f, lambda x: right(x) + extra, x)


def test_an_entry_that_the_rounding_of_a_large_value_hides_is_not_called_wrong():
    f = lambda x: np.sum(x**3)
    x = np.array([1e6, -3e5, 2.0])  # the value is 1e18, the last derivative 12
    check_jacobian(f, lambda x: 3 * x**2, x)
    with pytest.raises(GradMismatch, match="1 entries"):
        check_jacobian(f, lambda x: np.array([3e12, 2.7e11 * 1.001, 12]), x)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.sum(np.log(x)), [1e-3, 2, 1e-8]),
        (lambda x: np.sum(np.exp(-x / 1e-3)), [1e-3, 2e-3]),
        (lambda x: 1e8 + np.sum(np.sin(x)), [1, 2]),
        (lambda x: np.log(np.sum(np.exp(x))), [1, 2, -30]),
        (lambda x: np.sum(np.sin(1000 * x)), [0.3, 1]),
        (lambda x: np.prod(x), [1e-6, 1e3, 2]),
        (lambda x: np.sum(x * 3), [1, 1]),
    ],
)
def test_hessians_at_every_scale(f, x):
    x = np.array(x, float)
    hessian = tg.hessian(f)
    check_hessian(f, hessian, x)
    check_hessian(f, hessian, x, gradient=tg.grad(f))
    with pytest.raises(GradMismatch):
        check_hessian(f, lambda x: hessian(x) * 1.001 + 0.001 * np.eye(len(x)), x)


def test_complex_and_several_values_have_no_jacobian():
    with pytest.raises(TypeError, match="complex"):
        check_jacobian(lambda x: x * 1j, lambda x: np.eye(4), POINT)
    with pytest.raises(TypeError, match="gives 2"):
        check_jacobian(lambda x: (x, x), lambda x: np.eye(4), POINT)


@given(where=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_a_pattern_that_excludes_what_is_not_zero_is_refused(where):
    i, j = where
    pattern = np.eye(4, dtype=bool)

    def f(x):
        value = x**3
        value[i] += x[j] * (x[j] - POINT[j])  # at the point its value is 0, and beside it too small to see
        return value

    pattern[i, j] = True
    check_sparsity(f, scipy.sparse.csr_array(pattern), POINT)
    if i != j:
        pattern[i, j] = False
        with pytest.raises(GradMismatch, match=rf"of value \[{i}\] by argument 0 'x' \[{j}\]"):
            check_sparsity(f, pattern, POINT)


def test_a_pattern_is_tried_beside_the_arguments_too():
    f = lambda x: np.array([x[0] + x[1] ** 3, x[1]])  # the derivative by x[1] is 0 at 0 only
    with pytest.raises(GradMismatch, match="pattern has 0"):
        check_sparsity(f, np.eye(2), np.zeros(2))


def test_a_jacobian_keeps_to_its_pattern():
    check_jacobian(lambda x: x**2, lambda x: np.diag(2 * x), POINT, sparsity=np.eye(4))
    with pytest.raises(GradMismatch, match="the Jacobian has 1 entries that the pattern excludes"):
        almost = np.diag(2 * POINT)
        almost[0, 2] = 1e-16  # less than differences can tell
        check_jacobian(lambda x: x**2, lambda x: almost, POINT, sparsity=np.eye(4))


# ----------------------------------------------------------------------------------------------------------- Hessians


@pytest.mark.parametrize("gradient", [None, rosen_der])
@given(x=arrays((4,), domain=(-2, 2)))
def test_a_right_hessian_passes_with_and_without_a_gradient(gradient, x):
    check_hessian(rosen, rosen_hess, x, gradient=gradient)


@pytest.mark.parametrize("n", [4, 30])
@pytest.mark.parametrize("gradient", [None, rosen_der])
@given(data=st.data())
def test_a_wrong_pair_of_entries_of_a_hessian_is_found(n, gradient, data):
    j = data.draw(st.integers(0, n - 1))
    k = data.draw(st.integers(0, n - 1))

    def wrong(x):
        matrix = rosen_hess(x)
        matrix[j, k] += 0.01
        matrix[k, j] = matrix[j, k]
        return matrix

    with pytest.raises(GradMismatch, match="entries of the hessian wrong") as failure:
        check_hessian(rosen, wrong, np.linspace(-1, 1, n), gradient=gradient)
    assert f"[{j}]" in str(failure.value) and f"[{k}]" in str(failure.value)


def test_a_hessian_is_symmetric():
    lopsided = lambda x: np.triu(rosen_hess(x))
    with pytest.raises(GradMismatch, match="not symmetric at 3 pairs"):
        check_hessian(rosen, lopsided, POINT)


def test_a_wrong_gradient_is_found_before_the_hessian():
    with pytest.raises(GradMismatch, match="entries of the jacobian wrong"):
        check_hessian(rosen, rosen_hess, POINT, gradient=lambda x: 2 * rosen_der(x))


def test_a_hessian_of_several_arguments_is_nested():
    f = lambda x, y: np.sum(np.sin(x @ y))
    x, y = MATRIX[:2, :3], POINT[:3]
    check_hessian(f, tg.hessian(f, (0, 1)), x, y)
    check_hessian(f, tg.hessian(f, (0, 1)), x, y, gradient=tg.grad(f, (0, 1)))
    with pytest.raises(GradMismatch, match=r"by the factor 0\.5"):
        halves = lambda x, y: [[h / 2 for h in row] for row in tg.hessian(f, (0, 1))(x, y)]
        check_hessian(f, halves, x, y)


def test_a_value_with_axes_has_no_hessian():
    with pytest.raises(TypeError, match="a Hessian is of a number"):
        check_hessian(wave, lambda x: np.eye(4), POINT)


# --------------------------------------------------------------------------------------------------- linear operators


def operator(matvec, rmatvec=None, matmat=None, dtype=float, shape=(3, 4)):
    return LinearOperator(shape, matvec, rmatvec=rmatvec, matmat=matmat, dtype=dtype)


def test_right_operators_pass():
    n = 32
    right = [
        aslinearoperator(MATRIX),
        aslinearoperator(COMPLEX),
        aslinearoperator(MATRIX.astype(np.float32)),
        aslinearoperator(scipy.sparse.csr_array(MATRIX)),
        aslinearoperator(COMPLEX).H @ aslinearoperator(COMPLEX),
        operator(lambda x: np.fft.fft(x.ravel()), lambda v: n * np.fft.ifft(v.ravel()), dtype=complex, shape=(n, n)),
    ]
    for op in right:
        assert "adjoint" in check_linear_operator(op).held
    assert "adjoint" not in check_linear_operator(operator(lambda x: MATRIX @ x)).held


def in_place(x):
    x *= 2
    return MATRIX @ x


OPERATOR_MISTAKES = {
    "not linear": operator(lambda x: MATRIX @ x.reshape(-1) + 1),
    "A.dtype is float64": operator(lambda x: (MATRIX @ x).astype(np.float32)),
    "changed its argument": operator(in_place),
    "conjugate is missing": operator(lambda x: COMPLEX @ x, lambda v: COMPLEX.T @ v, dtype=complex),
    "the columns and matmat": operator(lambda x: MATRIX @ x, matmat=lambda x: -(MATRIX @ x)),
    "pattern: of the wrong sign": operator(lambda x: MATRIX @ x, lambda v: -MATRIX.T @ v),
}


@pytest.mark.parametrize("message", OPERATOR_MISTAKES)
def test_a_mistake_in_an_operator_is_named(message):
    with pytest.raises(GradMismatch, match=message):
        check_linear_operator(OPERATOR_MISTAKES[message])


@pytest.mark.parametrize("n", [30, 250])
@given(data=st.data())
def test_one_wrong_entry_of_an_adjoint_is_found(n, data):
    matrix = np.random.default_rng(0).normal(size=(n, n))
    transposed = matrix.T.copy()
    place = data.draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
    transposed[place] *= 1.001
    with pytest.raises(GradMismatch, match=r"adjoint|<v, A x>"):
        check_linear_operator(operator(lambda x: matrix @ x, lambda v: transposed @ v, shape=(n, n)))


# ---------------------------------------------------------------------------------------------------- other frameworks


def test_functions_of_numpy_and_of_tensors_go_through_the_same_door():
    assert check(np.tanh, POINT, order=2).elements == 8
    assert check(lambda x: tg.Tensor(2.0) * x, POINT).elements == 4
    with pytest.raises(ValueError, match="framework is one of torch, jax, autograd"):
        check(np.tanh, POINT, framework="theano")


def test_the_door_imports_no_framework():
    code = (
        "import sys, numpy, tinygrad_cv.testing as t; t.check(numpy.tanh, numpy.ones(2));"
        "print({'torch', 'jax', 'autograd', 'hypothesis'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parity
class TestTorch:
    """Functions, modules and autograd.Functions of PyTorch."""

    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch")

    @staticmethod
    def cube(torch, backward):
        """x^3 with a gradient of one's own."""

        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        members = {
            "forward": staticmethod(forward),
            "backward": staticmethod(lambda ctx, g: backward(g, ctx.saved_tensors[0])),
        }
        return type("Cube", (torch.autograd.Function,), members)

    def test_functions(self, torch):
        x = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(3, 4)
        softmax = lambda x: torch.softmax(x, -1)
        assert check(softmax, x, order=2).elements == 36
        assert check(softmax, x.float()).elements == 12
        assert check(lambda x: torch.sin(torch.as_tensor(x)), x.numpy(), framework="torch").elements == 12
        assert check(lambda x, k: (x[k], x.sum()), x, torch.tensor([0, 2, 2])).elements == 12
        assert check(lambda z: z.exp() * z.conj(), x[0].to(torch.complex128) * (1 + 2j), order=2).kinks == 0
        assert check(lambda x: torch.nn.functional.dropout(x, 0.5), x).elements == 12

    def test_a_function_that_holds_float32_is_evaluated_in_float32(self, torch):
        weights = torch.linspace(-1, 1, 8).reshape(4, 2)
        x = torch.linspace(-1, 2, 12).reshape(3, 4)
        assert "only float32 taken" in check(lambda x: x @ weights, x).held
        with pytest.raises(GradMismatch):
            check(lambda x: (x @ weights) * 2 - (x @ weights).detach(), x)

    def test_autograd_functions(self, torch):
        x = torch.tensor([0.5, -1.25], dtype=torch.float64)
        assert check(self.cube(torch, lambda g, x: 3 * g * x * x), x, order=2).elements == 6
        with pytest.raises(GradMismatch, match=r"Cube: gradient .*'x'[^$]*reproduce: check\(Cube.apply"):
            check(self.cube(torch, lambda g, x: 2 * g * x * x), x)

    @pytest.mark.parametrize("name", ["x", "g"])
    def test_double_backward_with_respect_to_arguments_and_cotangent(self, torch, name):
        x = torch.tensor([0.5, -1.25], dtype=torch.float64)
        detached = {
            "x": self.cube(torch, lambda g, x: 3 * g * (x * x).detach()),
            "g": self.cube(torch, lambda g, x: 3 * g.detach() * (x * x)),
        }
        check(detached[name], x)
        with pytest.raises(GradMismatch, match=f"gradient of Cube: .*'{name}'"):
            check(detached[name], x, order=2)

    def test_modules_with_respect_to_their_parameters(self, torch):
        torch.manual_seed(0)  # of 60 seeds 5 make a bias before the batch norm cancel to rounding, which is refused
        x = torch.linspace(-1, 2, 12).reshape(3, 4)
        net = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.BatchNorm1d(2), torch.nn.GELU())
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        assert check(net, x).elements == 12 + 8 + 2 + 2 + 2
        assert check(net, x.double(), wrt=[0, "1.weight"]).elements == 12 + 2
        assert check(torch.nn.Embedding(5, 2), torch.tensor([1, 1, 3])).elements == 10
        assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
        with pytest.raises(ValueError, match="no parameters"):
            check(net, x, wrt="weight")

    def test_a_wrong_gradient_of_a_parameter_is_found(self, torch):
        wrong = self.cube(torch, lambda g, x: 2 * g * x * x)

        class Scale(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = torch.nn.Parameter(torch.tensor([1.0, 2.0]))

            def forward(self, x):
                return x * wrong.apply(self.scale)

        x = torch.tensor([0.5, -1.25])
        assert check(Scale(), x, wrt=0).elements == 2
        with pytest.raises(GradMismatch, match=r"'scale'[^$]*functional_call\(Scale, \{'scale': scale\}"):
            check(Scale(), x)


@pytest.mark.parity
def test_jax_functions():
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (2 * g * x * x,))
    x = jax.numpy.array([0.5, -1.25])
    assert check(jax.jit(lambda x: jax.numpy.sin(x) * x), x, order=2).elements == 6
    assert check(lambda z: jax.numpy.exp(z) * z.conj(), x * (1 + 2j)).elements == 4
    assert check(lambda x: jax.numpy.tanh(x), POINT).elements == 4
    with pytest.raises(GradMismatch, match=r"reproduce: check\(cube.*framework='jax'"):
        check(cube, x)


@pytest.mark.parity
def test_autograd_functions():
    numpy = pytest.importorskip("autograd.numpy")
    extend = pytest.importorskip("autograd.extend")
    cube = extend.primitive(lambda x: x**3)
    extend.defvjp(cube, lambda y, x: lambda g: 2 * g * x * x)
    f = lambda x, y: (numpy.dot(x, y), numpy.tanh(x))
    assert check(f, MATRIX, POINT, framework="autograd", order=2).elements == 16 + 16 + 15
    assert check(lambda z: numpy.exp(z) * numpy.conj(z), COMPLEX[0], framework="autograd").elements == 8
    with pytest.raises(GradMismatch, match="framework='autograd'"):
        check(lambda x: cube(x), POINT, framework="autograd")


# -------------------------------------------------------------------------------------------------------------- pytest

TESTS = """
import numpy as np

def test_pair(gradcheck):
    report = gradcheck(np.sin, lambda g, y, x: g * np.cos(x), np.ones(3))
    assert report.elements == 3

def test_jacobian_and_function(gradcheck):
    gradcheck.jacobian(np.sin, lambda x: np.diag(np.cos(x)), np.ones(2))
    gradcheck(np.abs, np.zeros(1))

def test_wrong(gradcheck):
    gradcheck(np.sin, lambda g, y, x: g * y, np.ones(3))
"""


def test_the_fixture_counts_what_was_checked(pytester):
    assert session.Gradcheck("a").seed != session.Gradcheck("b").seed
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_inprocess("-p", "tinygrad_cv_pytest", "--gradcheck-profile=ci")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["gradcheck: 3 checks, 8 derivatives agree, 1 at kinks, 0 unresolved"])
    assert "check.py" not in result.stdout.str()  # the failure is shown where the test made the call


def test_the_profile_is_that_of_the_option(pytester):
    pytester.makeconftest("from tinygrad_cv.testing import load_profile\nload_profile()")
    pytester.makepyfile(
        "from hypothesis import settings\n"
        "def test_profile():\n    assert settings.get_current_profile_name() == 'thorough'"
    )
    from hypothesis import settings

    before = settings.get_current_profile_name()
    try:
        result = pytester.runpytest_inprocess("-p", "tinygrad_cv_pytest", "--gradcheck-profile=thorough")
    finally:
        settings.load_profile(before)
    result.assert_outcomes(passed=1)


def test_the_plugin_says_nothing_and_imports_nothing_where_it_is_not_used(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(tg.__file__).parents[1]))
    pytester.makepyfile("def test_nothing():\n    import sys\n    assert 'numpy' not in sys.modules")
    result = pytester.runpytest_subprocess("-p", "tinygrad_cv_pytest", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)
    assert "gradcheck" not in result.stdout.str()
