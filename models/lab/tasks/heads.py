"""Training talking heads, fine-tuning them to people never seen, and judging who they are.

The people of a data set are split by a seed of their own: most for meta-learning, some for choosing
settings (validation), some for the test. An outline is that of `poses`. In training, and in
fine-tuning too, images are moved, scaled, turned and, all of one person alike, mirrored, stretched,
darkened or lightened: it makes more people, and more poses, of few.

Deviations from the paper, on purpose: an exponential moving average of the generator's weights; the
K pictures of a person are few or many by chance in each step, so that one network serves each K.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import data, optim, parallel

from ...config import Config, Fraction, NonNegative, Steps
from ...generative.gan import discriminator_loss, generator_loss
from ...generative.talking_heads import (
    HeadDiscriminator,
    PersonalDiscriminator,
    PersonalHead,
    TalkingHeads,
    TalkingHeadsConfig,
    feature_matching_loss,
    match_loss,
)
from ..evaluation.heads import Episode, Faces, Judge, channels_first, channels_last, grey, moved
from ..evaluation.identity import IdentityFeatures
from ..evaluation.poses import average_face, compose, inverse, outlines, pose, pose_distances
from ..progress import progress_bar
from ..report.images import grid, write_png
from ..task import GeneratedBatches
from .gan import AdversarialTask, AdversarialTraining
from .images import ImageSettings, Remembered

PEOPLE = 3  # in a data set at least: one for each part
MOST = 10  # images of a person are used in judging
SHOTS = (1, 4)  # images of a person never seen, in judging
SHOWN = 3  # people on a page
POSES = 6  # in which each is drawn there


@dataclass(frozen=True)
class HeadsTraining(AdversarialTraining):
    """How talking heads are trained, and fine-tuned to a person."""

    steps: Steps = 1500
    batch_size: Annotated[int, 2, 10**6] = 8  # people of an update
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    ema_decay: Fraction = 0.99
    instance_noise: float = 0.0  # standard deviation at the start; falls to 0 over the run
    shots: int = 4  # K, images of a person that are embedded, at most
    lambda_content: float = 20.0  # weight of the mean absolute difference of pixels
    lambda_adv: float = 0.1  # weight of the discriminator's verdict
    lambda_fm: float = 1.0  # weight of its features' difference
    lambda_match: float = 0.1  # weight of |e - W|
    shift: float = 0.1  # of half an image, by which images are moved at most
    scaling: float = 0.1  # log factor by which they are scaled at most
    rotation: float = 10.0  # degrees by which they are turned at most
    stretch: float = 0.1  # log factor by which a person is made broader at most
    tone: float = 0.3  # log exponent that makes a person darker or lighter at most
    flip: bool = True  # half of the people are mirrored
    fine_tuning_steps: NonNegative = 60  # for a person never seen
    fine_tuning_batch: int = 8  # images of one of these
    fine_tuning_lr: float = 5e-4  # Adam's learning rate in these


@dataclass(frozen=True)
class HeadsData(Config):
    """Who is learned from, and who is judged."""

    test_people: Fraction = 0.25  # share of the people
    validation_people: Fraction = 0.1  # share of the people
    split_seed: NonNegative = 0  # of the random order in which people are split
    judged: Annotated[str, "test", "validation"] = "test"  # whom `eval` draws and judges
    draws: int = 1  # so many times the given images of each are chosen


@dataclass(frozen=True)
class HeadsSettings(ImageSettings):
    """Talking heads, their training, and the people."""

    model: TalkingHeadsConfig = field(default_factory=TalkingHeadsConfig)
    training: HeadsTraining = field(default_factory=HeadsTraining)
    data: HeadsData = field(default_factory=HeadsData)

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        if self.model.num_labels < PEOPLE:
            people = f"model.num_labels={self.model.num_labels}: there are at least {PEOPLE} people"
            raise ValueError(f"{people}, to learn from, to choose settings by, and to be judged")


@dataclass(frozen=True)
class HeadsSampling(Config):
    """How heads are drawn."""

    given: str = ""  # a folder of images of one person; without it, people of the last batch
    shots: int = 4  # images of this person that are given, at most; the others lend their poses


PRESETS = {
    "tiny": HeadsSettings(
        TalkingHeadsConfig(
            embedding_dim=4,
            embedder_channels=(4, 4),
            generator_channels=(4, 4),
            num_residual_blocks=1,
            discriminator_channels=(4, 4),
        ),
        HeadsTraining(steps=200, batch_size=4, fine_tuning_steps=2, shots=2),
    ),
    "faces": HeadsSettings(TalkingHeadsConfig(image_size=(32, 32))),
}


def split_people(config: HeadsData, people: int) -> dict[str, np.ndarray]:
    """The numbers of those for training, validation and test; at least one in each."""
    order = np.random.default_rng(config.split_seed).permutation(people)
    test = min(people - 2, max(1, round(config.test_people * people)))
    rest = people - test
    validation = min(rest - 1, max(1, round(config.validation_people * people)))
    parts = np.split(order, [test, test + validation])
    return dict(zip(("test", "validation", "training"), parts, strict=True))


class HeadsTask(AdversarialTask):
    """The training of talking heads. It needs people: --data folder:PATH, a subfolder for each.

    Other images with classes, such as digits, serve trying it out: a class stands for a person.
    """

    presets = PRESETS
    title = "Talking heads"
    options: ClassVar = HeadsSampling()
    memory = ("seen",)
    plots: ClassVar = {
        "losses": ("generator loss", "discriminator loss"),
        "content": ("L1",),
        "match": ("match",),
        "accuracy": ("accuracy on real", "accuracy on fake"),
    }
    metrics_help = (
        "People that training has not seen are drawn in the poses of their other images, from 1 or "
        "from 4 that are given. identity: the share of which the nearest real image, of all people "
        "of the data, without those that are given and the one that is drawn, is of the same "
        "person. pose: how far its outline lies from the one that was asked for, in pixels. SSIM: "
        "structural similarity to the real image in this pose. Baselines: not fine-tuned; the "
        "given image whose pose is nearest, as it is, and moved, turned and scaled into the pose; "
        "the outlines alone, identified by the "
        "nearest outline; the real images themselves. “in others' poses”: the outlines are those "
        "of other people, and cannot tell who it is."
    )

    settings: HeadsSettings
    generator: TalkingHeads
    discriminator: HeadDiscriminator

    def __init__(self, settings: HeadsSettings, training: Any, *, rng: np.random.Generator) -> None:
        model = TalkingHeads(settings.model, rng=rng)
        discriminator = HeadDiscriminator(settings.model, rng=rng)
        super().__init__(model, discriminator, settings, None, rng=rng)
        H, W = settings.model.image_size
        self.seen = Remembered(
            face=np.zeros((H, W), np.float32),
            images=np.zeros((0, 0), np.float32),
            poses=np.zeros((0, 0), np.float32),
        )
        self.parts["seen"] = self.seen
        self.split = split_people(settings.data, settings.model.num_labels)
        if training is not None:
            self.batches = GeneratedBatches()
            self.learn_from(training)

    def learn_from(self, training: Any) -> None:
        """Take the images of those who are for training, and the average face."""
        mine = np.isin(training.labels, self.split["training"])
        images = channels_first(training.images[mine])
        if not len(images):
            raise ValueError(f"{training.name} has no images of those who are for training")
        self.seen.arrays["face"] = average_face(grey(images)).astype(np.float32)
        self.faces = self.recognised(images, np.asarray(training.labels)[mine])
        numbers, counts = np.unique(self.faces.people, return_counts=True)
        self.people = numbers[counts > 1]
        if not len(self.people):
            raise ValueError(
                f"{training.name} has one image of each person; talking heads need several "
                "(--data folder:PATH, a subfolder for each person)"
            )

    def recognised(self, images: np.ndarray, people: np.ndarray) -> Faces:
        """Images (N, C, H, W) of people with their poses."""
        return Faces.recognised(images, people, self.seen.arrays["face"])

    # ------------------------------------------------------------------------------ training

    def next_batch(self) -> tuple[np.ndarray, ...]:
        """Images to draw, their outlines, their people, K others of each, and their outlines."""
        config = self.settings.training
        people = self.rng.choice(self.people, config.batch_size)
        shots = int(self.rng.integers(1, config.shots + 1))
        rows = [self.some(person, shots + 1) for person in people.tolist()]
        places = np.stack(rows)  # (B, K + 1)
        episodes = self.varied(self.faces.at(places.reshape(-1)), shots + 1)
        size = self.settings.model.image_size
        lines = outlines(episodes.poses, size).reshape(*places.shape, *size)
        images = episodes.images.reshape(*places.shape, *episodes.images.shape[1:])
        self.seen.arrays["images"] = images
        self.seen.arrays["poses"] = episodes.poses.reshape(*places.shape, 2, 3)
        return images[:, 0], lines[:, 0], people, images[:, 1:], lines[:, 1:]

    def some(self, person: int, count: int) -> np.ndarray:
        """Places of images of a person: each once, as far as there are enough."""
        mine = np.flatnonzero(self.faces.people == person)
        return np.resize(self.rng.permutation(mine), count)

    def varied(self, faces: Faces, together: int) -> Faces:
        """Faces that are moved, and each `together` of them mirrored, stretched and toned alike."""
        config, rng, count = self.settings.training, self.rng, len(faces.images)
        changes = rng.uniform(-1, 1, (count, 4))
        form = rng.uniform(-1, 1, (count // together, 2)) * [config.stretch, config.tone]
        mirrored = config.flip & (rng.random(count // together) < 0.5)
        aspects, tone = form.repeat(together, axis=0).T
        maps = movements(config, changes, aspects)
        maps[mirrored.repeat(together), 1] *= -1
        images = moved(faces.images, maps) ** np.exp(tone)[:, None, None, None]
        return Faces(images.astype(np.float32), compose(maps, faces.poses), faces.people)

    def step(self, step: int) -> dict[str, float]:
        """One update of the discriminator, then one of embedder and generator."""
        batch = self.next_batch()
        real, lines, people, given, given_lines = map(parallel.team().shard, batch)
        embeddings = self.generator.embed(given, given_lines)
        fake = self.generator.draw(lines, embeddings)
        noise = self.noise_level(step)
        metrics = self.discriminator_step(real, fake.numpy(), (lines, people), noise)
        self.discriminator.requires_grad_(False)
        vectors = self.discriminator.vectors(people)
        score = self.discriminator.score
        loss, more = self.objective(
            real, fake, lines, self.discriminator, lambda features: score(features, vectors)
        )
        match = match_loss(embeddings, self.discriminator.people(people).numpy())
        self.discriminator.requires_grad_(True)
        self.improve_generator(loss + self.settings.training.lambda_match * match)
        return metrics | more | {"match": match.item()}

    def objective(
        self,
        real: np.ndarray,
        fake: Any,
        lines: np.ndarray,
        discriminator: Any,
        score: Callable[[list[Any]], Any],
    ) -> tuple[Any, dict[str, float]]:
        """L_CNT + L_ADV: what a generator lowers, and what the log shows of it."""
        config = self.settings.training
        content = np.abs(fake - real).mean()
        loss = config.lambda_content * content
        features = discriminator.features(fake, lines)
        loss = loss + config.lambda_adv * generator_loss(score(features), self.settings.model.loss)
        with tg.no_grad():
            wanted = discriminator.features(tg.Tensor(real), lines)
        loss = loss + config.lambda_fm * feature_matching_loss(wanted, features)
        return loss, {"generator loss": loss.item(), "L1": content.item()}

    # --------------------------------------------------------------------------- fine-tuning

    def fine_tuned(self, given: Faces, rng: np.random.Generator) -> PersonalHead:
        """The generator of a person of whom some images are given."""
        config, size = self.settings.training, self.settings.model.image_size
        lines = outlines(given.poses, size)
        with self.ema.applied():
            e = self.generator.embedding_of(given.images, lines)
            head = PersonalHead(self.generator, e)
        critic = PersonalDiscriminator(self.discriminator, e)
        lr, betas = config.fine_tuning_lr, config.betas
        generator_optimizer = optim.Adam(head.parameters(), lr, betas)
        critic_optimizer = optim.Adam(critic.parameters(), lr, betas)
        for _ in range(config.fine_tuning_steps):
            places = rng.integers(len(given.images), size=config.fine_tuning_batch)
            some = given.at(places)
            changes = rng.uniform(-1, 1, (len(places), 4))
            maps = movements(config, changes, np.zeros(len(places)))
            images = moved(some.images, maps)
            lines = outlines(compose(maps, some.poses), size)
            fake = head(lines)
            loss = discriminator_loss(
                critic(tg.Tensor(images), lines),
                critic(fake.detach(), lines),
                self.settings.model.loss,
            )
            improve(critic_optimizer, loss)
            critic.requires_grad_(False)
            loss, _ = self.objective(images, fake, lines, critic, critic.score)
            critic.requires_grad_(True)
            improve(generator_optimizer, loss)
        return head

    def drawn_at_once(self, given: Faces, poses: np.ndarray) -> np.ndarray:
        """Heads of a person of whom some images are given, without fine-tuning, (n, C, H, W)."""
        size = self.settings.model.image_size
        with self.ema.applied():
            e = self.generator.embedding_of(given.images, outlines(given.poses, size))
            head = PersonalHead(self.generator, e)
        return head.draw(outlines(poses, size))

    def sample(
        self,
        n: int,
        *,
        rng: np.random.Generator,
        given: str = "",
        shots: int = 4,
        **options: Any,
    ) -> np.ndarray:
        """n heads (n, H, W[, C]): of a person in a folder, or of people of the last batch.

        The person is fine-tuned to.
        """
        size = self.settings.model.image_size
        seen, poses = self.seen.arrays["images"], self.seen.arrays["poses"]  # (B, K + 1, ...)
        if not given:
            some = np.arange(n) % len(seen)
            with tg.no_grad(), self.ema.applied() as model:
                lines = outlines(poses.reshape(-1, 2, 3), size).reshape(*poses.shape[:2], *size)
                lines = lines[some]
                drawn = model(lines[:, 0], seen[some, 1:], lines[:, 1:]).numpy()
            return channels_last(drawn)
        images = channels_first(self.read_person(given))
        faces = self.recognised(images, np.zeros(len(images), int))
        head = self.fine_tuned(faces.at(np.arange(min(shots, len(images)))), rng)
        lent = faces.poses[shots:] if len(images) > shots else poses[:, 0]
        return channels_last(head.draw(outlines(lent[np.arange(n) % len(lent)], size)))

    def read_person(self, folder: str) -> np.ndarray:
        """The images in a folder, (N, H, W[, C]), as large as those of the model."""
        config = self.settings.model
        if len(set(config.image_size)) > 1:
            raise ValueError(f"given={folder}: this model's images are not square")
        colours: Any = "L" if config.num_channels == 1 else "RGB"
        return data.image_folder(folder, config.image_size[0], "all", mode=colours).images

    # ------------------------------------------------------------------------------- judging

    def evaluate(self, name: str, training: Any, test: Any) -> list[dict[str, Any]]:
        faces, face = self.everybody(training, test), self.seen.arrays["face"]
        known = np.isin(training.labels, self.split["training"])
        features = IdentityFeatures.fit(training.images[known], training.labels[known])
        episodes = self.episodes(faces)
        rng = np.random.default_rng(2)
        rows = []
        with progress_bar(sum(map(len, episodes.values())), "fine-tuning", passing=True) as bar:
            for shots, some in episodes.items():
                judge = Judge(faces, features, face, some)
                table = self.rows_of(judge, some, rng, bar.update)
                rows += [{"name": f"{what}, {shots} given"} | row for what, row in table.items()]
        return rows

    def everybody(self, training: Any, test: Any) -> Faces:
        """Everyone's images, at most `MOST` of each, with their poses."""
        images = channels_first(np.concatenate([training.images, test.images]))
        people = np.concatenate([training.labels, test.labels])
        places = [np.flatnonzero(people == person)[-MOST:] for person in np.unique(people)]
        some = np.concatenate(places)
        return self.recognised(images[some], people[some])

    def episodes(self, faces: Faces) -> dict[int, list[Episode]]:
        """For each number of given images: whom to draw, from which ones, in which poses."""
        config, rng = self.settings.data, np.random.default_rng(1)
        found: dict[int, list[Episode]] = {}
        for shots in SHOTS:
            for _ in range(config.draws):
                for person in self.split[config.judged]:
                    mine = rng.permutation(np.flatnonzero(faces.people == person))
                    if len(mine) > shots + 1:  # one to draw, and one to know the person by
                        episode = Episode(mine[:shots], mine[shots:])
                        found.setdefault(shots, []).append(episode)
        if not found:
            raise ValueError("nobody who is judged has three images: one to give, one to draw")
        return found

    def rows_of(
        self,
        judge: Judge,
        episodes: list[Episode],
        rng: np.random.Generator,
        observe: Callable[[], object],
    ) -> dict[str, dict[str, float]]:
        """What is measured of heads, and of what stands beside them."""
        faces, size = judge.faces, self.settings.model.image_size
        tuned, plain, strange, copies, shoved, lent = [], [], [], [], [], []
        for given, asked in episodes:
            person, poses = faces.at(given), faces.poses[asked]
            others = np.flatnonzero(faces.people != person.people[0])
            other = faces.poses[rng.choice(others, len(asked))]
            head = self.fine_tuned(person, rng)
            tuned.append(head.draw(outlines(poses, size)))
            strange.append(head.draw(outlines(other, size)))
            plain.append(self.drawn_at_once(person, poses))
            lent.append(other)
            distances = [pose_distances(own[None], poses, size) for own in person.poses]
            nearest = person.at(np.argmin(distances, axis=0))
            copies.append(nearest.images)
            shoved.append(moved(nearest.images, compose(poses, inverse(nearest.poses))))
            observe()
        in_others = np.concatenate(strange)
        return {
            "heads": judge.judge(np.concatenate(tuned)),
            "not fine-tuned": judge.judge(np.concatenate(plain)),
            "in others' poses": {
                "identity": judge.identity(in_others),
                "pose": judge.pose(in_others, np.concatenate(lent)),
            },
            "nearest given image": judge.judge(np.concatenate(copies)),
            "the same, moved": judge.judge(np.concatenate(shoved)),
            "outlines alone": {"identity": judge.identity_by_outlines()},
            "real images": judge.judge(faces.images[judge.asked]),
        }

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        faces, size = self.everybody(training, test), self.settings.model.image_size
        episodes = self.episodes(faces)
        shots = max(episodes)
        rng, rows = np.random.default_rng(3), []
        for given, asked in episodes[shots][:SHOWN]:
            person, places = faces.at(given), np.resize(asked, POSES)
            poses = faces.poses[places]
            lines = outlines(poses, size)[:, None]
            head = self.fine_tuned(person, rng)
            rows += [
                person.images[np.arange(POSES) % shots],
                np.broadcast_to(lines, (POSES, *person.images.shape[1:])),
                self.drawn_at_once(person, poses),
                head.draw(lines[:, 0]),
                faces.images[places],
            ]
        sheet = channels_last(np.concatenate(rows))
        write_png(folder / "heads.png", grid(sheet, POSES))
        caption = (
            f"People never seen. Of each, five rows: the images that are given ({shots}, again and "
            "again), the outlines of other images, drawn from these without and with fine-tuning, and "
            "the real images in these poses"
        )
        return [("heads.png", caption)]


def movements(config: HeadsTraining, changes: np.ndarray, aspects: np.ndarray) -> np.ndarray:
    """Maps (N, 2, 3) by `changes` (N, 4), from -1 to 1 of what is allowed, and by aspects (N,)."""
    limits = [config.shift, config.shift, config.scaling, np.radians(config.rotation)]
    down, across, scale, tilt = (changes * limits).T
    every = zip(down, across, scale, aspects, tilt, strict=True)
    return np.stack([pose(*values) for values in every])


def improve(optimizer: optim.Optimizer, loss: Any) -> None:
    """One step downhill from a loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
