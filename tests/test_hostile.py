"""What a careless or hostile user does: each test is named after what it keeps. Limits are marked."""

from __future__ import annotations

import array
import collections
import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim
from tinygrad_cv.engine import ownership
from tinygrad_cv.engine.observers import Observer, Scope, observed

pytestmark = pytest.mark.filterwarnings("ignore")


def limit(reason: str) -> Any:
    """A test of what is not kept, and why. The README of the package says so too."""
    return pytest.mark.xfail(strict=True, reason=reason)


def leaf(values: Any) -> tg.Tensor:
    return tg.Tensor(np.array(values, float), requires_grad=True)


# ------------------------------------------------------------------------------- ownership: constants


class Interface:
    """An operand that shows its memory as many libraries do."""

    def __init__(self, memory: np.ndarray) -> None:
        self.memory = memory
        self.__array_interface__ = memory.__array_interface__


def read_only_window(memory: Any) -> np.ndarray:
    return np.asarray(memoryview(memory).toreadonly())


FOREIGN: dict[str, Callable[[np.ndarray], Any]] = {
    "a memoryview": memoryview,
    "an array of the module array": lambda a: array.array("d", a),
    "a deque": lambda a: collections.deque(a.tolist()),
    "a UserList": lambda a: collections.UserList(a.tolist()),
    "an object with __array_interface__": Interface,
    "a ctypes array": lambda a: (ctypes.c_double * 2)(*a),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_an_operand_of_another_library_is_copied_or_refused(name: str) -> None:
    memory, x = np.ones(2), leaf([1, 2])
    operand = FOREIGN[name](memory)
    try:
        y = (x * operand).sum()
    except TypeError:
        return
    memory[0] = 100.0
    if not isinstance(operand, (memoryview, Interface)):
        operand[0] = 100.0
    y.backward()
    np.testing.assert_array_equal(x.grad, 1.0)


@pytest.mark.parametrize("kind", ["array", "bytearray"])
def test_a_read_only_window_on_memory_that_others_write_to_is_copied(kind: str) -> None:
    x = leaf([1, 2])
    memory = np.ones(2) if kind == "array" else bytearray(np.ones(2).tobytes())
    window = read_only_window(memory) if kind == "array" else np.frombuffer(memoryview(memory).toreadonly())
    y = (x * window).sum()
    if kind == "array":
        memory[0] = 100.0
    else:
        memory[:8] = np.array(100.0).tobytes()
    y.backward()
    np.testing.assert_array_equal(x.grad, 1.0)


def test_a_pullback_at_a_read_only_window_is_that_of_the_values_as_they_were() -> None:
    memory = np.ones(2)
    _, pull = tg.vjp(lambda x: x * x, read_only_window(memory))
    memory[0] = 100.0
    np.testing.assert_array_equal(pull(np.ones(2))[0], 2.0)


def results_at_tensors(given: np.ndarray) -> dict[str, tg.Tensor]:
    x = tg.Tensor([1.0, 2.0])
    with tg.no_grad():
        unrecorded = tg.vjp(lambda x: x, x)[1](given)[0]
    return {
        "vjp": tg.vjp(lambda x: x, x)[1](given)[0],
        "vjp in no_grad": unrecorded,
        "value of vjp": tg.vjp(lambda x: (x, given), x)[0][1],
        "jvp": tg.jvp(lambda x: x, (x,), (given,))[1],
        "value of jvp": tg.jvp(lambda x: (x, given), (x,), (np.ones(2),))[0][1],
    }


@pytest.mark.parametrize("name", ["vjp", "vjp in no_grad", "value of vjp", "jvp", "value of jvp"])
def test_a_tensor_that_a_transform_returns_does_not_share_the_callers_array(name: str) -> None:
    given, w = np.ones(2), leaf([1, 2])
    result = results_at_tensors(given)[name]
    y = (w * result).sum()
    given[0] = 100.0
    y.backward()
    np.testing.assert_array_equal(w.grad, 1.0)


@pytest.mark.parametrize("name", ["vjp", "jvp", "value of vjp"])
def test_arrays_of_the_caller_stay_writable_whatever_is_read_of_a_result(name: str) -> None:
    given = np.ones(2)
    results_at_tensors(given)[name].numpy()
    assert given.flags.writeable


# ------------------------------------------------------------------- ownership: gradients and create_graph


def test_gradients_with_create_graph_belong_to_their_tensors_alone() -> None:
    x, z, given = leaf([1, 2]), leaf([3, 4]), np.ones(2)
    (x + z).backward(given, create_graph=True)
    x.grad *= 5.0
    np.testing.assert_array_equal(unwrapped(z.grad), 1.0)
    np.testing.assert_array_equal(given, 1.0)


def test_clipping_scales_each_gradient_once() -> None:
    x, z = leaf([1, 2]), leaf([3, 4])
    (x + z).backward(np.ones(2), create_graph=True)  # norm 2
    optim.clip_grad_norm_([x, z], 1.0)
    np.testing.assert_allclose(unwrapped(x.grad), 0.5)
    np.testing.assert_allclose(unwrapped(z.grad), 0.5)


def test_clipping_does_not_reach_a_recorded_gradient() -> None:
    w = leaf([1.0, 2.0])
    (w**3).sum().backward(create_graph=True)
    penalty = (w.grad**2).sum()  # 9 w^4
    optim.clip_grad_norm_([w], 1.0)
    w.grad = None
    penalty.backward()
    np.testing.assert_allclose(w.grad, 36 * np.array([1.0, 8.0]))


def test_a_gradient_with_create_graph_is_a_tensor() -> None:
    x = leaf([1, 2])
    x.sum().backward(create_graph=True)
    assert type(x.grad) is tg.Tensor


def unwrapped(gradient: Any) -> np.ndarray:
    return gradient.numpy() if type(gradient) is tg.Tensor else gradient


def test_a_handle_on_data_goes_on_writing_after_an_optimiser_step() -> None:
    """Or the step is refused."""
    w = leaf([1, 2])
    optimizer = optim.SGD([w], 0.1)
    handle = w.data
    w.grad = np.ones(2)
    try:
        optimizer.step()
    except RuntimeError:
        return
    handle[...] = 0.0
    np.testing.assert_array_equal(w.numpy(), 0.0)


def test_a_formula_that_writes_into_g_is_refused_or_reaches_nobody_else() -> None:
    def double(x: Any) -> Any:
        return 2 * x

    def formula(g: Any) -> Any:
        g *= 2
        return g

    double = tg.derivative(double, x=formula)
    x, z, given = leaf([1, 2]), leaf([1, 2]), np.ones(2)
    try:
        (double(x) + z).backward(given)
    except ValueError:
        return
    np.testing.assert_array_equal(z.grad, 1.0)
    np.testing.assert_array_equal(given, 1.0)


def test_a_function_that_returns_the_same_buffer_again_does_not_change_a_record() -> None:
    buffer = np.zeros(2)

    def double(x: Any) -> Any:
        return np.multiply(x, 2, out=buffer)

    double = tg.derivative(double, x=lambda g: 2 * g)
    w = leaf([1, 2])
    y = (double(w) * w).sum()
    with pytest.raises(ValueError, match="read-only"):
        double(w * 5.0)
    y.backward()
    np.testing.assert_array_equal(w.grad, [4.0, 8.0])


def test_what_numpy_hands_out_has_no_base_to_write_to() -> None:
    x = leaf([[1.0, 2.0]])
    y = np.exp(x)
    base = y.T.numpy().base
    assert base is None or memoryview(base).readonly


# ----------------------------------------------------------------------------------- ownership: locks


@pytest.fixture
def small_limit(monkeypatch: Any) -> Iterator[None]:
    """Constants above 64 bytes count as large."""
    monkeypatch.setattr(ownership, "LARGE_CONSTANT", 64)
    yield


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("order", [0, 1])
def test_overlapping_views_that_were_locked_are_writable_again(order: int) -> None:
    whole = np.ones(100)
    parts = [whole[:50], whole[40:90]]
    x = leaf(np.ones(50))
    records = [(x * part).sum() for part in parts]
    del records[order]
    del records[0]
    assert [part.flags.writeable for part in parts] == [True, True]


@pytest.mark.usefixtures("small_limit")
def test_a_view_and_its_whole_that_were_locked_are_writable_again() -> None:
    whole = np.ones(100)
    part = whole[:50]
    y = (leaf(np.ones(50)) * part).sum()
    z = (leaf(np.ones(100)) * whole).sum()
    del y
    del z
    assert part.flags.writeable


@limit("NumPy does not say which views were taken of an array; see the package's README")
@pytest.mark.usefixtures("small_limit")
def test_a_view_that_was_taken_under_a_lock_is_writable_when_the_lock_is_gone() -> None:
    whole = np.ones(100)
    y = (leaf(np.ones(100)) * whole).sum()
    part = whole[:10]
    del y
    assert part.flags.writeable


@limit("a lock does not cover the views that were there before; see the package's README")
@pytest.mark.usefixtures("small_limit")
def test_an_older_view_of_a_large_constant_does_not_change_the_gradient() -> None:
    whole = np.ones(100)
    older = whole[:10]
    x = leaf(np.ones(100))
    y = (x * whole).sum()
    try:
        older[...] = 100.0
    except ValueError:
        return
    y.backward()
    np.testing.assert_array_equal(x.grad, 1.0)


@pytest.mark.usefixtures("small_limit")
def test_a_large_constant_in_memory_of_another_owner_is_copied() -> None:
    memory = bytearray(np.ones(100).tobytes())
    x = leaf(np.ones(100))
    y = (x * np.frombuffer(memory)).sum()
    memory[:8] = np.array(100.0).tobytes()
    y.backward()
    np.testing.assert_array_equal(x.grad, 1.0)


def test_a_tensor_may_be_read_by_another_thread_at_any_moment_of_a_write() -> None:
    """The other thread is given its turn at every line of the write."""
    x, errors = leaf([1, 2]), []

    def other_thread() -> None:
        try:
            _ = x * 2.0
        except TypeError as error:
            errors.append(str(error))

    def at_each_line(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename == ownership.__file__:
            turn = threading.Thread(target=other_thread)
            turn.start()
            turn.join()
            return at_each_line
        return None

    before = sys.gettrace()
    sys.settrace(at_each_line)
    try:
        x.data[0] = 3.0
    finally:
        sys.settrace(before)
    assert len(errors) == 0


def test_threads_that_lock_the_same_constant_count_each_other(monkeypatch: Any) -> None:
    """A thread that locks pauses between its reading of the count and its writing."""
    monkeypatch.setattr(ownership, "LARGE_CONSTANT", 64)
    constant, meeting = np.ones(100), threading.Barrier(2)

    class Paused(ownership.Lock):
        @property
        def holders(self) -> int:
            count = self.count
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(timeout=0.2)
            return count

        @holders.setter
        def holders(self, count: int) -> None:
            self.count = count

    monkeypatch.setattr(ownership, "Lock", Paused)
    records: list[Any] = []
    threads = [
        threading.Thread(target=lambda: records.append((leaf(np.ones(100)) * constant).sum()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records.pop()
    assert not constant.flags.writeable
    records.clear()
    assert constant.flags.writeable


# ------------------------------------------------------------------------------------- one door: operands

MASKED = np.ma.array([1.0, 5.0], mask=[False, True])
COMPLEX = np.array([1j, 5.0])
ENTRANCES: dict[str, Callable[[Any], Any]] = {
    "backward": lambda v: leaf([1, 2]).backward(v),
    "a cotangent": lambda v: tg.vjp(lambda x: x, np.ones(2))[1](v),
    "a tangent": lambda v: tg.jvp(lambda x: x, (np.ones(2),), (v,)),
    "a direction": lambda v: tg.hvp(lambda x: (x**3).sum(), np.ones(2), v),
    "data": lambda v: setattr(leaf([1, 2]), "data", v),
    "grad": lambda v: setattr(leaf([1, 2]), "grad", v),
    "a state": lambda v: nn.Linear(2, 1, rng=np.random.default_rng(0)).load_state_dict(
        {"weight": np.zeros((1, 2)), "bias": v[1:]}
    ),
}


@pytest.mark.parametrize("value", [MASKED, COMPLEX], ids=["masked", "complex"])
@pytest.mark.parametrize("name", ENTRANCES)
def test_masked_and_complex_arrays_are_refused_at_every_entrance(name: str, value: Any) -> None:
    if name == "a state" and value is COMPLEX:
        value = COMPLEX[::-1]
    with pytest.raises(TypeError):
        ENTRANCES[name](value)


def test_data_is_not_parsed_from_text() -> None:
    with pytest.raises(TypeError):
        leaf([1, 2]).data = ["3", "4"]  # type: ignore[assignment]


def test_a_masked_index_is_refused() -> None:
    with pytest.raises(TypeError):
        leaf([1, 2])[np.ma.array([0, 1], mask=[False, True])]


def test_a_sparse_matrix_in_a_list_is_refused_by_name() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="toarray"):
        np.concatenate([leaf(np.eye(2)), sparse.eye(2)])


# ----------------------------------------------------------------------------------- one door: dtypes

TO_INTEGERS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x, dtype=int),
    "mean": lambda x: np.mean(x, dtype=int),
    "prod": lambda x: np.prod(x, dtype=int),
    "cumsum": lambda x: np.cumsum(x, dtype=int)[-1],
    "sum to bool": lambda x: np.sum(x, dtype=bool),
    "add": lambda x: np.add(x, 1, dtype=int, casting="unsafe").sum(),
    "a signature": lambda x: np.add(x, 1, signature="ll->l", casting="unsafe").sum(),
    "concatenate": lambda x: np.concatenate([x, x], dtype=int, casting="unsafe").sum(),
}


@pytest.mark.parametrize("name", TO_INTEGERS)
def test_a_cast_to_integers_by_the_dtype_of_a_rule_is_refused_or_has_no_gradient(name: str) -> None:
    assert not refused_or_requires_gradient(lambda: TO_INTEGERS[name](leaf([1.5, 2.0])))


def refused_or_requires_gradient(call: Any) -> bool:
    try:
        return bool(call().requires_grad)
    except TypeError:
        return False


def test_an_integer_among_several_values_requires_no_gradient() -> None:
    assert not np.frexp(leaf([1.5, 2.5]))[1].requires_grad


def test_jvp_of_a_function_with_an_integer_among_its_values() -> None:
    _, (mantissa, exponent) = tg.jvp(np.frexp, (5.5,), (1.0,))
    assert (mantissa, exponent) == (0.125, 0.0)


# -------------------------------------------------------------------- one door: gradients that are dropped

DROPPED: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    "full_like": (lambda v: np.full_like(np.ones(2) * v, v).sum(), 3.0, 2.0),
    "heaviside": (lambda h: np.heaviside(0.0, h), 3.0, 1.0),
    "histogram": (
        lambda w: np.histogram(np.array([0.5, 1.5]), bins=2, weights=w)[0][0],
        np.array([1.0, 2.0]),
        [1.0, 0.0],
    ),
    "histogram2d": (
        lambda w: np.histogram2d(np.array([0.5, 1.5]), np.array([0.5, 1.5]), bins=2, weights=w)[0].sum(),
        np.array([1.0, 2.0]),
        [1.0, 1.0],
    ),
    "ix_": (lambda x: (np.ix_(x, x)[0] * np.ix_(x, x)[1]).sum(), np.array([1.0, 2.0]), [6.0, 6.0]),
}


@pytest.mark.parametrize("name", DROPPED)
def test_an_argument_with_a_gradient_is_not_dropped_in_silence(name: str) -> None:
    function, x, gradient = DROPPED[name]
    try:
        result = tg.grad(function)(x)
    except (NotImplementedError, TypeError):
        return
    np.testing.assert_array_equal(result, gradient)


# --------------------------------------------------------------------------------------- one door: NaN

TRUE_BUT_ZERO: dict[str, tuple[Callable[[Any], Any], float]] = {
    "sqrt times sqrt": (lambda x: np.sqrt(x) * np.sqrt(x), 1.0),
    "sqrt squared": (lambda x: np.sqrt(x) ** 2, 1.0),
    "exp of log": (lambda x: np.exp(np.log(x)), 1.0),
    "cbrt cubed": (lambda x: np.cbrt(x) ** 3, 1.0),
}


@pytest.mark.parametrize("name", TRUE_BUT_ZERO)
@pytest.mark.parametrize("choose", [lambda y: y[0], np.max, lambda y: np.maximum(y, -1.0)[0]])
def test_what_was_chosen_has_its_gradient_or_nan_but_not_zero(name: str, choose: Any) -> None:
    function, slope = TRUE_BUT_ZERO[name]
    result = tg.grad(lambda x: choose(function(x)))(np.array([0.0, -0.0]))[0]
    assert np.isnan(result) or result == pytest.approx(slope) or result == pytest.approx(slope / 2)


def test_a_gradient_does_not_depend_on_an_index_behind_it() -> None:
    f = lambda x: np.sqrt(x) * 0
    whole = tg.grad(lambda x: f(x).sum())(np.zeros(2))[0]
    part = tg.grad(lambda x: f(x)[0])(np.zeros(2))[0]
    np.testing.assert_array_equal(whole, part)


QUERY, VALUES = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 2.0], [3.0, 4.0]]])
FIRST_KEY = np.array([[[True, False]]])
CHOOSING: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    "relu": (lambda x: kernels.relu(np.log(x)).sum(), [0.0, 2.0], [0.0, 0.5]),
    "max_pool2d": (
        lambda x: kernels.max_pool2d(np.sqrt(x).reshape(1, 1, 2, 2), kernel_size=2).sum(),
        [0.0, 1.0, 1.0, 4.0],
        [0.0, 0.0, 0.0, 0.25],
    ),
    "embedding": (
        lambda w: kernels.embedding(np.array([1]), np.sqrt(w).reshape(2, 1)).sum(),
        [0.0, 1.0],
        [0.0, 0.5],
    ),
    "dropout": (
        lambda x: kernels.dropout(np.sqrt(x), np.array([True, False]), p=0.5).sum(),
        [1.0, 0.0],
        [1.0, 0.0],
    ),
    "masked keys": (
        lambda k: kernels.attention(QUERY, np.sqrt(k), VALUES, FIRST_KEY).sum(),
        [[[1.0, 1.0], [0.0, 1.0]]],
        [[[0.0, 0.0], [0.0, 0.0]]],
    ),
    "ignored rows": (
        lambda x: kernels.cross_entropy(np.sqrt(x), np.array([0, -100])),
        [[1.0, 1.0], [0.0, 1.0]],
        [[-0.25, 0.25], [0.0, 0.0]],
    ),
    "a pool over pixels": (
        lambda x: kernels.avg_pool2d(np.sqrt(x).reshape(1, 1, 1, 3), kernel_size=1, stride=2).sum(),
        [1.0, 0.0, 1.0],
        [0.5, 0.0, 0.5],
    ),
}


@pytest.mark.parametrize("name", CHOOSING)
def test_what_a_kernel_does_not_choose_has_gradient_zero(name: str) -> None:
    function, x, gradient = CHOOSING[name]
    np.testing.assert_allclose(tg.grad(function)(np.array(x)), gradient)


@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid", "tanh"])
@pytest.mark.parametrize("x", [np.inf, np.nan])
def test_a_kernel_that_was_not_chosen_has_gradient_zero(name: str, x: float) -> None:
    if np.isinf(x) and name in ("sigmoid", "tanh"):
        pytest.xfail("these are right")
    function = getattr(kernels, name)
    gradient = tg.grad(lambda x: np.where([True, False], function(x), 0.0).sum())
    assert gradient(np.array([0.0, x]))[1] == 0


@pytest.mark.parametrize("function", [np.max, np.min, lambda x: np.maximum(x, 1.0).sum()])
def test_a_value_that_is_nan_has_no_gradient_of_zeros_only(function: Any) -> None:
    x = np.array([np.nan, 1.0])
    assert np.isnan(function(x))
    gradient = tg.grad(function)(x)
    assert np.isnan(gradient[0]) or gradient[0] != 0


# ------------------------------------------------------------------------------------------ transforms


@pytest.mark.parametrize("transform", ["jvp", "vjp", "hvp"])
def test_tangents_belong_to_the_names_of_a_dict_not_to_their_order(transform: str) -> None:
    """Or they are refused."""
    point, direction = {"a": 1.0, "b": 1.0}, {"b": 1.0, "a": 0.0}
    f = lambda d: 10 * d["a"] ** 2 + d["b"] ** 2
    try:
        if transform == "jvp":
            assert tg.jvp(f, (point,), (direction,))[1] == 2
        elif transform == "vjp":
            assert tg.vjp(lambda x: {"a": 10 * x, "b": x}, 1.0)[1](direction) == (1.0,)
        else:
            assert tg.hvp(f, point, direction) == {"a": 0.0, "b": 2.0}
    except (TypeError, ValueError):
        pass


def test_a_direction_of_another_nesting_is_refused() -> None:
    with pytest.raises((TypeError, ValueError)):
        tg.hvp(lambda d: d["a"] ** 2 + d["b"] ** 2, {"a": 1.0, "b": 1.0}, [1.0, 0.0])


def test_argnums_of_an_iterator_serve_every_call() -> None:
    gradient = tg.grad(lambda a, b: a * b, iter([0, 1]))
    assert gradient(2.0, 3.0) == gradient(2.0, 3.0)


def test_argnums_may_be_an_array() -> None:
    assert tg.grad(lambda a, b: a * b, np.array([0, 1]))(2.0, 3.0) == (3.0, 2.0)


def test_a_function_may_have_keyword_arguments_called_as_those_of_the_transform() -> None:
    assert tg.vjp(lambda x, f: x * f, 2.0, f=3.0)[0] == 6


def test_a_kind_of_dict_comes_back_as_it_was_given() -> None:
    given = collections.OrderedDict(a=1.0)
    assert type(tg.grad(lambda d: d["a"] * 2)(given)) is collections.OrderedDict


def test_a_function_of_a_defaultdict_meets_one() -> None:
    given = collections.defaultdict(lambda: 3.0, a=1.0)
    assert tg.grad(lambda d: d["a"] * d["z"])(given)["a"] == 3


def test_hvp_of_nothing() -> None:
    assert tg.hvp(lambda d: 3.0, {}, {}) == {}


# -------------------------------------------------------------------------------------------- observers


def test_who_saw_a_scope_enter_sees_it_leave_though_another_observer_raises() -> None:
    log: list[str] = []

    class Log(Observer):
        def enter(self, scope: Scope) -> None:
            log.append("enter")

        def leave(self, scope: Scope) -> None:
            log.append("leave")

    class Raises(Observer):
        def enter(self, scope: Scope) -> None:
            raise KeyError

    model = nn.Linear(2, 2, rng=np.random.default_rng(0))
    with pytest.raises(KeyError), observed(Log()), observed(Raises()):
        model(np.ones((1, 2), np.float32))
    assert log == ["enter", "leave"]


# ------------------------------------------------------------------------------ second order, own rules


def test_the_square_of_hypot_has_a_second_derivative_at_zero_or_refuses() -> None:
    try:
        hessian = tg.hessian(lambda x: np.hypot(x[0], x[1]) ** 2)(np.zeros(2))
    except FloatingPointError:
        return
    np.testing.assert_array_equal(hessian, 2 * np.eye(2))


SECOND: dict[str, tuple[Callable[[Any], Any], Any, Any]] = {
    "sqrt^4": (lambda x: (np.sqrt(x) ** 4)[0], np.zeros(1), [[2.0]]),
    "a distance squared": (
        lambda x: (np.sqrt(np.sum(np.square(x.reshape(1, 2)), axis=1)) ** 2)[0],
        np.zeros(2),
        2 * np.eye(2),
    ),
}


@pytest.mark.parametrize("name", SECOND)
def test_a_second_derivative_of_what_was_chosen_is_right_or_nan(name: str) -> None:
    function, x, right = SECOND[name]
    hessian = tg.hessian(function)(x)
    assert np.isnan(hessian).any() or np.allclose(hessian, right)


def test_a_formula_without_a_return_is_refused() -> None:
    def double(x: Any) -> Any:
        return 2 * x

    def formula(g: Any) -> Any:
        g * 2

    double = tg.derivative(double, x=formula)
    x = leaf([1, 2])
    with pytest.raises(TypeError):
        (double(x) + x).sum().backward()


@pytest.mark.parametrize("formula", [lambda g: 1j * g, lambda g: np.ma.array(g, mask=[1, 0])])
def test_a_formula_that_gives_no_real_array_is_refused(formula: Any) -> None:
    def double(x: Any) -> Any:
        return 2 * x

    double = tg.derivative(double, x=formula)
    with pytest.raises(TypeError):
        double(leaf([1, 2])).sum().backward()


@pytest.mark.parametrize("dtype", [int, bool])
def test_a_rule_whose_value_is_no_floating_point_number_has_no_gradient(dtype: Any) -> None:
    def count(x: Any) -> Any:
        return x.astype(dtype)

    count = tg.derivative(count, x=lambda g: g)
    assert not refused_or_requires_gradient(lambda: count(leaf([1.5, 2.5])))


# -------------------------------------------------------------------- NaN behind what is not elementwise


def reciprocal(x: Any) -> Any:
    return 1 / x


ROWS = np.array([[1.0, 1.0], [np.inf, 1.0]])
FIRST = np.array([True, False])
NOT_ELEMENTWISE: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "checkpoint": (lambda x: np.where([False, True], tg.checkpoint(np.sqrt)(x), 0.0), [0.0, 1.0]),
    "checkpoint of exp": (lambda x: np.minimum(tg.checkpoint(np.exp)(x), 1.0), [800.0, 900.0]),
    "a rule of one's own": (
        lambda x: np.where([False, True], tg.derivative(reciprocal, x=lambda g, y: -g * y * y)(x), 0.0),
        [0.0, 1.0],
    ),
    "i0": (lambda x: np.where([False, True], np.i0(x), 0.0), [800.0, 1.0]),
    "matmul": (lambda w: np.where(FIRST, ROWS @ w, 0.0), [1.0, 1.0]),
    "einsum": (lambda w: np.where(FIRST, np.einsum("ij,j->i", ROWS, w), 0.0), [1.0, 1.0]),
    "linear": (lambda w: np.where(FIRST, kernels.linear(ROWS, w.reshape(1, 2))[:, 0], 0.0), [1.0, 1.0]),
    "prod": (
        lambda x: np.where(FIRST, np.prod(np.log(x.reshape(2, 2)), axis=1), 0.0),
        [3.0, 2.0, 0.0, 2.0],
    ),
}


@limit("what reaches which element of its arguments is known of elementwise operations only")
@pytest.mark.parametrize("name", NOT_ELEMENTWISE)
def test_a_branch_that_was_not_chosen_makes_no_nan_whatever_it_is(name: str) -> None:
    function, x = NOT_ELEMENTWISE[name]
    assert np.isfinite(tg.grad(lambda x: function(x).sum())(np.array(x))).all()


def test_a_standard_deviation_that_was_not_chosen_makes_no_nan() -> None:
    f = lambda x: np.where(FIRST, np.std(np.log(x.reshape(2, 2)), axis=1), 0.0).sum()
    assert np.isfinite(tg.grad(f)(np.array([3.0, 2.0, 0.0, 2.0]))).all()


def test_a_kernel_that_was_not_chosen_has_second_derivative_zero() -> None:
    f = lambda x: np.where(np.array([False, True]), kernels.gelu(np.exp(x)), 0.0).sum()
    assert np.isfinite(tg.hessian(f)(np.array([800.0, 0.0]))).all()
