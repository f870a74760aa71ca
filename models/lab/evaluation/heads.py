"""How well heads are drawn: who it is, whether the pose follows, and how like the image it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .identity import IdentityFeatures
from .poses import find_poses, pose_distances, warped

WINDOW = 1.5  # pixels, the standard deviation of SSIM's Gaussian window
LUMINANCE = 0.01**2  # SSIM's constants, for values in [0, 1]
CONTRAST = 0.03**2


class Faces(NamedTuple):
    """Images (N, C, H, W), their poses (N, 2, 3) and people (N,)."""

    images: np.ndarray
    poses: np.ndarray
    people: np.ndarray

    @classmethod
    def recognised(cls, images: np.ndarray, people: np.ndarray, face: np.ndarray) -> Faces:
        """Images of people, with the poses that an average face (H, W) finds."""
        return cls(images, find_poses(grey(images), face), people)

    def at(self, places: np.ndarray) -> Faces:
        """Those at some places."""
        return Faces(
            self.images[places],
            self.poses[places],
            self.people[places],
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self.images.shape[2:]
        return height, width


class Episode(NamedTuple):
    """Places of the images of a person that are given (K,), and of those to be drawn (T,)."""

    given: np.ndarray
    asked: np.ndarray


def channels_first(images: np.ndarray) -> np.ndarray:
    """(N, H, W[, C]) -> (N, C, H, W)."""
    channels = images.reshape(*images.shape[:3], -1)
    return np.moveaxis(channels, -1, 1)


def channels_last(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N, H, W, C), of grey images (N, H, W)."""
    channels = np.moveaxis(images, 1, -1)
    grey = channels.shape[-1] == 1
    return np.ascontiguousarray(channels[..., 0] if grey else channels)


def grey(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) -> (N, H, W)."""
    return np.asarray(images.mean(axis=1))


def moved(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) in [0, 1] moved by maps (N, 2, 3)."""
    channels = images.shape[1]
    size = images.shape[2:]
    each = images.reshape(-1, *size)  # (N C, H, W)
    there = warped(each, maps.repeat(channels, axis=0))
    there = np.clip(there, 0, 1, dtype=np.float32)
    return np.asarray(there.reshape(images.shape))


class Judge:
    """Tells who is drawn, by real images of everybody, and how well.

    Of each image to be drawn, it and the given ones of its person are out of sight.
    """

    def __init__(
        self,
        faces: Faces,
        features: IdentityFeatures,
        face: np.ndarray,
        episodes: list[Episode],
    ) -> None:
        self.faces = faces
        self.features = features
        self.face = face
        self.known = features(channels_last(faces.images))  # (N, F)
        self.asked = np.concatenate([episode.asked for episode in episodes])  # (n,)
        self.hidden = np.zeros((len(self.asked), len(faces.people)), bool)
        row = 0
        for given, asked in episodes:
            for place in asked:
                self.hidden[row, place] = True
                self.hidden[row, given] = True
                row += 1

    def judge(self, images: np.ndarray) -> dict[str, float]:
        """What is measured of images (n, C, H, W)."""
        real = self.faces.at(self.asked)
        alike = ssim(images, real.images)
        return {
            "identity": self.identity(images),
            "pose": self.pose(images, real.poses),
            "SSIM": float(alike.mean()),
        }

    def pose(self, images: np.ndarray, asked: np.ndarray) -> float:
        """How far the outlines of images lie from those of the asked poses (n, 2, 3), in pixels."""
        found = find_poses(grey(images), self.face)
        distances = pose_distances(found, asked, self.faces.size)
        return float(distances.mean())

    def identity(self, images: np.ndarray) -> float:
        """The share of images (n, C, H, W) that are nearest to one of the person asked for."""
        features = self.features(channels_last(images))
        return self.share(-features @ self.known.T)

    def identity_by_outlines(self) -> float:
        """The same share of the real images, if nothing is seen of an image but its outline."""
        poses = self.faces.poses
        distances = [
            pose_distances(poses[place][None], poses, self.faces.size) for place in self.asked
        ]
        return self.share(np.stack(distances))

    def share(self, distances: np.ndarray) -> float:
        """How often the nearest image in sight is of the right person, by (n, N)."""
        people = self.faces.people
        in_sight = np.where(self.hidden, np.inf, distances)
        nearest = in_sight.argmin(axis=1)
        right = people[nearest] == people[self.asked]
        return float(right.mean())


def ssim(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The structural similarity of each pair of images (N, C, H, W) in [0, 1]: (N,).

    Wang et al. 2004 (IEEE TIP 13, 4), equation 13, in Gaussian windows, averaged over pixels and
    channels.
    """
    x = images.astype(np.float64)
    y = others.astype(np.float64)
    mean_x = local_mean(x)
    mean_y = local_mean(y)
    variance_x = local_mean(x * x) - mean_x**2
    variance_y = local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + LUMINANCE) / (mean_x**2 + mean_y**2 + LUMINANCE)
    structure = (2 * covariance + CONTRAST) / (variance_x + variance_y + CONTRAST)
    pixels = luminance * structure
    return np.asarray(pixels.mean(axis=(1, 2, 3)))


def local_mean(x: np.ndarray) -> np.ndarray:
    """The mean about each pixel, (N, C, H, W)."""
    width = (0, 0, WINDOW, WINDOW)
    values = ndimage.gaussian_filter(x, width, mode="nearest")
    return np.asarray(values)
