"""The modes a program may choose, one process-wide value each. TF1's behaviour is the default."""

from __future__ import annotations

from operator import index
from typing import Final

from tfsession.core import shape
from tfsession.core.exports import export


class _Modes:
    """The flags; what reads them asks here each time."""

    __slots__ = (
        *("control_flow_v2", "inter_op_threads", "intra_op_threads", "resource_variables"),
        "tensor_float_32",
    )

    def __init__(self) -> None:
        self.control_flow_v2 = False
        self.inter_op_threads = 0
        self.intra_op_threads = 0
        self.resource_variables = False
        self.tensor_float_32 = True


modes: Final = _Modes()


@export("enable_resource_variables")
def enable_resource_variables() -> None:
    """Let `Variable` and `get_variable` make resource variables unless told otherwise."""
    modes.resource_variables = True


@export("disable_resource_variables")
def disable_resource_variables() -> None:
    """Let `Variable` and `get_variable` make reference variables unless told otherwise."""
    modes.resource_variables = False


@export("resource_variables_enabled")
def resource_variables_enabled() -> bool:
    """Whether variables are resource variables unless told otherwise."""
    return modes.resource_variables


@export("enable_control_flow_v2")
def enable_control_flow_v2() -> None:
    """Let `cond` and `while_loop` make one functional op each."""
    modes.control_flow_v2 = True


@export("disable_control_flow_v2")
def disable_control_flow_v2() -> None:
    """Let `cond` and `while_loop` make Switch, Merge and their kin."""
    modes.control_flow_v2 = False


@export("control_flow_v2_enabled")
def control_flow_v2_enabled() -> bool:
    """Whether `cond` and `while_loop` make functional ops."""
    return modes.control_flow_v2


@export("config.threading.get_intra_op_parallelism_threads")
def get_intra_op_parallelism_threads() -> int:
    """How many threads compute for a step; 0 for as many as there are cores."""
    return modes.intra_op_threads


@export("config.threading.set_intra_op_parallelism_threads")
def set_intra_op_parallelism_threads(num_threads: int | None) -> None:
    """Let so many threads compute for a step, of sessions made without a configuration from now on.

    Raises TypeError for what is no integer.
    """
    modes.intra_op_threads = 0 if num_threads is None else index(num_threads)


@export("config.threading.get_inter_op_parallelism_threads")
def get_inter_op_parallelism_threads() -> int:
    """How many steps of a session compute at once; 0 for any number."""
    return modes.inter_op_threads


@export("config.threading.set_inter_op_parallelism_threads")
def set_inter_op_parallelism_threads(num_threads: int | None) -> None:
    """Let so many steps compute at once, in sessions made without a configuration from now on.

    Raises TypeError for what is no integer.
    """
    modes.inter_op_threads = 0 if num_threads is None else index(num_threads)


@export("config.experimental.tensor_float_32_execution_enabled")
def tensor_float_32_execution_enabled() -> bool:
    """Whether GPUs may round float32 to TF32, 10 bits of mantissa, before they multiply."""
    return modes.tensor_float_32


@export("config.experimental.enable_tensor_float_32_execution")
def enable_tensor_float_32_execution(enabled: bool) -> None:
    """Let GPUs from Ampere on round float32 to TF32 before they multiply, or not.

    It is on unless told otherwise, and of no effect on CPUs, nor where NVIDIA_TF32_OVERRIDE is 0.
    """
    modes.tensor_float_32 = bool(enabled)


@export("disable_v2_behavior")
def disable_v2_behavior() -> None:
    """Behave as TF1 does, which is the default: reference variables, Switch, `Dimension`."""
    disable_resource_variables()
    disable_control_flow_v2()
    shape.disable_v2_tensorshape()


@export("enable_v2_behavior")
def enable_v2_behavior() -> None:
    """Take TF2's defaults, except that execution is never eager here."""
    enable_resource_variables()
    enable_control_flow_v2()
    shape.enable_v2_tensorshape()


@export("disable_eager_execution")
def disable_eager_execution() -> None:
    """Nothing to do: there are graphs only."""


@export("enable_eager_execution")
def enable_eager_execution() -> None:
    """Refused: there are graphs only.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("tfsession runs graphs in sessions; it has no eager execution.")


@export("executing_eagerly", "executing_eagerly_outside_functions")
def executing_eagerly() -> bool:
    """Always False: there are graphs only."""
    return False


@export("disable_tensor_equality")
def disable_tensor_equality() -> None:
    """Compare tensors by identity. It is always so here, as in TF1."""
