"""DETR: places, padding, queries, the backbone, the classical way beside it, and that it learns eight scenes by heart."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.lab.evaluation.connected import connected, nearest_digit
from models.lab.evaluation.detection import detection_metrics
from models.lab.tasks.detection import relative
from models.lab.tasks.detr import PRESETS, DETRDetection
from models.lab.tasks.scenes import draw_scenes
from models.vision import detr, resnet
from models.vision.boxes import Objects
from models.vision.matching import criterion
from tinygrad_cv import data, nn

DIGITS = data.digits()
TINY = PRESETS["tiny"]
sides = st.integers(9, 24)


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model, evaluating, with weights and running statistics that hide no mistake."""
    rng = np.random.default_rng(seed)
    state = {name: array.copy() for name, array in model.state_dict().items()}
    for name, array in state.items():
        if name.endswith("running_var"):
            array[...] = rng.uniform(0.3, 2, array.shape)
        elif array.ndim < 2 and array.dtype == np.float32:
            array[...] = ("norm" in name or "bn" in name) * name.endswith("weight") + 0.3 * rng.normal(size=array.shape)
    model.load_state_dict(state)
    return model.eval()


def full(*shape: int) -> np.ndarray:
    return np.ones(shape, bool)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2), st.sampled_from([20.0, 10_000.0]))
def test_places_are_sines_and_cosines_of_the_share_of_the_way(h: int, w: int, padding: int, temperature: float) -> None:
    mask = np.pad(full(1, h, w), ((0, 0), (0, padding), (0, padding)))
    found = detr.sine_positions(mask, 16, temperature).reshape(h + padding, w + padding, 16)
    for y, x in np.ndindex(h, w):
        for half, angle in enumerate((2 * math.pi * (y + 1) / (h + 1e-6), 2 * math.pi * (x + 1) / (w + 1e-6))):
            for i in range(4):
                phase = angle / temperature ** (2 * i / 8)
                pair = found[y, x, 8 * half + 2 * i : 8 * half + 2 * i + 2]
                np.testing.assert_allclose(pair, [math.sin(phase), math.cos(phase)], atol=1e-5)


@given(sides, sides, st.integers(0, 2**32 - 1))
def test_padding_never_changes_what_is_found(height: int, width: int, seed: int) -> None:
    """Nor does what stands in it, nor another picture in the batch."""
    rng, model = np.random.default_rng(seed), lively(detr.DETR(TINY, rng=np.random.default_rng(0)))
    picture, mask = rng.random((1, height, width), np.float32), full(1, height, width)
    with tg.no_grad():
        alone = [y.numpy() for y in model(picture, mask)]
        spaces = (0, 1), (0, 24 - height), (0, 24 - width)
        batch = np.pad(picture, spaces, constant_values=0.7)
        batch[1] = rng.random((24, 24))
        mask = np.pad(mask, spaces)
        mask[1] = True
        padded = [y.numpy()[:, :1] for y in model(batch, mask)]
    for one, two in zip(alone, padded, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)


def test_as_published_padding_speaks_in_the_backbone() -> None:
    """With `silent` off the same weights give other features at the border: the property above is earned by the mask."""
    picture, mask = np.random.default_rng(0).random((1, 18, 18), np.float32), full(1, 18, 18)
    spaces = (0, 0), (0, 6), (0, 6)
    for silent in (True, False):
        model = lively(detr.DETR(replace(TINY, silent=silent), rng=np.random.default_rng(0)))
        alone, padded = model(picture, mask)[0].numpy(), model(np.pad(picture, spaces), np.pad(mask, spaces))[0].numpy()
        assert np.allclose(alone, padded, atol=1e-5) == silent


def test_queries_are_a_set() -> None:
    model = lively(detr.DETR(TINY, rng=np.random.default_rng(0)))
    images, mask = np.random.default_rng(1).random((2, 24, 24), np.float32), full(2, 24, 24)
    logits, boxes = (y.numpy() for y in model(images, mask))
    assert logits.shape == (2, 2, 4, 11) and boxes.shape == (2, 2, 4, 4)
    assert not np.allclose(logits[:, :, 0], logits[:, :, 1], atol=1e-3)
    order = np.array([2, 0, 3, 1])
    model.query_embed.weight.data[...] = model.query_embed.weight.data[order]
    turned = [y.numpy() for y in model(images, mask)]
    np.testing.assert_allclose(turned[0], logits[:, :, order], atol=1e-5)
    np.testing.assert_allclose(turned[1], boxes[:, :, order], atol=1e-5)


def test_the_decoders_norm_stands_before_the_heads_of_every_layer() -> None:
    model = lively(detr.DETR(TINY, rng=np.random.default_rng(0)))
    model.decoder.norm.weight.data[...] = 0
    logits, _ = model(np.random.default_rng(1).random((2, 24, 24), np.float32), full(2, 24, 24))
    expected = model.class_embed(model.decoder.norm.bias.data[None]).numpy()
    np.testing.assert_allclose(logits.numpy(), np.broadcast_to(expected, logits.shape), rtol=1e-5)


def test_the_encoder_knows_where_a_feature_is() -> None:
    """Features in reverse order give another memory than the reversed one; without positions they would not."""
    model, features = (
        lively(detr.DETR(TINY, rng=np.random.default_rng(0))),
        np.random.default_rng(1).normal(size=(1, 8, 6, 6)),
    )

    def memory(features: np.ndarray) -> Any:
        model.backbone.forward = lambda x, mask: features.astype(np.float32)
        return model.encode(np.zeros((1, 24, 24), np.float32), full(1, 24, 24))[0].numpy()

    assert np.abs(memory(features)[:, ::-1] - memory(features[..., ::-1, ::-1])).max() > 1e-2


def test_every_decoder_layer_is_judged() -> None:
    """The gradient reaches the heads from each layer: without the last layer's loss the first still learns."""
    model = detr.DETR(TINY, rng=np.random.default_rng(0))
    drawn = draw_scenes(DIGITS, TINY, range(2))
    logits, boxes = model(drawn.images, drawn.mask)
    criterion(logits[:1], boxes[:1], relative(drawn))[0].backward()
    first, last = model.decoder.layers
    assert first.linear1.weight.grad.any()
    assert last.linear1.weight.grad is None or not last.linear1.weight.grad.any()


def test_attention_maps_are_distributions_over_what_is_no_padding() -> None:
    model = lively(detr.DETR(TINY, rng=np.random.default_rng(0)))
    mask = full(2, 24, 24)
    mask[1, 16:] = False
    maps = model.attention_maps(np.random.default_rng(1).random((2, 24, 24), np.float32), mask)
    assert maps.shape == (2, 4, 6, 6)
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1, rtol=1e-5)
    assert not maps[1, :, 4:].any() and maps[1, :, :4].all()


@pytest.mark.parametrize("pre_norm", [False, True])
def test_attention_maps_are_those_of_the_forward_pass(pre_norm: bool) -> None:
    model = lively(detr.DETR(replace(TINY, heads=1, pre_norm=pre_norm), rng=np.random.default_rng(0)))
    images, mask = np.random.default_rng(1).random((2, 24, 24), np.float32), full(2, 24, 24)
    seen: list[Any] = []
    attention = [*model.decoder.layers][-1].multihead_attn
    attend = attention.attend
    attention.attend = lambda q, k, v, mask: (seen.append((q, k)), attend(q, k, v, mask))[1]
    model(images, mask)
    q, k = (x.numpy()[:, 0] for x in seen[0])
    scores = np.exp(q @ k.mT / math.sqrt(q.shape[-1]))
    expected = scores / scores.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(model.attention_maps(images, mask).reshape(2, 4, -1), expected, rtol=1e-3, atol=1e-5)


# ------------------------------------------------------------------------------------------------------- the backbone


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("pool", [False, True])
def test_features_lie_a_stride_apart(block: str, pool: bool) -> None:
    config = resnet.ResNetConfig(widths=(8, 12, 16), depths=(1, 2, 1), block=block, pool=pool, stem_size=7)
    assert config.stride == (16 if pool else 8)
    y = resnet.ResNet(config, rng=np.random.default_rng(0))(np.zeros((2, 1, 33, 48), np.float32))
    assert y.shape == (2, 16, -(-33 // config.stride), 48 // config.stride)


def test_resnet_50_has_its_number_of_parameters() -> None:
    """25,557,032 in all (torchvision's documentation), of which 2048 x 1000 + 1000 are the classifier's."""
    config = resnet.ResNetConfig(3, 64, 7, 2, True, (256, 512, 1024, 2048), (3, 4, 6, 3), "bottleneck")
    model = resnet.ResNet(config, rng=np.random.default_rng(0))
    assert sum(p.size for p in model.parameters()) == 25_557_032 - 2_049_000


def test_frozen_normalisation_is_state_that_does_not_learn() -> None:
    model = resnet.ResNet(resnet.ResNetConfig(frozen=True), rng=np.random.default_rng(0))
    assert not [name for name, _ in model.named_parameters() if "bn" in name]
    names = [name for name in model.state_dict() if name.startswith("bn1")]
    assert names == ["bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"]
    x = np.random.default_rng(1).random((2, 1, 8, 8), np.float32)
    one = model(x).numpy()
    np.testing.assert_array_equal(one, model.eval()(x).numpy())
    model.bn1.bias += 1
    assert not np.allclose(one, model(x).numpy())


def test_an_unknown_block_is_named() -> None:
    with pytest.raises(ValueError, match="no block is called 'bottle'; there are basic, bottleneck"):
        resnet.ResNet(resnet.ResNetConfig(block="bottle"), rng=np.random.default_rng(0))


# -------------------------------------------------------------------------------------------------- the classical way


def test_connected_pixels_are_boxed_and_small_things_passed_over() -> None:
    image = np.zeros((20, 20), np.float32)
    image[2:9, 3:7] = 1
    image[np.arange(10, 17), np.arange(10, 17)] = 1  # a diagonal hangs together
    image[12:15, 2:5] = 1
    np.testing.assert_array_equal(connected(image), [[3, 2, 7, 9], [10, 10, 17, 17]])


def test_training_digits_are_nearest_to_themselves() -> None:
    clean = replace(TINY, digit=(16, 16), fragments=0, noise=0.0, touching=0.0)
    drawn = draw_scenes(DIGITS, clean, range(60))
    classify = nearest_digit(DIGITS)
    found = [classify(i, o.boxes) for i, o in zip(drawn.images, drawn.objects, strict=True)]
    assert detection_metrics(found, drawn.objects, 10)["mAP"] > 0.9
    assert len(classify(drawn.images[0], np.zeros((0, 4)))) == 0


# --------------------------------------------------------------------------------------------------------- it learns


def test_found_boxes_are_in_pixels_of_the_picture_without_its_padding() -> None:
    task = DETRDetection(TINY, DIGITS, rng=np.random.default_rng(0))
    task.model.class_embed.bias.data[-1] = 3  # most say "no object"
    task.learner.ema.load_state_dict(task.model.state_dict())
    drawn = draw_scenes(DIGITS, TINY, range(3))
    found = task.predictions(drawn)
    with task.learner.ema_weights() as model:
        logits, boxes = (y.numpy()[-1] for y in model(drawn.images, drawn.mask))
    for i, objects in enumerate(found):
        height, width = drawn.mask[i].any(axis=1).sum(), drawn.mask[i].any(axis=0).sum()
        cx, cy, w, h = boxes[i].T
        expected = np.stack(
            [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height], 1
        )
        np.testing.assert_allclose(objects.boxes, expected, rtol=1e-4, atol=1e-4)
        p = np.exp(logits[i].astype(float))
        p /= p.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(objects.scores, p[:, :-1].max(axis=1), rtol=1e-4)
        np.testing.assert_array_equal(objects.labels, p[:, :-1].argmax(axis=1))


def test_relative_boxes_are_in_units_of_the_picture_without_its_padding() -> None:
    drawn = draw_scenes(DIGITS, TINY, range(8))
    assert len(np.unique(drawn.sizes)) > 2
    for objects, mask, asked in zip(drawn.objects, drawn.mask, relative(drawn), strict=True):
        height, width = mask.any(axis=1).sum(), mask.any(axis=0).sum()
        np.testing.assert_array_equal(asked.labels, objects.labels)
        for (left, top, right, bottom), box in zip(objects.boxes, asked.boxes, strict=True):
            expected = (
                (left + right) / 2 / width,
                (top + bottom) / 2 / height,
                (right - left) / width,
                (bottom - top) / height,
            )
            np.testing.assert_allclose(box, expected)


@pytest.mark.slow
def test_eight_scenes_are_learnt_by_heart() -> None:
    config = replace(
        PRESETS["digits"], canvas=32, smallest=24, digits=3, queries=8, steps=1000, batch=8, average=0.98
    )
    task: Any = DETRDetection(config, DIGITS, rng=np.random.default_rng(0))
    drawn = draw_scenes(DIGITS, config, range(8))
    task.batches = iter(lambda: drawn, None)
    for step in range(config.steps):
        task.step(step)
    found: list[Objects] = task.predictions(drawn)
    assert detection_metrics(found, drawn.objects, 10)["AP50"] == 1
