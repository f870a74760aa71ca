"""What makes the kernels fast, and no reader needs for what they compute.

- `tiles`: work block by block, so that what is worked on stays in the cache
- `layout`: where the channels lie in memory, and arrays as matrices
- `lines`: samples as rows of pixels, for normalisation over groups of channels
- `reduction`: sums through BLAS
- `choose`: products that keep exact zeros
- `multiply`: products of a long matrix and a small one
- `geometry`: where a window is laid on images
- `im2col`: convolution as one matrix product
- `winograd`: convolution with 3 x 3 kernels by fewer multiplications

Everything here takes arrays and gives arrays; nothing knows of tensors or of the graph. The sizes
that were tuned stand in `machine`.
"""
