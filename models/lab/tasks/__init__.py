"""The tasks by the names that the command line has for them."""

from __future__ import annotations

from ..task import Task
from .cgan import ConditionalGANTask
from .char_rnn import CharRNNTask
from .copying import Copying
from .dates import Dates
from .ddpm import DDPMTask
from .detr import DETRDetection
from .gan import GANTask
from .pixel_rnn import PixelRNNTask
from .reversal import Reversal
from .row_rnn import RowRNNClassifier
from .segmentation import Segmentation
from .strip import StripReading
from .vit import ViTClassifier
from .yolos import YOLOSDetection

TASKS: dict[str, type[Task]] = {
    "gan": GANTask,
    "cgan": ConditionalGANTask,
    "ddpm": DDPMTask,
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
