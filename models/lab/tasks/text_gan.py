"""Training a GAN to draw what a caption says, and letting a detector judge what it draws.

Deviations from the paper, on purpose: those of the other GANs here, instance noise and a moving
average of G's weights. Half of the wrong captions differ from the right one in one thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np

import tinygrad_cv as tg

from ...config import Config, Steps
from ...generative.gan import discriminator_loss
from ...generative.text_gan import (
    GROUP,
    TextDiscriminator,
    TextGANConfig,
    TextGenerator,
    matching_aware_loss,
    tokens_of,
)
from ..evaluation.captions import Caption, draw_caption, vocabulary
from ..evaluation.judge import Judge, text_to_image_report
from ..report.images import grid, write_png
from ..settings import Settings, check_grey
from .captions import CaptionConfig, Digits, captioned, check_canvas, draw_scene
from .gan import AdversarialTask, GANTraining

SHOWN = ("a large 3", "a 4 and a 6", "a large 3 above a small 7", "a 2 left of a 5")
SHOWN_IMAGES = 10  # of each caption


@dataclass(frozen=True)
class TextGANTraining(GANTraining):
    """How a text-to-image GAN is trained."""

    steps: Steps = 20_000
    batch_size: Annotated[int, 2, 10**6] = 64  # scenes of an update
    generator_lr: float = 5e-4
    discriminator_lr: float = 1e-3
    ema_decay: Annotated[float, 0, 1] = 0.998  # of the moving average of G's weights
    instance_noise: float = 0.1  # standard deviation at the start; falls to 0 over the run


@dataclass(frozen=True)
class TextSampling(Config):
    """What a text-to-image GAN draws."""

    caption: str = ""  # such as "a large 3 above a small 7"; without one random captions


@dataclass(frozen=True)
class TextGANSettings(Settings):
    """A text-to-image GAN, its training, and its scenes. The captions decide its words."""

    model: TextGANConfig = field(default_factory=TextGANConfig)
    training: TextGANTraining = field(default_factory=TextGANTraining)
    data: CaptionConfig = field(default_factory=CaptionConfig)

    @property
    def unused(self) -> tuple[str, ...]:
        return ("training.gradient_penalty",)

    def fitted(self, dataset: Any) -> Self:
        return replace(self, model=replace(self.model, words=" ".join(vocabulary())))

    def check(self, dataset: Any) -> None:
        check_grey(self.model, "scenes")
        check_canvas(self.data)
        canvas = (self.data.canvas, self.data.canvas)
        if self.model.image_size != canvas:
            given = f"model.image_size={self.model.image_size}"
            raise ValueError(f"{given}: scenes have data.canvas={canvas[0]}")
        size = self.training.batch_size
        if size % GROUP:
            raise ValueError(f"training.batch_size={size}: scenes come in groups of {GROUP}")
        words = vocabulary()
        if sorted(self.model.vocabulary) != sorted(words):
            raise ValueError(f"model.words: captions of scenes have the words {' '.join(words)}")


PRESETS = {
    "tiny": TextGANSettings(
        TextGANConfig(
            embedding_size=4,
            hidden_size=4,
            latent_dim=4,
            generator_units=(8,),
            generator_channels=(),
            discriminator_channels=(),
            discriminator_units=(8,),
        ),
        TextGANTraining(steps=200, batch_size=8),
        CaptionConfig(measured_captions=10),
    ),
    "digits": TextGANSettings(),
}


class TextGANTask(AdversarialTask):
    """The training of a text-to-image GAN."""

    presets = PRESETS
    title = "Text-to-image GAN"
    options: ClassVar = TextSampling()
    plots: ClassVar = {
        "losses": ("generator loss", "discriminator loss"),
        "accuracy": ("accuracy on real", "accuracy on wrong captions", "accuracy on fake"),
    }
    metrics_help = (
        "A frozen DETR, trained on other scenes, finds the digits in each image. one object, two "
        "objects: the share of captions of this kind whose digits are found, and no others; "
        "position: also where the first is from the second. count: as many digits as the caption "
        "has. sizes: besides, each size that it mentions; all: everything that it says. Pairs that "
        "training does not have stand in a row of their own. Beside them: real images of the same "
        "captions, made of test digits, which is what the detector reaches; the model's images "
        "beside other images' captions; real images of other captions."
    )

    settings: TextGANSettings

    def __init__(
        self, settings: TextGANSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        generator = TextGenerator(settings.model, rng=rng)
        discriminator = TextDiscriminator(settings.model, rng=rng)
        super().__init__(generator, discriminator, settings, None, rng=rng)
        if training is not None:
            size = settings.training.batch_size
            self.batches = captioned(training, settings.data, size, group=GROUP, rng=rng)

    def next_batch(self) -> tuple[np.ndarray, ...]:
        """Images (B, H, W), their captions and wrong ones, (B, T) each."""
        batch = next(self.batches)
        return batch.images, self.tokens(batch.captions), self.tokens(batch.wrong)

    def tokens(self, captions: Sequence[Caption]) -> np.ndarray:
        """Captions as the networks read them, (B, T)."""
        texts = [caption.text for caption in captions]
        return tokens_of(texts, self.settings.model.vocabulary)

    def fake(self, n: int, real: np.ndarray, *condition: np.ndarray) -> Any:
        right, _ = condition
        return super().fake(n, real, right)

    def discriminator_step(
        self, real: np.ndarray, fake: np.ndarray, condition: Sequence[np.ndarray], noise: float
    ) -> dict[str, float]:
        """Learn to tell real images with their captions from fakes, and from wrong captions."""
        right, wrong = map(self.discriminator.encoder, condition)
        seen = self.discriminator.features(tg.Tensor(self.blur(real, noise)))
        seen_fake = self.discriminator.features(tg.Tensor(self.blur(fake, noise)))
        match, realism = self.discriminator.match, self.discriminator.realism
        logits = match(seen, right), match(seen, wrong), match(seen_fake, right)
        loss = matching_aware_loss(*logits)
        loss = loss + discriminator_loss(realism(seen), realism(seen_fake), "non-saturating")
        self.discriminator_optimizer.zero_grad()
        loss.backward()
        self.discriminator_optimizer.step()
        matched, mismatched, faked = (values.numpy() for values in logits)
        return {
            "discriminator loss": loss.item(),
            "accuracy on real": float(np.mean(matched > 0)),
            "accuracy on wrong captions": float(np.mean(mismatched <= 0)),
            "accuracy on fake": float(np.mean(faked <= 0)),
        }

    def generator_step(
        self, real: np.ndarray, fake: Any, condition: Sequence[np.ndarray], noise: float
    ) -> dict[str, float]:
        return super().generator_step(real, fake, condition[:1], noise)

    def sample(self, n: int, *, rng: np.random.Generator, **options: Any) -> np.ndarray:
        """n images (n, H, W) in [0, 1] of a `caption`, or of those of all.

        Without one, of random captions.
        """
        if not options.get("caption"):
            options["caption"] = [draw_caption("training", rng=rng).text for _ in range(n)]
        return super().sample(n, rng=rng, **options)

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        judge = Judge.load(name)
        rng = np.random.default_rng(1)
        return self.judged(judge, test, "test", rng=rng)

    def judged(
        self, judge: Judge, source: Any, part: str, *, rng: np.random.Generator
    ) -> list[dict[str, Any]]:
        """Rows of a report on captions of familiar pairs of digits, and on pairs of a part."""
        config = self.settings.data
        digits = Digits(source)

        def drawn(caption: Caption) -> np.ndarray:
            image, _ = draw_scene(caption, digits, config, rng=rng)
            return image

        return text_to_image_report(
            self.title,
            lambda texts: self.sample(len(texts), rng=rng, caption=texts),
            drawn,
            judge,
            part,
            config.measured_captions,
            rng=rng,
        )

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        captions = [caption for caption in SHOWN for _ in range(SHOWN_IMAGES)]
        images = self.sample(len(captions), rng=np.random.default_rng(4), caption=captions)
        write_png(folder / "captions.png", grid(images, SHOWN_IMAGES))
        rows = "; ".join(SHOWN)
        return [("captions.png", f"A row for each caption: {rows}")]
