"""The comparison of speed: contenders do the same work as we do, and one that does not is found out; tables; a whole run."""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import busy
from benchmarks.__main__ import main, read
from benchmarks.speed import by_hand, growth, ours, products, report
from benchmarks.speed.compare import MULTIPLE, Dropped, Judge, Process, unit
from benchmarks.speed.contenders import (
    ALL,
    BEST,
    CONTENDERS,
    EAGER,
    FLOOR,
    HAND,
    ONE,
    absent,
    entry,
)
from benchmarks.speed.functional import trained
from benchmarks.speed.worker import STEPS, moved
from benchmarks.speed.workloads import OPERATIONS, Operation
from tinygrad_cv import safetensors

SMALL = {
    "W1s": "W1s batch=6",
    "W1": "W1 batch=16",
    "W2s": "W2s batch=3 num_hidden_layers=1",
    "W2": "W2 batch=2 hidden_size=24 num_hidden_layers=2",
    "W3": "W3 batch=2 side=8 base_channels=8 num_res_blocks=1",
    "RNN": "RNN batch=4 hidden_size=16 length=5",
    "LSTM": "LSTM batch=4 hidden_size=16 length=5",
    "W6": "W6 hidden_size=24 num_hidden_layers=1 num_labels=5",
}


def losses(contender: Any) -> list[float]:
    """What the worker would tell of it."""
    return contender.check() if hasattr(contender, "check") else [float(contender.step(i)) for i in range(STEPS)]


def judge(workload: str) -> tuple[Judge, dict[str, np.ndarray]]:
    weights = ours.weights(workload, rng=np.random.default_rng(1))

    def run(*seed: int) -> list[float]:
        return losses(ours.Contender(workload, moved(weights, *seed) if seed else weights))

    return Judge(run, steps=workload not in OPERATIONS), weights


def assert_same_work(module: str, workload: str) -> None:
    the_judge, weights = judge(workload)
    the_judge.multiples(losses(importlib.import_module(f"benchmarks.speed.{module}").Contender(workload, weights)))


# ------------------------------------------------------------------------------------------------------- the same work


@pytest.mark.parametrize("workload", ["W1s", "W2s", "RNN"])
def test_by_hand_does_the_same_work(workload: str) -> None:
    assert_same_work("by_hand", SMALL[workload])


@pytest.mark.parametrize("workload", ["W1s", "W2s", "RNN"])
@pytest.mark.parametrize("mistake", ["rate", "forgotten gradient", "decay"])
def test_a_mistake_is_found(workload: str, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    the_judge, weights = judge(SMALL[workload])
    if mistake == "rate":
        monkeypatch.setattr(by_hand, "RATE", 1.01e-3)
    contender = by_hand.Contender(SMALL[workload], weights)
    parameters = contender.work.D if workload == "W1s" else contender.work.P
    adam = by_hand.Parameters.adam

    def wrong(self: Any) -> None:
        if mistake == "forgotten gradient":
            next(g for n, g in parameters.g.items() if n.endswith("bias"))[...] = 0
        if mistake == "decay":
            self.values *= np.float32(1 - 1e-4)
        adam(self)

    monkeypatch.setattr(by_hand.Parameters, "adam", wrong)
    with pytest.raises(Dropped, match="OTHER WORK"):
        the_judge.multiples(losses(contender))


def test_another_gelu_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    the_judge, weights = judge(SMALL["W2s"])
    monkeypatch.setattr(by_hand, "ERF", (*by_hand.ERF[:-1], by_hand.ERF[-1] + 1e-3))
    with pytest.raises(Dropped, match="OTHER WORK"):
        the_judge.multiples(losses(by_hand.Contender(SMALL["W2s"], weights)))


def test_the_first_loss_must_agree_whatever_rounding_does() -> None:
    the_judge = Judge(lambda *seed: np.array([1.0, 2.0]) * (1 + 0.01 * bool(seed)), steps=True)
    assert the_judge.multiples([1.000005, 2.1]) == [0, 5]
    with pytest.raises(Dropped):
        the_judge.multiples([1.00002, 2.0])
    with pytest.raises(Dropped):
        the_judge.multiples([1.0, float("nan")])


def test_the_unit_grows_with_the_steps_and_is_never_below_the_last_place() -> None:
    numbers, differences = np.array([2.0, 2.0, 2.0]), np.array([0.0, 1e-3, 1e-5])
    np.testing.assert_allclose(unit(numbers, differences, steps=True), [2**-22, 1e-3, 1e-3])
    np.testing.assert_allclose(unit(numbers, differences, steps=False), [2**-22, 1e-3, 1e-5])


def test_weights_are_moved_by_one_place_and_none_begins_at_zero() -> None:
    weights = ours.weights(SMALL["W3"], rng=np.random.default_rng(1))
    assert all(a.any() for a in weights.values())
    for name, array in moved(weights, 3).items():
        apart = np.abs(array.view(np.int32) - weights[name].view(np.int32))
        assert (apart == 1).all()
        assert array.size < 50 or 0 < (array > weights[name]).mean() < 1


@pytest.mark.parametrize(
    ("workload", "parameters"),
    {"W1s": 34305, "W1": 2065041, "W2s": 26538, "W2": 2693578, "W3": 3607873, "RNN": 113248, "LSTM": 360544}.items(),
)
def test_each_workload_has_its_published_size(workload: str, parameters: int) -> None:
    found = ours.weights(workload, rng=np.random.default_rng(0))
    assert sum(a.size for a in trained(found, "").values()) == parameters


# ----------------------------------------------------------------------------------------------------------- the peers


def small_operations() -> Iterator[str]:
    for name, sizes in OPERATIONS.items():
        if not isinstance(sizes, Operation) or sizes.shapes[0][-1] < 20:
            yield name


PAIRS = [
    (entry.module, workload)
    for name, entry in CONTENDERS.items()
    if name not in (ONE, ALL, FLOOR, HAND, "torch.compile", "tinygrad")
    for workload in [
        *(("W1s", "W3") if name == BEST else SMALL),
        *(small_operations() if name in (EAGER, "autograd") else []),
    ]
    if workload not in entry.leaves_out
]


@pytest.mark.parity
@pytest.mark.parametrize(("module", "workload"), PAIRS, ids=lambda value: str(value))
def test_a_peer_does_the_same_work(module: str, workload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("torch" if module.startswith("torch") else module.removeprefix("peer_"))
    if library.__name__ == "torch":
        for setting in ("set_num_threads", "set_flush_denormal"):  # the other tests' business too
            monkeypatch.setattr(library, setting, lambda value: None)
    assert_same_work(module, SMALL.get(workload, workload))


@pytest.mark.parity
@pytest.mark.skipif(not shutil.which("clang"), reason="tinygrad needs clang")
@pytest.mark.parametrize("workload", ["W1s", "W2s", "RNN"])
def test_tinygrad_does_the_same_work(workload: str) -> None:
    pytest.importorskip("tinygrad")
    assert_same_work("peer_tinygrad", SMALL[workload])


# ------------------------------------------------------------------------------------------------------------- reports


def result(**milliseconds: float) -> dict[str, Any]:
    names = {"ours": ONE, "cores": ALL, "torch": EAGER}
    return {
        "skipped": {"mygrad": "it has no erf"},
        "contenders": {
            names[n]: {
                "milliseconds": [0.9 * ms, ms, 1.2 * ms],
                "difference": [0.0, 2.5, 1.0],
                "memory": {"imported": 50_000_000, "peak": 150_000_000},
            }
            for n, ms in milliseconds.items()
        },
    }


FOUND = {
    "W1s": result(ours=2, cores=1, torch=4),
    "W2": result(ours=10, torch=5),
    "W6": result(ours=1, cores=1, torch=100),
}


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "---" not in line]


def test_times_stand_beside_their_ratio_to_ours() -> None:
    head, first, *_ = cells(report.times(FOUND))
    assert head == ["ms", ONE, ALL, EAGER]
    assert first == ["W1s", "2 (1.8 to 2.4)", "1 (0.9 to 1.2), 0.50x", "4 (3.6 to 4.8), 2.00x"]
    assert cells(report.times(FOUND))[2][2] == "-"
    assert cells(report.times(FOUND, "µs"))[1][1] == "2000 (1800 to 2400)"


def test_the_mean_is_geometric_and_over_training_only() -> None:
    head, one, cores = cells(report.against(FOUND, EAGER))
    assert head[1:] == ["W1s", "W2", "W6", "geometric mean of training"]
    assert one[1:] == ["2.00", "0.50", "100.00", "1.00 of 2"]
    assert cores[1:] == ["4.00", "-", "100.00", "4.00 of 1"]


def test_memory_agreement_and_absence() -> None:
    assert cells(report.memory(FOUND))[1] == ["W1s", "100 (150)", "100 (150)", "100 (150)"]
    assert cells(report.same_work(FOUND))[2] == ["W2", "2.5", "-", "2.5"]
    assert report.skipped(FOUND) == "mygrad is left out of W1s, W2, W6: it has no erf"


def test_overhead_is_forward_and_the_rest() -> None:
    found = {"chain, forward": result(ours=1, torch=2), "chain, forward and backward": result(ours=1.5, torch=5)}
    assert cells(report.overhead(found))[1:] == [[ONE, "1.00", "0.50"], [EAGER, "2.00", "3.00"]]


def test_charts_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report.chart(FOUND, tmp_path / "speed.png")
    point = {ONE: {"milliseconds": 1.0, "megabytes": 2.0}, EAGER: {"milliseconds": 2.0, "megabytes": 20.0}}
    growth.draw({"batch": {"W2s batch=8": point, "W2s batch=16": point}}, tmp_path / "growth.png")
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in ("speed", "growth"))


def test_results_of_another_machine_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    assert read(path)["workloads"] == {}
    path.write_text(json.dumps(read(path) | {"workloads": {"W1s": 1}}))
    assert read(path)["workloads"] == {"W1s": 1}
    path.write_text(json.dumps(read(path) | {"machine": {"cores": -1}}))
    assert read(path)["workloads"] == {}


# ----------------------------------------------------------------------------------------------------------- processes


def test_a_run_measures_proves_and_keeps_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    path = tmp_path / "speed.json"
    path.write_text(json.dumps(read(path) | {"workloads": {"W2": FOUND["W2"]}}))
    arguments = ["--only", "W1s", "--contender", ONE, "--contender", HAND, "--rounds", "1", "--seconds", "0.02"]
    assert main([*arguments, "--json", str(path), "--chart", str(tmp_path / "speed.png")]) == 0
    found = json.loads(path.read_text())["workloads"]
    assert found["W2"] == FOUND["W2"]
    for contender in found["W1s"]["contenders"].values():
        low, middle, high = contender["milliseconds"]
        assert 0 < low <= middle <= high
        assert contender["memory"]["peak"] > 1e7
        assert len(contender["losses"]) == STEPS and max(contender["difference"]) <= MULTIPLE
    assert "| W1s |" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in CONTENDERS if name not in ("torch.compile", "tinygrad")])
@pytest.mark.parity
def test_each_contender_tells_how_long_its_steps_take(name: str, tmp_path: Path) -> None:
    workload = SMALL["W1s"]
    if why := absent(name, workload):
        pytest.skip(why)
    weights = tmp_path / "weights.safetensors"
    safetensors.save(ours.weights(workload, rng=np.random.default_rng(0)), weights)
    with Process(entry(name, workload).module, entry(name, workload).threads) as process:
        process.ask("open", workload, weights)
        assert all(0 < seconds < 60 for seconds in process.ask("check")["seconds"])
        assert all(0 < seconds < 60 for seconds in process.ask("time", 0.02))


def test_the_floor_is_the_part_of_our_step_that_multiplies() -> None:
    _, weights = judge(SMALL["W2s"])
    contender = products.Contender(SMALL["W2s"], weights)
    losses_of_ours = losses(ours.Contender(SMALL["W2s"], weights))
    start = time.perf_counter()
    assert losses(contender) == losses_of_ours
    assert 0 < contender.counted < time.perf_counter() - start
    with products.Products() as found:
        np.dot(np.ones((2, 3)), np.ones((3, 5)))
        np.matmul(np.ones((7, 2, 3)), np.ones((3, 4)))
    assert (found.count, found.operations) == (2, 2 * 2 * 3 * 5 + 2 * 7 * 2 * 3 * 4)
    assert np.dot.__module__ == "numpy"


def test_a_process_that_breaks_says_why_and_one_that_is_stopped_ends() -> None:
    with Process("by_hand", 1) as process, pytest.raises(Dropped, match="No such file"):
        process.ask("open", "W3", "no file")
    with Process("by_hand", 1) as process:
        pass  # it is stopped now, and yet it ends
    assert process.process.poll() is not None


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTENDERS, "mygrad", CONTENDERS["mygrad"].__class__("peer_mygrad", "no_such_library"))
    assert absent("mygrad", "W1s") == "no_such_library is not there"
    assert absent(HAND, "W2s batch=8") is None
    assert "three workloads" in str(absent(HAND, "W3"))


# --------------------------------------------------------------------------------------------------------- a busy machine


def test_a_run_makes_what_its_share_of_the_cores_gives(capsys: Any) -> None:
    """On two cores, two processes beside two neighbours have half a core each, beside one two thirds."""
    times = {"1 beside 0": [1.0], "1 beside 1": [1.0], "1 beside 2": [3.0, 1.5, 1.5], "2 beside 0": [0.6]}
    times |= {"2 beside 1": [0.9], "2 beside 2": [1.2]}
    assert [round(part, 9) for *_, part in busy.rows(times, 2)] == [1] * 6
    assert busy.show({"cores": 2, "load": 0.0, "workloads": {"gan-digits": times}})
    times["2 beside 1"] = [0.9 / 0.79]
    assert not busy.show({"cores": 2, "load": 1.0, "workloads": {"gan-digits": times}})
    assert "load at the start 1.00, which should be 0" in capsys.readouterr().out


def test_neighbours_work_and_end_with_their_block() -> None:
    def used() -> float:
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return end.ru_utime + end.ru_stime

    before = used()
    with pytest.raises(KeyboardInterrupt), busy.neighbours(2):
        time.sleep(0.2)
        raise KeyboardInterrupt
    assert used() > before + 0.02
    with pytest.raises(ChildProcessError):  # no child is left, dead or alive
        os.waitpid(-1, os.WNOHANG)
