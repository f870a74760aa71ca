"""How good are generated images, measured against real ones?

No single number suffices, so they stand side by side, and beside what real images score against
real images:

- FD, the Fréchet distance between classifier features (Heusel et al. 2017): sees blur and lost
  classes;
- IS, the inception score (Salimans et al. 2016): sees unsure and unbalanced classes, never looks
  at real images;
- 1-NN, the leave-one-out two-sample accuracy (Lopez-Paz & Oquab 2017): sees a wrong texture,
  forgives lost classes, and is read with its two halves, because noise far from all images can
  score a perfect .5;
- NDB, the number of statistically different bins (Richardson & Weiss 2018): sees lost modes;
- TV, the total variation between the class frequencies: sees lost classes and how much was lost;
- TSTR, train on synthetic, test on real (Esteban et al. 2017): sees whether the images teach what
  real ones do;
- the distance to the nearest training image: sees memorisation, which every number above rewards.

The features come from a small frozen classifier (`Evaluator`), so FD and IS compare only under the
same evaluator. Images are arrays in [0, 1] with shape (N, ...); every distance between images is
Euclidean over their pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from scipy.special import ndtri, rel_entr, softmax

from tinygrad_cv.safetensors import load

from ...classical.gaussians import gaussian_factor
from ...classical.kernel_ridge import Predict, kernel_ridge_regression
from ...classical.kmeans import kmeans
from ...classical.nearest import distance_blocks, flatten, nearest

# (train_images (N, ...), train_labels (N,), n, rng) -> n images
Sampler = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]

NEAR_COPY = 0.01  # a sample is a near copy if it is nearer than this share of the test images
WEIGHTS = ".safetensors"  # what an evaluator's file ends in

# ------------------------------------------------------------------------- the frozen evaluator


class NoEvaluator(ValueError):
    """Generated images of this data set are not measured."""


@dataclass(frozen=True)
class Evaluator:
    """A small frozen classifier: linear layers, ReLUs between them.

    Its last layer but one gives 64 features, the last the classes. The features are those after the
    last ReLU, as FID takes them from Inception's last layer but one (Heusel et al. 2017). Weights
    have PyTorch's layout (out, in).
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Evaluator:
        """Build from the state dictionary of a `Sequential(Linear, ReLU, ..., Linear)`.

        Raises KeyError if the state is that of something else.
        """
        names = {key.rpartition(".")[0] for key in state}
        weights = {f"{name}.weight" for name in names}
        biases = {f"{name}.bias" for name in names}
        numbered = all(name.isdigit() for name in names)
        if len(names) < 2 or not numbered or weights | biases != set(state):
            raise KeyError(
                "an evaluator's state has a weight and a bias for each of two or more numbered "
                "layers (0.weight, 0.bias, 2.weight, ...), this one has: "
                f"{', '.join(sorted(state)) or 'nothing'}"
            )
        layers = sorted(names, key=int)
        return cls(
            weights=tuple(np.asarray(state[f"{layer}.weight"]) for layer in layers),
            biases=tuple(np.asarray(state[f"{layer}.bias"]) for layer in layers),
        )

    @classmethod
    def load(cls, name: str) -> Evaluator:
        """The evaluator embedded in the package for a data set: "digits" or "mnist".

        Raises NoEvaluator for another data set.
        """
        folder = files(__package__) / "evaluators"
        resource = folder / f"{name}{WEIGHTS}"
        if not resource.is_file():
            entries = list(folder.iterdir()) if folder.is_dir() else []
            known = sorted(entry.name.removesuffix(WEIGHTS) for entry in entries)
            raise NoEvaluator(
                f"there is no frozen evaluator for {name!r}, only for "
                f"{', '.join(known) or 'nothing'}: generated images are measured on these, and "
                "shown in any case"
            )
        with as_file(resource) as path:
            return cls.from_state(load(path))

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.biases[-1])

    def features(self, images: np.ndarray) -> np.ndarray:
        """(N, ...) images -> (N, 64) features, all >= 0.

        Raises ValueError for images of another size.
        """
        x = flatten(images).astype(self.weights[0].dtype, copy=False)
        pixels = self.weights[0].shape[1]
        if x.shape[1] != pixels:
            raise ValueError(
                f"this evaluator reads {pixels} pixels an image, but the images of shape "
                f"{images.shape[1:]} have {x.shape[1]}; was it made for another data set?"
            )
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ weight.T + bias, 0)
        return x

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, 64) features -> (N, classes) logits."""
        return np.asarray(features @ self.weights[-1].T + self.biases[-1])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(N, ...) images -> (N, classes) probabilities."""
        logits = self.logits(self.features(images))
        return np.asarray(softmax(logits, axis=1))

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """The share of images whose most probable class is their label."""
        predicted = self.probabilities(images).argmax(axis=1)
        return float(np.mean(predicted == labels))


# ---------------------------------------------------------------------------------- the metrics


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of two feature sets (N, F), (M, F).

    Heusel et al. 2017 (arXiv 1706.08500), equation 6. With covariances factored as C = R'R, the
    trace of the root is the sum of the singular values of R_a R_b': no square root of a matrix is
    taken, and singular covariances do no harm. The estimate is biased upwards, the more so the
    fewer the samples: compare equal counts only.
    """
    a = _as_features("features_a", features_a)
    b = _as_features("features_b", features_b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"the feature sets differ in width: {a.shape[1]} and {b.shape[1]}")
    mean_a, factor_a = gaussian_factor(a)
    mean_b, factor_b = gaussian_factor(b)
    gap = np.sum((mean_a - mean_b) ** 2)
    spread = np.sum(factor_a**2) + np.sum(factor_b**2)
    overlap = np.linalg.norm(factor_a @ factor_b.T, ord="nuc")
    return max(0.0, float(gap + spread - 2 * overlap))


def _as_features(name: str, x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(
            f"{name} must have shape (N, F) with N >= 2 for a covariance, got {x.shape}"
        )
    return x


def inception_score(probabilities: np.ndarray) -> float:
    """exp(mean KL(p(y|x) || p(y))) of class probabilities (N, classes): 1 to the number of classes.

    Salimans et al. 2016 (arXiv 1606.03498), section 4; over all samples at once, not in ten splits.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or np.any(p < 0) or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            "probabilities must have shape (N, classes), be >= 0 and sum to 1 in each row; "
            "apply softmax?"
        )
    divergences = rel_entr(p, p.mean(axis=0)).sum(axis=1)  # (N,)
    return float(np.exp(divergences.mean()))


def one_nearest_neighbour_sides(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """The two halves of `one_nearest_neighbour_accuracy`: on real images, and on fake ones.

    Xu et al. 2018 (arXiv 1806.07755). Their mean alone misleads: noise far from everything has real
    images as its nearest, scores 1 on the real side, 0 on the fake side, and so a perfect mean of
    .5.
    """
    real = flatten(real)
    fake = flatten(fake)
    if real.shape != fake.shape:
        raise ValueError(
            f"1-NN needs as many real as fake images of one size, got {real.shape} and {fake.shape}"
        )
    pooled = np.concatenate([real, fake])  # (2N, D)
    is_fake = np.repeat([0.0, 1.0], len(real))
    largest = float(np.einsum("nd,nd->n", pooled, pooled).max())
    tolerance = 8 * np.finfo(pooled.dtype).eps * largest
    votes = np.empty(len(pooled))  # for fake
    for rows, distances in distance_blocks(pooled, pooled):
        themselves = np.arange(rows.start, rows.stop)
        distances[np.arange(len(distances)), themselves] = np.inf
        tied = distances <= distances.min(axis=1, keepdims=True) + tolerance
        votes[rows] = tied @ is_fake / tied.sum(axis=1)
    on_real, on_fake = votes[: len(real)], votes[len(real) :]
    return float(1 - on_real.mean()), float(on_fake.mean())


def one_nearest_neighbour_accuracy(real: np.ndarray, fake: np.ndarray) -> float:
    """How often an image's nearest other image tells whether it is real or fake.

    The leave-one-out 1-NN two-sample test of Lopez-Paz & Oquab 2017 (arXiv 1610.06545): .5 where
    the two sets cannot be told apart, 1 where they are separate, near 0 where `fake` copies `real`.
    Neighbours that are equally near, up to rounding, share the vote. Both sets have the same number
    of images.
    """
    return sum(one_nearest_neighbour_sides(real, fake)) / 2


def number_of_different_bins(
    train: np.ndarray,
    fake: np.ndarray,
    bins: int | np.ndarray = 50,
    *,
    rng: np.random.Generator,
    significance: float = 0.05,
) -> tuple[int, int]:
    """(NDB, number of bins): in how many bins the share of `fake` differs from that of `train`.

    Richardson & Weiss 2018 (arXiv 1805.12462): the bins are the k-means cells of `train`, their
    shares are compared by a two-proportion z-test. By chance alone about `significance` of the bins
    differ. `bins` is their number or, as in `np.histogram`, the bins themselves: the centres
    (K, D).
    """
    train = flatten(train)
    fake = flatten(fake)
    centres = bins if isinstance(bins, np.ndarray) else kmeans(train, bins, rng=rng)
    train_counts = np.bincount(nearest(train, centres), minlength=len(centres))
    fake_counts = np.bincount(nearest(fake, centres), minlength=len(centres))
    pooled = (train_counts + fake_counts) / (len(train) + len(fake))
    error = np.sqrt(pooled * (1 - pooled) * (1 / len(train) + 1 / len(fake)))
    difference = np.abs(train_counts / len(train) - fake_counts / len(fake))
    different = difference > ndtri(1 - significance / 2) * error
    return int(different.sum()), len(centres)


def class_total_variation(predicted: np.ndarray, real_labels: np.ndarray, classes: int) -> float:
    """Half the sum of |share among fakes - share among real| over the classes.

    0 is equal, 1 is disjoint. `predicted` are the classes of the fakes.
    """
    fake_shares = _class_shares("predicted", predicted, classes)
    real_shares = _class_shares("real_labels", real_labels, classes)
    return float(np.abs(fake_shares - real_shares).sum() / 2)


def _class_shares(name: str, labels: np.ndarray, classes: int) -> np.ndarray:
    if len(labels) == 0 or np.min(labels) < 0 or np.max(labels) >= classes:
        raise ValueError(f"{name} must be one or more labels in 0..{classes - 1}")
    return np.bincount(labels, minlength=classes) / len(labels)


def nearest_train_distance(samples: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The Euclidean distance (N,) of each sample to its nearest training image.

    It is exactly 0 for a copy. It says something only beside the same distances of real test
    images: much smaller means memorised.
    """
    samples = flatten(samples)
    train = flatten(train)
    differences = samples - train[nearest(samples, train)]
    return np.asarray(np.linalg.norm(differences, axis=1))


def train_on_synthetic_test_on_real(
    samples: np.ndarray,
    sample_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    classes: int,
    train_classifier: Callable[[np.ndarray, np.ndarray, int], Predict] = kernel_ridge_regression,
) -> float:
    """TSTR: the accuracy on real images of a classifier that was trained on generated ones only.

    Esteban et al. 2017 (arXiv 1706.02633). A generator without labels takes them from the frozen
    evaluator.
    """
    predict = train_classifier(samples, sample_labels, classes)
    return float(np.mean(predict(test) == test_labels))


# -------------------------------------------------------- all of them, beside floor and baselines


class RealData:
    """The real side of every metric, prepared once.

    It holds `count` train and test images, their bins and features, and how near a sample is that
    is called a near copy.
    """

    def __init__(
        self,
        train: np.ndarray,
        test: np.ndarray,
        evaluator: Evaluator,
        *,
        count: int,
        rng: np.random.Generator,
        train_labels: np.ndarray,
        test_labels: np.ndarray,
        bins: int = 50,
    ) -> None:
        self.evaluator = evaluator
        self.rng = rng
        self.count = min(count, len(train), len(test))
        self.train, self.train_labels = _checked("train", train, train_labels)
        self.test, self.test_labels = self.draw("test", test, test_labels)
        self.test_features = evaluator.features(self.test)
        self.centres = kmeans(self.train, min(bins, len(train)), rng=rng)
        distances = nearest_train_distance(self.test, self.train)
        self.near = float(np.quantile(distances, NEAR_COPY))

    def draw(
        self,
        name: str,
        images: np.ndarray,
        labels: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """`count` of the images with their labels, without repetition."""
        images, labels = _checked(name, images, labels)
        if len(images) < self.count:
            raise ValueError(
                f"the comparison takes {self.count} images of each kind, {name} has {len(images)}"
            )
        chosen = self.rng.permutation(len(images))[: self.count]
        return images[chosen], labels[chosen]

    def against_test(self, samples: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """The metrics that compare samples with test images."""
        classes = self.evaluator.classes
        features = self.evaluator.features(samples)
        logits = self.evaluator.logits(features)
        probabilities = softmax(logits.astype(np.float64), axis=1)
        predicted = logits.argmax(axis=1)
        on_real, on_fake = one_nearest_neighbour_sides(self.test, samples)
        tstr = train_on_synthetic_test_on_real(
            samples,
            labels,
            self.test,
            self.test_labels,
            classes,
        )
        return {
            "FD": frechet_distance(features, self.test_features),
            "IS": inception_score(probabilities),
            "1-NN": (on_real + on_fake) / 2,
            "1-NN real": on_real,
            "1-NN fake": on_fake,
            "TV": class_total_variation(predicted, self.test_labels, classes),
            "TSTR": tstr,
        }

    def against_train(self, samples: np.ndarray) -> dict[str, float]:
        """The metrics that compare samples with training images."""
        ndb, _ = number_of_different_bins(self.train, samples, self.centres, rng=self.rng)
        distances = nearest_train_distance(samples, self.train)
        return {
            "NDB": ndb,
            "nearest train": float(np.median(distances)),
            "near copies": float(np.mean(distances < self.near)),
        }

    def score(self, samples: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float]:
        """Every metric of generated images."""
        if labels is None:
            labels = self.evaluator.probabilities(samples).argmax(axis=1)
        samples, labels = self.draw("samples", samples, labels)
        return self.against_test(samples, labels) | self.against_train(samples)

    def floor(self) -> dict[str, float]:
        """Every metric of real images: training against test images, and test against training
        images."""
        samples, labels = self.draw("train", self.train, self.train_labels)
        return self.against_test(samples, labels) | self.against_train(self.test)


def evaluate(
    samples: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    evaluator: Evaluator,
    *,
    rng: np.random.Generator,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
    sample_labels: np.ndarray | None = None,
) -> dict[str, float]:
    """Every metric of generated images, with as many samples as test images.

    FD, IS, 1-NN, TV and TSTR compare with `test`; NDB, "nearest train" (the median distance to the
    nearest training image) and "near copies" (the share of samples nearer to one than 99 % of test
    images are) with `train`.
    """
    real = RealData(
        train,
        test,
        evaluator,
        count=len(samples),
        rng=rng,
        train_labels=train_labels,
        test_labels=test_labels,
    )
    return real.score(samples, sample_labels)


def report(
    samples: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    evaluator: Evaluator,
    *,
    baselines: Mapping[str, Sampler],
    rng: np.random.Generator,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
    sample_labels: np.ndarray | None = None,
    observe: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:
    """`evaluate` for the generator, the real-against-real floor and each baseline.

    The rows share test set and bins. `baselines` maps names to samplers, as `baselines.BASELINES`
    does; `observe` is called after each of them.
    """
    real = RealData(
        train,
        test,
        evaluator,
        count=len(samples),
        rng=rng,
        train_labels=train_labels,
        test_labels=test_labels,
    )
    rows: list[dict[str, Any]] = [
        {"name": "generator"} | real.score(samples, sample_labels),
        {"name": "real"} | real.floor(),
    ]
    for name, sampler in baselines.items():
        drawn = sampler(real.train, real.train_labels, real.count, rng)
        rows.append({"name": name} | real.score(drawn))
        observe()
    return rows


def format_report(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `report` as a Markdown table."""
    names = list(rows[0])
    lines = [_markdown_row(names), "|---" * len(names) + "|"]
    for row in rows:
        lines.append(_markdown_row([_cell(row.get(name, "")) for name in names]))
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _checked(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels, if the images are finite, in [0, 1], and as many as the labels."""
    labels = np.asarray(labels)
    if len(images) != len(labels):
        raise ValueError(f"{name} has {len(images)} images but {len(labels)} labels")
    low = images.min()
    high = images.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"{name} must be finite and in [0, 1], but the range is [{low:.4g}, {high:.4g}]; "
            "divide 8-bit images by 255, clip a generator's output"
        )
    return images, labels
