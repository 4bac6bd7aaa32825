"""Attention of halves as a graph of cuDNN, where it is installed; forwards, with nothing kept.

It has a scale, and one mask that is added. None is given for what is otherwise, and where there is
no plan: then `kernels.cuda.attention` has its own kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.devices.capture import CaptureRefused
from tfsession.devices.cudnn import graph_library
from tfsession.kernels.cuda.attention_changes import Change

__all__ = ["attended"]

_TYPES = ("float16", "bfloat16")
# Numbers of tensors in a graph.
_Q, _K, _V, _RESULT, _MASK = 1, 2, 3, 4, 5
_MOST_DEPTH, _LANES, _ALIGNMENT = 128, 8, 16
_KINDS = ([], ["scale"], ["add"], ["scale", "add"])


def attended(xp: Any, changes: Sequence[Change], arrays: Sequence[Any]) -> Any:
    """The result for Q, K and V, each by rows, and the mask, if there is one."""
    if [change.kind for change in changes] not in _KINDS or not _fits(arrays):
        return None
    library = graph_library(xp)
    if library is None:
        return None
    q, k, v, *masks = [_four(array) for array in arrays]
    scale = next((change.number for change in changes if change.kind == "scale"), 1.0)
    shape = (*q.shape[:-1], v.shape[-1])

    def describe(graph: Any, kind: Any) -> None:
        def tensor(array: Any, number: int) -> Any:
            steps = [step // array.dtype.itemsize for step in array.strides]
            return graph.tensor(dim=list(array.shape), stride=steps, data_type=kind, uid=number)

        given = {"q": tensor(q, _Q), "k": tensor(k, _K), "v": tensor(v, _V)}
        if masks:
            given["bias"] = tensor(masks[0], _MASK)
        found, _ = graph.sdpa(**given, attn_scale=scale, generate_stats=False)
        found.set_output(True).set_data_type(kind).set_uid(_RESULT)
        found.set_dim(list(shape))
        found.set_stride([shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1])

    told = [(array.shape, array.strides) for array in (q, k, v, *masks)]
    plan = library.plan(xp, ("attention", scale, *told), q.dtype.name, describe)
    if plan is None:
        return None
    result = xp.empty(shape, q.dtype)
    numbered = {_Q: q, _K: k, _V: v, _RESULT: result}
    if masks:
        numbered[_MASK] = masks[0]
    try:
        plan.run(xp, numbered)
    except (CaptureRefused, MemoryError):
        raise
    except Exception:
        library.drop(plan)
        return None
    return result.reshape(*arrays[0].shape[:-1], v.shape[-1])


def _four(array: Any) -> Any:
    """An array with two dimensions of a batch."""
    return array[(None,) * (4 - array.ndim)] if array.ndim < 4 else array


def _fits(arrays: Sequence[Any]) -> bool:
    """Whether the library may have an attention of such arrays."""
    q, k, v, *masks = arrays
    if any(array.dtype.name not in _TYPES or array.dtype != q.dtype for array in arrays):
        return False
    if not all(2 <= array.ndim <= 4 and array.size for array in (q, k, v)):
        return False
    if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2] or k.shape[-1] != q.shape[-1]:
        return False
    if v.shape[-2] != k.shape[-2] or max(q.shape[-1], v.shape[-1]) > _MOST_DEPTH:
        return False
    scores = (*q.shape[:-1], k.shape[-2])
    for mask in masks:
        rows = zip(mask.shape[::-1], scores[::-1], strict=False)
        if mask.ndim > len(scores) or any(own not in (1, size) for own, size in rows):
            return False
    for array in (q, k, v):
        steps = [step // array.dtype.itemsize for step in array.strides]
        if steps[-1] != 1 or array.shape[-1] % _LANES or any(s % _LANES for s in steps[:-1]):
            return False
    return all(array.data.ptr % _ALIGNMENT == 0 for array in (q, k, v))
