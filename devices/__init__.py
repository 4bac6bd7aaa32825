"""Where ops run: CPU, CUDA and simulated devices, the transfers between them, and their manager.

Imports core only. `cuda.py` and `nvml.py` alone know CuPy and NVML, and load them when a GPU is
looked for or used, never before.
"""

if __name__ != "tfsession.devices":
    raise ImportError("import this package as tfsession.devices; see pyproject.toml's package-dir")
