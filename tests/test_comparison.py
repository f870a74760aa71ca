"""What generative models are good for: Bayes' theorem, missing pixels, augmentation, and the commands that compare."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from models.generative import ddpm
from models.generative.diffusion import Diffusion
from models.generative.pixel_rnn import PixelRNN, PixelRNNConfig, quantise, resample
from models.lab.cli import main
from models.lab.comparison import augmentation, fitting, missing
from models.lab.comparison.fitting import Model, few_labels
from models.lab.report.images import read_samples
from models.lab.tasks.ddpm import PRESETS
from tinygrad_cv import data

SEEDS = st.integers(0, 10**6)
DIGITS = data.digits()

# ------------------------------------------------------------------------------------ likelihoods, and what follows from them

EVERY = np.array(list(product((0, 1), repeat=4)))  # all images of 2 x 2 pixels and two levels


def pixel_model(seed: int, num_classes: int = 0) -> Any:
    config = PixelRNNConfig((2, 2), num_levels=2, hidden_size=4, embedding_size=3, num_classes=num_classes)
    model = PixelRNN(config, rng=np.random.default_rng(seed)).eval()
    model.V.weight.data *= 4  # or all images are nearly alike
    return model


@given(SEEDS)
def test_the_probabilities_of_all_images_add_up_to_one_in_each_class(seed: int) -> None:
    log_p = pixel_model(seed, 3).class_log_likelihoods(EVERY)
    np.testing.assert_allclose(logsumexp(log_p, axis=0), 0, atol=1e-5)
    assert np.ptp(log_p, axis=1).max() > 1e-3


@given(SEEDS)
def test_missing_pixels_are_drawn_by_their_conditional_probabilities(seed: int) -> None:
    """The first and the third pixel are missing; the known ones after them have a say in it."""
    model, rng, n = pixel_model(seed), np.random.default_rng(seed), 2000
    known = np.array([[False, True], [False, True]])
    images = np.broadcast_to(np.float32([[0.5, 1], [0.5, 0]]), (n, 2, 2))
    filled = model.inpaint(images, np.broadcast_to(known, images.shape), particles=64, rng=rng)
    assert np.all(filled[:, known] == [1, 0])
    alike = EVERY[(EVERY[:, 1] == 1) & (EVERY[:, 3] == 0)]
    exact = softmax(model.log_likelihoods(alike))
    counts = [np.mean(np.all(quantise(filled, 2) == image, axis=1)) for image in alike]
    np.testing.assert_allclose(counts, exact, atol=0.06)


@given(SEEDS, st.integers(2, 6))
def test_particles_go_on_as_often_as_their_weights_say(seed: int, R: int) -> None:
    rng = np.random.default_rng(seed)
    log_w = rng.normal(scale=4, size=(500, R))
    chosen, after = resample(log_w, rng)
    weights = softmax(log_w, axis=1)
    poor = 1 / np.sum(weights**2, axis=1) < R / 2
    counts = np.sum(chosen[:, :, None] == np.arange(R), axis=1)
    assert np.all(abs(counts - R * weights)[poor] < 1)  # at even distances
    assert np.all(counts[~poor] == 1) and np.all(after[poor] == 0)
    np.testing.assert_allclose(softmax(after, axis=1)[~poor], weights[~poor])


def test_a_class_is_needed_where_a_pixel_model_has_them_and_refused_elsewhere() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="tells classes apart"):
        pixel_model(0, 3)(EVERY)
    with pytest.raises(ValueError, match="classes of this model are 0 to 2"):
        pixel_model(0, 3)(EVERY, labels=np.full(len(EVERY), 3))
    with pytest.raises(ValueError, match="it has no classes"):
        pixel_model(0).sample(2, np.array([0, 1]), rng=rng)
    with pytest.raises(ValueError, match="train one with num_classes"):
        pixel_model(0).class_log_likelihoods(EVERY)


@given(st.sampled_from(["linear", "cosine"]), st.integers(2, 50), SEEDS)
def test_a_term_of_the_bound_is_a_divergence_of_gaussians(schedule: str, t: int, seed: int) -> None:
    """KL(N(a, v) || N(b, v)) = |a - b|^2 / 2 v, of the posteriors given the image and the prediction."""
    diffusion, rng = Diffusion(schedule, 50), np.random.default_rng(seed)
    x, x0, predicted = rng.standard_normal((3, 4, 1, 2, 2))
    a, variance = diffusion.posterior(x0, x, t)
    b, _ = diffusion.posterior(predicted, x, t)
    expected = np.sum((a - b) ** 2, axis=(1, 2, 3)) / (2 * variance)
    np.testing.assert_allclose(diffusion.divergence(x0, predicted, t, t - 1), expected, rtol=1e-9)


@given(st.integers(1, 50), st.floats(-1.5, 1.5), st.sampled_from([2, 17, 256]))
def test_the_levels_of_the_last_step_add_up_to_one(t: int, predicted: float, levels: int) -> None:
    x0 = np.linspace(-1, 1, levels)[:, None]
    log_p = Diffusion("cosine", 50).log_likelihood(x0, np.full_like(x0, predicted), t, levels)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-9)
    assert np.isfinite(log_p).all()


def test_classes_are_bounded_with_the_same_noise(monkeypatch: Any) -> None:
    """A network that does not listen has one bound for all; one that is right for a class, a higher one there."""
    model = ddpm.DDPM(PRESETS["tiny"].model, rng=np.random.default_rng(0)).eval()
    target = ddpm.to_network(DIGITS.images[:3])

    class Answer:
        def __init__(self, x: np.ndarray) -> None:
            self.x = x

        def numpy(self) -> np.ndarray:
            return self.x

    def deaf(self: Any, x: np.ndarray, t: np.ndarray, labels: np.ndarray) -> Answer:
        return Answer(np.zeros_like(x))

    def knowing(self: Any, x: np.ndarray, t: np.ndarray, labels: np.ndarray) -> Answer:
        signal, sigma = self.diffusion.scales(t, x)
        truth = target.repeat(10, axis=0)
        return Answer(np.where((labels == 4)[:, None, None, None], (signal * x - truth) / sigma, 0 * x))

    monkeypatch.setattr(ddpm.DDPM, "__call__", deaf)
    bounds = model.class_bounds(DIGITS.images[:3], sampling_steps=5, rng=np.random.default_rng(1))
    assert bounds.shape == (3, 10) and np.ptp(bounds, axis=1).max() == 0
    monkeypatch.setattr(ddpm.DDPM, "__call__", knowing)
    assert model.config.prediction_type == "v"
    bounds = model.class_bounds(DIGITS.images[:3], sampling_steps=5, rng=np.random.default_rng(1))
    assert np.all(bounds.argmax(axis=1) == 4)


# ---------------------------------------------------------------------------------------------------- the pieces


@given(SEEDS, st.sampled_from(["lower", "middle", "left"]))
def test_the_nearest_image_is_looked_up_by_what_is_known(seed: int, where: str) -> None:
    rng = np.random.default_rng(seed)
    images = rng.permutation(DIGITS.images)[:5]
    known = missing.known_in(images, where)
    spoiled = missing.put_in(images, known, rng.random(images.shape))
    np.testing.assert_array_equal(missing.look_up(spoiled, known, DIGITS.images), images)


def test_psnr_is_of_missing_pixels_alone() -> None:
    images = np.zeros((2, 4, 4))
    known = missing.known_in(images, "left")
    assert missing.psnr(np.where(known, 7, 0.1), images, known) == pytest.approx(20)


@given(st.integers(1, 40), st.integers(1, 90))
def test_half_of_the_images_are_real(count: int, drawn: int) -> None:
    some, others = fitting.part(DIGITS, np.arange(count)), fitting.part(DIGITS, np.arange(200, 200 + drawn))
    both = augmentation.half_and_half(some, others)
    real = {image.tobytes() for image in some.images}
    assert sum(image.tobytes() in real for image in both.images) == drawn == len(both) / 2


# -------------------------------------------------------------------------------------------------- the commands

FEW = {
    "bayes": (["Gaussians", "nearest neighbour"], [], "spliced"),
    "missing": (["GMM", "nearest training image"], ["--missing", "upper"], "upper: PSNR of mean"),
    "augmentation": (["nothing", "shifted images", "GMM"], ["--labels", "50"], "drawn-50.png"),
}


@pytest.mark.parametrize("subject", FEW)
def test_a_comparison_is_one_table_and_one_page_in_one_folder(
    subject: str, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    names, words, shown = FEW[subject]
    monkeypatch.setitem(augmentation.CLASSIFIER, "training.steps", "150")
    only = [word for name in names for word in ("--only", name)]
    command = ["compare", subject, *only, *words, "--seeds", "1", "--out", str(tmp_path)]
    assert main(command) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(table) == 1 + len(names)
    measured = json.loads((tmp_path / f"{subject}.json").read_text())["measured"]
    assert sorted(record["name"] for record in measured) == sorted(names)
    assert all(0.3 < record["accuracy"] <= 1 for record in measured)
    assert shown in (tmp_path / "index.html").read_text()
    monkeypatch.setattr(Model, "fit", None)
    monkeypatch.setattr(fitting, "train", None)
    assert main(command) == 0  # nothing is left to measure


def test_a_part_that_a_comparison_makes_no_use_of_is_refused(tmp_path: Path, capsys: Any) -> None:
    for words in (["bayes", "--labels", "20"], ["labels", "--missing", "left"], ["missing", "--missing", "nose"]):
        assert main(["compare", *words, "--out", str(tmp_path / "out")]) == 2
        assert words[1] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["{broken", "[]", '{"data": "digits"}', '{"data": "digits", "measured": [1]}'])
def test_a_damaged_file_of_a_comparison_is_refused_by_name(content: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "bayes.json"
    path.write_text(content)
    assert main(["compare", "bayes", "--only", "nearest neighbour", "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"{path} is damaged" in message
    assert message.endswith("remove it to measure anew")
    assert path.read_text() == content


def test_a_model_that_was_trained_otherwise_is_not_taken(tmp_path: Path, capsys: Any) -> None:
    assert main(["train", "gmm", "--steps", "2", "--out", str(tmp_path / "gmm-0")]) == 0
    assert main(["compare", "bayes", "--only", "GMM", "--seeds", "1", "--out", str(tmp_path)]) == 2
    assert "gmm-0 was trained with other settings; choose another --out" in capsys.readouterr().err


def test_few_labels_are_all_that_a_generator_sees(tmp_path: Path, monkeypatch: Any) -> None:
    seen = []

    def fit(self: Model, name: str, training: Any, seed: int) -> Any:
        seen.append(len(training))
        return real(self, name, training, seed)

    real = Model.fit
    monkeypatch.setattr(Model, "fit", fit)
    monkeypatch.setitem(augmentation.CLASSIFIER, "training.steps", "1")
    few = few_labels(DIGITS, 20, np.random.default_rng(0))
    drawn = augmentation.samples("GMM", few, fitting.Given("digits", None, DIGITS, None, (), 1, tmp_path), 0)
    assert seen == [20]
    assert np.all(np.bincount(drawn.labels) == augmentation.SAMPLES // 10)


def test_pixels_are_filled_in_by_a_pixel_model_from_the_command_line(tmp_path: Path, capsys: Any) -> None:
    run, out = str(tmp_path / "run"), tmp_path / "filled.npz"
    tiny = ["train", "pixel-rnn", "--preset", "tiny", "--steps", "2"]
    assert main([*tiny, "--out", run]) == 0
    assert main(["inpaint", run, "--n", "2", "--missing", "upper", "--out", str(out)]) == 0
    tests = {image[4:].tobytes() for image in data.digits("test").images}
    assert all(image[4:].tobytes() in tests for image in read_samples(out, (8, 8)))
    assert main([*tiny, "--set", "model.num_classes=10", "--out", f"{run}-classes"]) == 0
    assert main(["inpaint", f"{run}-classes", "--out", str(out)]) == 2
    assert "train one with model.num_classes=0" in capsys.readouterr().err
