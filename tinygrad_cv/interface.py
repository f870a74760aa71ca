"""What a tensor has of an ndarray: operators, methods, NumPy's two protocols, and the ways out of the graph."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import errors


def _operators(ufunc: np.ufunc) -> tuple[Any, Any]:
    """`a + b` and its reflection `b + a`."""
    return (
        lambda self, other: self._operate(ufunc, self, other),
        lambda self, other: self._operate(ufunc, other, self),
    )


def _method(function: Any) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._call(function, (self, *args), kwargs)

    method.__name__ = function.__name__
    method.__doc__ = f"`{errors.name_of(function)}` of this tensor."
    return method


class NumPyInterface:
    """The part of a tensor that looks like an ndarray. `_record` carries a function out and puts it into the graph, and
    `_operate` an operator."""

    __slots__ = ()
    _data: np.ndarray
    _node: Any
    _record: Any
    _operate: Any
    data: Any

    # Operators go to the table directly.
    __add__, __radd__ = _operators(np.add)
    __sub__, __rsub__ = _operators(np.subtract)
    __mul__, __rmul__ = _operators(np.multiply)
    __truediv__, __rtruediv__ = _operators(np.true_divide)
    __floordiv__, __rfloordiv__ = _operators(np.floor_divide)
    __mod__, __rmod__ = _operators(np.remainder)
    __pow__, __rpow__ = _operators(np.power)
    __matmul__, __rmatmul__ = _operators(np.matmul)
    __lt__, __gt__ = _operators(np.less)[0], _operators(np.greater)[0]
    __le__, __ge__ = _operators(np.less_equal)[0], _operators(np.greater_equal)[0]
    __eq__, __ne__ = _operators(np.equal)[0], _operators(np.not_equal)[0]
    __hash__ = object.__hash__

    def __neg__(self) -> Any:
        return self._record(np.negative, (self,))

    def __pos__(self) -> Any:
        return self._record(np.positive, (self,))

    def __abs__(self) -> Any:
        return self._record(np.absolute, (self,))

    def __divmod__(self, other: Any) -> Any:
        return self._record(np.divmod, (self, other))

    def __getitem__(self, index: Any) -> Any:
        return self._record(operator.getitem, (self, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "tensors are not assigned to in place. Write t = np.where(mask, value, t), or build the parts and join them "
            "with np.concatenate or np.stack, or set t.data[index] = value on a leaf before it is used"
        )

    # NumPy's functions come through this door.
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise TypeError(
                f"{errors.name_of(ufunc)}.{method} does not work on tensors; use np.sum, np.cumsum, ..."
            )
        return self._call(ufunc, args, kwargs)

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not all(issubclass(t, (NumPyInterface, np.ndarray)) for t in types):
            return NotImplemented
        return self._call(function, args, kwargs)

    def _call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A NumPy call that met a tensor, without the options that write into arrays."""
        for name, advice in (
            ("out", "assign the result instead"),
            ("where", "use np.where(mask, value, other)"),
        ):
            if kwargs and kwargs.get(name) is not None and kwargs[name] is not True:
                raise TypeError(
                    f"{errors.name_of(function)}({name}=...) writes in place; tensors do not: {advice}"
                )
        return self._record(
            function, args, {k: v for k, v in kwargs.items() if k not in ("out", "where")}
        )

    # The shape of things.
    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def T(self) -> Any:
        return self._record(np.transpose, (self,))

    @property
    def mT(self) -> Any:
        return self._record(np.matrix_transpose, (self,))

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape: Any) -> Any:
        return self._record(np.reshape, (self, shape[0] if len(shape) == 1 else shape))

    def transpose(self, *axes: Any) -> Any:
        return self._record(np.transpose, (self, axes[0] if len(axes) == 1 else axes or None))

    def flatten(self) -> Any:
        return self._record(np.ravel, (self,))

    sum, mean, prod, max, min = map(_method, (np.sum, np.mean, np.prod, np.max, np.min))
    var, std, cumsum, cumprod = map(_method, (np.var, np.std, np.cumsum, np.cumprod))
    argmax, argmin, argsort, nonzero = map(_method, (np.argmax, np.argmin, np.argsort, np.nonzero))
    any, all, searchsorted = map(_method, (np.any, np.all, np.searchsorted))
    astype, copy, round, clip, dot = map(_method, (np.astype, np.copy, np.round, np.clip, np.dot))
    ravel, squeeze, swapaxes, repeat, take = map(
        _method, (np.ravel, np.squeeze, np.swapaxes, np.repeat, np.take)
    )
    diagonal, trace = map(_method, (np.diagonal, np.trace))

    # In the graph, and the ways out of it.
    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the user, not by a recorded operation."""
        return self._node is None or self._node.operation is None

    def retain_grad(self) -> None:
        """Have backward leave the gradient of this tensor in `.grad` (leaves have it anyway)."""
        if self._node is None:
            raise RuntimeError("this tensor does not require a gradient")
        self._node.tensor = weakref.ref(self)

    def numpy(self) -> np.ndarray:
        """The same array outside the graph."""
        array: np.ndarray = self.data
        return array

    def item(self, *index: Any) -> Any:
        """The single element, or the one at an index, as a Python number."""
        return self._data.item(*index)

    def _leave(self, way: str) -> np.ndarray:
        if self._node is not None:
            raise TypeError(
                f"{way} would silently cut a tensor that requires a gradient out of the graph. To leave it, t.detach(), "
                "t.numpy() or t.item(); to stay in it, NumPy functions of the tensor (np.stack in place of np.array)"
            )
        return self._data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._leave("np.asarray(t)"), dtype=dtype, copy=copy)

    def __float__(self) -> float:
        return float(self._leave("float(t)"))

    def __int__(self) -> int:
        return int(self._leave("int(t)"))

    def __index__(self) -> int:
        return operator.index(self._leave("an index")[()])

    def __bool__(self) -> bool:
        return bool(self._data)

    def __reduce__(self) -> Any:
        return type(self), (
            self._data if self.is_leaf else self._leave("copying"),
            self._node is not None,
        )

    def __format__(self, spec: str) -> str:
        return format(self._data.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        kind = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        requires = ", requires_grad=True" if self._node is not None else ""
        return f"Tensor({np.array2string(self._data, separator=', ', prefix='Tensor(')}{kind}{requires})"

    def __getattr__(self, name: str) -> Any:
        hint = f": it works in place or outside the graph; use a NumPy function of the tensor, or t.numpy().{name}"
        raise AttributeError(
            f"Tensor has no {name!r}"
            + (hint if hasattr(np.ndarray, name) and name[0] != "_" else "")
        )
