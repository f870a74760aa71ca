"""Classification by Bayes' theorem: a generative model of each class is a classifier.

    p(class | x) = p(x | class) p(class) / p(x)
    p(x) = sum over classes of p(x | class) p(class)

Whatever has `log_prior` (C,), and `class_log_likelihoods(x)`, log p(x | class) as (N, C), can be
used: a mixture or a hidden Markov model of each class, and with a lower bound on its likelihood
also a model that has no exact one. Unlike a discriminative model it also knows p(x), by which it
notices an x that is like none of the classes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import logsumexp


class ClassConditional(Protocol):
    """A generative model of each of C classes."""

    @property
    def log_prior(self) -> np.ndarray:
        """log p(class), (C,)."""
        ...

    def class_log_likelihoods(self, x: np.ndarray) -> np.ndarray:
        """log p(x_n | class), (N, C), in nats."""
        ...


def log_evidence(log_likelihoods: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """log p(x_n), (N,), of log p(x_n | class) (N, C) and log p(class) (C,)."""
    return np.asarray(logsumexp(log_likelihoods + log_prior, axis=1))


def log_posterior(log_likelihoods: np.ndarray, log_prior: np.ndarray) -> np.ndarray:
    """log p(class | x_n), (N, C), of log p(x_n | class) (N, C) and log p(class) (C,).

    An x that no class can have, whose likelihoods are all 0, gets the prior.
    """
    evidence = log_evidence(log_likelihoods, log_prior)[:, None]
    possible = np.isfinite(evidence)
    joint = log_likelihoods + log_prior
    return np.where(possible, joint - np.where(possible, evidence, 0), log_prior)
