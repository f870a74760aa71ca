"""Only speed. Remove this file, and everything works as before, slower.

On small arrays most of an operation's cost is calls within `record`. Here the two commonest kinds,
operators and kernels on tensors, are recorded in one piece; whatever is unusual is left to
`record`. Sums of gradients are taken in place where the memory is this walk's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from .. import tensor
from ..tensor import PLAIN, TABLE, Node, Place, Rule, Tensor, Walk, described, dispatch, wrap
from .errors import calling_line, explain
from .modes import SWITCHED, is_recording
from .operands import NUMBERS
from .ownership import constant, read

UNUSUAL = "eFDG"  # float16, computed in float32, and complex numbers, refused
SIMPLE = PLAIN | {FunctionType, MethodType}
_saves: dict[
    tuple[Any, bool, bool], tuple[str, ...]
] = {}  # of operators, by which sides require a gradient


def operate(ufunc: np.ufunc, x1: Any, x2: Any) -> Any:
    """An operator with two sides: `record` in one piece."""
    rule = TABLE.get(ufunc)
    if SWITCHED["observer"] or type(rule) is not Rule or rule.guarded or not is_recording():
        return dispatch(ufunc, (x1, x2), {})
    parents: dict[str, Any] = {}
    arrays = []
    for name, x in (("x1", x1), ("x2", x2)):
        if type(x) is Tensor:
            arrays.append(x._array if x._writer is None else read(x))
            if x._node is not None:
                parents[name] = x._node
        elif type(x) in PLAIN or (type(x) is np.ndarray and x.dtype.kind in NUMBERS):
            arrays.append(x)
        else:
            return dispatch(ufunc, (x1, x2), {})
    saves = _saves.get((rule, "x1" in parents, "x2" in parents))
    if saves is None:
        return _first(rule, parents, x1, x2)
    try:
        value = ufunc(*arrays)
    except Exception:
        return dispatch(ufunc, (x1, x2), {})  # which explains it
    if type(value) is not np.ndarray:
        value = np.asarray(value)
    if value.dtype.kind not in NUMBERS:
        return dispatch(ufunc, (x1, x2), {})
    saved = {}
    for name in saves:
        saved[name] = value if name == "y" else arrays[name == "x2"]
        if name != "y" and name not in parents and type(saved[name]) is np.ndarray:
            given = x2 if name == "x2" else x1
            saved[name] = saved[name] if type(given) is Tensor else constant(saved[name])
    node = Node(rule, parents, saved, value.shape, value.dtype, calling_line())
    return wrap(value, node)


def _first(rule: Rule, parents: dict[str, Any], x1: Any, x2: Any) -> Any:
    """The first time that an operator meets such sides; note what it saves, if `operate` has
    that."""
    result = dispatch(rule.function, (x1, x2), {})
    node: Any = result._node if type(result) is Tensor else None
    if node is not None and node.parents.keys() == parents.keys():
        saves = rule.saves(parents)
        if {"x1", "x2", "y"}.issuperset(saves):
            _saves[rule, "x1" in parents, "x2" in parents] = saves
    return result


plain_record = tensor.record


def record(operation: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """`tensor.record`; in one piece for a kernel on tensors, None and plain options."""
    if isinstance(operation, Rule) or SWITCHED["observer"]:
        return plain_record(operation, args, kwargs)
    kernel = operation
    if kernel.guarded:
        return plain_record(operation, args, kwargs)
    recording = not SWITCHED["recording"] or is_recording()
    values = kernel.bind(args, kwargs)
    parents: dict[str, Any] = {}
    needs = []
    tensors = False
    for name in kernel.arrays:
        value = values[name]
        need = False
        if type(value) is Tensor:
            tensors = True
            values[name] = value._array if value._writer is None else read(value)
            if recording and value._node is not None:
                parents[name] = value._node
                need = True
            if values[name].dtype.char in UNUSUAL:
                return plain_record(kernel, args, kwargs)
        elif type(value) not in PLAIN:
            return plain_record(kernel, args, kwargs)
        needs.append(need)
    for name in kernel.options:
        if type(values[name]) not in SIMPLE:
            return plain_record(kernel, args, kwargs)
    if not tensors:
        return plain_record(kernel, args, kwargs)
    values["needs"] = needs
    try:
        value, saved = kernel._forward(*[values[name] for name in kernel._forward_uses])
    except Exception as error:  # not once more: an option may be a function that all ranks call
        raise explain(error, kernel.function, values, parents) from None
    if isinstance(value, np.inexact):
        value = np.asarray(value)
    first = value if type(value) is np.ndarray else value[0]
    if first.dtype.kind == "c":
        return plain_record(kernel, args, kwargs)  # which refuses complex numbers
    if not parents:
        return wrap(value)
    values["y"], values["saved"] = value, saved
    if type(value) is np.ndarray:
        shape, dtype = value.shape, value.dtype
    else:
        shape, dtype = described(value, kernel.function)
    node = Node(kernel, parents, values, shape, dtype, calling_line())
    return wrap(value, node)


class FastWalk(Walk):
    """Gradients are added up in place where the memory is this walk's own."""

    def sum(self, place: Place, gradient: Any) -> Any:
        """The gradient of a place and one more."""
        present = self.gradients[place]
        if place in self.owned and type(present) is type(gradient) is np.ndarray:
            return np.add(present, gradient, out=present)
        return present + gradient


Tensor._operate = staticmethod(operate)  # type: ignore[method-assign]
tensor.record = record
tensor.Walk = FastWalk  # type: ignore[misc]
