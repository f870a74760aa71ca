"""Modules, initialisers and layers."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections import OrderedDict, defaultdict, deque, namedtuple
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import Tensor, nn, optim


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Twin(nn.Module):
    """A module with a parameter, a buffer, a child, and the child's weight a second time."""

    def __init__(self) -> None:
        self.scale = Tensor(np.ones(1, np.float32), requires_grad=True)
        self.register_buffer("count", np.array(3))
        self.body = nn.Sequential(nn.Linear(2, 3, rng=rng()), nn.BatchNorm1d(3), nn.ReLU())
        self.tied = self.body[0].weight
        self.constant = Tensor(np.ones(2))

    def forward(self, x: Any) -> Any:
        return self.body(x) * self.scale


NAMES = [
    "scale",
    "tied",
    "body.0.weight",
    "body.0.bias",
    "body.1.weight",
    "body.1.bias",
    "body.1.running_mean",
    "body.1.running_var",
    "body.1.num_batches_tracked",
    "count",
]


def test_names_are_paths_and_shared_parameters_come_once() -> None:
    module = Twin()
    assert set(module.state_dict()) == set(NAMES)
    assert {n for n, _ in module.named_buffers()} == {
        n for n in NAMES if "running" in n or "count" in n or "num" in n
    }
    parameters = list(module.parameters())
    assert len(parameters) == 5 and len({id(p) for p in parameters}) == 5
    assert module.state_dict()["tied"] is module.state_dict()["body.0.weight"]


def test_state_dict_loads_into_another_module() -> None:
    one, two = Twin(), Twin()
    one.body[0].weight.data += 1
    one(np.ones((4, 2), np.float32))
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(array, two.state_dict()[name])
        assert not np.shares_memory(array, two.state_dict()[name])


def test_load_state_dict_lists_what_is_wrong_and_then_loads_nothing() -> None:
    module = nn.Sequential(nn.Linear(2, 3, rng=rng()), nn.Linear(3, 1, rng=rng()))
    before = {n: a.copy() for n, a in module.state_dict().items()}
    state = {
        "0.weight": np.zeros((2, 3)),
        "0.bias": np.zeros(3),
        "1.weight": np.zeros((1, 3)),
        "2.bias": np.zeros(1),
    }
    with pytest.raises(ValueError) as raised:
        module.load_state_dict(state)
    for words in (
        "0.weight (2, 3), not (3, 2)",
        "missing: 1.bias",
        "unexpected: 2.bias",
        "Sequential",
    ):
        assert words in str(raised.value)
    with pytest.raises(ValueError, match="wrong shape"):
        module.load_state_dict(state, strict=False)
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    module.load_state_dict({"0.bias": np.zeros(3), "extra": np.zeros(1)}, strict=False)
    assert not module.state_dict()["0.bias"].any()


def test_modules_in_a_plain_list_are_refused() -> None:
    module = nn.Module()
    with pytest.raises(TypeError, match=r"self.blocks = nn.ModuleList"):
        module.blocks = [nn.ReLU(), nn.Tanh()]


def test_module_list() -> None:
    blocks = nn.ModuleList(nn.Linear(2, 2, rng=rng(i)) for i in range(3))
    blocks.append(nn.ReLU())
    assert len(blocks) == 4 and isinstance(blocks[-1], nn.ReLU) and blocks[1] is list(blocks)[1]
    assert {n.split(".")[0] for n in blocks.state_dict()} == {"0", "1", "2"}


def test_train_and_eval_reach_all_below() -> None:
    module = Twin()
    assert module.eval() is module and not any(m.training for m in module.modules())
    assert all(m.training for m in module.train().modules())


def test_frozen_parameters_stay_parameters() -> None:
    module = Twin().requires_grad_(False)
    assert not module(np.ones((4, 2), np.float32)).requires_grad and set(
        module.state_dict()
    ) == set(NAMES)
    assert all(p.requires_grad for p in module.requires_grad_().parameters())


def test_zero_grad() -> None:
    module = Twin()
    module(np.ones((4, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    module.zero_grad()
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies_stand_alone(clone: Any) -> None:
    module = nn.Sequential(nn.Linear(2, 3, rng=rng()), nn.BatchNorm1d(3))
    other = clone(module)
    x = rng().normal(size=(4, 2)).astype(np.float32)
    np.testing.assert_array_equal(module(x).numpy(), other(x).numpy())
    other[0].weight.data[...] = 0
    assert module[0].weight.data.any() and len(list(other.parameters())) == 4


def test_repr_counts_parameters() -> None:
    text = repr(
        nn.Sequential(
            nn.Linear(64, 128, rng=rng()), nn.LeakyReLU(0.2), nn.Linear(128, 1, rng=rng())
        )
    )
    assert text.splitlines() == [
        "Sequential(  # 8,449 parameters",
        "  (0): Linear(64, 128) + (1): LeakyReLU(0.2)  # one operation, 8,320 parameters",
        "  (2): Linear(128, 1)  # 129 parameters",
        ")",
    ]


# ------------------------------------------------------------------------------------- initialisers

SHAPE = (200, 300)


@pytest.mark.parametrize(
    "initialiser, options, std, bound",
    [
        (nn.init.kaiming_uniform, {}, np.sqrt(2 / 300), np.sqrt(6 / 300)),
        (nn.init.kaiming_normal, {"negative_slope": 0.2}, np.sqrt(2 / (1.04 * 300)), np.inf),
        (nn.init.xavier_uniform, {}, np.sqrt(2 / 500), np.sqrt(6 / 500)),
        (nn.init.xavier_normal, {"gain": 2.0}, 2 * np.sqrt(2 / 500), np.inf),
        (nn.init.uniform, {"low": -1, "high": 1}, np.sqrt(1 / 3), 1),
        (nn.init.normal, {"std": 0.02}, 0.02, np.inf),
        (
            nn.init.trunc_normal,
            {"std": 1},
            0.8796,
            2,
        ),  # the deviation of a normal number cut off at 2
        (nn.init.orthogonal, {}, np.sqrt(1 / 300), np.inf),
        (nn.init.zeros, {}, 0, 0),
    ],
)
def test_initialisers_have_their_deviation_and_bound(
    initialiser: Any, options: Any, std: float, bound: float
) -> None:
    values = initialiser(SHAPE, rng=rng(), **options)
    assert values.shape == SHAPE and values.dtype == np.float32
    assert abs(values.mean()) <= 5 * std / np.sqrt(values.size) + 1e-9
    assert values.std() == pytest.approx(std, rel=0.02)
    assert np.abs(values).max() <= bound * (1 + 1e-6) and (
        np.isinf(bound) or np.abs(values).max() >= 0.999 * bound
    )
    np.testing.assert_array_equal(values, initialiser(SHAPE, rng=rng(), **options))


@given(rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_orthogonal_is_orthogonal(rows: int, columns: int) -> None:
    q = nn.init.orthogonal((rows, columns), rng=rng(), dtype=np.float64)
    small = q @ q.T if rows <= columns else q.T @ q
    np.testing.assert_allclose(small, np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_prefers_no_direction() -> None:
    """Haar's measure is symmetric; the Q of a QR decomposition as it comes is not."""
    generator = rng()
    corners = [nn.init.orthogonal((3, 3), rng=generator)[0, 0] for _ in range(400)]
    assert abs(np.mean(corners)) < 5 / np.sqrt(3 * 400)


def test_fans_count_the_receptive_field() -> None:
    assert nn.init.kaiming_uniform((8, 4, 3, 3), rng=rng()).max() <= np.sqrt(6 / 36)
    with pytest.raises(ValueError, match=r"\(7,\)"):
        nn.init.xavier_normal((7,), rng=rng())


# ------------------------------------------------------------------------------------------- layers


def test_linear_starts_within_its_bound_and_can_have_no_bias() -> None:
    layer = nn.Linear(100, 50, bias=False, rng=rng(), dtype=np.float64)
    assert (
        layer.weight.shape == (50, 100)
        and np.abs(layer.weight.data).max() <= 0.1
        and layer.weight.dtype == np.float64
    )
    assert list(layer.state_dict()) == ["weight"] and "bias=False" in repr(layer)


def test_batch_norm_runs_its_statistics_in_training_and_uses_them_in_evaluation() -> None:
    layer, x = nn.BatchNorm1d(3, momentum=0.5, dtype=np.float64), rng().normal(2, 3, (10, 3))
    np.testing.assert_allclose(layer(x).numpy(), (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5))
    np.testing.assert_allclose(layer.running_mean, 0.5 * x.mean(0))
    np.testing.assert_allclose(layer.running_var, 0.5 + 0.5 * x.var(0, ddof=1))
    assert layer.num_batches_tracked == 1 and layer.state_dict()["num_batches_tracked"].shape == ()
    layer.eval()
    expected = (x - layer.running_mean) / np.sqrt(layer.running_var + 1e-5)
    np.testing.assert_allclose(layer(x).numpy(), expected)
    np.testing.assert_allclose(layer(x[:1]).numpy(), expected[:1])
    assert layer.num_batches_tracked == 1


def test_batch_norm_of_one_sample_is_refused_in_training() -> None:
    with pytest.raises(ValueError, match="one value per channel"):
        nn.BatchNorm1d(3)(np.zeros((1, 3)))


def test_batch_norm_of_pictures_runs_over_their_places_too_and_wants_pictures() -> None:
    layer, x = nn.BatchNorm2d(3, dtype=np.float64), rng().normal(2, 3, (4, 3, 5, 2))
    rows = np.moveaxis(x, 1, -1).reshape(-1, 3)
    expected = (x - rows.mean(0)[:, None, None]) / np.sqrt(rows.var(0)[:, None, None] + 1e-5)
    np.testing.assert_allclose(layer(x).numpy(), expected)
    np.testing.assert_allclose(layer.running_mean, 0.1 * rows.mean(0))
    with pytest.raises(ValueError, match=r"\(4, 3\); images are \(N, C, H, W\)"):
        layer(x[..., 0, 0])


@given(p=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    layer, x = nn.Dropout(p, rng=rng()), np.ones(100_000, np.float32)
    y = layer(x)
    assert abs(np.mean(y == 0) - p) < 0.01 and set(np.unique(y)) <= {
        np.float32(0),
        np.float32(1 / (1 - p) if p < 1 else 0),
    }
    assert y.dtype == np.float32 and layer.eval()(x) is x


def test_shapes_flatten_and_come_back() -> None:
    x = Tensor(np.arange(24.0).reshape(2, 3, 4))
    flat = nn.Flatten()(x)
    assert flat.shape == (2, 12)
    np.testing.assert_array_equal(nn.Unflatten((3, 4))(flat).numpy(), x.numpy())
    assert nn.Flatten()(np.zeros((0, 3, 4))).shape == (0, 12)


@pytest.mark.parametrize(
    "layer, expected",
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Tanh(), np.tanh),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (nn.Softmax(0), lambda x: np.exp(x) / np.exp(x).sum(0)),
        (
            nn.GELU("tanh"),
            lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        ),
        (
            nn.LayerNorm(4, eps=0.1, dtype=np.float64),
            lambda x: (x - x.mean(1)[:, None]) / np.sqrt(x.var(1) + 0.1)[:, None],
        ),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "",
)
def test_layers_compute_their_function(layer: nn.Module, expected: Any) -> None:
    x = rng().normal(size=(3, 4))
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), expected(x), rtol=1e-12)


def test_a_network_learns_exclusive_or() -> None:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    network = nn.Sequential(nn.Linear(2, 16, rng=rng()), nn.Tanh(), nn.Linear(16, 1, rng=rng(1)))
    for _ in range(500):
        network.zero_grad()
        ((network(x) - y) * (network(x) - y)).sum().backward()
        for p in network.parameters():
            p.data -= 0.05 * p.grad
            assert p.data.dtype == p.grad.dtype == np.float32
    np.testing.assert_allclose(network(x).numpy(), y, atol=0.1)


def test_attention_drops_weights_in_training_only() -> None:
    layer, x = (
        nn.MultiheadAttention(4, 2, dropout=0.5, rng=np.random.default_rng(0)),
        np.ones((2, 3, 4), np.float32),
    )
    assert not np.array_equal(layer(x).numpy(), layer(x).numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x).numpy(), layer(x).numpy())
    with pytest.raises(ValueError, match="3 heads do not divide 4 dimensions"):
        nn.MultiheadAttention(4, 3, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "options", [{}, {"causal": True}, {"mask": np.arange(9).reshape(3, 3) % 2 == 0}]
)
def test_attention_to_itself_is_attention_to_a_key_that_equals_the_query(
    options: dict[str, Any],
) -> None:
    rng = np.random.default_rng(0)
    layer = nn.MultiheadAttention(4, 2, dropout=0.25, rng=rng, dtype=np.float64)
    x = rng.normal(size=(2, 3, 4))
    results = []
    for key in ((), (x.copy(),)):
        layer.rng = np.random.default_rng(1)
        layer.zero_grad()
        y = layer(Tensor(x), *key, **options)
        (y * x).sum().backward()
        results.append([y.numpy(), *(p.grad for p in layer.parameters())])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    layer, branch = nn.StochasticDepth(0.25, rng=np.random.default_rng(0)), np.ones((4000, 2, 3))
    dropped = layer(branch)
    assert set(np.unique(dropped)) == {0.0, 1 / 0.75}
    assert (dropped == dropped[:, :1, :1]).all()
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    assert layer.eval()(branch) is branch
    with pytest.raises(ValueError, match="below 1"):
        nn.StochasticDepth(1.0, rng=np.random.default_rng(0))


# ------------------------------------------------------------------------------ one after the other


class Doubled(nn.ReLU):
    """A subclass that does something else."""

    def forward(self, x: Any) -> Any:
        return 2 * x


class Shifted(nn.Linear):
    """A layer of the user's own, whose forward takes x alone."""

    def forward(self, x: Any) -> Any:
        return super().forward(x) + 1


class WithActivation(nn.Module):
    """A module with an attribute that happens to be called `activation`."""

    def __init__(self) -> None:
        self.activation = nn.ReLU()

    def forward(self, x: Any) -> Any:
        return self.activation(x) + 1


def one_by_one(modules: Any, x: Any) -> np.ndarray:
    for module in modules:
        x = module(x)
    return x.numpy()


X = np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "modules",
    [
        lambda: [nn.Linear(4, 3, rng=rng()), Doubled(), nn.Linear(3, 2, rng=rng())],
        lambda: [Shifted(4, 3, rng=rng()), nn.ReLU()],
        lambda: [nn.Linear(4, 3, rng=rng()), WithActivation()],
        lambda: [WithActivation(), nn.ReLU(), nn.ReLU()],
        lambda: [nn.ReLU(), nn.Linear(4, 3, rng=rng())],
        lambda: [nn.Sequential(nn.Linear(4, 3, rng=rng())), nn.Tanh()],
    ],
    ids=[
        "a subclass of an activation",
        "a subclass of Linear",
        "an attribute",
        "twice",
        "before",
        "nested",
    ],
)
def test_a_sequential_carries_out_what_its_modules_do(modules: Any) -> None:
    parts = modules()
    np.testing.assert_array_equal(
        nn.Sequential(*parts)(Tensor(X)).numpy(), one_by_one(parts, Tensor(X))
    )


ACTIVATIONS = [
    nn.ReLU,
    nn.LeakyReLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.SiLU,
    nn.GELU,
    lambda: nn.GELU("tanh"),
    lambda: nn.LeakyReLU(0.3),
]


@pytest.mark.parametrize("make", ACTIVATIONS)
def test_a_fused_activation_is_the_activation(make: Any) -> None:
    layer, activation = nn.Linear(4, 3, rng=rng(), dtype=np.float64), make()
    both, x = nn.Sequential(layer, activation), X.astype(float)
    assert "# one operation" in repr(both)
    results = []
    for call in (both, lambda x: activation(layer(x))):
        both.zero_grad()
        y = call(Tensor(x))
        (y * np.arange(18).reshape(6, 3)).sum().backward()
        results.append([y.numpy(), layer.weight.grad, layer.bias.grad])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("index", [0, 1])
def test_a_layer_whose_forward_was_replaced_is_not_fused(index: int) -> None:
    model = nn.Sequential(nn.Linear(4, 3, rng=rng()), nn.ReLU())
    model[index].forward = lambda x: x - 7
    np.testing.assert_array_equal(
        model(X).numpy() if index else model(X), np.asarray(one_by_one(model, Tensor(X)))
    )
    assert "one operation" not in repr(model)


@pytest.mark.parametrize("how", ["setitem", "setattr", "dict", "del and append"])
def test_modules_replaced_later_are_carried_out(how: str) -> None:
    model, new = nn.Sequential(nn.Linear(4, 3, rng=rng()), nn.ReLU()), nn.Tanh()
    model(X)
    if how == "setitem":
        model[1] = new
    elif how == "setattr":
        setattr(model, "1", new)
    elif how == "dict":
        model.__dict__["1"] = new
    else:
        del model[1]
        model.append(new)
    np.testing.assert_allclose(model(X).numpy(), np.tanh(model[0](X).numpy()), rtol=1e-6)
    assert "(0): Linear(4, 3) + (1): Tanh()  # one operation" in repr(model)


def test_a_slope_that_is_changed_later_counts() -> None:
    model = nn.Sequential(nn.Linear(4, 3, rng=rng()), nn.LeakyReLU(0.1))
    model[1].negative_slope = 0.5
    np.testing.assert_allclose(model(X).numpy(), one_by_one(model, X), rtol=1e-6)


def test_fusing_leaves_the_names_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(4, 8, rng=rng()), nn.ReLU(), nn.Linear(8, 1, rng=rng()))
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [name for name, _ in model.named_modules()] == ["", "0", "1", "2"]


def test_the_same_module_twice_is_carried_out_twice() -> None:
    double = Doubled()
    model = nn.Sequential(double, double)
    np.testing.assert_array_equal(model(X), 4 * X)
    assert len(list(model.modules())) == 2 and len(model) == 2


@pytest.mark.parametrize("kind", [OrderedDict, dict])
def test_a_sequential_takes_its_names_from_a_dict(kind: Any) -> None:
    model = nn.Sequential(
        kind(
            [
                ("body", nn.Linear(4, 3, rng=rng())),
                ("act", nn.ReLU()),
                ("head", nn.Linear(3, 1, rng=rng())),
            ]
        )
    )
    assert list(model.state_dict()) == ["body.weight", "body.bias", "head.weight", "head.bias"]
    np.testing.assert_allclose(
        model(X).numpy(), one_by_one([model.body, model.act, model.head], X), rtol=1e-6
    )
    assert "(body): Linear(4, 3) + (act): ReLU()  # one operation, 15 parameters" in repr(model)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            np.tanh,
            "Sequential: 1 is the function tanh, not a module; "
            r"use the layer that does it, such as nn.Tanh\(\)",
        ),
        (lambda x: x, "1 is the function <lambda>, .* or write a Module whose forward calls it"),
        (nn.ReLU, r"1 is the class ReLU, not a module; write ReLU\(...\)"),
        (None, "1 is None, not a module"),
        ([nn.ReLU()], r"1 is a list, not a module; unpack it with \*"),
        ("relu", "1 is a str, not a module"),
        (OrderedDict(a=nn.ReLU()), "1 is an OrderedDict, not a module"),
        (Tensor(np.ones(2)), "1 is a tensor of float64"),
    ],
)
@pytest.mark.parametrize("how", ["built", "appended", "replaced", "inserted", "of a list"])
def test_what_is_no_module_is_refused_by_its_place(part: Any, words: str, how: str) -> None:
    first = nn.Linear(4, 4, rng=rng())
    model: Any = nn.Sequential(first, first)
    with pytest.raises(
        TypeError, match=words.replace("Sequential", "ModuleList") if how == "of a list" else words
    ):
        if how == "built":
            nn.Sequential(first, part)
        elif how == "appended":
            model = nn.Sequential(first)
            model.append(part)
        elif how == "replaced":
            model[1] = part
        elif how == "inserted":
            model.insert(1, part)
        else:
            nn.ModuleList([first, part])
    assert list(model) in ([first], [first, first])


def test_a_single_list_or_module_given_to_the_wrong_container_is_refused() -> None:
    with pytest.raises(TypeError, match="Sequential: 0 is a list, not a module; unpack it"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match="ModuleList takes an iterable of members, not a ReLU"):
        nn.ModuleList(nn.ReLU())
    with pytest.raises(TypeError, match="Sequential: b is None"):
        nn.Sequential(OrderedDict(a=nn.ReLU(), b=None))
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        nn.ModuleList([nn.ReLU()])(X)


# ------------------------------------------------------------------------------ what a parameter is


class Remembering(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Linear(4, 3, rng=rng())

    def forward(self, x: Any) -> Any:
        self.h = self.layer(x)
        self.history = [self.h, {"all": (self.h,)}]
        return self.h


def test_a_recorded_result_is_a_plain_attribute() -> None:
    model = Remembering()
    names = list(model.state_dict())
    model(X).sum().backward()
    assert model.h.requires_grad and list(model.state_dict()) == names
    assert [n for n, _ in model.named_parameters()] == names
    optim.SGD(model.parameters(), 0.1).step()


def test_a_constant_that_requires_a_gradient_later_is_a_parameter_and_can_be_frozen() -> None:
    model = nn.Module()
    model.scale = Tensor(np.ones(2))
    assert not list(model.parameters())
    model.scale.requires_grad = True
    assert [n for n, _ in model.named_parameters()] == ["scale"]
    model.requires_grad_(False)
    assert list(model.state_dict()) == ["scale"] and model.requires_grad_().scale.requires_grad


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (lambda m: m.weight * 2, "a recorded result"),
        (lambda m: m.weight.detach() * 2, "a tensor of float32 that requires no gradient"),
        (lambda m: np.zeros((3, 4)), "a ndarray"),
        (lambda m: 3.0, "a float"),
    ],
)
def test_nothing_but_a_parameter_takes_a_parameters_place(value: Any, words: str) -> None:
    layer = nn.Linear(4, 3, rng=rng())
    before = layer.weight
    with pytest.raises(
        TypeError, match=rf"Linear.weight is a parameter, .*{words}.* write to .weight.data"
    ):
        layer.weight = value(layer)
    assert layer.weight is before and [n for n, _ in layer.named_parameters()] == ["weight", "bias"]


def test_attributes_that_are_deleted_or_replaced_leave_the_listing_right() -> None:
    layer = nn.Linear(4, 3, rng=rng())
    layer.weight = None
    assert list(layer.state_dict()) == ["bias"]
    layer.weight = Tensor(np.zeros((3, 4)), requires_grad=True)
    assert list(layer.state_dict()) == ["weight", "bias"]
    del layer.weight
    layer.weight = 5  # a plain attribute now
    assert [n for n, _ in layer.named_parameters()] == ["bias"] and list(layer.state_dict()) == [
        "bias"
    ]
    layer.bias = nn.LayerNorm(3)
    assert list(layer.state_dict()) == ["bias.weight", "bias.bias"]
    layer.bias = Tensor(np.zeros(3), requires_grad=True)
    assert list(layer.state_dict()) == ["bias"] and not list(layer.children())
    del layer.bias
    assert not list(layer.parameters())


def test_a_name_is_a_parameter_or_a_buffer_and_never_both() -> None:
    norm = nn.BatchNorm1d(3)
    norm.running_mean = Tensor(np.zeros(3), requires_grad=True)
    assert [n for n, _ in norm.named_parameters()] == ["weight", "bias", "running_mean"]
    assert [n for n, _ in norm.named_buffers()] == ["running_var", "num_batches_tracked"]
    norm.register_buffer("weight", np.ones(3))
    assert [n for n, _ in norm.named_parameters()] == ["bias", "running_mean"]
    assert len(norm.state_dict()) == 5
    del norm.running_var
    assert [n for n, _ in norm.named_buffers()] == ["num_batches_tracked", "weight"]


def test_a_buffer_stays_an_array() -> None:
    module = nn.Module()
    module.register_buffer("count", np.array(1))
    module.count = module.count + 1  # a NumPy number
    assert type(module.count) is np.ndarray
    module.load_state_dict({"count": np.array(7)})
    assert module.count == 7
    with pytest.raises(
        TypeError, match=r"Module.count is a buffer, that is, an array; write tensor.numpy\(\)"
    ):
        module.count = Tensor(np.ones(1))
    with pytest.raises(
        TypeError, match=r"Module.count is a buffer, which holds numbers, not object"
    ):
        module.count = {"a": 1}
    module.count = None
    assert not module.state_dict()


def test_parameters_of_one_module_alone() -> None:
    module = Twin()
    assert [n for n, _ in module.named_parameters(recurse=False)] == ["scale", "tied"]
    assert [n for n, _ in module.named_buffers(recurse=False)] == ["count"]
    assert list(module.parameters(recurse=False)) == [module.scale, module.tied]
    assert [n for n, _ in module.named_children()] == ["body"] and list(module.children()) == [
        module.body
    ]


def test_a_shared_module_and_a_shared_parameter_come_once() -> None:
    shared = nn.Linear(4, 4, rng=rng())
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert [n for n, _ in model.named_parameters()] == ["0.weight", "0.bias"]
    assert [n for n, _ in model.named_modules()] == ["", "0", "1"]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert repr(model).startswith("Sequential(  # 20 parameters")


# -------------------------------------------------------------------------- what modules cannot see

Point = namedtuple("Point", "x y")
LAYER, WEIGHT = nn.ReLU(), nn.parameter(np.ones(2))
LOOP: list[Any] = [1]
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ([LAYER], "ModuleList"),
        ((LAYER,), "ModuleList"),
        ({"a": LAYER}, "ModuleDict"),
        (OrderedDict(a=LAYER), "ModuleDict"),
        (defaultdict(list, a=[LAYER]), "ModuleDict"),
        (MappingProxyType({"a": LAYER}), "ModuleDict"),
        ({LAYER: 1}, "ModuleDict"),
        ({LAYER}, "ModuleList"),
        (frozenset([LAYER]), "ModuleList"),
        (deque([LAYER]), "ModuleList"),
        (Point(1, LAYER), "ModuleList"),
        ([[1], [(2, {"a": [LAYER]})]], "ModuleList"),
        ([LOOP, [LAYER]], "ModuleList"),
        (np.array([LAYER, None], dtype=object), "ModuleList"),
        ([WEIGHT], "ParameterList"),
        ((1, WEIGHT), "ParameterList"),
        ({"a": WEIGHT}, "ParameterDict"),
        ({"a": [WEIGHT]}, "ParameterDict"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_container_with_parts_that_modules_do_not_see_is_refused(value: Any, fix: str) -> None:
    module = nn.Module()
    with pytest.raises(
        TypeError,
        match=rf"Module.parts is a plain {type(value).__name__}, .* self.parts = nn.{fix}\(",
    ):
        module.parts = value
    assert not hasattr(module, "parts")


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", None, np.ones(2)],
        {"kinds": [nn.ReLU, nn.Tanh]},
        [Tensor(np.ones(2)), WEIGHT * 2],
        LOOP,
        np.array([None, 1], dtype=object),
        range(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_containers_are_plain_attributes(value: Any) -> None:
    module = nn.Module()
    module.notes = value
    assert module.notes is value and not module.state_dict() and len(list(module.modules())) == 1


class Growing(nn.Module):
    def __init__(self, parts: Any) -> None:
        self.inner = nn.Linear(2, 2, rng=rng())
        self.parts = parts


@pytest.mark.parametrize(
    "look",
    [
        lambda m: list(m.parameters()),
        lambda m: list(m.named_parameters()),
        lambda m: list(m.modules()),
        lambda m: list(m.named_buffers()),
        lambda m: m.state_dict(),
        lambda m: m.load_state_dict({}, strict=False),
        lambda m: m.train(),
        lambda m: m.eval(),
        lambda m: m.zero_grad(),
        lambda m: m.requires_grad_(False),
        repr,
    ],
)
@pytest.mark.parametrize("part", [LAYER, WEIGHT])
def test_a_list_that_gets_parts_later_is_found_out(look: Any, part: Any) -> None:
    inner: list[Any] = []
    for parts in (inner, [inner], {"a": inner}):
        inner.clear()
        model = Growing(parts)
        outer = nn.Sequential(model)
        look(outer)
        inner.append(part)
        for module in (model, outer):
            with pytest.raises(
                TypeError, match=r"Growing.parts is a plain .* write self.parts = nn\."
            ):
                look(module)


def test_parts_on_a_class_are_refused() -> None:
    for value in (LAYER, WEIGHT, [LAYER], {"a": WEIGHT}):
        with pytest.raises(
            TypeError, match=r"Net.part is set on the class, .* set self.part in __init__"
        ):
            type("Net", (nn.Module,), {"part": value})
    assert type(
        "Net", (nn.Module,), {"kind": nn.ReLU, "sizes": (1, 2), "table": Tensor(np.ones(2))}
    )().sizes == (1, 2)


def test_a_module_is_no_part_of_itself() -> None:
    inner, model = nn.Module(), nn.Sequential(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match=r"Module.me would make this module a part of itself"):
        inner.me = inner
    with pytest.raises(
        ValueError, match=r"Sequential.parent would make this module a part of itself"
    ):
        model[0].parent = model
    assert len(list(model.modules())) == 3 and list(model.state_dict()) == []


def test_listing_ends_even_where_a_module_was_smuggled_into_itself() -> None:
    model = nn.Linear(2, 2, rng=rng())
    model.__dict__["me"] = model
    assert len(list(model.parameters())) == 2 and list(model.modules()) == [model]


@pytest.mark.parametrize("name", ["modules", "train", "forward", "training", "a.b", ""])
def test_a_part_cannot_hide_a_method_or_spoil_a_path(name: str) -> None:
    module = nn.Module()
    for part in (LAYER, WEIGHT):
        with pytest.raises(
            ValueError,
            match="no name of a part" if name in ("a.b", "") else f"cannot be called '{name}'",
        ):
            setattr(module, name, part)
    with pytest.raises(ValueError):
        module.register_buffer(name, np.ones(1))
    with pytest.raises(ValueError):
        nn.Sequential({name: LAYER})
    module.eval()


# --------------------------------------------------------------------------------------- containers


def names_of(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_children()]


def test_module_list_changes_like_a_list() -> None:
    a, b, c, d = (nn.Linear(1, n, rng=rng()) for n in range(1, 5))
    blocks = nn.ModuleList([a, b])
    assert blocks.append(c) is blocks and blocks.extend([d]) is blocks
    assert list(blocks) == [a, b, c, d] and blocks[-1] is d and blocks[np.int64(1)] is b
    part = blocks[1:3]
    assert type(part) is nn.ModuleList and list(part) == [b, c] and names_of(part) == ["0", "1"]
    blocks[-1] = a
    assert list(blocks) == [a, b, c, a] and names_of(blocks) == ["0", "1", "2", "3"]
    del blocks[0]
    blocks.insert(1, d)
    assert list(blocks) == [b, d, c, a] and names_of(blocks) == ["0", "1", "2", "3"]
    assert blocks.pop() is a and d in blocks and len(blocks) == 3
    del blocks[:2]
    assert list(blocks) == [c] and list(blocks.state_dict()) == ["0.weight", "0.bias"]
    blocks += [a]
    assert list(blocks) == [c, a]
    for index in (2, -3):
        with pytest.raises(IndexError):
            blocks[index]
        with pytest.raises(IndexError):
            blocks[index] = a
    with pytest.raises(TypeError):
        blocks[0:1] = [a]


def test_a_list_that_refuses_a_member_stays_as_it_was() -> None:
    blocks = nn.ModuleList([LAYER])
    with pytest.raises(TypeError, match="ModuleList: 2 is None"):
        blocks.extend([nn.Tanh(), None])
    with pytest.raises(TypeError, match="ModuleList: 0 is None"):
        blocks.insert(0, None)
    assert list(blocks) == [LAYER]


def test_a_sequential_changes_like_a_list_and_keeps_its_names_in_a_slice() -> None:
    model = nn.Sequential(nn.Linear(4, 3, rng=rng()), nn.ReLU(), nn.Linear(3, 2, rng=rng()))
    head = model[1:]
    assert type(head) is nn.Sequential and list(head.state_dict()) == ["2.weight", "2.bias"]
    tanh = nn.Tanh()
    assert list(head.append(tanh)) == [model[1], model[2], tanh]
    np.testing.assert_array_equal(model[:2](X).numpy(), model[1](model[0](X)).numpy())
    del model[1]
    assert names_of(model) == ["0", "1"] and list(model.state_dict())[-1] == "1.bias"


def test_a_slice_of_a_subclass_is_a_plain_sequential() -> None:
    class Head(nn.Sequential):
        def __init__(self, size: int) -> None:
            super().__init__(nn.Linear(size, size, rng=rng()), nn.ReLU())

    assert type(Head(3)[:1]) is nn.Sequential and len(Head(3)[:1]) == 1


def test_module_dict() -> None:
    heads = nn.ModuleDict({"box": nn.Linear(2, 4, rng=rng()), "class": nn.Linear(2, 3, rng=rng())})
    heads["mask"] = nn.ReLU()
    heads.update({"box": nn.Linear(2, 1, bias=False, rng=rng())})
    assert (
        list(heads) == list(heads.keys()) == ["box", "class", "mask"]
        and len(heads) == 3
        and "mask" in heads
    )
    assert list(heads.state_dict()) == ["box.weight", "class.weight", "class.bias"]
    assert heads["box"] is heads.box and dict(heads.items())["mask"] is heads["mask"]
    relu = heads["mask"]
    assert heads.pop("mask") is relu and list(heads.values()) == [heads["box"], heads["class"]]
    del heads["class"]
    assert (
        heads != nn.ModuleDict(heads) and {heads: 1}[heads] == 1
    )  # a module is equal to itself alone
    for absent in ("class", "training"):
        with pytest.raises(KeyError, match=absent):
            heads[absent]
        with pytest.raises(KeyError, match=absent):
            del heads[absent]
    with pytest.raises(ValueError, match="ModuleDict cannot be called 'keys'"):
        heads["keys"] = LAYER
    with pytest.raises(ValueError, match="3 is no name of a part"):
        heads[3] = LAYER
    with pytest.raises(TypeError, match="ModuleDict: a is a list, not a module"):
        nn.ModuleDict({"a": [LAYER]})


def test_parameter_list() -> None:
    a, b, c = (nn.parameter(np.ones(n)) for n in range(1, 4))
    module = nn.Module()
    module.tables = nn.ParameterList([a, b])
    module.tables.append(c)
    assert list(module.state_dict()) == ["tables.0", "tables.1", "tables.2"]
    assert list(module.parameters()) == [a, b, c] == list(module.tables) and module.tables[-1] is c
    module.requires_grad_(False)
    del module.tables[0]
    part = module.tables[1:]
    assert list(module.state_dict()) == ["tables.0", "tables.1"] and list(part.parameters()) == [c]
    assert "(1): (3,), float64" in repr(module.tables)
    for value, words in (
        (np.ones(2), "a ndarray"),
        (Tensor(np.ones(2)), "requires no gradient"),
        (a * 1, "requires no"),
    ):
        with pytest.raises(
            TypeError, match=f"ParameterList: 2 is {words if words[0] == 'a' else '.*' + words}"
        ):
            module.tables.append(value)


def test_parameter_dict() -> None:
    scales = nn.ParameterDict({"x": nn.parameter(np.ones(2))})
    scales["y"] = nn.parameter(np.ones(3))
    assert (
        list(scales) == ["x", "y"]
        and list(scales.state_dict()) == ["x", "y"]
        and scales["y"] is scales.y
    )
    del scales["x"]
    assert [p.shape for p in scales.parameters()] == [(3,)] and "(y): (3,), float64" in repr(scales)
    with pytest.raises(TypeError, match="ParameterDict: z is a recorded result, not a leaf"):
        scales["z"] = scales["y"] * 2


# ------------------------------------------------------------------------------------------- copies


class Tied(nn.Module):
    """Two modules with one parameter, a frozen one, containers, a buffer."""

    def __init__(self) -> None:
        self.encoder = nn.Linear(4, 4, rng=rng())
        self.decoder = nn.Linear(4, 4, rng=rng(1))
        self.decoder.weight = self.encoder.weight
        self.norm = nn.BatchNorm1d(4)
        self.scales = nn.ParameterDict({"a": nn.parameter(np.ones(4, np.float32))})
        self.heads = nn.ModuleList([nn.Sequential(nn.Linear(4, 1, rng=rng(2)), nn.Tanh())])
        self.norm.bias.requires_grad = False

    def forward(self, x: Any) -> Any:
        h = self.decoder(self.norm(self.encoder(x))) * self.scales["a"]
        return self.heads[0](h)


def losses(model: nn.Module, steps: int = 30) -> list[float]:
    """The course of a training."""
    found = []
    for _ in range(steps):
        model.zero_grad()
        loss = ((model(X) - 0.5) * (model(X) - 0.5)).sum()
        loss.backward()
        for p in model.parameters():
            if p.requires_grad:
                p.data -= 0.01 * p.grad
        found.append(loss.item())
    return found


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_a_copy_has_the_same_parts_and_trains_on_like_the_original(clone: Any) -> None:
    model = Tied()
    losses(model, 3)
    other = clone(model)
    assert [n for n, _ in other.named_parameters()] == [n for n, _ in model.named_parameters()]
    assert [n for n, _ in other.named_buffers()] == [n for n, _ in model.named_buffers()]
    assert (
        other.decoder.weight is other.encoder.weight
        and other.encoder.weight is not model.encoder.weight
    )
    assert [p.requires_grad for p in other.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]
    assert repr(other) == repr(model)
    before = model.encoder.weight.data.copy()
    course = losses(other)
    assert course[-1] < 0.5 * course[0]
    np.testing.assert_array_equal(model.encoder.weight.data, before)
    assert losses(model) == course


def test_a_shallow_copy_has_its_own_attributes() -> None:
    layer = nn.Linear(4, 3, rng=rng())
    other = copy.copy(layer)
    del other.bias
    other.bias = None
    assert list(layer.state_dict()) == ["weight", "bias"] and list(other.state_dict()) == ["weight"]
    assert other.weight is layer.weight


# ------------------------------------------------------------------------------ arguments of layers

R: dict[str, Any] = {"rng": rng()}
BUILT: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (nn.Linear, (4, 3), R),
    (nn.Conv2d, (4, 6, 3, 2, 1, 1, 2), R),
    (nn.Conv2d, (4, 6, (3, 1)), R | {"stride": (2, 1)}),
    (nn.ConvTranspose2d, (4, 6, 3, 2, 1, 1), R),
    (nn.Embedding, (5, 4), R),
    (nn.BatchNorm1d, (4,), {}),
    (nn.BatchNorm2d, (4,), {}),
    (nn.LayerNorm, ((2, 4),), {}),
    (nn.LayerNorm, (4,), {}),
    (nn.GroupNorm, (2, 4), {}),
    (nn.MultiheadAttention, (4, 2), R),
    (nn.RNN, (4, 3, 2), R),
    (nn.GRU, (4, 3, 2), R),
    (nn.LSTM, (4, 3, 2), R),
    (nn.Unflatten, ((2, 2),), {}),
]


def as_numpy(value: Any) -> Any:
    """The whole numbers of a value as NumPy's."""
    if isinstance(value, tuple):
        return tuple(map(as_numpy, value))
    return np.int64(value) if type(value) is int else value


@pytest.mark.parametrize(("kind", "sizes", "settings"), BUILT)
def test_layers_take_numpys_whole_numbers(kind: Any, sizes: Any, settings: dict[str, Any]) -> None:
    one = kind(*sizes, **settings)
    two = kind(*as_numpy(sizes), **{name: as_numpy(value) for name, value in settings.items()})
    assert repr(one) == repr(two)
    assert [a.shape for a in one.state_dict().values()] == [
        a.shape for a in two.state_dict().values()
    ]
    images, rows = np.ones((2, 4, 5, 5), np.float32), np.ones((3, 2, 4), np.float32)
    x: Any = (
        images if kind in (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm) else rows
    )
    x = np.array([[1, 2]]) if kind is nn.Embedding else rows[0] if kind is nn.BatchNorm1d else x
    first = lambda y: y[0] if isinstance(y, tuple) else y
    assert first(one(x)).shape == first(two(x)).shape


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nn.Linear(0, 3, **R), "Linear: in_features is at least 1, not 0"),
        (lambda: nn.Linear(4, -3, **R), "Linear: out_features is at least 1, not -3"),
        (lambda: nn.Conv2d(0, 3, 3, **R), "Conv2d: in_channels is at least 1"),
        (lambda: nn.Conv2d(3, 0, 3, **R), "Conv2d: out_channels is at least 1"),
        (lambda: nn.Conv2d(3, 3, (3, 0), **R), "Conv2d: kernel_size is at least 1"),
        (
            lambda: nn.Conv2d(3, 3, (3, 3, 3), **R),
            r"Conv2d: kernel_size is one number, or two, .* not \(3, 3, 3\)",
        ),
        (lambda: nn.Conv2d(3, 3, 3, 0, **R), "Conv2d: stride is at least 1"),
        (lambda: nn.Conv2d(3, 3, 3, padding=-1, **R), "Conv2d: padding is at least 0"),
        (lambda: nn.Conv2d(3, 3, 3, dilation=0, **R), "Conv2d: dilation is at least 1"),
        (lambda: nn.Conv2d(3, 3, 3, groups=0, **R), "Conv2d: groups is at least 1"),
        (
            lambda: nn.Conv2d(4, 3, 3, groups=2, **R),
            "Conv2d: 2 groups do not divide out_channels=3",
        ),
        (lambda: nn.Conv2d(3, 4, 3, groups=2, **R), "Conv2d: 2 groups do not divide in_channels=3"),
        (
            lambda: nn.ConvTranspose2d(3, 3, 3, 2, output_padding=2, **R),
            r"output_padding=\(2, 2\) is not less than stride",
        ),
        (
            lambda: nn.ConvTranspose2d(3, 3, 3, 2, output_padding=-1, **R),
            "output_padding is at least 0",
        ),
        (lambda: nn.Embedding(0, 3, **R), "Embedding: num_embeddings is at least 1"),
        (lambda: nn.Embedding(3, 0, **R), "Embedding: embedding_dim is at least 1"),
        (lambda: nn.BatchNorm1d(0), "BatchNorm1d: num_features is at least 1"),
        (lambda: nn.BatchNorm1d(3, eps=-1), "BatchNorm1d: eps is finite and at least 0, not -1"),
        (
            lambda: nn.BatchNorm2d(3, momentum=1.5),
            "BatchNorm2d: momentum is at least 0 and at most 1, not 1.5",
        ),
        (lambda: nn.LayerNorm((2, 0)), "LayerNorm: normalized_shape is at least 1"),
        (lambda: nn.LayerNorm(3, eps=np.nan), "LayerNorm: eps is finite and at least 0, not nan"),
        (lambda: nn.GroupNorm(0, 4), "GroupNorm: num_groups is at least 1"),
        (lambda: nn.GroupNorm(3, 4), "GroupNorm: 3 groups do not divide 4 channels"),
        (lambda: nn.Dropout(1.1, **R), "Dropout: p is at least 0 and at most 1, not 1.1"),
        (lambda: nn.Dropout(-0.1, **R), "Dropout: p is at least 0"),
        (lambda: nn.Dropout(0.5, batch_axis=-1, **R), "Dropout: batch_axis is at least 0"),
        (lambda: nn.LeakyReLU(-0.1), "LeakyReLU: negative_slope is at least 0 and at most 1"),
        (lambda: nn.GELU("erf"), "GELU: approximate is"),
        (lambda: nn.Unflatten((-2, 3)), "Unflatten: shape is at least -1"),
        (lambda: nn.MultiheadAttention(0, 1, **R), "MultiheadAttention: embed_dim is at least 1"),
        (lambda: nn.MultiheadAttention(4, 0, **R), "MultiheadAttention: num_heads is at least 1"),
        (
            lambda: nn.MultiheadAttention(4, 2, 1.0, **R),
            "MultiheadAttention: dropout is at least 0 and below 1, not 1",
        ),
        (lambda: nn.StochasticDepth(-0.5, **R), "StochasticDepth: p is at least 0 and below 1"),
        (lambda: nn.RNN(0, 3, **R), "RNN: input_size is at least 1"),
        (lambda: nn.GRU(4, 3, 0, **R), "GRU: num_layers is at least 1"),
        (
            lambda: nn.RNN(4, 3, nonlinearity="sin", **R),
            "RNN: nonlinearity is one of tanh, relu, not 'sin'",
        ),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(build: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nn.Linear(4.0, 3, **R), "Linear: in_features is a whole number, not 4.0"),
        (lambda: nn.Linear(4, "3", **R), "Linear: out_features is a whole number, not '3'"),
        (lambda: nn.Conv2d(3, 3, (3, 1.5), **R), "Conv2d: kernel_size is a whole number, not 1.5"),
        (lambda: nn.Conv2d(3, 3, None, **R), "Conv2d: kernel_size is a whole number, not None"),
        (lambda: nn.Dropout("0.5", **R), "Dropout: p is a number, not '0.5'"),
        (lambda: nn.BatchNorm1d(3, momentum="1"), "BatchNorm1d: momentum is a number, not '1'"),
        (lambda: nn.LSTM(4, 3.0, **R), "LSTM: hidden_size is a whole number, not 3.0"),
        (lambda: nn.Linear(4, 3, dtype=int, **R), "floating-point"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(build: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        build()


PUBLIC = [cls for cls in vars(nn).values() if isinstance(cls, type) and issubclass(cls, nn.Module)]


@pytest.mark.parametrize("cls", PUBLIC)
def test_every_argument_of_a_layer_is_documented(cls: Any) -> None:
    """In its own words, or in those of the class that it refers to."""
    texts = [inspect.getdoc(part) or "" for part in cls.__mro__ if part is not nn.Module]
    arguments = inspect.signature(cls).parameters
    if (
        issubclass(cls, (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict))
        or cls is nn.Module
    ):
        return
    for name in arguments:
        assert any(
            re.search(rf"(^|, ){name}(,|:)", line) for text in texts for line in text.splitlines()
        ), name


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_dropout_between_recurrent_layers_is_that_of_the_layers_apart(kind: Any, batch_first: bool) -> None:
    """Of what the lower layer hands up, in training only, and nothing of the top layer's output."""
    both = kind(3, 4, 2, dropout=0.5, batch_first=batch_first, **R)
    lower, upper = kind(3, 4, batch_first=batch_first, **R), kind(4, 4, batch_first=batch_first, **R)
    for name, array in both.state_dict().items():
        part = lower if name.endswith("l0") else upper
        getattr(part, name.replace("l1", "l0")).data[...] = array
    x = np.random.default_rng(1).normal(size=(5, 2, 3)).astype(np.float32)
    both.rng = np.random.default_rng(2)
    dropout = nn.Dropout(0.5, rng=np.random.default_rng(2))
    hidden = lower(x)[0]
    steps_first = np.swapaxes(hidden, 0, 1) if batch_first else hidden
    dropped = dropout(steps_first)
    dropped = np.swapaxes(dropped, 0, 1) if batch_first else dropped
    np.testing.assert_array_equal(both(x)[0].numpy(), upper(dropped)[0].numpy())
    np.testing.assert_array_equal(both.eval()(x)[0].numpy(), upper(hidden)[0].numpy())
    assert "dropout=0.5" in repr(both)


# ---------------------------------------------------------------- PyTorch's methods of modules


def shared() -> nn.Sequential:
    """Modules with a tied weight, a frozen one, buffers of both kinds, and dropout."""
    rng = np.random.default_rng(0)
    module = nn.Sequential(nn.Linear(3, 3, rng=rng), nn.ReLU(), nn.BatchNorm1d(3), nn.Linear(3, 3, rng=rng))
    module[3].weight = module[0].weight
    module[0].bias.requires_grad = False
    return module


@pytest.mark.parametrize("dtype", [np.float16, np.float64, "f8"])
def test_a_module_in_another_dtype_is_the_same_module(dtype: Any) -> None:
    module, before = shared(), shared().state_dict()
    assert module.to(dtype) is module
    for name, array in module.state_dict().items():
        counts = name.endswith("num_batches_tracked")
        assert array.dtype == (int if counts else dtype)
        np.testing.assert_array_equal(array, before[name].astype(array.dtype))
    assert module[3].weight is module[0].weight
    assert not module[0].bias.requires_grad and module[3].bias.requires_grad
    assert len(list(module.parameters())) == 5
    assert module(np.ones((4, 3), dtype)).dtype == dtype


def test_parameters_that_have_the_dtype_already_stay_what_they_are() -> None:
    module = shared()
    before = list(module.parameters())
    assert all(a is b for a, b in zip(module.to(np.float32).parameters(), before, strict=True))


@pytest.mark.parametrize("dtype", ["cuda", "cpu", np.int64, complex, bool])
def test_what_is_no_dtype_of_parameters_is_refused_by_name(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"Sequential\.to: .* is no dtype of floating-point numbers"):
        shared().to(dtype)


def test_apply_reaches_every_module_children_first() -> None:
    module = nn.Sequential(nn.Identity(), nn.Sequential(nn.ReLU()))
    seen: list[str] = []
    assert module.apply(lambda m: seen.append(type(m).__name__)) is module
    assert seen == ["Identity", "ReLU", "Sequential", "Sequential"]


def test_a_forward_hook_sees_each_call_and_may_replace_the_output() -> None:
    rng = np.random.default_rng(0)
    module = nn.Sequential(nn.Linear(2, 3, rng=rng), nn.ReLU())
    x = rng.normal(size=(4, 2)).astype(np.float32)
    plain = module(x).numpy()
    seen: list[Any] = []
    handle = module[0].register_forward_hook(lambda m, args, y: seen.append((m, args, y)))
    np.testing.assert_allclose(module(x).numpy(), plain, rtol=1e-6)  # not one operation any more
    ((layer, args, y),) = seen
    assert layer is module[0] and args == (x,)
    np.testing.assert_allclose(y.numpy(), x @ layer.weight.data.T + layer.bias.data, rtol=1e-6)
    other = module[1].register_forward_hook(lambda m, args, y: -y)
    np.testing.assert_allclose(module(x).numpy(), -plain, rtol=1e-6)
    handle.remove()
    other.remove()
    handle.remove()
    np.testing.assert_array_equal(module(x).numpy(), plain)
    assert len(seen) == 2 and "one operation" in repr(module)
    assert list(module.state_dict()) == ["0.weight", "0.bias"]
