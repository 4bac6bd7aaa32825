"""Hand-written CUDA overrides of kernels; loaded only on machines that use a GPU."""
