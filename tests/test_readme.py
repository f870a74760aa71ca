"""Every example in a README runs, and prints what it says; every command is one; the worked example of a model works."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.config import named_values
from models.lab import cli
from models.lab.tasks import TASKS
from tinygrad_cv import data

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    p for p in ROOT.rglob("README.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts)
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def programs(page: Path) -> list[str]:
    """The blocks of Python that begin with their imports; the examples of a page may use their names."""
    return re.findall(r"^```python\n((?:from|import) .*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # NumPy warns, then it is refused
@every_page
def test_examples(page: Path) -> None:
    names: dict[str, Any] = {}
    for program in programs(page):
        exec(compile(program, str(page), "exec"), names)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    parser = doctest.DocTestParser()
    text = page.read_text().replace("```python\n", "\n").replace("```\n", "\n")
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    runner.run(parser.get_doctest(text, names, page.name, str(page), 0))
    assert runner.summarize(verbose=False).failed == 0


def headings(page: Path) -> set[str]:
    """What a link may name behind its #."""
    lines = [line.lstrip("# ") for line in page.read_text().splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in lines}


@every_page
def test_files_and_headings_that_are_linked_exist(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if not link.startswith(("http://", "https://")):
            path, _, heading = link.partition("#")
            file = page.parent / path if path else page
            assert file.exists(), link
            assert not heading or heading in headings(file), link


def test_the_main_page_shows_at_least_five_errors() -> None:
    assert (ROOT / "README.md").read_text().count("Traceback (most recent call last)") >= 5


# ------------------------------------------------------------------------------------------------------------- commands


def commands(text: str) -> Iterator[list[str]]:
    """The words after `python -m models` in blocks of shell, and commands in tables, such as `train gan`."""
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in re.findall(r"python -m models (.*)", block):
            yield shlex.split(line.partition("|")[0], comments=True)
    for command in re.findall(r"`((?:train|eval|sample|inpaint) [^`]+)`", text):
        yield shlex.split(command)


def little_data(name: str, root: str | None) -> tuple[Any, Any]:
    """What `read_data` would read, or something that looks like it."""
    if name == "nothing":
        return None, None
    if name.startswith("text:"):
        text = data.Text(np.arange(5000) % 7, np.arange(500) % 7, "abcdefg")
        return text, text
    if name == "mnist":
        images = data.Dataset(name, np.zeros((10, 28, 28), np.float32), np.arange(10), tuple("0123456789"))
        return images, images
    return data.digits("train"), data.digits("test")


@every_page
def test_commands_are_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "read_data", little_data)
    text, _, _ = page.read_text().partition("## Add a model")  # whose commands run, below
    options = {name for task in TASKS.values() for name, _ in named_values(task.options)}
    for command in commands(text):
        if command[-1] == "--help":
            assert command[:-1] == ["train", "vit"]
            continue
        args = cli.parser().parse_args(command)
        if command[0] == "train":
            cli.new_run(args.task, args.data, args.root, args.seed, args.preset, cli.words(args.set), args.steps)
        if command[0] == "sample":
            assert cli.words(args.set).keys() <= options, command


# ---------------------------------------------------------------------------------------------------- the worked example


def write_example(page: str, folder: Path) -> None:
    """The files of a page, each a block of Python that begins with its path; what is there already gets its lines."""
    for path, text in re.findall(r"^```python\n# (\S+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        file = folder / path
        if not file.exists():
            file.write_text(text)
            continue
        imported, opening, entry = (line for line in text.splitlines(keepends=True) if line.strip())
        before = file.read_text()
        assert before.count(opening) == 1
        head, tail = before.split(opening)
        file.write_text(f"{head}{imported}{opening}{entry}{tail}")


def stop(process: subprocess.Popen[bytes], log: Path) -> None:
    """Ctrl-C, as soon as a run has a line in its log."""
    for _ in range(6000):
        if log.exists() and log.stat().st_size:
            break
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)


def test_the_worked_example_of_a_model_trains_stops_goes_on_and_is_measured(tmp_path: Path) -> None:
    page = (ROOT / "models" / "README.md").read_text()
    shutil.copytree(ROOT / "models", tmp_path / "models", ignore=shutil.ignore_patterns("__pycache__"))
    write_example(page, tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    run = {"cwd": tmp_path, "env": environment}
    first, *rest = (["-m", "models", *words] for words in commands(page.partition("## Add a model")[2]))
    with subprocess.Popen([sys.executable, *first], stderr=subprocess.DEVNULL, **run) as process:
        stop(process, tmp_path / "runs/two-layers/log.jsonl")
    printed = [subprocess.check_output([sys.executable, *words], text=True, **run) for words in rest]
    own, neighbour, _, written = printed[-1].splitlines()[2:]
    shown = re.search(r"^\| Two layers \| (\S+) ", page, re.MULTILINE)
    assert shown is not None and abs(float(own.split()[4]) - float(shown[1])) < 0.02
    assert neighbour in page and written in page
    assert "hidden.png" in (tmp_path / "runs/two-layers/index.html").read_text()
    looked = subprocess.check_output([sys.executable, "look.py"], text=True, **run)
    wrong, total = map(int, re.findall(r"\d+", looked.splitlines()[-1]))
    assert total == 597
    assert f"{1 - wrong / total:.3f}" in own


def test_every_file_of_the_models_is_on_their_map() -> None:
    folder = ROOT / "models"
    page = (folder / "README.md").read_text()
    for path in folder.rglob("*.py"):
        name = str(path.relative_to(folder))
        assert path.stem in ("__init__", "__main__") or f"]({name})" in page, name
