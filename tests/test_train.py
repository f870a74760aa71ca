"""The training loop and the command line: killed, stopped, diverging, misspelt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.lab.cli import main
from models.lab.errors import RunError
from models.lab.report.page import Section, write_page
from models.lab.report.plots import moving_average
from models.lab.run import Run, checksum
from models.lab.settings import changed
from models.lab.tasks.gan import PRESETS, GANTask
from models.lab.train import train
from tinygrad_cv import data, safetensors

DIGITS = data.digits("train")
TINY = ["train", "gan", "--preset", "tiny", "--steps", "300", "--save-every", "20", "--out"]


def make(seed: int = 0, steps: int = 60) -> GANTask:
    settings = changed(PRESETS["tiny"], {"training.steps": steps})
    return GANTask(settings, DIGITS, rng=np.random.default_rng(seed))


def opened(folder: Path) -> Run:
    run = Run(folder)
    run.create({"task": "gan"})
    return run


def arrays(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    path = folder / "checkpoint.safetensors"
    return safetensors.load(path), safetensors.load_metadata(path)


def assert_same_run(a: Path, b: Path) -> None:
    (left, left_state), (right, right_state) = arrays(a), arrays(b)
    assert left_state == right_state
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    assert (a / "log.jsonl").read_text() == (b / "log.jsonl").read_text()


def test_a_stopped_run_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: Any) -> None:
    whole, parts = opened(tmp_path / "whole"), opened(tmp_path / "parts")
    train(make(), whole, 60, log_every=7, save_every=25)
    real_step, count = GANTask.step, 0

    def interrupted(self: GANTask, step: int) -> dict[str, float]:
        nonlocal count
        count += 1
        if count == 38:
            raise KeyboardInterrupt
        return real_step(self, step)

    monkeypatch.setattr(GANTask, "step", interrupted)
    with pytest.raises(RunError, match="--resume"):
        train(make(), parts, 60, log_every=7, save_every=25)
    monkeypatch.undo()
    train(make(), parts, 60, log_every=7, save_every=25)
    assert_same_run(whole.folder, parts.folder)


def kill_and_resume(tmp_path: Path, kills: int, how: signal.Signals) -> None:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "models", *TINY]
    subprocess.run([*command, str(tmp_path / "whole")], env=environment, check=True, capture_output=True)
    rng = np.random.default_rng(0)
    target = tmp_path / "killed"
    for _ in range(kills):
        resume = ["--resume"] if (target / "config.json").exists() else []
        process = subprocess.Popen([*command, str(target), *resume], env=environment, stderr=subprocess.DEVNULL)
        started = time.monotonic()
        while not (target / "log.jsonl").exists() and time.monotonic() < started + 20:
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 1.2)))
        process.send_signal(how)
        process.wait()
    subprocess.run([*command, str(target), "--resume"], env=environment, check=True, capture_output=True)
    assert_same_run(tmp_path / "whole", target)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_three_kills_end_in_the_same_bits(tmp_path: Path, how: signal.Signals) -> None:
    kill_and_resume(tmp_path, 3, how)


@pytest.mark.slow
def test_twenty_kills_end_in_the_same_bits(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 20, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_step_lets_it_end(
    number: signal.Signals, tmp_path: Path, monkeypatch: Any
) -> None:
    """The generators have moved on and half of the weights are updated: what is saved is the step's end."""
    whole, parts, handler = opened(tmp_path / "whole"), opened(tmp_path / "parts"), signal.getsignal(number)
    train(make(), whole, 60, log_every=7, save_every=25)
    task = make()
    update, count = type(task.generator_optimizer).step, 0

    def interrupted(self: Any) -> None:
        nonlocal count
        count += 1
        if count == 61:
            signal.raise_signal(number)
        update(self)

    monkeypatch.setattr(type(task.generator_optimizer), "step", interrupted)
    with pytest.raises(RunError, match=r"31 steps are saved. Go on with the same command and --resume"):
        train(task, parts, 60, log_every=7, save_every=25)
    monkeypatch.undo()
    train(make(), parts, 60, log_every=7, save_every=25)
    assert_same_run(whole.folder, parts.folder)
    assert signal.getsignal(number) is handler


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_any_command_with_one_line(
    number: signal.Signals, code: int, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    """And the file that it was writing is gone."""
    out = tmp_path / "s.npz"
    assert main(["train", "gan", "--preset", "tiny", "--steps", "2", "--out", str(tmp_path / "run")]) == 0
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(number))
    handler = signal.getsignal(number)
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "run"), "--out", str(out)]) == code
    assert capsys.readouterr().err.split("\n")[-2:] == ["tinygrad-cv: stopped", ""]
    assert signal.getsignal(number) is handler
    assert os.listdir(tmp_path) == ["run"]


STOPPED_AT_AN_IMPORT = """
import runpy, signal, sys

class Stop:
    def find_spec(self, name, *_):
        if name == "models.lab.cli":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Stop())
sys.argv[1:] = ["--version"]
runpy.run_module("models", run_name="__main__")
"""


def test_ctrl_c_while_the_command_line_is_imported_is_no_traceback() -> None:
    program = [sys.executable, "-c", STOPPED_AT_AN_IMPORT]
    done = subprocess.run(program, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tinygrad-cv: stopped\n")


def test_a_nan_loss_stops_with_its_cause(tmp_path: Path) -> None:
    task = make()
    next(task.generator.parameters()).data[0, 0] = np.nan
    with np.errstate(all="ignore"), pytest.raises(RunError, match=r"step 0 gave .*nan.*linear was given NaN"):
        train(task, opened(tmp_path / "run"), 10)


def test_an_old_run_is_not_overwritten(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    train(make(), run, 2)
    with pytest.raises(RunError, match="--resume"):
        run.create({})


def test_the_command_line_from_training_to_samples(tmp_path: Path, capsys: Any) -> None:
    run = str(tmp_path / "run")
    assert main([*TINY, run]) == 0
    assert main(["sample", run, "--n", "5", "--out", str(tmp_path / "s.npz")]) == 0
    images = np.load(tmp_path / "s.npz")["images"]
    assert (images.shape, images.dtype) == ((5, 8, 8), np.float32)
    assert main(["sample", run, "--n", "5", "--out", str(tmp_path / "s.png")]) == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(["eval", run]) == 0
    table = capsys.readouterr().out
    assert all(word in table for word in ("generator", "real", "10 class Gaussians", "FD", "TSTR"))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 300


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train", "gam"], "no task is called 'gam'; there are gan, ddpm, vit, mlp"),
        (["train", "gan", "--data", "didgits"], "there are digits, mnist, cifar10, folder:PATH, text:PATH"),
        (["train", "gan", "--set", "model.loss=square"], "there are non-saturating, minimax, wgan-gp, hinge, least-squares"),
        (["train", "gan", "--set", "model.los=hinge"], "nothing is called 'model.los'; there are model.image_size"),
        (["train", "vit", "--set", "lr=1e-3"], "lr: say training.lr"),
        (["train", "vit", "--set", "training.rate=4"], "nothing is called 'training.rate'; there are training.steps, "),
        (["train", "vit", "--set", "depth=4"], "nothing is called 'depth'; there are model.image_size, model.num_channels"),
        (["train", "vit", "--set", "model.num_hidden_layers=2.5"], "model.num_hidden_layers=2.5: a value like 4 is expected"),
        (["train", "vit", "--set", "model.num_hidden_layers=0"], "model.num_hidden_layers=0: must be between 1 and 200"),
        (["train", "vit", "--set", "training.lr=1e400"], "training.lr=inf: must be finite and at least 0"),
        (["train", "vit", "--set", "model.drop_path_rate=1.5"], "model.drop_path_rate=1.5: must be between 0 and 1"),
        (["train", "vit", "--set", "model.image_size=(9,9)"], "num_channels=1: the images of digits are (8, 8)"),
        (["train", "vit", "--set", "training.freeze=hed"], "no parameter's name begins with 'hed'; there are cls_token"),
        (["train", "ddpm", "--set", "model.unet.attention_levels=(7,)"], "attention_levels=(7,): the levels are 0 to 1"),
        (["train", "ddpm", "--set", "model.unet.base_channels=5"], "base_channels=5 must be even"),
        (["train", "vit", "--set", "model.patch_size=3"], "patches of 3 x 3 do not fill images of 8 x 8"),
        (["train", "dates", "--set", "model.transformer.d_model=8"], "model.transformer.d_model: the other settings make no"),
        (["train", "row-rnn", "--set", "model.num_labels=5"], "model.num_labels=5: digits has 10"),
        (["train", "detr", "--set", "model.num_labels=5"], "model.num_labels=5: digits has 10"),
        (["train", "detr", "--set", "model.num_queries=2"], "model.num_queries=2: each detects one object, and a scene has"),
        (["train", "yolos", "--set", "data.digits=13"], "model.num_detection_tokens=12: each detects one object"),
        (["train", "yolos", "--set", "data.canvas=52"], "model.image_size=(48, 48): scenes have data.canvas=52"),
        (["train", "detr", "--set", "model.d_model=66"], "d_model=66: the sines and cosines"),
        (["train", "segment", "--set", "data.digit=(22, 12)"], "digits of 22 to 12 pixels"),
        (["train", "segment", "--set", "data.fragment=1"], "data.fragment=1: must be finite and at least 2"),
        (["train", "pixel-rnn", "--set", "model.num_levels=1"], "model.num_levels=1: must be finite and at least 2"),
        (["train", "char-rnn", "--data", "text:"], "--data text: lacks a path"),
        (["train", "gan", "--preset", "tiny", "--out", "afile"], "afile cannot be a run's folder, because a file is in its"),
        (["train", "char-rnn"], "char-rnn reads text, and digits is something else"),
        (["demo", "--only", "gam"], "the demo has no 'gam'; there are logistic-regression, svm, gan, cgan, ddpm"),
        (["train", "gan", "--preset", "huge"], "there are tiny, digits, mnist"),
        (["sample", "nowhere", "--out", "x.png"], "nowhere is not a run"),
        (["eval", "nowhere"], "nowhere is not a run"),
    ],
)
def test_errors_are_one_clear_line(
    command: list[str], message: str, capsys: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    assert main(command) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("option", ["--steps", "--save-every", "--seed"])
def test_counts_are_whole_numbers(option: str, capsys: Any) -> None:
    for text in ("-1", "1.5", "many"):
        with pytest.raises(SystemExit):
            main(["train", "gan", option, text])
        assert f"{text} is not a whole number from" in capsys.readouterr().err


def test_a_damaged_run_says_what_is_wrong_with_it(tmp_path: Path, capsys: Any) -> None:
    run, out = tmp_path / "run", ["--n", "2", "--out", str(tmp_path / "x.png")]
    assert main(["train", "gan", "--preset", "tiny", "--steps", "2", "--out", str(run)]) == 0

    def error_of(*command: str) -> str:
        capsys.readouterr()
        assert main(list(command)) == 2
        return str(capsys.readouterr().err)

    resume = ("train", "gan", "--resume", "--out", str(run), "--set")
    assert main([*resume, "model.latent_dim=4"]) == 0
    assert "--set model.latent_dim=5: the run has 4; with --resume only --steps" in error_of(*resume, "model.latent_dim=5")
    assert "nothing is called 'model.noise'; there are model." in error_of(*resume, "model.noise=5")
    assert "holds a gan, not a vit" in error_of("train", "vit", "--resume", "--out", str(run))
    weights, metadata = arrays(run)
    checkpoint, config = run / "checkpoint.safetensors", run / "config.json"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:-1])
    assert "not a sound safetensors file" in error_of("sample", str(run), *out)
    name = "generator/layers.0.weight"
    safetensors.save(weights | {name: np.full_like(weights[name], np.nan)}, checkpoint, metadata)
    assert f"has NaN or infinities in {name}" in error_of("sample", str(run), *out)
    safetensors.save(weights | {name: weights[name] + 1}, checkpoint, metadata)
    assert "checkpoint.safetensors is damaged: its contents do not have its checksum" in error_of("sample", str(run), *out)
    fewer = {n: a for n, a in weights.items() if n != name}
    safetensors.save(fewer, checkpoint, metadata | {"checksum": checksum(fewer, metadata)})
    assert "do not belong together, at 'generator'" in error_of("sample", str(run), *out)
    safetensors.save(weights, checkpoint)
    assert "not a checkpoint that `train` wrote" in error_of("sample", str(run), *out)
    safetensors.save(weights, checkpoint, {"state": metadata["state"]})
    assert "was made before checkpoints had a checksum; train it again" in error_of("sample", str(run), *out)
    checkpoint.write_bytes(whole)
    right = config.read_text()
    renamed = right.replace('"latent_dim"', '"latent_dam"')
    text = right.replace('"latent_dim": 4', '"latent_dim": "4"')
    for wrong, message in (
        (right[1:], "config.json cannot be read"),
        (right.replace('"task"', '"model"'), "was made before configurations were split; train it again"),
        ("{}", "config.json lacks task, data, root, seed, config"),
        (right.replace('"seed": 0', '"seed": -1'), "config.json: seed is -1, where a whole number from 0 on belongs"),
        (right.replace('"seed": 0', '"seed": 0, "sead": 1'), "config.json has the unknown key 'sead'; known are task, data"),
        (right.replace('"seed": 0', '"seed": 1'), "config.json: seed is 1, but 0 in checkpoint.safetensors"),
        (renamed, "config.json: config.model.latent_dim is missing, but 4 in checkpoint.safetensors"),
        (text, "config.json: config.model.latent_dim is '4', but 4 in checkpoint.safetensors"),
    ):
        config.write_text(wrong)
        assert message in error_of("sample", str(run), *out)
    checkpoint.unlink()
    for wrong, message in (
        (renamed, "here differ: latent_dam, latent_dim"),
        (text, "config.json: model.latent_dim='4': a value like 4 is expected"),
    ):
        config.write_text(wrong)
        assert message in error_of("train", "gan", "--resume", "--out", str(run))
    checkpoint.write_bytes(whole)
    config.write_text(right)
    log = run / "log.jsonl"
    whole = log.read_bytes()
    for wrong_line, message in (
        (b'{"step": \n', "log.jsonl is damaged at line 2: Expecting value"),
        (b'{"loss": 1}\n', "log.jsonl is damaged at line 2 lacks step"),
        (b'{"step": 3, "loss": "1"}\n', "log.jsonl is damaged at line 2: 'loss' is '1', where a number belongs"),
        (b"[]\n", "log.jsonl is damaged at line 2 is a list, where an object belongs"),
        (b"\xff\n", "log.jsonl is damaged at line 2: 'utf-8' codec"),
    ):
        log.write_bytes(whole + wrong_line)
        assert message in error_of("train", "gan", "--resume", "--out", str(run))


@pytest.mark.parametrize("end", [1, 10, 26])
def test_a_log_that_is_cut_off_goes_on_to_the_same_bits(tmp_path: Path, end: int) -> None:
    """A full disk cuts the last line anywhere; it lies beyond the checkpoint."""
    whole, cut = opened(tmp_path / "whole"), opened(tmp_path / "cut")
    train(make(), whole, 60, log_every=7, save_every=28)
    train(make(), cut, 28, log_every=7, save_every=28)
    with open(cut.folder / "log.jsonl", "ab") as log:
        log.write(b'{"step": 35, "loss": 0.25}\n'[:end])
    assert [line["step"] for line in cut.log] == [7, 14, 21, 28]
    train(make(), cut, 60, log_every=7, save_every=28)
    assert_same_run(whole.folder, cut.folder)


@pytest.mark.parametrize(
    ("step", "room", "name", "saved"),
    [(1, 10, "log.jsonl", 0), (30, 10, "log.jsonl", 25), (30, 800, "checkpoint.safetensors", 25)],
)
def test_a_full_disk_names_the_file_and_the_steps_that_are_safe(
    tmp_path: Path, step: int, room: int, name: str, saved: int, capsys: Any
) -> None:
    """From a step on no file can be longer than the log and some bytes; then the run goes on to the same bits."""
    resource = pytest.importorskip("resource")
    whole, run = opened(tmp_path / "whole"), opened(tmp_path / "run")
    train(make(), whole, 60, log_every=7, save_every=25)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    capsys.readouterr()  # what the bar writes goes to no file

    def fill(now: int) -> None:
        if now == step:
            size = (run.folder / "log.jsonl").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, before[1]))

    try:
        with pytest.raises(RunError, match=rf"File too large: '.*{name}'; {saved} steps are saved.*--resume"):
            train(make(), run, 60, log_every=7, save_every=25, on_step=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    left = {path.name for path in run.folder.iterdir()}
    assert left <= {"config.json", "log.jsonl", "checkpoint.safetensors"}
    train(make(), run, 60, log_every=7, save_every=25)
    assert_same_run(whole.folder, run.folder)


def test_images_without_classes_are_refused_with_what_to_do(tmp_path: Path, capsys: Any) -> None:
    image = pytest.importorskip("PIL.Image")
    for i in range(3):
        image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    for task in ("vit", "row-rnn"):
        assert main(["train", task, "--preset", "tiny", "--data", f"folder:{tmp_path}"]) == 2
        assert "has no classes to learn; put the images of each class into a subfolder" in capsys.readouterr().err


def test_two_runs_at_once_in_one_folder_are_refused_with_who_is_there(tmp_path: Path, capsys: Any) -> None:
    run = Run(tmp_path / "run")
    with run.held():
        assert main([*TINY, str(run.folder)]) == 2
        assert main([*TINY, str(run.folder), "--resume"]) == 2
        assert f"run is in use by process {os.getpid()} on " in capsys.readouterr().err
        assert not (run.folder / "config.json").exists()
    assert not any(run.folder.iterdir())


def test_a_configuration_that_is_deleted_while_training_goes_on_is_written_again(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    config = run.folder / "config.json"
    before = config.read_bytes()
    train(make(), run, 10, on_step=lambda step: config.unlink(missing_ok=True))
    assert config.read_bytes() == before


def test_a_finished_run_that_is_asked_for_fewer_steps_says_so(tmp_path: Path) -> None:
    run = opened(tmp_path / "run")
    train(make(), run, 10)
    train(make(), run, 10)
    with pytest.raises(RunError, match=r"run has made 10 steps already, more than the 5 that it is asked for"):
        train(make(), run, 5)


def test_a_missing_extra_says_what_to_install(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main([*TINY, str(tmp_path / "run")]) == 2
    assert 'pip install "tinygrad_cv[models]"' in capsys.readouterr().err


def test_the_demo_writes_a_page_that_needs_no_network(tmp_path: Path) -> None:
    names = ["gan", "vit"]
    only = [word for name in names for word in ("--only", name)]
    assert main(["demo", "--out", str(tmp_path / "demo"), "--steps", "40", *only]) == 0
    before = (tmp_path / "demo" / "gan" / "samples.png").read_bytes()
    assert main(["demo", "--out", str(tmp_path / "demo"), "--steps", "40", *only]) == 0  # again: it goes on
    assert (tmp_path / "demo" / "gan" / "samples.png").read_bytes() == before
    page = (tmp_path / "demo" / "index.html").read_text()
    assert "http" not in page
    for name in ("gan/samples.png", "gan/real.png", "gan/strip.png", "gan/losses.png", "vit/attention.png", "vit/loss.png"):
        assert name in page
        assert (tmp_path / "demo" / name).stat().st_size > 500


def test_a_page_shows_numbers_curves_and_names_as_they_are(tmp_path: Path) -> None:
    rows = [{"name": "<ours>", "FD": 1.5, "NDB": 16}, {"name": "real", "FD": 178.6}]
    section = Section("A & B", "text", {"seed": 0}, [("a.png", "x < y")], [], rows, "meaning")
    page = write_page(tmp_path, "title", [section]).read_text()
    assert "<td title='FD'>1.50<td title='NDB'>16" in page
    assert "<td title='FD'>179<td title='NDB'>" in page
    assert "&lt;ours&gt;" in page
    assert "alt='x &lt; y'" in page
    assert moving_average([0.0, 4.0]) == [0.0, 4.0]
    np.testing.assert_allclose(moving_average([*range(100)])[50], 50)
