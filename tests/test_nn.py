"""Modules, initialisers and layers."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import Tensor, nn


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Twin(nn.Module):
    """A module with a parameter of its own, a buffer, a child, and a child's weight a second time."""

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
    assert {n for n, _ in module.named_buffers()} == {n for n in NAMES if "running" in n or "count" in n or "num" in n}
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
    state = {"0.weight": np.zeros((2, 3)), "0.bias": np.zeros(3), "1.weight": np.zeros((1, 3)), "2.bias": np.zeros(1)}
    with pytest.raises(ValueError) as raised:
        module.load_state_dict(state)
    for words in ("0.weight (2, 3), not (3, 2)", "missing: 1.bias", "unexpected: 2.bias", "Sequential"):
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
    assert not module(np.ones((4, 2), np.float32)).requires_grad and set(module.state_dict()) == set(NAMES)
    assert all(p.requires_grad for p in module.requires_grad_().parameters())


def test_zero_grad() -> None:
    module = Twin()
    module(np.ones((4, 2), np.float32)).sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    module.zero_grad()
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_stand_alone(clone: Any) -> None:
    module = nn.Sequential(nn.Linear(2, 3, rng=rng()), nn.BatchNorm1d(3))
    other = clone(module)
    x = rng().normal(size=(4, 2)).astype(np.float32)
    np.testing.assert_array_equal(module(x).numpy(), other(x).numpy())
    other[0].weight.data[...] = 0
    assert module[0].weight.data.any() and len(list(other.parameters())) == 4


def test_repr_counts_parameters() -> None:
    text = repr(nn.Sequential(nn.Linear(64, 128, rng=rng()), nn.LeakyReLU(0.2), nn.Linear(128, 1, rng=rng())))
    assert text.splitlines() == [
        "Sequential(  # 8,449 parameters",
        "  (0): Linear(64, 128) + (1): LeakyReLU(0.2)  # one operation, 8,320 parameters",
        "  (2): Linear(128, 1)  # 129 parameters",
        ")",
    ]


# -------------------------------------------------------------------------------------------------------- initialisers

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
        (nn.init.trunc_normal, {"std": 1}, 0.8796, 2),  # the deviation of a normal number cut off at 2
        (nn.init.orthogonal, {}, np.sqrt(1 / 300), np.inf),
        (nn.init.zeros, {}, 0, 0),
    ],
)
def test_initialisers_have_their_deviation_and_bound(initialiser: Any, options: Any, std: float, bound: float) -> None:
    values = initialiser(SHAPE, rng=rng(), **options)
    assert values.shape == SHAPE and values.dtype == np.float32
    assert abs(values.mean()) <= 5 * std / np.sqrt(values.size) + 1e-9
    assert values.std() == pytest.approx(std, rel=0.02)
    assert np.abs(values).max() <= bound * (1 + 1e-6) and (np.isinf(bound) or np.abs(values).max() >= 0.999 * bound)
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


# --------------------------------------------------------------------------------------------------------------- layers


def test_linear_starts_within_its_bound_and_can_have_no_bias() -> None:
    layer = nn.Linear(100, 50, bias=False, rng=rng(), dtype=np.float64)
    assert (
        layer.weight.shape == (50, 100) and np.abs(layer.weight.data).max() <= 0.1 and layer.weight.dtype == np.float64
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
        (nn.GELU("tanh"), lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
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
    layer, x = nn.MultiheadAttention(4, 2, dropout=0.5, rng=np.random.default_rng(0)), np.ones((2, 3, 4), np.float32)
    assert not np.array_equal(layer(x).numpy(), layer(x).numpy())
    layer.eval()
    np.testing.assert_array_equal(layer(x).numpy(), layer(x).numpy())
    with pytest.raises(ValueError, match="3 heads do not divide 4 dimensions"):
        nn.MultiheadAttention(4, 3, rng=np.random.default_rng(0))


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"mask": np.arange(9).reshape(3, 3) % 2 == 0}])
def test_attention_to_itself_is_attention_to_a_key_that_equals_the_query(options: dict[str, Any]) -> None:
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
