"""What the engine says when something goes wrong: the operation, the shapes, the line, the likely
fix."""

from __future__ import annotations

import inspect
import linecache
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from types import CodeType, FrameType
from typing import Any

import numpy as np

from ..typing import Shape
from . import first_words

Line = tuple[CodeType, int]  # code and instruction: cheap to take, turned into words if needed
PACKAGE = __name__.partition(".")[0]
MIRRORS: list[Callable[[str], bool]] = []  # who knows whether tg.scipy has a function of a name
_INSIDE: dict[Any, bool] = {}  # whether a module of that name belongs to the package


def calling_line() -> Line:
    """The instruction outside this package that is being carried out."""
    frame = sys._getframe(2)  # the caller is of this package, and so is who calls that
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__")
        inside = _INSIDE.get(name)
        if inside is None:
            inside = _INSIDE[name] = str(name).partition(".")[0] == PACKAGE
        if not inside:
            break
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def describe_line(line: Line | None) -> str:
    """`train.py:42: loss = (a * b).sum()` for a line taken by `calling_line`."""
    if line is None:
        return "an unknown line"
    code, instruction = line
    positions = list(code.co_positions())
    index = instruction // 2
    number = positions[index][0] if 0 <= index < len(positions) else None
    number = number or code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    return f"{code.co_filename}:{number}" + (f": {text}" if text else f" in {code.co_name}")


def name_of(function: Any) -> str:
    """The name a user knows a function by: `np.exp`, `np.linalg.inv`, `scipy.special.erf`."""
    name = getattr(function, "__name__", None) or repr(function)
    if isinstance(function, np.ufunc):
        return f"np.{name}" if getattr(np, name, None) is function else f"scipy.special.{name}"
    if isinstance(owner := getattr(function, "__self__", None), np.ufunc):
        return f"{name_of(owner)}.{name}"
    if getattr(function, "__objclass__", None) is np.ufunc:
        return f"np.ufunc.{name}"
    module = getattr(function, "__module__", None) or ""
    if module.startswith("numpy"):
        return module.replace("numpy", "np", 1) + f".{name}"
    if module.startswith("scipy."):
        return ".".join([*module.split(".")[:2], *_distribution(function), name])
    return f"operator.{name}" if module == "_operator" else name


DISTRIBUTION = "_gen"  # ends the name of the class of norm and its kin


def _distribution(function: Any) -> list[str]:
    """Whose method a function is: ["norm"]; [] for a function of its own."""
    owner = type(getattr(function, "__self__", None)).__name__
    return [owner.removesuffix(DISTRIBUTION)] if owner.endswith(DISTRIBUTION) else []


# ---------------------------------------------------------------------- a forward call that fails


def explain(
    error: Exception, function: Any, arguments: Mapping[str, Any], parents: Mapping[str, Any]
) -> Exception:
    """The error of a failed call, with the operation, its operands, where they were made, a likely
    fix."""
    operands = [(name, a) for name, a in arguments.items() if isinstance(a, np.ndarray)]
    lines = [f"{name_of(function)}: {error}"]
    for i, (name, array) in enumerate(operands):
        line = getattr(parents.get(name), "line", None)
        made = f", made at {describe_line(line)}" if line else ""
        lines.append(f"  operand {i}: shape {array.shape} {array.dtype}{made}")
    hint = _hint(error, function, [array.shape for _, array in operands])
    if hint:
        lines.append(f"  hint: {hint}")
    message = "\n".join(lines)
    if type(error) in (ValueError, TypeError, IndexError):
        return type(error)(message)
    error.add_note(message)
    return error


def _hint(error: Exception, function: Any, shapes: list[Shape]) -> str:
    """What two shapes that do not fit have against each other; other errors are not about that."""
    if len(shapes) != 2:
        return ""
    if function in (np.matmul, np.dot):
        return _matmul_hint(*shapes)
    return _broadcast_hint(*shapes) if "broadcast" in str(error) else ""


def _matmul_hint(left: Shape, right: Shape) -> str:
    if not left or not right:
        return "matrix products need at least one axis on both sides; did you mean * ?"
    inner = right[-2] if len(right) > 1 else right[0]
    if left[-1] == inner:
        return ""
    hint = f"inner axes {left[-1]} and {inner} differ"
    if len(right) > 1 and left[-1] == right[-1]:
        return f"{hint}; did you mean b.mT?"
    if len(left) > 1 and left[-2] == inner:
        return f"{hint}; did you mean a.mT?"
    return hint


def _broadcast_hint(left: Shape, right: Shape) -> str:
    for axis, (a, b) in enumerate(zip(reversed(left), reversed(right), strict=False), start=1):
        if a != b and 1 not in (a, b):
            return (
                f"axis -{axis} has length {a} on one side and {b} on the other; "
                "equal lengths, or 1, broadcast"
            )
    return ""


def no_derivative(function: Any, argument: str) -> NotImplementedError:
    """A tensor that requires a gradient stands where no formula is."""
    return NotImplementedError(
        f"{name_of(function)} is not differentiated with respect to {argument!r}; "
        f"pass {argument}.detach()"
    )


def no_gradient(function: Any, argument: str) -> TypeError:
    """A formula gave None."""
    return TypeError(
        f"the formula of {name_of(function)} for {argument!r} gave no gradient; "
        "does it lack a return?"
    )


def unread_option(function: Any, name: str, value: Any) -> NotImplementedError:
    """An option was given of which the derivative knows nothing."""
    return NotImplementedError(
        f"{name_of(function)} of tensors has no option {name!r} (given: {value!r}): its derivative "
        "does not read it. Leave it out, or call the function on t.detach().numpy()"
    )


def their_option(function: Any, name: str) -> TypeError:
    """An option that has another name here, as dim=0."""
    hint = first_words.hint("option", name) or first_words.hint("argument", name)
    return TypeError(f"{name_of(function)} has no {name!r}{hint}")


def check_names(function: Any, given: Collection[str]) -> None:
    """Raise TypeError, with what to write, for a PyTorch user's option that a class or a kernel
    has not. Other names are left to Python."""
    for name in first_words.THEIR_NAMES.intersection(given):
        if name not in inspect.signature(function).parameters:
            raise their_option(function, name)


def unsupported(function: Any, reason: str) -> NotImplementedError:
    """A function that tensors refuse, with a reason of a few words."""
    message = f"{name_of(function)} does not work on tensors ({reason}); call it on "
    return NotImplementedError(_sentences(f"{message}t.detach().numpy()", library_hint()))


def in_place(function: Any, option: str, advice: str) -> TypeError:
    """An option that writes into an array was given."""
    message = f"{name_of(function)}({option}=...) writes in place; tensors do not: {advice}"
    return TypeError(_sentences(message, library_hint()))


def _sentences(first: str, second: str) -> str:
    """Two sentences, the second of which may be missing."""
    return f"{first}.{second}" if second else first


def without_rule(function: Any) -> NotImplementedError:
    """A function that is not in the calculus table met a tensor."""
    return NotImplementedError(
        f"{name_of(function)} has no rule for tensors. Give it one with tg.derivative(...), or, if "
        "no gradient is to flow through it, call it on t.detach().numpy()"
    )


def not_an_operand(function: Any, name: str, what: str, advice: str) -> TypeError:
    """An operand that is neither a tensor nor a plain array."""
    where = f"{name_of(function)}: " if callable(function) else ""
    return TypeError(f"{where}{name!r} is {what}, which tensors do not work with; {advice}")


def no_float(function: Any, dtype: np.dtype[Any]) -> TypeError:
    """A function of tensors that require a gradient gave integers or truth values."""
    return TypeError(
        f"{name_of(function)} gave {dtype}, which has no gradient; call it on t.detach()"
    )


def not_numbers(function: Any, dtype: np.dtype[Any]) -> TypeError:
    """An operation gave something else than numbers."""
    return TypeError(f"{name_of(function)} of tensors gave {dtype}; a tensor holds numbers")


def complex_gradient(node: Any) -> TypeError:
    """The gradient of a real number is complex, though no complex number came of it."""
    where = "the gradient that was given" if node is None else f"the formula of {node}"
    return TypeError(f"{where} is complex, but the value is real")


def real_only(function: Any, name: str, dtype: np.dtype[Any]) -> TypeError:
    """A complex argument of a function of real numbers; None where `explain` adds its name."""
    where = "" if function is None else f"{name_of(function)}: "
    return TypeError(
        f"{where}{name!r} is {dtype}, but the function is of real numbers; give its real part, its "
        "imaginary part or its absolute value"
    )


def not_real(where: str, dtype: np.dtype[Any]) -> TypeError:
    """A gradient was asked for of a complex number, which has no smaller and larger values."""
    return TypeError(
        f"{where}: the value is {dtype}, and only a real number has a gradient; take its real "
        "part, its imaginary part or its absolute value"
    )


# --------------------------------------------------------------------- a backward pass that fails


def freed(node: Any) -> RuntimeError:
    """The graph was walked already."""
    return RuntimeError(
        f"the graph behind {node} was walked already and freed. Call backward once, on the sum of "
        "the losses; or, if two walks are meant, give the first one retain_graph=True"
    )


def not_a_leaf(node: Any) -> RuntimeError:
    """`.grad` of a result was asked for."""
    return RuntimeError(
        f"this tensor is the result of {node}, so backward leaves no .grad on it. Call "
        "t.retain_grad() before backward, or use tg.grad"
    )


def not_a_number(shape: Shape) -> ValueError:
    """`backward()` of an array."""
    return ValueError(
        f"backward from a tensor of shape {shape} needs a gradient of that shape. Reduce it to one "
        "number first, t.sum().backward(), or pass one, t.backward(gradient)"
    )


def unfit_gradient(gradient: Shape, shape: Shape) -> ValueError:
    """A gradient was given that does not fit its tensor."""
    return ValueError(f"a gradient of shape {gradient} does not fit a tensor of shape {shape}")


def wrong_shape(node: Any, gradient: Shape, argument: Shape) -> ValueError:
    """A formula gave a gradient that does not fit its argument."""
    return ValueError(
        f"the rule of {node} gave a gradient of shape {gradient} to an argument of shape {argument}"
    )


# ----------------------------------------------------------------------------- NaN and infinities


def check_finite(function: Any, value: Any, inputs: Any, line: Line | None, what: str = "") -> None:
    """Raise FloatingPointError if a value has NaN, or infinities that were not among the inputs."""
    results = list(_floats(value))
    nan = sum(int(np.isnan(a).sum()) for a in results)
    infinite = sum(int(np.isinf(a).sum()) for a in results)
    if not (nan or infinite):
        return
    given = list(_floats(inputs))
    given_nan = any(np.isnan(a).any() for a in given)
    given_infinite = any(np.isinf(a).any() for a in given)
    if not nan and (given_nan or given_infinite):
        return
    made = f"was given NaN and passed on {nan}"
    if not given_nan:
        made = f"made {nan} NaN and {infinite} infinite elements"
    size = sum(a.size for a in results)
    raise FloatingPointError(
        f"{what}{name_of(function)} {made} (of {size}), at {describe_line(line)}"
    )


def _floats(values: Any) -> Iterator[np.ndarray]:
    """The real and complex arrays among tensors, arrays, numbers and lists of these."""
    if isinstance(values, (list, tuple)):
        for value in values:
            yield from _floats(value)
        return
    array = values.numpy() if hasattr(values, "numpy") else values
    if isinstance(array, (np.ndarray, np.number, float, complex)):
        array = np.asarray(array)
        if array.dtype.kind in "fc":
            yield array


# ------------------------------------------------------------------------------ leaving the graph


def leaves_the_graph(way: str) -> TypeError:
    """A tensor that requires a gradient was to become a plain array or number."""
    return TypeError(
        f"{way} would silently cut a tensor that requires a gradient out of the graph."
        f"{library_hint()} To leave it, t.detach(), t.numpy() or t.item(); to stay in it, NumPy "
        "functions of the tensor (np.stack in place of np.array)"
    )


def no_attribute(name: str, of_array: bool) -> AttributeError:
    """A tensor was asked for what it does not have, though an array may."""
    if not of_array or name in first_words.NAMED["Tensor"]:
        return AttributeError(f"Tensor has no {name!r}{first_words.hint('Tensor', name)}")
    return AttributeError(
        f"Tensor has no {name!r}: it works in place or outside the graph; use a NumPy function of "
        f"the tensor, or t.numpy().{name}.{library_hint()}"
    )


LIBRARIES = ("numpy", "scipy", "contextlib", PACKAGE)  # whose frames stand below a user's call


def library_hint() -> str:
    """What to do instead of the library's function that is being carried out; "" if none is."""
    hint = ""
    name = None  # of the outermost function of SciPy's
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in LIBRARIES:
            break
        if module.startswith("numpy.ma"):
            hint = " For a masked array, give its .filled(value), and choose with np.where."
        elif module.startswith("scipy.sparse"):
            hint = " For a sparse matrix, give its .toarray()."
        elif module.startswith("numpy") and (public := _numpys(frame.f_code)):
            hint = f" For {public}, which looks for tensors in other arguments, here use "
            hint += f"tg.rule({public})."
        elif module.startswith("scipy."):
            name = scipy_name(frame) or name
        frame = frame.f_back
    if name is None:
        return hint
    if any(is_mirrored(name) for is_mirrored in MIRRORS):
        mirror = name.replace("scipy.special", "special")  # its short name
        return f" For {name}, here use tg.{mirror}."
    return f" {name} has no mirror in tg.scipy."


def scipy_name(frame: FrameType) -> str | None:
    """The public name of the function of SciPy's that a frame carries out; None if it has none.

    The frame of a decorator has the function that it decorates among its free variables.
    """
    code, local = frame.f_code, frame.f_locals
    owner = local.get("self")
    distribution = getattr(owner, "dist", owner)  # of one whose parameters are given
    method = getattr(distribution, code.co_name, None)
    if callable(method) and type(distribution).__name__.endswith(DISTRIBUTION):
        return name_of(method)
    candidates = [(frame.f_globals["__name__"], code.co_name)]
    for variable in code.co_freevars:
        value = local.get(variable)
        candidates.append((getattr(value, "__module__", ""), getattr(value, "__name__", "")))
    for module, name in candidates:
        namespace = ".".join(str(module).split(".")[:2])
        if name in getattr(sys.modules.get(namespace), "__all__", ()):
            return f"{namespace}.{name}"
    return None


def _numpys(code: CodeType) -> str | None:
    """The public name of a function of NumPy's that runs this code."""
    for space in (np, np.linalg, np.fft):
        function = getattr(space, code.co_name, None)
        if getattr(getattr(function, "__wrapped__", function), "__code__", None) is code:
            return name_of(function)
    return None
