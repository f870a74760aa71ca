"""Kernels, layers and optimisers against PyTorch's: values and gradients in float64 over random shapes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import Tensor, kernels, nn, optim

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity

seeds = st.integers(0, 2**16)
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)


def both(ours: Any, theirs: Any, values: list[np.ndarray], tolerance: float = 1e-10) -> None:
    """The same value, and the same gradients of a random combination of its elements."""
    tensors = [Tensor(v, requires_grad=True) for v in values]
    torches = [torch.tensor(v, requires_grad=True) for v in values]
    one, two = ours(*tensors), theirs(*torches)
    np.testing.assert_allclose(one.numpy(), two.detach().numpy(), rtol=tolerance, atol=tolerance)
    cotangent = np.random.default_rng(0).normal(size=one.shape)
    one.backward(cotangent)
    two.backward(torch.tensor(cotangent))
    for a, b in zip(tensors, torches, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=tolerance, atol=tolerance)


def normal(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [2 * rng.normal(size=shape) for shape in shapes]


# -------------------------------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (kernels.relu, F.relu),
        (lambda x: kernels.leaky_relu(x, negative_slope=0.2), lambda x: F.leaky_relu(x, 0.2)),
        (kernels.sigmoid, torch.sigmoid),
        (kernels.tanh, torch.tanh),
        (kernels.silu, F.silu),
        (kernels.gelu, F.gelu),
        (lambda x: kernels.gelu(x, approximate="tanh"), lambda x: F.gelu(x, approximate="tanh")),
        (lambda x: kernels.softmax(x, axis=0), lambda x: F.softmax(x, dim=0)),
        (kernels.softmax, lambda x: F.softmax(x, dim=-1)),
        (lambda x: kernels.log_softmax(x, axis=0), lambda x: F.log_softmax(x, dim=0)),
        (kernels.log_softmax, lambda x: F.log_softmax(x, dim=-1)),
        (kernels.layer_norm, lambda x: F.layer_norm(x, x.shape[-1:])),
        (lambda x: kernels.layer_norm(x, shape=x.shape), lambda x: F.layer_norm(x, x.shape)),
    ],
)
@given(shape=shapes, seed=seeds)
def test_functions_of_one_array(ours: Any, theirs: Any, shape: tuple[int, ...], seed: int) -> None:
    both(ours, theirs, normal(seed, shape))


@given(leading=shapes, sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)), bias=st.booleans(), seed=seeds)
def test_linear(leading: tuple[int, ...], sizes: tuple[int, int], bias: bool, seed: int) -> None:
    inputs, outputs = sizes
    biases = [(outputs,)] if bias else []
    both(kernels.linear, F.linear, normal(seed, (*leading, inputs), (outputs, inputs), *biases))


@given(shape=st.lists(st.integers(2, 5), min_size=2, max_size=4).map(tuple), training=st.booleans(), seed=seeds)
def test_batch_norm(shape: tuple[int, ...], training: bool, seed: int) -> None:
    channels = shape[1:2]
    mean, variance = normal(seed + 1, channels, channels)
    variance = variance**2
    fixed: dict[str, Any] = {} if training else {"mean": mean, "variance": variance}

    def theirs(x: Any, weight: Any, bias: Any) -> Any:
        return F.batch_norm(x, torch.tensor(mean), torch.tensor(variance), weight, bias, training, eps=1e-3)

    both(lambda *v: kernels.batch_norm(*v, eps=1e-3, **fixed), theirs, normal(seed, shape, channels, channels))


@given(shape=shapes, start=st.integers(0, 2), seed=seeds)
def test_layer_norm(shape: tuple[int, ...], start: int, seed: int) -> None:
    ending = shape[min(start, len(shape) - 1) :]
    both(
        lambda *v: kernels.layer_norm(*v, eps=1e-3),
        lambda x, weight, bias: F.layer_norm(x, ending, weight, bias, eps=1e-3),
        normal(seed, shape, ending, ending),
    )


reductions = st.sampled_from(["mean", "sum", "none"])


@given(shape=shapes, reduction=reductions, seed=seeds)
def test_mse(shape: tuple[int, ...], reduction: str, seed: int) -> None:
    options = {"reduction": reduction}
    both(lambda *v: kernels.mse(*v, **options), lambda *v: F.mse_loss(*v, **options), normal(seed, shape, shape))


@given(shape=shapes, reduction=reductions, weighted=st.booleans(), scale=st.sampled_from([1, 500]), seed=seeds)
def test_bce_with_logits(shape: tuple[int, ...], reduction: str, weighted: bool, scale: float, seed: int) -> None:
    logits, targets, weight = normal(seed, shape, shape, shape)
    ours_weight, theirs_weight = (weight, torch.tensor(weight)) if weighted else (None, None)
    both(
        lambda x, t: kernels.bce_with_logits(x, t, ours_weight, reduction=reduction),
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, theirs_weight, reduction=reduction),
        [scale * logits, 1 / (1 + np.exp(-targets))],
    )


@given(
    rows=st.integers(1, 6),
    classes=st.integers(1, 5),
    reduction=reductions,
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    weighted=st.booleans(),
    ignore_index=st.sampled_from([-100, 0]),
    scale=st.sampled_from([1, 500]),
    seed=seeds,
)
def test_cross_entropy(
    rows: int,
    classes: int,
    reduction: str,
    smoothing: float,
    weighted: bool,
    ignore_index: int,
    scale: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    if (labels == ignore_index).all():
        reduction = "sum"  # there is no mean
    weight = rng.uniform(0.5, 2, classes)
    ours_weight, theirs_weight = (weight, torch.tensor(weight)) if weighted else (None, None)
    options: dict[str, Any] = {"label_smoothing": smoothing, "ignore_index": ignore_index, "reduction": reduction}
    both(
        lambda x: kernels.cross_entropy(x, labels, ours_weight, **options),
        lambda x: F.cross_entropy(x, torch.tensor(labels), theirs_weight, **options),
        [scale * rng.normal(size=(rows, classes))],
    )


# --------------------------------------------------------------------------------------------------------------- layers


def pair(seed: int = 0) -> tuple[nn.Sequential, Any]:
    """The same network, ours and theirs, with different weights."""
    rng = np.random.default_rng(seed)
    ours = nn.Sequential(
        nn.Linear(6, 8, rng=rng, dtype=np.float64),
        nn.BatchNorm1d(8, dtype=np.float64),
        nn.ReLU(),
        nn.Linear(8, 5, bias=False, rng=rng, dtype=np.float64),
        nn.LayerNorm(5, dtype=np.float64),
        nn.Sequential(nn.GELU("tanh"), nn.SiLU(), nn.LeakyReLU(0.2), nn.Sigmoid(), nn.Softmax(-1)),
    )
    theirs = torch.nn.Sequential(
        torch.nn.Linear(6, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 5, bias=False),
        torch.nn.LayerNorm(5),
        torch.nn.Sequential(
            torch.nn.GELU("tanh"), torch.nn.SiLU(), torch.nn.LeakyReLU(0.2), torch.nn.Sigmoid(), torch.nn.Softmax(-1)
        ),
    ).double()
    return ours, theirs


def compare(ours: nn.Module, theirs: Any, seed: int) -> None:
    """Outputs and parameter gradients over three batches of training, buffers, then outputs in evaluation."""
    rng = np.random.default_rng(seed)
    ours.train()
    theirs.train()
    for _ in range(3):
        x, cotangent = rng.normal(size=(7, 6)), rng.normal(size=(7, 5))
        ours.zero_grad()
        theirs.zero_grad()
        one, two = ours(x), theirs(torch.tensor(x))
        np.testing.assert_allclose(one.numpy(), two.detach().numpy(), rtol=1e-10, atol=1e-10)
        one.backward(cotangent)
        two.backward(torch.tensor(cotangent))
        gradients = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
        assert gradients.keys() == dict(ours.named_parameters()).keys()
        for name, parameter in ours.named_parameters():
            np.testing.assert_allclose(parameter.grad, gradients[name], rtol=1e-10, atol=1e-10)
    for name, buffer in ours.named_buffers():
        np.testing.assert_allclose(buffer, dict(theirs.named_buffers())[name].numpy(), rtol=1e-10)
    x = rng.normal(size=(3, 6))
    np.testing.assert_allclose(ours.eval()(x).numpy(), theirs.eval()(torch.tensor(x)).detach().numpy(), atol=1e-10)


@given(seed=seeds)
def test_weights_interchange_both_ways(seed: int) -> None:
    ours, theirs = pair(seed)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    compare(ours, theirs, seed)
    ours, theirs = pair(seed)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    compare(ours, theirs, seed)


def test_batch_norm_layer_of_sequences() -> None:
    ours, theirs = nn.BatchNorm1d(3, dtype=np.float64), torch.nn.BatchNorm1d(3).double()
    x = np.random.default_rng(0).normal(size=(4, 3, 5))
    np.testing.assert_allclose(ours(x).numpy(), theirs(torch.tensor(x)).detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(ours.running_var, theirs.running_var.numpy(), rtol=1e-10)


# ----------------------------------------------------------------------------------- containers

changes = st.sampled_from(["append", "insert", "set", "delete", "delete slice", "pop"])


def shapes_by_name(module: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(array.shape)) for name, array in module.state_dict().items()]


@pytest.mark.parametrize("kind", ["ModuleList", "Sequential"])
@given(course=st.lists(st.tuples(changes, st.integers(-4, 4)), max_size=12))
def test_lists_of_modules_change_alike(kind: str, course: list[tuple[str, int]]) -> None:
    """Each module has a size of its own, by which the state shows where it went."""
    ours = getattr(nn, kind)()
    theirs = getattr(torch.nn, kind)()
    for size, (change, index) in enumerate(course, 1):
        new = nn.Linear(1, size, bias=False, rng=np.random.default_rng(0))
        for modules, module in ((ours, new), (theirs, torch.nn.Linear(1, size, bias=False))):
            count = len(modules)
            if change == "append":
                modules.append(module)
            elif change == "insert":
                modules.insert(min(abs(index), count), module)
            elif change == "delete slice":
                del modules[1:index]
            elif -count <= index < count and change == "set":
                modules[index] = module
            elif -count <= index < count and change == "pop":
                modules.pop(index)
            elif -count <= index < count:
                del modules[index]
        assert shapes_by_name(ours) == shapes_by_name(theirs)
        assert shapes_by_name(ours[1:3]) == shapes_by_name(theirs[1:3])


def test_containers_have_the_names_of_pytorchs() -> None:
    def filled(n: Any, layer: Any, parameter: Any) -> Any:
        module = n.Module()
        module.heads = n.ModuleDict({"box": layer(4), "class": layer(3)})
        module.tables = n.ParameterList([parameter(2), parameter(5)])
        module.scales = n.ParameterDict({"x": parameter(1), "y": parameter(6)})
        module.body = n.Sequential(OrderedDict(first=layer(2), then=n.ReLU(), last=layer(1)))
        module.heads["mask"] = layer(7)
        module.tables.append(parameter(3))
        module.scales["x"] = parameter(8)
        del module.heads["box"]
        return module

    rng = np.random.default_rng(0)
    ours = filled(nn, lambda n: nn.Linear(1, n, rng=rng), lambda n: nn.parameter(np.ones(n)))
    theirs = filled(
        torch.nn,
        lambda n: torch.nn.Linear(1, n),
        lambda n: torch.nn.Parameter(torch.ones(n)),
    )
    assert shapes_by_name(ours) == shapes_by_name(theirs)


# ----------------------------------------------------------------------------------------------------------- optimisers

OPTIMISERS = [
    (optim.SGD, "SGD", {}),
    (optim.SGD, "SGD", {"weight_decay": 0.1}),
    (optim.SGD, "SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    (optim.SGD, "SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (optim.SGD, "SGD", {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    (optim.Adam, "Adam", {}),
    (optim.Adam, "Adam", {"betas": (0.5, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.AdamW, "AdamW", {}),
    (optim.AdamW, "AdamW", {"weight_decay": 0.3, "betas": (0.8, 0.9)}),
    (optim.Adagrad, "Adagrad", {}),
    (optim.Adagrad, "Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3}),
    (optim.RMSprop, "RMSprop", {}),
    (optim.RMSprop, "RMSprop", {"alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1}),
    (optim.RMSprop, "RMSprop", {"momentum": 0.9}),
    (optim.RMSprop, "RMSprop", {"momentum": 0.5, "centered": True}),
]


@pytest.mark.parametrize("ours, theirs, options", OPTIMISERS, ids=lambda v: str(v) if not isinstance(v, type) else "")
@given(seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_optimisers_agree_over_fifty_steps(
    ours: Any, theirs: str, options: dict[str, Any], seed: int, dtype: Any
) -> None:
    """The same gradients, a changing rate, and a parameter that now and then has none."""
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (4,), ())]
    tensors = [Tensor(v, requires_grad=True) for v in values]
    torches = [torch.tensor(v, requires_grad=True) for v in values]
    one = ours(tensors, lr=0.01, **options)
    two = getattr(torch.optim, theirs)(torches, lr=0.01, **options)
    for step in range(50):
        one.lr = two.param_groups[0]["lr"] = 0.01 * (1 + step % 3)
        for a, b in zip(tensors, torches, strict=True):
            gradient = rng.normal(size=a.shape).astype(dtype)
            absent = a is tensors[1] and step % 7 == 3
            a.grad, b.grad = (None, None) if absent else (np.asarray(gradient), torch.tensor(gradient))
        one.step()
        two.step()
    for a, b in zip(tensors, torches, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-6 if dtype is np.float64 else 2e-5, atol=1e-6)


def steps_of_both(one: Any, two: Any, rng: np.random.Generator, count: int) -> None:
    """Steps of ours and PyTorch's optimiser with the same gradients, the second parameter's missing at times."""
    torches = [p for group in two.param_groups for p in group["params"]]
    for step in range(count):
        for i, (a, b) in enumerate(zip(one.parameters, torches, strict=True)):
            gradient = rng.normal(size=a.shape).astype(a.dtype)
            absent = i == 1 and step % 2 == 0
            a.grad, b.grad = (None, None) if absent else (gradient, torch.tensor(gradient))
        one.step()
        two.step()


def as_tensors(nested: dict[str, Any]) -> dict[str, Any]:
    """A state of ours for PyTorch."""
    states = {n: {name: torch.as_tensor(a) for name, a in s.items()} for n, s in nested["state"].items()}
    return {**nested, "state": states}


def assert_same(one: Any, two: Any, dtype: Any) -> None:
    """The same parameters, and the same state under the same names."""
    tolerance = {"rtol": 1e-12, "atol": 1e-13} if dtype == np.float64 else {"rtol": 2e-5, "atol": 1e-6}
    torches = [p for group in two.param_groups for p in group["params"]]
    for a, b in zip(one.parameters, torches, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), **tolerance)
    own = one.torch_state_dict()["state"]
    for n, state in two.state_dict()["state"].items():
        for name, array in state.items():
            if array is not None:
                np.testing.assert_allclose(own[n][name], array, **tolerance, err_msg=name)


@pytest.mark.parametrize("direction", ["from PyTorch", "to PyTorch"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ours, theirs, options", OPTIMISERS, ids=lambda v: str(v) if not isinstance(v, type) else "")
def test_the_state_of_optimisers_interchanges(
    ours: Any, theirs: str, options: dict[str, Any], dtype: Any, direction: str
) -> None:
    """Five steps, the state handed over with the options of two groups, five steps more on both sides."""
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape).astype(dtype) for shape in ((3, 4), (4,), ())]

    def make(weights: list[np.ndarray], **options: Any) -> tuple[Any, Any]:
        tensors = [Tensor(v, requires_grad=True) for v in weights]
        torches = [torch.tensor(v, requires_grad=True) for v in weights]
        groups = [[{"params": p[:2], **options}, {"params": p[2:], **options}] for p in (tensors, torches)]
        return ours(groups[0], lr=0.5), getattr(torch.optim, theirs)(groups[1], lr=0.5)

    one, two = make(values, **options)
    for optimiser in (one, two):
        optimiser.param_groups[0]["lr"], optimiser.param_groups[1]["lr"] = 0.01, 0.02
    steps_of_both(one, two, np.random.default_rng(1), 5)
    other_one, other_two = make([p.data for p in one.parameters])  # without these options
    if direction == "from PyTorch":
        other_one.load_state_dict(two.state_dict())
        one = other_one
    else:
        other_two.load_state_dict(as_tensors(one.torch_state_dict()))
        two = other_two
    assert [group["lr"] for group in one.param_groups] == [0.01, 0.02]
    assert_same(one, two, dtype)
    steps_of_both(one, two, np.random.default_rng(2), 5)
    assert_same(one, two, dtype)


SCHEDULES: dict[str, tuple[Any, Any, float]] = {
    "exponential": (optim.exponential(0.9), lambda o, s: s.ExponentialLR(o, 0.9), 1.0),
    "step": (optim.step_decay(7, 0.5), lambda o, s: s.StepLR(o, 7, 0.5), 1.0),
    "multi-step": (optim.multi_step([3, 10, 11]), lambda o, s: s.MultiStepLR(o, [3, 10, 11]), 1.0),
    "restarts": (optim.cosine_restarts(5), lambda o, s: s.CosineAnnealingWarmRestarts(o, 5), 1.0),
    "longer restarts": (
        optim.cosine_restarts(3, 2, 0.1),
        lambda o, s: s.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.1),
        1.0,
    ),
    "one cycle": (optim.one_cycle(40), lambda o, s: s.OneCycleLR(o, 1.0, 40), 1.0),
    "one cycle, other options": (
        optim.one_cycle(40, 0.11, 0.5, 0.01),
        lambda o, s: s.OneCycleLR(o, 2.0, 40, pct_start=0.11, div_factor=2, final_div_factor=50),
        2.0,
    ),
    "cosine": (optim.cosine(40, 0.1), lambda o, s: s.CosineAnnealingLR(o, 40, 0.1), 1.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore")
def test_schedules_agree(name: str) -> None:
    ours, theirs, rate = SCHEDULES[name]
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = theirs(optimiser, torch.optim.lr_scheduler)
    for step in range(40):
        assert rate * ours(step) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9), step
        optimiser.step()
        if step < 39:
            scheduler.step()


@given(losses=st.lists(st.sampled_from([0.5, 0.9, 0.99995, 1.0, 2.0]), max_size=20), patience=st.integers(0, 3))
def test_the_plateau_schedule_agrees(losses: list[float], patience: int) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=patience, eps=0)
    ours = optim.Plateau(0.5, patience)
    for loss in losses:
        ours.update(loss)
        theirs.step(loss)
        assert ours(0) == optimiser.param_groups[0]["lr"]


@given(seed=seeds, maximum=st.floats(0.1, 10))
def test_clipping_agrees(seed: int, maximum: float) -> None:
    values = normal(seed, (3, 4), (5,))
    tensors = [Tensor(np.zeros_like(v), requires_grad=True) for v in values]
    torches = [torch.zeros_like(torch.tensor(v), requires_grad=True) for v in values]
    for a, b, value in zip(tensors, torches, values, strict=True):
        a.grad, b.grad = value.copy(), torch.tensor(value)
    norm = torch.nn.utils.clip_grad_norm_(torches, maximum)
    assert optim.clip_grad_norm_(tensors, maximum) == pytest.approx(norm.item(), rel=1e-10)
    for a, b in zip(tensors, torches, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-5)  # theirs divides by norm + 1e-6


# ------------------------------------------------------------- what is a formula of other kernels


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (kernels.elu, F.elu),
        (lambda x: kernels.elu(x, alpha=0.5), lambda x: F.elu(x, 0.5)),
        (kernels.softplus, lambda x: F.softplus(x, threshold=40)),
        (lambda x: kernels.softplus(x, beta=0.5), lambda x: F.softplus(x, 0.5)),
        (lambda x: kernels.rms_norm(x, eps=1e-3), lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-3)),
        (lambda x: kernels.rms_norm(x, shape=x.shape), lambda x: F.rms_norm(x, x.shape, eps=1e-5)),
        (nn.RMSNorm(1, elementwise_affine=False), torch.nn.RMSNorm(1, elementwise_affine=False)),
    ],
)
@given(shape=shapes.map(lambda s: (*s, 1)), seed=seeds)
def test_formulas_of_one_array(ours: Any, theirs: Any, shape: tuple[int, ...], seed: int) -> None:
    both(ours, theirs, normal(seed, shape))


@given(shape=shapes, channels=st.integers(1, 3), seed=seeds)
def test_prelu(shape: tuple[int, ...], channels: int, seed: int) -> None:
    one, two = nn.PReLU(channels, dtype=np.float64), torch.nn.PReLU(channels).double()
    (x,) = normal(seed, (2, channels, *shape))
    both(one, two, [x])
    np.testing.assert_allclose(one.weight.grad, two.weight.grad.numpy(), rtol=1e-10, atol=1e-10)


@given(shape=shapes, reduction=reductions, beta=st.sampled_from([0.0, 0.5, 1.0]), seed=seeds)
def test_losses_of_differences(shape: tuple[int, ...], reduction: str, beta: float, seed: int) -> None:
    values = normal(seed, shape, shape)
    options: dict[str, Any] = {"reduction": reduction}
    both(nn.MSELoss(**options), torch.nn.MSELoss(**options), values)
    both(nn.L1Loss(**options), torch.nn.L1Loss(**options), values)
    both(nn.SmoothL1Loss(beta=beta, **options), torch.nn.SmoothL1Loss(beta=beta, **options), values)


def probabilities(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits)
    return e / e.sum(axis=-1, keepdims=True)


@given(rows=st.integers(1, 4), classes=st.integers(1, 5), reduction=reductions, seed=seeds)
def test_losses_of_probabilities(rows: int, classes: int, reduction: str, seed: int) -> None:
    logits, others = normal(seed, (rows, classes), (rows, classes))
    p = probabilities(others)
    both(nn.CrossEntropyLoss(reduction=reduction), torch.nn.CrossEntropyLoss(reduction=reduction), [logits, p])
    log_q = np.log(probabilities(logits))
    both(nn.KLDivLoss(reduction), torch.nn.KLDivLoss(reduction=reduction), [log_q, p])
    p[:, 0] = 0
    target = torch.tensor(p)
    both(lambda x: kernels.kl_div(x, p, reduction=reduction), lambda x: F.kl_div(x, target, reduction=reduction), [log_q])


@given(
    rows=st.integers(1, 6),
    classes=st.integers(2, 5),
    reduction=reductions,
    weighted=st.booleans(),
    ignore_index=st.sampled_from([-100, 1]),
    seed=seeds,
)
def test_losses_of_labels(
    rows: int, classes: int, reduction: str, weighted: bool, ignore_index: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    labels[0] = 0  # one that counts
    weight = rng.uniform(0.5, 2, classes) if weighted else None
    theirs_weight = torch.tensor(weight) if weighted else None
    options: dict[str, Any] = {"ignore_index": ignore_index, "reduction": reduction}
    logits = rng.normal(size=(rows, classes))
    for kind, x in (("CrossEntropyLoss", logits), ("NLLLoss", np.log(probabilities(logits)))):
        one = getattr(nn, kind)(weight, **options)
        two = getattr(torch.nn, kind)(theirs_weight, **options)
        both(lambda x, one=one: one(x, labels), lambda x, two=two: two(x, torch.tensor(labels)), [x])


@given(rows=st.integers(1, 4), columns=st.integers(1, 3), reduction=reductions, weighted=st.booleans(), seed=seeds)
def test_bce_with_pos_weight(rows: int, columns: int, reduction: str, weighted: bool, seed: int) -> None:
    logits, targets, weight = normal(seed, (rows, columns), (rows, columns), (columns,))
    targets, pos_weight = 1 / (1 + np.exp(-targets)), np.abs(weight)
    given_weight = np.array([0.3]) if weighted else None
    one = nn.BCEWithLogitsLoss(given_weight, reduction, pos_weight)
    two = torch.nn.BCEWithLogitsLoss(
        torch.tensor(given_weight) if weighted else None, reduction=reduction, pos_weight=torch.tensor(pos_weight)
    )
    both(lambda x: one(x, targets), lambda x: two(x, torch.tensor(targets)), [logits])


sides = st.tuples(st.integers(1, 6), st.integers(1, 6))


@given(image=sides, size=sides, corners=st.booleans(), seed=seeds)
def test_images_of_another_size(image: tuple[int, int], size: tuple[int, int], corners: bool, seed: int) -> None:
    values = normal(seed, (2, 3, *image))
    bilinear: dict[str, Any] = {"size": size, "mode": "bilinear", "align_corners": corners}
    both(lambda x: kernels.interpolate(x, **bilinear), lambda x: F.interpolate(x, **bilinear), values)
    both(lambda x: kernels.interpolate(x, size=size), lambda x: F.interpolate(x, size), values)
    both(nn.AdaptiveAvgPool2d(size), torch.nn.AdaptiveAvgPool2d(size), values)


@given(image=sides, r=st.integers(1, 3), seed=seeds)
def test_pixel_shuffle(image: tuple[int, int], r: int, seed: int) -> None:
    both(nn.PixelShuffle(r), torch.nn.PixelShuffle(r), normal(seed, (2, 2 * r * r, *image)))


@pytest.mark.parametrize("kind", ["MaxPool2d", "AvgPool2d"])
@given(size=st.integers(1, 3), stride=st.none() | st.integers(1, 3), seed=seeds)
def test_pooling_layers(kind: str, size: int, stride: int | None, seed: int) -> None:
    options = (size, stride, size // 2)
    both(getattr(nn, kind)(*options), getattr(torch.nn, kind)(*options), normal(seed, (2, 3, 5, 4)))


# --------------------------------------------------------------------- layers with fewer parameters

LAYERS: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "batch norm": (lambda n, o: n.BatchNorm1d(3, affine=False, **o), {}, (4, 3)),
    "batch norm 2d": (lambda n, o: n.BatchNorm2d(3, affine=False, **o), {}, (4, 3, 2, 2)),
    "layer norm": (lambda n, o: n.LayerNorm((2, 3), elementwise_affine=False, **o), {}, (4, 2, 3)),
    "layer norm, no bias": (lambda n, o: n.LayerNorm(3, bias=False, **o), {}, (4, 3)),
    "group norm": (lambda n, o: n.GroupNorm(2, 4, affine=False, **o), {}, (3, 4, 2)),
    "instance norm": (lambda n, o: n.InstanceNorm2d(3, **o), {}, (4, 3, 2, 5)),
    "instance norm, affine": (lambda n, o: n.InstanceNorm2d(3, affine=True, **o), {}, (4, 3, 2, 5)),
    "rms norm": (lambda n, o: n.RMSNorm((2, 3), **o), {}, (4, 2, 3)),
    "rms norm, eps": (lambda n, o: n.RMSNorm(3, eps=0.1, **o), {}, (4, 3)),
    "conv 1d": (lambda n, o: n.Conv1d(4, 6, 3, 2, 1, **o), "rng", (2, 4, 9)),
    "conv 1d, same": (lambda n, o: n.Conv1d(4, 6, 4, padding="same", dilation=2, groups=2, **o), "rng", (2, 4, 9)),
    "conv 1d, no bias": (lambda n, o: n.Conv1d(4, 6, 3, bias=False, **o), "rng", (2, 4, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_parameters_and_the_values_of_theirs(name: str) -> None:
    make, random, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    one = make(nn, {"dtype": np.float64} | ({"rng": rng} if random else {}))
    two = make(torch.nn, {"dtype": torch.float64})
    assert {n: p.shape for n, p in one.state_dict().items()} == {n: tuple(p.shape) for n, p in two.state_dict().items()}
    one.load_state_dict({n: rng.normal(size=p.shape) for n, p in one.state_dict().items() if p.ndim}, strict=False)
    two.load_state_dict({n: torch.tensor(p) for n, p in one.state_dict().items()})
    for mode in (True, False):
        one.train(mode).zero_grad()
        two.train(mode).zero_grad()
        if not mode and "batch" in name:
            np.abs(one.running_var, out=one.running_var)
            two.running_var.abs_()
        both(one, two, [rng.normal(size=shape)])
        theirs = dict(two.named_parameters())
        for n, p in one.named_parameters():
            np.testing.assert_allclose(p.grad, theirs[n].grad.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("padding_idx", [0, 2, -1])
def test_an_embedding_with_padding(padding_idx: int) -> None:
    rng = np.random.default_rng(0)
    one = nn.Embedding(4, 3, padding_idx, rng=rng, dtype=np.float64)
    two = torch.nn.Embedding(4, 3, padding_idx).double()
    assert not one.weight.data[padding_idx].any() and one.padding_idx == two.padding_idx
    weight = rng.normal(size=(4, 3))
    one.load_state_dict({"weight": weight})
    two.load_state_dict({"weight": torch.tensor(weight)})
    indices = np.array([[0, 3, 2], [2, 0, 1]])
    cotangent = rng.normal(size=(2, 3, 3))
    y, z = one(indices), two(torch.tensor(indices))
    np.testing.assert_array_equal(y.numpy(), z.detach().numpy())
    y.backward(cotangent)
    z.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(one.weight.grad, two.weight.grad.numpy(), rtol=1e-12)
    assert not one.weight.grad[padding_idx].any()
