"""Buffers: which values of a step may give their memory to the result of a later operation."""

from __future__ import annotations

from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node
from tfsession.runtime.runs import Key, Run


class Buffers:
    """Which values of a host segment may give their memory to the result of a ufunc.

    Writing over an input that dies saves the page faults of a fresh large array, which cost as
    much as the arithmetic.
    """

    def __init__(self, run: Run, reuses: bool, fresh: set[Key]) -> None:
        """`fresh` are the values known to be of a kind to be written over, of other pieces, too."""
        self._run = run
        self._reuses = reuses
        self._fresh = fresh

    def note(self, index: int) -> None:
        """Take in what an operation makes, and what may live on in its result or its state."""
        run, node, results = self._run, self._run.nodes[index], self._run.outputs[index]
        kernel = node.kernel
        is_own = len(results) == 1 or kernel.apart
        if kernel.forwards and all(run.value(name) != name for name in results):
            return  # the same values as before
        if kernel.aliases or kernel.stateful:
            self._fresh.difference_update(run.inputs[index])
        elif self._reuses and not kernel.constant and node.memory is None and is_own:
            for name in results:
                self._fresh.add(name)

    def reusable(self, index: int) -> Key | None:
        """The value over which kernel number `index` may write, if there is one."""
        run, node = self._run, self._run.nodes[index]
        if not node.kernel.takes_out or node.memory is not None or len(node.op.outputs) != 1:
            return None
        fresh, ends = self._fresh, run.ends
        for name, tensor in zip(run.inputs[index], node.inputs, strict=True):
            if name in fresh and ends.get(name) == index and _has_the_result(node, tensor):
                return name
        return None

    def is_given_up(self, index: int) -> bool:
        """Whether nobody else has the last input of kernel number `index`, or will."""
        run, node = self._run, self._run.nodes[index]
        if node.memory is not None or node.inputs[-1].dtype.is_ref:
            return False
        name = run.inputs[index][-1]
        return name in self._fresh and run.ends.get(name) == index


def _has_the_result(node: Node, tensor: Tensor) -> bool:
    """Whether the result of a ufunc surely has the shape and dtype of this input, an array.

    NumPy computes some complex results in another way where they go over an input: bits differ.
    """
    out = node.op.outputs[0]
    if tensor.dtype is not out.dtype or not tensor._shape or out.dtype.is_complex:
        return False
    if None not in tensor._shape and tensor._shape == out._shape:
        return True
    return all(other is tensor or other._shape == () for other in node.inputs)
