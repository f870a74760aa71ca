"""Planted bugs in front of four gradient checkers: `python -m benchmarks.checkers [--json FILE]`.

Every pair of `planted.py` goes to each checker in the form that it asks for, at the same arguments: to ours as it is,
to PyTorch as an autograd.Function, to JAX as a custom_vjp, to HIPS autograd as a primitive. The checkers run in turn on
each pair, five times, and the median time counts. A checker that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv.files import atomic_write
from tinygrad_cv.testing import GradMismatch, check_grad, check_jvp, check_vjp

from .planted import Pair, normal
from .planted.first import BUGS, CORRECT

Check = Callable[[], Any]  # raises, or returns False, if something is wrong
REPEATS = 5
LARGEST = 5000  # elements that torch's slow mode may have: it fills the whole Jacobian


class TooLarge(Exception):
    """A case that is too large for a checker."""


def floats(args: tuple[Any, ...]) -> list[int]:
    """The positions of the floating-point arrays."""
    return [i for i, a in enumerate(args) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]


def gradients(pair: Pair, g: Any, y: Any, args: Any) -> list[Any]:
    """What backward returns, as a list."""
    returned = pair.derivative(g, y, *args)
    return list(returned) if isinstance(returned, tuple) else [returned]


# ------------------------------------------------------------------------------------------------------- the checkers


class Ours:
    name = "tinygrad_cv"

    def pair(self, pair: Pair) -> Check:
        args = tuple(a.copy() if isinstance(a, np.ndarray) else a for a in pair.args)
        return lambda: check_vjp(pair.forward, pair.derivative, *args)

    def second(self, right: bool) -> Check:
        slope = tg.derivative(three_squares, x=lambda g, x: g * (6 if right else 5) * x)
        rule = tg.derivative(cube, x=lambda g, x: g * (slope(x) if type(x) is tg.Tensor else three_squares(x)))
        return lambda: check_grad(lambda x: rule(x), normal(4), order=2)

    def jvp(self, factor: float) -> Check:
        return lambda: check_jvp(np.sin, lambda args, t: factor * np.cos(args[0]) * t[0], normal(20_000))


class Torch:
    """torch.autograd.gradcheck, slow (every element) or fast (one random direction)."""

    def __init__(self, fast: bool) -> None:
        self.torch = importlib.import_module("torch")
        self.fast, self.name = fast, f"torch {'fast' if fast else 'slow'}"

    def pair(self, pair: Pair) -> Check:
        torch, places = self.torch, floats(pair.args)

        class Function(torch.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Any, *tensors: Any) -> Any:
                args = list(pair.args)
                for i, t in zip(places, tensors, strict=True):
                    args[i] = t.detach().numpy()
                ctx.args, ctx.y = args, np.asarray(pair.forward(*args))
                return torch.from_numpy(ctx.y.copy())

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                arrays = gradients(pair, g.numpy(), ctx.y, ctx.args)
                return tuple(torch.as_tensor(np.asarray(a)) for a in arrays)

        given = [torch.tensor(pair.args[i], requires_grad=True) for i in places]
        if not self.fast and sum(t.numel() for t in given) > LARGEST:
            raise TooLarge
        return lambda: torch.autograd.gradcheck(Function.apply, given, fast_mode=self.fast)

    def second(self, right: bool) -> Check:
        torch, k = self.torch, 6 if right else 5

        class Slope(torch.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return 3 * x * x

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g * k * ctx.saved_tensors[0]

        class Cube(torch.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g * Slope.apply(ctx.saved_tensors[0])

        x = torch.tensor(normal(4), requires_grad=True)
        return lambda: (
            torch.autograd.gradcheck(Cube.apply, [x], fast_mode=self.fast)
            and torch.autograd.gradgradcheck(Cube.apply, [x], fast_mode=self.fast)
        )

    def jvp(self, factor: float) -> Check:
        torch = self.torch

        class Sine(torch.autograd.Function):  # type: ignore[misc,name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_forward(x)
                return torch.sin(x)

            @staticmethod
            def jvp(ctx: Any, t: Any) -> Any:
                return factor * torch.cos(ctx.saved_tensors[0]) * t

        if not self.fast:
            raise TooLarge
        x = torch.tensor(normal(20_000), requires_grad=True)
        return lambda: torch.autograd.gradcheck(
            Sine.apply, [x], fast_mode=self.fast, check_forward_ad=True, check_backward_ad=False
        )


class Jax:
    name = "jax"

    def __init__(self) -> None:
        self.jax = importlib.import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        self.check_grads = importlib.import_module("jax.test_util").check_grads

    def pair(self, pair: Pair) -> Check:
        jax, places = self.jax, floats(pair.args)
        like = np.asarray(pair.forward(*[a.copy() if isinstance(a, np.ndarray) else a for a in pair.args]))

        def full(tensors: Any) -> list[Any]:
            args = list(pair.args)
            for i, t in zip(places, tensors, strict=True):
                args[i] = np.array(t)
            return args

        def value(*tensors: Any) -> Any:
            call = lambda *arrays: np.asarray(pair.forward(*full(arrays)))
            return jax.pure_callback(call, jax.ShapeDtypeStruct(like.shape, like.dtype), *tensors)

        def pull(saved: Any, g: Any) -> Any:
            y, tensors = saved

            def call(g: Any, y: Any, *arrays: Any) -> Any:
                return tuple(map(np.asarray, gradients(pair, np.array(g), np.array(y), full(arrays))))

            shapes = tuple(jax.ShapeDtypeStruct(t.shape, t.dtype) for t in tensors)
            return jax.pure_callback(call, shapes, g, y, *tensors)

        def forward(*tensors: Any) -> Any:
            y = value(*tensors)
            return y, (y, tensors)

        f = jax.custom_vjp(value)
        f.defvjp(forward, pull)
        given = tuple(pair.args[i] for i in places)
        return lambda: self.check_grads(f, given, order=1, modes=["rev"])

    def second(self, right: bool) -> Check:
        jax, k = self.jax, 6 if right else 5
        slope = jax.custom_vjp(lambda x: 3 * x * x)
        slope.defvjp(lambda x: (3 * x * x, x), lambda x, g: (g * k * x,))
        cubed = jax.custom_vjp(lambda x: x**3)
        cubed.defvjp(lambda x: (x**3, x), lambda x, g: (g * slope(x),))
        return lambda: self.check_grads(cubed, (normal(4),), order=2, modes=["rev"])

    def jvp(self, factor: float) -> Check:
        jnp = importlib.import_module("jax.numpy")
        sine = self.jax.custom_jvp(jnp.sin)
        sine.defjvp(lambda x, t: (jnp.sin(x[0]), factor * jnp.cos(x[0]) * t[0]))
        return lambda: self.check_grads(sine, (normal(20_000),), order=1, modes=["fwd"])


class Autograd:
    name = "autograd"

    def __init__(self) -> None:
        self.extend = importlib.import_module("autograd.extend")
        self.check_grads = importlib.import_module("autograd.test_util").check_grads

    def pair(self, pair: Pair) -> Check:
        places = floats(pair.args)
        f = self.extend.primitive(lambda *args: pair.forward(*args))
        makers = [
            lambda y, *args, k=k: lambda g: gradients(pair, g, y, args)[k] for k in range(len(places))
        ]  # fmt: skip
        self.extend.defvjp(f, *makers, argnums=places)
        args = tuple(a.copy() if isinstance(a, np.ndarray) else a for a in pair.args)
        whole = lambda *given: f(*[given[places.index(i)] if i in places else a for i, a in enumerate(args)])
        given = tuple(range(len(places)))  # autograd checks the first argument only, unless these are given
        return lambda: self.check_grads(whole, given, modes=["rev"], order=1)(*[args[i] for i in places])

    def second(self, right: bool) -> Check:
        k = 6 if right else 5
        slope = self.extend.primitive(lambda x: 3 * x * x)
        self.extend.defvjp(slope, lambda y, x: lambda g: g * k * x)
        cubed = self.extend.primitive(lambda x: x**3)
        self.extend.defvjp(cubed, lambda y, x: lambda g: g * slope(x))
        return lambda: self.check_grads(cubed, modes=["rev"], order=2)(normal(4))

    def jvp(self, factor: float) -> Check:
        sine = self.extend.primitive(np.sin)
        self.extend.defjvp(sine, lambda t, y, x: factor * np.cos(x) * t)
        return lambda: self.check_grads(sine, modes=["fwd"], order=1)(normal(20_000))


def three_squares(x: Any) -> Any:
    return 3 * x * x


def cube(x: Any) -> Any:
    return x**3


# --------------------------------------------------------------------------------------------------------- comparison


def checkers() -> tuple[list[Any], list[str]]:
    """Those that are installed, and the names of those that are not."""
    present: list[Any] = [Ours()]
    missing = []
    peers = {"torch": lambda: [Torch(False), Torch(True)], "jax": lambda: [Jax()], "autograd": lambda: [Autograd()]}
    for name, make in peers.items():
        try:
            present += make()
        except ImportError:
            missing.append(name)
    return present, missing


def outcome(check: Check) -> tuple[bool, str, float]:
    """(whether the check fails, the first words of its message, seconds). Any exception counts."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            caught, words = check() is False, ""
    except GradMismatch as error:
        caught, words = True, str(error).partition("\n")[0]
    except Exception as error:
        caught, words = True, f"{type(error).__name__}: {str(error).strip()[:100]}"
    return caught, words, time.perf_counter() - start


def cases() -> list[tuple[str, bool, Callable[[Any], Check]]]:
    """(name, whether it is a bug, how a checker is set to it)."""
    listed: list[tuple[str, bool, Callable[[Any], Check]]] = [
        (p.name, True, lambda c, p=p: c.pair(p)) for p in BUGS  # type: ignore[misc]
    ]
    listed.append(("second derivative 5x of x^3", True, lambda c: c.second(False)))
    listed.append(("JVP wrong by 5 % at 20,000 elements", True, lambda c: c.jvp(1.05)))
    listed += [(p.name, False, lambda c, p=p: c.pair(p)) for p in CORRECT]  # type: ignore[misc]
    listed.append(("second derivative of x^3", False, lambda c: c.second(True)))
    listed.append(("JVP of 20,000 elements", False, lambda c: c.jvp(1.0)))
    return listed


def compare(repeats: int = REPEATS) -> dict[str, Any]:
    """The outcome of every checker on every case, and how long it takes."""
    present, missing = checkers()
    rows = []
    for name, wrong, make in cases():
        times: dict[str, list[float]] = {c.name: [] for c in present}
        outcomes: dict[str, Any] = {}
        for _ in range(repeats):
            for checker in present:
                try:
                    caught, words, seconds = outcome(make(checker))
                except TooLarge:
                    continue
                times[checker.name].append(seconds)
                outcomes[checker.name] = {"caught": caught, "words": words}
        for checker in outcomes:
            outcomes[checker]["seconds"] = statistics.median(times[checker])
        rows.append({"name": name, "bug": wrong, "outcomes": outcomes})
    return {"checkers": [c.name for c in present], "missing": missing, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """The comparison in Markdown."""
    names = result["checkers"]
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for row in result["rows"]:
        good, bad = ("caught", "missed") if row["bug"] else ("FALSE ALARM", "ok")
        cells = ["-" if n not in row["outcomes"] else good if row["outcomes"][n]["caught"] else bad for n in names]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    totals = []
    for n in names:
        bugs = [r["outcomes"].get(n, {"caught": False})["caught"] for r in result["rows"] if r["bug"]]
        alarms = [r["outcomes"][n]["caught"] for r in result["rows"] if not r["bug"] and n in r["outcomes"]]
        totals.append(f"{sum(bugs)} of {len(bugs)}, {sum(alarms)} false alarms")
    lines.append("| **in all** | " + " | ".join(totals) + " |")
    quiet = [r for r in result["rows"] if not r["bug"]]
    ratio = [
        statistics.median(r["outcomes"][n]["seconds"] / r["outcomes"][names[0]]["seconds"] for r in quiet if n in r["outcomes"])
        for n in names
    ]
    lines.append("| time, of correct ones, by ours (median) | " + " | ".join(f"{r:.2f}" for r in ratio) + " |")
    if result["missing"]:
        lines.append(f"\nNot installed: {', '.join(result['missing'])}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write all figures there, too")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    args = parser.parse_args()
    result = compare(args.repeats)
    print(table(result))
    if args.json:
        with atomic_write(args.json) as file:
            file.write(json.dumps(result, indent=1).encode())


if __name__ == "__main__":
    main()
