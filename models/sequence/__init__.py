"""Models of sequences: recurrent networks, attention, encoder-decoders, Transformers."""
