"""Losses as modules, under PyTorch's names; each is a function of `kernels`.

Classes are on the last axis: (..., C).
"""

from __future__ import annotations

import numpy as np

from .. import kernels
from ..kernels.loss import REDUCTIONS
from ..typing import Array, ArrayLike
from .checks import number, whole_number, word
from .module import Module


class Loss(Module):
    """A function of a prediction and a target: `nn.MSELoss()(prediction, target)`.

    reduction: "mean", "sum", or "none" for one loss each.
    """

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = word(self, "reduction", reduction, tuple(REDUCTIONS))

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class MSELoss(Loss):
    """The squares of the differences."""

    def forward(self, prediction: Array, target: Array) -> Array:
        return kernels.mse(prediction, target, reduction=self.reduction)


class L1Loss(Loss):
    """The differences."""

    def forward(self, prediction: Array, target: Array) -> Array:
        return kernels.l1(prediction, target, reduction=self.reduction)


class SmoothL1Loss(Loss):
    """Squares of small differences, and large differences (`kernels.smooth_l1`).

    beta: where the one becomes the other.
    """

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number(self, "beta", beta)

    def forward(self, prediction: Array, target: Array) -> Array:
        return kernels.smooth_l1(prediction, target, beta=self.beta, reduction=self.reduction)


class KLDivLoss(Loss):
    """p (log p - log q), of log q and p (`kernels.kl_div`)."""

    def forward(self, log_q: Array, p: Array) -> Array:
        return kernels.kl_div(log_q, p, reduction=self.reduction)


class CrossEntropyLoss(Loss):
    """The negative log-likelihood of labels (...), or of probabilities (..., C), given logits.

    weight: (C,) of each class, for labels.
    ignore_index: the label that counts for nothing.
    label_smoothing: how much of a label is shared by all classes.
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = whole_number(self, "ignore_index", ignore_index, least=-np.inf)
        self.label_smoothing = number(self, "label_smoothing", label_smoothing, most=1)

    def forward(self, logits: Array, target: Array) -> Array:
        if target.dtype.kind == "f":
            if self.weight is not None or self.label_smoothing:
                raise ValueError(
                    "CrossEntropyLoss: weight and label_smoothing are of labels; "
                    "put them into the probabilities"
                )
            return kernels.soft_cross_entropy(logits, target, reduction=self.reduction)
        return kernels.cross_entropy(
            logits,
            target,
            self.weight,
            label_smoothing=self.label_smoothing,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class NLLLoss(Loss):
    """The negative log-likelihood of labels (...), given logarithms of probabilities (..., C).

    weight, ignore_index: those of `CrossEntropyLoss`.
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = whole_number(self, "ignore_index", ignore_index, least=-np.inf)

    def forward(self, log_probabilities: Array, labels: np.ndarray) -> Array:
        return kernels.nll(
            log_probabilities,
            labels,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of targets t in [0, 1], given logits.

    weight: multiplies each loss; broadcast to the targets.
    pos_weight: multiplies the loss of t alone, not that of 1 - t; broadcast to the targets.
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, logits: Array, targets: Array) -> Array:
        weight = self.weight
        if self.pos_weight is not None:
            positive = self.pos_weight * targets
            both = positive + (1 - targets)  # weights of t and of 1 - t: one target, one weight
            targets = positive / both
            weight = both if weight is None else both * weight
        if weight is not None:
            weight = np.broadcast_to(weight, targets.shape)
        return kernels.bce_with_logits(logits, targets, weight, reduction=self.reduction)
