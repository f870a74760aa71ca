"""Derivatives of plain functions, written in plain NumPy: grad, vjp, jvp, jacobian, hessian, hvp, checkpoint.

They take functions of ndarrays or Tensors, and of dicts, lists and tuples of these (pytrees), and return what they
were given: ndarrays for ndarrays; for Tensors, Tensors that stay in the graph. So they nest to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .mode import MODE, switched
from .tensor import Node, Tensor, attach, derivative, unwrap, walk, wrap

# ------------------------------------------------------------------------------------------------------------- pytrees


def leaves(tree: Any) -> list[Any]:
    """The leaves of nested dicts, lists and tuples, in order."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in leaves(value)]
    if isinstance(tree, (list, tuple)):
        return [leaf for value in tree for leaf in leaves(value)]
    return [] if tree is None else [tree]


def rebuild(tree: Any, new: Iterator[Any]) -> Any:
    """The same nesting with other leaves."""
    if isinstance(tree, dict):
        return {name: rebuild(value, new) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        values = [rebuild(value, new) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return None if tree is None else next(new)


def map_leaves(function: Callable[..., Any], *trees: Any) -> Any:
    """`function` applied leaf by leaf to trees of one nesting."""
    return rebuild(
        trees[0], iter([function(*group) for group in zip(*map(leaves, trees), strict=True)])
    )


# ----------------------------------------------------------------------------------------------------------- variables


def identity(x: Any) -> Any:
    """x itself, as a variable of its own in the graph."""
    return unwrap(x)


IDENTITY = derivative(identity, x=lambda g: g)


def _variable(value: Any) -> Any:
    """A new variable to differentiate with respect to; it stays connected to the tensor that it came from."""
    array = np.asarray(unwrap(value))
    if array.dtype.kind != "f":
        raise TypeError(
            f"cannot differentiate with respect to {array.dtype} values; give floating-point arguments"
        )
    if type(value) is Tensor and value.requires_grad:
        return wrap(
            array, Node(IDENTITY.plan(("x",)), (value._node,), (), array.shape, array.dtype)
        )
    return Tensor(array, requires_grad=True)


def _variable_if_tracked(value: Any) -> Any:
    return _variable(value) if type(value) is Tensor and value.requires_grad else value


def _as_given(value: Any, inside: bool) -> Any:
    """A result as a Tensor where Tensors were given (or it hangs in an outer graph), else as an ndarray or a number."""
    if type(value) is not Tensor:
        return wrap(value) if inside else value
    return value if inside or (MODE.depth and value.requires_grad) else value._data[()]


# ---------------------------------------------------------------------------------------------------------- transforms


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of f(*args), and the pullback: cotangent of the value -> tuple of gradients, one for each argument.

    The cotangent has the nesting and shapes of the value, the gradients those of the arguments.
    """
    inside = any(type(leaf) is Tensor for leaf in leaves(args))
    graph = MODE.recording and (inside or MODE.depth > 0)
    variables = map_leaves(_variable, args)
    with switched(recording=True, depth=MODE.depth + 1):
        result = f(*variables)
    targets = [v._node for v in leaves(variables)]

    def pullback(cotangent: Any) -> Any:
        roots = []
        for out, c in zip(leaves(result), leaves(cotangent), strict=True):
            shape, given = np.shape(unwrap(out)), np.shape(unwrap(c))
            if shape != given:
                raise ValueError(f"a cotangent of shape {given} for a value of shape {shape}")
            if type(out) is Tensor and out._node is not None:
                linked = graph or type(c) is Tensor
                roots.append((out._node, c if linked else np.asarray(c, out.dtype)))
        linked = graph or any(type(c) is Tensor for c in leaves(cotangent))
        found = walk(roots, targets, graph=linked, retain=True)
        gradients = [found.get(node, np.zeros(node.shape, node.dtype)) for node in targets]
        gradients = _unshared(gradients, leaves(cotangent))
        return rebuild(variables, iter([_as_given(g, inside or linked) for g in gradients]))

    return map_leaves(
        lambda out: _as_given(_outside(out, targets, graph), inside), result
    ), pullback


def _unshared(gradients: list[Any], others: list[Any]) -> list[Any]:
    """The gradients, copied where they are another array's memory, so that each may be written to."""
    seen = {id(other) for other in others}
    result = []
    for g in gradients:
        shared = type(g) is np.ndarray and (g.base is not None or id(g) in seen)
        seen.add(id(g))
        result.append(g.copy() if shared else g)
    return result


def _outside(out: Any, targets: list[Node], graph: bool) -> Any:
    """A value on its way out of a transform: kept in the graph only if there is an outer one."""
    return out if graph or type(out) is not Tensor else wrap(out._data)


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns f's value and its gradient with respect to argument(s) `argnums`.

    f returns one number, or with `has_aux` a pair (number, anything). The gradient has the nesting of the argument.
    """
    positions = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        aux: list[Any] = []

        def of_chosen(*chosen: Any) -> Any:
            full = list(args)
            for position, value in zip(positions, chosen, strict=True):
                full[position] = value
            result = f(*full, **kwargs)
            if has_aux:
                result, extra = result
                aux.append(extra)
            if np.size(unwrap(result)) != 1:
                shape = np.shape(unwrap(result))
                raise ValueError(
                    f"grad needs one number as the value, not shape {shape}; see tg.jacobian or tg.vjp"
                )
            return result

        value, pullback = vjp(of_chosen, *[args[position] for position in positions])
        gradients = pullback(
            np.ones(
                np.shape(unwrap(value)), unwrap(value).dtype if hasattr(value, "dtype") else None
            )
        )
        found = gradients[0] if isinstance(argnums, int) else gradients
        if not has_aux:
            return value, found
        given = any(type(leaf) is Tensor for leaf in leaves(args))
        return (
            value,
            map_leaves(lambda a: _as_given(a, given) if type(a) is Tensor else a, aux[0]),
        ), found

    return differentiated


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of f with respect to argument(s) `argnums` (with `has_aux`: and the aux)."""

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradient = value_and_grad(f, argnums, has_aux)(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return differentiated


def jvp(f: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of f(*args) and its derivative along the tangents, J v.

    The pullback u -> J'u is linear in u, and its own pullback is v -> J v: reverse mode twice.
    """
    if [np.shape(unwrap(a)) for a in leaves(list(args))] != [
        np.shape(unwrap(t)) for t in leaves(list(tangents))
    ]:
        raise ValueError("tangents must have the nesting and shapes of the arguments")
    value, pullback = vjp(f, *args)
    _, push = vjp(
        pullback, map_leaves(lambda v: np.ones(np.shape(unwrap(v)), unwrap(v).dtype), value)
    )
    return value, push(tuple(tangents))[0]


def jacobian(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns df/dx for an array argument: shape of the value + shape of the argument."""

    def differentiated(*args: Any) -> Any:
        value, pullback = vjp(lambda x: f(*args[:argnums], x, *args[argnums + 1 :]), args[argnums])
        array = unwrap(value)
        basis = np.eye(array.size, dtype=array.dtype).reshape(array.size, *array.shape)
        rows = [pullback(direction)[0] for direction in basis]
        shape = (*array.shape, *np.shape(unwrap(args[argnums])))
        return np.reshape(np.stack(rows), shape) if rows else np.zeros(shape, array.dtype)

    return differentiated


def hessian(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of a number: shape of the argument twice."""
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The Hessian of f at x times v, without the Hessian: the gradient of <grad f(x), v>."""

    def along(x: Any) -> Any:
        parts = [np.sum(g * d) for g, d in zip(leaves(grad(f)(x)), leaves(v), strict=True)]
        return sum(parts[1:], start=parts[0])

    return grad(along)(x)


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, with its intermediate results not kept for backward but computed again (Chen et al. 2016).

    Tensors that f takes from outside (a module's parameters) get their gradients too. f must give the same result
    again: pass random masks in.
    """

    def rematerialised(*args: Any) -> Any:
        if not MODE.recording:
            return f(*args)
        return _Rematerialised(f)(args)

    return rematerialised


class _Rematerialised:
    """The operation of a checkpointed call."""

    saves = ("args",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, args: tuple[Any, ...]) -> Any:
        start = Tensor(0.0, requires_grad=True)._node
        assert start is not None
        variables = map_leaves(_variable_if_tracked, args)
        result = self.function(*variables)
        if type(result) is not Tensor or result._node is None:
            return result
        own = {
            v._node: a._node
            for v, a in zip(leaves(variables), leaves(args), strict=True)
            if v is not a
        }
        captured = [node for node in _frontier(result._node, start.order) if node not in own]
        return attach(self, result._data, [[*own.values()], captured], [args])

    def pull(self, node: Node, gradient: Any, wanted: Any, graph: bool) -> list[tuple[Node, Any]]:
        (inputs, captured), (args,) = node.parents, node.values
        with switched(recording=True):
            variables = map_leaves(_variable_if_tracked, args)
            result = self.function(*variables)
        new = [v._node for v, a in zip(leaves(variables), leaves(args), strict=True) if v is not a]
        found = walk([(result._node, gradient)], [*new, *captured], graph=graph)
        return [
            (parent, found.get(node))
            for node, parent in zip([*new, *captured], [*inputs, *captured], strict=True)
        ]


def _frontier(root: Node, start: int) -> list[Node]:
    """The nodes older than `start` that the newer ones behind a root use directly."""
    seen, stack = {root}, [root]
    frontier: list[Node] = []
    while stack:
        for parent in stack.pop().inputs():
            if parent not in seen:
                seen.add(parent)
                (frontier if parent.order < start else stack).append(parent)
    return frontier
