"""Products: what the table's rows do not show. What is saved, what is not computed, and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.tensor import TABLE
from tinygrad_cv.typing import Shape


def tensor(*shape: int) -> tg.Tensor:
    rng = np.random.default_rng(len(shape))
    return tg.Tensor(rng.normal(size=shape), requires_grad=True)


@pytest.mark.parametrize(
    "left, right", [((0, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 2)), ((0,), (0, 2))]
)
def test_matmul_of_empty_arrays(left: Shape, right: Shape) -> None:
    a, b = tensor(*left), tensor(*right)
    (a @ b).sum().backward()
    assert a.grad.shape == left and b.grad.shape == right
    assert not np.any(a.grad) and not np.any(b.grad)


def test_one_matrix_for_a_batch_is_one_product() -> None:
    """The gradient of a shared weight is not a stack of matrices that is summed afterwards."""
    x, w = tensor(4, 5, 3), tensor(3, 2)
    g = np.random.default_rng(0).normal(size=(4, 5, 2))
    rule = TABLE[np.matmul]
    gradient = rule.formulas["x2"](g, x.data, w.shape)
    assert gradient.shape == (3, 2)
    np.testing.assert_allclose(gradient, np.einsum("bnm,bnk->mk", x.data, g))


def test_matmul_keeps_only_what_the_wanted_gradients_need() -> None:
    x, w = tg.Tensor(np.ones((2, 3))), tensor(3, 2)
    assert "x2" not in (x @ w)._node.saved


def test_lists_take_part_in_products() -> None:
    x = tensor(2, 2)
    (x @ [[1.0, 2.0], [3.0, 4.0]]).sum().backward()
    np.testing.assert_allclose(x.grad, [[3, 7], [3, 7]])
    y = tensor(2)
    np.dot([[1.0, 2.0], [3.0, 4.0]], y).sum().backward()
    np.testing.assert_allclose(y.grad, [4, 6])
    z = tensor(2, 2)
    np.einsum("ij,j->", z, [5.0, 6.0]).backward()
    np.testing.assert_allclose(z.grad, [[5, 6], [5, 6]])


def test_einsum_computes_no_gradient_that_nobody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    data, w = np.ones((2, 3)), tensor(3, 2)
    y = np.einsum("bi,ij->bj", data, w)
    seen: list[str] = []
    plain = np.einsum

    def counted(subscripts: str, *operands: Any, **options: Any) -> Any:
        seen.append(subscripts)
        return plain(subscripts, *operands, **options)

    monkeypatch.setattr(np, "einsum", counted)
    y.sum().backward()
    assert seen == ["bj,bi->ij"]


def test_einsum_with_one_operand_twice() -> None:
    x = tensor(3, 3)
    np.einsum("ij,ji->", x, x).backward()
    np.testing.assert_allclose(x.grad, 2 * x.data.T)


def test_einsum_implies_an_output_in_the_order_of_integers() -> None:
    """Labels above 25 come after those below, whatever letters they become."""
    x = tensor(2, 3)
    y = np.einsum(x, [30, 2])
    assert y.shape == np.einsum(x.data, [30, 2]).shape
    weights = np.arange(6.0).reshape(y.shape)
    (y * weights).sum().backward()
    np.testing.assert_allclose(x.grad, weights.T)


@pytest.mark.parametrize("text", ["...i->i", "ij->ijk", "i->ii", "ijk->i", "i.j->i"])
def test_einsum_refuses_what_numpy_refuses(text: str) -> None:
    with pytest.raises(ValueError) as numpy_error:
        np.einsum(text, np.ones((2, 3)))
    with pytest.raises(ValueError, match="einsum") as error:
        np.einsum(text, tensor(2, 3))
    assert str(numpy_error.value) in str(error.value)


def test_einsum_into_an_array_is_refused() -> None:
    with pytest.raises(TypeError, match="out"):
        np.einsum("ij->ji", tensor(2, 3), out=np.zeros((3, 2)))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.tensordot(t, np.ones((3, 2)), axes=([0, 1], [0, 1])),
        lambda t: np.vdot(t, np.ones(1)),
        lambda t: np.vecdot(t, np.ones(1)),
        lambda t: np.linalg.outer(t, np.ones(2)),
        lambda t: np.cross(t, np.ones(4)),
        lambda t: np.linalg.cross(t, np.ones(2)),
        lambda t: np.linalg.multi_dot([t]),
        lambda t: np.linalg.multi_dot([t, t, t]),
    ],
)
def test_shapes_that_do_not_fit_are_errors(call: Callable[[tg.Tensor], Any]) -> None:
    """No broadcasting, and no reshaping, where NumPy has none."""
    with pytest.raises(ValueError):
        call(tensor(2, 3))


@pytest.mark.skipif(not hasattr(np, "matvec"), reason="NumPy 2.2")
def test_matvec_and_vecmat_need_a_matrix() -> None:
    with pytest.raises(ValueError, match=r"np\.matvec.* operand 0 does not have enough dimensions"):
        np.matvec(tensor(3), np.ones(3))
    with pytest.raises(ValueError, match=r"np\.vecmat.* operand 1 does not have enough dimensions"):
        np.vecmat(np.ones(3), tensor(3))
