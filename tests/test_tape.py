"""The tape: printed, a computation is the NumPy program that a person would write; run, it gives
the engine's bits."""

from __future__ import annotations

import gc
import importlib
import inspect
import pkgutil
import re
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.rows
import tinygrad_cv as tg
from models.lab.tasks import TASKS
from tests.table import ROWS, THEIR_WARNINGS, Row, operation
from tests.test_models import make
from tinygrad_cv import kernels, nn, optim
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.engine.pytrees import leaves, map_leaves
from tinygrad_cv.tape.lines import TapeError
from tinygrad_cv.tape.tape import leaf_names

pytestmark = THEIR_WARNINGS

for _module in pkgutil.iter_modules(tests.rows.__path__):
    importlib.import_module(f"tests.rows.{_module.name}")

CASES = [(f"{name_of(f)}-{i}", r) for f, rows in ROWS.items() for i, r in enumerate(rows)]
# Functions whose formulas depend on numbers, so that they are no expressions and are called.
CALLED = {
    *("np.roots", "np.polyfit"),
    *("np.linalg.eigh", "np.linalg.svd", "np.linalg.pinv", "np.linalg.lstsq", "np.average"),
    *(f"scipy.special.{name}" for name in ("psi", "polygamma", "zeta", "smirnov", "smirnovi")),
    *(f"scipy.special.spherical_{name}" for name in ("jn", "yn", "in", "kn")),
    *("scipy.special.sph_harm_y", "scipy.special.sph_harm_y_all"),
    *(f"scipy.special.{name}" for name in ("legendre_p", "assoc_legendre_p", "sph_legendre_p")),
    *(f"scipy.special.{name}_all" for name in ("legendre_p", "assoc_legendre_p", "sph_legendre_p")),
    *("root_slope", "direction", "cofactor", "with_eigenvalues", "with_singular_values"),
    *("np.linalg.det", "np.linalg.eig", "np.linalg.eigvals"),
    # Those of SciPy's that are no ufuncs see arrays only.
    *(f"scipy.linalg.{name}" for name in ("expm", "sqrtm", "expm_frechet", "inv")),
    *(f"scipy.linalg.{name}" for name in ("cho_solve", "lu_solve", "lu_factor", "solve_sylvester")),
    *(f"scipy.linalg.{name}" for name in ("eigh", "svd", "pinv", "polar", "lstsq", "solve_triangular", "lu")),
    *("scipy.signal.convolve", "scipy.signal.convolve2d", "scipy.signal.fftconvolve"),
    *("scipy.stats.multivariate_normal.logpdf", "scipy.stats.dirichlet.entropy"),
}
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3))


def assert_same(a: Any, b: Any, what: Any = "") -> None:
    """Two arrays have the same bits."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape and a.dtype == b.dtype, what
    assert a.tobytes() == b.tobytes() or np.array_equal(a, b, equal_nan=True), what


def body(tape: Any, **options: Any) -> list[str]:
    """The lines of the printed program, without comments."""
    lines = [line.partition("#")[0].strip() for line in tape.text(**options).splitlines()]
    return [line for line in lines if line]


def check_function(f: Callable[..., Any], *args: Any) -> Any:
    """Run, the tape of a function gives its value and all its gradients."""
    with np.errstate(all="ignore"):
        value, gradients = tg.value_and_grad(f, argnums=tuple(range(len(args))))(*args)
        tape = tg.tape(f, *args)
        found = tape.run()
    assert_same(found.value, value, tape)
    names = [name for i, tree in enumerate(args) for name in leaf_names(argument(f, i), tree)]
    for name, gradient in zip(names, leaves(list(gradients)), strict=True):
        if name in found.gradients:
            assert_same(found.gradients[name], gradient, (name, tape.text()))
        else:
            assert not np.any(gradient), (name, tape.text())
    return tape


def argument(f: Callable[..., Any], i: int) -> str:
    """The name of an argument in the program."""
    names = list(inspect.signature(f).parameters)
    return names[i] if names[0] != "values" else f"values_{i}"


# ------------------------------------------------------------------------------- what it looks like


def test_a_network_prints_as_the_program_that_a_person_writes() -> None:
    def f(x: Any, w1: Any, b: Any, w2: Any, t: Any) -> Any:
        h = np.tanh(x @ w1 + b)
        y = h @ w2
        return np.mean((y - t) ** 2)

    shapes = [(64, 3), (3, 32), (32,), (32, 1), (64, 1)]
    tape = check_function(f, *(RNG.normal(size=shape) for shape in shapes))
    assert (
        tape.text()
        == """\
def program(x, w1, b, w2, t):
    # forward            shape     kept for the way back
    a = x @ w1         # (64, 32)  x, w1
    c = a + b          # (64, 32)
    h = np.tanh(c)     # (64, 32)  c
    y = h @ w2         # (64, 1)   h, w2
    d = y - t          # (64, 1)
    e = d ** 2         # (64, 1)   d
    loss = np.mean(e)  # ()
    # backward
    g_loss = np.ones(())
    g_e = np.full((64, 1), g_loss / 64)
    g_d = g_e * (2 * d)
    g_y = g_d
    g_t = -g_d
    g_h = g_y @ w2.T
    g_w2 = h.T @ g_y
    f = np.exp(-np.absolute(c))
    g_c = g_h * (2 * f / (1 + f * f)) ** 2
    g_a = g_c
    g_b = g_c.sum(axis=0)
    g_x = g_a @ w1.T
    g_w1 = x.T @ g_a
    return loss, {"x": g_x, "w1": g_w1, "b": g_b, "w2": g_w2, "t": g_t}"""
    )


def test_a_name_assigned_in_a_loop_gets_a_number() -> None:
    def f(x: Any) -> Any:
        for _ in range(3):
            x = np.tanh(x)
        return np.sum(x)

    lines = body(check_function(f, X))
    assert lines[1:4] == ["x_1 = np.tanh(x)", "x_2 = np.tanh(x_1)", "x_3 = np.tanh(x_2)"]


def test_names_come_through_returns_tuples_attributes_and_augmented_assignments() -> None:
    class Holder:
        kept: Any = None

    holder = Holder()

    def squared(x: Any) -> Any:
        return x * x

    def f(x: Any) -> Any:
        square = squared(x)
        whole, part = np.modf(square)
        holder.kept = np.exp(part)
        total = np.sum(holder.kept)
        total += np.sum(whole)
        return total

    lines = body(tg.tape(f, X))
    assert lines[1:5] == [
        "square = x * x",
        "whole, part = np.modf(square)",
        "kept = np.exp(part)",
        "total = np.sum(kept)",
    ]
    assert lines[6].startswith("total_1 = total + ")


def test_arrays_that_are_no_tensors_are_inputs_by_their_names() -> None:
    targets = RNG.normal(size=(4, 3))

    def f(x: Any) -> Any:
        mask = RNG.random((4, 3)) > 0.5
        return np.sum(np.where(mask, x - targets, 0) ** 2)

    tape = tg.tape(f, X)
    assert body(tape)[0] == "def program(x, targets, mask):"
    assert_same(tape.run().value, tape.result.numpy())


def test_names_of_inputs_are_those_of_the_outermost_call_that_hands_them_down() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 3)).astype(np.float32)
    model = nn.Sequential(nn.Linear(3, 5, rng=rng), nn.ReLU(), nn.Linear(5, 2, rng=rng))

    def loss_of(x: Any, classes: Any, *, scale: Any) -> Any:
        return kernels.cross_entropy(model(x), classes) * scale

    numbers, weights = np.array([0, 1, 1, 0]), np.float32([2.0])
    with tg.tape() as tape:
        np.sum(loss_of(images, numbers, scale=weights)).backward()
    assert {"images", "numbers", "weights"} <= set(tape.inputs())


def test_comparisons_and_choices_of_numbers_are_lines_not_constants() -> None:
    def f(x: Any) -> Any:
        positive = x > 0
        best = np.argmax(x, axis=1)
        return np.sum(np.where(positive, x * x, np.exp(x))) + np.sum(x[np.arange(4), best])

    tape = check_function(f, X)
    assert "positive = x > 0" in body(tape)
    other = RNG.normal(size=(4, 3))
    value, gradient = tg.value_and_grad(f)(other)
    found = tape.run(x=other)
    assert_same(found.value, value)
    assert_same(found.gradients["x"], gradient)


def test_operators_have_the_parentheses_that_they_need_and_no_others() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(x / y - (x - y) * -x)

    lines = body(check_function(f, X, np.exp(X)))
    backward = lines[lines.index("g_loss = np.ones(())") :]
    assert "g_y = g_y - g_a * a / y" in backward
    assert "g_x = g_x + g_b" in backward
    assert not any(
        "((" in line.replace("np.ones(())", "").replace("np.full((", "") for line in lines
    )


def test_parameters_of_modules_have_their_paths_as_names() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.layers = nn.ModuleList([nn.Linear(3, 3, rng=rng), nn.Linear(3, 1, rng=rng)])

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x)
            return x

    net = Net()
    x = X.astype(np.float32)
    with tg.tape() as tape:
        loss = np.sum(net(x) ** 2)
        loss.backward()
    names = ["layers_0_weight", "layers_0_bias", "layers_1_weight", "layers_1_bias"]
    assert body(tape)[1] == f"def program(x, {', '.join(names)}):"
    found = tape.run()
    for name, tensor in net.named_parameters():
        assert_same(found.gradients[name.replace(".", "_")], tensor.grad)
    assert "    # Net\n    #   layers.0: Linear\n" in tape.text()


# ------------------------------------------------------------------------ the same bits: properties


def of_positions(
    case: Row, arguments: tuple[Any, ...], options: dict[str, Any], positions: list[int]
) -> Callable[..., Any]:
    """A row's function of the arguments at some positions; the others are as drawn."""

    def f(*values: Any) -> Any:
        full = list(arguments)
        for position, value in zip(positions, values, strict=True):
            full[position] = value
        return case.call(*full, **options)

    return f


@pytest.mark.parametrize("case", [r for _, r in CASES], ids=[name for name, _ in CASES])
@settings(max_examples=3)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_every_function_of_the_table_runs_to_the_same_bits(case: Row, data: Any, seed: int) -> None:
    arguments, options = data.draw(case.arguments), data.draw(case.options)
    one = operation(case, arguments, options)

    call = of_positions(case, arguments, options, one.wrt)

    def f(*values: Any) -> Any:
        rng = np.random.default_rng(seed)
        total: Any = 0.0 * sum(np.sum(np.real(leaf)) for leaf in leaves(list(values)))
        for leaf in leaves([call(*values)]):
            if isinstance(leaf, tg.Tensor) and leaf.requires_grad:
                total = total + np.sum(
                    np.real(leaf * rng.normal(size=leaf.shape).astype(leaf.dtype))
                )
        return total

    tape = check_function(f, *(arguments[position] for position in one.wrt))
    text = tape.text()
    if name_of(case.function) not in CALLED and "complete_qr" not in text:  # of a QR the reduced one is an expression
        assert "formulas[" not in text


# One tangent has a formula, the other is a transpose: reductions of which `initial` is
# differentiated too.
MIXED = {
    "np.sum",
    "np.prod",
    "np.max",
    "np.min",
    "np.amax",
    "np.amin",
    "np.nansum",
    "np.nanmax",
    "np.nanmin",
    "np.ufunc.reduce",
}


@pytest.mark.parametrize("case", [r for _, r in CASES], ids=[name for name, _ in CASES])
@settings(max_examples=2)
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_tangents_of_every_function_run_to_the_same_bits_or_are_refused(
    case: Row, data: Any, seed: int
) -> None:
    arguments, options = data.draw(case.arguments), data.draw(case.options)
    one = operation(case, arguments, options)

    f = of_positions(case, arguments, options, one.wrt)
    values = [arguments[position] for position in one.wrt]
    rng = np.random.default_rng(seed)
    directions = map_leaves(
        lambda a: rng.normal(size=np.shape(a)).astype(np.asarray(a).dtype), values
    )
    tangents = leaves([tg.jvp(f, values, tuple(directions))[1]])
    with tg.tape() as tape:
        tg.jvp(f, values, tuple(directions))
    try:
        found = tape.run().tangents
    except TapeError as error:
        assert name_of(case.function) in MIXED and "is no expression in" in str(error)
        return
    for carried in found.values():
        assert any(
            np.array_equal(carried, t, equal_nan=True) and carried.dtype == t.dtype
            for t in tangents
        )
    assert found or not any(np.any(t) for t in tangents)


UNARY = [np.tanh, np.exp, np.sin, np.square, np.negative, np.absolute, np.transpose, np.cosh]
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.matmul]
REDUCTIONS = [np.sum, np.mean, np.max, np.var]


@given(data=st.data())
def test_random_programs_run_to_the_same_bits(data: Any) -> None:
    size = data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    dtype = data.draw(st.sampled_from([np.float64, np.float32]))
    choices = st.lists(
        st.tuples(st.integers(0, 3), *[st.integers(0, 99)] * 3), min_size=1, max_size=12
    )
    steps = data.draw(choices)

    def f(a: Any, b: Any, row: Any) -> Any:
        pool = [a, b, np.broadcast_to(row, (size, size))]
        for kind, i, j, k in steps:
            x, y = pool[i % len(pool)], pool[j % len(pool)]
            if kind == 0:
                value = UNARY[k % len(UNARY)](np.tanh(x))
            elif kind == 1:
                value = BINARY[k % len(BINARY)](x, y)
            elif kind == 2:
                value = REDUCTIONS[k % len(REDUCTIONS)](x, axis=k % 2, keepdims=True) + y
            else:
                value = np.where(x[:, ::-1] > 0, x, y[..., :1] * 0.5)
            fits = value.shape[-2:] == (size, size)
            pool.append(value if fits else np.broadcast_to(value, (size, size)))
        return np.sum(pool[-1] * 0.25) + np.mean(pool[len(pool) // 2])

    shapes = [(size, size), (size, size), (1, size)]
    check_function(f, *(rng.normal(size=shape).astype(dtype) for shape in shapes))


def by_gradient(name: str) -> bool:
    """Whether an optimiser of this package trains the model."""
    return any(isinstance(part, optim.Optimizer) for part in make(name).parts.values())


@pytest.mark.parametrize("name", list(filter(by_gradient, TASKS)))
def test_each_models_training_step_runs_to_the_same_bits(name: str) -> None:
    task, unobserved = make(name), make(name)
    for step in range(2):
        unobserved.step(step)
    task.step(0)
    with tg.tape() as tape:
        task.step(1)
    for part, owner in task.parts.items():
        expected = unobserved.parts[part].state_dict()
        for key, array in owner.state_dict().items():
            assert_same(array, expected[key], (part, key))
    found = tape.run()
    parameters = tape.parameters()
    assert len(parameters) == len(found.updated) > 0
    for key, tensor in parameters.items():
        assert_same(found.updated[key], tensor.numpy(), key)
    assert "formulas[" not in tape.text()


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.01),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_of_an_optimiser_are_lines_of_the_program(name: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear(3, 5, rng=rng, dtype=dtype), nn.Tanh(), nn.Linear(5, 1, rng=rng, dtype=dtype)
    )
    optimizer = OPTIMIZERS[name](model.parameters())
    x = rng.normal(size=(8, 3)).astype(dtype)
    with tg.tape() as tape:
        for _ in range(3):
            optimizer.zero_grad()
            np.mean(model(x) ** 2).backward()
            optim.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    found = tape.run()
    for path, parameter in model.named_parameters():
        number, _, key = path.partition(".")
        assert_same(found.updated[f"{key}_{number}"], parameter.numpy())
    assert sum(line.startswith("weight_0_") and ".updated(" in line for line in body(tape)) == 3
    assert {"weight_0", "bias_2"} <= set(found.gradients)


def test_what_an_optimiser_gives_one_parameter_is_what_its_step_does() -> None:
    rng = np.random.default_rng(0)
    p, g = rng.normal(size=(2, 7, 5))
    tensor = tg.Tensor(p, requires_grad=True)
    optimizer = optim.Adam([tensor], lr=0.1)
    tensor.grad = g
    optimizer.step()
    options = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    zeros = {"exp_avg": np.zeros((7, 5)), "exp_avg_sq": np.zeros((7, 5))}
    new, state = optim.Adam.updated(p, g, zeros, 1, **options)
    assert_same(new, tensor.numpy())
    assert_same(state["exp_avg"], optimizer.state_dict()["0.exp_avg"])
    assert not zeros["exp_avg"].any()


# ------------------------------------------------------------------------------------------ kernels


def classifier(x: Any, w: Any, b: Any, v: Any) -> Any:
    h = kernels.linear(x, w, b, activation="relu")
    logits = kernels.linear(h, v)
    return kernels.cross_entropy(logits, np.array([0, 1, 2, 0]))


ARGUMENTS = [RNG.normal(size=shape) for shape in [(4, 3), (5, 3), (5,), (3, 5)]]


def test_kernels_are_calls_of_two_functions() -> None:
    lines = body(check_function(classifier, *ARGUMENTS))
    assert 'h, kept_h = kernels.linear.run(x, w, b, activation="relu")' in lines
    assert "g_x, g_w, g_b = kernels.linear.pull_arrays(g_h, kept_h)" in lines


def test_with_their_bodies_kernels_are_functions_above_the_program_and_the_bits_are_the_same() -> (
    None
):
    tape = tg.tape(classifier, *ARGUMENTS)
    assert "def linear_forward(x, weight, bias, activation, negative_slope, needs):" in tape.text(
        "body"
    )
    found, expected = tape.run(detail="body"), tape.run()
    assert_same(found.value, expected.value)
    for name, gradient in expected.gradients.items():
        assert_same(found.gradients[name], gradient)


def test_with_their_reference_kernels_are_lines_of_plain_numpy() -> None:
    tape = tg.tape(classifier, *ARGUMENTS)
    assert "kernels" not in tape.text("reference")
    assert "# linear, by its reference" in tape.text("reference")
    found, expected = tape.run(detail="reference"), tape.run()
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-12)
    for name, gradient in expected.gradients.items():
        np.testing.assert_allclose(found.gradients[name], gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["gan", "vit", "row-rnn", "dates", "segment", "detr", "ddpm"])
@pytest.mark.parametrize("detail", ["body", "reference"])
def test_models_run_with_their_kernels_from_inside(name: str, detail: str) -> None:
    task = make(name)
    with tg.tape() as tape:
        task.step(0)
    found = tape.run(detail=detail)
    for key, tensor in tape.parameters().items():
        if detail == "body":
            assert_same(found.updated[key], tensor.numpy(), key)
        else:
            assert found.updated[key].shape == tensor.shape
    gradients = tape.run().gradients
    scale = max(np.abs(gradient).max() for gradient in gradients.values())
    for key, gradient in gradients.items():
        np.testing.assert_allclose(
            found.gradients[key], gradient, rtol=1e-2, atol=1e-3 * scale, err_msg=key
        )


def test_a_run_does_not_move_running_statistics() -> None:
    norm = nn.BatchNorm1d(3)
    with tg.tape() as tape:
        np.sum(norm(X.astype(np.float32)) ** 3).backward()
    before = norm.running_mean.copy()
    tape.run()
    assert_same(norm.running_mean, before)


def test_kernels_of_a_user_are_inputs_of_the_program() -> None:
    @tg.kernel
    def squared(x: Any) -> Any:
        return x * x

    @squared.forward
    def _(x: Any) -> Any:
        return x * x, 2 * x

    @squared.backward
    def _(g: Any, saved: Any) -> Any:
        return g * saved

    tape = check_function(lambda x: np.sum(squared(x)), X)
    assert body(tape)[0] == "def program(x, squared):"


# --------------------------------------------------------------------------------- particular kinds


def test_rules_of_a_user_are_printed_with_their_formula_filled_in() -> None:
    def softsign(x: Any) -> Any:
        return x / (1 + np.abs(x))

    soft = tg.derivative(softsign, x=lambda g, x: g / (1 + np.abs(x)) ** 2)
    lines = body(check_function(lambda x: np.sum(soft(x)), X))
    assert lines[0] == "def program(x, softsign):"
    assert "g_x = g_a / (1 + np.absolute(x)) ** 2" in lines


def test_a_formula_that_branches_on_numbers_is_called_by_its_place_in_the_table() -> None:
    def half(x: Any) -> Any:
        return x / 2

    def formula(g: Any, x: Any) -> Any:
        return g / 2 if np.any(x > 0) else 0.5 * g

    halved = tg.derivative(half, x=formula)
    tape = check_function(lambda x: np.sum(halved(x)), X)
    assert 'g_x = tg.rule(half).formulas["x"](g_a, x)' in body(tape)


def test_a_mask_that_is_false_everywhere_has_its_shape() -> None:
    """A power of arrays and a power with one number as exponent have different bits."""

    def formula(g: Any, x: Any) -> Any:
        large = np.False_ & (x > 0)
        exponent = np.where(large, 1, np.float64(2))
        return g * np.power(x, exponent) * np.where(~large, x, 1)

    squared = tg.derivative(lambda x: x * x, x=formula)
    check_function(lambda x: np.sum(squared(x)), np.array([0.8]))
    check_function(lambda x: np.sum(squared(x)), RNG.uniform(size=(3, 30)))


def test_what_a_choice_dropped_is_a_mask_by_name() -> None:
    def f(x: Any) -> Any:
        y = np.log(x)
        return np.sum(np.where(x > 0, y, 0))

    tape = check_function(f, np.array([0.0, 1.0, -1.0, 2.0]))
    assert "g_x = np.where(dropped, 0, g_y / x)" in body(tape)


def test_complex_numbers_are_conjugated_at_the_ends() -> None:
    def f(z: Any) -> Any:
        y = np.exp(z) * np.conj(z)
        return np.sum(np.real(y) ** 2) + np.sum(np.abs(z))

    tape = check_function(f, X + 1j * X[::-1])
    assert body(tape)[-1] == 'return loss, {"z": np.conj(g_z)}'
    z = tg.Tensor(X + 1j * X[::-1], requires_grad=True)
    with tg.tape() as tape:
        f(z).backward()
    assert_same(tape.run().gradients["z"], z.grad)


def test_gradients_of_gradients_and_tangents_are_lines_too() -> None:
    def slope(x: Any) -> Any:
        return np.sum(tg.grad(lambda z: np.sum(np.tanh(z @ W)))(x) ** 2)

    def tangent(x: Any) -> Any:
        y, dy = tg.jvp(lambda z: np.sum(np.tanh(z @ W) ** 2), (x,), (np.ones((4, 3)),))
        return y + dy

    def curvature(x: Any) -> Any:
        return np.sum(tg.grad(lambda z: np.sum(kernels.softmax(z) ** 2))(x) ** 2)

    for f in (slope, tangent, curvature):
        check_function(f, X)
    x = tg.Tensor(X, requires_grad=True)
    with tg.tape() as tape:
        np.sum(np.sin(x)).backward(create_graph=True)
        np.sum(x.grad**2).backward()
    assert_same(tape.run().gradients["x"], x.grad.numpy())


FORWARD: dict[str, Callable[[Any], Any]] = {
    "plain": lambda x: np.tanh(x @ W) * x,
    "choice": lambda x: np.sum(np.where(x > 0, np.log(np.where(x > 0, x, 0)), 0)),
    "reductions": lambda x: np.max(x, axis=1) + np.std(x, axis=1) + np.prod(x, axis=1),
    "several values": lambda x: np.linalg.eigh(x.T @ x)[0],
    "softmax": lambda x: kernels.softmax(x @ W),
    "conv2d": lambda x: kernels.conv2d(x[None, None], np.ones((1, 1, 2, 2))),
    "layer_norm": lambda x: kernels.layer_norm(x, np.ones(3), np.zeros(3)),
    "complex": lambda x: np.real(np.exp(1j * x) * x),
}


@pytest.mark.parametrize("name", FORWARD)
def test_tangents_are_carried_forward_in_lines(name: str) -> None:
    direction = RNG.normal(size=(4, 3))
    with np.errstate(all="ignore"), tg.tape() as tape:
        value, tangent = tg.jvp(FORWARD[name], (X,), (direction,))
    with np.errstate(all="ignore"):
        found = tape.run()
    assert_same(found.value, value)
    (carried,) = found.tangents.values()
    assert_same(carried, tangent)
    assert not found.gradients
    assert_same(tape.inputs()["tangent"], direction)


def test_a_tangent_line_is_the_formula_with_the_tangent_in_it() -> None:
    with tg.tape() as tape:
        tg.jvp(lambda x: np.tanh(x @ W) * x, (X,), (np.ones((4, 3)),))
    lines = body(tape)
    assert lines[lines.index("c = b * x") + 2 :] == [
        "d = np.exp(-np.absolute(a))",
        "b_dot = a_dot * (2 * d / (1 + d * d)) ** 2",
        "c_dot = b_dot * x + tangent * b",
        'return c, {"c": c_dot}',
    ]


def test_checkpoints_compute_again_in_the_backward_part() -> None:
    def f(x: Any) -> Any:
        block = tg.checkpoint(lambda z: np.tan(z @ W))  # whose slope is of its value
        return np.sum(block(block(x)) ** 2)

    lines = body(check_function(f, X))
    assert sum("np.tan(" in line for line in lines) == 4
    assert len(re.findall(r"np\.tan\(", tg.tape(f, X).text().partition("# backward")[2])) == 2


def test_values_need_no_gradient_and_may_be_nested() -> None:
    tape = tg.tape(lambda x: {"a": x + 1, "b": (x * 2, 3)}, X)
    found = tape.run()
    assert_same(found.value["a"], X + 1)
    assert_same(found.value["b"][0], X * 2)
    assert found.value["b"][1] == 3 and not found.gradients
    assert tg.tape(lambda x: 3.0, X).run().value == 3.0


def test_a_gradient_of_arrays_inside_of_the_function_is_differentiated_as_by_grad() -> None:
    def penalty(w: Any) -> Any:
        return np.sum(tg.grad(lambda x: np.sum(np.tanh(x @ w)))(X) ** 2)  # X is an array, w a variable

    found = tg.tape(penalty, W).run()
    assert_same(found.value, penalty(W))
    assert_same(found.gradients["w"], tg.grad(penalty)(W))


def test_arguments_are_pytrees_and_keywords() -> None:
    def f(p: Any, x: Any, *, scale: Any) -> Any:
        return np.sum((x @ p["weight"] + p["bias"]) ** 2) * scale

    tape = tg.tape(f, {"weight": W, "bias": np.zeros(3)}, X, scale=2.0)
    assert body(tape)[0] == "def program(p_weight, p_bias, x, scale):"
    assert list(tape.run().gradients) == ["p_weight", "p_bias", "x", "scale"]


def test_other_inputs_are_given_by_name() -> None:
    def f(x: Any, w: Any) -> Any:
        return np.mean(np.tanh(x @ w) ** 2)

    tape = tg.tape(f, X, W)
    value, gradient = tg.value_and_grad(f, argnums=1)(X, -2 * W)
    found = tape.run(w=-2 * W)
    assert_same(found.value, value)
    assert_same(found.gradients["w"], gradient)
    with pytest.raises(TypeError, match="no input 'v'; there are x, w"):
        tape.run(v=W)


# --------------------------------------------------------------------------- what changes meanwhile


def test_constants_are_as_they_were() -> None:
    scale = np.ones(3)
    x = tg.Tensor(X, requires_grad=True)
    with tg.tape() as tape:
        first = np.sum(x * scale)
        scale *= 2
        (first + np.sum(x * scale) ** 2).backward()
        scale[:] = 7
        scale *= np.nan
    assert list(tape.inputs()) == ["x", "scale", "scale_1"]
    assert_same(tape.run().gradients["x"], x.grad)


def test_a_leaf_that_was_written_to_is_another_input() -> None:
    x = tg.Tensor(X, requires_grad=True)
    with tg.tape() as tape:
        first = np.sum(np.exp(x))
        x.data -= 1
        (first + np.sum(x * x)).backward()
    assert list(tape.inputs()) == ["x", "x_1"]
    assert_same(tape.run().gradients["x"], x.grad)


def test_gradients_that_were_accumulated_are_added_in_a_line() -> None:
    x = tg.Tensor(X, requires_grad=True)
    with tg.tape() as tape:
        np.sum(np.exp(x)).backward()
        np.sum(np.sin(x)).backward()
    assert "g_x_2 = g_x + g_x_1" in body(tape)
    assert_same(tape.run().gradients["x"], x.grad)


def test_a_gradient_that_someone_changed_is_an_input() -> None:
    x = tg.Tensor(X, requires_grad=True)
    optimizer = optim.SGD([x], lr=0.1)
    with tg.tape() as tape:
        np.sum(np.exp(x)).backward()
        x.grad *= 0.5
        optimizer.step()
    assert "grad" in tape.inputs()
    assert_same(tape.run().updated["x"], x.numpy())


def test_what_a_tape_noted_is_not_disturbed_by_later_steps() -> None:
    model = nn.Linear(3, 1, rng=np.random.default_rng(0))
    optimizer = optim.Adam(model.parameters(), lr=0.1)

    def step() -> None:
        optimizer.zero_grad()
        np.mean(model(X.astype(np.float32)) ** 2).backward()
        optimizer.step()

    with tg.tape() as tape:
        step()
    after = model.weight.numpy().copy()
    for _ in range(3):
        step()
    assert_same(tape.run().updated["weight"], after)


def test_observed_and_unobserved_give_the_same_bits() -> None:
    def f(x: Any, w: Any, b: Any, v: Any) -> Any:
        return classifier(x, w, b, v) + np.mean((x @ w.T * 0.5 + b) ** 2)

    plain = tg.value_and_grad(f, argnums=(0, 1, 2, 3))(*ARGUMENTS)
    with tg.tape():
        observed = tg.value_and_grad(f, argnums=(0, 1, 2, 3))(*ARGUMENTS)
    for a, b in zip(leaves(list(plain)), leaves(list(observed)), strict=True):
        assert_same(a, b)


# ----------------------------------------------------------------------------- loud, and for others


def test_a_kernel_that_was_recorded_before_the_tape_is_refused() -> None:
    x = tg.Tensor(X, requires_grad=True)
    y = kernels.softmax(x)
    with tg.tape() as tape:
        np.sum(y * y).backward()
    with pytest.raises(TapeError, match="recorded before the tape began"):
        tape.text()


def test_rules_that_were_recorded_before_the_tape_have_inputs() -> None:
    x = tg.Tensor(X, requires_grad=True)
    y = np.exp(x)
    with tg.tape() as tape:
        np.sum(y * y).backward()
    assert_same(tape.run().gradients["x"], x.grad)


def test_a_dropped_tape_is_freed_at_once_without_the_garbage_collector() -> None:
    model = nn.Sequential(nn.Linear(3, 5, rng=np.random.default_rng(0)), nn.BatchNorm1d(5))
    optimizer = optim.Adam(model.parameters())
    gc.collect()
    gc.disable()
    try:
        with tg.tape() as tape:
            np.sum(model(X.astype(np.float32)) ** 2).backward()
            optimizer.step()
        recorder = weakref.ref(tape.recorder)
        call = next(event for event in tape.recorder.events if hasattr(event, "function"))
        value = weakref.ref(call.value.array)
        del tape, call
        assert recorder() is None and value() is None
    finally:
        gc.enable()


def test_two_tapes_at_once_print_the_same() -> None:
    x = tg.Tensor(X, requires_grad=True)
    with tg.tape() as outer, tg.tape() as inner:
        np.sum(np.exp(x)).backward()
    assert outer.text() == inner.text()


def test_the_text_needs_nothing_but_numpy_scipy_and_this_package() -> None:
    space: dict[str, Any] = {"np": np}
    tape = tg.tape(classifier, *ARGUMENTS)
    exec(tape.text(), space)
    value, gradients = space["program"](**tape.inputs())
    assert_same(value, tape.run().value)
    assert set(gradients) == {"x", "w", "b", "v"}


def test_names_of_the_source_do_not_clash_with_those_of_the_text() -> None:
    def f(kernels: Any, g_a: Any, dict: Any) -> Any:
        np_ = kernels * g_a
        loss = np_ + dict
        a = np.exp(loss)
        return np.sum(a)

    check_named = tg.tape(f, X, X, X)
    found = check_named.run()
    expected = tg.grad(f, argnums=(0, 1, 2))(X, X, X)
    for gradient, array in zip(found.gradients.values(), expected, strict=True):
        assert_same(gradient, array)


def test_an_unknown_detail_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="no detail 'all'; there are 'call', 'reference', 'body'"):
        tg.tape(np.sum, X).text("all")


def test_a_program_that_would_not_give_the_engines_bits_is_refused(monkeypatch: Any) -> None:
    tape = tg.tape(lambda x: np.sum(np.exp(np.sin(x))), X)
    monkeypatch.setitem(tg.rule(np.exp).formulas, "x", lambda g, y: g * y * 1.5)
    with pytest.raises(TapeError, match=r"np.sin .* is not the engine's"):
        tape.text()


def test_values_and_gradients_are_reached_by_name() -> None:
    def f(x: Any) -> Any:
        h = np.tanh(x)
        return np.sum(h * h)

    tape = tg.tape(f, X)
    assert_same(tape.value("h"), np.tanh(X))
    assert_same(tape.gradient("h"), np.tanh(X) + np.tanh(X))
    with pytest.raises(KeyError, match="no variable 'k'; there are x, h"):
        tape.value("k")
    with pytest.raises(KeyError, match="no gradient arrived at 'k'"):
        tape.gradient("k")


def test_the_table_has_a_row_for_each_line() -> None:
    def f(x: Any) -> Any:
        h = np.exp(x)
        return np.sum(h * h)

    rows = tg.tape(f, X).table()
    assert [row["name"] for row in rows] == ["h", "a", "loss", "g_loss", "g_a", "b", "g_h", "g_x"]
    first = rows[0]
    assert (first["name"], first["operation"], first["phase"]) == ("h", "np.exp", "forward")
    assert (first["shape"], first["dtype"], first["kept"]) == ([(4, 3)], ["float64"], ["h"])
    assert "h = np.exp(x)" in first["line"]
    assert first["seconds"] > 0
    assert [row["number"] for row in rows] == list(range(len(rows)))


def test_the_graph_has_an_edge_for_each_use() -> None:
    graph = tg.tape(lambda x, w: np.sum(np.tanh(x @ w)), X, W).graph()
    edges = {(edge["from"], edge["to"]) for edge in graph["edges"]}
    assert {("x", "a"), ("w", "a"), ("a", "b"), ("g_a", "g_w"), ("x", "g_w")} <= edges
    names = [node["name"] for node in graph["nodes"]]
    assert len(names) == len(set(names))
    assert {name for edge in edges for name in edge} <= set(names)


def test_time_steps_of_a_recurrent_layer_are_headings() -> None:
    rng = np.random.default_rng(0)
    layer = nn.RNN(2, 3, rng=rng)
    x = rng.normal(size=(2, 1, 2)).astype(np.float32)
    tape = tg.tape(lambda x: layer(x)[0].sum(), x)
    text = tape.text("reference")
    assert "t = 0" in text and "t = 1" in text
    np.testing.assert_allclose(tape.run(detail="reference").value, tape.run().value, rtol=1e-6)
