"""Talking heads: poses and outlines, what each network sees, fine-tuning, and who judges."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.generative.talking_heads import (
    AdaptiveInstanceNorm,
    HeadDiscriminator,
    PersonalDiscriminator,
    PersonalHead,
    TalkingHeads,
    TalkingHeadsConfig,
    feature_matching_loss,
    match_loss,
)
from models.lab.evaluation.heads import Episode, Faces, Judge, channels_first, ssim
from models.lab.evaluation.identity import IdentityFeatures
from models.lab.evaluation.poses import (
    DRAWING,
    apply,
    average_face,
    compose,
    find_poses,
    inverse,
    outlines,
    pose,
    pose_distances,
    warped,
)
from models.lab.report.images import write_png
from models.lab.settings import changed, configure
from models.lab.tasks.heads import PRESETS, HeadsTask, split_people
from tinygrad_cv import data

RNG = np.random.default_rng
SIZE = (16, 16)
CONFIG = TalkingHeadsConfig(
    image_size=SIZE,
    num_labels=5,
    embedding_dim=3,
    embedder_channels=(4, 4),
    generator_channels=(4, 6, 6),
    num_residual_blocks=1,
    discriminator_channels=(4, 4),
)


def made_up(
    people: int, each: int, *, seed: int = 0, size: int = 16, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Faces of an oval, eyes, a nose and a mouth, (N, size, size), and their poses (N, 2, 3).

    People differ in the lightness of their parts, images of one in pose.
    """
    rng, count = RNG(seed), people * each
    y, x = np.indices((64, 64)) / 32 - 1
    looks = []
    for skin, hair, eyes, mouth in rng.uniform([0.6, 0, 0, 0], [0.9, 0.5, 0.3, 0.4], (people, 4)):
        face = np.full((64, 64), 0.3)
        face[(y / 0.9) ** 2 + (x / 0.7) ** 2 < 1] = skin
        face[(y < -0.45) & ((y / 0.9) ** 2 + (x / 0.7) ** 2 < 1)] = hair
        face[(abs(y + 0.1) < 0.1) & (abs(abs(x) - 0.3) < 0.15)] = eyes
        face[(abs(y - 0.15) < 0.2) & (abs(x) < 0.05)] = skin - 0.2
        face[(abs(y - 0.6) < 0.08) & (abs(x) < 0.25)] = mouth
        looks.append(face)
    limits = spread * np.array([0.2, 0.25, 0.15, 0.05, 0.2])
    poses = np.stack([pose(*values) for values in rng.uniform(-1, 1, (count, 5)) * limits])
    large = warped(np.stack(looks).repeat(each, axis=0), poses)
    images = large.reshape(count, size, 64 // size, size, 64 // size).mean(axis=(2, 4))
    return images.astype(np.float32), poses


def people_of(people: int, each: int, **options: Any) -> data.Dataset:
    images, _ = made_up(people, each, **options)
    names = tuple(f"person {i}" for i in range(people))
    return data.Dataset("faces", images, np.arange(people).repeat(each), names)


@cache
def trained() -> HeadsTask:
    """A small one that has made a step."""
    dataset = people_of(5, 4)
    task = HeadsTask(configure(PRESETS, "tiny", dataset, {}), dataset, rng=RNG(0))
    task.step(0)
    return task


MAPS = st.tuples(*[st.floats(-0.4, 0.4)] * 5).map(lambda values: pose(*values)[None])

# --------------------------------------------------------------------------- poses and outlines


@given(MAPS, MAPS)
def test_maps_compose_and_turn_back(a: np.ndarray, b: np.ndarray) -> None:
    points = RNG(0).uniform(-1, 1, (7, 2))
    np.testing.assert_allclose(apply(compose(a, b), points), apply(a, apply(b, points)[0]))
    np.testing.assert_allclose(apply(inverse(a), apply(a, points)[0])[0], points, atol=1e-12)


@given(MAPS)
def test_what_was_at_a_point_is_at_the_point_that_the_map_names(a: np.ndarray) -> None:
    """A ramp of each axis, moved, reads the coordinates that points come from."""
    y, x = (np.indices((20, 30)) * 2 + 1) / np.array([20, 30])[:, None, None] - 1
    moved = np.stack([warped(ramp[None], a)[0] for ramp in (y, x)])
    back = apply(inverse(a), np.stack([y.reshape(-1), x.reshape(-1)], axis=1))[0].T
    inside = np.all(abs(back) < 0.9, axis=0)
    np.testing.assert_allclose(moved.reshape(2, -1)[:, inside], back[:, inside], atol=1e-9)


def test_poses_of_faces_are_found_up_to_one_pose_in_common() -> None:
    """Nobody says what upright is: found and true poses differ by the same map for all."""
    images, true = made_up(6, 4)
    found = find_poses(images, average_face(images))
    common = compose(inverse(true), found).mean(axis=0, keepdims=True)
    expected = compose(true, common.repeat(len(true), axis=0))
    apart = pose_distances(found, expected, SIZE)
    unknown = pose_distances(expected.mean(axis=0, keepdims=True), expected, SIZE)
    assert np.median(apart) < np.median(unknown) / 3


def test_an_outline_is_light_on_its_points_alone() -> None:
    poses = np.stack([pose(), pose(0.2, -0.1, -0.2, 0.1, 0.3)])
    drawn = outlines(poses, (64, 64))
    for image, points in zip(drawn, apply(poses, DRAWING), strict=True):
        rows, columns = np.round((points * 64 + 63) / 2).astype(int).T
        assert image[rows, columns].min() > 0.5
        dark = np.ones((64, 64), bool)
        for i in (-3, -2, -1, 0, 1, 2, 3):
            for j in (-3, -2, -1, 0, 1, 2, 3):
                dark[np.clip(rows + i, 0, 63), np.clip(columns + j, 0, 63)] = False
        assert image[dark].max() < 0.01


def test_the_distance_of_a_shifted_outline_is_the_shift_in_pixels() -> None:
    distances = pose_distances(pose()[None], np.stack([pose(), pose(0.25, 0.5)]), (16, 32))
    np.testing.assert_allclose(distances, [0, np.hypot(0.25 * 8, 0.5 * 16)])


# ------------------------------------------------------------------------------------- networks


def some_given(count: int = 3, shots: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = RNG(1)
    lines = rng.random((count, *SIZE), np.float32)
    images = rng.random((count, shots, 1, *SIZE), np.float32)
    return lines, images, rng.random((count, shots, *SIZE), np.float32)


def test_adaptive_instance_norm_gives_each_channel_the_mean_and_scale_of_the_style() -> None:
    x = RNG(0).normal(3, 2, (2, 5, 8, 8)).astype(np.float32)
    style = RNG(1).normal(size=(2, 10)).astype(np.float32)
    y = AdaptiveInstanceNorm(5)(tg.Tensor(x), style).numpy()
    np.testing.assert_allclose(y.mean(axis=(2, 3)), style[:, 5:], atol=1e-4)
    np.testing.assert_allclose(y.std(axis=(2, 3)), abs(1 + style[:, :5]), rtol=1e-4)


def test_an_embedding_is_the_mean_over_the_given_images() -> None:
    model = TalkingHeads(CONFIG, rng=RNG(0))
    _, images, lines = some_given()
    both = model.embed(images, lines).numpy()
    each = [model.embed(images[:, [k]], lines[:, [k]]).numpy() for k in range(2)]
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=1e-5, atol=1e-6)
    assert np.any(model.embed(images, 1 - lines).numpy() != both)


def test_a_head_depends_on_the_outline_and_on_its_own_person_alone() -> None:
    model = TalkingHeads(CONFIG, rng=RNG(0))
    lines, images, given_lines = some_given()
    before = model(lines, images, given_lines).numpy()
    assert before.shape == (3, 1, *SIZE)
    assert 0 < before.min() <= before.max() < 1
    images[1] = 1 - images[1]
    moved = np.any(model(lines, images, given_lines).numpy() != before, axis=(1, 2, 3))
    assert moved.tolist() == [False, True, False]
    lines[2] = 1 - lines[2]
    again = model(lines, images, given_lines).numpy()
    assert np.any(again[2] != before[2])


def test_the_score_is_an_inner_product_with_the_vector_of_the_person() -> None:
    """The scores of two people differ by (W_1 - W_2) . V(x, y), whatever the rest is."""
    model = HeadDiscriminator(CONFIG, rng=RNG(0))
    lines, images, _ = some_given()
    x, ones, twos = images[:, 0], np.full(3, 1), np.full(3, 2)
    difference = model(x, lines, ones).numpy() - model(x, lines, twos).numpy()
    v = model.out(model.features(x, lines)[-1].mean(axis=(2, 3))).numpy()
    table = model.people.weight.numpy()
    np.testing.assert_allclose(difference, v @ (table[1] - table[2]), rtol=1e-4, atol=1e-6)


def test_features_are_matched_by_the_fake_and_vectors_by_the_embedding() -> None:
    model = HeadDiscriminator(CONFIG, rng=RNG(0))
    lines, images, _ = some_given()
    fake = tg.Tensor(images[:, 1], requires_grad=True)
    real = model.features(images[:, 0], lines)
    loss = feature_matching_loss(real, model.features(fake, lines))
    expected = [
        np.mean(abs(a.numpy() - b.numpy()))
        for a, b in zip(real, model.features(images[:, 1], lines), strict=True)
    ]
    assert loss.item() == pytest.approx(sum(expected), rel=1e-5)
    loss.backward()
    assert np.any(fake.grad)
    assert feature_matching_loss(real, real).item() == 0
    e = tg.Tensor(np.array([[1.0, 2.0]]))
    assert match_loss(e, np.array([[0.0, 4.0]])).item() == pytest.approx(1.5)


def test_a_personal_head_begins_as_the_network_of_all_people() -> None:
    model, judge = TalkingHeads(CONFIG, rng=RNG(0)), HeadDiscriminator(CONFIG, rng=RNG(1))
    lines, images, given_lines = some_given(1)
    e = model.embedding_of(images[0], given_lines[0])
    head, critic = PersonalHead(model, e), PersonalDiscriminator(judge, e)
    expected = model(lines, images, given_lines).numpy()
    np.testing.assert_allclose(head(lines).numpy(), expected, rtol=1e-5)
    judge.people.weight.data[3] = e
    np.testing.assert_allclose(
        critic(images[0, :1], lines).numpy(),
        judge(images[0, :1], lines, np.array([3])).numpy(),
        rtol=1e-5,
    )
    for parameter in [*head.parameters(), *critic.parameters()]:
        parameter.data[...] = 0
    np.testing.assert_array_equal(model(lines, images, given_lines).numpy(), expected)


# ----------------------------------------------------------------------------------- the people


@given(st.integers(3, 60), st.integers(0, 100))
def test_people_are_split_into_three_parts_of_at_least_one(people: int, seed: int) -> None:
    config = replace(PRESETS["faces"].data, split_seed=seed)
    parts = split_people(config, people)
    assert min(map(len, parts.values())) >= 1
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(people))
    again = split_people(config, people)
    assert all(np.array_equal(again[name], part) for name, part in parts.items())
    # Choosing settings by more people leaves those of the test alone.
    wider = split_people(replace(config, validation_people=0.2), people)
    np.testing.assert_array_equal(wider["test"], parts["test"])


def test_nobody_who_is_judged_is_learned_from() -> None:
    task = trained()
    for _ in range(5):
        people = task.next_batch()[2]
        assert np.isin(people, task.split["training"]).all()
    assert np.isin(task.faces.people, task.split["training"]).all()


def test_images_of_a_person_vary_in_pose_alone_and_their_outlines_follow() -> None:
    """Mirrored, stretched and toned are all of one person alike."""
    dataset = people_of(5, 4)
    words = {"training.shots": 3, "training.tone": 0.0}
    settings_ = changed(configure(PRESETS, "tiny", dataset, {}), words)
    task = HeadsTask(settings_, dataset, rng=RNG(0))
    faces = task.faces.at(np.arange(8))
    varied = task.varied(faces, 4)
    assert np.any(varied.images != faces.images)
    found = find_poses(varied.images[:, 0], task.seen.arrays["face"])
    mirrored = np.linalg.det(varied.poses[:, :, :2]) < 0
    draws = [task.varied(faces, 4).poses for _ in range(6)]
    turned = np.linalg.det(np.stack(draws)[:, :, :, :2]).reshape(12, 4) < 0
    assert np.array_equal(turned.all(axis=1), turned.any(axis=1))
    assert 0 < turned.mean() < 1
    upright = varied.poses * np.where(mirrored, -1, 1)[:, None, None] ** [[0, 1, 0]]
    apart = pose_distances(found, upright, SIZE)
    assert np.median(apart) < 1
    assert np.median(apart) < np.median(pose_distances(faces.poses, upright, SIZE)) / 2


def test_fine_tuning_brings_a_person_never_seen_nearer() -> None:
    task = trained()
    slow = changed(task.settings, {"training.fine_tuning_steps": 30})
    slow = changed(slow, {"training.fine_tuning_lr": 5e-3, "training.lambda_adv": 0.0})
    stranger = people_of(1, 3, seed=5)
    faces = task.recognised(channels_first(stranger.images), np.zeros(3, int))
    plain = task.drawn_at_once(faces, faces.poses)
    before = {name: array.copy() for name, array in task.generator.state_dict().items()}
    task.settings = slow
    lines = outlines(faces.poses, SIZE)
    tuned = task.fine_tuned(faces, RNG(0)).draw(lines)
    task.settings = changed(slow, {"training.fine_tuning_steps": 2})
    assert abs(tuned - faces.images).mean() < 0.7 * abs(plain - faces.images).mean()
    for name, array in task.generator.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_heads_of_a_person_in_a_folder_are_drawn(tmp_path: Path) -> None:
    task = trained()
    for i, image in enumerate(made_up(1, 3, seed=7)[0]):
        write_png(tmp_path / f"{i}.png", np.round(image * 255).astype(np.uint8))
    for shots in (2, 4):  # the third image lends its pose, or there is none left to lend one
        heads = task.sample(5, rng=RNG(0), given=str(tmp_path), shots=shots)
        assert heads.shape == (5, *SIZE)
        assert np.isfinite(heads).all()
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        task.sample(1, rng=RNG(0), given=str(tmp_path / "nobody"))


def test_data_that_hold_no_people_say_what_is_needed() -> None:
    dataset = people_of(4, 2)
    nobody = replace(dataset, labels=None, classes=())
    with pytest.raises(ValueError, match="put the images of each class into a subfolder"):
        configure(PRESETS, "tiny", nobody, {})
    two = people_of(2, 4)
    with pytest.raises(ValueError, match="there are at least 3 people"):
        configure(PRESETS, "tiny", two, {})
    once = people_of(4, 1)
    with pytest.raises(ValueError, match=r"has one image of each person.*--data folder:PATH"):
        HeadsTask(configure(PRESETS, "tiny", once, {}), once, rng=RNG(0))


# -------------------------------------------------------------------------------------- judging


def judge_of(dataset: data.Dataset, episodes: list[Episode]) -> Judge:
    images = channels_first(dataset.images)
    face = average_face(dataset.images)
    faces = Faces.recognised(images, np.asarray(dataset.labels), face)
    features = IdentityFeatures.fit(dataset.images, np.asarray(dataset.labels))
    return Judge(faces, features, face, episodes)


def test_the_judge_knows_people_and_not_the_images_it_may_not_see() -> None:
    dataset = people_of(6, 4, spread=0.3)
    episodes = [Episode(np.array([4 * i]), np.arange(4 * i + 1, 4 * i + 4)) for i in range(6)]
    judge = judge_of(dataset, episodes)
    real = judge.judge(judge.faces.images[judge.asked])
    assert real["identity"] > 0.7
    assert real["pose"] < 1e-6
    assert real["SSIM"] == pytest.approx(1)
    copies = judge.judge(judge.faces.images[np.repeat([e.given[0] for e in episodes], 3)])
    assert copies["identity"] > 0.5
    assert copies["pose"] > 0.3
    assert copies["SSIM"] < 0.9
    others = judge.identity(np.roll(judge.faces.images[judge.asked], 3, axis=0))
    assert others < 0.2
    assert judge.hidden.sum(axis=1).tolist() == [2] * 18
    assert judge.identity_by_outlines() < 0.6


def test_ssim_is_one_for_equal_images_and_the_formula_for_flat_ones() -> None:
    x = RNG(0).random((3, 2, 9, 9))
    np.testing.assert_allclose(ssim(x, x), 1)
    assert np.all(ssim(x, x[::-1])[[0, 2]] < 0.3)
    a, b = np.full((1, 1, 5, 5), 0.25), np.full((1, 1, 5, 5), 0.75)
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    np.testing.assert_allclose(ssim(a, b), expected)


@settings(deadline=None)
@given(st.integers(0, 50))
def test_identity_features_bring_images_of_one_person_together(seed: int) -> None:
    dataset = people_of(5, 6, seed=seed, spread=0.3)
    labels = np.asarray(dataset.labels)
    features = IdentityFeatures.fit(dataset.images, labels)(dataset.images)
    alike = features @ features.T
    same = labels[:, None] == labels
    others = ~np.eye(len(labels), dtype=bool)
    assert alike[same & others].mean() > alike[~same].mean() + 0.2
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
