"""What is only speed can be removed: without `engine/fast.py` all else works."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.rows
import tinygrad_cv as tg
from tests.table import ROWS, Row, operation
from tinygrad_cv import kernels, tensor
from tinygrad_cv.engine import fast
from tinygrad_cv.engine.observers import Observer, Pull, observed
from tinygrad_cv.engine.pytrees import leaves
from tinygrad_cv.tensor import Walk, dispatch

for _module in pkgutil.iter_modules(tests.rows.__path__):
    importlib.import_module(f"tests.rows.{_module.name}")

ROOT = Path(tg.__file__).parents[1]
SUITES = ["engine", "transforms", "ownership", "modes", "checkpoint", "observers", "kernels", "nn", "optim"]


def test_it_says_so_in_its_first_line() -> None:
    assert (fast.__doc__ or "").startswith("Only speed. Remove this file, and everything works as before")


def test_without_it_all_else_passes(tmp_path: Path) -> None:
    for folder in ("tinygrad_cv", "tests", "models"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    (tmp_path / "tinygrad_cv" / "engine" / "fast.py").unlink()
    suites = [f"tests/test_{name}.py" for name in SUITES]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *suites]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


UFUNCS = [np.add, np.subtract, np.multiply, np.true_divide, np.power, np.matmul, np.less, np.maximum]
SIDES = {
    "leaf": lambda: tg.Tensor([1.0, 2.0], requires_grad=True),
    "result": lambda: tg.Tensor([1.0, 2.0], requires_grad=True) * 1.5,
    "constant": lambda: tg.Tensor([1.0, 2.0]),
    "array": lambda: np.array([3.0, 0.5]),
    "number": lambda: 2.0,
    "list": lambda: [1.0, 4.0],
    "integers": lambda: np.array([1, 2]),
    "float32": lambda: np.float32(1.5),
}


@given(st.sampled_from(UFUNCS), st.sampled_from(sorted(SIDES)), st.sampled_from(sorted(SIDES)), st.booleans())
def test_an_operator_records_what_record_does(ufunc: np.ufunc, left: str, right: str, recording: bool) -> None:
    x1, x2 = SIDES[left](), SIDES[right]()
    if not any(isinstance(x, tg.Tensor) for x in (x1, x2)) or (ufunc is np.matmul and "number" in (left, right)):
        return
    if ufunc is np.matmul and "float32" in (left, right):
        return
    for _ in range(2):  # the first time notes what the second follows
        found = []
        for operate in (fast.operate, lambda u, a, b: dispatch(u, (a, b), {})):
            if recording:
                found.append(operate(ufunc, x1, x2))
            else:
                with tg.no_grad():
                    found.append(operate(ufunc, x1, x2))
        quick, plain = found
        assert type(quick) is type(plain)
        np.testing.assert_array_equal(*(y.numpy() if isinstance(y, tg.Tensor) else y for y in found))
        if not isinstance(quick, tg.Tensor):
            return
        assert quick.dtype == plain.dtype and quick.requires_grad == plain.requires_grad
        if quick.requires_grad:
            assert quick._node.parents == plain._node.parents
            assert quick._node.saved.keys() == plain._node.saved.keys()
            assert quick._node.line[0] is not None


def test_a_constant_is_kept_privately_by_an_operator_too() -> None:
    x, constant = tg.Tensor([1.0, 2.0], requires_grad=True), np.ones(2)
    for _ in range(3):
        y = x * constant
        assert not np.shares_memory(y._node.saved["x2"], constant)


@pytest.mark.parametrize("recording", [True, False])
def test_a_kernel_records_what_record_does(recording: bool) -> None:
    x = tg.Tensor(np.ones((2, 3)), requires_grad=True)
    w, b = tg.Tensor(np.full((4, 3), 0.5), requires_grad=True), tg.Tensor(np.ones(4))
    for args, kwargs in (
        ((x, w, b), {}),
        ((x, w), {"bias": b, "activation": "relu"}),
        ((np.ones((2, 3)), w, None), {}),
        ((x, w.numpy(), b), {"activation": "tanh"}),
    ):
        found = []
        for call in (lambda k, *a, **o: fast.record(k, a, o), lambda k, *a, **o: fast.plain_record(k, a, o)):
            if recording:
                found.append(call(kernels.linear, *args, **kwargs))
            else:
                with tg.no_grad():
                    found.append(call(kernels.linear, *args, **kwargs))
        quick, plain = found
        np.testing.assert_array_equal(quick.numpy(), plain.numpy())
        assert quick.requires_grad == plain.requires_grad == recording
        if recording:
            assert quick._node.parents == plain._node.parents
            assert quick._node.saved.keys() == plain._node.saved.keys()


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_a_function_that_fails_in_a_kernel_is_not_called_again(error: type[Exception]) -> None:
    """It may be a collective call, or count."""
    calls = []

    def average(x: np.ndarray) -> np.ndarray:
        calls.append(x)
        raise error("no answer")

    with pytest.raises(error, match="no answer") as caught:
        kernels.batch_norm(tg.Tensor(np.ones((4, 3))), None, None, average=average)
    assert len(calls) == 1
    told = str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    assert "batch_norm" in told
    assert "(4, 3) float64" in told


def test_sums_in_place_are_the_sums() -> None:
    rng = np.random.default_rng(0)
    x = tg.Tensor(rng.normal(size=5), requires_grad=True)
    found = []
    for kind in (fast.FastWalk, Walk):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tensor, "Walk", kind)
            x.grad = None
            sum(((x * float(k)) ** 2).sum() for k in range(1, 6)).backward()
            found.append(x.grad)
    np.testing.assert_array_equal(*found)


def test_a_cotangent_is_not_written_to() -> None:
    x = np.linspace(-1, 1, 5)
    values, pull = tg.vjp(lambda x: [y := kernels.tanh(x), kernels.relu(y), y * y], x)
    cotangents = [np.ones(5) for _ in values]
    pull(cotangents)
    for cotangent in cotangents:
        np.testing.assert_array_equal(cotangent, 1.0)


@pytest.mark.parametrize("case", [r for f, rows in ROWS.items() if isinstance(f, tg.kernels.Kernel) for r in rows])
@given(data=st.data())
def test_the_gradients_of_our_kernels_are_arrays_that_nobody_else_has(case: Row, data: Any) -> None:
    arguments, options = data.draw(case.arguments), data.draw(case.options)
    seen: list[np.ndarray] = []

    class Aliases(Observer):
        def backward(self, pull: Pull) -> None:
            if not isinstance(pull.node.operation, tg.kernels.Kernel):
                return
            held = list(arrays_in([pull.gradient, list(pull.node.values(False).values())]))
            for contribution in pull.contributions.values():
                seen.append(contribution)
                assert not any(np.shares_memory(contribution, other) for other in held)
                held.append(contribution)

    one = operation(case, arguments, options)
    with observed(Aliases()):
        values, pull = one.pull(one.inputs)
        pull([np.ones_like(v) for v in values])
    assert seen


def arrays_in(tree: Any) -> Iterator[np.ndarray]:
    for leaf in leaves(tree):
        if isinstance(leaf, np.ndarray) and leaf.size:
            yield leaf
