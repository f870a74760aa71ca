"""How good are generated pictures, measured against real ones?

No single number suffices, so they stand side by side, and beside what real pictures score against real pictures:

- FD, the Fréchet distance between classifier features (Heusel et al. 2017): sees blur and lost classes;
- IS, the inception score (Salimans et al. 2016): sees unsure and unbalanced classes, never looks at real pictures;
- 1-NN, the leave-one-out two-sample accuracy (Lopez-Paz & Oquab 2017): sees a wrong texture, forgives lost classes,
  and is read with its two halves, because noise far from all pictures can score a perfect .5;
- NDB, the number of statistically different bins (Richardson & Weiss 2018): sees lost modes;
- TV, the total variation between the class frequencies: sees lost classes and says how much was lost;
- TSTR, train on synthetic, test on real (Esteban et al. 2017): sees whether the pictures teach what real ones do;
- the distance to the nearest training picture: sees memorisation, which every number above rewards.

The features come from a small frozen classifier (`Evaluator`), so FD and IS compare only under the same evaluator.
Pictures are arrays in [0, 1] with shape (N, ...); every distance between pictures is Euclidean over their pixels.
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

Sampler = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]


# --- the frozen evaluator


class NoEvaluator(ValueError):
    """Generated pictures of this data set are not measured."""


@dataclass(frozen=True)
class Evaluator:
    """A small frozen classifier: linear layers with a ReLU between them, pixels -> ... -> 64 features -> classes.

    Weights have PyTorch's layout (out, in). The features are those after the last ReLU, just before the classes,
    as FID takes them from Inception's last layer but one (Heusel et al. 2017).
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    @classmethod
    def from_state(cls, state: Mapping[str, np.ndarray]) -> Evaluator:
        """Build from the state dictionary of a `Sequential(Linear, ReLU, ..., Linear)`: `0.weight`, `0.bias`, ..."""
        names = sorted({key.rpartition(".")[0] for key in state}, key=lambda name: (len(name), name))
        keys = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
        if len(names) < 2 or not all(name.isdigit() for name in names) or set(keys) != set(state):
            raise KeyError(
                "an evaluator's state has a weight and a bias for each of two or more numbered layers (0.weight, "
                f"0.bias, 2.weight, ...), this one has: {', '.join(sorted(state)) or 'nothing'}"
            )
        return cls(tuple(np.asarray(state[k]) for k in keys[::2]), tuple(np.asarray(state[k]) for k in keys[1::2]))

    @classmethod
    def load(cls, name: str) -> Evaluator:
        """The evaluator embedded in the package for a data set: "digits" or "mnist"."""
        folder, ending = files(__package__) / "evaluators", ".safetensors"
        if not (folder / f"{name}{ending}").is_file():
            known = [file.name.removesuffix(ending) for file in folder.iterdir()] if folder.is_dir() else []
            raise NoEvaluator(
                f"there is no frozen evaluator for {name!r}, only for {', '.join(sorted(known)) or 'nothing'}: generated "
                "pictures are measured on these, and shown in any case"
            )
        with as_file(folder / f"{name}{ending}") as path:
            return cls.from_state(load(path))

    @property
    def classes(self) -> int:
        return len(self.biases[-1])

    def features(self, images: np.ndarray) -> np.ndarray:
        """(N, ...) pictures -> (N, 64) features, all >= 0."""
        x = flatten(images).astype(self.weights[0].dtype, copy=False)
        if x.shape[1] != self.weights[0].shape[1]:
            raise ValueError(
                f"this evaluator reads {self.weights[0].shape[1]} pixels a picture, "
                f"but the pictures of shape {images.shape[1:]} have {x.shape[1]}; was it made for another data set?"
            )
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(x @ weight.T + bias, 0)
        return x

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, 64) features -> (N, classes) logits."""
        return np.asarray(features @ self.weights[-1].T + self.biases[-1])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(N, ...) pictures -> (N, classes) probabilities."""
        return np.asarray(softmax(self.logits(self.features(images)), axis=1))

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """The share of pictures whose most probable class is their label."""
        return float(np.mean(self.probabilities(images).argmax(axis=1) == labels))


# --- the metrics


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of two feature sets (N, F), (M, F).

    Heusel et al. 2017 (arXiv 1706.08500), equation 6. With covariances factored as C = R'R, the trace of the root is
    the sum of the singular values of R_a R_b': no square root of a matrix is taken, and singular covariances do no
    harm. The estimate is biased upwards, the more so the fewer the samples: compare equal counts only.
    """
    a, b = (np.asarray(features, dtype=np.float64) for features in (features_a, features_b))
    for name, x in (("features_a", a), ("features_b", b)):
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"{name} must have shape (N, F) with N >= 2 for a covariance, got {x.shape}")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"the feature sets differ in width: {a.shape[1]} and {b.shape[1]}")
    (mean_a, factor_a), (mean_b, factor_b) = gaussian_factor(a), gaussian_factor(b)
    overlap = np.linalg.norm(factor_a @ factor_b.T, ord="nuc")
    spread = np.sum(factor_a**2) + np.sum(factor_b**2)
    return max(0.0, float(np.sum((mean_a - mean_b) ** 2) + spread - 2 * overlap))


def inception_score(probabilities: np.ndarray) -> float:
    """exp(mean KL(p(y|x) || p(y))) of class probabilities (N, classes); from 1 to the number of classes.

    Salimans et al. 2016 (arXiv 1606.03498), section 4; over all samples at once, not in ten splits.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or np.any(p < 0) or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise ValueError("probabilities must have shape (N, classes), be >= 0 and sum to 1 in each row; apply softmax?")
    return float(np.exp(rel_entr(p, p.mean(axis=0)).sum(axis=1).mean()))


def one_nearest_neighbour_sides(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """The two halves of `one_nearest_neighbour_accuracy`: how often real pictures are told apart, how often fakes.

    Xu et al. 2018 (arXiv 1806.07755). Their mean alone misleads: noise far from everything has real
    pictures as its nearest, scores 1 on the real side, 0 on the fake side, and so a perfect mean of .5.
    """
    real, fake = flatten(real), flatten(fake)
    if real.shape != fake.shape:
        raise ValueError(f"1-NN needs as many real as fake pictures of one size, got {real.shape} and {fake.shape}")
    pooled = np.concatenate([real, fake])  # (2N, D)
    side = np.repeat([0.0, 1.0], len(real))
    tolerance = 8 * np.finfo(pooled.dtype).eps * float(np.einsum("nd,nd->n", pooled, pooled).max())
    votes = np.empty(len(pooled))
    for rows, distances in distance_blocks(pooled, pooled):
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = np.inf
        tied = distances <= distances.min(axis=1, keepdims=True) + tolerance
        votes[rows] = tied @ side / tied.sum(axis=1)
    return float(1 - votes[: len(real)].mean()), float(votes[len(real) :].mean())


def one_nearest_neighbour_accuracy(real: np.ndarray, fake: np.ndarray) -> float:
    """How often a picture's nearest other picture tells whether it is real or fake.

    The leave-one-out 1-NN two-sample test of Lopez-Paz & Oquab 2017 (arXiv 1610.06545): .5 where the two sets cannot
    be told apart, 1 where they are separate, near 0 where `fake` copies `real`. Neighbours that are equally near, up
    to rounding, share the vote. Both sets have the same number of pictures.
    """
    return sum(one_nearest_neighbour_sides(real, fake)) / 2


def number_of_different_bins(
    train: np.ndarray, fake: np.ndarray, bins: int | np.ndarray = 50, *, rng: np.random.Generator, significance: float = 0.05
) -> tuple[int, int]:
    """(NDB, number of bins): in how many bins the share of `fake` differs from that of `train`.

    Richardson & Weiss 2018 (arXiv 1805.12462): the bins are the k-means cells of `train`, their shares
    are compared by a two-proportion z-test. By chance alone about `significance` of the bins differ. `bins` is
    their number or, as in `np.histogram`, the bins themselves: the centres (K, D).
    """
    train, fake = flatten(train), flatten(fake)
    centres = bins if isinstance(bins, np.ndarray) else kmeans(train, bins, rng=rng)
    counts = [np.bincount(nearest(images, centres), minlength=len(centres)) for images in (train, fake)]
    pooled = (counts[0] + counts[1]) / (len(train) + len(fake))
    error = np.sqrt(pooled * (1 - pooled) * (1 / len(train) + 1 / len(fake)))
    different = np.abs(counts[0] / len(train) - counts[1] / len(fake)) > ndtri(1 - significance / 2) * error
    return int(different.sum()), len(centres)


def class_total_variation(labels_fake_predicted: np.ndarray, real_labels: np.ndarray, classes: int) -> float:
    """Half the sum of |share among fakes - share among real| over the classes; 0 is equal, 1 is disjoint."""
    shares = []
    for name, labels in (("labels_fake_predicted", labels_fake_predicted), ("real_labels", real_labels)):
        if len(labels) == 0 or np.min(labels) < 0 or np.max(labels) >= classes:
            raise ValueError(f"{name} must be one or more labels in 0..{classes - 1}")
        shares.append(np.bincount(labels, minlength=classes) / len(labels))
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def nearest_train_distance(samples: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The Euclidean distance (N,) of each sample to its nearest training picture, exactly 0 for a copy.

    Says something only beside the same distances for real test pictures: much smaller means memorised.
    """
    samples, train = flatten(samples), flatten(train)
    return np.asarray(np.linalg.norm(samples - train[nearest(samples, train)], axis=1))


def train_on_synthetic_test_on_real(
    samples: np.ndarray,
    sample_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    classes: int,
    train_classifier: Callable[[np.ndarray, np.ndarray, int], Predict] = kernel_ridge_regression,
) -> float:
    """TSTR (Esteban et al. 2017, arXiv 1706.02633): the accuracy on real pictures of a classifier that was trained
    on generated ones only. A generator without labels takes them from the frozen evaluator."""
    predict = train_classifier(samples, sample_labels, classes)
    return float(np.mean(predict(test) == test_labels))


# --- all of them, beside floor and baselines


class RealData:
    """The real side of every metric, prepared once: `count` train and test pictures, bins, features, distances."""

    def __init__(
        self, train: np.ndarray, test: np.ndarray, evaluator: Evaluator, *, count: int, rng: np.random.Generator,
        train_labels: np.ndarray, test_labels: np.ndarray, bins: int = 50,
    ) -> None:  # fmt: skip
        self.evaluator, self.rng, self.count = evaluator, rng, min(count, len(train), len(test))
        self.train, self.train_labels = _checked("train", train, train_labels)
        self.test, self.test_labels = self.draw("test", test, test_labels)
        self.test_features = evaluator.features(self.test)
        self.centres = kmeans(self.train, min(bins, len(train)), rng=rng)
        self.near = float(np.quantile(nearest_train_distance(self.test, self.train), 0.01))

    def draw(self, name: str, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`count` of the pictures with their labels, without repetition."""
        images, labels = _checked(name, images, labels)
        if len(images) < self.count:
            raise ValueError(f"the comparison takes {self.count} pictures of each kind, {name} has {len(images)}")
        chosen = self.rng.permutation(len(images))[: self.count]
        return images[chosen], labels[chosen]

    def against_test(self, samples: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """The metrics that compare samples with test pictures."""
        features, classes = self.evaluator.features(samples), self.evaluator.classes
        logits = self.evaluator.logits(features)
        on_real, on_fake = one_nearest_neighbour_sides(self.test, samples)
        return {
            "FD": frechet_distance(features, self.test_features),
            "IS": inception_score(softmax(logits.astype(np.float64), axis=1)),
            "1-NN": (on_real + on_fake) / 2,
            "1-NN real": on_real,
            "1-NN fake": on_fake,
            "TV": class_total_variation(logits.argmax(axis=1), self.test_labels, classes),
            "TSTR": train_on_synthetic_test_on_real(samples, labels, self.test, self.test_labels, classes),
        }

    def against_train(self, samples: np.ndarray) -> dict[str, float]:
        """The metrics that compare samples with training pictures."""
        distances = nearest_train_distance(samples, self.train)
        return {
            "NDB": number_of_different_bins(self.train, samples, self.centres, rng=self.rng)[0],
            "nearest train": float(np.median(distances)),
            "near copies": float(np.mean(distances < self.near)),
        }

    def score(self, samples: np.ndarray, labels: np.ndarray | None = None) -> dict[str, float]:
        """Every metric for generated pictures."""
        if labels is None:
            labels = self.evaluator.probabilities(samples).argmax(axis=1)
        samples, labels = self.draw("samples", samples, labels)
        return {**self.against_test(samples, labels), **self.against_train(samples)}

    def floor(self) -> dict[str, float]:
        """Every metric for real pictures: train against test, and test pictures where train is the yardstick."""
        samples, labels = self.draw("train", self.train, self.train_labels)
        return {**self.against_test(samples, labels), **self.against_train(self.test)}


def evaluate(
    samples: np.ndarray, train: np.ndarray, test: np.ndarray, evaluator: Evaluator, *, rng: np.random.Generator,
    train_labels: np.ndarray, test_labels: np.ndarray, sample_labels: np.ndarray | None = None,
) -> dict[str, float]:  # fmt: skip
    """Every metric for generated pictures, with as many of samples and test pictures as there are of both.

    FD, IS, 1-NN, TV and TSTR compare with `test`; NDB, "nearest train" (the median distance to the nearest training
    picture) and "near copies" (the share of samples nearer to one than 99 % of test pictures are) with `train`.
    """
    real = RealData(
        train, test, evaluator, count=len(samples), rng=rng, train_labels=train_labels, test_labels=test_labels
    )
    return real.score(samples, sample_labels)


def report(
    samples: np.ndarray, train: np.ndarray, test: np.ndarray, evaluator: Evaluator, *, baselines: Mapping[str, Sampler],
    rng: np.random.Generator, train_labels: np.ndarray, test_labels: np.ndarray, sample_labels: np.ndarray | None = None,
    observe: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """`evaluate` for the generator, the real-against-real floor and each baseline: rows that share test set and bins.

    `baselines` maps names to samplers, as `baselines.BASELINES` does; `observe` is called after each of them.
    """
    real = RealData(
        train, test, evaluator, count=len(samples), rng=rng, train_labels=train_labels, test_labels=test_labels
    )
    rows = [{"name": "generator", **real.score(samples, sample_labels)}, {"name": "real", **real.floor()}]
    for name, sampler in baselines.items():
        rows.append({"name": name, **real.score(sampler(real.train, real.train_labels, real.count, rng))})
        observe()
    return rows


def format_report(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `report` as a Markdown table."""

    def cell(value: Any) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cell(row.get(name, "")) for name in rows[0]) + " |" for row in rows])


def _checked(name: str, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`images` and `labels`, after a check that the images are finite, in [0, 1], and as many as the labels."""
    labels = np.asarray(labels)
    if len(images) != len(labels):
        raise ValueError(f"{name} has {len(images)} pictures but {len(labels)} labels")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"{name} must be finite and in [0, 1], but the range is [{images.min():.4g}, {images.max():.4g}]; "
            "divide 8-bit pictures by 255, clip a generator's output"
        )
    return images, labels
