"""The tasks by the names that the command line has for them."""

from __future__ import annotations

from ..task import Task
from .cgan import ConditionalGANTask
from .char_rnn import CharRNNTask
from .copying import Copying
from .cyclegan import CycleGANTask
from .dates import Dates
from .ddpm import DDPMTask
from .detr import DETRDetection
from .gan import GANTask
from .gmm import GMMTask
from .heads import HeadsTask
from .hmm import HMMTask
from .logistic_regression import LogisticRegressionTask
from .mlp import MLPClassifier
from .naive_bayes import NaiveBayesTask
from .pix2pix import Pix2PixTask
from .pix2pix_scenes import ScenePix2PixTask
from .pixel_rnn import PixelRNNTask
from .reversal import Reversal
from .row_rnn import RowRNNClassifier
from .segmentation import Segmentation
from .strip import StripReading
from .svm import LinearSVMTask, SVMTask
from .text_gan import TextGANTask
from .vae import VAETask
from .vit import ViTClassifier
from .yolos import YOLOSDetection

TASKS: dict[str, type[Task]] = {
    "gan": GANTask,
    "ddpm": DDPMTask,
    "vit": ViTClassifier,
    "mlp": MLPClassifier,
    "row-rnn": RowRNNClassifier,
    "pixel-rnn": PixelRNNTask,
    "vae": VAETask,
    "gmm": GMMTask,
    "hmm": HMMTask,
    "cgan": ConditionalGANTask,
    "pix2pix": Pix2PixTask,
    "heads": HeadsTask,
    "text-gan": TextGANTask,
    "pix2pix-scenes": ScenePix2PixTask,
    "cyclegan": CycleGANTask,
    "char-rnn": CharRNNTask,
    "copying": Copying,
    "strip": StripReading,
    "dates": Dates,
    "reverse": Reversal,
    "detr": DETRDetection,
    "yolos": YOLOSDetection,
    "segment": Segmentation,
    "naive-bayes": NaiveBayesTask,
    "logistic-regression": LogisticRegressionTask,
    "svm": SVMTask,
    "linear-svm": LinearSVMTask,
}
