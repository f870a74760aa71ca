"""What needs no backpropagation: counting, neighbours, Gaussians, kernels."""
