"""What forward mode costs: `python -m benchmarks.forward [--only softmax] [--json FILE]`.

A Jacobian-vector product, value included, over the function alone: of each kernel, with a tangent
for each of its arrays, and of a ViT and a UNet, with one for the images. Beside ours stand
PyTorch's `torch.func.jvp` and JAX's `jax.jvp`, compiled. Then Jacobians that are wide or high, and
how many passes they take, and Hessian-vector products over the gradient.

All have one thread, take turns, and are measured in processor time, because other work may run on
the same cores: the medians. A peer that cannot do something is left out there, and the JSON file
says why.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import numpy as np

import tinygrad_cv as tg
from models.generative.unet import UNet
from models.lab.progress import progress_bar
from models.vision.vit import ViT
from tinygrad_cv import kernels as k
from tinygrad_cv import transforms
from tinygrad_cv.files import atomic_write
from tinygrad_cv.machine import keep_freed_memory

from .speed import report
from .speed.workloads import UNetSizes, ViTSizes, sizes_of

SECONDS, TURNS = 1.5, 5  # of a case, and the fewest turns
SEED = 0
PEERS = ("torch", "jax")
Run = Callable[[], Any]
Pair = tuple[Run, Run]  # the function, and its product with tangents


@dataclass(frozen=True)
class Case:
    """A function of arrays that move, in each library.

    Shapes are those of W1 to W3, or a quarter of them.
    """

    shapes: Sequence[tuple[int, ...]]
    ours: Callable[..., Any]
    torch: Callable[..., Any] | None = None
    jax: Callable[..., Any] | None = None
    scale: float = 1.0  # of the numbers


# ---------------------------------------------------------------------------------------- the cases

WIDE = (512, 768)
IMAGES = (16, 32, 28, 28)
LABELS = np.random.default_rng(SEED).integers(0, 1000, 256)
MASK = np.random.default_rng(SEED).random(WIDE) < 0.9
KEEP = np.random.default_rng(SEED).random((8, 8, 128, 128)) < 0.9
TARGETS = np.random.default_rng(SEED).random(WIDE, np.float32)
FILTERS = np.random.default_rng(SEED).standard_normal((64, 64, 3, 3), np.float32)
SCALES = {
    "linear": 0.3,
    "linear, gelu": 0.3,
    "rnn": 0.06,
    "lstm": 0.06,
    "gru": 0.06,
}  # sums of order 1
INDICES = np.random.default_rng(SEED).integers(0, 96, (64, 64))


def recurrent(gates: int, states: int = 1) -> list[tuple[int, ...]]:
    """x, the first states, weights and biases: 64 steps of 64 sequences, 64 inputs, 256 states."""
    return [
        (64, 64, 64),
        *[(64, 256)] * states,
        (gates * 256, 64),
        (gates * 256, 256),
        *[(gates * 256,)] * 2,
    ]


def cases() -> dict[str, Case]:
    """By name; peers that are not installed have no functions."""
    t, j = torch_functions(), jax_functions()
    names = ("relu", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "erf")
    found = {name: Case([WIDE], getattr(k, name), t.get(name), j.get(name)) for name in names}
    conv, maps = (64, 64, 3, 3), (32, 64, 28, 28)
    norms = [IMAGES, (32,), (32,)]
    moments = {"mean": np.zeros(32, np.float32), "variance": np.ones(32, np.float32)}
    dense = [(4160, 192), (768, 192), (768,)]
    ours: dict[str, tuple[Any, Callable[..., Any]]] = {
        "gelu, tanh": ([WIDE], lambda x: k.gelu(x, approximate="tanh")),
        "dropout": ([WIDE], lambda x: k.dropout(x, MASK, p=0.1)),
        "linear": (dense, k.linear),
        "linear, gelu": (dense, lambda *a: k.linear(*a, activation="gelu")),
        "softmax": ([(12480, 65)], k.softmax),
        "log_softmax": ([(1024, 1000)], k.log_softmax),
        "layer_norm": ([(1040, 192), (192,), (192,)], k.layer_norm),
        "batch_norm": (norms, k.batch_norm),
        "batch_norm, evaluation": (norms, lambda *a: k.batch_norm(*a, **moments)),
        "group_norm": (norms, lambda *a: k.group_norm(*a, groups=8)),
        "group_norm, silu": (norms, lambda *a: k.group_norm(*a, groups=8, activation="silu")),
        "mse": ([WIDE, WIDE], k.mse),
        "bce_with_logits": ([WIDE], lambda x: k.bce_with_logits(x, TARGETS)),
        "cross_entropy": ([(256, 1000)], lambda x: k.cross_entropy(x, LABELS)),
        "conv2d": ([maps, conv, (64,)], lambda *a: k.conv2d(*a, padding=1)),
        "conv2d, stride 2": ([maps, conv, (64,)], lambda *a: k.conv2d(*a, padding=1, stride=2)),
        "conv2d, 1 x 1": ([maps, (64, 64, 1, 1), (64,)], k.conv2d),
        "conv2d, images alone": ([maps], lambda x: k.conv2d(x, FILTERS, padding=1)),
        "conv_transpose2d": (
            [(32, 64, 14, 14), (64, 32, 4, 4), (32,)],
            lambda *a: k.conv_transpose2d(*a, padding=1, stride=2),
        ),
        "max_pool2d": ([IMAGES], lambda x: k.max_pool2d(x, kernel_size=2)),
        "avg_pool2d": ([IMAGES], lambda x: k.avg_pool2d(x, kernel_size=2)),
        "upsample_nearest2d": ([(16, 32, 14, 14)], k.upsample_nearest2d),
        "embedding": ([(96, 64)], lambda w: k.embedding(INDICES, w)),
        "attention": ([(16, 3, 65, 64)] * 3, k.attention),
        "attention, causal": ([(8, 8, 128, 64)] * 3, lambda *a: k.attention(*a, causal=True)),
        "attention, dropout": (
            [(8, 8, 128, 64)] * 3,
            lambda *a: k.attention(*a, None, KEEP, p=0.1),
        ),
        "self_attention": ([(16, 65, 576)], lambda x: k.self_attention(x, num_heads=3)),
        "additive_attention": (
            [(32, 20, 64), (32, 20, 64), (64,), (32, 20, 64)],
            k.additive_attention,
        ),
        "rnn": (recurrent(1), k.rnn),
        "lstm": (recurrent(4, 2), lambda *a: k.lstm(*a)[0]),
        "gru": (recurrent(3), k.gru),
    }
    for name, (shapes, function) in ours.items():
        found[name] = Case(shapes, function, t.get(name), j.get(name), SCALES.get(name, 1.0))
    return found


def torch_functions() -> dict[str, Callable[..., Any]]:
    """The same in PyTorch."""
    try:
        import torch
        from torch.nn import functional as F
    except ImportError:
        return {}
    torch.set_num_threads(1)
    labels, mask, keep = torch.from_numpy(LABELS), torch.from_numpy(MASK), torch.from_numpy(KEEP)
    targets, indices, filters = map(torch.from_numpy, (TARGETS, INDICES, FILTERS))
    zeros, ones = torch.zeros(32), torch.ones(32)
    tri = torch.ones(128, 128, dtype=torch.bool).tril()

    def attend(q: Any, key: Any, v: Any, visible: Any = None, kept: Any = None) -> Any:
        scores = q @ key.mT * q.shape[-1] ** -0.5
        if visible is not None:
            scores = scores.masked_fill(~visible, -torch.inf)
        weights = torch.softmax(scores, -1)
        return (weights if kept is None else weights * kept / 0.9) @ v

    def packed(x: Any) -> Any:
        b, n, d = x.shape
        y = attend(*x.view(b, n, 3, 3, -1).permute(2, 0, 3, 1, 4).unbind(0))
        return y.transpose(1, 2).reshape(b, n, d // 3)

    def additive(q: Any, key: Any, v: Any, value: Any) -> Any:
        return torch.softmax(torch.tanh(q[..., :, None, :] + key[..., None, :, :]) @ v, -1) @ value

    def layer(kind: str) -> Callable[..., Any]:
        function = getattr(torch, kind)
        two = kind == "lstm"

        def run(x: Any, *rest: Any) -> Any:
            states = [s[None] for s in rest[: 1 + two]]
            first = states if two else states[0]
            return function(x, first, list(rest[1 + two :]), True, 1, 0.0, False, False, False)[0]

        return run

    return {
        "relu": F.relu, "leaky_relu": F.leaky_relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
        "silu": F.silu, "gelu": F.gelu, "erf": torch.erf,
        "gelu, tanh": lambda x: F.gelu(x, approximate="tanh"),
        "dropout": lambda x: x * mask / 0.9,
        "linear": F.linear,
        "linear, gelu": lambda *a: F.gelu(F.linear(*a)),
        "softmax": lambda x: torch.softmax(x, -1),
        "log_softmax": lambda x: torch.log_softmax(x, -1),
        "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
        "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        "batch_norm, evaluation": lambda x, w, b: F.batch_norm(x, zeros, ones, w, b),
        "group_norm": lambda x, w, b: F.group_norm(x, 8, w, b),
        "group_norm, silu": lambda x, w, b: F.silu(F.group_norm(x, 8, w, b)),
        "mse": F.mse_loss,
        "bce_with_logits": lambda x: F.binary_cross_entropy_with_logits(x, targets),
        "cross_entropy": lambda x: F.cross_entropy(x, labels),
        "conv2d": lambda *a: F.conv2d(*a, padding=1),
        "conv2d, stride 2": lambda *a: F.conv2d(*a, padding=1, stride=2),
        "conv2d, 1 x 1": F.conv2d,
        "conv2d, images alone": lambda x: F.conv2d(x, filters, padding=1),
        "conv_transpose2d": lambda *a: F.conv_transpose2d(*a, padding=1, stride=2),
        "max_pool2d": lambda x: F.max_pool2d(x, 2),
        "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
        "upsample_nearest2d": lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
        "embedding": lambda w: F.embedding(indices, w),
        "attention": attend,
        "attention, causal": lambda *a: attend(*a, tri),
        "attention, dropout": lambda *a: attend(*a, None, keep),
        "self_attention": packed,
        "additive_attention": additive,
        "rnn": layer("rnn_tanh"), "lstm": layer("lstm"), "gru": layer("gru"),
    }  # fmt: skip


def jax_functions() -> dict[str, Callable[..., Any]]:
    """The same in JAX."""
    try:
        import jax
        import jax.numpy as jnp
        from jax import lax, nn
    except ImportError:
        return {}

    def normal(x: Any, axes: Any, w: Any, b: Any, shape: Any) -> Any:
        centred = x - jnp.mean(x, axes, keepdims=True)
        y = centred * lax.rsqrt(jnp.mean(centred * centred, axes, keepdims=True) + 1e-5)
        return y.reshape(shape) * w + b

    def grouped(x: Any, w: Any, b: Any) -> Any:
        column = (-1, 1, 1)
        return normal(x.reshape(len(x), 8, -1), -1, w.reshape(column), b.reshape(column), x.shape)

    def conv(x: Any, w: Any, b: Any = None, padding: int = 0, stride: int = 1) -> Any:
        y = lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2)
        return y if b is None else y + b.reshape(-1, 1, 1)

    def transposed(x: Any, w: Any, b: Any) -> Any:
        turned = jnp.flip(w, (2, 3)).swapaxes(0, 1)
        y = lax.conv_general_dilated(x, turned, (1, 1), [(2, 2)] * 2, lhs_dilation=(2, 2))
        return y + b.reshape(-1, 1, 1)

    def pool(start: Any, reduce: Any) -> Callable[[Any], Any]:
        return lambda x: lax.reduce_window(x, start, reduce, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def attend(q: Any, key: Any, v: Any, visible: Any = None, kept: Any = None) -> Any:
        scores = q @ key.swapaxes(-1, -2) * q.shape[-1] ** -0.5
        weights = nn.softmax(
            scores if visible is None else jnp.where(visible, scores, -jnp.inf), -1
        )
        return (weights if kept is None else weights * kept / 0.9) @ v

    def packed(x: Any) -> Any:
        b, n, d = x.shape
        y = attend(*x.reshape(b, n, 3, 3, -1).transpose(2, 0, 3, 1, 4))
        return y.swapaxes(1, 2).reshape(b, n, d // 3)

    def additive(q: Any, key: Any, v: Any, value: Any) -> Any:
        return nn.softmax(jnp.tanh(q[..., :, None, :] + key[..., None, :, :]) @ v, -1) @ value

    def rnn(x: Any, h0: Any, wi: Any, wh: Any, bi: Any, bh: Any) -> Any:
        def step(h: Any, a: Any) -> Any:
            h = jnp.tanh(a + h @ wh.T)
            return h, h

        return lax.scan(step, h0, x @ wi.T + (bi + bh))[1]

    def lstm(x: Any, h0: Any, c0: Any, wi: Any, wh: Any, bi: Any, bh: Any) -> Any:
        def step(state: Any, a: Any) -> Any:
            h, c = state
            i, f, z, o = jnp.split(a + h @ wh.T, 4, -1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(z)
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        return lax.scan(step, (h0, c0), x @ wi.T + (bi + bh))[1]

    def gru(x: Any, h0: Any, wi: Any, wh: Any, bi: Any, bh: Any) -> Any:
        def step(h: Any, a: Any) -> Any:
            (ar, az, an), (br, bz, bn) = jnp.split(a, 3, -1), jnp.split(h @ wh.T + bh, 3, -1)
            r, z = nn.sigmoid(ar + br), nn.sigmoid(az + bz)
            n = jnp.tanh(an + r * bn)
            h = (1 - z) * n + z * h
            return h, h

        return lax.scan(step, h0, x @ wi.T + bi)[1]

    def as_column(w: Any) -> Any:
        return w.reshape(-1, 1, 1)

    def batch(x: Any, w: Any, b: Any) -> Any:
        return normal(x, (0, 2, 3), as_column(w), as_column(b), x.shape)

    def evaluated(x: Any, w: Any, b: Any) -> Any:
        return x * as_column(w / (1 + 1e-5) ** 0.5) + as_column(b)

    rows = np.arange(256)
    return {
        "relu": nn.relu, "leaky_relu": nn.leaky_relu, "sigmoid": nn.sigmoid,
        "tanh": jnp.tanh, "silu": nn.silu,
        "gelu": lambda x: nn.gelu(x, approximate=False), "erf": jax.scipy.special.erf,
        "gelu, tanh": nn.gelu,
        "dropout": lambda x: x * MASK / 0.9,
        "linear": lambda x, w, b: x @ w.T + b,
        "linear, gelu": lambda x, w, b: nn.gelu(x @ w.T + b, approximate=False),
        "softmax": nn.softmax,
        "log_softmax": nn.log_softmax,
        "layer_norm": lambda x, w, b: normal(x, -1, w, b, x.shape),
        "batch_norm": batch,
        "batch_norm, evaluation": evaluated,
        "group_norm": grouped,
        "group_norm, silu": lambda *a: nn.silu(grouped(*a)),
        "mse": lambda p, t: jnp.mean((p - t) ** 2),
        "bce_with_logits": lambda x: jnp.mean(jnp.logaddexp(0, x) - TARGETS * x),
        "cross_entropy": lambda x: -jnp.mean(nn.log_softmax(x)[rows, LABELS]),
        "conv2d": functools.partial(conv, padding=1),
        "conv2d, stride 2": functools.partial(conv, padding=1, stride=2),
        "conv2d, 1 x 1": conv,
        "conv2d, images alone": lambda x: conv(x, FILTERS, padding=1),
        "conv_transpose2d": transposed,
        "max_pool2d": pool(-jnp.inf, lax.max),
        "avg_pool2d": lambda x: pool(0.0, lax.add)(x) / 4,
        "upsample_nearest2d": lambda x: jnp.repeat(jnp.repeat(x, 2, -2), 2, -1),
        "embedding": lambda w: w[INDICES],
        "attention": attend,
        "attention, causal": lambda *a: attend(*a, np.tri(128, dtype=bool)),
        "attention, dropout": lambda *a: attend(*a, None, KEEP),
        "self_attention": packed,
        "additive_attention": additive,
        "rnn": rnn, "lstm": lstm, "gru": gru,
    }  # fmt: skip


# ------------------------------------------------------------------------------------ the libraries


def ours(f: Callable[..., Any], args: Sequence[np.ndarray], tangents: Sequence[np.ndarray]) -> Pair:
    return lambda: without_record(f, args), lambda: tg.jvp(f, args, tangents)


def without_record(f: Callable[..., Any], args: Sequence[Any]) -> Any:
    with tg.no_grad():
        return f(*args)


def in_torch(
    f: Callable[..., Any], args: Sequence[np.ndarray], tangents: Sequence[np.ndarray]
) -> Pair:
    import torch

    x, v = (
        tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
        for arrays in (args, tangents)
    )

    def alone() -> Any:
        with torch.no_grad():
            return f(*x)

    return alone, lambda: torch.func.jvp(f, x, v)


def in_jax(
    f: Callable[..., Any], args: Sequence[np.ndarray], tangents: Sequence[np.ndarray]
) -> Pair:
    import jax

    x, v = (
        tuple(jax.numpy.asarray(np.ascontiguousarray(a)) for a in arrays)
        for arrays in (args, tangents)
    )
    alone, pushed = jax.jit(f), jax.jit(lambda x, v: jax.jvp(f, x, v))
    return lambda: jax.block_until_ready(alone(*x)), lambda: jax.block_until_ready(pushed(x, v))


LIBRARIES: dict[str, Callable[..., Pair]] = {"ours": ours, "torch": in_torch, "jax": in_jax}


def drawn(shape: tuple[int, ...], rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """Images lie as the kernels leave them, with their channels last."""
    if len(shape) != 4 or shape[2] != shape[3] or shape[2] < 14:
        return np.float32(scale) * rng.standard_normal(shape, np.float32)
    n, c, h, w = shape
    return np.float32(scale) * rng.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


def medians(runs: dict[str, Pair], seconds: float) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Milliseconds of each library's two runs, taken in turns; and why some cannot."""
    reasons, results = {}, {}
    for name, pair in list(runs.items()):
        try:
            results[name] = [run() for run in pair * 2][-1]
        except Exception as error:  # what a peer has no tangent for
            reasons[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"
            del runs[name]
    for name, result in results.items():
        check_agreement(name, result, results["ours"])
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in runs}
    start, turns = time.perf_counter(), 0
    while turns < TURNS or time.perf_counter() - start < seconds:
        turns += 1
        for name, pair in runs.items():
            for run, found in zip(pair, times[name], strict=True):
                before = time.process_time()
                run()
                found.append(time.process_time() - before)
    return {
        name: [1e3 * statistics.median(t) for t in both] for name, both in times.items()
    }, reasons


def check_agreement(name: str, theirs: Any, ours: Any) -> None:
    """Raise AssertionError if a library's numbers are not ours, to three digits."""
    pairs = zip(reversed(arrays_of(theirs)), reversed(arrays_of(ours)), strict=False)
    for their, our in pairs:
        tolerance = 1e-3 * max(1.0, float(np.max(np.abs(our))))
        np.testing.assert_allclose(their, our, rtol=1e-3, atol=tolerance, err_msg=name)


def arrays_of(result: Any) -> list[np.ndarray]:
    """The arrays in a result, one by one."""
    if isinstance(result, (list, tuple)):
        return [array for part in result for array in arrays_of(part)]
    return [np.asarray(result)]


def measured(runs: dict[str, Pair], seconds: float = SECONDS) -> dict[str, Any]:
    """Times and ratios by library."""
    times, reasons = medians(runs, seconds)
    result: dict[str, Any] = {}
    for name, (alone, pushed) in times.items():
        result[name] = {
            "function": round(alone, 4),
            "derivative": round(pushed, 4),
            "ratio": round(pushed / alone, 2),
        }
    return result | ({"absent": reasons} if reasons else {})


def of_case(case: Case) -> dict[str, Pair]:
    rng = np.random.default_rng(SEED)
    args = [drawn(shape, rng, case.scale) for shape in case.shapes]
    tangents = [drawn(shape, rng) for shape in case.shapes]
    functions = {"ours": case.ours, "torch": case.torch, "jax": case.jax}
    return {
        name: LIBRARIES[name](f, args, tangents) for name, f in functions.items() if f is not None
    }


# --------------------------------------------------------------------------------------- the models


def of_model(workload: str) -> dict[str, Pair]:
    """The forward pass of a workload's model, with tangents for the images."""
    from .speed import ours as our_models

    sizes, rng = sizes_of(workload), np.random.default_rng(SEED)
    weights = our_models.weights(workload, rng=rng)
    assert isinstance(sizes, (ViTSizes, UNetSizes))
    if isinstance(sizes, ViTSizes):
        shape, times = (sizes.batch, *sizes.image_shape), ()
        model: Any = ViT(sizes.config, rng=rng)
    else:
        shape, times = (
            (sizes.batch, 1, sizes.side, sizes.side),
            (rng.integers(0, 1000, sizes.batch),),
        )
        model = UNet(sizes.config, rng=rng)
    model.load_state_dict(weights)
    model.eval()
    x, v = rng.standard_normal((2, *shape), np.float32)
    runs = {"ours": ours(lambda images: model(images, *times), [x], [v])}
    with_peers = {"torch": torch_model, "jax": jax_model}
    for name, build in with_peers.items():
        try:
            runs[name] = LIBRARIES[name](build(workload, weights, times), [x], [v])
        except ImportError:
            continue
    return runs


def torch_model(
    workload: str, weights: dict[str, np.ndarray], times: tuple[np.ndarray, ...]
) -> Callable[..., Any]:
    import torch

    from .speed import torch_eager, torch_unet

    sizes: Any = sizes_of(workload)
    model = torch_eager.ViT(sizes) if isinstance(sizes, ViTSizes) else torch_unet.UNet(sizes.config)
    model.load_state_dict(
        {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in weights.items()}
    )
    model.eval().requires_grad_(False)
    others = [torch.from_numpy(t) for t in times]
    attention = torch.nn.attention
    math = functools.partial(
        attention.sdpa_kernel, attention.SDPBackend.MATH
    )  # the one with forward mode

    def run(images: Any) -> Any:
        with math():
            return model(images, *others)

    return run


def jax_model(
    workload: str, weights: dict[str, np.ndarray], times: tuple[np.ndarray, ...]
) -> Callable[..., Any]:
    import jax.numpy as jnp

    from models.generative.unet import time_embedding

    from .speed.functional import unet, vit
    from .speed.peer_jax import MATHS

    sizes: Any = sizes_of(workload)
    w = {n: jnp.asarray(a) for n, a in weights.items()}
    if isinstance(sizes, ViTSizes):
        return lambda images: vit(MATHS, sizes, w, images)
    embedded = jnp.asarray(time_embedding(times[0], sizes.base_channels))
    return lambda images: unet(MATHS, sizes.config, w, images, embedded)


# -------------------------------------------------------------------- Jacobians, second derivatives

INPUTS, HIDDEN, OUTPUTS = 1000, 100, 3


def jacobians(inputs: int, outputs: int) -> tuple[dict[str, Pair], int]:
    """The function and its Jacobian in each library; and the number of our passes.

    Peers get the mode that suits the shape.
    """
    rng = np.random.default_rng(SEED)
    w1 = rng.standard_normal((inputs, HIDDEN), np.float32) / np.float32(inputs**0.5)
    w2 = rng.standard_normal((HIDDEN, outputs), np.float32) / np.float32(HIDDEN**0.5)
    x = rng.standard_normal(inputs, np.float32)
    f = lambda x: np.tanh(np.tanh(x @ w1) @ w2)
    jacobian = tg.jacobian(f)
    runs: dict[str, Pair] = {"ours": (lambda: f(x), lambda: jacobian(x))}
    high = outputs > inputs
    if "torch" in installed():
        import torch

        a, b, z = map(torch.from_numpy, (w1, w2, x))
        g = lambda z: torch.tanh(torch.tanh(z @ a) @ b)
        theirs = (torch.func.jacfwd if high else torch.func.jacrev)(g)
        runs["torch"] = (lambda: g(z), lambda: theirs(z))
    if "jax" in installed():
        import jax

        aj, bj, xj = map(jax.numpy.asarray, (w1, w2, x))
        h = lambda z: jax.numpy.tanh(jax.numpy.tanh(z @ aj) @ bj)
        alone, compiled = jax.jit(h), jax.jit((jax.jacfwd if high else jax.jacrev)(h))
        runs["jax"] = (
            lambda: jax.block_until_ready(alone(xj)),
            lambda: jax.block_until_ready(compiled(xj)),
        )
    return runs, passes(lambda: jacobian(x))


def passes(run: Run) -> int:
    """How many times gradients or tangents go through a record."""
    count = 0
    originals = {name: getattr(transforms, name) for name in ("backpropagate", "pushforward")}

    def counted(original: Any) -> Any:
        def one(*args: Any) -> Any:
            nonlocal count
            count += 1
            return original(*args)

        return one

    try:
        for name, original in originals.items():
            setattr(transforms, name, counted(original))
        run()
    finally:
        for name, original in originals.items():
            setattr(transforms, name, original)
    return count


def hessian_products() -> dict[str, Pair]:
    """The gradient of a small network's loss in all weights, and its Hessian times a vector.

    That is forward over reverse.
    """
    rng = np.random.default_rng(SEED)
    x, y = rng.standard_normal((128, 64), np.float32), rng.standard_normal((128, 8), np.float32)
    w = [rng.standard_normal(s, np.float32) / 8 for s in ((64, 256), (256, 8))]
    v = [rng.standard_normal(a.shape, np.float32) for a in w]

    def loss_in(xp: Any, x: Any, y: Any) -> Callable[[Any], Any]:
        return lambda w: (((xp.tanh(x @ w[0]) @ w[1]) - y) ** 2).mean()

    f = loss_in(np, x, y)
    gradient = tg.grad(f)
    runs: dict[str, Pair] = {"ours": (lambda: gradient(w), lambda: tg.hvp(f, w, v))}
    if "torch" in installed():
        import torch

        tw, tv = ([torch.from_numpy(a) for a in arrays] for arrays in (w, v))
        tf = torch.func.grad(loss_in(torch, torch.from_numpy(x), torch.from_numpy(y)))
        runs["torch"] = (lambda: tf(tw), lambda: torch.func.jvp(tf, (tw,), (tv,)))
    if "jax" in installed():
        import jax

        jw, jv = ([jax.numpy.asarray(a) for a in arrays] for arrays in (w, v))
        jf = jax.grad(loss_in(jax.numpy, jax.numpy.asarray(x), jax.numpy.asarray(y)))
        alone, product = jax.jit(jf), jax.jit(lambda w, v: jax.jvp(jf, (w,), (v,)))
        runs["jax"] = (
            lambda: jax.block_until_ready(alone(jw)),
            lambda: jax.block_until_ready(product(jw, jv)),
        )
    return runs


@functools.cache
def installed() -> list[str]:
    """The peers that are there."""
    return [
        name
        for name, functions in (("torch", torch_functions()), ("jax", jax_functions()))
        if functions
    ]


# --------------------------------------------------------------------------------------- the report

MODELS = {"ViT": "W2", "UNet": "W3"}
SECOND = {
    f"jacobian {INPUTS} -> {OUTPUTS}": lambda: jacobians(INPUTS, OUTPUTS),
    f"jacobian {OUTPUTS} -> {INPUTS}": lambda: jacobians(OUTPUTS, INPUTS),
    "hvp over gradient": lambda: (hessian_products(), None),
}


def run(name: str, seconds: float) -> dict[str, Any]:
    """The figures of a case, a model or a second derivative."""
    if name in MODELS:
        return measured(of_model(MODELS[name]), 4 * seconds)
    if name in SECOND:
        runs, count = SECOND[name]()
        return measured(runs, seconds) | ({"passes": count} if count else {})
    return measured(of_case(cases()[name]), seconds)


def table(results: dict[str, Any]) -> str:
    """Markdown: ratios, and the milliseconds of the derivative."""
    lines = [
        "| | ours | torch | JAX | ours, ms | torch, ms | JAX, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        cells = [f"{name}, {result['passes']} passes" if "passes" in result else name]
        for what, form in (("ratio", "{:.2f}"), ("derivative", "{:.3g}")):
            for library in ("ours", *PEERS):
                cells.append(form.format(result[library][what]) if library in result else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", help="a kernel, ViT, UNet, jacobian, hvp: what begins like this"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of each; models take four times as long"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    keep_freed_memory()
    names = [*cases(), *MODELS, *SECOND]
    if args.only:
        names = [name for name in names if name.startswith(tuple(args.only))]
    known = json.loads(args.json.read_text())["results"] if args.json and args.json.exists() else {}
    results = {}
    with progress_bar(len(names), "cases") as bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the peers
        for name in names:
            results[name] = run(name, args.seconds)
            bar.update()
    print(table(results))
    if args.json:
        everything = {"machine": report.machine(), "results": known | results}
        with atomic_write(args.json) as file:
            file.write(json.dumps(everything, indent=1).encode())


if __name__ == "__main__":
    main()
