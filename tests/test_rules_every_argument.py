"""A tensor in the place of any number or array that a function takes: the value and the gradient are
right, or it is refused by name. Never silence, that is, no gradient where differences are not 0.

For each function of the table calls are searched that it accepts, among numbers, vectors, matrices,
lists and options; then each argument in turn becomes a tensor, options too. The gradient is compared
with differences along one direction, where these agree from both sides.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv.engine.errors import name_of
from tinygrad_cv.engine.pytrees import leaves
from tinygrad_cv.engine.signatures import Signature
from tinygrad_cv.rules import enter_scipy
from tinygrad_cv.rules.table import DEFINITIONS, UNSUPPORTED, WITHOUT_GRADIENT, Definition
from tinygrad_cv.tensor import TABLE, Rule, unwrap

enter_scipy()
NUMBER = np.array(0.65)
VECTOR = np.array([0.3, 1.7, 0.9])
MATRIX = np.array([[1.2, 0.3, 0.15], [0.45, 2.1, 0.6], [0.2, 0.35, 1.4]])
FLOATS = [NUMBER, VECTOR, MATRIX, VECTOR[:1], np.array(2.0)]
LISTS: list[Any] = [[VECTOR, VECTOR + 0.1], [MATRIX, MATRIX + 0.1]]
OTHERS: list[Any] = [1, 2, (2, 3), [0, 1], np.array([0, 2, 1]), [True, False, True], "constant"]
NOT_DRAWN = {"out", "like", "subok", "copy", "overwrite_input", "dtype", "casting", "order"}
NOT_DRAWN |= {"signature", "sig", "device"}
NOT_DRAWN |= {"where"}  # truth values
SKIPPED = {  # why no call is compared
    "np.linalg.cholesky": "along Hermitian changes only",
    "np.linalg.eigh": "along Hermitian changes only",
    "np.linalg.eigvalsh": "along Hermitian changes only",
    "np.empty_like": "whatever lies in memory",
    "np.shares_memory": "a question about the array itself",
    "np.may_share_memory": "a question about the array itself",
    "np.mintypecode": "its arguments are characters",
}
CALLS_EACH = 2  # of each argument
BASES = 30  # calls of each function
STEP = 1e-5


def _is_tested(function: Any) -> bool:
    name = name_of(function)
    known = name.startswith(("np.", "scipy.special."))
    return known and function not in UNSUPPORTED and name not in SKIPPED


FUNCTIONS = {name_of(f): f for f in TABLE if _is_tested(f)}


def signature_of(function: Any) -> Signature:
    row = TABLE[function]
    if function in DEFINITIONS:
        return DEFINITIONS[function].signature
    return row.signature if isinstance(row, Rule) else Signature(function)


def accepted_calls(function: Any, signature: Signature) -> Iterator[dict[str, Any]]:
    """What a call gives by name, as far as the function takes it."""
    required = [*signature.required, *([signature.variadic] if signature.variadic else [])]
    candidates = FLOATS + LISTS + OTHERS
    for values in itertools.islice(itertools.product(candidates, repeat=len(required)), 3000):
        given = dict(zip(required, values, strict=True))
        if signature.variadic:
            given[signature.variadic] = (given[signature.variadic],)
        if value_of(function, signature, given) is not None:
            yield given


def value_of(function: Any, signature: Signature, given: dict[str, Any]) -> np.ndarray | None:
    """All numbers of the value in one vector; None if the function takes no such call."""
    try:
        with np.errstate(all="ignore"):
            return flat(signature.call(function, given))
    except Exception:
        return None


def flat(value: Any) -> np.ndarray | None:
    parts = leaves(list(value) if isinstance(value, (tuple, list)) else [value])
    arrays = [np.ravel(np.asarray(unwrap(part))) for part in parts]
    numbers = [a for a in arrays if a.dtype.kind in "fciub"]
    return np.concatenate(numbers) + 0.0 if numbers else None


def slope(function: Any, signature: Signature, given: dict[str, Any], name: str) -> float | None:
    """How fast the weighted sum of the value changes with an argument; None where it has a kink,
    jumps, or is not finite."""
    values = []
    for step in (-2 * STEP, -STEP, 0, STEP, 2 * STEP):
        moved = {**given, name: given[name] + step * direction_of(given[name])}
        value = value_of(function, signature, moved)
        if value is None or not np.all(np.isfinite(value)):
            return None
        values.append(value)
    if len({value.shape for value in values}) > 1 or values[0].size == 0:
        return None
    sums = [np.sum(np.real(value * weights_of(value.size))) for value in values]
    slopes = np.diff(sums) / STEP
    if np.ptp(slopes) > 1e-3 * (1 + np.max(np.abs(slopes))):
        return None
    return float((sums[3] - sums[1]) / (2 * STEP))


def direction_of(x: np.ndarray) -> np.ndarray:
    return np.random.default_rng(2).uniform(0.5, 1.5, np.shape(x))


def weights_of(size: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 1.5, size)


def gradient_along(result: Any, tensor: tg.Tensor) -> float:
    """The same from the gradient, which is 0 if nothing was recorded."""
    weights = weights_of(len(flat(result)))  # type: ignore[arg-type]
    total: Any = None
    start = 0
    for part in leaves(list(result) if isinstance(result, (tuple, list)) else [result]):
        own = np.reshape(weights[start : start + np.size(part)], np.shape(part))
        start += np.size(part)
        if getattr(part, "requires_grad", False):
            share = np.sum(np.real(part * own))
            total = share if total is None else total + share
    if total is None:
        return 0.0
    with np.errstate(all="ignore"):
        total.backward()
    return float(np.sum(tensor.grad * direction_of(tensor.grad)))


def names_itself(error: Exception, function: Any) -> bool:
    """Whether an error says of which function or argument it is, or how to leave the graph."""
    text = "\n".join([str(error), *getattr(error, "__notes__", ())])
    return any(word in text for word in (name_of(function), "np.", "scipy.special.", ".detach()"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_argument_loses_its_gradient_in_silence(name: str) -> None:
    function = FUNCTIONS[name]
    signature = signature_of(function)
    names = [n for n in signature.defaults if n not in {*NOT_DRAWN, signature.variadic}]
    done: Counter[str] = Counter()
    for given in itertools.islice(accepted_calls(function, signature), BASES):
        for argument in names:
            own = given.get(argument)
            if argument not in given:
                candidates = FLOATS
            else:
                candidates = [own] if isinstance(own, np.ndarray) and own.dtype.kind == "f" else []
            for value in candidates:
                if done[argument] < CALLS_EACH:
                    call = {**given, argument: value}
                    done[argument] += compare(function, signature, call, argument)
        if all(done[argument] >= CALLS_EACH for argument in names):
            break


def compare(function: Any, signature: Signature, given: dict[str, Any], argument: str) -> bool:
    """Assert that one argument may be a tensor, or is refused; False if there is no such call."""
    expected = value_of(function, signature, given)
    differences = slope(function, signature, given, argument)
    if expected is None or differences is None:
        return False
    plain = name_of(function).startswith("np.")  # SciPy's functions are Python that runs on tensors
    for call in (tg.rule(function), *([function] if plain else [])):
        tensor = tg.Tensor(given[argument], requires_grad=True)
        try:
            with np.errstate(all="ignore"):
                result = signature.call(call, {**given, argument: tensor})
            found = gradient_along(result, tensor)
        except (TypeError, ValueError, NotImplementedError) as error:
            assert call is function or names_itself(error, function), (argument, error)
            continue
        except AttributeError:  # NumPy's own code runs on the tensor, and finds no array
            assert call is function
            continue
        np.testing.assert_allclose(flat(result), expected, rtol=1e-9, atol=1e-12, err_msg=argument)
        allowed = 1e-4 * (1 + abs(differences))
        assert abs(found - differences) <= allowed, (argument, found, differences, given)
    return True


def test_a_gradient_that_is_dropped_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def scaled(x: Any, factor: Any = 1.0) -> Any:
        return x * factor

    dropping = Definition(scaled, lambda x, factor: x * unwrap(factor), None, (), False)
    monkeypatch.setitem(TABLE, scaled, dropping)
    given = {"x": VECTOR, "factor": NUMBER}
    assert compare(scaled, dropping.signature, given, "x")
    with pytest.raises(AssertionError, match="factor"):
        compare(scaled, dropping.signature, given, "factor")


def test_what_has_no_gradient_by_nature_is_flat() -> None:
    """The functions without a gradient are among those compared above."""
    assert len(WITHOUT_GRADIENT & set(FUNCTIONS.values())) > 100
