"""How good a model is: metrics, and the baselines beside it."""
