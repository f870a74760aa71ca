"""Jobs that are killed, by the hundred: each ends with the bits of one that nobody has touched.

    python -m tests.kills                           # 100 kills, seed 0
    python -m tests.kills gan eval --count 500 --seed 1    # these kinds of jobs
    python -m tests.kills --seed 1 --only 47        # one job again

A job is a command of the command line: a training on one or two workers, or one that writes images,
text or a page. It is struck one to three times: by a signal (SIGKILL, SIGTERM, SIGINT, once or
twice) to it, to one of its ranks or to all of them, at any time of its life or at one of the events
when it touches a file or forks, or by a disk that fills up. Each time the same command goes on, with
--resume if there is something to resume. In the end all files are those of a job that was left
alone, bit by bit. After each strike the job has ended as it should: in time, with an exit code and
one line that fit, without a traceback, and with no process, shared memory or lock left behind; what
has only been asked to stop leaves no temporary file either, and what was killed none when the
command has been given again.

All is drawn from (seed, number); only how long the machine takes to get to a moment is not. The jobs
run on a small disk of their own, which only they see, where this user may mount one; elsewhere a disk
is full by a limit on the size of files.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import models.__main__ as door
import models.lab.cli  # noqa: F401  (so that a copy of this process has it)
from tests.killed import sitecustomize
from tests.killed.sitecustomize import children

ROOT = Path(__file__).parent.parent
SIGXFSZ = signal.SIGXFSZ
LONGEST = 240  # seconds that a job may take; one takes one to three on a machine that is free
DISK = 32 << 20  # bytes
INSIDE = "KILLS_INSIDE"  # set in the environment when this has a disk of its own
MARK = b"what was here before"  # in files that a command writes anew

TRAININGS = {  # steps that take about half a second
    "gan": 180,
    "vit": 70,
    "row-rnn": 80,
    "ddpm": 20,
    "char-rnn": 110,
    "pixel-rnn": 60,
    "copying": 110,
    "reverse": 55,
    "segment": 20,
}
COMMANDS = {  # commands that write files, of what they are given
    "sample-npz": ("gan", ["sample", "RUN", "--n", "8", "--out", "OUT/images.npz"]),
    "sample-png": ("gan", ["sample", "RUN", "--n", "8", "--out", "OUT/images.png"]),
    "sample-txt": ("reverse", ["sample", "RUN", "--n", "3", "--out", "OUT/lines.txt"]),
    "inpaint": ("ddpm", ["inpaint", "RUN", "--n", "2", "--out", "OUT/filled.npz"]),
    "eval": ("vit", ["eval", "RUN"]),
}
KINDS = [*TRAININGS, *COMMANDS]
COUNTS = [kind for kind in TRAININGS for _ in range(4)] + list(COMMANDS)


@dataclass
class Strike:
    """What happens to a job, and when."""

    number: int = 0  # of the signal; 0: none
    victim: str = "job"  # or "rank", or "all"
    event: str = ""  # "fork", or a number; otherwise it is a time
    phase: str = "start"  # or "run", which a command that trains nothing has not
    share: float = 0.0  # of the job's phase
    again: float | None = None  # seconds to the same signal once more
    room: int | None = None  # bytes that are left on the disk
    size: int = 0  # of a file in bytes, when SIGXFSZ comes

    def __str__(self) -> str:
        name = signal.Signals(self.number).name if self.number else "nothing"
        when = f"event {self.event}" if self.event else f"{self.share:.2f} of its {self.phase}"
        twice = "" if self.again is None else f", again after {self.again:.3f} s"
        full = "" if self.room is None else f", disk full but for {self.room} bytes"
        size = f", in a file after {self.size} bytes" if self.size else ""
        return f"{name} to {self.victim} at {when}{twice}{full}{size}"


@dataclass
class Whole:
    """A job that nobody has touched."""

    files: dict[str, bytes]
    life: float  # seconds
    start: float  # of them, until a training's log is there
    events: int


@dataclass
class End:
    """How a job has ended."""

    code: int
    text: str  # on stdout and stderr
    struck: bool
    start: float = 0.0  # seconds until the log was there
    complaints: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------- what the system has


def session(leader: int) -> list[int]:
    """The processes of a session that run still."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError):
                state = (place / "stat").read_text().rpartition(")")[2].split()
                if int(state[3]) == leader and state[0] != "Z":
                    found.append(int(place.name))
    return found


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def bars_left_out(text: str) -> list[str]:
    """The lines of a job's output without those of its progress bar."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    return [line for line in lines if line and not re.search(r"\d+%\||\d+it |it/s", line)]


# ------------------------------------------------------------------------------------------ processes


class Job:
    """A process that leads a session."""

    pid: int
    code: int | None = None

    def poll(self) -> int | None:
        """The exit code, if it has ended; that of a signal is negative."""
        if self.code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if ended else None
        return self.code

    def wait(self, seconds: float) -> int:
        """The exit code. Raises TimeoutError if there is none in time."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.002)
        return code


class Cold(Job):
    """A command as it is typed, which imports everything first."""

    def __init__(
        self, words: Sequence[str], environment: dict[str, str], output: int, folder: Path
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "models", *words],
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,
        )
        self.pid = self.process.pid


class Warm(Job):
    """A copy of this process, which has imported everything: that takes most of a command's time."""

    def __init__(
        self, words: Sequence[str], environment: dict[str, str], output: int, folder: Path
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        stops = (signal.SIGINT, signal.SIGTERM)
        before = signal.pthread_sigmask(
            signal.SIG_BLOCK, stops
        )  # Python's fork has lines of its own
        self.pid = os.fork()
        if self.pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return
        code = 70
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.setsid()
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            sitecustomize.install()
            sys.argv[1:] = words
            code = door.main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except KeyboardInterrupt:  # before the command has begun
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                atexit._run_exitfuncs()
                sys.stdout.flush()
            os._exit(code)


# -------------------------------------------------------------------------------------------- a room


class Room:
    """The folder where jobs run: `disk`, where they write, and what this program notes beside it."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="kills-"))
        self.disk = self.base / "disk"
        self.disk.mkdir()
        self.mounted = bool(os.environ.get(INSIDE)) and self.mount()
        self.text = self.base / "text.txt"
        self.text.write_text("To be, or not to be: that is the question.\n" * 40)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != INSIDE},
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": f"{ROOT / 'tests' / 'killed'}{os.pathsep}{ROOT}",
            "PYTHONFAULTHANDLER": "1",
            "MPLCONFIGDIR": str(self.base / "matplotlib"),
            "TMPDIR": str(self.disk / "tmp"),
        }
        self.wholes: dict[tuple[str, int], Whole] = {}

    def mount(self) -> bool:
        """A small disk, and shared memory that only these jobs see."""
        for size, place in ((f"size={DISK}", str(self.disk)), ("size=1g", "/dev/shm")):
            mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", place]
            if subprocess.run(mount, capture_output=True).returncode:
                return False
        return True

    def close(self) -> None:
        if os.path.ismount(self.disk):
            subprocess.run(["umount", str(self.disk)], check=True)
        shutil.rmtree(self.base)

    def clean(self) -> Path:
        """An empty disk, on which a job has its folder for temporary files."""
        for path in self.disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (self.disk / "tmp").mkdir()
        return self.disk

    # ------------------------------------------------------------------------------------ a full disk

    def fill(self, process: int, room: int) -> None:
        """Leave so many bytes on the disk; elsewhere no file of the job may be longer."""
        if not self.mounted:
            limit = resource.RLIMIT_FSIZE
            with contextlib.suppress(ProcessLookupError, AttributeError):
                resource.prlimit(process, limit, (room, resource.RLIM_INFINITY))
            return
        free = os.statvfs(self.disk).f_bavail * os.statvfs(self.disk).f_frsize
        with open(self.disk / "ballast", "wb") as file, contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, max(1, free - room))

    def empty(self) -> None:
        (self.disk / "ballast").unlink(missing_ok=True)

    # ---------------------------------------------------------------------------------------- jobs

    def command(self, kind: str, workers: int, save_every: int) -> list[str]:
        """The words of a job after `python -m models`."""
        if kind in COMMANDS:
            places = {"RUN": str(self.disk / "run"), "OUT": str(self.disk / "out")}
            return [
                re.sub("^(RUN|OUT)", lambda found: places[found[0]], word)
                for word in COMMANDS[kind][1]
            ]
        steps = TRAININGS[kind] // (3 if workers > 1 else 1)  # ranks wait long on a busy machine
        size = ["--preset", "tiny", "--steps", str(steps), "--workers", str(workers)]
        text = ["--data", f"text:{self.text}"] if kind == "char-rnn" else []
        saves = ["--save-every", str(save_every)]
        return ["train", kind, *size, *text, *saves, "--out", str(self.disk / "run")]

    def run(
        self,
        words: Sequence[str],
        strike: Strike | None = None,
        whole: Whole | None = None,
        cold: bool = False,
        **more: str,
    ) -> End:
        """Start a job, strike it, and wait for its end."""
        environment = {**self.environment, **more}
        if strike and strike.event:
            environment["KILLED_AT"] = f"{strike.event} {strike.number} {strike.victim}"
            environment["KILLED_SIZE"] = str(strike.size)
        named, since = shared_memory(), self.log_written()
        started = time.monotonic()
        output, into = os.pipe()  # not a file, which might be limited or on a full disk
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(output, False)
        with open(output, "rb", buffering=0) as lines:
            job = (Cold if cold else Warm)(words, environment, into, self.base)
            os.close(into)
            end = End(0, "", struck=False)
            try:
                if whole is None:
                    end.start = self.wait_for_log(job, since) - started
                elif strike and not strike.event:
                    end.struck = self.strike(job, strike, self.moment(job, strike, whole, since))
                end.code = job.wait(LONGEST)
            except TimeoutError:
                end.complaints.append(f"it hangs: no end within {LONGEST} seconds")
                os.killpg(job.pid, signal.SIGUSR1)  # all show their stacks
                time.sleep(1)
            finally:
                self.empty()
                self.look_behind(job.pid, named, end)
                job.wait(LONGEST)
            end.text = (lines.read() or b"").decode(errors="replace")
        if strike and strike.event:
            end.struck = end.code != 0
        return end

    def log_written(self) -> int:
        """When a run's log was written last."""
        log = self.disk / "run" / "log.jsonl"
        return log.stat().st_mtime_ns if log.exists() else 0

    def wait_for_log(self, job: Job, since: int) -> float:
        """When a training begins to make steps, or ends without: seconds."""
        while self.log_written() == since and job.poll() is None:
            time.sleep(0.002)
        return time.monotonic()

    def moment(self, job: Job, strike: Strike, whole: Whole, since: int) -> float:
        """When to strike: seconds."""
        if strike.phase == "start":
            return time.monotonic() + strike.share * whole.start
        return self.wait_for_log(job, since) + strike.share * (whole.life - whole.start)

    def strike(self, job: Job, strike: Strike, moment: float) -> bool:
        """Wait for the moment, and strike; whether there was still somebody."""
        time.sleep(max(0.0, moment - time.monotonic()))
        if strike.victim == "rank":
            while not children(job.pid) and job.poll() is None:
                time.sleep(0.002)
        if strike.room is not None:
            self.fill(job.pid, strike.room)
        for wait in [0.0] if strike.again is None else [0.0, strike.again]:
            time.sleep(wait)
            targets = {"job": [job.pid], "all": [-job.pid], "rank": children(job.pid)[-1:]}
            if job.poll() is not None:
                return wait > 0
            for target in targets[strike.victim] if strike.number else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(target, strike.number)
        return True

    def look_behind(self, leader: int, named: set[str], end: End) -> None:
        """Complain of what a job has left, when its ranks have had a moment to see that it ended."""
        patience = time.monotonic() + (0 if end.complaints else 10)
        while (left := session(leader)) and time.monotonic() < patience:
            time.sleep(0.01)
        if left:
            if not end.complaints:
                end.complaints.append(f"{len(left)} processes are left behind")
                os.killpg(leader, signal.SIGUSR1)
                time.sleep(1)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)
        if new := shared_memory() - named:
            end.complaints.append(f"shared memory is left behind: {sorted(new)}")

    def whole(self, kind: str, workers: int) -> Whole:
        """A job that nobody touches."""
        if (kind, workers) not in self.wholes:
            self.prepare(kind)
            words = self.command(kind, workers, save_every=1000)
            counted = self.base / "count"
            started = time.monotonic()
            end = self.run(words, KILLED_COUNT=str(counted))
            life = time.monotonic() - started
            if end.code or end.complaints:
                raise RuntimeError(f"{kind} fails by itself: {end.complaints} {end.text}")
            files = contents(self.disk)
            events = int(counted.read_text())
            self.wholes[kind, workers] = Whole(files, life, end.start, events)
        return self.wholes[kind, workers]

    def prepare(self, kind: str) -> None:
        """What is on the disk before a job."""
        if kind in TRAININGS:
            self.clean()
            return
        trained = self.whole(COMMANDS[kind][0], 1).files
        folder = self.clean()
        (folder / "out").mkdir()
        for name, content in trained.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        if (kind, 1) in self.wholes:  # what the job writes has been there, from before
            for name in self.wholes[kind, 1].files.keys() - trained.keys():
                (folder / name).write_bytes(MARK)


# -------------------------------------------------------------------------------------------- a case


@dataclass
class Case:
    """A job, and what happens to it."""

    kind: str
    workers: int
    save_every: int
    strikes: list[Strike]
    cold: bool
    always_resume: bool  # as soon as there is a configuration; otherwise a checkpoint

    def __str__(self) -> str:
        strikes = "; ".join(map(str, self.strikes))
        return f"{self.kind}{' from cold' * self.cold}, {self.workers} workers, saved every {self.save_every} steps: {strikes}"


def drawn_case(kinds: Sequence[str], seed: int, number: int, room: Room) -> Case:
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice([kind for kind in COUNTS if kind in kinds]))
    workers = int(rng.integers(1, 3)) if kind in TRAININGS else 1
    events = room.whole(kind, workers).events
    phases = ["start", "run", "run"] if kind in TRAININGS else ["start"]
    strikes = [
        drawn_strike(rng, workers, events, phases) for _ in range(rng.choice([1, 1, 2, 2, 3]))
    ]
    save_every = int(rng.choice([1, 5, 20, 1000]))
    cold, always_resume = rng.random() < 0.15, bool(rng.integers(2))
    return Case(kind, workers, save_every, strikes, cold, always_resume)


def drawn_strike(rng: np.random.Generator, workers: int, events: int, phases: list[str]) -> Strike:
    """Half of them come at some time, a third at some event, the others with a full disk.

    SIGXFSZ, from a limit on the size of files, kills in the midst of a write.
    """
    number = int(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
    victim = str(rng.choice(["job", "rank", "all"] if workers > 1 else ["job"]))
    strike = Strike(number, victim, phase=str(rng.choice(phases)), share=float(rng.uniform(0, 1.1)))
    how = rng.random()
    if how < 0.1:
        strike.event, strike.number, strike.victim = str(rng.integers(events + 1)), SIGXFSZ, "job"
        strike.size = int(2 ** rng.uniform(6, 18))
    elif how < 0.3:
        strike.event = str(rng.integers(events + 1))
    elif how < 0.35 and workers > 1:
        strike.event = "fork"
    elif how < 0.5:
        strike.room = int(rng.choice([0, 0, 4096, 16384]))
        strike.number = int(rng.choice([0, 0, number]))
        strike.share = float(rng.uniform(0, 1))
    elif how < 0.65 and number != signal.SIGKILL:
        strike.again = float(rng.exponential(0.03))
    return strike


def ended_wrongly(strike: Strike, end: End) -> str:
    """What is wrong with how a job has ended, if anything."""
    if end.code == -signal.SIGINT and "__main__.py" not in end.text:
        return ""  # Python itself was at its beginning
    if re.search("Traceback|Exception ignored|Fatal", end.text):
        return "a traceback"
    results = ("|", "done: ")
    lines = [line for line in bars_left_out(end.text) if not line.startswith(results)]
    if end.code == 0:
        return ""
    if end.code < 0:
        said = "".join(line for line in lines if line.startswith("tinygrad-cv:"))
        full = strike.room is not None and "Errno" in said
        ended = full or (strike.again is not None and "stopped" in said)  # when a signal came
        if end.code != -strike.number or strike.victim == "rank" or (said and not ended):
            return "killed"
        return ""
    if len(lines) != 1:
        return "not one line"
    if end.code != 2:
        asked = strike.number in (signal.SIGINT, signal.SIGTERM) and strike.victim != "rank"
        right = asked and end.code == 128 + strike.number
        return "" if right and lines == ["tinygrad-cv: stopped"] else "the exit code"
    known = [r"stopped; \d+ steps are saved. Go on with the same command and --resume$"]
    if strike.victim != "job":
        known.append(r"rank 1 of 2 \(process \d+\) failed: it was killed by SIG(KILL|TERM)")
    if strike.room is not None:
        known.append(r"\[Errno \d+\] No space left on device: '/.*'")
        known.append(r"\[Errno \d+\] File too large")  # of memory without a name too
    right = any(re.match(f"tinygrad-cv: {words}", lines[0]) for words in known)
    return "" if right else "an unknown line"


def is_left(name: str) -> bool:
    return name.endswith((".tmp", "lock")) or name.startswith("tmp/")


def carry_out(case: Case, room: Room, ends: Counter[str]) -> list[str]:
    """Strike a job as often as it is said, and let it end; what is wrong."""
    whole = room.whole(case.kind, case.workers)
    room.prepare(case.kind)
    before = contents(room.disk)
    for strike in case.strikes:
        earlier = set(filter(is_left, contents(room.disk)))
        end = room.run(going_on(case, room), strike, whole, case.cold)
        what = "in time" if end.struck else "too late"
        name = signal.Signals(strike.number).name if strike.number else "a full disk"
        ends[f"{name:11} to {strike.victim:4} {what:8} -> {end.code:4}"] += 1
        complaints = [*end.complaints]
        if wrong := ended_wrongly(strike, end):
            complaints.append(f"{wrong} (code {end.code})")
        files = contents(room.disk)
        left = set(filter(is_left, files))
        if left - earlier and end.code not in (-signal.SIGKILL, -SIGXFSZ):
            complaints.append(f"left behind: {left - earlier}")
        if case.kind in COMMANDS:
            for path in files.keys() - left:
                if files[path] not in (before.get(path), whole.files.get(path)):
                    complaints.append(f"{path} is neither the old file nor the new one")
        if complaints:
            return [f"{strike}: {', '.join(complaints)}\n{end.text[-6000:]}"]
    end = room.run(going_on(case, room), whole=whole)
    if end.code or end.complaints or "Traceback" in end.text:
        return [f"it cannot go on (code {end.code}, {end.complaints})\n{end.text[-6000:]}"]
    files = contents(room.disk)
    differ = [name for name in {**files, **whole.files} if files.get(name) != whole.files.get(name)]
    if differ:
        return [f"these files differ in the end: {differ}"]
    return []


def going_on(case: Case, room: Room) -> list[str]:
    """The command, and --resume if there is something to go on with."""
    words = room.command(case.kind, case.workers, case.save_every)
    sign = "config.json" if case.always_resume else "checkpoint.safetensors"
    resumes = case.kind in TRAININGS and (room.disk / "run" / sign).exists()
    return [*words, "--resume"] if resumes else words


def in_time(ends: Counter[str]) -> int:
    """How many strikes have met somebody."""
    return sum(n for name, n in ends.items() if "in time" in name)


def kills(
    kinds: Sequence[str], count: int, seed: int, only: int | None = None
) -> tuple[Counter[str], list[str]]:
    """So many strikes in time, or one or two more: how jobs ended after them, and what was wrong."""
    room, ends, accidents = Room(), Counter[str](), []
    began = time.monotonic()
    try:
        number = 0 if only is None else only
        while in_time(ends) < count and (only is None or number == only):
            case = drawn_case(kinds, seed, number, room)
            wrong = carry_out(case, room, ends)
            ends[f"job {case.kind}, {case.workers} workers"] += 1
            for text in wrong:
                accidents.append(f"--seed {seed} --only {number}: {case}\n    {text}")
                print(accidents[-1], flush=True)
            number += 1
            if number % 20 == 0:
                print(f"{number} jobs, {time.monotonic() - began:.0f} s", flush=True)
    finally:
        room.close()
    return ends, accidents


def in_a_room(words: Sequence[str]) -> None:
    """Become a process that has a disk of its own, if this user may."""
    if INSIDE in os.environ or not shutil.which("unshare"):
        return
    unshare = ["unshare", "--mount"]
    if os.getuid():
        unshare += ["--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode == 0:
        again = [*unshare, sys.executable, "-m", "tests.kills", *words]
        os.execvpe(unshare[0], again, {**os.environ, INSIDE: "1"})


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill jobs, and let them go on.")
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument(
        "--count", type=int, default=100, help="strikes that are in time, or one or two more"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one job, by its number")
    args = parser.parse_args()
    in_a_room(sys.argv[1:])
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for number in (signal.SIGINT, signal.SIGTERM):  # also if a shell has it ignored
        signal.signal(number, signal.default_int_handler)
    ends, accidents = kills(args.kinds, args.count, args.seed, args.only)
    for end, n in sorted(ends.items()):
        print(f"{n:5} {end}")
    print(f"seed {args.seed}: {in_time(ends)} strikes in time, {len(accidents)} accidents")
    return int(bool(accidents))


if __name__ == "__main__":
    sys.exit(main())
