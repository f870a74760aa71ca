"""The ladder and the exercises: steps print true numbers, and a reader's file is judged in clear lines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from tinygrad_cv import kernels
from tinygrad_cv.learn import cli, progress
from tinygrad_cv.learn.errors import LearnError
from tinygrad_cv.learn.exercises import EXERCISES, grade, solutions, template
from tinygrad_cv.learn.exercises.grade import Verdict, judge, load
from tinygrad_cv.learn.ladder import STEPS

MAX_CODE = 60  # lines of a step

# ------------------------------------------------------------------------------------------- steps

Names = dict[str, Any]
TRUE_NUMBERS: dict[int, Callable[[Names], None]] = {}


def true_numbers(number: int) -> Callable[[Callable[[Names], None]], None]:
    """Registers what the variables of a step must be."""
    return lambda check: TRUE_NUMBERS.__setitem__(number, check)


close = np.testing.assert_allclose


@true_numbers(1)
def _(names: Names) -> None:
    close(names["slope"], tg.grad(names["f"])(1.0), rtol=1e-15)
    assert names["both_sides"][1e-5] < 1e-9 < names["one_side"][1e-5]
    assert names["one_side"][1e-13] > names["one_side"][1e-7]


@true_numbers(2)
def _(names: Names) -> None:
    close([names["g_w"], names["g_b"]], tg.grad(names["loss"], argnums=(0, 1))(-2.0, 0.3), rtol=1e-14)
    close(names["difference"], names["g_w"], rtol=1e-8)


@true_numbers(3)
def _(names: Names) -> None:
    own = [names["x"].gradient, names["y"].gradient]
    close(own, tg.grad(names["f"], argnums=(0, 1))(0.5, -1.5), rtol=1e-14)
    assert names["z"].value == names["f"](0.5, -1.5)


@true_numbers(4)
def _(names: Names) -> None:
    engine = tg.grad(names["doubled"])(1.0)
    assert names["wrong"]["a"] == 6 != engine
    assert names["paths"]["a"] == names["right"]["a"] == engine == 4
    assert (names["visits_of_paths"], names["visits"]) == (7, 3)


@true_numbers(5)
def _(names: Names) -> None:
    assert names["equal"] == [True] * 4
    close(names["g"].sum(axis=0), tg.grad(names["loss"], argnums=1)(names["x"], names["b"]))


@true_numbers(6)
def _(names: Names) -> None:
    for function in names["table"]:
        row = tg.rule(function)
        assert names["kept"][function.__name__] == sorted(row.saves(dict.fromkeys(row.formulas)))
    assert names["by_table"] == tg.grad(lambda x: np.log(np.exp(x)))(0.7)
    assert names["own"] == 0.25


@true_numbers(7)
def _(names: Names) -> None:
    gradients = tg.grad(names["loss"], argnums=(0, 1))(names["x"], names["w"])
    np.testing.assert_array_equal(names["g_x"], gradients[0])
    np.testing.assert_array_equal(names["g_w"], gradients[1])
    close(names["loops"], gradients[0], rtol=1e-12)


@true_numbers(8)
def _(names: Names) -> None:
    close(names["by_hand"], tg.grad(names["cross_entropy"])(names["z"]), rtol=1e-12)
    close(names["fused"], names["by_hand"], rtol=1e-12)
    assert (names["one_after_the_other"], names["together"]) == (np.inf, 1000.0)


@true_numbers(9)
def _(names: Names) -> None:
    arrays = [names[name] for name in "qkv"]
    close(names["output"], kernels.attention(*arrays), rtol=1e-12)
    gradients = tg.grad(lambda *qkv: np.sum(names["g"] * kernels.attention(*qkv)), argnums=(0, 1, 2))(*arrays)
    for name, gradient in zip("qkv", gradients, strict=True):
        close(names[f"g_{name}"], gradient, rtol=1e-10, atol=1e-15)


@true_numbers(10)
def _(names: Names) -> None:
    close(names["by_hand"], names["by_reference"], rtol=1e-12)
    close(names["by_hand"], tg.grad(lambda x: np.sum(names["g"] * kernels.rms_norm(x, eps=0)))(names["x"]), rtol=1e-12)
    assert names["report"].elements == 12
    assert names["fused"] < names["unfused"]


@true_numbers(11)
def _(names: Names) -> None:
    parameters = [tg.Tensor(array, requires_grad=True) for array in names["arrays"]]
    optimizer = tg.optim.SGD(parameters, lr=0.1)
    for own in names["losses"][:50]:
        optimizer.zero_grad()
        loss = names["loss_of"](*parameters)
        loss.backward()
        optimizer.step()
        assert own == loss.item()
    close(names["predictions"], names["targets"], atol=0.02)


@true_numbers(12)
def _(names: Names) -> None:
    close(names["measured"], names["g_w1"][0, 0], rtol=1e-7)
    assert np.mean((names["after"] - 1) ** 2) < 0.01 * np.mean((names["before"] - 1) ** 2)


@true_numbers(13)
def _(names: Names) -> None:
    close([names["z"].rate, names["rate"]], names["backward"], rtol=1e-14)
    close(np.stack(names["columns"], axis=1), tg.jacobian(names["layer"])(names["point"]), rtol=1e-13)
    assert names["same"]


@true_numbers(14)
def _(names: Names) -> None:
    h, slopes = names["x"], []
    for w in names["weights"]:
        h = 1 / (1 + np.exp(-h @ w))
        slopes.append(h * (1 - h))
    g = last = 2 * h / h.size
    for w, slope in zip(names["weights"][:0:-1], slopes[:0:-1], strict=True):
        g = (g * slope) @ w.T
    close(names["first"]["sigmoid"], np.linalg.norm(g) / np.linalg.norm(last), rtol=1e-10)
    assert names["first"]["sigmoid"] < 1e-15 < names["first"]["tanh, weights too small"] < 1e-6
    assert 0.1 < names["first"]["tanh"] < 10 < names["first"]["tanh, weights too large"]
    assert 1 < names["first"]["tanh, small, residual"] < 10


@true_numbers(15)
def _(names: Names) -> None:
    assert names["report"].elements == 9
    named = {
        "wrong_axis": "a sum over the wrong axis",
        "forgets_g": "the incoming gradient g is forgotten",
        "twice_too_large": "a factor 2 too much",
        "writes_into_g": "changed the cotangent in place",
    }
    assert names["messages"].keys() == named.keys()
    for name, pattern in named.items():
        assert pattern in names["messages"][name]


PRINTED = {  # numbers that the step prints, by variable, and how
    1: ["{slope:.15f}", "{engine:.15f}"],
    2: ["{g_w:.10f}", "{g_b:.10f}", "{p:.4f}"],
    3: ["{x.gradient:.15f}", "{y.gradient:.15f}", "{engine[0]:.15f}"],
    4: ["dc/da = 6", "dc/da = 4", "in 7 visits", "in 3 visits"],
    5: ["gradient of b: [21. 21.]", "(3, 1) * (1, 4) is (3, 4); as the engine's: True"],
    6: ["add      keeps nothing", "np.exp: x <- g * y   keeps y"],
    7: ["g_x = g_y @ w.T", "have the same bits: True"],
    8: ["one after the other inf, together 1000.0", "as the engine's: True; as its kernel's: True"],
    9: [f"gradient of {name} as the engine's: True" for name in "QKV"],
    10: ["12 derivatives agree", "{fused} as a kernel, {unfused} without"],
    11: ["step   0  loss {losses[0]:.6f}", "0 xor 1 = 1.00"],
    12: ["{measured:.8f}", "slopes before  0.69 to 2.30"],
    13: ["{z.rate:.15f}", "3 runs forward or 5 back, equal: True"],
    14: ["{first[sigmoid]:.1e}", "{first[tanh]:.1e}"],
    15: ["right: 9 derivatives agree", "pattern: a factor 2 too much"],
}


@pytest.mark.parametrize("number", STEPS)
def test_a_step_prints_true_numbers_and_asks_a_question(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = STEPS[number].run()
    printed = capsys.readouterr().out
    TRUE_NUMBERS[number](names)
    for number_printed in PRINTED[number]:
        assert number_printed.format(**names) in printed
    assert printed.count("Question: ") == 1
    assert printed.rstrip().endswith((".", "?", ")"))
    tape = tg.tape(*names["look"])  # as the microscope sees it
    assert {"forward", "backward"} <= {row["phase"] for row in tape.table()}


def test_a_step_is_a_page() -> None:
    assert list(STEPS) == list(range(1, 16))
    assert len({step.title for step in STEPS.values()}) == len(STEPS)
    for step in STEPS.values():
        title, blank, *idea = step.docstring.splitlines()
        assert step.title == title.rstrip(".") and not blank and 3 <= len(idea) <= 6, step.path
        assert len(step.code.splitlines()) <= MAX_CODE, step.path


def test_a_step_runs_as_a_file_of_its_own() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(tg.__file__).parent.parent)}
    command = [sys.executable, str(STEPS[4].path)]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "dc/da = 6  (wrong)" in printed.stdout and not printed.stderr


ROOT = Path(tg.__file__).parent.parent
LADDER = Path(tg.__file__).parent / "learn" / "README.md"


def test_every_step_is_on_the_page_and_has_an_answer() -> None:
    page, _, answers = LADDER.read_text().partition("## Answers")
    for number, step in STEPS.items():
        assert f"](steps/{step.path.name})" in page
        assert re.search(rf"^{number}\. ", answers, re.MULTILINE)


@pytest.mark.parametrize("page", [LADDER, ROOT / "README.md"], ids=lambda page: page.parent.name)
def test_commands_on_a_page_are_there(page: Path) -> None:
    commands = re.findall(r"^python -m tinygrad_cv\.learn ([^#]*)#", page.read_text(), re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        args = cli.parser().parse_intermixed_args(command.split())
        assert args.command in (None, "exercises", "check", *map(str, STEPS))


# --------------------------------------------------------------------------------------- exercises

every_exercise = pytest.mark.parametrize("name", EXERCISES)


def verdict_on(name: str, backward: Any) -> Verdict:
    """What the grader says of a backward."""
    answers = ModuleType("answers")
    answers.__file__ = __file__
    setattr(answers, EXERCISES[name].backward_name, backward)
    return judge(EXERCISES[name], answers)


def test_there_are_twenty_exercises_in_four_parts() -> None:
    assert len(EXERCISES) == 20
    assert len({exercise.part for exercise in EXERCISES.values()}) == 4


# Where the engine's choice at a kink is that of an operation of its own.
WITH_KINKS: dict[str, Callable[..., Any]] = {"relu": kernels.relu, "norm": lambda x: np.linalg.norm(x, axis=1)}


@every_exercise
def test_a_solution_passes_and_is_the_engines_gradient(name: str) -> None:
    exercise = EXERCISES[name]
    assert judge(exercise, solutions) == Verdict(name, "passes")
    rng = np.random.default_rng(1)
    for case in exercise.cases:
        wrt = tuple(i for i, argument in enumerate(case) if argument.dtype.kind == "f")
        engine = WITH_KINKS.get(name, exercise.forward)
        forward = lambda *arrays, case=case, engine=engine: engine(*arrays, *case[len(arrays) :])
        y, pull = tg.vjp(forward, *[case[i] for i in wrt])
        several = isinstance(y, tuple)
        g = tuple(rng.normal(size=part.shape) for part in y) if several else rng.normal(size=np.shape(y))
        y = exercise.forward(*case)
        gradients = getattr(solutions, exercise.backward_name)(g, y, *case)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        for own, gradient in zip(gradients, pull(g), strict=True):
            close(own, gradient, rtol=1e-9, atol=1e-14)


@every_exercise
def test_an_untouched_stub_is_to_do_and_gives_a_first_hint(name: str) -> None:
    verdict = judge(EXERCISES[name], template)
    assert verdict.outcome == "to do"
    assert 20 < len(verdict.message) < 80 and "\n" not in verdict.message


PEERS: dict[str, Callable[..., Any]] = {
    "sigmoid": kernels.sigmoid,
    "relu": kernels.relu,
    "gelu": lambda x: kernels.gelu(x, approximate="tanh"),
    "softmax": kernels.softmax,
    "cross_entropy": kernels.cross_entropy,
    "bce_with_logits": kernels.bce_with_logits,
    "embedding": lambda table, tokens: kernels.embedding(tokens, table),
    "layer_norm": kernels.layer_norm,
    "attention": kernels.attention,
    "conv": lambda x, w: kernels.conv2d(x[None, None], w[None, None])[0, 0],
    "lstm_cell": lambda x, h, c, w, b: [
        states[0] for states in kernels.lstm(x[None], h, c, w[: x.shape[1]].T, w[x.shape[1] :].T, b, np.zeros_like(b))
    ],
}


@pytest.mark.parametrize("name", PEERS)
def test_a_function_of_the_exercises_is_the_kernel_of_that_name(name: str) -> None:
    for case in EXERCISES[name].cases:
        close(EXERCISES[name].forward(*case), PEERS[name](*case), rtol=1e-12)


s = solutions
MISTAKES: dict[str, dict[str, Callable[..., Any]]] = {
    "tanh": {
        "the incoming gradient g is forgotten": lambda g, y, x: 1 - y**2,
        "the slope at y": lambda g, y, x: g * (1 - np.tanh(y) ** 2),
        "not squared": lambda g, y, x: g * (1 - y),
        "writes": lambda g, y, x: np.multiply(g, 1 - y**2, out=g),
    },
    "sigmoid": {
        "that of tanh": lambda g, y, x: g * (1 - y**2),
        "x for y": lambda g, y, x: g * x * (1 - x),
        "half": lambda g, y, x: g * y,
    },
    "relu": {
        "the value": lambda g, y, x: g * np.maximum(x, 0),
        "the other side": lambda g, y, x: g * (x < 0),
        "leaky": lambda g, y, x: np.where(x > 0, g, 0.01 * g),
        "no g": lambda g, y, x: (x > 0).astype(float),
    },
    "gelu": {
        "first factor only": lambda g, y, x: g * y / np.where(x == 0, 1, x),
        "cube not derived": lambda g, y, x: g * (y / x + x / 2 * (1 - (2 * y / x - 1) ** 2) * np.sqrt(2 / np.pi)),
    },
    "bias": {
        "missing sum over the broadcast axes (0,)": lambda g, y, x, b: (g, g),
        "the other axis": lambda g, y, x, b: (g, g.sum(axis=1)),
        "mean": lambda g, y, x, b: (g, g.mean(axis=0)),
        "one gradient": lambda g, y, x, b: g,
        "swapped": lambda g, y, x, b: (g.sum(axis=0), g),
    },
    "mean": {
        "a factor": lambda g, y, x: np.broadcast_to(g[:, None], x.shape) * 1.0,
        "of all": lambda g, y, x: np.broadcast_to(g[:, None], x.shape) / x.size,
        "rows and columns": lambda g, y, x: np.resize(g, x.shape) / x.shape[1],
        "not stretched": lambda g, y, x: g[:, None] / x.shape[1],
    },
    "variance": {
        "not centred": lambda g, y, x: g[:, None] * 2 * x / x.shape[1],
        "n - 1": lambda g, y, x: s.variance_backward(g, y, x) * x.shape[1] / (x.shape[1] - 1),
        "of the standard deviation": lambda g, y, x: s.variance_backward(g, y, x) / 2 / np.sqrt(y)[:, None],
    },
    "norm": {
        "0 / 0": lambda g, y, x: (g / y)[:, None] * x,
        "of the square": lambda g, y, x: g[:, None] * 2 * x,
        "a half": lambda g, y, x: s.norm_backward(g, y, x) / 2,
    },
    "row_max": {
        "all of it to each tie": lambda g, y, x: g[:, None] * (x == y[:, None]),
        "in every row": lambda g, y, x: g[:, None] * (x == x.max()),
        "twice": lambda g, y, x: 2 * s.row_max_backward(g, y, x),
    },
    "matmul": {
        "not transposed": lambda g, y, x, w: (g @ w.T, (g.T @ x)),
        "square factors": lambda g, y, x, w: (g @ w if len(w) == w.shape[1] else g @ w.T, x.T @ g),
        "swapped": lambda g, y, x, w: (x.T @ g, g @ w.T),
        "elementwise": lambda g, y, x, w: (np.ones_like(x) * w.sum(axis=1), np.ones_like(w) * x.sum(axis=0)[:, None]),
    },
    "logsumexp": {
        "overflow": lambda g, y, x: g[:, None] * np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
        "no g": lambda g, y, x: np.exp(x - y[:, None]),
        "exp": lambda g, y, x: g[:, None] * np.exp(np.minimum(x, 9)),
    },
    "softmax": {
        "the diagonal": lambda g, y, x: g * y * (1 - y),
        "a sum over the wrong axis": lambda g, y, x: y * (g - (g * y).sum(axis=0, keepdims=True)),
        "the sum of g": lambda g, y, x: y * (g - g.sum(axis=1, keepdims=True)),
        "no y": lambda g, y, x: g - (g * y).sum(axis=1, keepdims=True),
    },
    "cross_entropy": {
        "no mean": lambda g, y, z, labels: s.cross_entropy_backward(g, y, z, labels) * len(z),
        "by classes": lambda g, y, z, labels: s.cross_entropy_backward(g, y, z, labels) * len(z) / z.size,
        "no truth": lambda g, y, z, labels: g * template.softmax(z) / len(z),
        "sign": lambda g, y, z, labels: -s.cross_entropy_backward(g, y, z, labels),
        "a column for a pair": lambda g, y, z, labels: shifted_columns(g, z, labels),
    },
    "bce_with_logits": {
        "rows": lambda g, y, z, t: tuple(a * z.shape[1] for a in s.bce_with_logits_backward(g, y, z, t)),
        "of t missing": lambda g, y, z, t: s.bce_with_logits_backward(g, y, z, t)[0],
        "sign of t": lambda g, y, z, t: (s.bce_with_logits_backward(g, y, z, t)[0], g * z / z.size),
        "z for its sigmoid": lambda g, y, z, t: (g * (z - t) / z.size, -g * z / z.size),
    },
    "embedding": {
        "the last wins": lambda g, y, table, tokens: assigned(g, table, tokens),
        "buffered": lambda g, y, table, tokens: added_once(g, table, tokens),
        "the shape of y": lambda g, y, table, tokens: g,
    },
    "layer_norm": {
        "constant statistics": lambda g, y, x, w, b: (g * w / deviation(x), *s.layer_norm_backward(g, y, x, w, b)[1:]),
        "constant deviation": lambda g, y, x, w, b: (
            (g * w - np.mean(g * w, axis=1, keepdims=True)) / deviation(x),
            *s.layer_norm_backward(g, y, x, w, b)[1:],
        ),
        "y for the normed": lambda g, y, x, w, b: (
            s.layer_norm_backward(g, y, x, w, b)[0],
            (g * y).sum(axis=0),
            g.sum(axis=0),
        ),
        "no sum": lambda g, y, x, w, b: (*s.layer_norm_backward(g, y, x, w, b)[:2], g),
        "no weight": lambda g, y, x, w, b: (
            s.layer_norm_backward(g, y, x, np.ones_like(w), b)[0],
            *s.layer_norm_backward(g, y, x, w, b)[1:],
        ),
    },
    "attention": {
        "no root": lambda g, y, q, k, v: scaled(s.attention_backward(g, y, q, k, v), np.sqrt(3)),
        "root twice": lambda g, y, q, k, v: scaled(s.attention_backward(g, y, q, k, v), 1 / np.sqrt(3)),
        "weights not transposed": lambda g, y, q, k, v: (
            *s.attention_backward(g, y, q, k, v)[:2],
            attention_weights(q, k) @ np.resize(g, v.shape),
        ),
        "q and k swapped": lambda g, y, q, k, v: swapped(s.attention_backward(g, y, q, k, v)),
    },
    "lstm_cell": {
        "the new c through h forgotten": lambda g, y, *args: s.lstm_cell_backward((0 * g[0], g[1]), y, *args),
        "its own gradient forgotten": lambda g, y, *args: s.lstm_cell_backward((g[0], 0 * g[1]), y, *args),
        "x and h swapped": lambda g, y, *args: swapped(s.lstm_cell_backward(g, y, *args)),
        "c passes unchanged": lambda g, y, *args: replaced(s.lstm_cell_backward(g, y, *args), 2, g[1]),
        "no sum": lambda g, y, *args: replaced(s.lstm_cell_backward(g, y, *args), 4, np.zeros((2, 8))),
    },
    "conv": {
        "flipped": lambda g, y, x, w: (s.conv_backward(g, y, x, w[::-1, ::-1])[0], s.conv_backward(g, y, x, w)[1]),
        "the last place wins": lambda g, y, x, w: (last_place(g, x, w), s.conv_backward(g, y, x, w)[1]),
        "one place": lambda g, y, x, w: (s.conv_backward(g, y, x, w)[0], x[: w.shape[0], : w.shape[1]] * g.sum()),
    },
    "kl_divergence": {
        "a factor 2 too much": lambda g, y, mu, v: scaled(s.kl_divergence_backward(g, y, mu, v), 2),
        "mean of all": lambda g, y, mu, v: scaled(s.kl_divergence_backward(g, y, mu, v), 1 / mu.shape[1]),
        "minus one forgotten": lambda g, y, mu, v: (g * mu / len(mu), g * np.exp(v) / 2 / len(mu)),
        "sigma for its square": lambda g, y, mu, v: (g * mu / len(mu), g * (np.exp(v / 2) - 1) / 2 / len(mu)),
    },
}


def scaled(gradients: Any, factor: float) -> Any:
    return tuple(gradient * factor for gradient in gradients)


def swapped(gradients: Any) -> Any:
    first, second, *others = gradients
    return (np.resize(second, first.shape), np.resize(first, second.shape), *others)


def replaced(gradients: Any, position: int, gradient: Any) -> Any:
    return (*gradients[:position], gradient, *gradients[position + 1 :])


def shifted_columns(g: Any, z: Any, labels: Any) -> Any:
    gradient = template.softmax(z)
    gradient[:, labels] -= 1
    return g * gradient / len(z)


def assigned(g: Any, table: Any, tokens: Any) -> Any:
    gradient = np.zeros_like(table)
    gradient[tokens] = g
    return gradient


def added_once(g: Any, table: Any, tokens: Any) -> Any:
    gradient = np.zeros_like(table)
    gradient[tokens] += g
    return gradient


def deviation(x: Any) -> Any:
    return np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)


def attention_weights(q: Any, k: Any) -> Any:
    return np.resize(template.softmax(q @ k.T / np.sqrt(q.shape[1])), (len(k), len(k)))


def last_place(g: Any, x: Any, w: Any) -> Any:
    gradient = np.zeros_like(x)
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            gradient[i : i + w.shape[0], j : j + w.shape[1]] = g[i, j] * w
    return gradient


PLANTED = [(name, mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes]
NAMED = ("is forgotten", "broadcast axes", "wrong axis", "a factor 2")


@pytest.mark.parametrize(("name", "mistake"), PLANTED, ids=lambda word: word.replace(" ", "-"))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_typical_mistake_is_caught_and_some_are_named(
    name: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = sys.modules["tinygrad_cv.testing.check"]
    monkeypatch.setattr(checks, "shrink", lambda mismatch, *_: mismatch)  # which takes a second
    verdict = verdict_on(name, MISTAKES[name][mistake])
    assert verdict.outcome == "wrong", verdict
    assert "reproduce: check_vjp" in verdict.message
    if any(words in mistake for words in NAMED):
        assert mistake in verdict.message


def test_every_exercise_has_mistakes_planted() -> None:
    assert MISTAKES.keys() == EXERCISES.keys()


# ------------------------------------------------------------------------------- a reader's file


def answers(folder: Path, text: str) -> Path:
    path = folder / "my_file.py"
    path.write_text(text)
    return path


FILES_REFUSED = {
    "def tanh_backward(g, y, x:\n": "my_file.py:1: '(' was never closed: def tanh_backward(g, y, x:",
    "import numpy\nimport nothing_at_all\n": "my_file.py:2: ModuleNotFoundError: No module named 'nothing_at_all'",
    "x = 1\ny = x / 0\n": "my_file.py:2: ZeroDivisionError: division by zero, in `y = x / 0`; nothing was graded",
    "raise SystemExit\n": "my_file.py:1: SystemExit, in `raise SystemExit`",
    "# coding: nonsense\n": "unknown encoding",
    "tanh = 3\n": "my_file.py has no function with the name of an exercise, such as tanh_backward; nothing was",
    "raise ValueError('x' * 100000)\n": "my_file.py:1: ValueError: ..., in `raise ValueError",
    "raise ValueError('two\\nlines')\n": "my_file.py:1: ValueError: two lines, in",
}


@pytest.mark.parametrize("text", FILES_REFUSED)
def test_a_file_that_cannot_be_read_is_met_with_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(LearnError) as raised:
        load(answers(tmp_path, text))
    assert FILES_REFUSED[text] in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LearnError, match="cannot be read: Is a directory"):
        load(tmp_path)
    with pytest.raises(LearnError, match=r"there is no file no\.py; python -m tinygrad_cv\.learn exercises no\.py"):
        load(Path("no.py"))


@given(st.binary(max_size=40))
def test_a_file_of_any_bytes_is_read_or_refused(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.mktemp("answers") / "my_file.py"
    path.write_bytes(b"0\n\xff" + content)
    with pytest.raises(LearnError, match=r"my_file\.py"):
        load(path)


FUNCTIONS_REFUSED = {
    "sigmoid_backward = 0": ("missing", "my_file.py has no function tanh_backward"),
    "tanh_backward = 3": ("raises", "tanh_backward is int, and not a function"),
    "def tanh_backward(g, y): return g": ("raises", "TypeError: tanh_backward() takes 2 positional arguments but 3"),
    "def tanh_backward(g, y, x):\n    return g * q": ("raises", "my_file.py:2: NameError: name 'q' is not defined, in"),
    "def tanh_backward(g, y, x): g": ("wrong", "tanh_backward returns None: does it lack a `return`?"),
    "def tanh_backward(g, y, x): return g.sum()": ("wrong", "has shape (), the argument has shape"),
    "def tanh_backward(g, y, x): return g, g": ("wrong", "returned 2 gradients for 1 floating-point inputs"),
    "def tanh_backward(g, y, x): return 'no'": ("wrong", "has shape (), the argument has shape"),
    "def tanh_backward(g, y, x): return tanh_backward(g, y, x)": ("raises", "RecursionError"),
    "def tanh_backward(g, y, x): exit()": ("raises", "SystemExit"),
}


@pytest.mark.parametrize("text", FUNCTIONS_REFUSED)
def test_a_function_that_does_not_fit_is_met_with_a_clear_line(text: str, tmp_path: Path) -> None:
    outcome, message = FUNCTIONS_REFUSED[text]
    verdict = judge(EXERCISES["tanh"], load(answers(tmp_path, text)))
    assert verdict.outcome == outcome
    assert message in verdict.message.splitlines()[0]


def test_a_file_that_was_changed_is_read_anew(tmp_path: Path) -> None:
    path = answers(tmp_path, "def tanh_backward(g, y, x):\n    return g * 1\n")
    assert judge(EXERCISES["tanh"], load(path)).outcome == "wrong"
    answers(tmp_path, "def tanh_backward(g, y, x):\n    return g / 0\n")
    with pytest.warns(RuntimeWarning):
        assert judge(EXERCISES["tanh"], load(path)).outcome == "wrong"
    answers(tmp_path, "def tanh_backward(g, y, x):\n    return g // y()\n")
    assert "in `return g // y()`" in judge(EXERCISES["tanh"], load(path)).message
    assert [entry.name for entry in tmp_path.iterdir()] == ["my_file.py"]


LOOPS_AND_EXITS = """
import os
from helper import slope

def tanh_backward(g, y, x):
    while True:
        pass

def sigmoid_backward(g, y, x):
    os._exit(3)

def relu_backward(g, y, x):
    return g * slope(x)
"""


def test_an_endless_loop_and_an_exit_end_only_their_own_verdict(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def slope(x):\n    return x > 0\n")
    path = answers(tmp_path, LOOPS_AND_EXITS)
    verdicts = {v.name: v for v in grade(path, ["tanh", "sigmoid", "relu"], seconds=0.4)}
    assert {name: v.outcome for name, v in verdicts.items()} == {
        "tanh": "too slow",
        "sigmoid": "raises",
        "relu": "passes",
    }
    assert "tanh_backward took more than 0.4 seconds" in verdicts["tanh"].message
    assert "sigmoid_backward ended the process (exit code 3)" in verdicts["sigmoid"].message


def test_a_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    path = answers(tmp_path, "while True: pass\n")
    with pytest.raises(LearnError, match=r"reading .*my_file.py took more than 0.1 seconds"):
        list(grade(path, ["tanh"], seconds=0.1))


# ---------------------------------------------------------------------------------------- progress


def test_progress_is_kept_and_grows(tmp_path: Path) -> None:
    path = tmp_path / "learn.json"
    assert progress.read(path) == progress.Progress()
    progress.add(path, [3, 99], ["of a later version", "größer"])
    found = progress.add(path, [1], ["tanh"])
    assert found == progress.read(path) == progress.Progress({1, 3, 99}, {"of a later version", "größer", "tanh"})
    assert [entry.name for entry in tmp_path.iterdir()] == ["learn.json"]


@given(st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"null", b'{"version": 2, "steps": [], "exercises": []}']))
def test_a_damaged_progress_file_is_refused_and_left_alone(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.mktemp("progress") / "learn.json"
    path.write_bytes(content)
    with pytest.raises(LearnError, match=r"the progress file .* is damaged: .*; delete it .*--progress FILE"):
        progress.add(path, [1])
    assert path.read_bytes() == content


def test_the_place_of_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    default = progress.place()
    assert default == tmp_path / ".tinygrad_cv" / "learn.json"
    progress.add(default, [1])  # makes the folder
    assert progress.read(default).steps == {1}
    monkeypatch.setenv(progress.VARIABLE, "~/other.json")
    assert progress.place() == tmp_path / "other.json"
    assert progress.place("given.json") == Path("given.json")
    with pytest.raises(LearnError, match="--progress"):
        progress.place("~nobody-of-this-name/learn.json")
    with pytest.raises(LearnError, match=r"cannot be written: there is no folder .*; give another by --progress FILE"):
        progress.add(tmp_path / "no" / "learn.json", [1])
    with pytest.raises(LearnError, match=r"cannot be read: "):
        progress.read(tmp_path)


# ---------------------------------------------------------------------------------- the command line


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A progress file."""
    path = tmp_path / "learn.json"
    monkeypatch.setenv(progress.VARIABLE, str(path))
    return path


def printed_by(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert cli.main(words) == code
    return capsys.readouterr().out


def test_the_list_and_a_step(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = printed_by(capsys)
    assert all(f". {number:2}  {step.title}" in listed for number, step in STEPS.items())
    page = printed_by(capsys, "4")
    assert page.startswith("Step 4 of 15: Why the order matters")
    assert STEPS[4].code in page and "dc/da = 6  (wrong)" in page and "learn 5, Broadcasting" in page
    assert json.loads(kept.read_text())["steps"] == [4]
    listed = printed_by(capsys)
    assert "x  4  Why the order matters" in listed and "1 of 15 steps done" in listed
    kept.write_text("{")
    assert cli.main(["4"]) == 2
    output = capsys.readouterr()
    assert not output.out and output.err.count("\n") == 1 and "is damaged" in output.err


def test_exercises_are_listed_written_and_graded(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = printed_by(capsys, "exercises")
    assert all(f". {exercise.backward_name}(" in listed for exercise in EXERCISES.values())
    file = tmp_path / "mine.py"
    assert str(file) in printed_by(capsys, "exercises", str(file))
    assert file.read_bytes() == Path(template.__file__).read_bytes()
    assert cli.main(["exercises", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err

    stub = 'raise NotImplementedError("g times the slope of tanh, which needs only y")'
    wrong = 'raise NotImplementedError("each b[j] was used in every row: its contributions add up")'
    text = file.read_text()
    assert text.count(stub) == text.count(wrong) == 1
    file.write_text(text.replace(stub, "return g * (1 - y**2)").replace(wrong, "return g, g"))
    graded = printed_by(capsys, "check", str(file), code=1)
    assert "x tanh             passes\n" in graded
    assert ". sigmoid          to do: the slope of a sigmoid" in graded
    assert "pattern: missing sum over the broadcast axes (0,)" in graded
    assert graded.endswith("1 of 20 pass.\n")
    assert json.loads(kept.read_text())["exercises"] == ["tanh"]
    assert "x tanh_backward(g, y, x)" in printed_by(capsys, "exercises")
    assert printed_by(capsys, "check", str(file), "--progress", str(kept), "tanh_backward").endswith("1 of 1 pass.\n")


REFUSED = {
    ("climb",): "there is no 'climb'; there are the steps 1 to 15, `exercises` and `check`",
    ("16",): "there is no step 16; the steps are 1 to 15",
    ("0",): "there is no step 0",
    ("9" * 5000,): "9 ... 9",
    ("x" * 9000,): "x ... x",
    ("exercises", "x" * 9000): "File name too long",
    ("3", "4"): "a step takes no further words, not '4'",
    ("exercises", "a.py", "b.py"): "`exercises` takes one file to write",
    ("exercises", "no/a.py"): "there is no folder",
    ("check",): "`check` needs the file to grade",
    ("check", "no.py", "tan"): "no exercise is called 'tan'; there are tanh, sigmoid",
    ("check", "no.py"): "there is no file no.py; python -m tinygrad_cv.learn exercises no.py writes one",
    ("check", "a.py", "--microscope", "page.html"): "--microscope opens a step",
}


@pytest.mark.parametrize("words", REFUSED, ids=lambda words: " ".join(words)[:40])
def test_a_command_that_cannot_be_carried_out_has_one_line(
    words: tuple[str, ...],
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    output = capsys.readouterr()
    assert output.err.startswith("learn: ") and output.err.count("\n") == 1
    assert REFUSED[words] in output.err
    assert len(output.err) < 1100
    assert not output.out


@pytest.mark.parametrize("word", ["--nonsense", "--micro"])
def test_an_unknown_option_has_one_line(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["3", word, "x"])
    error = capsys.readouterr().err
    assert word in error and error.count("\n") == 1


def test_a_step_opens_in_the_microscope(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[Any] = []

    def microscope(f: Any, *args: Any, path: str, title: str) -> None:
        opened.append((f(*args), path, title))

    monkeypatch.setattr(tg, "microscope", microscope, raising=False)
    assert "the microscope has written page.html" in printed_by(capsys, "2", "--microscope", "page.html")
    (value, path, title) = opened[0]
    assert (path, title) == ("page.html", "Step 2: The chain rule by hand")
    assert value == pytest.approx(2.574, abs=1e-3)


@pytest.mark.skipif("microscope" not in tg.__all__, reason="there is no microscope yet")
def test_a_steps_page_is_written(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    printed_by(capsys, "4", "--microscope", str(page))
    text = page.read_text()
    assert "Step 4: Why the order matters" in text and "b = a + a" in text


def test_the_door_has_one_line_for_an_error_and_is_quiet_when_nobody_reads(kept: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(tg.__file__).parent.parent)}
    command = f"{sys.executable} -m tinygrad_cv.learn 10 | head -1; {sys.executable} -m tinygrad_cv.learn 99"
    run = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stdout.startswith("Step 10 of 15") and run.stderr == "learn: there is no step 99; the steps are 1 to 15\n"
