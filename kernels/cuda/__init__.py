"""What GPUs have of their own in place of common kernels; without a GPU it computes as they do.

Modules here import no CuPy: they ask for libraries, and for generated code, by `xp`.
"""
