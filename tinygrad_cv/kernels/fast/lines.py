"""Samples as rows of pixels with the channels last, for normalisation over groups of channels."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from ...machine import GROUP_NORM_BLOCK, GROUP_NORM_ROW
from .layout import channels_first, channels_last
from .reduction import sum_of_rows
from .tiles import blocks


class Lines:
    """Samples (N, C, ...) as rows (N, rows, length), with the channels last.

    NumPy is slow on rows of a few channels. So a row is many pixels, and what belongs to the
    channels, (n, groups, C/groups) or (n, groups, 1), is laid out along it.
    """

    def __init__(
        self,
        x: np.ndarray,
        groups: int,
    ) -> None:
        n, channels, *image = x.shape
        pixels = prod(image)
        longest = min(pixels, GROUP_NORM_ROW // max(1, channels))
        lengths = range(longest, 0, -1)
        divisors = (length for length in lengths if pixels % length == 0)
        self.dtype = x.dtype
        self.groups = groups
        self.channels = channels
        self.image = image
        self.pixels = pixels
        self.across = next(divisors, 1)  # pixels in a row
        self.shape = (n, pixels // self.across, self.across * channels)

    def of(self, x: np.ndarray) -> np.ndarray:
        """(N, C, ...) -> (N, rows, length)."""
        return channels_last(x).reshape(self.shape)

    def back(self, rows: np.ndarray) -> np.ndarray:
        """A view: (N, rows, length) -> (N, C, ...)."""
        n = len(rows)
        images = rows.reshape(n, *self.image, self.channels)
        return channels_first(images)

    def blocks(self) -> Iterator[slice]:
        """So many samples at a time as the cache holds."""
        n, rows, length = self.shape
        return blocks(n, rows * length, GROUP_NORM_BLOCK)

    def by_group(self, values: np.ndarray) -> np.ndarray:
        """(n, C) or (C,) -> (n, groups, C/groups), n = 1 in the second case."""
        channels = self.channels // self.groups
        return values.reshape(-1, self.groups, channels)

    def along(self, values: np.ndarray) -> np.ndarray:
        """What belongs to channels or groups, along a row.

        (n, groups, C/groups) or (n, groups, 1) -> (n, 1, length)
        """
        n = len(values)
        _, _, length = self.shape
        channels = self.channels // self.groups
        row = np.empty((n, self.across, self.groups, channels), values.dtype)
        row[...] = values[:, None]
        return row.reshape(n, 1, length)

    def total(self, rows: np.ndarray) -> np.ndarray:
        """The sum over the pixels: (n, rows, length) -> (n, groups, C/groups)."""
        n = len(rows)
        pixels = rows.reshape(n, self.pixels, self.channels)
        return self.by_group(sum_of_rows(pixels))

    def over_groups(self, sums: np.ndarray) -> np.ndarray:
        """The mean of sums over the pixels: (n, groups, C/groups) -> (n, groups, 1)."""
        count = self.pixels * sums.shape[2]
        whole = np.add.reduce(sums, axis=2, keepdims=True)
        return whole / sums.dtype.type(count)

    def mean(self, rows: np.ndarray) -> np.ndarray:
        """The mean over pixels and each group's channels: (n, rows, length) -> (n, groups, 1)."""
        return self.over_groups(self.total(rows))
