"""Fitting support vector machines by SMO, or linear ones by their gradient, and drawing margins."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np

import tinygrad_cv as tg
from tinygrad_cv import nn

from ...classical.logistic_regression import Parameters, lbfgs
from ...classical.pca import PrincipalComponents
from ...classical.svm import (
    SVM,
    Dual,
    Kernel,
    LinearSVM,
    LinearSVMConfig,
    Machine,
    SVMConfig,
    example_costs,
    kernel_function,
    primal,
    signs,
    subgradient_step,
)
from ...config import LARGEST, Config, Steps
from ..errors import RunError
from ..report.images import grid, write_png
from ..report.plots import draw_margins
from .fitted import FittedClassifier
from .images import ImageSettings
from .logistic_regression import LBFGS_ITERATIONS

IN_PLANE = 400  # examples at most in the drawing of margins
PER_CLASS = 10  # support vectors of a class are shown

Loss = Annotated[str, "hinge", "squared"]
ClassWeight = Annotated[str, "none", "balanced"]


@dataclass(frozen=True)
class SVMTraining(Config):
    """How the dual is solved, by SMO."""

    steps: Steps = 30  # of some updates of each machine; at the optimum there are none
    updates: int = 100  # of pairs of coefficients, of each machine in a step
    C: float = 10.0  # the cost of a violated margin
    loss: Loss = "hinge"  # or squared
    class_weight: ClassWeight = "none"  # balanced: all classes cost the same, frequent or rare
    tolerance: float = 1e-3  # of the conditions at the optimum


@dataclass(frozen=True)
class SVMSettings(ImageSettings):
    """Support vector machines, and how they are fitted."""

    model: SVMConfig = field(default_factory=SVMConfig)
    training: SVMTraining = field(default_factory=SVMTraining)

    @property
    def unused(self) -> tuple[str, ...]:
        of_polynomial = "model.degree", "model.coef0"
        unused = {"polynomial": (), "rbf": of_polynomial, "linear": ("model.gamma", *of_polynomial)}
        return unused[self.model.kernel]

    def fitted(self, dataset: Any) -> Self:
        if dataset is None:
            return self
        settings = super().fitted(dataset)
        count = min(self.model.num_examples, len(dataset))
        return replace(settings, model=replace(settings.model, num_examples=count))

    def check(self, dataset: Any) -> None:
        super().check(dataset)
        asked = self.model.num_examples
        if dataset is not None and asked > len(dataset):
            raise ValueError(
                f"model.num_examples={asked}: {dataset.name} has {len(dataset)} images"
            )


PRESETS = {
    "tiny": SVMSettings(SVMConfig(num_examples=100), SVMTraining(steps=20, updates=10, C=0.1)),
    "digits": SVMSettings(SVMConfig(num_examples=LARGEST)),
    "mnist": SVMSettings(SVMConfig(image_size=(28, 28), num_examples=10_000, gamma=0.02)),
}


class Progress(nn.Module):
    """What the machines know besides their coefficients: the gradient of the dual of each."""

    gradients: np.ndarray  # (P, N)

    def __init__(self, machines: int, examples: int) -> None:
        self.register_buffer("gradients", np.zeros((machines, examples)))


class SVMTask(FittedClassifier):
    """The fitting of a machine for each pair of classes."""

    presets = PRESETS
    title = "Support vector machine"
    probabilistic = False
    plots: ClassVar = {"dual": ("dual objective",), "violation": ("violation",)}

    settings: SVMSettings
    model: SVM
    duals: list[Machine] | None = None

    def __init__(self, settings: SVMSettings, training: Any, *, rng: np.random.Generator) -> None:
        super().__init__(SVM(settings.model), settings, training, rng=rng)
        self.progress = Progress(len(self.model.pairs), settings.model.num_examples)
        self.parts["progress"] = self.progress
        if training is not None:
            chosen = np.sort(rng.permutation(len(self.x))[: settings.model.num_examples])
            self.x, self.labels = self.x[chosen], self.labels[chosen]
            self.model.examples = self.x.astype(np.float32)

    def start_from(self, other: Any) -> None:
        raise RunError(
            f"{self.title}: the optimum is the same from wherever it begins, and the examples are "
            "those of the training data; leave --start out"
        )

    def machines(self) -> list[Machine]:
        """The dual of each machine, as the parts have it."""
        if self.duals is None:
            config = self.settings.training
            self.duals = self.model.duals(
                self.labels,
                C=config.C,
                balanced=config.class_weight == "balanced",
                squared=config.loss == "squared",
            )
        for dual in self.duals:
            place = (dual.number, dual.members)
            dual.beta = self.model.coefficients[place]
            if dual.beta.any():
                dual.gradient = self.progress.gradients[place]
        return self.duals

    def step(self, step: int) -> dict[str, float]:
        """Some updates of each machine that is not at its optimum."""
        self.found = (None, None)
        config = self.settings.training
        objective = violation = 0.0
        for dual in self.machines():
            dual.improve(config.updates, config.tolerance)
            self.model.take_over(dual)
            self.progress.gradients[dual.number, dual.members] = dual.gradient
            objective += dual.objective
            violation = max(violation, dual.violation)
        return {"dual objective": objective, "violation": violation}

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Votes for the classes, (N, K)."""
        return self.model.scores(images)

    def show(self, folder: Path, training: Any, test: Any) -> list[tuple[str, str]]:
        used = self.model.support_vectors
        heaviest = []
        for label in np.unique(self.labels)[:10]:
            weights = np.abs(self.model.coefficients).max(axis=0) * (self.labels == label)
            heaviest.append(np.argsort(-weights, kind="stable")[:PER_CLASS])
        images = self.model.examples[np.concatenate(heaviest)]
        shape = self.settings.model.image_shape
        write_png(folder / "support.png", grid(images.reshape(-1, *shape), PER_CLASS))
        share = f"{len(used)} of {len(self.x)} images are support vectors"
        support = f"{share}; of each class those of the largest weight, which are hard to tell"
        return [
            ("support.png", support),
            ("margins.png", self.draw_plane(folder / "margins.png", training.classes)),
            *super().show(folder, training, test),
        ]

    def draw_plane(self, path: Path, classes: tuple[str, ...]) -> str:
        """Draw the machine of two classes in their plane of principal components; its caption."""
        counts = [np.count_nonzero(beta) for beta in self.model.coefficients]
        first, second = self.model.pairs[int(np.argmax(counts))]
        members = np.flatnonzero((self.labels == first) | (self.labels == second))[:IN_PLANE]
        pca = PrincipalComponents(self.x.shape[1], 2)
        pca.fit(self.x[members])
        x, y = pca.project(self.x[members]), np.where(self.labels[members] == first, 1, -1)
        config, k = self.settings.training, kernel_function(self.settings.model)
        costs = costs_of(self.labels[members], config)
        dual = Dual(Kernel(k, x), y, costs, squared=config.loss == "squared")
        dual.improve(20_000, config.tolerance)

        def decision(points: np.ndarray) -> np.ndarray:
            return np.asarray(k(points, x) @ dual.beta + dual.bias)

        names = (classes[first], classes[second])
        draw_margins(decision, x, y, dual.beta != 0, names, path)
        return (
            f"A machine in two dimensions: {names[0]} and {names[1]}, the pair with the most support "
            "vectors, in their first two principal components. Between the dashed lines is the "
            "margin; support vectors have a ring"
        )


def costs_of(labels: np.ndarray, config: SVMTraining | LinearSVMTraining) -> np.ndarray:
    """What a violated margin of each example costs, (N,)."""
    return example_costs(labels, config.C, balanced=config.class_weight == "balanced")


# ------------------------------------------------------------------------------------------- the primal


@dataclass(frozen=True)
class LinearSVMTraining(Config):
    """How the primal is solved: the squared hinge by L-BFGS, the hinge by subgradients."""

    steps: Steps = 30  # iterations; of L-BFGS 20 times as many
    C: float = 0.3  # the cost of a violated margin
    loss: Loss = "squared"  # or hinge, which needs thousands of steps
    class_weight: ClassWeight = "none"  # balanced: all classes cost the same, frequent or rare


@dataclass(frozen=True)
class LinearSVMSettings(ImageSettings):
    """Linear support vector machines, and how they are fitted."""

    model: LinearSVMConfig = field(default_factory=LinearSVMConfig)
    training: LinearSVMTraining = field(default_factory=LinearSVMTraining)


LINEAR_PRESETS = {
    "tiny": LinearSVMSettings(training=LinearSVMTraining(steps=50, loss="hinge")),
    "digits": LinearSVMSettings(),
    "mnist": LinearSVMSettings(LinearSVMConfig(image_size=(28, 28)), LinearSVMTraining(C=0.01)),
}


class LinearSVMTask(FittedClassifier):
    """The fitting of a linear machine for each class against all others."""

    presets = LINEAR_PRESETS
    title = "Linear support vector machine"
    probabilistic = False
    plots: ClassVar = {"primal": ("primal objective",), "accuracy": ("accuracy in training",)}

    settings: LinearSVMSettings
    model: LinearSVM

    def __init__(
        self, settings: LinearSVMSettings, training: Any, *, rng: np.random.Generator
    ) -> None:
        super().__init__(LinearSVM(settings.model), settings, training, rng=rng)
        if training is not None:
            self.costs = costs_of(self.labels, settings.training)
            self.y = signs(self.labels, settings.model.num_labels)
            self.reach = float(self.costs @ (np.sum(self.x**2, axis=1) + 1))

    @property
    def squared(self) -> bool:
        """Whether the loss is the squared hinge."""
        return self.settings.training.loss == "squared"

    def objective(self, parameters: Any) -> Any:
        """The primal, of all machines."""
        return primal(parameters, self.x, self.y, self.costs, squared=self.squared)

    def descend(self, parameters: Parameters, step: int) -> Parameters:
        """One step, by L-BFGS or along a subgradient."""
        if self.squared:
            return lbfgs(self.objective, parameters, LBFGS_ITERATIONS)
        gradient = tg.grad(self.objective)(parameters)
        return subgradient_step(parameters, gradient, step, self.reach)

    def step(self, step: int) -> dict[str, float]:
        self.found = (None, None)
        after = self.descend(self.model.parameters_as_arrays, step)
        self.model.parameters_as_arrays = after
        accuracy = self.accuracy(self.scores(self.x))
        return {
            "primal objective": float(self.objective(after)),
            "accuracy in training": accuracy,
        }

    def scores(self, images: np.ndarray) -> np.ndarray:
        """f of each class, (N, K)."""
        with tg.no_grad():
            scores: np.ndarray = self.model(tg.Tensor(images)).numpy()
        return scores
