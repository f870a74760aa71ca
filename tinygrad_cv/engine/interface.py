"""What a tensor has of an ndarray: operators, methods, NumPy's two protocols, and the ways out of
the graph."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from ..typing import DTypeLike, Function, Operand, Shape
from . import errors
from .first_words import NAMED, hint


class Size(int):
    """A number of elements. Who calls it, as PyTorch's size(), is answered with t.shape."""

    def __call__(self, *_: object) -> NoReturn:
        raise TypeError(f"t.size is a number{hint('Tensor', 'size')}")


THEIR_OPTIONS = frozenset(NAMED["option"])  # dim= and its kin


def _operator(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    """`a + b`."""
    return lambda self, other: self._operate(ufunc, self, other)


def _reflected(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    """`b + a`, where b is no tensor."""
    return lambda self, other: self._operate(ufunc, other, self)


def _method(function: Function) -> Function:
    """A method of a tensor that is a function of NumPy's main namespace."""

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._call(function, (self, *args), kwargs)

    method.__doc__ = f"`{errors.name_of(function)}` of this tensor."
    return method


class NumPyInterface:
    """The part of a tensor that looks like an ndarray.

    `_dispatch` carries a function of the calculus table out and puts it into the graph.
    """

    __slots__ = ()
    _array: np.ndarray
    _node: Any
    _dispatch: Callable[..., Any]

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by the user, not by a recorded operation."""
        return self._node is None or self._node.node.operation is None

    @classmethod
    def _operate(cls, ufunc: np.ufunc, x1: Any, x2: Any) -> Any:
        """An operator with two sides."""
        return cls._dispatch(ufunc, (x1, x2), {})

    __add__ = _operator(np.add)
    __radd__ = _reflected(np.add)
    __sub__ = _operator(np.subtract)
    __rsub__ = _reflected(np.subtract)
    __mul__ = _operator(np.multiply)
    __rmul__ = _reflected(np.multiply)
    __truediv__ = _operator(np.true_divide)
    __rtruediv__ = _reflected(np.true_divide)
    __floordiv__ = _operator(np.floor_divide)
    __rfloordiv__ = _reflected(np.floor_divide)
    __mod__ = _operator(np.remainder)
    __rmod__ = _reflected(np.remainder)
    __pow__ = _operator(np.power)
    __rpow__ = _reflected(np.power)
    __matmul__ = _operator(np.matmul)
    __rmatmul__ = _reflected(np.matmul)
    __lt__ = _operator(np.less)
    __le__ = _operator(np.less_equal)
    __gt__ = _operator(np.greater)
    __ge__ = _operator(np.greater_equal)
    __eq__ = _operator(np.equal)
    __ne__ = _operator(np.not_equal)
    __hash__ = object.__hash__

    def __neg__(self) -> Any:
        return self._dispatch(np.negative, (self,), {})

    def __pos__(self) -> Any:
        return self._dispatch(np.positive, (self,), {})

    def __abs__(self) -> Any:
        return self._dispatch(np.absolute, (self,), {})

    def __divmod__(self, other: Operand) -> Any:
        return self._dispatch(np.divmod, (self, other), {})

    def __getitem__(self, index: Any) -> Any:
        return self._dispatch(operator.getitem, (self, index), {})

    def __setitem__(self, index: Any, value: Operand) -> None:
        raise TypeError(
            "tensors are not assigned to in place. Write t = np.where(mask, value, t), or build "
            "the parts and join them with np.concatenate or np.stack, or set t.data[index] = value "
            "on a leaf"
        )

    # NumPy's functions come through this door.
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "__call__":
            return self._call(ufunc, args, kwargs)
        return self._call(getattr(np.ufunc, method), (ufunc, *args), kwargs)

    def __array_function__(
        self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not all(issubclass(t, (NumPyInterface, np.ndarray)) for t in types):
            return NotImplemented
        return self._call(function, args, kwargs)

    def _call(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A NumPy call that met a tensor, without the options that write into arrays."""
        if kwargs:
            for name in THEIR_OPTIONS.intersection(kwargs):
                raise errors.their_option(function, name)
            refuse_in_place(function, args, kwargs)
            kwargs = {k: v for k, v in kwargs.items() if k != "out" and v is not np._NoValue}
            where = kwargs.get("where")
            if where is True:
                del kwargs["where"]
            elif isinstance(where, (list, tuple)):
                kwargs["where"] = np.array(where, bool)
        return self._dispatch(function, args, kwargs)

    # The shape of things.
    @property
    def shape(self) -> Shape:
        return self._array.shape

    @property
    def ndim(self) -> int:
        return self._array.ndim

    @property
    def size(self) -> int:
        return Size(self._array.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype

    @property
    def T(self) -> Any:
        """The axes in reverse order."""
        return self._dispatch(np.transpose, (self,), {})

    @property
    def mT(self) -> Any:
        """The last two axes exchanged."""
        return self._dispatch(np.matrix_transpose, (self,), {})

    @property
    def real(self) -> Any:
        """The real part."""
        return self._dispatch(np.real, (self,), {})

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return self._dispatch(np.imag, (self,), {})

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """`np.reshape` of this tensor: t.reshape(2, 3) or t.reshape((2, 3))."""
        new = shape[0] if len(shape) == 1 else shape
        options = {} if order == "C" else {"order": order}
        return self._dispatch(np.reshape, (self, new), options)

    def transpose(self, *axes: Any) -> Any:
        """`np.transpose` of this tensor: t.transpose(1, 0) or t.transpose((1, 0))."""
        order = axes[0] if len(axes) == 1 else axes or None
        return self._dispatch(np.transpose, (self, order), {})

    def flatten(self) -> Any:
        """All elements along one axis."""
        return self._dispatch(np.ravel, (self,), {})

    all = _method(np.all)
    any = _method(np.any)
    argmax = _method(np.argmax)
    argmin = _method(np.argmin)
    argsort = _method(np.argsort)
    astype = _method(np.astype)
    clip = _method(np.clip)
    conj = _method(np.conjugate)
    conjugate = _method(np.conjugate)
    copy = _method(np.copy)
    cumprod = _method(np.cumprod)
    cumsum = _method(np.cumsum)
    diagonal = _method(np.diagonal)
    dot = _method(np.dot)
    max = _method(np.max)
    mean = _method(np.mean)
    min = _method(np.min)
    nonzero = _method(np.nonzero)
    prod = _method(np.prod)
    ravel = _method(np.ravel)
    repeat = _method(np.repeat)
    round = _method(np.round)
    searchsorted = _method(np.searchsorted)
    squeeze = _method(np.squeeze)
    std = _method(np.std)
    sum = _method(np.sum)
    swapaxes = _method(np.swapaxes)
    take = _method(np.take)
    trace = _method(np.trace)
    var = _method(np.var)

    # The ways out of the graph.
    def item(self, *index: int) -> Any:
        """The single element, or the one at an index, as a Python number."""
        return self._array.item(*index)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self._leave("t.tolist()").tolist()

    def _leave(self, way: str) -> np.ndarray:
        """The array, unless this would cut the graph in silence."""
        if self._node is not None:
            raise errors.leaves_the_graph(way)
        array: np.ndarray = self.numpy()
        return array

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._leave("np.asarray(t)"), dtype=dtype, copy=copy)

    def __float__(self) -> float:
        return float(self._leave("float(t)"))

    def __complex__(self) -> complex:
        return complex(self._leave("complex(t)"))

    def __int__(self) -> int:
        return int(self._leave("int(t)"))

    def __index__(self) -> int:
        return operator.index(self._leave("an index")[()])

    def __bool__(self) -> bool:
        return bool(self._array)

    def __reduce__(self) -> Any:
        array = self._array if self.is_leaf else self._leave("copying")
        return type(self), (array, self._node is not None)

    def __format__(self, spec: str) -> str:
        return format(self._array.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        kind = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        requires = ", requires_grad=True" if self._node is not None else ""
        numbers = np.array2string(self._array, separator=", ", prefix="Tensor(")
        return f"Tensor({numbers}{kind}{requires})"

    def __getattr__(self, name: str) -> Any:
        raise errors.no_attribute(name, hasattr(np.ndarray, name) and name[0] != "_")


def refuse_in_place(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Raise TypeError for `out=`, and for the `where=` of a ufunc, which needs it."""
    ufunc = function
    if getattr(function, "__objclass__", None) is np.ufunc:
        ufunc = args[0]
        function = getattr(ufunc, function.__name__)
    if kwargs.get("out") is not None:
        raise errors.in_place(function, "out", "assign the result instead")
    elementwise = isinstance(ufunc, np.ufunc) and function in (ufunc, ufunc.outer)
    if elementwise and kwargs.get("where", True) is not True:
        raise TypeError(
            f"{errors.name_of(function)}(where=...) leaves elements undefined without out=...; use "
            f"np.where(mask, {errors.name_of(function)}(...), other)"
        )
