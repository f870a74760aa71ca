"""What holds the house: who may know whom, and how a line reads."""

from __future__ import annotations

import ast
import configparser
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import tinygrad_cv as tg

PACKAGE = Path(tg.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted(PACKAGE.rglob("*.md"))

# Each room may import from those before it.
ROOMS = ["typing", "machine", "engine", "tensor", "parallel", "rules", "scipy", "special"]
ROOMS += ["kernels", "transforms", "checkpoint", "nn", "optim", "files", "schema", "profile", "safetensors", "data"]
ROOMS += ["tape", "testing", "learn"]
PAGES_TO_RUN = PACKAGE / "learn" / "steps"  # a reader's programs, which import the package as a reader does

MODELS = PACKAGE.parent / "models"
PAPERS = ["classical", "sequence", "vision", "generative"]
MODEL_ROOMS = ["config", "pretrained", *PAPERS]
MODEL_ROOMS += [f"lab/{room}" for room in ["errors", "optional", "progress", "report", "evaluation", "learner"]]
MODEL_ROOMS += [f"lab/{room}" for room in ["settings", "task", "memory", "describe", "signals", "run", "train", "tasks"]]
MODEL_ROOMS += [f"lab/{room}" for room in ["section", "demo", "comparison", "cli"]]

# What is read line by line, file or folder, of the package and of the models.
READ = [PACKAGE / name for name in ["tensor.py", "transforms.py", "optim"]]
READ += [MODELS / name for name in ["classical", "lab/evaluation", "lab/report"]]

MAX_COLUMNS = 100
MAX_TOKENS = 10  # of a code line, on average
MAX_ANY = 0.1  # of all annotations
BETWEEN_STATEMENTS = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
UNSEEN = {tokenize.COMMENT, tokenize.NL}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def imported_rooms(path: Path) -> Iterator[str]:
    """What a file imports from the package: rooms, and files in them, such as "engine.errors"."""
    depth = len(path.relative_to(PACKAGE).parts)
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from [node.module] if node.module else [alias.name for alias in node.names]
        nodes.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_go_down_the_list_of_rooms_only(path: Path) -> None:
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if name_of(path) in ("__init__.py", "engine/fast.py"):  # which stand above all others
        return
    for imported in imported_rooms(path):
        assert imported != "engine.fast"
        assert ROOMS.index(imported.partition(".")[0]) <= ROOMS.index(room), imported


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_package_knows_no_models_and_itself_by_relative_imports_only(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(str(node.module).partition(".")[0])
    if path.parent == PAGES_TO_RUN:
        assert imported <= {"inspect", "numpy", "tinygrad_cv"}
        return
    assert imported.isdisjoint({"models", "tests", "benchmarks", "tinygrad_cv"})


def imported_files(path: Path) -> Iterator[Path]:
    """The files of models that a file of models imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for alias in node.names:
                places = [folder / f"{alias.name}.py", folder.with_suffix(".py"), folder / "__init__.py"]
                yield next(place for place in places if place.exists())


def model_room(path: Path) -> int:
    """Where the room of a file of models stands in the list of rooms."""
    parts = path.relative_to(MODELS).with_suffix("").parts
    return MODEL_ROOMS.index("/".join(parts[:2]) if parts[0] == "lab" else parts[0])


def test_imports_of_models_go_down_their_rooms_without_circles() -> None:
    graph: dict[Path, set[Path]] = {}
    doors = {MODELS / name for name in ["__init__.py", "__main__.py", "lab/__init__.py"]}
    for path in set(MODELS.rglob("*.py")) - doors:
        graph[path] = set(imported_files(path))
        for imported in graph[path]:
            assert model_room(imported) <= model_room(path), f"{path} imports {imported}"
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph) > 60


def test_models_know_themselves_by_relative_imports_only() -> None:
    """Installed, they have another name."""
    for path in MODELS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.partition(".")[0] == "models" for name in names), path


MODES = {"w", "x", "a", "r+"}
APPENDED = [MODELS / "lab" / "train.py"]  # the log, whose cut last line is dropped


def writes_a_name(node: ast.Call) -> bool:
    """Whether a call writes to a file by its name, which others can see half-written."""
    function = ast.unparse(node.func)
    name = function.rpartition(".")[2]
    if name in ("write_text", "write_bytes"):
        return True
    modes = [ast.unparse(mode).strip("'") for mode in [*node.args, *(word.value for word in node.keywords)]]
    if name == "savefig" or function.startswith("np.save"):
        return modes[0] != "file"
    return name == "open" and any(mode.strip("bt") in MODES for mode in modes)


def test_files_are_written_all_or_nothing() -> None:
    """`atomic_write` is the one place that opens a file to write it."""
    for path in {*SOURCES, *MODELS.rglob("*.py")} - {PACKAGE / "files.py", *APPENDED}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                assert not writes_a_name(node), f"{path}:{node.lineno} {ast.unparse(node)}"


def test_importing_a_paper_imports_nothing_to_train_or_draw_with() -> None:
    papers = [path for room in PAPERS for path in (MODELS / room).rglob("*.py")]
    names = [".".join(path.relative_to(MODELS.parent).with_suffix("").parts) for path in papers]
    program = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name.removesuffix(".__init__"))
    unwanted = {"tqdm", "matplotlib", "PIL", "models.lab"} & set(sys.modules)
    assert not unwanted, f"{name} imports {unwanted}"
"""
    subprocess.run([sys.executable, "-c", program, *names], cwd=MODELS.parent, check=True)


def long_lines(path: Path) -> list[int]:
    lines = path.read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if len(line) > MAX_COLUMNS]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_line_of_code_is_longer_than_100_columns(path: Path) -> None:
    assert not long_lines(path)


def test_no_line_of_what_students_read_in_models_is_longer_than_100_columns() -> None:
    for folder in READ:
        for path in folder.rglob("*.py"):
            assert not long_lines(path), path


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_no_line_of_code_on_a_page_is_longer_than_100_columns(path: Path) -> None:
    long = []
    inside = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = not inside
        elif inside and len(line) > MAX_COLUMNS:
            long.append(number)
    assert not long, f"lines {long}"


def tokens_by_line(text: str) -> list[int]:
    """How many tokens each line of code has. Comments, docstrings and blank lines are none."""
    lines: dict[int, int] = {}
    previous = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in UNSEEN:
            continue
        docstring = token.type == tokenize.STRING and previous in BETWEEN_STATEMENTS
        if token.type not in BETWEEN_STATEMENTS and not docstring:
            lines[token.start[0]] = lines.get(token.start[0], 0) + 1
        previous = token.type
    return list(lines.values())


@pytest.mark.parametrize("path", READ, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_what_students_read_has_ten_tokens_a_line_on_average(path: Path) -> None:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    counts = [count for file in files for count in tokens_by_line(file.read_text())]
    mean = sum(counts) / len(counts)
    assert mean <= MAX_TOKENS, f"{mean:.1f}"


def annotations(path: Path) -> Iterator[ast.expr]:
    """Those of parameters and results."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = node.args
            for given in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                if given.annotation is not None:
                    yield given.annotation
            if node.returns is not None:
                yield node.returns


def test_at_most_a_tenth_of_the_annotations_say_nothing() -> None:
    every = [annotation for path in SOURCES for annotation in annotations(path)]
    bare = [a for a in every if isinstance(a, ast.Name) and a.id == "Any"]
    assert len(bare) <= MAX_ANY * len(every), f"{len(bare)} of {len(every)} are a bare Any"


def test_a_wheel_has_every_file_of_the_packages() -> None:
    config = configparser.ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg")
    packaged = set()
    for package, patterns in config["options.package_data"].items():
        folder = PACKAGE.parent.joinpath(*package.removeprefix("tinygrad_cv.").split("."))
        packaged |= {path for pattern in patterns.split() for path in folder.glob(pattern)}
    files = [path for folder in (PACKAGE, MODELS) for path in folder.rglob("*.*") if path.is_file()]
    for path in files:
        if path.suffix == ".py":
            assert (path.parent / "__init__.py").exists(), path
        elif path.suffix != ".pyc":
            assert path in packaged, path


def test_every_file_of_the_engine_is_on_the_map() -> None:
    page = (PACKAGE / "README.md").read_text()
    for path in (PACKAGE / "engine").glob("*.py"):
        assert path.stem == "__init__" or f"(engine/{path.name})" in page, path.name
