"""The class-conditional GAN: classes reach both networks, dense and convolutional."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_cv as tg
from models.generative.cgan import (
    ConditionalGANConfig,
    ConditionalGenerator,
    ProjectionDiscriminator,
)
from models.lab.settings import changed
from models.lab.tasks.cgan import PRESETS, ConditionalGANTask
from models.lab.tasks.images import as_frequent
from tinygrad_cv import data

DIGITS = data.digits("train")
RNG = np.random.default_rng

CONFIGS = {
    "dense": ConditionalGANConfig(
        latent_dim=3, generator_sizes=(6, 5), discriminator_sizes=(7,), num_labels=4
    ),
    "convolutional": ConditionalGANConfig(
        image_size=(8, 12),
        num_channels=3,
        latent_dim=3,
        architecture="convolutional",
        generator_sizes=(6, 4),
        discriminator_sizes=(3, 5),
        num_labels=4,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_projection_is_an_inner_product_with_the_vector_of_the_class(name: str) -> None:
    """The logits of two classes differ by (e_1 - e_2) . f(x), whatever the rest is."""
    config = CONFIGS[name]
    model = ProjectionDiscriminator(config, rng=RNG(0))
    x = RNG(1).random((5, config.pixels), np.float32)
    ones, twos = np.full(5, 1), np.full(5, 2)
    difference = model(x, ones).numpy() - model(x, twos).numpy()
    images = x
    if name == "convolutional":
        images = np.moveaxis(x.reshape(5, 8, 12, 3), -1, 1)
    features = model.layers(images).numpy().reshape(5, -1)
    table = model.projection.weight.numpy()
    np.testing.assert_allclose(difference, features @ (table[1] - table[2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_class_has_its_own_scale_and_shift_and_no_other(name: str) -> None:
    model = ConditionalGenerator(CONFIGS[name], rng=RNG(0)).eval()
    z = model.draw_latents(4, RNG(1))
    labels = np.array([0, 1, 2, 3])
    before = model(tg.Tensor(z), labels).numpy()
    model.norms[1].bias.data[2] += 1
    moved = np.any(model(tg.Tensor(z), labels).numpy() != before, axis=1)
    assert moved.tolist() == [False, False, True, False]


@pytest.mark.parametrize("name", CONFIGS)
def test_samples_are_of_the_classes_that_are_asked_for(name: str) -> None:
    """A generator whose shift of class 2 alone is large draws other images for it alone."""
    config = CONFIGS[name]
    model = ConditionalGenerator(config, rng=RNG(0)).eval()
    images = model.sample(4, rng=RNG(0), label=[0, 2, 2, 1])
    assert images.shape == (4, *config.image_shape)
    model.norms[0].bias.data[2] += 5
    again = model.sample(4, rng=RNG(0), label=[0, 2, 2, 1])
    moved = np.any((again != images).reshape(4, -1), axis=1)
    assert moved.tolist() == [False, True, True, False]
    one = model.sample(3, rng=RNG(0), label=2)
    np.testing.assert_array_equal(one, model.sample(3, rng=RNG(0), label=[2, 2, 2]))
    assert set(model.draw_labels(100, -1, RNG(0)).tolist()) == {0, 1, 2, 3}


def test_wrong_settings_name_themselves() -> None:
    model = ConditionalGenerator(CONFIGS["dense"], rng=RNG(0))
    with pytest.raises(ValueError, match="label=4: the classes are 0 to 3"):
        model.sample(2, rng=RNG(0), label=4)
    odd = changed(CONFIGS["convolutional"], {"image_size": (8, 10)})
    with pytest.raises(ValueError, match="8 x 10 cannot be halved 2 times"):
        ConditionalGenerator(odd, rng=RNG(0))


@pytest.mark.parametrize("loss", ["non-saturating", "wgan-gp"])
def test_the_convolutional_one_trains_with_every_kind_of_loss(loss: str) -> None:
    words: dict[str, Any] = {
        "model.architecture": "convolutional",
        "model.generator_sizes": (4, 4),
        "model.discriminator_sizes": (4,),
        "model.loss": loss,
    }
    one = ConditionalGANTask(changed(PRESETS["tiny"], words), DIGITS, rng=RNG(0))
    parts = {"G": one.generator, "D": one.discriminator}
    before = {name: [p.data.copy() for p in part.parameters()] for name, part in parts.items()}
    assert all(np.isfinite(v) for v in one.step(0).values())
    for name, part in parts.items():
        pairs = zip(before[name], part.parameters(), strict=True)
        assert any(np.any(old != p.data) for old, p in pairs)


def test_measured_classes_are_as_frequent_as_in_training() -> None:
    classes = as_frequent(DIGITS.labels, 597)
    shares = np.bincount(classes) / 597
    np.testing.assert_allclose(shares, np.bincount(DIGITS.labels) / 1200, atol=2 / 597)
