"""The engine's decisions, each with a test named after it."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import threading
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv.tensor import TABLE, derivative


def leaf(*values: float, dtype: Any = np.float64) -> tg.Tensor:
    return tg.Tensor(np.array(values, dtype), requires_grad=True)


def this_line() -> str:
    return Path(__file__).name


# ------------------------------------------------------------------------------------------------- right by construction


def test_fan_out_accumulates() -> None:
    x = tg.Tensor(3.0, requires_grad=True)
    a = x
    b = a + a
    c = b + b
    c.backward()
    assert x.grad == 4.0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_walk_reaches_a_node_after_all_that_used_it(edges: list[tuple[int, int]]) -> None:
    x = tg.Tensor(1.5, requires_grad=True)
    values, slopes = [x], [1.0]  # every value is a sum of earlier ones: its slope is the sum of theirs
    for i, j in edges:
        i, j = i % len(values), j % len(values)
        values.append(values[i] + values[j])
        slopes.append(slopes[i] + slopes[j])
    values[-1].backward()
    assert x.grad == slopes[-1]


def test_a_chain_of_100_000_operations_runs_backward() -> None:
    x = tg.Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert x.grad == 1.0
    z = x
    for _ in range(100_000):
        z = z + 1.0
    del z, y  # dropping a chain does not recurse either


def test_a_dropped_graph_is_freed_at_once_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = np.exp(x) * x
        arrays = [weakref.ref(y._array), weakref.ref(y._node.saved["x1"])]
        del y
        assert [ref() for ref in arrays] == [None, None]
        before = len(gc.get_objects())
        for _ in range(20):
            (np.exp(x) * tg.kernels.relu(x)).sum().backward()
        assert len(gc.get_objects()) - before < 20
    finally:
        gc.enable()


def test_records_are_dropped_as_they_are_consumed() -> None:
    x = tg.Tensor(np.ones(100_000), requires_grad=True)
    y = x
    for _ in range(20):
        y = np.exp(y * 0.1)
    tracemalloc.start()
    loss = y.sum()
    loss.backward()
    assert loss._node.saved is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * x.data.nbytes


def test_two_threads_build_and_walk_graphs_without_touching_each_other() -> None:
    shared = tg.Tensor(np.linspace(0.1, 1, 50), requires_grad=True)
    results: dict[int, list[np.ndarray]] = {0: [], 1: []}
    start = threading.Barrier(2)

    def work(number: int) -> None:
        start.wait()
        for k in range(200):
            if number == 0:
                with tg.no_grad():
                    assert not (shared * 2.0).requires_grad
            else:
                assert (shared * 2.0).requires_grad
            results[number].append(tg.grad(lambda x, k=k: (np.exp(x) * shared * float(k + 1)).sum())(shared.data))

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in (0, 1):
        assert len(results[n]) == 200
        for k, got in enumerate(results[n]):
            np.testing.assert_allclose(got, np.exp(shared.data) * shared.data * (k + 1))


def test_the_first_accumulation_never_aliases() -> None:
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = np.ones(2)
    (a + b).backward(g)
    a.grad[0] = 99
    assert b.grad[0] == 1
    assert g[0] == 1
    first = b.grad
    (b * 2.0).backward(g)
    assert first[0] == 1, "an earlier gradient was written to"
    np.testing.assert_array_equal(b.grad, [3, 3])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_grad_has_the_dtype_and_shape_of_its_tensor(dtype: Any) -> None:
    x = tg.Tensor(np.ones((3, 1, 2), dtype), requires_grad=True)
    w = tg.Tensor(np.ones((4, 2), np.float64), requires_grad=True)
    (np.exp(x) * w).sum().backward()
    assert (x.grad.shape, x.grad.dtype) == ((3, 1, 2), dtype)
    assert (w.grad.shape, w.grad.dtype) == ((4, 2), np.float64)


def test_float32_in_float32_out() -> None:
    x = leaf(1.0, 2.0, dtype=np.float32)
    y = (np.tanh(x * 2 + 1.5) / 3 - x**2).mean() + np.sqrt(x).sum()
    assert y.dtype == np.float32
    y.backward()
    assert x.grad.dtype == np.float32


def test_a_rule_saves_exactly_what_it_names() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    assert set((x + w)._node.saved) == set()
    assert set((x * w)._node.saved) == {"x1", "x2"}
    assert set((x * 2.0)._node.saved) == {"x2"}, "only what the factor's own gradient needs"
    assert set(np.exp(x)._node.saved) == {"y"}
    assert set(x.sum()._node.saved) == {"a_shape", "axis", "keepdims", "where"}


# -------------------------------------------------------------------------------------------------------- loud or right


def test_backward_twice_says_so_with_the_operation_and_its_line() -> None:
    x = leaf(1.0, 2.0)
    y = np.exp(x).sum()
    y.backward()
    with pytest.raises(
        RuntimeError, match=r"np\.sum at .*test_engine\.py:\d+: y = np\.exp\(x\)\.sum\(\)[\s\S]*retain_graph"
    ):
        y.backward()
    x.grad = None
    y = np.exp(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * np.exp(x.data))


def test_backward_on_a_non_scalar_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\).*sum\(\)\.backward\(\)"):
        (leaf(1.0, 2.0) * 2.0).backward()


def test_backward_where_nothing_was_recorded() -> None:
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        tg.Tensor(1.0).backward()


@pytest.mark.parametrize("size", [10, 10_000, 10_000_000])
def test_a_write_to_a_leaf_after_it_was_used_does_not_reach_the_record(size: int) -> None:
    array = np.ones(size)
    x = tg.Tensor(array, requires_grad=True)
    y = (x * x).sum()
    x.data[5] = 100.0
    array[6] = 100.0
    y.backward()
    np.testing.assert_array_equal(x.grad, 2.0)
    assert x.data[5] == 100.0


@pytest.mark.parametrize("size", [10, 10_000, 10_000_000])
def test_a_write_to_a_constant_after_it_was_used_does_not_reach_the_record(size: int) -> None:
    constant = np.ones(size)
    view = constant[2:7]
    x = tg.Tensor(np.ones(size), requires_grad=True)
    y = (x * constant).sum()
    view[...] = 100.0
    y.backward()
    np.testing.assert_array_equal(x.grad, 1.0)
    assert constant[3] == 100.0


def test_a_recorded_result_is_read_only() -> None:
    y = leaf(1.0, 2.0) * 2.0
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 5


def test_a_shape_mismatch_names_operation_shapes_and_the_likely_fix() -> None:
    a = tg.Tensor(np.ones((3, 4)), requires_grad=True)
    b = np.exp(tg.Tensor(np.ones((3, 4)), requires_grad=True))
    with pytest.raises(
        ValueError, match=r"np\.matmul[\s\S]*\(3, 4\)[\s\S]*b = np\.exp[\s\S]*4 and 3 differ; did you mean b\.mT\?"
    ):
        a @ b
    with pytest.raises(ValueError, match=r"np\.add[\s\S]*axis -1 has length 4 on one side and 3"):
        a + np.ones(3)


def test_an_unsupported_function_names_itself() -> None:
    with pytest.raises(NotImplementedError, match=r"np\.putmask"):
        np.putmask(leaf(1.0, 2.0), [True, False], 0.0)


def test_what_writes_in_place_raises() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(TypeError, match="assign the result"):
        np.exp(x, out=np.zeros(2))
    with pytest.raises(TypeError, match=r"np\.where"):
        np.exp(x, where=np.array([True, False]))
    with pytest.raises(TypeError, match=r"np\.add\.at writes in place.*np\.bincount"):
        np.add.at(x, [0], 1.0)
    with pytest.raises(TypeError, match=r"np\.where\(mask, np\.add\.outer\(\.\.\.\), other\)"):
        np.add.outer(x, x, where=np.eye(2, dtype=bool))
    array = np.zeros(2)
    with pytest.raises(TypeError, match="assign the result"):
        array += x


def test_leaving_the_graph_silently_raises_and_says_how() -> None:
    x = leaf(1.5)
    for leave in (np.asarray, float, int, lambda t: np.array([t, t])):
        with pytest.raises(TypeError, match=r"detach"):
            leave(x)
    assert float(tg.Tensor(1.5)) == 1.5
    assert np.asarray(tg.Tensor([1.5])) == [1.5]
    assert x.item() == 1.5
    assert not x.detach().requires_grad
    assert f"{x.sum():.2f}" == "1.50"


def test_item_assignment_says_what_to_write_instead() -> None:
    with pytest.raises(TypeError, match=r"np\.where[\s\S]*np\.concatenate"):
        leaf(1.0, 2.0)[0] = 5.0


def test_grad_of_an_intermediate_result_says_how_to_get_it() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2.0
    with pytest.raises(RuntimeError, match="retain_grad"):
        _ = y.grad
    y.retain_grad()
    (y * 3.0).sum().backward()
    np.testing.assert_array_equal(y.grad, [3, 3])


def test_integers_have_no_gradient() -> None:
    with pytest.raises(TypeError, match="int64"):
        tg.Tensor([1, 2], requires_grad=True)


def test_the_gradient_of_a_complex_number_is_a_descent_direction() -> None:
    """dL/da + i dL/db for z = a + ib, as in PyTorch."""
    z = tg.Tensor([3 + 4j, -1j], requires_grad=True)
    (z * np.conj(z)).real.sum().backward()
    np.testing.assert_allclose(z.grad, 2 * z.numpy())
    assert tg.grad(lambda z: (z * z).real)(1 + 2j) == 2 - 4j
    assert tg.grad(lambda z: (z * z).imag)(1 + 2j) == 4 + 2j


def test_a_complex_number_has_no_gradient_of_its_own() -> None:
    z = tg.Tensor(1 + 2j, requires_grad=True)
    with pytest.raises(TypeError, match="real part"):
        (z * z).backward()
    with pytest.raises(TypeError, match="real part"):
        tg.grad(lambda z: z * z)(1j)


def test_a_real_tensor_that_meets_complex_numbers_has_a_real_gradient() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    (x * np.array([2 + 1j, 1j])).real.sum().backward()
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad, [2.0, 0.0])


def test_a_rule_that_gives_the_wrong_shape_is_refused() -> None:
    def double(x: Any) -> Any:
        return x * 2

    derivative(double, x=lambda g: g[:1])
    try:
        with pytest.raises(ValueError, match=r"rule of double .* shape \(1,\) to an argument of shape \(2,\)"):
            TABLE[double](leaf(1.0, 2.0)).sum().backward()
    finally:
        del TABLE[double]


def test_a_formula_with_an_unknown_name_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="'z' is not one of"):
        derivative(np.hypot, x1=lambda g, z: g)


# ------------------------------------------------------------------------------------------------------------------ NaN


def test_nan_is_traced_to_its_first_operation_and_line() -> None:
    x = leaf(-1.0, 1.0)
    with tg.detect_anomaly(), np.errstate(all="ignore"), pytest.raises(FloatingPointError) as caught:
        y = np.log(x)
        (y * 0.0).sum().backward()
    assert "np.log made 1 NaN" in str(caught.value)
    assert "y = np.log(x)" in str(caught.value)


def test_nan_in_the_backward_pass_is_traced() -> None:
    x = leaf(0.0, 1.0)
    with (
        tg.detect_anomaly(),
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match=r"gradient of np\.sqrt"),
    ):
        np.sqrt(x).sum().backward()


def test_infinities_that_were_given_are_no_anomaly() -> None:
    mask = np.array([-np.inf, 0.0])
    with tg.detect_anomaly():
        (np.exp(leaf(1.0, 2.0) + mask)).sum().backward()


# ----------------------------------------------------------------------------------------------------------- the tensor


@pytest.mark.parametrize(
    "f, x, gradient",
    [
        (tg.kernels.relu, [-1, 0, 2], [0, 0, 1]),
        (np.abs, [-1, 0, 2], [-1, 0, 1]),
        (np.linalg.norm, [0, 0, 0], [0, 0, 0]),
        (np.max, [3, 1, 3], [0.5, 0, 0.5]),
        (np.min, [1, 1, 1], [1 / 3, 1 / 3, 1 / 3]),
        (lambda x: np.maximum(x, 2), [1, 2, 3], [0, 0.5, 1]),
        (lambda x: np.minimum(x, x[::-1]), [1, 5, 1], [1, 1, 1]),
        (lambda x: np.clip(x, 0, 1), [0, 1, 2], [1, 1, 0]),
        (np.sqrt, [0, 4, 1], [np.inf, 0.25, 0.5]),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_subgradients_are_the_documented_ones(f: Any, x: list[float], gradient: list[float]) -> None:
    np.testing.assert_allclose(tg.grad(lambda x: f(x).sum())(np.array(x, float)), gradient, rtol=1e-15)


def test_a_column_against_a_row_in_a_loss_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 1\) and target \(3,\), which would be broadcast to \(3, 3\)"):
        tg.kernels.mse(np.ones((3, 1)), np.ones(3))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("f", [
    np.log, np.sqrt, np.arccosh, lambda x: x * np.log(x), lambda x: 1 / x, lambda x: np.sqrt(x) / x, lambda x: x**0.5,
    lambda x: np.exp(1 / x), lambda x: np.log(np.sin(x) / x),
])  # fmt: skip
def test_where_gives_exact_zeros_to_the_branch_not_taken(f: Any) -> None:
    x = np.array([-1.0, 0.0, 2.0])
    chosen = lambda x: np.where(x > 1, f(x), 0 * x).sum()
    slope = tg.grad(lambda x: f(x).sum())
    np.testing.assert_array_equal(tg.grad(chosen)(x), [0, 0, *slope(x[2:])])
    curvature = tg.grad(lambda x: slope(x).sum())
    np.testing.assert_array_equal(tg.grad(lambda x: tg.grad(chosen)(x).sum())(x), [0, 0, *curvature(x[2:])])


CHOOSING = {
    "where": lambda y: np.where(np.array([False, True, True]), y, 0),
    "maximum": lambda y: np.maximum(y, 0.25),
    "minimum": lambda y: -np.minimum(-y, -0.25),
    "max": lambda y: np.max(y[1:]),
    "clip": lambda y: np.clip(y, 0.25, None),
    "relu": lambda y: tg.kernels.relu(y - 0.25),
    "sort": lambda y: np.sort(y)[1:],
    "median": lambda y: np.median(y),
    "getitem": lambda y: y[1:],
    "take": lambda y: np.take(y, [1, 2]),
    "nansum": lambda y: np.nansum(np.where(y > 0.25, y, np.nan)),
    "max_pool2d": lambda y: tg.kernels.max_pool2d(np.reshape(y, (1, 1, 1, 3)), kernel_size=(1, 3)),
    "dropout": lambda y: tg.kernels.dropout(y, np.array([False, True, True]), p=0.5),
    "embedding": lambda y: tg.kernels.embedding(np.array([1, 2]), np.reshape(y, (3, 1))),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", CHOOSING)
@pytest.mark.parametrize("f", [np.sqrt, np.cbrt, lambda x: x**0.5, lambda x: np.sqrt(x * x)], ids=range(4))
def test_whatever_chooses_gives_exact_zeros_to_what_was_not_chosen(name: str, f: Any) -> None:
    """f has an infinite slope (or 0 / 0) at 0, which none of them lets through."""
    x = np.array([0.0, 1.0, 4.0])
    first = tg.grad(lambda x: np.sum(CHOOSING[name](f(x))))
    assert first(x)[0] == 0
    assert np.isfinite(first(x)).all() and first(x)[1:].any()
    assert np.isfinite(tg.grad(lambda x: np.sum(first(x)))(x)).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("order", range(3))
def test_a_nan_does_not_depend_on_the_order_of_unrelated_operations(order: int) -> None:
    parts = [lambda x: np.sqrt(x) * 0, lambda x: np.where(True, x, 0), lambda x: x]
    parts = parts[order:] + parts[:order]
    assert np.isnan(tg.grad(lambda x: sum(f(x) for f in parts))(0.0))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_nan_that_the_value_does_depend_on_stays() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    found = tg.grad(lambda x: np.where(x < 1, np.sqrt(x), 0 * x).sum())(x)
    assert np.isnan(found[0]) and np.isinf(found[1]) and found[2] == 0


def test_no_grad_is_a_context_and_a_decorator() -> None:
    x = leaf(1.0)

    @tg.no_grad()
    def double(x: Any) -> Any:
        return x * 2.0

    assert not double(x).requires_grad
    assert (x * 2.0).requires_grad


def test_a_list_may_mix_tensors_and_arrays() -> None:
    x = tg.Tensor(np.ones(2), requires_grad=True)
    (np.concatenate([np.ones(1), x, np.ones(3)]) * np.arange(6.0)).sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 2.0])


def test_a_walk_that_fails_leaves_no_gradient_half_done() -> None:
    x, w = (tg.Tensor(np.array([1.0, 2.0]), requires_grad=True) for _ in range(2))
    y = x * x
    y.sum().backward()
    before = x.grad.copy()
    loss = (y * w + x).sum()  # y's part of the graph is freed already
    with pytest.raises(RuntimeError, match="walked already"):
        loss.backward()
    assert w.grad is None
    np.testing.assert_array_equal(x.grad, before)


def test_create_graph_gives_higher_orders() -> None:
    x = leaf(0.3, 0.7)
    (np.exp(x) * x).sum().backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.sum().backward()
    np.testing.assert_allclose(x.grad, (2 + x.data) * np.exp(x.data))


def test_leaves_are_copied_and_pickled_without_their_graph() -> None:
    x = leaf(1.0, 2.0)
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.requires_grad
        (other * 2.0).sum().backward()
        assert x.grad is None
        np.testing.assert_array_equal(other.grad, 2)
    with pytest.raises(TypeError, match="copying"):
        copy.deepcopy(x * 2.0)


def test_results_reach_numpy_scalars_and_back() -> None:
    x = leaf(1.0, 2.0)
    for y in (np.float64(2) * x, x * np.float64(2), np.ones(2) * x, 2 * x, 1 - x, 1 / x, 2**x, x**2, -x, +x, abs(x)):
        assert isinstance(y, tg.Tensor)
        assert y.requires_grad
    assert isinstance(x > 1, np.ndarray)


def test_a_kernel_differentiates_its_reference_for_higher_orders() -> None:
    @tg.kernel
    def cube(x: Any, *, scale: float = 1.0) -> Any:
        return x * x * x * scale

    @cube.forward
    def _(x: Any, scale: float) -> Any:
        return x**3 * scale, None

    @cube.backward
    def _(g: Any, x: Any, scale: float) -> Any:
        return g * 3 * x**2 * scale

    f = lambda x: cube(x, scale=2.0).sum()
    x = np.array([1.0, 2.0])
    np.testing.assert_allclose(tg.grad(f)(x), 6 * x**2)
    np.testing.assert_allclose(tg.grad(lambda x: tg.grad(f)(x).sum())(x), 12 * x)
    np.testing.assert_allclose(tg.hvp(f, x, np.ones(2)), 12 * x)


# -------------------------------------------------------------------------------------------------------- first use


FIRST_USE = """
import threading
import numpy as np
import tinygrad_cv as tg
tg.derivative(np.cos, x=lambda g: 7 * g)
barrier, found = threading.Barrier(8), []
def use():
    x = tg.Tensor(1.0, requires_grad=True)
    barrier.wait()
    (np.tanh(x) * np.cos(x)).backward()
    found.append(float(x.grad))
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), max(abs(f - ((1 - np.tanh(1) ** 2) * np.cos(1) + 7 * np.tanh(1))) for f in found) < 1e-12)
"""


def test_rules_are_entered_when_first_used_by_any_thread_and_those_of_a_user_stay() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["8", "True"], done.stderr


def test_importing_the_package_imports_no_scipy_and_no_network() -> None:
    told = "import sys, tinygrad_cv; print([m for m in ('scipy.special', 'urllib.request', 'hypothesis') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
