"""Memory is kept where the C library can be told so; BLAS has one thread; cores that others use are not counted."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import scipy.linalg

from models.lab import cli
from tinygrad_cv import machine, parallel
from tinygrad_cv.machine import cores, few_blas_threads, free_cores, keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_glibc_is_told() -> None:
    assert keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch: Any) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()


# ----------------------------------------------------------------------------------------------------------- BLAS threads


def blas_threads() -> list[int]:
    """Of each OpenBLAS in this process: NumPy's and SciPy's, say."""
    names = ("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads", "openblas_get_num_threads")
    counts = []
    for path in {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "openblas" in line}:
        library = ctypes.CDLL(path)
        counts += [getattr(library, name)() for name in names if hasattr(library, name)]
    return counts


@pytest.fixture
def two_threads(monkeypatch: Any) -> Any:
    """Every OpenBLAS has two threads, and nobody has said so."""
    assert scipy.linalg
    for name in machine.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    functions = machine._blas_thread_functions()
    if not functions:
        pytest.skip("NumPy has another BLAS")
    before = [get_threads() for _, get_threads in functions]
    for set_threads, _ in functions:
        set_threads(2)
    yield
    for (set_threads, _), count in zip(functions, before, strict=True):
        set_threads(count)


@pytest.mark.usefixtures("two_threads")
def test_every_command_has_one_blas_thread_and_leaves_the_users_setting(monkeypatch: Any, tmp_path: Path) -> None:
    seen = []
    for command in ("train", "sample", "inpaint", "eval", "demo"):
        monkeypatch.setattr(cli, f"do_{command}", lambda args: seen.append(blas_threads()))
        words = {"train": ["gan"], "demo": [], "inpaint": ["RUN", "--out", "x.png"]}.get(command, ["RUN"])
        assert cli.main([command, *words]) == 0
    assert {count for counts in seen for count in counts} == {1}
    assert set(blas_threads()) == {2}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_rank_has_one_blas_thread(ranks: int) -> None:
    with parallel.workers(ranks):
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {2}


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("name", machine.THREAD_VARIABLES)
def test_blas_threads_that_the_user_sets_are_honoured_as_far_as_there_are_cores(name: str, monkeypatch: Any) -> None:
    monkeypatch.setenv(name, "2")
    for available, processes, threads in ((2, 1, 2), (4, 2, 2), (2, 2, 1), (1, 1, 1)):
        monkeypatch.setattr(machine, "cores", lambda available=available: available)
        with few_blas_threads(processes):
            assert set(blas_threads()) == {threads}


def test_an_import_changes_no_blas_threads() -> None:
    program = (
        "from tinygrad_cv import machine, parallel\n"
        "print([get() for _, get in machine._blas_thread_functions()])"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.strip("[]\n").split(", ")) <= {"2", ""}


# ------------------------------------------------------------------------------------------------------------------ cores


@pytest.mark.parametrize(
    ("idle", "free"), [((1, 1, 1, 1), 4), ((0, 1, 1, 1), 3), ((0.9, 0.9, 0, 0), 2), ((0.4, 0, 0, 0), 1), ((0, 0, 0, 0), 1)]
)
def test_cores_that_others_use_are_not_free(idle: tuple[float, ...], free: int, monkeypatch: Any, tmp_path: Path) -> None:
    """Ticks of cores 0, 1, 4 and 5 before and after a moment; cores that this process may not use are idle."""
    mine, ticks = (0, 1, 4, 5), {}

    def sleep(seconds: float) -> None:
        for core, share in zip(mine, idle, strict=True):
            ticks[core] += share * seconds * os.sysconf("SC_CLK_TCK")
        write(seconds)

    def write(seconds: float) -> None:
        lines = ["cpu  1 2 3 4 5"]
        lines += [f"cpu{core} 100 {seconds} 7 {int(ticks[core])} 0 9 9" for core in range(6)]
        path.write_text("\n".join([*lines, "intr 3"]))

    path, moments = tmp_path / "stat", iter((0.0, 100.0))
    ticks.update(dict.fromkeys(range(6), 1000.0))
    write(0)
    monkeypatch.setattr(machine, "STATISTICS", path)
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "none")
    monkeypatch.setattr(machine, "MOMENT", 100.0)
    monkeypatch.setattr(machine.time, "sleep", sleep)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(moments))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(mine))
    assert free_cores() == free


def test_where_nobody_counts_idle_time_the_load_is_what_others_use(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "STATISTICS", tmp_path / "none")
    monkeypatch.setattr(machine, "cores", lambda: 8)
    for load, free in ((0.2, 8), (2.7, 5), (30.0, 1)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0, 0))
        assert free_cores() == free


@pytest.mark.parametrize(
    ("group", "files", "count"),
    [
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "20000 100000"}, 1),
        ("0::/elsewhere", {"cpu.max": "200000 100000"}, 2),
        ("4:cpu,cpuacct:/a", {"cpu,cpuacct/a/cpu.cfs_quota_us": "200000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"}, 2),
        ("1:cpu:/\n0::/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("3:memory:/", {"memory/cpu.max": "100000 100000"}, 8),
    ],
)
def test_a_containers_quota_counts(group: str, files: dict[str, str], count: int, monkeypatch: Any, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text(f"{group}\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "OWN_GROUPS", own)
    monkeypatch.setattr(machine, "GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert cores() == count
