"""Generative and vision models, hand-written on tinygrad_cv."""
