"""Whole jobs of several processes from the command line, forked or started by mpiexec: killed, stopped, resumed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.lab.run import Run
from tests.test_parallel import MODELS, alive, wait_until
from tests.test_train import assert_same_run

pytestmark = pytest.mark.parallel

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
with_mpi = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec; pip install mpich brings one")


def command(folder: Path, *more: str, model: str = "gan", steps: int = 400) -> list[str]:
    size = ["--preset", "tiny", "--steps", str(steps), "--save-every", "20", "--out", str(folder)]
    return [sys.executable, "-m", "models", "train", model, *size, *more]


def carry_out(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def start(folder: Path, *more: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A job that has written a checkpoint, and its ranks' processes besides the first."""
    job = subprocess.Popen(
        command(folder, *more), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until((folder / "checkpoint.safetensors").exists)
    return job, list(map(int, Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: Any) -> Path:
    """A run on two ranks that nothing has happened to."""
    folder: Path = tmp_path_factory.mktemp("jobs") / "whole"
    assert carry_out(command(folder, "--workers", "2")).returncode == 0
    return folder


def test_a_killed_rank_ends_the_job_which_resumes_to_the_same_bits(whole: Path, tmp_path: Path) -> None:
    folder, named = tmp_path / "run", set(os.listdir("/dev/shm"))
    job, ranks = start(folder, "--workers", "2")
    os.kill(ranks[0], signal.SIGKILL)
    message = job.communicate(timeout=20)[1]
    assert job.returncode == 2
    assert f"tinygrad-cv: rank 1 of 2 (process {ranks[0]}) failed: it was killed by SIGKILL" in message
    assert not any(map(alive, ranks))
    wait_until(lambda: set(os.listdir("/dev/shm")) <= named)
    assert carry_out(command(folder, "--workers", "2", "--resume")).returncode == 0
    assert_same_run(whole, folder)


def test_no_rank_survives_the_first(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    job, ranks = start(folder, "--workers", "2")
    job.kill()
    wait_until(lambda: not any(map(alive, ranks)), 5)
    job.communicate()
    assert carry_out(command(folder, "--workers", "2", "--resume")).returncode == 0
    assert_same_run(whole, folder)


def test_ctrl_c_saves_and_the_job_resumes_to_the_same_bits(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    job, ranks = start(folder, "--workers", "2")
    os.killpg(job.pid, signal.SIGINT)  # as the terminal does: to all ranks
    message = job.communicate(timeout=20)[1]
    assert job.returncode == 2
    assert "steps are saved. Go on with the same command and --resume" in message
    assert not any(map(alive, ranks))
    assert carry_out(command(folder, "--workers", "2", "--resume")).returncode == 0
    assert_same_run(whole, folder)


def test_a_batch_that_does_not_divide_is_one_clear_line(tmp_path: Path) -> None:
    done = carry_out(command(tmp_path / "run", "--workers", "3"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "a batch of 16 does not divide evenly among 3 ranks; take a batch that is a multiple of 3, or another" in done.stderr


def test_the_number_of_workers_is_checked(tmp_path: Path) -> None:
    done = carry_out(command(tmp_path, "--workers", "none"))
    assert "argument --workers: none is not a whole number from 1 on" in done.stderr
    assert carry_out(command(tmp_path / "run", "--workers", "auto", steps=5)).returncode == 0


# -------------------------------------------------------------------------------------------------------------------- MPI

CHECKS = """
import numpy as np
from tests.test_parallel import check_model
from tinygrad_cv import parallel

for name in {names}:
    check_model(name, parallel.workers())
with parallel.workers() as team:
    x = np.random.default_rng(team.rank).standard_normal(1000, np.float32)
    team.all_reduce(x)
    first = x.copy()
    team.broadcast(first)
    np.testing.assert_array_equal(x, first)
    if team.rank == 0:
        print("ranks", team.size)
"""


def mpiexec(ranks: int, *program: str) -> subprocess.CompletedProcess[str]:
    assert MPIEXEC
    return carry_out([MPIEXEC, "-n", str(ranks), *program])


@with_mpi
@pytest.mark.parametrize("ranks", [2, 4])
def test_under_mpi_losses_and_gradients_are_those_of_one_process(ranks: int) -> None:
    done = mpiexec(ranks, sys.executable, "-c", CHECKS.format(names=list(MODELS)))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"ranks {ranks}\n"


@with_mpi
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("model", ["gan", "ddpm", "vit", "row-rnn"])
def test_under_mpi_models_train_and_go_on_with_one_process(model: str, ranks: int, tmp_path: Path) -> None:
    done = mpiexec(ranks, *command(tmp_path / "ranks", model=model, steps=20))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done: ") == 1
    assert carry_out(command(tmp_path / "one", model=model, steps=20)).returncode == 0
    (here,), (there,) = Run(tmp_path / "ranks").log, Run(tmp_path / "one").log
    assert here == pytest.approx(there, rel=1e-2)
    assert carry_out(command(tmp_path / "ranks", "--resume", model=model, steps=25)).returncode == 0


@with_mpi
def test_under_mpi_a_seed_gives_the_same_bits(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert mpiexec(2, *command(tmp_path / folder, steps=40)).returncode == 0
    assert_same_run(tmp_path / "one", tmp_path / "two")


FAILURE = """
import os, pathlib, signal, sys
from tinygrad_cv import parallel

with parallel.workers() as team:
    pathlib.Path(sys.argv[1], str(team.rank)).write_text(str(os.getpid()))
    team.barrier()
    if team.rank == 1:
        {failure}
    team.barrier()
"""


@with_mpi
@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero\nrank 1 of 3 failed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "(EXIT CODE: |signal )9"),  # in the words of MPICH, Open MPI
    ],
    ids=["exception", "kill"],
)
def test_under_mpi_a_rank_that_fails_ends_the_job(failure: str, message: str, tmp_path: Path) -> None:
    done = mpiexec(3, sys.executable, "-c", FAILURE.format(failure=failure), str(tmp_path))
    assert done.returncode != 0
    assert re.search(message, done.stderr + done.stdout)
    processes = [int((tmp_path / str(rank)).read_text()) for rank in range(3)]
    wait_until(lambda: not any(map(alive, processes)), 5)
