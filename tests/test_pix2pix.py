"""pix2pix: outlines and skeletons, what each network sees, the plain L1 network, and scenes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import tinygrad_cv as tg
from models.generative.pix2pix import PatchDiscriminator, Pix2PixConfig, Pix2PixGenerator
from models.lab.evaluation.connected import INK, nearest_digit
from models.lab.evaluation.generation import Evaluator
from models.lab.evaluation.scenes import patches, scene_metrics
from models.lab.settings import changed, configure
from models.lab.tasks.outlines import outlines, skeletons
from models.lab.tasks.pix2pix import PRESETS, Pix2PixTask
from models.lab.tasks.pix2pix_scenes import PRESETS as SCENE_PRESETS
from models.lab.tasks.pix2pix_scenes import ScenePix2PixTask
from models.lab.tasks.scenes import TINY, Scenes, draw_scenes
from tinygrad_cv import data

DIGITS = data.digits("train")
RNG = np.random.default_rng
EVERY_NEIGHBOUR = np.ones((3, 3))
CROSS = ndimage.generate_binary_structure(2, 1)


def strokes(seed: int) -> np.ndarray:
    """Three random images of strokes that are three or more pixels wide, (3, 16, 16)."""
    points = RNG(seed).random((3, 16, 16)) < 0.03
    return ndimage.binary_dilation(points, np.ones((1, 3, 3)), iterations=1 + seed % 2)


def pieces(image: np.ndarray) -> int:
    """How many connected pieces there are."""
    count: int = ndimage.label(image, EVERY_NEIGHBOUR)[1]
    return count


@given(st.integers(0, 10_000))
def test_an_outline_is_the_ink_that_erosion_takes_away(seed: int) -> None:
    ink = strokes(seed)
    expected = [image & ~ndimage.binary_erosion(image, CROSS) for image in ink]
    np.testing.assert_array_equal(outlines(ink.astype(np.float32)), expected)


@given(st.integers(0, 10_000))
def test_a_skeleton_is_thin_ink_in_no_more_pieces(seed: int) -> None:
    ink = strokes(seed)
    thin = skeletons(ink.astype(np.float32)) > 0
    assert not np.any(thin & ~ink)
    again = skeletons(thin.astype(np.float32)) > 0
    np.testing.assert_array_equal(again, thin)
    for image, lines in zip(ink, thin, strict=True):
        assert pieces(lines) <= pieces(image)  # a square of 2 x 2 vanishes
        assert not ndimage.binary_erosion(lines, EVERY_NEIGHBOUR).any()


def test_the_skeleton_of_a_bar_is_its_middle() -> None:
    bars = np.zeros((1, 20, 20), np.float32)
    bars[0, 4:9, 2:18] = 1
    for images in (bars, bars.swapaxes(1, 2)):
        lines = np.argwhere(skeletons(images)[0])
        across = lines[:, 0] if images is bars else lines[:, 1]
        assert set(across.tolist()) == {6}
        assert len(lines) >= 10


def test_the_skeleton_of_a_digit_is_whole() -> None:
    images = DIGITS.images[:300]
    thin = skeletons(images)
    whole = [pieces(a) == pieces(b) for a, b in zip(images >= INK, thin, strict=True)]
    assert np.mean(whole) > 0.95
    assert thin.mean() < np.mean(images >= INK) * 0.8


def test_the_generator_sees_the_condition_and_the_noise() -> None:
    config = Pix2PixConfig(generator_channels=(4, 8), num_channels=3, latent_dim=2)
    model = Pix2PixGenerator(config, rng=RNG(0))
    x = RNG(1).random((3, 1, 8, 8)).astype(np.float32)
    z = model.draw_latents(3, RNG(2))
    y = model(tg.Tensor(z), x).numpy()
    assert y.shape == (3, 3, 8, 8)
    assert np.any(model(tg.Tensor(z), 1 - x).numpy() != y)
    assert np.any(model(tg.Tensor(-z), x).numpy() != y)
    with pytest.raises(ValueError, match="8 x 10 cannot be halved 2 times"):
        Pix2PixGenerator(Pix2PixConfig(image_size=(8, 10)), rng=RNG(0))


def test_a_logit_is_of_a_patch_of_both_images() -> None:
    """A pixel far away does not change a patch's logit; one within does, in either image."""
    config = Pix2PixConfig(image_size=(32, 32), discriminator_channels=(4,))
    model = PatchDiscriminator(2, config, rng=RNG(0))
    x, y = RNG(1).random((2, 1, 1, 32, 32)).astype(np.float32)
    before = model(y, x).numpy()
    assert before.shape == (1, 16, 16)
    for changes_y in (False, True):
        images = [y.copy(), x.copy()]
        images[not changes_y][0, 0, 0, 0] += 1
        moved = model(*images).numpy() != before
        assert moved[0, 0, 0]
        assert not moved[0, 4:, 4:].any()


def test_without_the_adversary_the_generator_learns_from_l1_alone() -> None:
    words = {"training.lambda_adv": 0.0, "training.lambda_l1": 3.0}
    task = Pix2PixTask(changed(PRESETS["tiny"], words), DIGITS, rng=RNG(0))
    real, conditions = task.next_batch()
    fake = task.fake(len(real), real, conditions)
    logits = task.discriminator(fake, conditions)
    loss, metrics = task.generator_objective(logits, real, fake)
    distance = np.abs(fake.numpy() - real).mean()
    assert loss.item() == pytest.approx(3 * distance, rel=1e-5)
    assert metrics["L1"] == pytest.approx(distance, rel=1e-5)


def test_sampling_translates_what_the_last_batch_was_drawn_from() -> None:
    task = Pix2PixTask(PRESETS["tiny"], DIGITS, rng=RNG(0))
    task.step(0)
    images = task.sample(10, rng=RNG(3))
    remembered = task.conditions.arrays["x"]
    assert len(remembered) == 8
    again = task.translate(remembered[[*range(8), 0, 1]], rng=RNG(3))
    np.testing.assert_array_equal(images, again)


def test_a_condition_that_there_is_not_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="there are outline, skeleton"):
        configure(PRESETS, "tiny", DIGITS, {"data.condition": "shadow"})


# ----------------------------------------------------------------------------------------- scenes


def measured(images: np.ndarray, real: Scenes) -> dict[str, float]:
    """The metrics of images in the place of real scenes."""
    eye = nearest_digit(DIGITS), Evaluator.load("digits")
    return scene_metrics(images, real.objects, real.images, real.objects, (8, 8), *eye)


def test_a_label_map_has_one_channel_for_each_pixel_that_is_no_padding() -> None:
    task = ScenePix2PixTask(SCENE_PRESETS["tiny"], DIGITS, rng=RNG(0))
    batch = draw_scenes(DIGITS, TINY, range(8))
    maps = task.label_maps(batch)
    assert maps.shape == (8, 11, 24, 24)
    assert not batch.mask.all()
    np.testing.assert_array_equal(maps.sum(axis=1), batch.mask)
    np.testing.assert_array_equal(maps.argmax(axis=1)[batch.mask], batch.cover[batch.mask])


def test_patches_are_all_those_half_a_patch_apart() -> None:
    image = np.arange(24 * 24.0).reshape(1, 24, 24)
    found = patches(image, (8, 8))
    assert found.shape == (25, 8, 8)
    np.testing.assert_array_equal(found[6], image[0, 4:12, 4:12])


def test_what_an_eye_sees_in_scenes_falls_with_what_is_lost() -> None:
    """Without clutter only the patches differ; without digits nothing is read."""
    scenes = draw_scenes(DIGITS, TINY, range(40))
    itself = measured(scenes.images, scenes)
    assert itself["FD"] == pytest.approx(0, abs=1e-6)
    assert itself["patch FD"] == pytest.approx(0, abs=1e-6)
    assert itself["read"] > 0.9
    digits_only = measured(np.where(scenes.cover < 10, scenes.images, 0), scenes)
    assert digits_only["read"] > 0.9
    assert digits_only["patch FD"] > 1
    shuffled = measured(scenes.images[::-1], scenes)
    assert shuffled["read"] < 0.5
    assert shuffled["patch FD"] == pytest.approx(0, abs=1e-6)
