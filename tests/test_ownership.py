"""What a record has saved cannot change: whoever writes where and when, the gradient is that of the computation as it was."""

from __future__ import annotations

import copy
import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv import kernels, nn, optim
from tinygrad_cv.engine import ownership


def leaf(array: Any) -> tg.Tensor:
    return tg.Tensor(array, requires_grad=True)


def numbers(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size)


PROGRAMS: dict[str, Callable[[tg.Tensor, np.ndarray], tg.Tensor]] = {
    "square": lambda x, c: (x * x).sum(),
    "constant": lambda x, c: (x * c).sum(),
    "reversed": lambda x, c: (c * x + c).sum(),
    "views": lambda x, c: (x.reshape(2, -1)[:, ::-1] ** 2 @ c[: x.size // 2]).sum(),
    "product": lambda x, c: np.outer(x, c) @ c @ x,
    "index": lambda x, c: (x[np.argsort(c)] * x).sum(),
    "kernel": lambda x, c: kernels.linear(c.reshape(1, -1), x.reshape(1, -1)).sum() ** 2,
    "softmax": lambda x, c: (kernels.softmax(x) * c).sum(),
    "mask": lambda x, c: kernels.attention(
        x.reshape(1, -1, 2), x.reshape(1, -1, 2), c.reshape(1, -1, 2), np.tri(x.size // 2, dtype=bool)[None]
    ).sum(),
    "einsum": lambda x, c: np.einsum("i,i,j->", x, c, x),
    "joined": lambda x, c: (np.concatenate([x, c]) * np.concatenate([c, x])).sum(),
    "detached": lambda x, c: (x * x.detach() * tg.Tensor(c)).sum(),
    "numpy": lambda x, c: (x * x.numpy()).sum(),
}
HANDLES: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {
    "the caller's array": lambda h: h["given"],
    "a view of it": lambda h: h["given view"],
    "the constant": lambda h: h["constant"],
    "a view of the constant": lambda h: h["constant view"],
    ".data from before": lambda h: h["data"],
    "a view of .data from before": lambda h: h["data"][1:3],
}


def gradient_before_writes(program: Any, x: np.ndarray, c: np.ndarray) -> np.ndarray:
    other = leaf(x.copy())
    program(other, c.copy()).backward()
    return np.array(other.grad)


@given(
    st.sampled_from(sorted(PROGRAMS)),
    st.lists(st.sampled_from([*HANDLES, ".data", ".data -=", ".data =", "+= on .data"]), max_size=5),
    st.sampled_from([4, 10]),
    st.booleans(),
)
def test_whatever_is_written_the_gradient_is_that_of_the_computation_as_it_was(
    program: str, writes: list[str], size: int, held: bool
) -> None:
    given_array, constant = numbers(size), numbers(size, 1)
    expected = gradient_before_writes(PROGRAMS[program], given_array, constant)
    x = leaf(given_array)
    handles = {
        "given": given_array,
        "given view": given_array[::2],
        "constant": constant,
        "constant view": constant[1:],
    }
    handles["data"] = x.data if held else given_array
    y = PROGRAMS[program](x, constant)
    for number, write in enumerate(writes):
        if write in HANDLES:
            HANDLES[write](handles)[...] = number + 0.5
        elif write == ".data":
            x.data[number % size] = 100.0
        elif write == ".data -=":
            x.data -= 0.25
        elif write == ".data =":
            x.data = np.full(size, 7.0)
        else:
            data = x.data
            data += 3.0
    y.backward()
    np.testing.assert_array_equal(x.grad, expected)


@given(st.sampled_from(sorted(PROGRAMS)), st.sampled_from([4, 10]))
def test_what_numpy_hands_out_cannot_be_written_to_and_stays_as_it_is(program: str, size: int) -> None:
    x = leaf(numbers(size))
    seen = x.numpy()
    before = seen.copy()
    y = PROGRAMS[program](x, numbers(size, 1))
    for array in (seen, seen[1:], y.numpy(), y.data):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1.0
    x.data[...] = 5.0
    np.testing.assert_array_equal(seen, before)


@pytest.mark.parametrize("size", [10, 10_000, 10_000_000])
def test_a_write_to_data_after_the_forward_pass_is_seen_by_the_tensor_alone(size: int) -> None:
    x = leaf(np.ones(size))
    y = (x * x).sum()
    x.data[5] = 100.0
    y.backward()
    np.testing.assert_array_equal(x.grad, 2.0)
    assert x.numpy()[5] == 100.0
    assert (x * 1.0).numpy()[5] == 100.0


def test_a_handle_on_data_goes_on_writing_to_its_tensor() -> None:
    x = leaf(np.ones(3))
    data = x.data
    y = (x * x).sum()  # keeps a copy, since somebody may write
    data[0] = 5.0
    assert x.numpy()[0] == 5.0
    y.backward()
    np.testing.assert_array_equal(x.grad, 2.0)
    x.grad = None
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [10.0, 2.0, 2.0])


def test_nothing_is_copied_where_nobody_needs_the_old_values() -> None:
    x = leaf(np.ones(1000))
    array = x._memory.obj
    for _ in range(3):
        (x * x).sum().backward()
        x.data -= 0.1 * x.grad
        x.grad = None
    assert x._memory.obj is array


def test_a_record_of_a_leaf_copies_nothing() -> None:
    x = leaf(np.ones(1000))
    y = x * x
    assert y._node.saved["x1"] is x.numpy()


TRANSFORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "grad": lambda x: tg.grad(lambda x: (x * x).sum())(x),
    "value_and_grad": lambda x: tg.value_and_grad(lambda x: (x * x).sum())(x),
    "vjp": lambda x: tg.vjp(lambda x: x, x)[1](x),
    "jvp": lambda x: tg.jvp(lambda x: x, (x,), (x,)),
    "jvp of a gradient": lambda x: tg.jvp(tg.grad(lambda x: (x * x).sum()), (x,), (x,)),
    "jacobian": lambda x: tg.jacobian(lambda x: x * x)(x),
    "hessian": lambda x: tg.hessian(tg.special.logsumexp)(x),
    "hvp": lambda x: tg.hvp(lambda x: (x * x * x).sum(), x, x),
    "grad at a tensor": lambda x: tg.grad(lambda x: (x * x).sum())(tg.Tensor(x)),
    "checkpoint": lambda x: tg.grad(lambda x: tg.checkpoint(lambda x: x * x)(x).sum())(x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_arrays_come_back_from_a_transform_as_they_were_given(name: str) -> None:
    x = np.array([1.0, 2.0, 3.0])
    before = x.copy()
    result = TRANSFORMS[name](x)
    np.testing.assert_array_equal(x, before)
    assert x.flags.writeable
    x[0] = 2.0
    for array in result if isinstance(result, tuple) else (result,):
        if isinstance(array, np.ndarray):
            assert not np.shares_memory(array, x)
            array[...] = 1.0
    np.testing.assert_array_equal(x[1:], before[1:])


def test_a_pullback_is_that_of_the_arrays_as_they_were() -> None:
    x = np.array([1.0, 2.0])
    value, pull = tg.vjp(lambda x: x * x, x)
    x[0] = value[1] = 100.0
    np.testing.assert_array_equal(pull(np.ones(2))[0], [2.0, 4.0])
    np.testing.assert_array_equal(pull(np.ones(2))[0], [2.0, 4.0])


# ---------------------------------------------------------------------------------------- large constants


@pytest.fixture
def small_limit(monkeypatch: Any) -> None:
    """Constants above 64 bytes count as large."""
    monkeypatch.setattr(ownership, "LARGE_CONSTANT", 64)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("part", [slice(None), slice(2, 90), slice(None, None, 2)])
def test_a_large_constant_is_locked_as_long_as_a_record_holds_it(part: slice) -> None:
    whole = np.ones(100)
    constant = whole[part]
    x = leaf(np.ones(constant.size))
    y, z = (x * constant).sum(), (x * constant).sum()
    assert np.shares_memory(y._node.parents["a"].saved["x2"], constant)
    for array in (constant, whole, constant[1:], whole[3:]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 100.0
    y.backward()
    with pytest.raises(ValueError, match="read-only"):
        constant[0] = 100.0  # z needs it still
    del z
    constant[0] = 100.0
    whole[1] = 100.0
    assert not ownership.LOCKS
    np.testing.assert_array_equal(x.grad, 1.0)


@pytest.mark.usefixtures("small_limit")
def test_a_large_constant_that_was_read_only_stays_so() -> None:
    constant = np.ones(100)
    constant.flags.writeable = False
    x = leaf(np.ones(100))
    (x * constant).sum().backward()
    assert not constant.flags.writeable


@pytest.mark.usefixtures("small_limit")
def test_a_large_constant_is_free_after_a_transform_even_one_that_fails() -> None:
    constant = np.ones(100)

    def fails(x: Any) -> Any:
        _ = x * constant
        raise KeyError

    tg.grad(lambda x: (x * constant).sum())(np.ones(100))
    with pytest.raises(KeyError):
        tg.grad(fails)(np.ones(100))
    gc.collect()
    constant[0] = 2.0


# ------------------------------------------------------------------------------------ optimisers and copies


def test_an_optimiser_step_does_not_reach_what_was_recorded_before() -> None:
    rng = np.random.default_rng(0)
    model = nn.Linear(3, 2, rng=rng, dtype=np.float64)
    inputs = rng.normal(size=(4, 3))
    optimizer = optim.Adam(model.parameters(), 0.1)
    (model(inputs) ** 2).sum().backward()
    optimizer.step()
    twin = copy.deepcopy(model)
    model.zero_grad()
    (model(inputs) ** 2).sum().backward()
    x, again = leaf(inputs), leaf(inputs)
    held = (model(x) ** 3).sum()
    optimizer.step()
    optimizer.zero_grad()
    held.backward()
    (twin(again) ** 3).sum().backward()
    np.testing.assert_array_equal(x.grad, again.grad)
    np.testing.assert_array_equal(model.weight.grad, twin.weight.grad)
    assert not np.array_equal(model.weight.numpy(), twin.weight.numpy())
    before = model.weight.numpy().copy()
    optimizer.step()
    assert not np.array_equal(model.weight.numpy(), before), "the optimiser goes on with the model"


def test_weights_that_someone_looks_at_stay_as_they_are() -> None:
    model = nn.Linear(3, 2, rng=np.random.default_rng(0))
    optimizer = optim.SGD(model.parameters(), 0.1)
    optimizer.step()
    state = model.state_dict()
    before = {name: array.copy() for name, array in state.items()}
    (model(np.ones((1, 3), np.float32)) ** 2).sum().backward()
    optimizer.step()
    for name, array in state.items():
        np.testing.assert_array_equal(array, before[name])
    assert not np.array_equal(model.weight.numpy(), before["weight"])


def test_threads_may_ask_for_one_array_at_the_same_time() -> None:
    shared, failures = leaf(np.linspace(0.1, 1, 50)), []
    expected = np.exp(shared.numpy()) * shared.numpy()

    def work() -> None:
        try:
            for _ in range(300):
                found = tg.grad(lambda x: (np.exp(x) * shared).sum())(shared.data)
                np.testing.assert_array_equal(found, expected)
        except BaseException as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
