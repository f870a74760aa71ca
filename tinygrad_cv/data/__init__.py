"""Real data: readers of the field's own file formats, digits that travel in the package, and shuffled batches."""

from .batches import batches
from .cifar import cifar10
from .dataset import Dataset
from .digits import digits
from .folder import image_folder
from .idx import mnist
from .source import DamagedFile
from .text import Text, text

__all__ = ["DamagedFile", "Dataset", "Text", "batches", "cifar10", "digits", "image_folder", "mnist", "text"]
