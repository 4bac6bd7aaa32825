"""Kernels of control flow. Which values are alive is the business of runtime.regions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.rules import kernel


@kernel("Switch", "RefSwitch", host=["pred"], forwards=True)
def switch(xp: Any, data: Any, pred: Any) -> tuple[Any, Any]:
    """The value for both ways; nothing runs behind the one that is not taken."""
    return data, data


@kernel("Merge", "RefMerge", host_outputs=["value_index"], aliases=True)
def merge(xp: Any, *inputs: Any) -> tuple[Any, Any]:
    """The first input that is there, and its number; the others are None."""
    for index, value in enumerate(inputs):
        if value is not None:
            return value, np.int32(index)
    raise AssertionError("A dead Merge does not run")


@kernel("LoopCond", host=["input"], host_outputs=["output"], forwards=True)
@kernel(
    *("Enter", "Exit", "NextIteration", "RefEnter", "RefExit", "RefNextIteration"),
    forwards=True,
)
def forward(xp: Any, value: Any) -> Any:
    """The input itself."""
    return value


@kernel("ControlTrigger")
def control_trigger(xp: Any) -> None:
    """Nothing."""
