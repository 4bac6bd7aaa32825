"""Programs as NumPy computes them, step by step: what code that was written from them must give."""

import numpy as np

from tfsession.devices.program import REDUCTIONS
from tfsession.devices.traced import dtype_named


def computed(program, *inputs):
    """The results of a program for NumPy arrays."""
    values = list(inputs)
    with np.errstate(all="ignore"):
        for step in program.steps:
            taken = [values[number] for number in step.arguments]
            result = _step(step, taken)
            values.append(np.asarray(result, dtype_named(step.value.dtype)))
            assert values[-1].shape == step.value.shape, step
    return [values[number] for number in program.results]


def _step(step, taken):
    shape = step.value.shape
    if step.name == "literal":
        return dtype_named(step.value.dtype).type(_number(step.text))
    if step.name == "places":
        return np.arange(*shape)
    if step.name == "view":
        (array,) = taken
        places = [(axis, size) for axis, size in zip(step.axes, array.shape, strict=True)]
        own = [1] * len(shape)
        for axis, size in places:
            if axis >= 0:
                own[axis] = size
        return np.broadcast_to(array.reshape(own), shape)
    if step.name == "astype":
        return taken[0].astype(step.value.dtype)
    if step.name == "where":
        return np.where(*taken)
    loop = dtype_named(step.loop)
    if step.name in REDUCTIONS:
        ufunc = getattr(np, REDUCTIONS[step.name])
        return ufunc.reduce(taken[0].astype(loop), step.axes, dtype=loop)
    assert all(array.dtype == loop for array in taken), step
    return getattr(np, step.name)(*taken)


def _number(text):
    if text in ("True", "False"):
        return text == "True"
    return int(text) if text.lstrip("-").isdigit() else float(text)
