"""The Vision Transformer: patches, positions, attention maps, freezing, fine-tuning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.lab.settings import changed
from models.lab.tasks.vit import PRESETS, ViTClassifier
from models.vision import vit
from tinygrad_cv import data

DIGITS = data.digits()
TINY = PRESETS["tiny"].model
RNG = np.random.default_rng(0)


def make(**changes: Any) -> ViTClassifier:
    """A tiny task with other values: make(**{"training.mixup": 0.0})."""
    return ViTClassifier(changed(PRESETS["tiny"], changes), DIGITS, rng=np.random.default_rng(0))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from([(), (3,)]))
def test_patches_are_the_blocks_of_the_picture_row_by_row(size: int, down: int, across: int, channels: Any) -> None:
    images = np.random.default_rng(1).random((2, down * size, across * size, *channels))
    found = vit.patches(images, size)
    for n in range(down * across):
        y, x = divmod(n, across)
        block = images[:, y * size : (y + 1) * size, x * size : (x + 1) * size]
        np.testing.assert_array_equal(found[:, n], block.reshape(2, -1))


def test_patches_that_do_not_fill_the_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="patches of 3 x 3 do not fill pictures of 8 x 8"):
        vit.patches(DIGITS.images[:1], 3)
    with pytest.raises(ValueError, match=r"not of shape \(8, 8\); one alone is images\[None\]"):
        vit.patches(DIGITS.images[0], 2)


def test_tokens_are_permuted_with_their_positions() -> None:
    """Without positions the class token sees a set of patches: their order does not matter."""
    model = vit.ViT(replace(TINY, drop_path_rate=0.0), rng=RNG)
    image = DIGITS.images[:1]
    swapped = np.concatenate([image[:, 4:], image[:, :4]], axis=1)
    assert not np.allclose(model(image).numpy(), model(swapped).numpy(), atol=1e-4)
    model.pos_embed.data[...] = 0
    np.testing.assert_allclose(model(image).numpy(), model(swapped).numpy(), atol=1e-5)


def test_attention_maps_and_rollout_are_distributions() -> None:
    model = vit.ViT(replace(TINY, num_hidden_layers=3), rng=RNG).eval()
    maps = model.attention_maps(DIGITS.images[:5])
    assert maps.shape == (3, 5, 2, 5, 5)
    np.testing.assert_allclose(maps.sum(axis=-1), 1, rtol=1e-5)
    seen = vit.rollout(maps)
    assert seen.shape == (5, 4)
    np.testing.assert_allclose(seen.sum(axis=1), 1, rtol=1e-5)


def test_rollout_follows_a_chain() -> None:
    """Block 1: patch 1 looks at patch 2; block 2: the class token looks at patch 1. So it has seen patch 2."""
    maps = np.zeros((2, 1, 1, 3, 3))
    maps[:, ..., [0, 1, 2], [0, 1, 2]] = 1
    maps[0, ..., 1, :] = [0, 0, 1]
    maps[1, ..., 0, :] = [0, 1, 0]
    np.testing.assert_allclose(vit.rollout(maps), [[0.5, 0.5]])


def test_pictures_of_another_size_have_interpolated_positions() -> None:
    model = vit.ViT(TINY, rng=RNG).eval()
    larger = np.kron(DIGITS.images[:2], np.ones((1, 2, 2), np.float32))
    assert model(larger).shape == (2, 10)
    table = np.ones((1, 5, 8))
    np.testing.assert_allclose(vit.interpolate_positions(table, (2, 2), (5, 3)), 1, rtol=1e-12)
    assert vit.interpolate_positions(table, (2, 2), (5, 3)).shape == (1, 16, 8)


def test_what_is_frozen_stays_and_the_rest_learns() -> None:
    task = make(**{"training.freeze": "patch_embed,blocks.0.norm1", "training.mixup": 0.0})
    before = {n: a.copy() for n, a in task.model.state_dict().items()}
    for step in range(3):
        task.step(step)
    for name, array in task.model.state_dict().items():
        frozen = name.startswith(("patch_embed", "blocks.0.norm1"))
        assert np.array_equal(array, before[name]) == frozen, name


def test_fine_tuning_replaces_the_head_only() -> None:
    source = make()
    for step in range(3):
        source.step(step)
    target = make(**{"model.num_labels": 3})
    head = target.model.head.weight.data.copy()
    target.start_from(source)
    wanted = source.learner.ema.state_dict()
    for name, array in target.model.state_dict().items():
        if name.startswith("head"):
            assert array.shape[0] == 3
        else:
            np.testing.assert_array_equal(array, wanted[name])
    np.testing.assert_array_equal(target.model.head.weight.data, head)


def test_fine_tuning_for_larger_pictures_interpolates() -> None:
    large = vit.ViT(replace(TINY, image_size=(16, 16)), rng=RNG)
    small = vit.ViT(TINY, rng=RNG)
    assert vit.fine_tune(large, small.state_dict(), small.grid) == []
    np.testing.assert_array_equal(large.patch_embed.weight.data, small.patch_embed.weight.data)
    np.testing.assert_array_equal(large.pos_embed.data[:, 0], small.pos_embed.data[:, 0])


def test_evaluation_is_deterministic_and_training_is_not() -> None:
    dropout = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5, "drop_path_rate": 0.5}
    model = vit.ViT(replace(TINY, **dropout, num_hidden_layers=2), rng=RNG)
    with tg.no_grad():
        assert not np.array_equal(model(DIGITS.images[:8]).numpy(), model(DIGITS.images[:8]).numpy())
        model.eval()
        np.testing.assert_array_equal(model(DIGITS.images[:8]).numpy(), model(DIGITS.images[:8]).numpy())
