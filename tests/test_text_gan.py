"""Text-to-image: captions and scenes agree, wrong captions are wrong, both networks read, the table counts right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.generative.text_gan import (
    TextDiscriminator,
    TextEncoder,
    TextGenerator,
    matching_aware_loss,
    tokens_of,
)
from models.lab.evaluation.captions import (
    ENDINGS,
    KINDS,
    RELATIONS,
    Caption,
    Mention,
    altered,
    compared,
    draw_caption,
    shares,
    vocabulary,
)
from models.lab.evaluation.generation import NoEvaluator
from models.lab.evaluation.judge import Judge, distinct, others, text_to_image_report
from models.lab.settings import configure
from models.lab.tasks.captions import CaptionConfig, Digits, captioned, draw_captioned, draw_scene
from models.lab.tasks.text_gan import PRESETS, TextGANTask
from models.vision.boxes import Objects
from tinygrad_cv import data

RNG = np.random.default_rng
TRAINING, TEST = data.digits(), data.digits("test")
DIGITS = Digits(TRAINING)
SCENES = CaptionConfig()
SETTINGS = configure(PRESETS, "tiny", TRAINING, {})
TINY = SETTINGS.model
seeds = st.integers(0, 2**32 - 1)
parts = st.sampled_from(["training", *ENDINGS])


def nothing() -> Objects:
    return Objects.certain(np.zeros(0, int), np.zeros((0, 4)))


# ------------------------------------------------------------------------------------------- captions and scenes


@given(seeds, parts, st.sampled_from(KINDS))
def test_a_scene_shows_what_its_caption_says(seed: int, part: str, kind: str) -> None:
    rng = RNG(seed)
    caption = draw_caption(part, kind, rng=rng)
    assert caption.kind == kind
    image, objects = draw_scene(caption, DIGITS, SCENES, rng=rng)
    assert image.shape == (24, 24) and image.dtype == np.float32 and 0 <= image.min() <= image.max() <= 1
    assert objects.boxes.min() >= 0 and objects.boxes.max() <= 24
    assert all(compared(caption, objects).values())
    swapped = objects[::-1]  # a detector finds them in any order
    assert all(compared(caption, swapped).values())


@given(seeds)
def test_an_altered_caption_says_something_else_in_known_words(seed: int) -> None:
    rng = RNG(seed)
    caption = draw_caption("training", rng=rng)
    other = altered(caption, rng=rng)
    assert replace(other, text="") != replace(caption, text="")
    assert len(other.digits) == len(caption.digits) and other.kind == caption.kind
    assert set(f"{caption.text} {other.text}".split()) <= set(vocabulary())


@given(seeds, parts)
def test_a_wrong_caption_is_not_true_of_its_scene(seed: int, part: str) -> None:
    batch = draw_captioned(DIGITS, SCENES, 3, part, rng=RNG(seed))
    for right, wrong in zip(batch.captions, batch.wrong, strict=True):
        assert (right.digits, right.relation) != (wrong.digits, wrong.relation)


@given(seeds, parts)
def test_a_pair_of_digits_is_of_one_part_only(seed: int, part: str) -> None:
    caption = draw_caption(part, "two objects", rng=RNG(seed))
    ending = sum(mention.label for mention in caption.digits) % 10
    assert ending == ENDINGS[part] if part in ENDINGS else ending not in ENDINGS.values()


def test_digits_stand_in_the_middle_unless_they_are_moved() -> None:
    still = replace(SCENES, jitter=0)
    caption = Caption((Mention(3, "large"), Mention(7, "small")), "above")
    for seed in range(5):
        _, objects = draw_scene(caption, DIGITS, still, rng=RNG(seed))
        centres = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
        assert np.abs(centres[:, 0] - 12).max() <= 0.5
        assert objects.boxes[0, 3] == objects.boxes[1, 1] == 12


def test_each_relation_is_true_of_its_own_side_only() -> None:
    """The first digit stands in the middle, the second on each side of it."""
    offsets = {"left of": (8, 1), "right of": (-8, 1), "above": (-1, 8), "below": (-1, -8)}
    for relation in RELATIONS:
        for side, (x, y) in offsets.items():
            boxes = np.array([(10, 10, 16, 18), (10 + x, 10 + y, 16 + x, 18 + y)], float)
            found = Objects.certain(np.array([3, 7]), boxes)
            truths = compared(Caption((Mention(3), Mention(7)), relation), found)
            assert truths == {"count": True, "objects": True, "relation": relation == side, "all": relation == side}


def test_twins_may_change_places_but_sizes_and_relation_hold_together() -> None:
    """Of two 3s the upper is large: "a small 3 below a 3" is true, "a small 3 above a 3" is not."""
    boxes = np.array([(0, 0, 8, 12), (0, 14, 6, 21)], float)
    found = Objects.certain(np.array([3, 3]), boxes)
    small_below = compared(Caption((Mention(3, "small"), Mention(3)), "below"), found)
    small_above = compared(Caption((Mention(3, "small"), Mention(3)), "above"), found)
    assert small_below["all"]
    assert small_above == {"count": True, "objects": True, "sizes": True, "relation": True, "all": False}


def test_shares_count_what_is_found_and_nothing_more() -> None:
    one, two = Caption((Mention(1),)), Caption((Mention(1), Mention(2)))
    found_one = Objects.certain(np.array([1]), np.array([(0, 0, 5, 8)], float))
    found_two = Objects.certain(np.array([2, 1]), np.array([(0, 0, 5, 8), (10, 0, 15, 8)], float))
    captions, found = [one, one, two, two], [found_one, found_two, found_two, nothing()]
    table = shares(captions, found)
    assert table == {"one object": 0.5, "two objects": 0.5, "count": 0.5, "all": 0.5}


def test_batches_go_on_from_their_state() -> None:
    batches = captioned(TRAINING, SCENES, 3, rng=RNG(0))
    next(batches)
    state = batches.state()
    expected = next(batches)
    again = captioned(TRAINING, SCENES, 3, rng=RNG(1))
    again.restore(state)
    drawn = next(again)
    np.testing.assert_array_equal(drawn.images, expected.images)
    assert (drawn.captions, drawn.wrong) == (expected.captions, expected.wrong)


def test_scenes_of_a_group_have_a_caption_in_common_and_differ() -> None:
    batch = draw_captioned(DIGITS, SCENES, 6, group=2, rng=RNG(0))
    assert batch.captions[::2] == batch.captions[1::2]
    assert len({caption.text for caption in batch.captions}) == 3
    assert np.all(np.abs(batch.images[::2] - batch.images[1::2]).max(axis=(1, 2)) > 0.3)


# ------------------------------------------------------------------------------------------------------- networks


def test_an_encoder_reads_the_order_of_words_and_no_padding() -> None:
    encoder = TextEncoder(TINY, rng=RNG(0))
    words = TINY.vocabulary
    texts = ["a 3 above a 7", "a 7 above a 3", "an image of a large 3 above a small 7"]
    together = encoder(tokens_of(texts, words)).numpy()
    alone = encoder(tokens_of(texts[:1], words)).numpy()
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5, atol=1e-7)
    assert np.any(together[0] != together[1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("convolutions", [(), (4, 6)])
def test_both_networks_see_the_caption(channels: int, convolutions: tuple[int, ...]) -> None:
    config = replace(
        TINY, num_channels=channels, generator_channels=convolutions, discriminator_channels=convolutions
    )
    generator, discriminator = TextGenerator(config, rng=RNG(0)), TextDiscriminator(config, rng=RNG(1))
    tokens = tokens_of(["a 3", "a 7", "a 3", "a 7"], config.vocabulary)
    z = np.repeat(generator.draw_latents(1, RNG(2)), 4, axis=0)
    images = generator(tg.Tensor(z), tokens).numpy()
    assert images.shape == (4, *config.image_shape)
    np.testing.assert_allclose(images[0], images[2], rtol=1e-5)
    assert np.abs(images[0] - images[1]).max() > 1e-4
    same = np.repeat(images[:1], 4, axis=0)
    logits = discriminator(same, tokens).numpy()
    assert logits.shape == (2, 4)
    assert abs(logits[0, 0] - logits[0, 1]) > 1e-6 and logits[1, 0] == logits[1, 1]


def test_the_second_logit_sees_whether_the_images_of_a_caption_differ() -> None:
    model = TextDiscriminator(TINY, rng=RNG(0))
    a, b = RNG(1).random((2, 1, 24, 24)).astype(np.float32)
    model.real.weight.data[:, :-1] = 0
    h = model.features(np.concatenate([a, a, a, b])).numpy()
    same, _, different, other = model.realism(h).numpy() - model.real.bias.data
    ratio = same / model.real.weight.data[0, -1]
    assert ratio == pytest.approx(1e-3, rel=1e-3)  # the square root of what is added to a variance
    assert different == other and abs(different) > abs(same)


def test_the_matching_aware_loss_is_that_of_algorithm_1() -> None:
    right, wrong, fake = RNG(0).standard_normal((3, 5))
    p = [1 / (1 + np.exp(-logits)) for logits in (right, wrong, fake)]
    expected = -np.log(p[0]).mean() - (np.log(1 - p[1]).mean() + np.log(1 - p[2]).mean()) / 2
    assert matching_aware_loss(right, wrong, fake) == pytest.approx(expected)


def test_the_discriminator_learns_from_wrong_captions() -> None:
    """A step with scenes and wrong captions changes the discriminator otherwise than with other wrong captions."""
    changed = []
    for shift in (0, 1):
        task = TextGANTask(SETTINGS, TRAINING, rng=RNG(0))
        real, right, wrong = task.next_batch()
        fake = task.fake(len(real), real, right, wrong).numpy()
        task.discriminator_step(real, fake, [right, np.roll(wrong, shift, axis=0)], 0.0)
        changed.append(task.discriminator.projection.weight.data)
    assert np.abs(changed[0] - changed[1]).max() > 0


def test_samples_are_of_the_caption_that_is_given() -> None:
    task = TextGANTask(SETTINGS, TRAINING, rng=RNG(0))
    options = task.sampling({"caption": "A large 3"})
    images = task.sample(3, rng=RNG(1), **options)
    np.testing.assert_array_equal(images, task.sample(3, rng=RNG(1), caption=["a large 3"] * 3))
    assert np.any(images != task.sample(3, rng=RNG(1), caption="a 7"))
    assert task.sample(2, rng=RNG(1)).shape == (2, 24, 24)
    for caption, message in {"a green 3": "'green' is no word.* above, ", " ": "empty"}.items():
        with pytest.raises(ValueError, match=message):
            task.sample(1, rng=RNG(1), caption=caption)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"data.canvas": "16"}, "two large digits take 24 pixels"),
        ({"data.canvas": "32"}, "scenes have data.canvas=32"),
        ({"model.words": "a 3"}, "captions of scenes have the words"),
        ({"model.num_channels": "3"}, "scenes are grey"),
        ({"training.batch_size": "7"}, "groups of 2"),
    ],
)
def test_settings_that_contradict_each_other_name_what_is_expected(words: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configure(PRESETS, "tiny", TRAINING, words)


# ---------------------------------------------------------------------------------------------------------- judge


def test_the_judge_finds_what_real_scenes_show_and_not_what_other_captions_say() -> None:
    judge = Judge.load("digits")
    digits = Digits(TEST)
    rng = RNG(0)

    def real(caption: Caption) -> np.ndarray:
        return draw_scene(caption, digits, SCENES, rng=rng)[0]

    def draw(texts: Any) -> np.ndarray:
        return np.zeros((len(texts), 24, 24), np.float32)

    rows = text_to_image_report("black", draw, real, judge, "test", 25, rng=rng)
    table = {row["name"]: row for row in rows}
    assert table["black"]["all"] == table["black"]["count"] == 0
    real_row, chance = table["real"], table["chance: real images of other captions"]
    assert real_row["one object"] > 0.8 and real_row["position"] > 0.7
    assert real_row["all"] > chance["all"] + 0.6
    assert real_row["count"] > 0.9 and chance["count"] == real_row["count"]


def test_of_two_objects_in_the_same_place_the_surer_counts() -> None:
    boxes = np.array([(0, 0, 8, 12), (1, 0, 8, 12), (12, 0, 20, 12)], float)
    found = distinct(Objects(np.array([3, 8, 3]), boxes, np.array([0.6, 0.9, 0.7])))
    assert found.labels.tolist() == [8, 3] and found.scores.tolist() == [0.9, 0.7]
    assert len(distinct(nothing())) == 0


def test_other_captions_are_of_the_same_kinds() -> None:
    captions = [draw_caption("training", kind, rng=RNG(i)) for i, kind in enumerate(KINDS * 5)]
    shuffled = others(captions, rng=RNG(0))
    assert [caption.kind for caption in shuffled] == [caption.kind for caption in captions]
    assert shuffled != captions and sorted(map(repr, shuffled)) == sorted(map(repr, captions))


def test_the_judge_says_what_it_cannot_look_at() -> None:
    with pytest.raises(NoEvaluator, match="only of 'digits'"):
        Judge.load("mnist")
    with pytest.raises(NoEvaluator, match="24 x 24, not"):
        Judge.load("digits").find(np.zeros((1, 32, 32), np.float32))
