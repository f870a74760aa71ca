"""The pose of a head, found without landmarks, and an outline of it that hardly tells who it is.

A pose is an affine map (2, 3) from a face of its own, upright and in the middle, into an image:
position, size, breadth and tilt. It is found by template matching: of all maps of a grid, the one
under which an average face correlates best with the image, within a window about eyes, nose and
mouth. The average face comes from the images themselves, each brought back by its pose, in turn
with the poses (congealing: Learned-Miller 2006, IEEE TPAMI 28, 2).

The outline is one drawing for all people, an oval with eyes, nose and mouth, under the pose. So it
knows six numbers of an image, where the landmarks of Zakharov et al. 2019 know each face's shape.

Points are (y, x); the middle of an image is (0, 0), its edges are at -1 and 1.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy import ndimage

ROUNDS = 4  # of congealing
SHARPNESS = 60.0  # of the softmax over the grid, by which a pose lies between its points
LINE = 0.7  # standard deviation of the outline's lines, in pixels
FLAT = 0.02  # contrast below which an image counts as even
REGION = 5 / 32  # of an image: how far the light of a region reaches
TINY = 1e-6
FAINT = 1e-3  # variance below which a normalised image counts as even

# The grid: all shifts by whole pixels within these shares of half an image, scales and aspect
# ratios (log), tilts (radians).
GRID = np.array([0.375, 0.5])
SCALES = (-0.3, -0.15, 0.0, 0.15, 0.3)
ASPECTS = (-0.15, 0.0, 0.15)
TILTS = np.radians([-20, -10, 0, 10, 20])

# What counts of a face: where, and how far from there.
MIDDLE = np.array([0.1, 0.0])
REACH = np.array([0.55, 0.5])


STRAIGHT = (  # lines of the outline
    ((-0.1, -0.34), (-0.1, -0.1)),  # the left eye
    ((-0.1, 0.1), (-0.1, 0.34)),  # the right one
    ((0, 0), (0.4, 0)),  # the nose
    ((0.68, -0.22), (0.68, 0.22)),  # the mouth
)


def drawing() -> np.ndarray:
    """The points of the outline in a face of its own, (P, 2)."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    oval = np.stack(
        [
            0.2 + 0.75 * np.sin(turn),
            0.6 * np.cos(turn),
        ],
        axis=1,
    )
    lines = [oval]
    for start, end in STRAIGHT:
        lines.append(np.linspace(start, end, 12))
    return np.concatenate(lines)


DRAWING = drawing()

# -------------------------------------------------------------------------------- affine maps


def pose(
    down: float = 0.0,
    across: float = 0.0,
    scale: float = 0.0,
    aspect: float = 0.0,
    tilt: float = 0.0,
) -> np.ndarray:
    """The map (2, 3) of these shifts, log scale, log aspect ratio (height to width) and tilt."""
    cos = np.cos(tilt)
    sin = np.sin(tilt)
    height = np.exp(scale + aspect / 2)
    width = np.exp(scale - aspect / 2)
    return np.array(
        [
            [cos * height, sin * width, down],
            [-sin * height, cos * width, across],
        ]
    )


def apply(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points under each map: (N, 2, 3), (P, 2) -> (N, P, 2)."""
    turn = maps[:, :, :2]
    shift = maps[:, None, :, 2]  # (N, 1, 2)
    moved = points @ np.swapaxes(turn, 1, 2)
    return np.asarray(moved + shift)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The maps that first do `inner`, then `outer`: (N, 2, 3) each."""
    turn = outer[:, :, :2]
    composed = turn @ inner
    composed[:, :, 2] += outer[:, :, 2]
    return np.asarray(composed)


def inverse(maps: np.ndarray) -> np.ndarray:
    """The maps back, (N, 2, 3)."""
    turn = np.linalg.inv(maps[:, :, :2])
    shift = -turn @ maps[:, :, 2:]
    return np.concatenate([turn, shift], axis=2)


def pixels(height: int, width: int) -> np.ndarray:
    """The middles of all pixels as points, (H W, 2)."""
    size = np.array([height, width])
    places = np.indices((height, width))
    places = places.reshape(2, -1).T  # (H W, 2)
    return np.asarray((2 * places + 1 - size) / size)


def at(images: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Images (N, H, W) at points (N, P, 2), linearly between pixels, beyond the edge as there."""
    size = np.array(images.shape[1:])
    places = (points * size + size - 1) / 2
    y, x = np.moveaxis(places, -1, 0)  # (N, P)
    numbers = np.arange(len(images))
    which = np.broadcast_to(numbers[:, None], y.shape)
    values = ndimage.map_coordinates(
        images,
        [which, y, x],
        order=1,
        mode="nearest",
    )
    return np.asarray(values)


def warped(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Images (N, H, W) moved by maps (N, 2, 3): what was at p is at map(p)."""
    height, width = images.shape[1:]
    sources = apply(inverse(maps), pixels(height, width))
    return at(images, sources).reshape(images.shape)


# ---------------------------------------------------------------------------- poses of images


def normalised(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W) without the brightness and contrast of their regions, (N, H, W)."""
    even = images - blurred(images)
    contrast = np.sqrt(blurred(even**2))
    ratio = even / (contrast + FLAT)
    return np.asarray(ratio, np.float32)


def blurred(images: np.ndarray) -> np.ndarray:
    """The brightness of each image about each pixel."""
    height, width = images.shape[1:]
    reach = (
        0,
        REGION * height,
        REGION * width,
    )
    values = ndimage.gaussian_filter(images, reach, mode="nearest")
    return np.asarray(values)


def window(points: np.ndarray) -> np.ndarray:
    """How much points (..., 2) of a face count: eyes, nose and mouth about 1, far ones 0."""
    distance = (points - MIDDLE) / REACH
    powers = np.sum(distance**4, axis=-1)
    return np.asarray(np.exp(-powers))


def find_poses(images: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The pose of each image (N, H, W), by an average face (H, W): (N, 2, 3).

    It lies between the poses of the grid: their mean, weighted by a softmax of their correlations.
    """
    x = normalised(images).reshape(len(images), -1)  # (N, H W)
    scores = []
    poses = []
    for form in product(SCALES, ASPECTS, TILTS):
        maps, faces, weights = shifted(face, form)
        scores.append(correlations(x, faces, weights))
        poses.append(maps)
    every = np.concatenate(scores, axis=1)  # (N, G)
    best = every.max(axis=1, keepdims=True)
    share = np.exp(SHARPNESS * (every - best))
    share /= share.sum(axis=1, keepdims=True)
    grid = np.concatenate(poses).reshape(-1, 6)  # (G, 6)
    mean = share @ grid
    return np.asarray(mean.reshape(-1, 2, 3))


def shifted(
    face: np.ndarray,
    form: tuple[float, float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A face (H, W) in one scale, aspect ratio and tilt, at all places of the grid.

    The poses (S, 2, 3), what is seen of the face, (S, H W), and how much each pixel counts,
    (S, H W).
    """
    size = np.array(face.shape)
    reach = np.round(GRID * size / 2).astype(int)  # pixels
    down, across = reach
    room = size + 2 * reach
    places = pixels(*room) * room / size  # points of a larger image
    upright = pose(0, 0, *form)[None]
    sources = apply(inverse(upright), places)  # (1, P, 2)
    larger = at(face[None], sources).reshape(room)
    counting = window(sources).reshape(room)
    maps = []
    for y in range(down, -down - 1, -1):
        for x in range(across, -across - 1, -1):
            shift_y, shift_x = np.array([y, x]) * 2 / size
            maps.append(pose(shift_y, shift_x, *form))
    return (
        np.stack(maps),
        parts(larger, face.shape),
        parts(counting, face.shape),
    )


def parts(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """All parts of a shape (H, W) of an image, from the upper left on: (S, H W)."""
    views = np.lib.stride_tricks.sliding_window_view(image, shape)
    rows, columns, height, width = views.shape
    flat = views.reshape(rows * columns, height * width)
    return flat.astype(np.float32)


def correlations(
    x: np.ndarray,
    faces: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """The correlation of each image (N, P) with each face (S, P), by its weights: (N, S)."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    mean = (weights * faces).sum(axis=1, keepdims=True)
    y = faces - mean
    variance = (weights * y**2).sum(axis=1, keepdims=True)
    y /= np.sqrt(variance) + TINY
    mean_x = x @ weights.T
    squares_x = x**2 @ weights.T
    variance_x = np.maximum(squares_x - mean_x**2, 0)
    variance_x += FAINT
    covariance = x @ (weights * y).T
    return np.asarray(covariance / np.sqrt(variance_x))


def average_face(images: np.ndarray) -> np.ndarray:
    """What images (N, H, W) have in common if each is brought back by its pose: (H, W).

    It is symmetric, so that upright is the same for a face and for its mirror image.
    """
    clear = normalised(images)
    face = clear.mean(axis=0)
    for _ in range(ROUNDS):
        poses = find_poses(images, face)
        upright = warped(clear, inverse(poses))
        face = upright.mean(axis=0)
        face = (face + face[:, ::-1]) / 2
    return np.asarray(face)


# ---------------------------------------------------------------------------------- outlines


def outlines(poses: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The drawing under each pose (N, 2, 3), light lines on dark: (N, H, W) in [0, 1]."""
    scale = np.array(size) / 2  # pixels
    lines = apply(poses, DRAWING) * scale  # (N, P, 2)
    places = pixels(*size) * scale  # (H W, 2)
    products = lines.astype(np.float32) @ places.T.astype(np.float32)  # (N, P, H W)
    lengths = np.sum(lines**2, axis=2, keepdims=True)  # (N, P, 1)
    nearest = np.min(lengths.astype(np.float32) - 2 * products, axis=1)  # (N, H W)
    nearest += np.sum(places**2, axis=1)  # squared distances
    drawn = np.exp(-nearest / (2 * LINE**2))
    return np.asarray(drawn.reshape(-1, *size), np.float32)


def pose_distances(
    poses: np.ndarray,
    others: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """How far the outlines of two poses (N, 2, 3) lie apart: the mean over their points, (N,).

    In pixels of images of this size. One pose (1, 2, 3) is compared with all others.
    """
    apart = apply(poses, DRAWING) - apply(others, DRAWING)
    in_pixels = apart * np.array(size) / 2
    lengths = np.linalg.norm(in_pixels, axis=2)  # (N, P)
    return np.asarray(lengths.mean(axis=1))
