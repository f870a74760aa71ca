"""Real data: readers of the field's formats, digits in the package, batches and augmentation."""

from .augment import affine, crop, flip, mixup, shift
from .batches import batches
from .cifar import cifar10
from .dataset import IGNORE_INDEX, Dataset
from .digits import digits
from .folder import image_folder
from .idx import mnist
from .source import DamagedFile
from .streams import streams
from .text import Text, text

__all__ = [
    "IGNORE_INDEX",
    "DamagedFile",
    "Dataset",
    "Text",
    "affine",
    "batches",
    "cifar10",
    "crop",
    "digits",
    "flip",
    "image_folder",
    "mixup",
    "mnist",
    "shift",
    "streams",
    "text",
]
