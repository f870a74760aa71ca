"""The tasks by the names that the command line has for them."""

from __future__ import annotations

from ...generative.ddpm import DDPM
from ...generative.gan import GAN
from ...generative.pixel_rnn import PixelRNNTask
from ...sequence.char_rnn import CharRNNTask
from ...sequence.rnn import RowRNNClassifier
from ...vision.detr import DETRDetection
from ...vision.segmenter import Segmentation
from ...vision.vit import ViTClassifier
from ...vision.yolos import YOLOSDetection
from ..task import Task
from .copying import Copying
from .dates import Dates
from .reversal import Reversal
from .strip import StripReading

TASKS: dict[str, type[Task]] = {
    "gan": GAN,
    "ddpm": DDPM,
    "vit": ViTClassifier,
    "row-rnn": RowRNNClassifier,
    "pixel-rnn": PixelRNNTask,
    "char-rnn": CharRNNTask,
    "copying": Copying,
    "strip": StripReading,
    "dates": Dates,
    "reverse": Reversal,
    "detr": DETRDetection,
    "yolos": YOLOSDetection,
    "segment": Segmentation,
}
