"""Ranks: what they compute is what one process computes; a seed gives the same bits; who dies takes all along."""

from __future__ import annotations

import copy
import gc
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from models.lab.run import Run
from models.lab.task import Task
from models.lab.train import train
from tests.test_models import make
from tests.test_train import arrays, assert_same_run
from tinygrad_cv import kernels, nn, optim, parallel
from tinygrad_cv.parallel import RankError, processes
from tinygrad_cv.parallel.processes import Processes

RANKS = (1, 2, 4)


@pytest.fixture(autouse=True)
def _nobody_stays_behind() -> Any:
    yield
    with pytest.raises(ChildProcessError):  # this process has no child, dead or alive
        os.waitpid(-1, os.WNOHANG)
    assert parallel.team().size == 1


# ------------------------------------------------------------------------------------------------------ the communicator


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (70_001,)], ids=str)
def test_collectives(ranks: int, shape: tuple[int, ...], dtype: Any) -> None:
    here = [np.random.default_rng(rank).integers(-9, 9, shape).astype(dtype) for rank in range(ranks)]
    with processes(ranks) as team:
        assert team.size == ranks
        for _ in range(3):
            summed, sent = here[team.rank].copy(), here[team.rank].copy()
            team.all_reduce(summed)
            np.testing.assert_array_equal(summed, np.sum(here, axis=0))
            team.broadcast(sent, root=ranks - 1)
            np.testing.assert_array_equal(sent, here[-1])
            if shape:
                np.testing.assert_array_equal(team.gather(here[team.rank]), np.concatenate(here))


def test_a_sum_has_the_same_bits_on_all_ranks() -> None:
    with processes(4) as team:
        x = np.random.default_rng(team.rank).standard_normal(1000, np.float32)
        team.all_reduce(x)
        first = x.copy()
        team.broadcast(first)
        np.testing.assert_array_equal(x, first)


def test_a_barrier_holds_everyone_back() -> None:
    with processes(3) as team:
        arrived = np.zeros(3)
        for turn in range(3):
            if team.rank == turn:
                time.sleep(0.05)
                arrived[turn] = time.monotonic()
            team.barrier()
            passed, late = time.monotonic(), arrived.copy()
            team.all_reduce(late)
            assert passed >= late[turn]


def test_arrays_that_are_not_contiguous_are_refused() -> None:
    with processes(2) as team, pytest.raises(ValueError, match=r"shape \(2, 2\) has strides \(16, 32\)"):
        team.all_reduce(np.zeros((2, 4)).T[::2])


def test_a_batch_is_shared_out_and_drawn_for_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    whole, normal, state = np.arange(24).reshape(4, 6), rng.standard_normal((4, 6)), rng.bit_generator.state
    for axis in (0, 1):
        with processes(2) as team:
            share = team.shard(whole, axis)
            np.testing.assert_array_equal(team.gather(share, axis), whole)
            assert share.shape == ((2, 6), (4, 3))[axis]
            again = np.random.default_rng(0)
            drawn = team.draw(again.standard_normal, share.shape, axis)
            np.testing.assert_array_equal(drawn, team.shard(normal, axis))
            assert again.bit_generator.state == state


def test_a_batch_that_does_not_divide_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="a batch of 10 does not divide evenly among 4 ranks; take a batch that is a multiple"):  # noqa: SIM117
        with processes(4) as team:
            team.shard(np.zeros(10))


# --------------------------------------------------------------------------------------- what reaches across the ranks


def stacked(average: Callable[[Any], Any], x: Any, w: np.ndarray) -> Any:
    """Something that uses an average over ranks twice, in ways of its own on each rank."""
    y = average(x)
    return np.sum(w * y**3) + np.sum(np.sin(average(x * w)) * x)


def test_the_gradient_of_an_average_over_ranks() -> None:
    """First and second order: as if one process had all ranks' arrays, and the sum of what they compute."""
    rng = np.random.default_rng(0)
    xs, ws, vs = (rng.standard_normal((2, 5)) for _ in range(3))

    def total(xs: Any) -> Any:
        mean = lambda parts: sum(parts) / len(parts)
        y, z = mean([xs[r] for r in range(2)]), mean([xs[r] * ws[r] for r in range(2)])
        return sum(np.sum(ws[r] * y**3) + np.sum(np.sin(z) * xs[r]) for r in range(2))

    first, second = tg.grad(total)(xs), tg.hvp(total, xs, vs)
    with processes(2) as team:
        x, w, v = (a[team.rank] for a in (xs, ws, vs))
        f = lambda x: stacked(parallel.average, x, w)
        np.testing.assert_allclose(tg.grad(f)(x), first[team.rank], rtol=1e-12)
        slope = lambda x: np.sum(tg.grad(f)(x) * v)
        np.testing.assert_allclose(tg.grad(slope)(x), second[team.rank], rtol=1e-12)


def test_the_average_over_ranks_is_its_own_adjoint() -> None:
    rng = np.random.default_rng(0)
    xs, ys = rng.standard_normal((2, 3, 7)), rng.standard_normal((2, 3, 7))
    with processes(2) as team:
        x = tg.Tensor(xs[team.rank], requires_grad=True)
        y = parallel.average(x)
        y.backward(ys[team.rank])
        sides = np.array([np.vdot(y.numpy(), ys[team.rank]), np.vdot(xs[team.rank], x.grad)])
        team.all_reduce(sides)
        assert sides[0] == pytest.approx(sides[1], rel=1e-12)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 5)])
def test_batch_normalisation_takes_the_statistics_of_the_whole_batch(ranks: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal(shape) + 3, rng.standard_normal(shape)

    def passed(x: Any, g: Any) -> list[np.ndarray]:
        layer = nn.BatchNorm1d(3, dtype=np.float64)
        tensor = tg.Tensor(x, requires_grad=True)
        y = layer(tensor)
        y.backward(g)
        summed = [layer.weight.grad, layer.bias.grad]
        for gradient in summed:
            parallel.team().all_reduce(gradient)
        slopes = tg.grad(lambda x: np.sum(tg.grad(lambda x: np.sum(layer(x) ** 3))(x) * g))(x)  # through the reference
        return [y.numpy(), tensor.grad, slopes, *summed, layer.running_mean, layer.running_var]

    whole = passed(x, g)
    with processes(ranks) as team:
        own = passed(team.shard(x), team.shard(g))
        for i, (there, here) in enumerate(zip(whole, own, strict=True)):
            np.testing.assert_allclose(here, team.shard(there) if i < 3 else there, rtol=1e-10, atol=1e-10, err_msg=str(i))


# ------------------------------------------------------------------------------------------------------------- optimisers

OPTIMISERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, 0.1, momentum=0.9),
    "adam": lambda p: optim.Adam(p, 0.1, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, 0.1),
    "adagrad": lambda p: optim.Adagrad(p, 0.1, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, 0.1, centered=True, momentum=0.5),
    "groups": lambda p: optim.Adam([{"params": p[::3]}, {"params": p[1:3], "lr": 0.01, "weight_decay": 0.5}], 0.1),
}


def descend(make_optimizer: Any, share: Callable[[Any], Any], clip: float | None) -> list[np.ndarray]:
    """Some steps on parameters of two dtypes, of which one now and then has no gradient; all state at the end."""
    rng = np.random.default_rng(0)
    shapes = [(3, 4), (5,), (200, 3), (1,)]
    parameters = [tg.Tensor(rng.standard_normal(s).astype(np.float64 if i else np.float32), requires_grad=True)
                  for i, s in enumerate(shapes)]  # fmt: skip
    optimizer, seen = make_optimizer(parameters), []
    for step in range(4):
        optimizer.zero_grad()
        for i, parameter in enumerate(parameters):
            target = share(rng.standard_normal((4, *parameter.shape)).astype(parameter.dtype))
            if i != step:
                ((parameter - target) ** 2).mean(axis=0).sum().backward()
        if clip is not None:
            optimizer.average_gradients()
            seen.append(np.array(optim.clip_grad_norm_(parameters, clip)))
            seen += [p.grad.copy() for p in parameters if p.grad is not None]
        optimizer.step()
    return [*seen, *(p.data.copy() for p in parameters), *optimizer.state_dict().values()]


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_step_as_one_process_would(name: str, clip: float | None, ranks: int) -> None:
    alone = descend(OPTIMISERS[name], lambda batch: batch, clip)
    with processes(ranks) as team:
        for here, there in zip(descend(OPTIMISERS[name], team.shard, clip), alone, strict=True):
            np.testing.assert_allclose(here, there, rtol=2e-5, atol=1e-6)


def test_a_step_leaves_each_rank_its_own_gradient() -> None:
    with processes(2) as team:
        parameter = tg.Tensor(np.zeros(100), requires_grad=True)
        optimizer = optim.SGD([parameter], 1.0)
        own = np.full(100, team.rank * 2.0)
        parameter.grad = own
        optimizer.step()
        assert parameter.grad is own
        np.testing.assert_array_equal(own, team.rank * 2.0)
        np.testing.assert_array_equal(parameter.data, -1)
        optimizer.average_gradients()
        np.testing.assert_array_equal(parameter.grad, 1)
        np.testing.assert_array_equal(own, team.rank * 2.0)


def test_a_copy_that_is_made_on_all_ranks_trains_on_like_the_original() -> None:
    with processes(2) as team:
        pair = [tg.Tensor(np.zeros(100), requires_grad=True)]
        pair.append(optim.Adam(pair, 0.1))
        for step in range(4):
            if step == 2:
                pair = copy.deepcopy(pair)
            parameter, optimizer = pair
            parameter.grad = np.arange(100.0) * (team.rank + 1)
            optimizer.step()
        alone = tg.Tensor(np.zeros(100), requires_grad=True)
    optimizer = optim.Adam([alone], 0.1)
    for _ in range(4):
        alone.grad = np.arange(100.0) * 1.5
        optimizer.step()
    np.testing.assert_allclose(parameter.data, alone.data, rtol=1e-12)


def test_after_the_block_the_optimiser_goes_on_alone() -> None:
    with processes(2) as team:
        parameter = tg.Tensor(np.zeros(3), requires_grad=True)
        optimizer = optim.SGD([parameter], 1.0)
        parameter.grad = np.full(3, team.rank * 2.0)
        optimizer.step()
        np.testing.assert_array_equal(parameter.data, np.full(3, -1.0))
    parameter.grad = np.full(3, 5.0)
    optimizer.step()
    np.testing.assert_array_equal(parameter.data, np.full(3, -6.0))


def test_an_optimiser_from_before_the_ranks_is_refused() -> None:
    weight = tg.Tensor(np.zeros(3), requires_grad=True)
    optimizer = optim.SGD([weight], 1.0)
    weight.grad = np.ones(3)
    with pytest.raises(RuntimeError, match="was made before its ranks were; make it inside"), processes(2):
        optimizer.step()
    optimizer.step()


def test_a_handle_on_data_that_would_not_move_to_the_shared_memory_is_refused() -> None:
    with processes(2):
        weight = tg.Tensor(np.zeros(3), requires_grad=True)
        optimizer = optim.SGD([weight], 1.0)
        handle, weight.grad = weight.data, np.ones(3)
        with pytest.raises(RuntimeError, match=r"through p\.data.*let go of it"):
            optimizer.step()
        np.testing.assert_array_equal(handle, 0.0)
        del handle
        optimizer.step()
        handle = weight.data  # from now on it looks at the shared memory
        optimizer.step()
        np.testing.assert_array_equal(handle, -2.0)


def test_no_rank_changes_weights_that_others_look_at_before_their_step() -> None:
    with processes(2) as team:
        weight = tg.Tensor(np.zeros(1000), requires_grad=True)
        optimizer = optim.SGD([weight], 1.0)
        for step in range(3):
            weight.grad = np.ones(1000)
            optimizer.average_gradients()
            if team.rank:
                time.sleep(0.05)
                np.testing.assert_array_equal(weight.data, -step)
            optimizer.step()


@pytest.mark.parametrize("everyone", [False, True], ids=["rank 0", "all ranks"])
def test_averaged_weights_are_applied_without_disturbing_other_ranks(everyone: bool) -> None:
    with processes(2) as team:
        model = nn.Linear(3, 2, rng=np.random.default_rng(0))
        optimizer, average = optim.SGD(model.parameters(), 1.0), optim.ExponentialMovingAverage(model, 0.5)
        model.weight.grad = np.ones((2, 3))
        optimizer.step()
        average.update()
        own = model.weight.data.copy()
        if everyone or team.rank == 0:
            with average.applied():
                np.testing.assert_allclose(model.weight.data, own + 0.5, rtol=1e-5, atol=1e-6)
                team.barrier()
        else:
            team.barrier()
            np.testing.assert_array_equal(model.weight.data, own)
        team.barrier()
        np.testing.assert_array_equal(model.weight.data, own)
        optimizer.step()
        np.testing.assert_array_equal(model.weight.data, own - 1)


# ----------------------------------------------------------------------------------------------------------------- models

MODELS: dict[str, dict[str, Any]] = {
    "gan": {},
    "gan, wgan-gp": {"model.loss": "wgan-gp"},
    "vae": {},
    "cgan": {},
    "pix2pix": {},
    "heads": {},
    "text-gan": {},
    "cyclegan": {},
    "pix2pix-scenes": {},
    "ddpm": {},
    "vit": {
        "model.num_hidden_layers": 2,
        "model.hidden_dropout_prob": 0.1,
        "model.attention_probs_dropout_prob": 0.1,
        "model.drop_path_rate": 0.3,
        "training.flip": True,
    },
    "row-rnn": {"model.bidirectional": True},
    "pixel-rnn": {},
    "char-rnn": {},
    "copying": {},
    "strip": {"model.recurrent.dropout": 0.1, "training.label_smoothing": 0.1},
    "dates, transformer": {"model.architecture": "transformer", "model.transformer.dropout": 0.1},
    "reverse, plain": {"model.architecture": "plain", "model.recurrent.dropout": 0.1},
    "detr": {"model.dropout": 0.1},
    "yolos": {},
    "segment": {},
}


def watched(task: Task) -> tuple[dict[str, float], list[np.ndarray]]:
    """The metrics of a step, averaged over the ranks, and the gradients at each optimiser's step."""
    gradients, step = [], optim.Optimizer.step

    def watch(optimizer: optim.Optimizer) -> None:
        optimizer.average_gradients()
        gradients.extend(p.grad.copy() for p in optimizer.parameters)
        step(optimizer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optim.Optimizer, "step", watch)
        metrics = task.step(0)
    return dict(zip(metrics, parallel.average(np.array([*metrics.values()])).tolist(), strict=True)), gradients


def check_model(name: str, ranks: Any) -> None:
    """That a step on ranks has the metrics and the gradients of a step of one process."""
    model, changes = name.partition(",")[0], MODELS[name]
    metrics, gradients = watched(make(model, **changes))
    with ranks:
        here, theirs = watched(make(model, **changes))
        assert here == pytest.approx(metrics, rel=1e-5)
        for a, b in zip(theirs, gradients, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(np.abs(b).max()) + 1e-8)


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("name", MODELS)
def test_losses_and_gradients_of_every_model_are_those_of_one_process(name: str, ranks: int) -> None:
    check_model(name, processes(ranks))


def opened(folder: Path) -> Run:
    run = Run(folder)
    run.create({"task": "gan"})
    return run


def train_on(ranks: int, run: Run, steps: int, name: str = "gan") -> None:
    with processes(ranks):
        train(make(name, steps=12), run, steps, log_every=4, save_every=5)


@pytest.mark.parametrize("name", ["gan", "char-rnn"])
def test_a_seed_and_a_number_of_workers_give_the_same_bits(name: str, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        train_on(2, opened(tmp_path / folder), 12, name)
    assert_same_run(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("name", ["gan", "vit", "char-rnn"])
def test_a_run_goes_on_with_another_number_of_workers(name: str, tmp_path: Path) -> None:
    """Whatever the numbers, the checkpoint has the same contents, and the run the same losses."""
    whole, changed = opened(tmp_path / "whole"), opened(tmp_path / "changed")
    train_on(1, whole, 12, name)
    for ranks, steps in ((2, 5), (1, 7), (4, 9), (2, 12)):
        train_on(ranks, changed, steps, name)
    (left, left_state), (right, right_state) = arrays(whole.folder), arrays(changed.folder)
    for state in (left_state, right_state):
        del state["checksum"]  # of the arrays, which are rounded elsewhere
    assert left_state == right_state
    assert {n: a.shape for n, a in left.items()} == {n: a.shape for n, a in right.items()}
    for part in [n for n in left if n.startswith("carried")]:
        np.testing.assert_allclose(right[part], left[part], atol=1e-2 * np.abs(left[part]).max(), err_msg=part)
    for first, second in zip(whole.log, [line for line in changed.log if line["step"] % 4 == 0], strict=True):
        assert second == pytest.approx(first, rel=1e-2)


# --------------------------------------------------------------------------------------------------------- ends of ranks


def alive(process: int) -> bool:
    """Whether a process runs still, and is not a zombie only."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("busy", [False, True], ids=["others wait", "others are at work"])
def test_an_exception_of_a_rank_ends_all_and_is_told(busy: bool) -> None:
    start = time.monotonic()
    with pytest.raises(RankError, match=r"rank 2 of 3 \(process \d+\) failed: ZeroDivisionError: division by zero") as caught:  # noqa: SIM117
        with processes(3) as team:
            if team.rank == 2:
                1 / 0  # noqa: B018
            while busy and team.rank:
                time.sleep(1)
            team.barrier()
    assert time.monotonic() < start + 5
    assert "1 / 0" in caught.value.__notes__[0]


def test_the_first_ranks_own_exception_is_raised_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"), processes(3) as team:
        if team.rank == 0:
            raise KeyError("mine")
        team.barrier()


def test_a_killed_rank_ends_all_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(RankError, match=r"rank 1 of 3 \(process (\d+)\) failed: it was killed by SIGKILL; .*memory") as caught:  # noqa: SIM117
        with processes(3) as team:
            (tmp_path / str(team.rank)).write_text(str(os.getpid()))
            team.barrier()
            if team.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            team.barrier()
    ranks = [int((tmp_path / str(rank)).read_text()) for rank in (1, 2)]
    assert f"process {ranks[0]}" in str(caught.value)
    assert not any(map(alive, ranks))


@pytest.mark.parametrize("known", [True, False], ids=["woken", "nobody can be woken"])
def test_a_rank_that_sleeps_is_woken_and_no_wake_is_missed(known: bool, monkeypatch: Any) -> None:
    """Ranks that sleep at once, for a minute unless they are woken, at moments that chance brings."""
    monkeypatch.setattr("tinygrad_cv.machine.LONGEST_SLEEP", 60.0)
    for name in ("MOST_SPINS", "FEWEST_SPINS"):
        monkeypatch.setattr(sys.modules[Processes.__module__], name, 0)
    if not known:
        monkeypatch.setattr("tinygrad_cv.machine.FUTEX_CALLS", {})
    start = time.monotonic()
    with processes(3) as team:
        rng = np.random.default_rng(team.rank)
        for turn in range(100):
            time.sleep(rng.choice([0, 0, 0, 1e-5, 1e-4]))
            summed = np.array([turn + team.rank])
            team.all_reduce(summed)
            assert summed[0] == 3 * turn + 3
    assert time.monotonic() < start + 30


def test_a_rank_that_waits_uses_no_core() -> None:
    with processes(2) as team:
        team.barrier()
        if team.rank:
            time.sleep(0.3)
        start = time.process_time()
        team.barrier()
        assert time.process_time() < start + 0.03
        used = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        if team.rank:
            time.sleep(0.2)
        team.barrier()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw < used + 50  # it wakes to see to the others


@pytest.mark.parametrize("victim", [1, 2])
def test_a_rank_that_is_killed_while_others_sleep_is_noticed_within_a_second(victim: int) -> None:
    with pytest.raises(RankError, match=f"rank {victim} of 3 .* killed by SIGKILL"), processes(3) as team:
        if team.rank == victim:
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        start = time.monotonic()
        try:
            team.barrier()
        finally:
            assert time.monotonic() < start + 1.1


@pytest.mark.parametrize(("free", "ranks"), [(1, 1), (2, 2), (3, 2)])
def test_auto_workers_are_a_power_of_two_of_the_cores_that_are_free(free: int, ranks: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(parallel, "free_cores", lambda: free)
    with parallel.workers("auto") as team:
        assert team.size == ranks


def test_a_failure_that_somebody_catches_is_raised_at_each_barrier_after_it() -> None:
    with pytest.raises(RankError, match=r"rank 1 of 2 .* killed by SIGKILL"), processes(2) as team:
        if team.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(3):
            with pytest.raises(RankError, match="killed by SIGKILL"):
                team.barrier()
        team.barrier()


def test_a_rank_that_cannot_even_write_its_last_words_ends_there(tmp_path: Path) -> None:
    """It must not go on as if it were the first."""

    class Closed:
        def flush(self) -> None:
            raise BrokenPipeError

    after = tmp_path / "after"
    with pytest.raises(RankError, match=r"rank 1 of 2 \(process \d+\) failed: exit code 1"), processes(2) as team:
        if team.rank == 1:
            sys.stdout = Closed()  # type: ignore[assignment]
    with open(after, "ab") as file:
        file.write(b"once")
    assert after.read_bytes() == b"once"
    with pytest.raises(RankError, match=r"failed: ValueError: a name: \?"), processes(2) as team:
        if team.rank == 1:
            raise ValueError("a name: \udcff")
        team.barrier()


def test_ctrl_c_when_a_rank_has_just_been_waited_for_is_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.waitpid

    def waitpid(process: int, options: int) -> tuple[int, int]:
        ended, status = real(process, options)
        if ended:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return ended, status

    monkeypatch.setattr(os, "waitpid", waitpid)
    with pytest.raises(KeyboardInterrupt), processes(2):
        pass


FORKED = """
import os, signal
from tinygrad_cv.parallel import processes

number = signal.Signals[{name!r}]
signal.signal(signal.SIGTERM, signal.default_int_handler)  # rank 0 decides what happens
os.register_at_fork(after_in_child=lambda: os.kill({victim}, number))
try:
    with processes(2) as team:
        for _ in range(1000):
            team.barrier()
    print("whole", flush=True)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(("victim", "end"), [("os.getpid()", "whole"), ("os.getppid()", "stopped"), ("0", "stopped")])
def test_a_signal_at_the_moment_of_the_fork_is_rank_0s_alone(name: str, victim: str, end: str) -> None:
    """A rank that has just begun does not know yet that it is one."""
    program = [sys.executable, "-c", FORKED.format(name=name, victim=victim)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, start_new_session=True)
    assert (done.stdout, done.stderr, done.returncode) == (f"{end}\n", "", 0)


def test_ranks_that_make_other_calls_are_told() -> None:
    with pytest.raises(RankError, match="rank 1 is at its end, but rank 0 waits for it"), processes(2) as team:
        if team.rank == 0:
            team.barrier()
    with pytest.raises(RankError, match="rank 0 is at its end, but rank 1 waits for it"), processes(2) as team:
        if team.rank == 1:
            team.barrier()
    with pytest.raises(RankError, match="makes another call here than rank"), processes(2) as team:
        team.all_reduce(np.zeros(3 + team.rank))


def test_a_rank_has_no_ranks_of_its_own() -> None:
    with pytest.raises(ValueError, match="is a rank of 2 already"), processes(2), processes(2):
        pass


def test_nothing_is_left_of_the_shared_memory() -> None:
    def here() -> list[str]:
        gc.collect()
        links = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if number.isdecimal()
                 and os.path.lexists(f"/proc/self/fd/{number}")]  # fmt: skip
        return [link for link in links if "tinygrad_cv" in link]

    named = set(os.listdir("/dev/shm"))
    with processes(2) as team:
        optim.Adam([tg.Tensor(np.zeros(5), requires_grad=True)])
        assert here()
    del team
    assert here() == []
    wait_until(lambda: set(os.listdir("/dev/shm")) <= named)  # names of other programs come and go


def test_without_fork_there_is_one_process_and_a_warning(monkeypatch: Any) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.warns(UserWarning, match="cannot fork, so there is one process instead of 3"), parallel.workers(3) as team:
        assert team.size == 1


def test_the_example_in_the_docstring_runs() -> None:
    assert parallel.__doc__
    example = parallel.__doc__.partition(":\n\n")[2].partition("\n\nand the same")[0]
    code = re.sub("^    ", "", example, flags=re.MULTILINE)
    space: dict[str, Any] = {}
    exec(code, space)
    digits = space["digits"]
    right = space["model"](digits.images).numpy().argmax(axis=1) == digits.labels
    assert right.mean() > 0.9
    assert kernels.cross_entropy(space["model"](digits.images), digits.labels).item() < 0.5
