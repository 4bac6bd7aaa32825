"""How long placing takes: a graph of 100,000 nodes, of the kinds of nodes that cost most.

The graph is many towers of layers: variables that are resources or references, reads, identities,
constants, `_class` groups, metadata, and a slot of an optimizer for each variable; the towers stand
under device scopes of their own. Each row places it on other devices or other terms, with a new
placer each time, and prints the best of some tries. `--nodes N` makes it larger or smaller.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from typing import Any

import tfsession as tf
from tfsession.devices.cpu import CpuDevice
from tfsession.devices.device import Device
from tfsession.graph.create import create_operation
from tfsession.runtime.place import Placer

TOWERS = ("/gpu:0", "/gpu:1", "/cpu:0", "", "/job:localhost/gpu:1", "/device:*:1")
_VARIABLE = {"dtype": "float32", "shape": [2, 2], "container": "", "shared_name": ""}


def _node(op_type: str, *inputs: Any, **attrs: Any) -> Any:
    op = create_operation(op_type, list(inputs), attrs)
    return op.outputs[0] if op.outputs else op


def _layer(x: Any, number: int) -> Any:
    """Some twenty nodes: a layer's weights, its values, its update."""
    weights = _node("VarHandleOp", **_VARIABLE)
    with tf.colocate_with(weights.op):
        slot = _node("VarHandleOp", **_VARIABLE)
        rate = tf.constant(0.1)
    read = _node("Identity", _node("ReadVariableOp", weights, dtype="float32"))
    y = _node("AddV2", _node("MatMul", x, read), tf.constant([1.0, 2.0]))
    gradient = _node("Mul", _node("Identity", _node("Tanh", y)), tf.constant(2.0))
    _node("Shape", y)
    _node("ResourceApplyMomentum", weights, slot, rate, gradient, tf.constant(0.9))
    if number % 4 == 0:
        bias = _node("VariableV2", **_VARIABLE)
        with tf.colocate_with(bias.op):
            _node("Assign", bias, tf.constant([[0.0, 1.0], [2.0, 3.0]]))
            y = _node("AddV2", y, _node("Identity", bias))
    return y


def graph_of(nodes: int) -> Any:
    """The graph, of a little more than so many nodes."""
    with tf.Graph().as_default() as graph:
        number = 0
        while len(graph.get_operations()) < nodes:
            with tf.device(TOWERS[number % len(TOWERS)]):
                x = _node("Placeholder", dtype="float32", shape=[2, 2])
                for layer in range(50):
                    x = _layer(x, layer)
            number += 1
    return graph


class _Gpu(CpuDevice):
    """A GPU by name: placing asks for no more."""

    def __init__(self, index: int) -> None:
        Device.__init__(self, "GPU", index, 1 << 20, f"device: {index}, name: by name only")


def _devices(gpus: int) -> list[Any]:
    return [CpuDevice(0), CpuDevice(1), *(_Gpu(index) for index in range(gpus))]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--tries", type=int, default=7)
    options = parser.parse_args()
    ops = graph_of(options.nodes).get_operations()
    print(f"{len(ops):,} nodes, best of {options.tries}, milliseconds")
    for name, gpus, soft, again in (
        ("two GPUs", 2, False, False),
        ("two GPUs, soft", 2, True, False),
        ("CPU only, soft", 0, True, False),
        ("two GPUs, again", 2, False, True),
    ):
        times = []
        for _ in range(options.tries):
            placer = Placer(_devices(gpus), allow_soft_placement=soft, log_device_placement=False)
            previous = placer.place(ops, {}) if again else {}
            gc.collect()
            start = time.perf_counter()
            placer.place(ops, previous)
            times.append(time.perf_counter() - start)
        print(
            f"{name:20}{min(times) * 1e3:9.0f}   (median {sorted(times)[len(times) // 2] * 1e3:.0f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
