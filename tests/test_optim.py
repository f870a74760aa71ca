"""Optimisers, schedules, clipping and moving averages."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_cv import Tensor, nn, optim
from tinygrad_cv.machine import ENVIRONMENT
from tinygrad_cv.optim import flat

OPTIMISERS: dict[str, Callable[[list[Tensor]], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, 0.1, weight_decay=0.01),
    "adamw": lambda p: optim.AdamW(p, 0.1),
    "adagrad": lambda p: optim.Adagrad(p, 0.5, weight_decay=0.01),
    "adagrad_slowing": lambda p: optim.Adagrad(p, 0.9, lr_decay=0.01, eps=1e-3),
    "rmsprop": lambda p: optim.RMSprop(p, 0.05),
    "rmsprop_centered": lambda p: optim.RMSprop(p, 0.01, momentum=0.9, centered=True),
}
every_optimiser = pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS.keys())


def draw(seed: int = 0, dtypes: tuple[Any, ...] = (np.float32,)) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    shapes = [(3, 2), (2,), (), (4, 1)] * len(dtypes)
    return [
        Tensor(rng.normal(size=s).astype(dtypes[i % len(dtypes)]), requires_grad=True) for i, s in enumerate(shapes)
    ]


def give_gradients(parameters: list[Tensor], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for p in parameters:
        p.grad = np.asarray(rng.normal(size=p.shape), p.dtype)


@every_optimiser
def test_an_optimiser_finds_a_minimum(make: Any) -> None:
    [x] = [Tensor(np.array([2.0, -3.0]), requires_grad=True)]
    optimiser = make([x])
    for step in range(400):
        optimiser.zero_grad()
        optimiser.lr = make([Tensor(0.0)]).lr * (1 - step / 400)
        ((x - 1.0) * (x - 1.0)).sum().backward()
        optimiser.step()
    np.testing.assert_allclose(x.data, 1, atol=0.05)


@every_optimiser
def test_parameters_keep_their_dtype_and_what_others_hold(make: Any) -> None:
    parameters = draw(dtypes=(np.float32, np.float64))
    optimiser = make(parameters)
    before = [p.data.copy() for p in parameters]
    give_gradients(parameters, 1)
    gradients = [p.grad.copy() for p in parameters]
    optimiser.lr = np.float64(0.1)
    optimiser.step()
    for p, old, gradient in zip(parameters, before, gradients, strict=True):
        assert p.data.dtype == old.dtype and p.shape == old.shape and not np.array_equal(p.data, old)
        np.testing.assert_array_equal(p.grad, gradient)
    assert all(
        a.dtype == p.dtype
        for n, p in enumerate(parameters)
        for k, a in optimiser.state_dict().items()
        if k.startswith(f"{n}.") and "step" not in k
    )


Elements = dict[str, Any]


def sgd(
    p: Any, g: Any, s: Elements, t: int, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> Any:
    g = g + weight_decay * p
    s["v"] = momentum * s["v"] + g
    return p - 0.1 * (g + momentum * s["v"] if nesterov else s["v"])


def adam(p: Any, g: Any, s: Elements, t: int, weight_decay: float = 0.0, decoupled: bool = False) -> Any:
    p, g = (p - 0.1 * weight_decay * p, g) if decoupled else (p, g + weight_decay * p)
    s["m"] = 0.9 * s["m"] + 0.1 * g
    s["v"] = 0.999 * s["v"] + 0.001 * g**2
    return p - 0.1 * (s["m"] / (1 - 0.9**t)) / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)


def adagrad(
    p: Any, g: Any, s: Elements, t: int, rate: float, lr_decay: float = 0.0, weight_decay: float = 0.0, eps: float = 1e-10
) -> Any:
    g = g + weight_decay * p
    s["sum"] = s["sum"] + g**2
    return p - rate / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)


def rmsprop(p: Any, g: Any, s: Elements, t: int, rate: float, momentum: float = 0.0, centered: bool = False) -> Any:
    s["square"] = 0.99 * s["square"] + 0.01 * g**2
    s["mean"] = 0.99 * s["mean"] + 0.01 * g
    variance = s["square"] - (s["mean"] ** 2 if centered else 0)
    s["v"] = momentum * s["v"] + g / (np.sqrt(variance) + 1e-8)
    return p - rate * s["v"]


TEXTBOOK: dict[str, Callable[..., Any]] = {
    "sgd": sgd,
    "momentum": partial(sgd, momentum=0.9, weight_decay=0.01),
    "nesterov": partial(sgd, momentum=0.9, nesterov=True),
    "adam": partial(adam, weight_decay=0.01),
    "adamw": partial(adam, weight_decay=0.01, decoupled=True),
    "adagrad": partial(adagrad, rate=0.5, weight_decay=0.01),
    "adagrad_slowing": partial(adagrad, rate=0.9, lr_decay=0.01, eps=1e-3),
    "rmsprop": partial(rmsprop, rate=0.05),
    "rmsprop_centered": partial(rmsprop, rate=0.01, momentum=0.9, centered=True),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_follows_its_formula(name: str) -> None:
    parameters = draw(dtypes=(np.float64,))
    optimiser = OPTIMISERS[name](parameters)
    values = [p.data.copy() for p in parameters]
    states: list[Elements] = [defaultdict(float) for _ in parameters]
    for step in range(1, 20):
        give_gradients(parameters, step)
        values = [TEXTBOOK[name](v, p.grad, s, step) for v, p, s in zip(values, parameters, states, strict=True)]
        optimiser.step()
    for p, value in zip(parameters, values, strict=True):
        np.testing.assert_allclose(p.data, value, rtol=1e-10)


# ------------------------------------------------------------------------------------- the reference and the fast update

rates = st.floats(1e-4, 0.5)
nothing_or = lambda values: st.just(0.0) | values
OPTIONS: dict[type[optim.Optimizer], Any] = {
    optim.SGD: st.fixed_dictionaries(
        {
            "lr": rates,
            "momentum": nothing_or(st.floats(0.1, 0.99)),
            "dampening": nothing_or(st.floats(0, 1)),
            "weight_decay": nothing_or(rates),
            "nesterov": st.booleans(),
        }
    ).filter(lambda o: not o["nesterov"] or (o["momentum"] and not o["dampening"])),
    optim.RMSprop: st.fixed_dictionaries(
        {
            "lr": rates,
            "alpha": st.floats(0.5, 0.999),
            "eps": st.sampled_from([1e-8, 1e-3]),
            "weight_decay": nothing_or(rates),
            "momentum": nothing_or(st.floats(0.1, 0.99)),
            "centered": st.booleans(),
        }
    ),
}
OPTIONS[optim.Adam] = OPTIONS[optim.AdamW] = st.fixed_dictionaries(
    {
        "lr": rates,
        "betas": st.tuples(st.floats(0, 0.999), st.floats(0.5, 0.999)),
        "eps": st.sampled_from([1e-8, 1e-3]),
        "weight_decay": nothing_or(rates),
    }
)


def assert_equal_to_rounding(arrays: list[np.ndarray], expected: list[np.ndarray], name: str) -> None:
    """To 1e-12 (float32: 1e-4, float16: a unit) of the largest element: roundings in another order, where terms cancel."""
    scale = max(float(np.abs(array).max()) for array in expected)
    tolerance = {np.float64: 1e-12, np.float32: 1e-4, np.float16: 2e-3}[expected[0].dtype.type]
    for array, value in zip(arrays, expected, strict=True):
        assert array.dtype == value.dtype
        np.testing.assert_allclose(array, value, rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
@given(data=st.data(), tile=st.sampled_from([3, 16, 1 << 16]), seed=st.integers(0, 99))
def test_the_fast_update_equals_the_reference(kind: Any, dtype: Any, data: Any, tile: int, seed: int) -> None:
    """Over several steps, in tiles of any size, with gradients that are missing now and then."""
    options = data.draw(OPTIONS[kind])
    parameters = draw(seed, dtypes=(dtype,))
    with mock.patch.object(flat, "TILE", tile):
        optimiser = kind(parameters, **options)
    values = [p.data.copy() for p in parameters]
    names = optimiser.state_names(options)
    states: list[dict[str, np.ndarray]] = [{name: np.zeros_like(v) for name in names} for v in values]
    steps = [0] * len(parameters)
    for step in range(6):
        give_gradients(parameters, 100 * seed + step)
        if step % 2:
            parameters[step % 3].grad = None
        for i, p in enumerate(parameters):
            if p.grad is not None:
                steps[i] += 1
                values[i], states[i] = kind.reference(values[i], p.grad, states[i], steps[i], **options)
        optimiser.step()
    given = optimiser.state_dict()
    assert [given[f"{i}.step"] for i in range(len(parameters))] == steps
    assert_equal_to_rounding([p.data for p in parameters], values, "p")
    for name in names:
        own = [given[f"{i}.{name}"] for i in range(len(parameters))]
        assert_equal_to_rounding(own, [state[name] for state in states], name)


@every_optimiser
def test_a_reference_changes_none_of_its_arguments(make: Any) -> None:
    parameters = draw()
    optimiser = make(parameters)
    options = {name: value for name, value in optimiser.param_groups[0].items() if name != "params"}
    p, g = np.ones(3), np.full(3, 2.0)
    state = {name: np.full(3, 0.5) for name in optimiser.state_names(options)}
    optimiser.reference(p, g, state, 2, **options)
    np.testing.assert_array_equal(p, 1)
    np.testing.assert_array_equal(g, 2)
    assert all((array == 0.5).all() for array in state.values())


@every_optimiser
def test_a_rate_in_float64_does_not_change_float32_arithmetic(make: Any) -> None:
    one, two = draw(), draw()
    a, b = make(one), make(two)
    a.lr, b.lr = 0.1, np.float64(0.1)
    for step in range(3):
        for parameters, optimiser in ((one, a), (two, b)):
            give_gradients(parameters, step)
            optimiser.step()
    for p, q in zip(one, two, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@every_optimiser
def test_one_buffer_or_many_gives_the_same_bits(make: Any) -> None:
    """Parameters optimised together, in tiles or one by one."""
    together, alone = draw(), draw()
    optimisers = [make(together), *(make([p]) for p in alone)]
    for step in range(5):
        give_gradients(together, step)
        give_gradients(alone, step)
        for optimiser in optimisers:
            optimiser.step()
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@every_optimiser
def test_large_parameters_go_through_in_tiles(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, tiled = draw(), draw()
    optimiser = make(whole)
    monkeypatch.setattr(flat, "TILE", 3)
    small = make(tiled)
    for step in range(3):
        give_gradients(whole, step)
        give_gradients(tiled, step)
        small.step()
        with monkeypatch.context() as patch:
            patch.setattr(flat, "TILE", 65536)
            optimiser.step()
    for a, b in zip(whole, tiled, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@every_optimiser
def test_parameters_without_a_gradient_are_skipped_and_do_not_age(make: Any) -> None:
    """A parameter that got its gradients late is where one that starts then would be."""
    late, fresh = draw(), draw()
    optimiser = make(late)
    for step in range(6):
        give_gradients(late, step)
        if step < 3:
            late[1].grad = None
            before = late[1].data.copy()
        optimiser.step()
        if step < 3:
            np.testing.assert_array_equal(late[1].data, before)
    start = make([fresh[1]])
    for step in range(3, 6):
        give_gradients(fresh, step)
        start.step()
    np.testing.assert_array_equal(late[1].data, fresh[1].data)
    assert [int(optimiser.state_dict()[f"{n}.step"]) for n in range(4)] == [6, 3, 6, 6]


@every_optimiser
def test_state_dict_continues_to_the_same_bits(make: Any) -> None:
    parameters = draw(dtypes=(np.float32, np.float64))
    optimiser = make(parameters)

    def run(parameters: list[Tensor], optimiser: optim.Optimizer, steps: range) -> None:
        for step in steps:
            give_gradients(parameters, step)
            optimiser.lr = 0.1 / (1 + step)
            optimiser.step()

    run(parameters, optimiser, range(5))
    weights, state = [p.data.copy() for p in parameters], optimiser.state_dict()
    run(parameters, optimiser, range(5, 10))
    resumed = [Tensor(w, requires_grad=True) for w in weights]
    second = make(resumed)
    second.load_state_dict(state)
    assert second.lr == 0.1 / 5
    run(resumed, second, range(5, 10))
    for a, b in zip(parameters, resumed, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    for name, array in optimiser.state_dict().items():
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, second.state_dict()[name])


def test_a_state_that_does_not_fit_is_refused() -> None:
    adam = optim.Adam(draw())
    with pytest.raises(ValueError, match=r"Adam.*0.exp_avg"):
        adam.load_state_dict(optim.SGD(draw(), 0.1).state_dict())
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(2, 3\)"):
        adam.load_state_dict(adam.state_dict() | {"0.exp_avg": np.zeros((2, 3))})


# -------------------------------------------------------------------------------------------------- groups of parameters


def two_groups(kind: Any, first: dict[str, Any], second: dict[str, Any], **options: Any) -> tuple[Any, list[Tensor]]:
    """An optimiser of two groups, of both dtypes each."""
    parameters = draw(dtypes=(np.float32, np.float64))
    return kind([{"params": parameters[::2], **first}, {"params": parameters[1::2], **second}], **options), parameters


@pytest.mark.parametrize(
    "kind, first, second",
    [
        (optim.SGD, {"lr": 0.3}, {"momentum": 0.5, "nesterov": True}),
        (optim.Adam, {"betas": (0.5, 0.9)}, {"weight_decay": 0.1, "eps": 1e-3}),
        (optim.AdamW, {}, {"weight_decay": 0.0, "lr": 0.01}),
        (optim.RMSprop, {"alpha": 0.5, "momentum": 0.9}, {"centered": True}),
    ],
)
def test_every_option_may_differ_by_group(kind: Any, first: Any, second: Any) -> None:
    """Groups of one optimiser make the steps of optimisers of their own."""
    optimiser, parameters = two_groups(kind, first, second, lr=0.1)
    others = draw(dtypes=(np.float32, np.float64))
    alone = [kind(others[::2], **{"lr": 0.1, **first}), kind(others[1::2], **{"lr": 0.1, **second})]
    for step in range(4):
        give_gradients(parameters, step)
        give_gradients(others, step)
        for each in (optimiser, *alone):
            each.step()
    for a, b in zip(parameters, others, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_options_of_groups_take_effect_at_the_next_step() -> None:
    optimiser, parameters = two_groups(optim.SGD, {"weight_decay": 0.5}, {"lr": 0.25})
    assert [group["lr"] for group in optimiser.param_groups] == [1e-3, 0.25]
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.5, 0.0]
    with pytest.raises(ValueError, match=r"different learning rates, \[0.001, 0.25\]; see param_groups"):
        _ = optimiser.lr
    optimiser.lr = 0.5
    assert optimiser.lr == 0.5
    optimiser.param_groups[0]["lr"] = 0.125
    optimiser.param_groups[0]["weight_decay"] = 0.0
    before = [p.data.copy() for p in parameters]
    for p in parameters:
        p.grad = np.ones_like(p.data)
    optimiser.step()
    for i, (p, old) in enumerate(zip(parameters, before, strict=True)):
        np.testing.assert_array_equal(p.data, old - (0.5 if i % 2 else 0.125))


def test_an_option_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="SGD has no option 'betas'; there are lr, momentum, dampening"):
        optim.SGD([{"params": draw(), "betas": (0.9, 0.99)}])
    optimiser = optim.Adam(draw())
    optimiser.param_groups[0]["weigth_decay"] = 0.1
    give_gradients(optimiser.parameters, 0)
    with pytest.raises(TypeError, match="weigth_decay"):
        optimiser.step()


@pytest.mark.parametrize(
    "kind, options",
    [
        *[(kind, {"lr": lr}) for kind in OPTIONS for lr in (-0.1, np.nan, np.inf)],
        *[(kind, {"weight_decay": -0.1}) for kind in OPTIONS],
        *[(kind, {"betas": betas}) for kind in (optim.Adam, optim.AdamW) for betas in ((1.0, 0.9), (-0.1, 0.9))],
        *[(kind, {"eps": -1e-8}) for kind in (optim.Adam, optim.AdamW, optim.RMSprop)],
        *[(kind, {"momentum": momentum}) for kind in (optim.SGD, optim.RMSprop) for momentum in (-0.1, np.nan)],
        (optim.Adam, {"betas": (0.9, 1.0)}),
        (optim.Adam, {"betas": (0.9, np.nan)}),
        (optim.RMSprop, {"alpha": 1.0}),
        (optim.SGD, {"dampening": np.nan}),
        (optim.SGD, {"nesterov": True}),
        (optim.SGD, {"nesterov": True, "momentum": 0.5, "dampening": 0.5}),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused_by_name(kind: Any, options: dict[str, Any]) -> None:
    """Given to the optimiser, or to one of its groups."""
    [name] = list(options)[:1]
    with pytest.raises(ValueError, match=name):
        kind(draw(), **options)
    with pytest.raises(ValueError, match=name):
        kind([{"params": draw()}, {"params": draw(), **options}])


def test_a_learning_rate_out_of_range_is_refused_when_set() -> None:
    optimiser = optim.SGD(draw(), 0.1)
    with pytest.raises(ValueError, match="lr is finite and at least 0, not -1"):
        optimiser.lr = -1.0
    assert optimiser.lr == 0.1


class SignSGD(optim.Optimizer):
    """An optimiser as someone might write it."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr=lr)

    @staticmethod
    def check(lr: float) -> None:
        assert lr > 0

    def state_names(self, options: Any) -> tuple[str, ...]:
        return ()

    @staticmethod
    def update(run: flat.Run, *, lr: float) -> None:
        for p, g, _, _ in run.tiles:
            p -= lr * np.sign(g)


def test_an_optimiser_of_ones_own_needs_little() -> None:
    parameters = draw()
    optimiser = SignSGD([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.5}], 0.25)
    give_gradients(parameters, 0)
    expected = [p.data - (0.25 if i < 2 else 0.5) * np.sign(p.grad) for i, p in enumerate(parameters)]
    optimiser.step()
    for p, value in zip(parameters, expected, strict=True):
        np.testing.assert_array_equal(p.data, value)
    with pytest.raises(ValueError, match="SignSGD has no option 'momentum'; there are lr"):
        SignSGD([{"params": parameters, "momentum": 0.9}], 0.1)


# ------------------------------------------------------------------------------------------------ copies, and state

CLONES = {"deepcopy": copy.deepcopy, "pickle": lambda pair: pickle.loads(pickle.dumps(pair))}


@every_optimiser
@pytest.mark.parametrize("clone", CLONES.values(), ids=CLONES.keys())
def test_a_copy_of_model_and_optimiser_trains_on_to_the_same_bits(make: Any, clone: Any) -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.ReLU(), nn.Linear(4, 2, rng=rng))
    optimiser = make(model.parameters())
    x = rng.standard_normal((8, 3), np.float32)

    def train(model: Any, optimiser: Any) -> list[np.ndarray]:
        for _ in range(5):
            optimiser.zero_grad()
            (model(x) ** 2).mean().backward()
            optimiser.step()
        return [p.data.copy() for p in model.parameters()]

    start = train(model, optimiser)
    copied, its_optimiser = clone((model, optimiser))
    assert its_optimiser.param_groups[0]["params"] == tuple(copied.parameters())
    after = train(copied, its_optimiser)
    for p, old, new in zip(model.parameters(), start, after, strict=True):
        np.testing.assert_array_equal(p.data, old)
        assert not np.array_equal(new, old)
    for own, theirs in zip(train(model, optimiser), after, strict=True):
        np.testing.assert_array_equal(own, theirs)


@pytest.mark.parametrize(
    "make, names",
    [
        (lambda p: optim.SGD(p, 0.1), ["step"]),
        (lambda p: optim.SGD(p, 0.1, momentum=0.9), ["step", "momentum_buffer"]),
        (lambda p: optim.Adam(p), ["step", "exp_avg", "exp_avg_sq"]),
        (lambda p: optim.RMSprop(p), ["step", "square_avg"]),
        (
            lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
            ["step", "square_avg", "grad_avg", "momentum_buffer"],
        ),
    ],
)
def test_state_has_the_names_of_pytorch(make: Any, names: list[str]) -> None:
    optimiser = make(draw())
    expected = ["param_groups.0.lr", *(f"{n}.{name}" for n in range(4) for name in names)]
    assert list(optimiser.state_dict()) == expected


def test_state_keeps_the_rate_of_each_group() -> None:
    optimiser, _ = two_groups(optim.SGD, {"lr": 0.3}, {}, lr=0.1)
    state = optimiser.state_dict()
    assert (state["param_groups.0.lr"], state["param_groups.1.lr"]) == (0.3, 0.1)
    optimiser.lr = 0.5
    group = optimiser.param_groups[0]
    optimiser.load_state_dict(state)
    assert optimiser.param_groups[0] is group
    assert [group["lr"] for group in optimiser.param_groups] == [0.3, 0.1]


def test_the_nested_form_of_pytorch_goes_there_and_back_to_the_same_bits() -> None:
    optimiser, parameters = two_groups(optim.RMSprop, {"momentum": 0.5}, {"centered": True, "lr": 0.2})
    for step in range(3):
        give_gradients(parameters, step)
        parameters[0].grad = None
        optimiser.step()
    nested = optimiser.torch_state_dict()
    assert sorted(nested["state"]) == [1, 2, 3, 4, 5, 6, 7], "one without steps has no state there"
    assert nested["param_groups"][1]["params"] == [4, 5, 6, 7]
    other = optim.RMSprop([{"params": parameters[::2]}, {"params": parameters[1::2]}])
    other.load_state_dict(nested)
    assert other.param_groups[0]["momentum"] == 0.5
    assert other.param_groups[1]["centered"] is True
    assert other.state_dict().keys() == optimiser.state_dict().keys()
    for name, array in optimiser.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"amsgrad": True}, "Adam has amsgrad=False only; the state has True"),
        ({"maximize": True}, "Adam has maximize=False only"),
        ({"decoupled_weight_decay": True}, "Adam has decoupled_weight_decay=False only"),
        ({"momentum": 0.5}, "Adam has no option 'momentum'"),
        ({"lr": -1.0}, "lr is finite"),
        ({"params": [0, 1]}, r"groups of the parameters \[\[0, 1\]\]; here they are \[\[0, 1, 2, 3\]\]"),
    ],
)
def test_a_state_of_pytorch_that_means_something_else_is_refused(change: dict[str, Any], words: str) -> None:
    optimiser = optim.Adam(draw(), 0.25)
    nested = optimiser.torch_state_dict()
    with pytest.raises(ValueError, match=words):
        optimiser.load_state_dict({**nested, "param_groups": [{**nested["param_groups"][0], "lr": 0.5, **change}]})
    assert optimiser.lr == 0.25, "nothing has changed"


def test_options_of_pytorch_without_influence_are_passed_over() -> None:
    optimiser = optim.Adam(draw())
    nested = optimiser.torch_state_dict()
    options = {"foreach": True, "fused": None, "capturable": False, "differentiable": False, "initial_lr": 7.0}
    optimiser.load_state_dict({**nested, "param_groups": [{**nested["param_groups"][0], **options, "lr": 0.5}]})
    assert optimiser.lr == 0.5
    assert "foreach" not in optimiser.param_groups[0]


def test_a_parameter_set_anew_is_taken_up() -> None:
    """Setting `.data`, loading weights and a second optimiser on the same parameters all work."""
    parameters = draw()
    one, two = optim.SGD(parameters, 0.5), optim.SGD(parameters, 0.25)
    parameters[1].data = np.array([5.0, 6.0])
    for p in parameters:
        p.grad = np.ones_like(p.data)
    one.step()
    two.step()
    one.step()
    np.testing.assert_allclose(parameters[1].data, [3.75, 4.75])


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: optim.SGD([], 0.1), "no parameters"),
        (lambda: optim.SGD([{"params": []}], 0.1), "no parameters"),
        (lambda: optim.SGD([{"lr": 0.1}]), 'a group is a dict with "params", not'),
        (lambda: optim.SGD([{"params": draw()}, *draw()]), 'a group is a dict with "params", not Tensor'),  # type: ignore[list-item]
        (lambda: optim.SGD([draw()[0]] * 2, 0.1), "twice"),
        (lambda: optim.SGD([np.zeros(3)], 0.1), "leaf tensor"),  # type: ignore[list-item]
        (lambda: optim.SGD([draw()[0] * 2.0], 0.1), "leaf tensor"),
        (lambda: optim.SGD([{"params": draw()[:1] * 2}], 0.1), "twice"),
        (lambda: optim.SGD([{"params": p}, {"params": p}] if (p := draw()) else [], 0.1), "twice"),
        (lambda: optim.SGD(draw(), 0.1, nesterov=True), "momentum"),
    ],
)
def test_bad_arguments(make: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make()


# ----------------------------------------------------------------------------------------------- schedules and clipping


def test_schedules() -> None:
    assert [optim.constant()(s) for s in (0, 99)] == [1, 1]
    assert [optim.step_decay(10, 0.5)(s) for s in (0, 9, 10, 20)] == [1, 1, 0.5, 0.25]
    cosine = optim.cosine(100, minimum=0.1)
    assert [cosine(s) for s in (0, 50, 100, 500)] == pytest.approx([1, 0.55, 0.1, 0.1])
    paper = optim.inverse_square_root(4000, 512)  # its highest rate is the paper's 7e-4
    assert [paper(s) for s in (0, 1999, 3999, 15999)] == pytest.approx([1.747e-7, 3.494e-4, 6.988e-4, 3.494e-4], rel=1e-3)
    warm = optim.warm_up(4, optim.step_decay(1, 0.5))
    assert [warm(s) for s in range(7)] == [0.25, 0.5, 0.75, 1, 1, 0.5, 0.25]


def test_schedules_of_pytorch() -> None:
    assert [optim.exponential(0.5)(s) for s in range(3)] == [1, 0.5, 0.25]
    assert [optim.multi_step([2, 4], 0.5)(s) for s in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    restarts = optim.cosine_restarts(2, 2)
    assert [restarts(s) for s in (0, 1, 2, 4, 6, 10)] == pytest.approx([1, 0.5, 1, 0.5, 1, 0.5])
    cycle = optim.one_cycle(10, 0.5, 0.1, 0.01)
    assert [cycle(s) for s in (0, 2, 4, 9, 99)] == pytest.approx([0.1, 0.55, 1, 0.01, 0.01])
    plateau = optim.Plateau(0.5, patience=1)
    factors = []
    for loss in (3, 2, 2, 2, 1, np.nan, np.nan, 0):
        plateau.update(loss)
        factors.append(plateau(0))
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: optim.exponential(-1), "factor"),
        (lambda: optim.multi_step([-1]), "milestones"),
        (lambda: optim.cosine_restarts(0), "period"),
        (lambda: optim.cosine_restarts(1, 0), "growth"),
        (lambda: optim.one_cycle(0), "total"),
        (lambda: optim.one_cycle(9, 1.5), "rise"),
        (lambda: optim.Plateau(1.0), "factor"),
        (lambda: optim.Plateau(patience=-1), "patience"),
    ],
)
def test_a_schedule_refuses_by_name_what_is_out_of_range(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}"):
        make()


def test_a_schedule_of_one_cycle_takes_any_length_and_rise() -> None:
    for total in (1, 2, 5):
        for rise in (0.0, 0.2, 0.5, 1.0):
            cycle = optim.one_cycle(total, rise)
            assert all(0 < cycle(step) <= 1 for step in range(total + 2))


@given(maximum=st.floats(0.1, 10), missing=st.booleans())
def test_clipping_by_norm(maximum: float, missing: bool) -> None:
    parameters = draw()
    give_gradients(parameters, 0)
    parameters[0].grad = None if missing else parameters[0].grad
    gradients = [p.grad for p in parameters if p.grad is not None]
    before = [g.copy() for g in gradients]
    norm = np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in before))
    assert optim.clip_grad_norm_(parameters, maximum) == pytest.approx(norm, rel=1e-5)
    after = [p.grad for p in parameters if p.grad is not None]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old * min(1, maximum / norm), rtol=1e-5)
        assert new.dtype == np.float32


def test_clipping_by_norm_leaves_what_is_not_finite() -> None:
    [p] = [Tensor(np.zeros(2), requires_grad=True)]
    p.grad = np.array([np.inf, 1.0])
    assert optim.clip_grad_norm_([p], 1.0) == np.inf
    np.testing.assert_array_equal(p.grad, [np.inf, 1])


def test_a_limit_of_clipping_out_of_range_is_refused_by_name() -> None:
    for limit in (-1.0, np.nan):
        with pytest.raises(ValueError, match="max_norm is at least 0"):
            optim.clip_grad_norm_(draw(), limit)
        with pytest.raises(ValueError, match="clip_value is at least 0"):
            optim.clip_grad_value_(draw(), limit)


def test_clipping_by_value() -> None:
    [p] = [Tensor(np.zeros(3, np.float32), requires_grad=True)]
    p.grad = np.array([-3, 0.5, 2], np.float32)
    optim.clip_grad_value_([p, Tensor(0.0)], 1.0)
    np.testing.assert_array_equal(p.grad, [-1, 0.5, 1])


@pytest.mark.skipif(ENVIRONMENT is None, reason="this machine cannot be told to take subnormal numbers as zero")
@pytest.mark.parametrize("name", ["momentum", "adam", "adamw"])
def test_moments_without_gradient_fade_to_zero_and_do_not_stay_subnormal(name: str) -> None:
    parameters = draw()
    optimiser = OPTIMISERS[name](parameters)
    for p in parameters:
        p.grad = np.full_like(p.data, 1e-3)
    optimiser.step()
    for p in parameters:
        p.data[...] = 0  # of which weight decay makes no gradient
        p.grad = np.zeros_like(p.data)
    for _ in range(1000):
        optimiser.step()
        for p in parameters:
            p.data[...] = 0
    name = "momentum_buffer" if name == "momentum" else "exp_avg"
    faded = [state for key, state in optimiser.state_dict().items() if key.endswith(name)]
    assert len(faded) == len(parameters)
    assert not any(state.any() for state in faded)
    one = np.float32(1e-39) * np.ones(4, np.float32)
    assert one.all()  # outside of a step all is as it was


# ------------------------------------------------------------------------------------------------------ moving averages


def test_moving_average() -> None:
    network = nn.Sequential(nn.Linear(2, 2, rng=np.random.default_rng(0)), nn.BatchNorm1d(2))
    average = optim.ExponentialMovingAverage(network, 0.9)
    expected = network[0].weight.data.copy()
    for step in range(5):
        network[0].weight.data[...] = step
        network[1].running_mean[...] = step
        average.update()
        expected = 0.9 * expected + 0.1 * step
    with average.applied() as module:
        assert module is network
        np.testing.assert_allclose(network[0].weight.data, expected, rtol=1e-6)
        np.testing.assert_array_equal(network[1].running_mean, 4)
        assert network[0].weight.dtype == np.float32
    np.testing.assert_array_equal(network[0].weight.data, 4)
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    np.testing.assert_array_equal(network[0].weight.data, 4)
    other = optim.ExponentialMovingAverage(network, 0.9)
    other.load_state_dict(average.state_dict())
    np.testing.assert_allclose(other.averages["0.weight"], expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"0\.bias"):
        other.load_state_dict({n: a for n, a in average.state_dict().items() if n != "0.bias"})


def test_a_moving_average_that_warms_up_forgets_where_it_began() -> None:
    network = nn.Linear(1, 1, bias=False, rng=np.random.default_rng(0))
    average = optim.ExponentialMovingAverage(network, 0.5)
    expected = network.weight.data.item()
    for step, decay in enumerate([0.1, 2 / 11, 0.25, 4 / 13, 5 / 14, 6 / 15, 7 / 16, 8 / 17, 0.5, 0.5]):
        network.weight.data[...] = step
        average.update(step)
        expected = decay * expected + (1 - decay) * step
    assert average.averages["weight"].item() == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="step is at least 0"):
        average.update(-1)


# ------------------------------------------------------------------------------------------ SciPy's minimisers


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG"])
def test_minimize_finds_the_minimum_in_the_nesting_of_the_start(method: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    start = {"weight": np.zeros((3, 2), np.float32), "biases": [np.zeros(2)]}

    def loss(p: Any) -> Any:
        return np.sum((a @ p["weight"] + p["biases"][0] - b) ** 2)

    found = optim.minimize(loss, start, method, tol=1e-4)
    expected = np.linalg.lstsq(np.column_stack([a, np.ones(8)]), b, rcond=None)[0]
    np.testing.assert_allclose(found["weight"], expected[:3], atol=1e-3)
    np.testing.assert_allclose(found["biases"][0], expected[3], atol=1e-3)
    assert found["weight"].dtype == np.float32 and found["biases"][0].dtype == np.float64
    assert not start["weight"].any()


def test_minimize_says_when_it_did_not_get_there() -> None:
    def banana(x: Any) -> Any:
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    np.testing.assert_allclose(optim.minimize(banana, np.array([-1.0, 1.0])), 1, atol=1e-4)
    with pytest.raises(RuntimeError, match=r"optim\.minimize: L-BFGS-B ended early: .*LIMIT"):
        optim.minimize(banana, np.array([-1.0, 1.0]), options={"maxiter": 1})


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG"])
def test_minimize_ends_at_its_limit_and_goes_on_from_there(method: str) -> None:
    def banana(x: Any) -> Any:
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    values, x = [], np.array([-1.0, 1.0])
    for _ in range(60):
        values.append(banana(x))
        x = optim.minimize(banana, x, method, limit=3, options={"gtol": 1e-6})
    assert values[1] > 1e-2
    assert all(after <= before for before, after in itertools.pairwise(values))
    np.testing.assert_allclose(x, 1, atol=1e-4)


def test_minimize_with_a_limit_ends_where_the_line_search_gets_no_further() -> None:
    """At a kink no step along the gradient is an improvement; without a limit that is an error."""

    def with_a_kink(x: Any) -> Any:
        return np.sum(np.abs(x - 0.7)) + 0.1 * np.sum(x**2)

    options = {"ftol": 1e-15, "gtol": 1e-12}
    start = np.array([1.001, 1.0])
    with pytest.raises(RuntimeError, match="ended early: ABNORMAL"):
        optim.minimize(with_a_kink, start, options=options)
    found = optim.minimize(with_a_kink, start, limit=100, options=options)
    np.testing.assert_allclose(found, 0.7, atol=1e-3)
