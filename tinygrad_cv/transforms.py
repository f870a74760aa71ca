"""Derivatives of plain functions, written in plain NumPy: grad, vjp, jvp, jacobian, hessian, hvp,
checkpoint.

They take functions of ndarrays or Tensors, and of nested dicts, lists and tuples of these
(pytrees), and return what they were given: ndarrays for ndarrays; for Tensors, Tensors that stay in
the graph. So they nest to any order.

The idea is `pullback` and `pushed`, with tensors in and out. `Run` calls a function on new
variables and hands results out in the kind that was given; the transforms below it say what is
asked.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .engine import errors
from .engine.modes import is_recording, setting, switched
from .engine.operands import DIFFERENTIABLE, as_numbers, as_operand, conjugate, fit, is_complex
from .engine.ownership import constant
from .engine.pytrees import leaves, leaves_like, map_leaves, rebuild
from .tensor import (
    Node,
    Rule,
    Tensor,
    backpropagate,
    place_of,
    pushforward,
    unwrap,
    wrap,
)
from .typing import Array, Function, PyTree

Argnums: TypeAlias = int | Sequence[int] | None  # positions of arguments; None: all

# -------------------------------------------------------------------------------------- the idea


def pullback(
    values: Sequence[Tensor],
    cotangents: Sequence[Array],
    variables: Sequence[Tensor],
    graph: bool = False,
    retain: bool = True,
) -> list[Any]:
    """The gradients of <values, cotangents> with respect to the variables: J' u.

    Arrays; with `graph` tensors, which depend on the variables and the cotangents.
    """
    roots = []
    for y, u in zip(values, cotangents, strict=True):
        if y._node is not None:
            roots.append((y._node, conjugate(u)))
    places = [x._node for x in variables]
    gradients = backpropagate(roots, places, graph, retain)
    found = []
    for x in variables:
        gradient = gradients.get(x._node)
        found.append(zeros(x, graph) if gradient is None else conjugate(gradient))
    return found


def pushed(
    values: Sequence[Tensor],
    tangents: Sequence[Array],
    variables: Sequence[Tensor],
    graph: bool = False,
) -> list[Any]:
    """The derivatives of the values along the tangents of the variables: J v.

    Arrays; with `graph` tensors, which depend on the variables and the tangents.
    """
    seeds = {x._node: v for x, v in zip(variables, tangents, strict=True)}
    places = [y._node for y in values if y._node is not None]
    derivatives = pushforward(seeds, places, graph)
    found = []
    for y in values:
        derivative = derivatives.get(y._node)
        found.append(zeros(y, graph) if derivative is None else derivative)
    return found


def zeros(like: Tensor, graph: bool) -> Any:
    """The derivative of what does not depend on the variables."""
    nothing = np.zeros(like.shape, floating(like.dtype))
    return wrap(nothing) if graph else nothing


def identity(x: Array) -> Array:
    """x itself, as a variable of its own in the graph."""
    return x


IDENTITY = Rule(identity, {"x": lambda g: g}, linear="x")


def variable(value: Any) -> Tensor:
    """A new variable to differentiate with respect to; it stays connected to the tensor it came
    from."""
    place = place_of(value)
    array = np.asarray(as_operand(unwrap(value), variable, "the argument"))
    if array.dtype.kind not in DIFFERENTIABLE:
        raise TypeError(
            f"cannot differentiate with respect to {array.dtype} values; "
            "give floating-point arguments"
        )
    parents = {} if place is None else {"x": place}
    array = constant(array) if type(value) is not Tensor else array
    operation = IDENTITY if parents else None
    tensor: Tensor = wrap(array, Node(operation, parents, {}, array.shape, array.dtype))
    return tensor


# ------------------------------------------------------------------- what comes in, what goes out


class Run:
    """A call of a function, recorded with respect to the arguments at the positions `argnums`.

    Results are tensors if tensors were given, or if an outer transform needs them; else arrays.
    """

    def __init__(
        self,
        name: str,  # of the transform, for its errors
        f: Function,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        argnums: Any = None,  # None: all arguments
        has_aux: bool = False,
    ) -> None:
        self.name, self.has_aux = name, has_aux
        self.positions, self.one = positions_of(argnums, len(args))
        self.tensors = has_tensors([args, kwargs])
        self.nested = bool(setting("transform", False))
        self.graph = is_recording() and (self.tensors or self.nested)
        self.trees = tuple(map_leaves(variable, args[p]) for p in self.positions)
        self.variables = leaves(self.trees)
        full = list(args)
        for position, tree in zip(self.positions, self.trees, strict=True):
            full[position] = map_leaves(lambda x: x, tree)  # which the function may write to
        with switched("recording", True), switched("transform", True):
            result = f(*full, **kwargs)
        self.value: Any = result
        self.aux: Any = None
        if has_aux:
            self.value, self.aux = split_aux(result)

    def number(self) -> Tensor:
        """The value, which is to be one floating-point number."""
        if isinstance(self.value, (dict, list, tuple)):
            raise TypeError(
                f"{self.name} needs one number as the function's value, not a "
                f"{type(self.value).__name__}; with has_aux=True a pair (number, anything) does"
            )
        (value,) = self.numbers()
        if value.size != 1:
            raise ValueError(
                f"{self.name} needs one number as the value, not shape {value.shape}; "
                "see tg.jacobian or tg.vjp"
            )
        if is_complex(value):
            raise errors.not_real(self.name, value.dtype)
        if value.dtype.kind != "f":
            raise self.not_floating(value.dtype)
        return value

    def not_floating(self, dtype: np.dtype[Any]) -> TypeError:
        """The error of a value that is whole or true by nature."""
        return TypeError(
            f"{self.name} needs a floating-point number as the value, not {dtype}: "
            "truth values and integers have no derivative"
        )

    def differentiable(self) -> list[Tensor]:
        """The leaves of the value. Raises TypeError if none of them has a derivative."""
        values = self.numbers()
        if values and all(value.dtype.kind not in DIFFERENTIABLE for value in values):
            raise self.not_floating(values[0].dtype)
        return values

    def numbers(self) -> list[Tensor]:
        """The leaves of the value, as tensors. Raises TypeError for what is no number."""
        if self.value is None:
            raise TypeError(f"{self.name}: the function returned None; does it lack a return?")
        return [self.as_tensor(leaf) for leaf in leaves(self.value)]

    def as_tensor(self, leaf: Any) -> Tensor:
        """A number or an array that does not depend on the variables, as a tensor."""
        if type(leaf) is Tensor:
            return leaf
        if not isinstance(leaf, (np.ndarray, np.generic, bool, int, float, complex)):
            raise TypeError(
                f"{self.name}: the function returned {leaf!r}, which is no number or array"
            )
        tensor: Tensor = wrap(np.array(as_numbers(leaf, self.name, "value")))
        return tensor

    def fitting(self, tree: PyTree, what: str) -> list[Any]:
        """Tangents of the variables, given in the nesting of the arguments."""
        return fitting(tree, self.trees[0] if self.one else self.trees, self.variables, what)

    def give(self, result: Any, tensors: bool = False) -> Any:
        """A result as a tensor, or as an array that the caller may write to: as it was given."""
        if type(result) is np.ndarray and not (self.tensors or tensors):
            return result[()]  # a gradient, in memory of its own
        if type(result) is not Tensor:
            result = wrap(np.array(result))
        if not (self.graph or tensors):
            result = result.detach()
        if self.tensors or tensors:
            return result
        if self.nested and result.requires_grad:
            return result
        return np.array(unwrap(result))[()]

    def give_value(self) -> PyTree:
        """The function's value, in its nesting."""
        values = [self.give(y) for y in self.numbers()]
        return rebuild(self.value, values)

    def give_gradients(self, gradients: Sequence[Any], tensors: bool = False) -> Any:
        """A gradient for each argument in its nesting; one alone where `argnums` was one number."""
        given = [self.give(g, tensors) for g in gradients]
        trees = rebuild(self.trees, given)
        return trees[0] if self.one else trees

    def with_aux(self, *results: Any) -> Any:
        """The results, and the aux behind them if there is one."""
        if self.has_aux:
            results = (*results, self.give_aux())
        return results[0] if len(results) == 1 else results

    def give_aux(self) -> PyTree:
        """What came beside the value, its tensors in the kind that was given."""
        parts = []
        for part in leaves(self.aux):
            parts.append(self.give(part) if type(part) is Tensor else part)
        return rebuild(self.aux, parts)


def as_argnums(argnums: Any) -> int | tuple[int, ...] | None:
    """One position, or several, as plain integers; an iterator is read once."""
    if argnums is None:
        return None
    if hasattr(argnums, "__index__") and np.ndim(argnums) == 0:
        return operator.index(argnums)
    return tuple(operator.index(n) for n in argnums)


def positions_of(argnums: Any, count: int) -> tuple[list[int], bool]:
    """The positions among `count` arguments, and whether it was one number; None stands for all."""
    chosen = as_argnums(argnums)
    one = isinstance(chosen, int)
    numbers: Any = [chosen] if one else chosen
    if chosen is None:
        numbers = range(count)
    for n in numbers:
        if not -count <= n < count:
            raise ValueError(
                f"argnums={argnums}: there is no argument {n} among {count} by position"
            )
    positions = [n % count for n in numbers]
    if len({*positions}) < len(positions):
        raise ValueError(f"argnums={argnums} names an argument twice")
    return positions, one


def split_aux(result: Any) -> tuple[Any, Any]:
    """The value, and what comes beside it."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"with has_aux=True the function returns a pair (value, aux), not {result!r}"
        )
    return result


# --------------------------------------------------------------------------------- the transforms


def grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns the gradient of f with respect to the argument(s) at `argnums`.

    f returns one number, or with `has_aux` a pair (number, anything); then so does the result:
    (gradient, anything). The gradient has the nesting and shapes of the argument.
    """
    chosen = as_argnums(argnums)

    def gradient_of_f(*args: Any, **kwargs: Any) -> Any:
        run = Run("grad", f, args, kwargs, chosen, has_aux)
        return run.with_aux(gradient(run))

    return gradient_of_f


def value_and_grad(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns f's value and its gradient, as `grad` has it.

    With `has_aux` it returns ((value, aux), gradient).
    """
    chosen = as_argnums(argnums)

    def value_and_gradient_of_f(*args: Any, **kwargs: Any) -> Any:
        run = Run("grad", f, args, kwargs, chosen, has_aux)
        found = gradient(run)
        return run.with_aux(run.give(run.number())), found

    return value_and_gradient_of_f


def gradient(run: Run) -> Any:
    """The gradient of a run's value, one number."""
    value = run.number()
    one = np.ones(value.shape, value.dtype)
    gradients = pullback([value], [one], run.variables, run.graph, retain=False)
    return run.give_gradients(gradients)


def vjp(
    f: Function,
    /,
    *args: Any,
    argnums: Argnums = None,
    has_aux: bool = False,
    **kwargs: Any,
) -> Any:
    """The value of f(*args, **kwargs), and the function from a cotangent u to the gradient J' u.

    u has the nesting and shapes of the value; J' u is a tuple of gradients, one for each argument
    (or each that `argnums` names; one alone if it is one number). With `has_aux` the aux comes
    third.
    """
    run = Run("vjp", f, args, kwargs, argnums, has_aux)
    values = run.differentiable()

    def pull(cotangent: PyTree) -> Any:
        tensors = has_tensors(cotangent)
        cotangents = fitting(cotangent, run.value, values, "cotangent")
        gradients = pullback(values, cotangents, run.variables, run.graph or tensors)
        return run.give_gradients(gradients, tensors)

    return run.with_aux(run.give_value(), pull)


def has_tensors(tree: PyTree) -> bool:
    """Whether there is a tensor among the leaves."""
    return any(type(leaf) is Tensor for leaf in leaves(tree))


def fitting(tree: PyTree, like: PyTree, owners: Sequence[Tensor], what: str) -> list[Any]:
    """Tangents or cotangents in the order and the dtypes of what they belong to: `owners`, the
    leaves of `like`. Raises ValueError for other nestings and shapes."""
    fitted = []
    for vector, owner in zip(leaves_like(tree, like, what), owners, strict=True):
        if type(vector) is not Tensor:
            vector = as_numbers(vector, fitting, what)
        vector = fit(vector, floating(owner.dtype), None, what)
        if vector.shape != owner.shape:
            raise ValueError(
                f"{what}s must have the shapes of what they belong to: a {what} of shape "
                f"{vector.shape} for a value of shape {owner.shape}"
            )
        fitted.append(vector)
    return fitted


def jvp(
    f: Function,
    args: Sequence[Any],
    tangents: Any,
    /,
    argnums: Argnums = None,
    has_aux: bool = False,
    **kwargs: Any,
) -> Any:
    """The value of f(*args, **kwargs), and its derivative along the tangents, J v.

    There is a tangent for each argument, or each that `argnums` names (one alone if it is one
    number), in its nesting and shapes. With `has_aux` the aux comes third.
    """
    run = Run("jvp", f, args, kwargs, argnums, has_aux)
    vectors = run.fitting(tangents, "tangent")
    values = run.differentiable()
    derivatives = pushed(values, vectors, run.variables, run.graph)
    given = [run.give(d) for d in in_own_memory(derivatives, vectors, values)]
    return run.with_aux(run.give_value(), rebuild(run.value, given))


def in_own_memory(
    derivatives: Sequence[Any], tangents: Sequence[Any], values: Sequence[Tensor]
) -> list[Any]:
    """Arrays that nobody else has: copies, but of what a kernel has just made for one value."""
    found = []
    for d, y in zip(derivatives, values, strict=True):
        if type(d) is np.ndarray:
            operation = None if y._node is None else y._node.node.operation
            new = operation is not None and operation.gives_new_arrays
            whole = d if d.base is None else d.base
            new = new and type(whole) is np.ndarray and whole.base is None and whole.size == d.size
            others = (v for v in (*tangents, *derivatives) if v is not d)
            alone = sum(v is d for v in derivatives) == 1
            if not (new and alone) or any(np.may_share_memory(d, unwrap(v)) for v in others):
                d = np.array(d)
        found.append(d)
    return found


def floating(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the derivative of a value."""
    return dtype if dtype.kind in DIFFERENTIABLE else np.dtype(float)


def jacobian(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns the derivatives of f's elements by those of the argument.

    For an array of an array: the shape of the value, then the shape of the argument. In the place
    of each array of the value's nesting stands the nesting of the argument. With `has_aux`:
    (jacobian, aux). It takes a pullback for each element of the value or a pushforward for each of
    the argument, whichever are fewer.

    Of a real element by a complex one it has the gradient, as `grad` has it; of a complex one by a
    complex one the complex derivative. Raises ValueError if f has none, since it is not
    holomorphic.
    """
    chosen = as_argnums(argnums)

    def jacobian_of_f(*args: Any, **kwargs: Any) -> Any:
        run = Run("jacobian", f, args, kwargs, chosen, has_aux)
        values = run.differentiable()
        rows = sum(y.size for y in values)
        columns = sum(x.size * (1 + is_complex(x)) for x in run.variables)
        forward = columns <= rows or any(map(is_complex, values))
        derivatives = (by_columns if forward else by_rows)(values, run)
        parts = [run.give_gradients(of_one_value) for of_one_value in derivatives]
        return run.with_aux(rebuild(run.value, parts))

    return jacobian_of_f


def by_rows(values: Sequence[Tensor], run: Run) -> list[list[Any]]:
    """Of each value the derivatives by each variable (value shape, variable shape).

    A pullback gives a row.
    """
    jacobians = []
    for y in values:
        rows = []
        for direction in basis(y):
            rows.append(pullback([y], [direction], run.variables, run.graph))
        parts = []
        for i, x in enumerate(run.variables):
            flat = np.stack([row[i] for row in rows]) if rows else np.zeros((0, *x.shape), x.dtype)
            parts.append(np.reshape(flat, (*y.shape, *x.shape)))  # (y.size, x) -> (y, x)
        jacobians.append(parts)
    return jacobians


def by_columns(values: Sequence[Tensor], run: Run) -> list[list[Any]]:
    """The same; a pushforward gives a column of the derivatives of all values."""
    jacobians: list[list[Any]] = [[] for _ in values]
    for x in run.variables:
        columns = [column(values, direction, x, run.graph) for direction in basis(x)]
        for i, y in enumerate(values):
            parts = [derivatives[i] for derivatives in columns]
            flat = np.stack(parts, -1) if parts else np.zeros((*y.shape, 0), floating(y.dtype))
            jacobians[i].append(np.reshape(flat, (*y.shape, *x.shape)))  # (y, x.size) -> (y, x)
    return jacobians


def column(values: Sequence[Tensor], e: np.ndarray, x: Tensor, graph: bool) -> list[Any]:
    """The derivatives of the values by the element of x that changes along e.

    A complex element moves along its real and along its imaginary part.
    """
    along_real = pushed(values, [e], [x], graph)
    if not is_complex(x):
        return along_real
    along_imaginary = pushed(values, [1j * e], [x], graph)
    derivatives = []
    for y, first, second in zip(values, along_real, along_imaginary, strict=True):
        derivatives.append(first if is_complex(y) else first + 1j * second)
        if is_complex(y):
            refuse_not_holomorphic(unwrap(first), unwrap(second))
    return derivatives


def refuse_not_holomorphic(along_real: np.ndarray, along_imaginary: np.ndarray) -> None:
    """Raise ValueError unless the derivative along i is i times that along 1 (Cauchy, Riemann)."""
    scale = np.max(abs(along_real) + abs(along_imaginary), initial=0)
    allowed = 1e4 * np.finfo(along_real.dtype).eps * scale
    if np.any(abs(along_imaginary - 1j * along_real) > allowed):
        raise ValueError(
            "jacobian: the function is not holomorphic, so it has no complex derivative; take "
            "tg.jvp along 1 and along 1j, or write it as a function of real and imaginary parts"
        )


def basis(x: Tensor) -> np.ndarray:
    """The directions in which one element changes: (size, *shape)."""
    return np.eye(x.size, dtype=floating(x.dtype)).reshape(x.size, *x.shape)


def hessian(f: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """A function that returns the second derivatives of a number: the shape of the argument twice.

    In the place of each array of the argument's nesting stands that nesting. With `has_aux`:
    (hessian, aux).
    """
    chosen = as_argnums(argnums)
    return jacobian(grad(f, chosen, has_aux), chosen, has_aux)


def hvp(
    f: Function,
    x: Any,
    v: PyTree,
    /,
    argnums: Argnums = None,
    has_aux: bool = False,
    **kwargs: Any,
) -> Any:
    """The Hessian of f at x times v, without the Hessian: the derivative of the gradient along v.

    That is forward mode over reverse mode. x is the argument of f. With `argnums` x is the tuple of
    all of f's arguments, and v has the nesting of those that it names. With `has_aux`:
    (product, aux).
    """
    args, chosen = ((x,), 0) if argnums is None else (tuple(x), as_argnums(argnums))
    run = Run("hvp", f, args, kwargs, chosen, has_aux)
    value = run.number()
    one = np.ones(value.shape, value.dtype)
    gradients = pullback([value], [one], run.variables, graph=True)
    slopes = [run.as_tensor(g) for g in gradients]  # a constant one may be an array
    directions = run.fitting(v, "direction")
    products = pushed(slopes, directions, run.variables, run.graph)
    given = [np.array(p) if type(p) is np.ndarray else p for p in products]
    return run.with_aux(run.give_gradients(given))
