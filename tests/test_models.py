"""What holds for every model: each preset trains, a stopped run resumes to the same bits, a folder is enough to use it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.config import restored, stored
from models.lab import cli as command
from models.lab.cli import main
from models.lab.errors import RunError
from models.lab.report.images import write_png
from models.lab.run import Run
from models.lab.settings import changed, configure
from models.lab.task import Task
from models.lab.tasks import TASKS
from models.lab.tasks.images import ImageGenerator
from models.lab.train import train
from tests.test_train import assert_same_run
from tinygrad_cv import data, nn, safetensors

TEXT = "the quick brown fox jumps over the lazy dog\n" * 20
CASES = [(name, preset) for name, task in TASKS.items() for preset in task.presets]


def training(task: type[Task], preset: str) -> Any:
    """A little data of the kind that a preset is made for."""
    if task.dataset_kind == "nothing":
        return None
    if task.dataset_kind == "text":
        ids = np.array([sorted(set(TEXT)).index(c) for c in TEXT * (1 if preset == "tiny" else 10)])
        return data.Text(ids, ids[:200], "".join(sorted(set(TEXT))))
    if preset == "mnist":
        images = np.random.default_rng(0).random((8, 28, 28), np.float32)
        return data.Dataset("noise", images, np.arange(8), tuple("0123456789"))
    digits = data.digits()
    return data.Dataset("digits", digits.images[:32], digits.labels[:32], digits.classes)


def settings_of(name: str, preset: str, **changes: Any) -> Any:
    """A preset for its data with other values: `steps=12`, or by dotted name, **{"model.hidden_size": 8}."""
    kind = TASKS[name]
    if "steps" in changes:
        changes["training.steps"] = changes.pop("steps")
    return changed(configure(kind.presets, preset, training(kind, preset), {}), changes)


def make(name: str, preset: str = "tiny", **changes: Any) -> Task:
    kind = TASKS[name]
    settings = settings_of(name, preset, **changes)
    return kind(settings, training(kind, preset), rng=np.random.default_rng(0))


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_every_preset_trains_a_step(name: str, preset: str) -> None:
    task = make(name, preset)
    before = {part: {n: a.copy() for n, a in owner.state_dict().items()} for part, owner in task.parts.items()}
    metrics = task.step(0)
    assert all(np.isfinite(v) for v in metrics.values())
    for part, owner in task.parts.items():
        assert any(not np.array_equal(a, before[part][n]) for n, a in owner.state_dict().items()), part
    assert {line for lines in task.plots.values() for line in lines} == set(metrics)


@pytest.mark.parametrize("name", TASKS)
def test_a_stopped_run_of_any_model_resumes_to_the_same_bits(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    for run in (whole, parts):
        run.create({"task": name})
    train(make(name, steps=12), whole, 12, log_every=5, save_every=5)
    step, count = TASKS[name].step, 0

    def interrupted(self: Any, number: int) -> dict[str, float]:
        nonlocal count
        count += 1
        if count == 8:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(TASKS[name], "step", interrupted)
    with pytest.raises(RunError, match="--resume"):
        train(make(name, steps=12), parts, 12, log_every=5, save_every=5)
    monkeypatch.undo()
    train(make(name, steps=12), parts, 12, log_every=5, save_every=5)
    assert_same_run(whole.folder, parts.folder)


@pytest.mark.parametrize("name", TASKS)
def test_a_run_folder_is_enough_to_sample_and_evaluate(
    name: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    run = str(tmp_path / "run")
    source = ["--data", "text:text.txt"] if TASKS[name].dataset_kind == "text" else []
    monkeypatch.chdir(tmp_path)
    assert main(["train", name, "--preset", "tiny", "--steps", "4", "--out", run, *source]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["eval", run]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n| ") >= 2
    assert (tmp_path / "run" / "index.html").is_file()
    text.unlink()
    monkeypatch.setattr(command, "read_data", None)
    out = tmp_path / "samples.npz"
    words = [] if TASKS[name].draws == "text" else ["--out", str(out)]
    code = main(["sample", run, "--n", "3", *words])
    if issubclass(TASKS[name], ImageGenerator):
        images = np.load(out)["images"]
        assert images.shape == (3, *make(name).settings.model.image_shape)
        assert 0 <= images.min() <= images.max() <= 1
    elif TASKS[name].sample is not Task.sample:
        assert len(capsys.readouterr().out) >= 3
    else:
        assert code == 2
        assert "draws nothing" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_a_configuration_survives_its_file(name: str, preset: str) -> None:
    settings = settings_of(name, preset)
    like = next(iter(TASKS[name].presets.values()))
    assert restored(json.loads(json.dumps(stored(settings))), like) == settings


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("naive-bayes", 0),
        ("logistic-regression", 650),
        ("svm", 0),
        ("linear-svm", 650),
        ("gan", 1162),
        ("vae", 1156),
        ("ddpm", 45321),
        ("vit", 890),
        ("mlp", 610),
        ("row-rnn", 522),
        ("pixel-rnn", 1997),
        ("cgan", 1386),
        ("pix2pix", 2946),
        ("heads", 1766),
        ("text-gan", 10643),
        ("cyclegan", 5060),
        ("pix2pix-scenes", 4946),
        ("char-rnn", 2364),
        ("copying", 730),
        ("strip", 3920),
        ("dates", 2789),
        ("reverse", 2924),
        ("detr", 4115),
        ("yolos", 1535),
        ("segment", 2640),
    ],
)
def test_tiny_models_have_their_number_of_parameters(name: str, count: int) -> None:
    modules = [owner for owner in make(name).parts.values() if isinstance(owner, nn.Module)]
    total = sum(p.size for module in modules for p in module.parameters())
    assert total == count


def test_an_unknown_option_of_sampling_lists_the_known_ones(tmp_path: Path, capsys: Any) -> None:
    run = str(tmp_path / "run")
    assert main(["train", "ddpm", "--preset", "tiny", "--steps", "2", "--out", run]) == 0
    assert main(["sample", run, "--n", "1", "--out", str(tmp_path / "x.png"), "--set", "lable=3"]) == 2
    assert "nothing is called 'lable'; there are label, guidance" in capsys.readouterr().err
    assert main(["sample", run, "--n", "1", "--out", str(tmp_path / "x.png"), "--set", "label=30"]) == 2
    assert "label=30: the classes of this model are 0 to 9" in capsys.readouterr().err


def test_missing_pixels_are_filled_in_from_the_command_line(tmp_path: Path, capsys: Any) -> None:
    run, gan, vae, out, mine = (str(tmp_path / name) for name in ("run", "gan", "vae", "filled.npz", "mine.npz"))
    for name, folder in (("ddpm", run), ("gan", gan), ("vae", vae)):
        assert main(["train", name, "--preset", "tiny", "--steps", "2", "--out", folder]) == 0
    images = data.digits("test").images[:3].copy()
    images[:, 2:4, 5] = np.nan
    np.savez(mine, images=images)
    assert main(["inpaint", run, "--images", mine, "--out", out]) == 0
    filled = np.load(out)["images"]
    np.testing.assert_array_equal(filled[~np.isnan(images)], images[~np.isnan(images)])
    assert np.isfinite(filled).all()
    assert main(["inpaint", vae, "--images", mine, "--out", out]) == 0
    filled = np.load(out)["images"]
    np.testing.assert_array_equal(filled[~np.isnan(images)], images[~np.isnan(images)])
    assert np.isfinite(filled).all()
    assert main(["inpaint", run, "--missing", "left", "--n", "2", "--out", out]) == 0
    tests = {image.tobytes() for image in data.digits("test").images[:, :, 4:]}
    filled = np.load(out)["images"]
    assert len(filled) == 2
    assert all(image[:, 4:].tobytes() in tests for image in filled)
    assert main(["inpaint", run, "--n", "2", "--out", str(tmp_path / "x.png")]) == 0
    capsys.readouterr()
    for words, message in (
        ([run, "--missing", "nose"], "missing=nose: one of lower, upper, left, right, middle"),
        ([gan], "holds a GAN; missing pixels are filled in by ddpm, pixel-rnn, vae, gmm"),
        ([run, "--images", str(tmp_path / "x.png")], "x.png is not an .npz with an array of numbers called `images`"),
    ):
        assert main(["inpaint", *words, "--out", out]) == 2
        assert message in capsys.readouterr().err
    np.savez(mine, images=images[:, :6])
    assert main(["inpaint", run, "--images", mine, "--out", out]) == 2
    assert "holds an array of shape (3, 6, 8); this model's images are (N, 8, 8)" in capsys.readouterr().err


def test_a_generator_of_images_of_ones_own_has_a_page(tmp_path: Path, capsys: Any) -> None:
    """There is no classifier for them, so no figures; what the model draws is shown."""
    (tmp_path / "mine").mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 10, 3), np.uint8)
        write_png(tmp_path / "mine" / f"{i}.png", pixels)
    run = str(tmp_path / "run")
    source = ["--data", f"folder:{tmp_path / 'mine'}"]
    assert main(["train", "gan", "--preset", "tiny", "--steps", "2", "--out", run, *source]) == 0
    assert main(["eval", run]) == 0
    assert "there is no frozen evaluator" in capsys.readouterr().out
    assert "samples.png" in (tmp_path / "run" / "index.html").read_text()


def test_what_the_data_say_can_be_overruled(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    command = ["train", "ddpm", "--preset", "tiny", "--steps", "1", "--out", str(run.folder)]
    assert main([*command, "--set", "model.unet.num_classes=0"]) == 0
    assert run.config["config"]["model"]["unet"]["num_classes"] == 0


@pytest.mark.parametrize("name", ["vit", "row-rnn", "logistic-regression", "svm", "linear-svm"])
def test_a_classifier_wants_labels(name: str) -> None:
    unlabelled = replace(data.digits(), labels=None)
    kind = TASKS[name]
    with pytest.raises(ValueError, match="digits has no labels to learn from"):
        kind(kind.presets["tiny"], unlabelled, rng=np.random.default_rng(0))


def test_fine_tuning_from_the_command_line(tmp_path: Path, capsys: Any) -> None:
    source, other, tuned = (str(tmp_path / name) for name in ("source", "other", "tuned"))
    tiny = ["--preset", "tiny", "--steps", "2", "--out"]
    assert main(["train", "vit", *tiny, source]) == 0
    assert main(["train", "vit", "--start", source, "--set", "training.freeze=patch_embed", *tiny, tuned]) == 0
    weights = [safetensors.load(Path(run) / "checkpoint.safetensors") for run in (source, tuned)]
    name = "patch_embed.weight"
    np.testing.assert_array_equal(weights[0][f"ema/{name}"], weights[1][f"model/{name}"])
    assert main(["train", "gan", *tiny, other]) == 0
    assert main(["train", "vit", "--start", other, *tiny, str(tmp_path / "none")]) == 2
    assert "holds a GAN; a ViT starts from one of its own kind" in capsys.readouterr().err
    assert main(["train", "gan", "--start", other, *tiny, str(tmp_path / "none")]) == 0
