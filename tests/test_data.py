"""Readers of real formats, on files made here; what they say of missing and damaged ones."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import io
import shutil
import struct
import sys
import tarfile
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tinygrad_cv import data, kernels
from tinygrad_cv.data import cifar, idx, source

# -------------------------------------------------------------------------------------------------------------- digits

DIGITS_SHA256 = "da5ab79da62942cd040486cb5c1a96bca2bdbcca5dd1790abfe227554cff624a"


def test_digits_are_the_ones_that_figures_were_measured_on() -> None:
    found = data.digits("all")
    assert found.images.shape == (1797, 8, 8)
    assert (found.images.dtype, found.labels.dtype) == (np.float32, np.int64)
    levels = found.images * 16
    assert np.array_equal(levels, levels.round())
    assert (levels.min(), levels.max()) == (0, 16)
    content = levels.astype(np.uint8).tobytes() + found.labels.astype(np.uint8).tobytes()
    assert hashlib.sha256(content).hexdigest() == DIGITS_SHA256


def test_the_split_of_digits_is_complete_disjoint_and_even_over_the_classes() -> None:
    train, test, both = (data.digits(split) for split in ("train", "test", "all"))
    assert (len(train), len(test)) == (1200, 597)
    assert np.array_equal(both.images, np.concatenate([train.images, test.images]))
    assert np.array_equal(both.labels, np.concatenate([train.labels, test.labels]))
    share = np.bincount(test.labels) - np.bincount(both.labels) * 597 / 1797
    assert np.abs(share).max() < 1


def test_digits_are_the_caller_s_own() -> None:
    data.digits().images[:] = 7
    assert data.digits().images.max() == 1


def test_an_unknown_split_lists_the_known_ones(tmp_path: Path) -> None:
    readers: list[Callable[..., Any]] = [data.digits, partial(data.mnist, tmp_path), partial(data.cifar10, tmp_path)]
    for reader in [*readers, partial(data.image_folder, tmp_path, 8)]:
        with pytest.raises(ValueError, match="'train', 'test' or 'all', not 'validation'"):
            reader(split="validation")


def test_a_loss_ignores_the_index_that_is_to_be_ignored() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 4))
    labels = np.array([1, data.IGNORE_INDEX, 2])
    assert kernels.cross_entropy(logits, labels) == pytest.approx(kernels.cross_entropy(logits[::2], labels[::2]))


# ----------------------------------------------------------------------------------------------------------------- IDX

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_file(array: np.ndarray) -> bytes:
    """An array in the IDX format."""
    code = CODES[array.dtype.newbyteorder("=").str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@given(array=st.sampled_from([*CODES]).flatmap(lambda d: npst.arrays(d, npst.array_shapes(min_dims=0, min_side=0))))
def test_idx_arrays_of_every_dtype_are_read(array: np.ndarray) -> None:
    found = idx.parse_idx(idx_file(array), "file")
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no IDX file"),
        (b"PK\3\4", "50 4b 03 04"),
        (b"\0\0\7\1\0\0\0\0", "no IDX file"),
        (b"\0\0\x08\3\0\0\0\1", "inside its header"),
        (idx_file(IMAGES)[:-1], "has 15695 bytes, expected 15696"),
        (idx_file(IMAGES) + b"\0", "has 15697 bytes, expected 15696"),
        (b"\0\0\x0e\2" + b"\xff" * 8, "has 12 bytes, expected"),
        (b"\0\0\x0e\xff" + bytes(4 * 255), "has 255 axes"),
        (b"\0\0\x0e\3" + b"\xff" * 8 + bytes(4), "larger than any array can be"),
        (idx_file(LABELS), "1 axes of uint8, expected 3"),
        (idx_file(IMAGES.astype("i2")), "3 axes of int16, expected 3 of uint8"),
        (idx_file(IMAGES[:-1]), "19 images, but .* has 20 labels"),
        (gzip.compress(idx_file(IMAGES))[:-9], "cannot be decompressed"),
        (gzip.compress(idx_file(IMAGES))[:-8] + bytes(8), "cannot be decompressed"),
        (b"\x1f\x8b" + bytes(20), "cannot be decompressed"),
        (gzip.compress(idx_file(IMAGES))[:10] + b"\xff" * 100, "cannot be decompressed"),
    ],
)
def test_a_damaged_mnist_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / TRAIN[0]).write_bytes(content)
    (tmp_path / TRAIN[1]).write_bytes(idx_file(LABELS))
    with pytest.raises(data.DamagedFile, match=rf"{TRAIN[0]} (?s:.*){words}"):
        data.mnist(tmp_path, verify=False)


def test_a_label_out_of_range_is_named(tmp_path: Path) -> None:
    (tmp_path / TRAIN[0]).write_bytes(idx_file(IMAGES))
    (tmp_path / TRAIN[1]).write_bytes(idx_file(LABELS + 1))
    with pytest.raises(data.DamagedFile, match=rf"{TRAIN[1]} has the label 10"):
        data.mnist(tmp_path, verify=False)


@pytest.mark.parametrize("folder", [".", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_is_found_wherever_it_usually_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, dotted: bool, zipped: bool
) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, array in zip(TRAIN, (IMAGES, LABELS), strict=True):
        name = name.replace("-idx", ".idx") if dotted else name
        content = gzip.compress(idx_file(array)) if zipped else idx_file(array)
        (tmp_path / folder / f"{name}{'.gz' if zipped else ''}").write_bytes(content)
    found = data.mnist(tmp_path, verify=False)
    assert found.images.dtype == np.float32
    assert np.array_equal(found.images, IMAGES / np.float32(255))
    assert np.array_equal(found.labels, LABELS)
    assert found.labels.dtype == np.int64
    monkeypatch.setenv("TINYGRAD_CV_DATA", str(tmp_path))
    assert np.array_equal(data.mnist(verify=False).images, found.images)


def test_another_file_under_mnist_s_name_fails_the_checksum(tmp_path: Path) -> None:
    for name, array in zip(TRAIN, (IMAGES, LABELS), strict=True):
        (tmp_path / name).write_bytes(idx_file(array))
    with pytest.raises(data.DamagedFile, match=rf"{TRAIN[0]} is not the original(?s:.*)ba891046(?s:.*)verify=False"):
        data.mnist(tmp_path)


def test_a_file_that_cannot_be_decompressed_is_to_be_fetched_again(tmp_path: Path) -> None:
    (tmp_path / f"{TRAIN[0]}.gz").write_bytes(gzip.compress(idx_file(IMAGES))[:-9])
    (tmp_path / TRAIN[1]).write_bytes(idx_file(LABELS))
    with pytest.raises(data.DamagedFile, match=r"cannot be decompressed.*fetch it again$"):  # verify=False is no help
        data.mnist(tmp_path)


def test_missing_files_are_named_with_the_place_to_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{TRAIN[0]}.* is missing.*mnist/{TRAIN[0]}\.gz.*download=True"):
        data.mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"test_batch\.bin .*Put it at .*cifar-10-binary\.tar\.gz"):
        data.cifar10(tmp_path, "test")
    monkeypatch.delenv("TINYGRAD_CV_DATA", raising=False)
    for reader in (data.mnist, data.cifar10):
        with pytest.raises(FileNotFoundError, match=r"pass root=.*TINYGRAD_CV_DATA"):
            reader()


# ------------------------------------------------------------------------------------------------------------ download


def test_missing_mnist_files_are_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = dict(zip(TRAIN, (idx_file(IMAGES), idx_file(LABELS)), strict=True))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(idx, "FILES", {"train": sums})
    monkeypatch.setattr(idx, "MIRRORS", ((tmp_path / "gone").as_uri() + "/", (tmp_path / "served").as_uri() + "/"))
    (tmp_path / "served").mkdir()
    for name, content in contents.items():
        (tmp_path / "served" / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    assert np.array_equal(data.mnist(tmp_path / "root", download=True).labels, LABELS)
    assert {path.name for path in (tmp_path / "root" / "mnist").iterdir()} == {f"{name}.gz" for name in TRAIN}
    shutil.rmtree(tmp_path / "served")
    assert np.array_equal(data.mnist(tmp_path / "root", download=True).labels, LABELS)


@pytest.mark.parametrize(
    "served",
    [idx_file(IMAGES), gzip.compress(idx_file(IMAGES)), gzip.compress(b"")[:-1], b""],
    ids=["not compressed", "other images", "cut off", "empty"],
)
def test_a_wrong_download_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: bytes) -> None:
    monkeypatch.setattr(idx, "MIRRORS", (tmp_path.as_uri() + "/",))
    (tmp_path / f"{TRAIN[0]}.gz").write_bytes(served)
    with pytest.raises(OSError, match=rf"put it at .*{TRAIN[0]}\.gz\n  file://.* (is not the original|decompressed)"):
        data.mnist(tmp_path / "root", download=True)
    assert not (tmp_path / "root").exists()


def test_an_unreachable_address_says_what_to_do_by_hand(tmp_path: Path) -> None:
    url = (tmp_path / "nothing").as_uri()
    with pytest.raises(OSError, match=rf"fetch it by hand and put it at .*new.file\n  {url}: .*No such file"):
        source.fetch([url], tmp_path / "new" / "file", lambda content, url: None)
    assert not (tmp_path / "new").exists()


def test_a_download_that_breaks_off_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise http.client.IncompleteRead(b"half", 4)

    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: Broken())
    with pytest.raises(OSError, match=r"file could not be downloaded(?s:.*)4 bytes read, 4 more expected"):
        source.fetch(["http://example.invalid/file"], tmp_path / "file", lambda content, url: None)
    assert not any(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------------------------- CIFAR

RECORDS = np.random.default_rng(1).integers(0, 256, (5, 4, 1 + 3 * 1024), np.uint8)  # 5 batches of 4 records
RECORDS[:, :, 0] %= 10


def write_cifar(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, records in enumerate(RECORDS, start=1):
        (folder / f"data_batch_{i}.bin").write_bytes(records.tobytes())
    (folder / "test_batch.bin").write_bytes(RECORDS[0].tobytes())


def pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, "cifar-10-batches-bin")


def test_cifar_is_read_from_the_folder_and_out_of_the_archive(tmp_path: Path) -> None:
    write_cifar(tmp_path / "unpacked" / "cifar-10-batches-bin")
    pack(tmp_path / "unpacked" / "cifar-10-batches-bin", tmp_path / "cifar-10-binary.tar.gz")
    for root in (tmp_path / "unpacked", tmp_path / "unpacked" / "cifar-10-batches-bin", tmp_path):
        found = data.cifar10(root, "all", verify=False)
        assert (found.images.shape, found.images.dtype) == ((24, 32, 32, 3), np.float32)
        assert np.array_equal(found.labels, [*RECORDS[:, :, 0].reshape(-1), *RECORDS[0, :, 0]])
        # Row 2, column 3 of the green plane of record 1 in batch 2.
        assert found.images[5, 2, 3, 1] == RECORDS[1, 1, 1 + 1024 + 2 * 32 + 3] / np.float32(255)
        assert len(data.cifar10(root, "test", verify=False)) == 4


def test_cifar_s_checksums_are_checked_in_the_folder_and_in_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path / "cifar-10-batches-bin")
    with pytest.raises(data.DamagedFile, match=r"data_batch_1\.bin is not the original"):
        data.cifar10(tmp_path)
    pack(tmp_path / "cifar-10-batches-bin", tmp_path / "cifar-10-binary.tar.gz")
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").unlink()
    with pytest.raises(data.DamagedFile, match=r"test_batch\.bin in .*tar\.gz is not the original"):
        data.cifar10(tmp_path, "test")
    monkeypatch.setattr(cifar, "FILES", {"test": {"test_batch.bin": hashlib.sha256(RECORDS[0]).hexdigest()}})
    assert len(data.cifar10(tmp_path, "test")) == 4


def test_a_missing_cifar_archive_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path / "folder")
    pack(tmp_path / "folder", tmp_path / "cifar-10-binary.tar.gz")
    content = (tmp_path / "cifar-10-binary.tar.gz").read_bytes()
    monkeypatch.setattr(cifar, "URLS", ((tmp_path / "cifar-10-binary.tar.gz").as_uri(),))
    with pytest.raises(OSError, match=r"file://.* is not the original"):
        data.cifar10(tmp_path / "root", "test", download=True)
    assert not (tmp_path / "root").exists()
    monkeypatch.setattr(cifar, "ARCHIVE_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(cifar, "FILES", {"test": {"test_batch.bin": hashlib.sha256(RECORDS[0]).hexdigest()}})
    assert len(data.cifar10(tmp_path / "root", "test", download=True)) == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (RECORDS[0].tobytes()[:-1], "12291 bytes, expected a multiple of 3073"),
        (b"", "0 bytes"),
        (bytes([10] * 3073), "the label 10"),
    ],
)
def test_a_damaged_cifar_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(data.DamagedFile, match=rf"test_batch\.bin has {words}"):
        data.cifar10(tmp_path, "test", verify=False)


@pytest.mark.parametrize("kind", ["cut off", "no archive", "without the file"])
def test_a_damaged_cifar_archive_is_named(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "cifar-10-binary.tar.gz"
    write_cifar(tmp_path / "folder")
    if kind == "without the file":
        (tmp_path / "folder" / "test_batch.bin").unlink()
    pack(tmp_path / "folder", archive)
    if kind != "without the file":
        archive.write_bytes(archive.read_bytes()[:1000] if kind == "cut off" else b"<html>")
    words = r"lacks test_batch\.bin" if kind == "without the file" else "cannot be unpacked"
    with pytest.raises(data.DamagedFile, match=rf"cifar-10-binary\.tar\.gz {words}"):
        data.cifar10(tmp_path, "test", verify=False)


# ------------------------------------------------------------------------------------------------------------- folders


def paint(path: Path, pixels: Any, mode: str = "RGB", **options: Any) -> None:
    """Write an image of these pixels, (H, W[, C])."""
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(np.asarray(pixels, np.uint16 if mode == "I;16" else np.uint8)).save(path, **options)


def plain(colour: tuple[int, ...], height: int = 8, width: int = 8) -> np.ndarray:
    return np.full((height, width, len(colour)), colour, np.uint8)


def test_subfolders_are_classes_and_every_tenth_image_is_held_out(tmp_path: Path) -> None:
    for i in range(20):
        paint(tmp_path / "cat" / f"{i:02}.png", plain((i, 0, 0)))
    for i in range(5):
        paint(tmp_path / "Ant" / "deeper" / f"{i}.PNG", plain((0, 0, 100 + i)))
    (tmp_path / ".cache").mkdir()
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / "._00.png").write_text("what some systems leave behind")
    train, test, both = (data.image_folder(tmp_path, 4, split) for split in ("train", "test", "all"))
    assert both.classes == train.classes == test.classes == ("Ant", "cat")
    assert (train.images.shape, train.images.dtype, train.labels.dtype) == ((23, 4, 4, 3), np.float32, np.int64)
    assert (test.images[:, 0, 0] * 255).round().tolist() == [[9, 0, 0], [19, 0, 0]]
    assert test.labels.tolist() == [1, 1]
    assert train.labels.tolist() == [0] * 5 + [1] * 18
    assert np.array_equal(both.images, np.concatenate([train.images, test.images]))


def test_a_folder_with_train_and_test_keeps_these_parts(tmp_path: Path) -> None:
    paint(tmp_path / "train" / "a" / "1.png", plain((1, 1, 1)))
    paint(tmp_path / "train" / "b" / "1.png", plain((2, 2, 2)))
    paint(tmp_path / "test" / "b" / "1.png", plain((3, 3, 3)))
    assert data.image_folder(tmp_path, 2).labels.tolist() == [0, 1]
    assert data.image_folder(tmp_path, 2, "test").labels.tolist() == [1]
    assert data.image_folder(tmp_path, 2, "all").images[:, 0, 0, 0] * 255 == pytest.approx([1, 2, 3])


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Test"), ("TRAIN", "validation"), ("train", "test", "val")])
def test_parts_of_a_folder_are_no_classes_however_they_are_called(tmp_path: Path, names: tuple[str, ...]) -> None:
    for level, name in enumerate(names, start=1):
        paint(tmp_path / name / "cat" / "1.png", plain((level, 0, 0)))
    found = [data.image_folder(tmp_path, 2, split) for split in ("train", "test")]
    assert [part.classes for part in found] == [("cat",), ("cat",)]
    assert [part.images[:, 0, 0, 0].tolist() for part in found] == [pytest.approx([1 / 255]), pytest.approx([2 / 255])]


@pytest.mark.parametrize("names", [["train"], ["val"], ["Train", "dogs"], ["test", "valid"]])
def test_a_part_alone_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        paint(tmp_path / name / "1.png", plain((1, 0, 0)))
    with pytest.raises(ValueError, match="alone; it needs both train and test"):
        data.image_folder(tmp_path, 2)


@pytest.mark.parametrize(("classes", "each", "held_out"), [(1, 2, 1), (1, 9, 1), (2, 1, 1), (3, 5, 1), (9, 5, 4), (1, 20, 2)])
def test_small_classes_have_images_for_testing(tmp_path: Path, classes: int, each: int, held_out: int) -> None:
    for name in range(classes):
        for i in range(each):
            paint(tmp_path / f"{name}" / f"{i:02}.png", plain((name, i, 0)))
    train, test = (data.image_folder(tmp_path, 1, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (classes * each - held_out, held_out)
    assert len(np.unique(np.concatenate([train.images, test.images]), axis=0)) == classes * each


def test_a_folder_with_one_image_says_that_two_are_needed(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", plain((1, 0, 0)))
    assert len(data.image_folder(tmp_path, 2)) == 1
    with pytest.raises(FileNotFoundError, match="no images for test: it has 1 in all, and at least two are needed"):
        data.image_folder(tmp_path, 2, "test")


def test_an_image_of_too_many_pixels_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["tinygrad_cv.data.folder"], "MOST_PIXELS", 100)
    paint(tmp_path / "1.png", plain((1, 0, 0), 10, 11))
    with warnings.catch_warnings(), pytest.raises(data.DamagedFile, match=r"1\.png cannot .*: 11 x 10 pixels are over 100"):
        warnings.simplefilter("error")
        data.image_folder(tmp_path, 8)


def test_a_warning_of_the_library_of_images_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 100)
    paint(tmp_path / "1.png", plain((1, 0, 0), 10, 11))
    with pytest.warns(UserWarning, match=r"1\.png: Image size \(110 pixels\) exceeds"):
        data.image_folder(tmp_path, 8)


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for i in range(3):
        paint(tmp_path / f"{i}.png", plain((i, i, i)))
    found = data.image_folder(tmp_path, 2, "all", mode="L")
    assert found.labels is None
    assert found.classes == ()
    assert found.images.shape == (3, 2, 2)


def test_images_are_scaled_and_cut_about_their_centre(tmp_path: Path) -> None:
    wide = np.concatenate([plain((255, 0, 0), 8, 4), plain((0, 255, 0)), plain((0, 0, 255), 8, 4)], axis=1)
    paint(tmp_path / "wide.png", wide)
    paint(tmp_path / "tall.png", wide.transpose(1, 0, 2))
    for image in data.image_folder(tmp_path, 4).images:
        assert image[1:3, 1:3].reshape(-1, 3) == pytest.approx(np.tile([0, 1, 0], (4, 1)), abs=0.02)
        assert image[..., 1].min() > 0.8


def test_images_are_turned_as_the_camera_was_and_transparent_parts_are_white(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    upper_white = np.concatenate([plain((255, 255, 255), 4, 8), plain((0, 0, 0), 4, 8)])
    exif = image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    paint(tmp_path / "1.png", upper_white, exif=exif)
    paint(tmp_path / "2.png", np.concatenate([plain((9, 9, 9, 0), 4, 8), plain((0, 0, 0, 255), 4, 8)]))
    turned, transparent = data.image_folder(tmp_path, 8, "all", mode="L").images
    assert turned[[0, -1], 0].tolist() == [0, 1]
    assert transparent[[0, -1], 0].tolist() == [1, 0]


def test_bad_folders_and_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        data.image_folder(tmp_path / "nowhere", 8)
    with pytest.raises(FileNotFoundError, match="has no images for train: it has 0 in all, and at least two"):
        data.image_folder(tmp_path, 8)
    paint(tmp_path / "deep" / "1.png", np.full((8, 8), 40_000), "I;16")
    with pytest.raises(data.DamagedFile, match=r"1\.png cannot be read as an image: it has more than 8 bits"):
        data.image_folder(tmp_path / "deep", 8)
    (tmp_path / "broken").mkdir()
    for content in (b"", b"no image", b"P6\nx\n", (tmp_path / "deep" / "1.png").read_bytes()[:40]):
        (tmp_path / "broken" / "2.png").write_bytes(content)
        with pytest.raises(data.DamagedFile, match=r"2\.png cannot be read as an image"):
            data.image_folder(tmp_path / "broken", 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"the class .*empty has no images"):
        data.image_folder(tmp_path, 8)
    paint(tmp_path / "loose.png", plain((0, 0, 0)))
    with pytest.raises(ValueError, match=r"both subfolders and images, such as loose\.png"):
        data.image_folder(tmp_path, 8)
    paint(tmp_path / "half" / "train" / "class" / "1.png", plain((0, 0, 0)))
    paint(tmp_path / "half" / "test" / "1.png", plain((0, 0, 0)))
    with pytest.raises(ValueError, match="one has a subfolder per class, the other none"):
        data.image_folder(tmp_path / "half", 8)


@pytest.mark.parametrize("options", [{"size": 0}, {"size": -1}, {"size": 8.5}, {"size": "8"}, {"mode": "HSV"}])
def test_unfit_options_of_a_folder_are_named(tmp_path: Path, options: dict[str, Any]) -> None:
    paint(tmp_path / "1.png", plain((0, 0, 0)))
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name} is .*not {value!r}"):
        data.image_folder(tmp_path, **{"size": 8, **options})


def test_without_pillow_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "tinygrad_cv\[models\]"'):
        data.image_folder(tmp_path, 8)


# ---------------------------------------------------------------------------------------------------------------- text


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0\ufeff")


@given(st.text(CHARACTERS, min_size=1), st.booleans(), st.sampled_from(ENCODINGS), st.sampled_from([1, 3, 2**20]))
def test_text_comes_back_from_its_numbers(
    tmp_path_factory: Any, content: str, zipped: bool, encoding: str, piece: int
) -> None:
    """Whatever it is encoded in, and however it is cut while it is read; line ends are as Python reads them."""
    path = tmp_path_factory.mktemp("text") / "input.txt"
    path.write_bytes(gzip.compress(content.encode(encoding)) if zipped else content.encode(encoding))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["tinygrad_cv.data.text"], "PIECE", piece)
        text = data.text(path)
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    ids = np.concatenate([text.train, text.test])
    assert text.decode(ids) == content
    assert np.array_equal(text.encode(content), ids)
    assert list(text.vocabulary) == sorted(set(content))
    assert len(text.train) == len(content) * 9 // 10
    assert ids.dtype == np.min_scalar_type(len(text.vocabulary))


def test_a_text_takes_no_more_memory_than_twice_its_file(tmp_path: Path) -> None:
    content = b"to be or not to be, that is the question\n" * 100_000
    (tmp_path / "input.txt").write_bytes(content)
    tracemalloc.start()
    data.text(tmp_path / "input.txt")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    alone = 24 * 2**20  # the table of all characters, and a piece of the text
    assert most < 2.2 * len(content) + alone


@pytest.mark.parametrize("unknown", ["z", "\0", "\U0010ffff"])
def test_an_unknown_character_is_named(tmp_path: Path, unknown: str) -> None:
    (tmp_path / "input.txt").write_text("abc")
    with pytest.raises(ValueError, match="at 2 is not among the 3 characters") as error:
        data.text(tmp_path / "input.txt").encode(f"ab{unknown}c")
    assert repr(unknown) in str(error.value)


@pytest.mark.parametrize("unknown", [-1, 3])
def test_an_index_outside_the_vocabulary_is_named(tmp_path: Path, unknown: int) -> None:
    (tmp_path / "input.txt").write_text("abc")
    with pytest.raises(ValueError, match=f"^{unknown} at 1 is not the index of one of the 3 characters"):
        data.text(tmp_path / "input.txt").decode(np.array([0, unknown]))


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    faults = {b"": "is empty", b"\xff\xfe": "is empty", b"a\xff\xfe": "is not UTF-8", b"\xff\xfea": "is not UTF-16"}
    for content, words in faults.items():
        (tmp_path / "input.txt").write_bytes(content)
        with pytest.raises(data.DamagedFile, match=rf"input\.txt {words}"):
            data.text(tmp_path / "input.txt")


def test_utf_16_without_a_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_bytes("abc".encode("utf-16-le"))
    with pytest.raises(data.DamagedFile, match=r"input\.txt is no text: it has the character 0; is it UTF-16"):
        data.text(tmp_path / "input.txt")


# -------------------------------------------------------------------------------------------------------------- memory


def peak(read: Callable[[], object]) -> int:
    """The most bytes of Python and NumPy that reading takes at once."""
    tracemalloc.start()
    try:
        with contextlib.suppress(data.DamagedFile):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_text_takes_no_more_memory_than_its_file_and_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_bytes(b"to be, or not to be\n" * 500_000)
    assert peak(lambda: data.text(tmp_path / "input.txt")) < 1.2 * 9 * 10_000_000 + 2**24


@pytest.mark.parametrize("name", ["input.txt", TRAIN[0], "cifar-10-binary.tar.gz"])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(source, "SMALL", 2**21)
    with gzip.open(tmp_path / name, "wb") as file:
        for _ in range(40):
            file.write(bytes(2**20))
    readers = {"input.txt": lambda: data.text(tmp_path / name), TRAIN[0]: lambda: data.mnist(tmp_path)}
    (tmp_path / TRAIN[1]).write_bytes(idx_file(LABELS))
    reader = readers.get(name, lambda: data.cifar10(tmp_path))
    if name in readers:
        with pytest.raises(data.DamagedFile, match=rf"{name} unpacks to more than .* unpack it by hand$"):
            reader()
    assert peak(reader) < 2**24


def test_a_member_of_an_archive_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("test_batch.bin")
    member.size = 3073 * 70_000
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(member.tobuf())
    with pytest.raises(data.DamagedFile, match=r"test_batch\.bin in .* has 70,000 records, expected 60,000 at most"):
        data.cifar10(tmp_path, "test")
