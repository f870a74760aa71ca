"""What is in each process that `tests.kills` starts; Python imports it first if it is on the path.

It lets a hung process show its stacks (SIGUSR1), and a process be killed at a certain event rather
than at a certain time: KILLED_AT is "EVENT SIGNAL VICTIM", where EVENT is the number of something
that is done to a file or a process (of those in `COUNTED`), or `fork`, which is in the child before
the first line of it. SIGXFSZ comes later, in the midst of a write, when a file grows beyond
KILLED_SIZE bytes. Without a number the events are counted, into the file that KILLED_COUNT names.
"""

from __future__ import annotations

import atexit
import faulthandler
import os
import resource
import signal
import sys
from pathlib import Path

COUNTED = {
    *("os.rename", "os.remove", "os.mkdir", "os.truncate", "os.listdir", "os.scandir"),
    *("fcntl.flock", "os.fork", "os.kill", "open"),
}
job = 0  # the process that was started; others are its ranks
count = 0


def children(process: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except OSError:
        return []


def strike(victim: str, number: int) -> None:
    """Send a signal to the job, to one of its ranks, or to all of them."""
    if number == signal.SIGXFSZ:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores otherwise
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = int(os.environ["KILLED_SIZE"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        return
    targets = {"job": [job], "all": [0], "rank": children(job)[-1:]}
    for target in targets[victim]:
        os.kill(target, number)


def written(event: str, args: tuple[object, ...]) -> bool:
    """Whether an event is one that counts: of files, those that a job may write."""
    if event not in COUNTED or os.getpid() != job:
        return False
    if event == "open":
        return isinstance(args[2], int) and bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event not in ("os.listdir", "os.scandir") or "/disk/" in str(args[0])


def watch(at: int, victim: str, number: int) -> None:
    def hook(event: str, args: tuple[object, ...]) -> None:
        global count
        if count <= at and written(event, args):
            count += 1
            if count == at + 1:
                count += 1  # the strike is an event too
                strike(victim, number)

    sys.addaudithook(hook)


def install() -> None:
    global job
    job = os.getpid()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    if "KILLED_AT" in os.environ:
        moment, number, victim = os.environ["KILLED_AT"].split()
        if moment == "fork":
            os.register_at_fork(after_in_child=lambda: strike(victim, int(number)))
        else:
            watch(int(moment), victim, int(number))
    if "KILLED_COUNT" in os.environ:
        watch(10**9, "job", 0)
        atexit.register(lambda: Path(os.environ["KILLED_COUNT"]).write_text(str(count)))


if __name__ == "sitecustomize":
    install()
