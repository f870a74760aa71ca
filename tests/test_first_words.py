"""The first words of somebody who comes from PyTorch, JAX or autograd: each error says what to write, and that works."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from tinygrad_cv import Tensor, kernels, nn, optim
from tinygrad_cv.engine import first_words
from tinygrad_cv.engine.first_words import OTHERS, WORDS, Word
from tinygrad_cv.kernels import Kernel
from tinygrad_cv.tensor import TABLE

MISSING = [word for words in WORDS.values() for word in words]
ARRAY = np.array([[0.5, -1.0, 2.0], [0.25, 1.0, -2.0]])
each_word = pytest.mark.parametrize("word", MISSING, ids=lambda word: word.theirs)


def names(**others: Any) -> dict[str, Any]:
    """What stands for each name in the table."""
    rng = np.random.default_rng(0)
    return {
        "tg": tg, "nn": nn, "np": np, "kernels": kernels, "optim": optim, "Tensor": Tensor,
        "t": Tensor(ARRAY), "x": ARRAY, "mask": ARRAY > 0, "i": np.array([[0, 2], [1, 1]]),
        "rng": rng, "f": lambda x: np.sum(x * x), "p": [], "model": nn.Linear(3, 4, rng=rng),
    } | others  # fmt: skip


def here(word: Word) -> str:
    """An expression of theirs with this package in the place of their library."""
    return re.sub(r"^(torch|jax|autograd)\.", "tg.", word.theirs)


@each_word
def test_the_error_of_each_word_says_what_to_write(word: Word) -> None:
    for requires_grad in (True, False):
        known = names(t=Tensor(ARRAY, requires_grad=requires_grad))
        known["torch"] = tg
        with pytest.raises((AttributeError, TypeError, NotImplementedError)) as error:
            eval(here(word), known)
        assert f"write {word.ours}" in str(error.value)
        assert word.why in str(error.value)


@pytest.mark.parametrize("word", [*MISSING, *OTHERS], ids=lambda word: word.theirs)
def test_what_an_error_says_to_write_works(word: Word) -> None:
    eval(word.ours, names())


def test_the_readme_shows_the_table_of_the_errors() -> None:
    page = (Path(tg.__file__).parent.parent / "README.md").read_text()
    section = page.partition("## Coming from PyTorch, JAX, autograd")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(.*)` \| `(.*)` \| (.*) \|$", section, re.MULTILINE)
    assert [Word(*row) for row in rows] == [*MISSING, *OTHERS]


def test_no_name_is_in_the_table_twice_or_exists() -> None:
    for words in WORDS.values():
        keys = [first_words.name_in(word.theirs) for word in words]
        assert len({*keys}) == len(keys)
    for word in WORDS["module"]:
        assert not hasattr(nn.Module, first_words.name_in(word.theirs))


FUNCTIONS = [f.__name__ for f in TABLE if getattr(np, f.__name__, None) is f]


@pytest.mark.parametrize("room", [tg, Tensor(ARRAY)], ids=["tg", "Tensor"])
def test_every_function_of_numpy_is_named_where_it_is_looked_for(room: Any) -> None:
    of_tensor = isinstance(room, Tensor)
    known = {*first_words.NAMED["Tensor" if of_tensor else "tinygrad_cv"], *dir(room)}
    known |= {*dir(np.ndarray)} if of_tensor else set()  # which have an error of their own
    assert len({*FUNCTIONS} - known) > 100
    for name in {*FUNCTIONS} - known:
        with pytest.raises(AttributeError, match=rf"write np\.{name}\(t\)"):
            getattr(room, name)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "std", "var", "argmax", "cumsum", "all", "squeeze"])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_a_methods_dim_is_answered_with_axis(name: str, requires_grad: bool) -> None:
    with pytest.raises((TypeError, NotImplementedError), match="axis=0"):
        getattr(Tensor(ARRAY, requires_grad=requires_grad), name)(dim=0)


LAYERS = [kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)]
OPTIMISERS = [kind for kind in vars(optim).values() if isinstance(kind, type) and issubclass(kind, optim.Optimizer)]
KERNELS = [value for value in vars(kernels).values() if isinstance(value, Kernel)]


@pytest.mark.parametrize("name", sorted(first_words.THEIR_NAMES))
def test_the_name_of_an_argument_of_theirs_is_answered_by_each_class_and_kernel(name: str) -> None:
    kinds: list[Any] = [*LAYERS, *OPTIMISERS, *KERNELS, Tensor]
    assert min(map(len, (LAYERS, OPTIMISERS, KERNELS))) > 3
    for kind in kinds:
        known = inspect.signature(getattr(kind, "reference", kind) if kind in KERNELS else kind).parameters
        if name not in known:
            with pytest.raises(TypeError, match=f"has no '{name}': for .* write "):
                kind(*([ARRAY] if kind is Tensor else []), **{name: 1})


def test_other_names_are_left_to_python() -> None:
    for wrong in (lambda: nn.ReLU(colour=1), lambda: nn.ReLU(1), lambda: Tensor(ARRAY, colour=1)):
        with pytest.raises(TypeError, match=r"takes no arguments|'colour'"):
            wrong()


def test_a_layer_without_rng_says_why_it_needs_one() -> None:
    layers = [lambda: nn.Linear(3, 4), lambda: nn.Conv2d(1, 2, 3), lambda: nn.ConvTranspose2d(1, 2, 3)]
    layers += [lambda: nn.Embedding(3, 4), nn.Dropout, lambda: nn.LSTM(2, 3), lambda: nn.RNN(2, 3)]
    layers += [lambda: nn.MultiheadAttention(4, 2), lambda: nn.StochasticDepth(0.1), lambda: nn.GRU(2, 3)]
    for layer in layers:
        with pytest.raises(TypeError, match=r"rng is missing.*rng=np\.random\.default_rng\(seed\)"):
            layer()


def test_a_property_of_a_module_that_fails_keeps_its_own_error() -> None:
    class Broken(nn.Module):
        @property
        def width(self) -> int:
            return self.weights.size

    with pytest.raises(AttributeError, match="'Broken' object has no attribute 'weights'"):
        _ = Broken().width
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        _ = Broken().other


def test_gradients_are_recorded_again_inside_of_no_grad() -> None:
    x = Tensor(ARRAY, requires_grad=True)
    with tg.no_grad(), tg.enable_grad():
        y = np.sum(x * x)
    y.backward()
    np.testing.assert_array_equal(x.grad, 2 * ARRAY)
    assert tg.no_grad()(tg.enable_grad()(lambda: (x * 2).requires_grad))()


# ------------------------------------------------------------------------------------- parity

WITHOUT_VALUE = r"rand|seed|device|utils|compile|grad|cuda|from_numpy|inference"  # to compare, or none on this machine
OF_TORCH = re.compile(rf"(?!.*({WITHOUT_VALUE}))(torch\.(?!nn)|t\.(?!at\[|add_|block))")
COMPARED = [word for word in [*MISSING, *OTHERS] if OF_TORCH.match(word.theirs)]


def as_array(value: Any) -> Any:
    return np.asarray(value.detach() if hasattr(value, "detach") else value)


@pytest.mark.parity
@pytest.mark.parametrize("word", COMPARED, ids=lambda word: word.theirs)
def test_what_is_to_be_written_has_the_value_of_theirs(word: Word) -> None:
    torch = pytest.importorskip("torch")
    theirs = {"torch": torch, "t": torch.tensor(ARRAY), "x": ARRAY}
    theirs |= {"mask": torch.tensor(ARRAY > 0), "i": torch.tensor([[0, 2], [1, 1]])}
    found, expected = eval(word.ours, names()), eval(word.theirs, theirs)
    if isinstance(expected, tuple) and not isinstance(expected, torch.Size):
        found, expected = np.stack(found), torch.stack(expected)
    np.testing.assert_allclose(as_array(found), as_array(expected), rtol=1e-6)
