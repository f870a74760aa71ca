"""Models of sequences: recurrent networks, attention, encoder-decoders, Transformers."""

from .char_rnn import CharRNN, CharRNNConfig
from .rnn import RowRNN, RowRNNConfig
from .seq2seq import Seq2SeqConfig
from .transformer import Transformer, TransformerConfig

__all__ = [
    "CharRNN",
    "CharRNNConfig",
    "RowRNN",
    "RowRNNConfig",
    "Seq2SeqConfig",
    "Transformer",
    "TransformerConfig",
]
