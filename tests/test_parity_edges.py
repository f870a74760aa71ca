"""Every layer and optimiser at the edges against PyTorch's: the same value and gradients, or a refusal by both.

The edges are empty batches, sizes of one, NumPy's whole numbers, infinities and NaN among the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import Tensor, kernels, nn, optim

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

# The normalisation of 1e30 is noise in PyTorch, and in attention a rounding of 1e-17 of it hides every gradient beside it:
# these take the first four only.
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30, 1e-30]
WHOLE = [int, np.int64, np.uint8, np.int32]
DTYPES = [(np.float64, torch.float64, 1e-9), (np.float32, torch.float32, 2e-4)]
REFUSED = (ValueError, TypeError, RuntimeError, AssertionError)  # PyTorch's are any of these
Draw = Callable[[st.SearchStrategy[Any]], Any]

# A case draws: how to build ours and theirs, of the same arguments, and the shape of the input.
Case = tuple[Callable[..., Any], Callable[..., Any], tuple[int, ...]]


def sizes(draw: Draw, count: int, least: int = 1, most: int = 4) -> list[Any]:
    """Whole numbers, Python's or NumPy's."""
    kind = draw(st.sampled_from(WHOLE))
    return [kind(draw(st.integers(least, most))) for _ in range(count)]


def ints(values: Any) -> Any:
    """For PyTorch, which does not take NumPy's everywhere."""
    return tuple(map(int, values)) if isinstance(values, (tuple, list)) else int(values)


def linear(draw: Draw) -> Case:
    a, b = sizes(draw, 2)
    bias = draw(st.booleans())
    shape = (*draw(st.sampled_from([(0,), (1,), (3,), (2, 0), (2, 3)])), int(a))
    return (lambda **o: nn.Linear(a, b, bias, **o)), (lambda: torch.nn.Linear(ints(a), ints(b), bias)), shape


def convolution(draw: Draw, transposed: bool) -> Case:
    (groups,) = sizes(draw, 1, most=2)
    inputs, outputs = (type(groups)(groups * draw(st.integers(1, 2))) for _ in range(2))
    kernel = tuple(sizes(draw, 2, most=3))
    options: dict[str, Any] = {"stride": sizes(draw, 1, most=3)[0], "dilation": tuple(sizes(draw, 2, most=3))}
    options |= {"padding": tuple(sizes(draw, 2, least=0, most=2)), "groups": groups, "bias": draw(st.booleans())}
    if transposed:
        options["output_padding"] = tuple(sizes(draw, 2, least=0, most=2))
    elif draw(st.integers(0, 3)) == 0:
        options["padding"] = "same"
    theirs = {name: v if isinstance(v, (bool, str)) else ints(v) for name, v in options.items()}
    kind, peer = (
        (nn.ConvTranspose2d, torch.nn.ConvTranspose2d) if transposed else (nn.Conv2d, torch.nn.Conv2d)
    )
    shape = (draw(st.integers(0, 2)), int(inputs), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    return (
        lambda **o: kind(inputs, outputs, kernel, **options, **o),
        lambda: peer(ints(inputs), ints(outputs), ints(kernel), **theirs),
        shape,
    )


def batch_norm(draw: Draw) -> Case:
    (channels,) = sizes(draw, 1)
    momentum, eps = draw(st.sampled_from([None, 0.0, 0.1, 1.0])), draw(st.sampled_from([1e-5, 0.1]))
    n, side = draw(st.integers(0, 3)), draw(st.integers(1, 2))
    evaluated = draw(st.booleans())

    def build(kind: Any, **dtype: Any) -> Any:
        layer = kind(channels if kind is nn.BatchNorm2d else ints(channels), eps, momentum, **dtype)
        return layer.eval() if evaluated else layer

    return (
        lambda dtype, rng: build(nn.BatchNorm2d, dtype=dtype),
        lambda: build(torch.nn.BatchNorm2d),
        (n, int(channels), side, side),
    )


def layer_norm(draw: Draw) -> Case:
    shape = sizes(draw, draw(st.integers(1, 2)))
    leading = draw(st.sampled_from([(0,), (1,), (2, 3)]))
    return (
        lambda dtype, rng: nn.LayerNorm(shape, dtype=dtype),
        lambda: torch.nn.LayerNorm(ints(shape)),
        (*leading, *ints(shape)),
    )


def group_norm(draw: Draw) -> Case:
    groups, channels = sizes(draw, 2)
    shape = (draw(st.integers(0, 2)), int(channels), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return (
        lambda dtype, rng: nn.GroupNorm(groups, channels, dtype=dtype),
        lambda: torch.nn.GroupNorm(ints(groups), ints(channels)),
        shape,
    )


def attention(draw: Draw) -> Case:
    heads, of_head = sizes(draw, 2, most=2)
    d = int(heads) * int(of_head) + draw(st.integers(0, 1))
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 3)), d)

    class Peer(torch.nn.MultiheadAttention):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                return super().forward(x, x, x, need_weights=False)[0]

    return (
        lambda **o: nn.MultiheadAttention(type(heads)(d), heads, **o),
        lambda: Peer(d, ints(heads), batch_first=True),
        shape,
    )


def recurrent(draw: Draw, kind: Any, peer: Any) -> Case:
    a, b, layers = sizes(draw, 3, most=3)
    options = {"batch_first": draw(st.booleans()), "bidirectional": draw(st.booleans())}
    shape = (draw(st.integers(0, 3)), draw(st.integers(0, 3)), int(a))

    class Peer(peer):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return super().forward(x)[0]

    class Ours(kind):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return super().forward(x)[0]

    return (
        lambda **o: Ours(a, b, layers, **options, **o),
        lambda: Peer(ints(a), ints(b), ints(layers), **options),
        shape,
    )


def elementwise(kind: Any, peer: Any) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        shape = draw(st.sampled_from([(), (0,), (1,), (2, 0, 3), (3, 4)]))
        return (lambda dtype, rng: kind()), peer, shape

    return case


class Pool(nn.Module):
    """A pooling kernel as a layer."""

    def __init__(self, kernel: Any, *args: Any) -> None:
        self.kernel = kernel
        self.args = args

    def forward(self, x: Any) -> Any:
        size, stride, padding = self.args
        return self.kernel(x, kernel_size=size, stride=stride, padding=padding)


def pooling(draw: Draw, kernel: Any, peer: Any) -> Case:
    size, stride = sizes(draw, 2, most=3)
    (padding,) = sizes(draw, 1, least=0, most=2)
    shape = (draw(st.integers(0, 2)), *(draw(st.integers(1, 5)) for _ in range(3)))
    return (
        lambda dtype, rng: Pool(kernel, size, stride, padding),
        lambda: peer(*ints([size, stride, padding])),
        shape,
    )


CASES: dict[str, Callable[[Draw], Case]] = {
    "linear": linear,
    "conv2d": lambda draw: convolution(draw, transposed=False),
    "conv_transpose2d": lambda draw: convolution(draw, transposed=True),
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "attention": attention,
    "rnn": lambda draw: recurrent(draw, nn.RNN, torch.nn.RNN),
    "gru": lambda draw: recurrent(draw, nn.GRU, torch.nn.GRU),
    "lstm": lambda draw: recurrent(draw, nn.LSTM, torch.nn.LSTM),
    "relu": elementwise(nn.ReLU, torch.nn.ReLU),
    "leaky_relu": elementwise(nn.LeakyReLU, torch.nn.LeakyReLU),
    "sigmoid": elementwise(nn.Sigmoid, torch.nn.Sigmoid),
    "tanh": elementwise(nn.Tanh, torch.nn.Tanh),
    "gelu": elementwise(nn.GELU, torch.nn.GELU),
    "gelu-tanh": elementwise(lambda: nn.GELU("tanh"), lambda: torch.nn.GELU("tanh")),
    "silu": elementwise(nn.SiLU, torch.nn.SiLU),
    "max_pool2d": lambda draw: pooling(draw, kernels.max_pool2d, torch.nn.MaxPool2d),
    "avg_pool2d": lambda draw: pooling(draw, kernels.avg_pool2d, torch.nn.AvgPool2d),
}


def refused(f: Callable[[], Any]) -> Any:
    """What f gives, or the error that it raises."""
    try:
        return f()
    except REFUSED as error:
        return error


def example(shape: tuple[int, ...], dtype: Any) -> Any:
    """Ones of a shape, but not empty: PyTorch does not check what is empty."""
    return torch.ones([max(1, n) for n in shape], dtype=dtype)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("special", [False, True])
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_a_layer_at_the_edges(name: str, special: bool, data: Any, seed: int) -> None:
    build, peer, shape = CASES[name](data.draw)
    dtype, torch_dtype, tolerance = data.draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(seed)
    theirs = refused(lambda: peer().to(torch_dtype))
    ours = refused(lambda: build(dtype=dtype, rng=rng))
    x = rng.normal(size=shape).astype(dtype)
    peer_refuses = isinstance(theirs, Exception) or isinstance(refused(lambda: theirs(example(shape, torch_dtype))), Exception)
    if isinstance(ours, Exception):
        assert peer_refuses, (ours, theirs)
        return
    assert not isinstance(theirs, Exception), (ours, theirs)
    theirs = refused(lambda: peer().to(torch_dtype))  # with statistics as new
    ours.load_state_dict({n: p.detach().numpy() for n, p in theirs.state_dict().items()})
    if special and x.size:
        places = rng.integers(0, x.size, size=2)
        few = "norm" in name or name == "attention"
        x.reshape(-1)[places] = rng.choice(SPECIAL[:4] if few else SPECIAL, size=2)
    a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = refused(lambda: ours(a)), refused(lambda: theirs(b))
    if isinstance(y, Exception):
        assert peer_refuses or isinstance(z, Exception), (y, z)
        return
    # PyTorch refuses a group norm whose groups have one element, as if it were a batch norm that trains.
    if name == "group_norm" and isinstance(z, ValueError) and "more than 1 value" in str(z):
        return np.testing.assert_array_equal(y.data.ravel(), ours.bias.data)
    assert not isinstance(z, Exception), (y, z)
    close = lambda one, two: np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)
    assert y.dtype == dtype
    # PyTorch's gelu is NaN at infinity in some lanes of float32; in its gradient "tanh" multiplies an infinite x^3 by 0.
    counts = ~np.isinf(x**3) if name.startswith("gelu") else ...
    close(y.data[counts], z.detach().numpy()[counts])
    g = rng.normal(size=y.shape).astype(dtype)
    y.backward(g)
    z.backward(torch.tensor(g))
    if special and name == "max_pool2d":  # ties share the gradient here
        return
    if name == "relu":
        counts = ~np.isnan(x)  # its gradient at NaN is 0 here
    if name == "gelu-tanh":
        close(a.grad[~counts], np.where(x > 0, g, 0)[~counts])
    close(a.grad[counts], b.grad.numpy()[counts])
    parameters = dict(theirs.named_parameters())
    for path, parameter in ours.named_parameters():
        wanted = parameters[path].grad
        wanted = np.zeros(parameter.shape) if wanted is None else wanted.numpy()
        # PyTorch multiplies infinities by the zeros of its padding here.
        counts = np.isfinite(wanted) if name == "conv_transpose2d" else ...
        close(parameter.grad[counts], wanted[counts])
    for path, buffer in ours.named_buffers():
        close(buffer, theirs.get_buffer(path).numpy())


OPTIMISERS: list[tuple[Any, Any, list[dict[str, Any]]]] = [
    (optim.SGD, torch.optim.SGD, [{}, {"momentum": 0.9, "nesterov": True}, {"dampening": -0.5, "momentum": 0.9}]),
    (optim.Adam, torch.optim.Adam, [{}, {"betas": (0.0, 0.0)}, {"eps": 0.0}, {"weight_decay": 0.1}]),
    (optim.AdamW, torch.optim.AdamW, [{}, {"betas": (0.0, 0.99)}, {"weight_decay": 0.0}]),
    (optim.RMSprop, torch.optim.RMSprop, [{}, {"alpha": 0.0}, {"centered": True}, {"momentum": 0.9}]),
]


@pytest.mark.parametrize("kind, peer, settings", OPTIMISERS, ids=[kind.__name__ for kind, *_ in OPTIMISERS])
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_an_optimiser_at_the_edges(kind: Any, peer: Any, settings: Any, data: Any, seed: int) -> None:
    """Parameters without axes, without elements, of one element; a rate of 0; gradients of 0, infinity and NaN."""
    options = {"lr": data.draw(st.sampled_from([0.0, 1e-3, 1.0])), **data.draw(st.sampled_from(settings))}
    dtype, _, tolerance = data.draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape).astype(dtype) for shape in ((), (0,), (1,), (2, 0), (3, 2))]
    ours = [nn.parameter(w.copy()) for w in weights]
    theirs = [torch.tensor(w, requires_grad=True) for w in weights]
    one, two = kind(ours, **options), peer(theirs, **options)
    special = data.draw(st.booleans())
    for step in range(3):
        for p, q in zip(ours, theirs, strict=True):
            g = np.asarray(rng.normal(size=p.shape), dtype)
            if special and step == 1 and g.size:
                g.reshape(-1)[0] = rng.choice(SPECIAL[:4])
            p.grad, q.grad = g, torch.tensor(g)
        one.step()
        two.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=tolerance, atol=tolerance)
