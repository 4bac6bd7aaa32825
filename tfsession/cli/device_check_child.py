"""The check of one device: `python -m tfsession.cli.device_check_child NAME` prints a line of JSON.

Started by `tfsession devices --check`, in a process of its own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import tfsession as tf

__all__ = ["check", "main"]

_SIDE = 32


class _Wrong(Exception):
    """The device has computed something else."""


def _expect(what: str, found: Any, expected: Any) -> None:
    """Small whole numbers: every device must give them exactly, however it adds them up."""
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise _Wrong(f"{what} gave {found.dtype}{list(found.shape)}")
    wrong = np.count_nonzero(found != expected)
    if wrong:
        raise _Wrong(f"{what} gave {wrong} wrong numbers of {expected.size}")


def check(name: str) -> None:
    """Runs kernels and transfers on a device and compares the numbers.

    Raises an error that tells what is wrong.
    """
    generator = np.random.default_rng(0)
    x = generator.integers(-8, 8, (_SIDE, _SIDE)).astype(np.float32)
    with tf.Graph().as_default(), tf.device(name):
        fed = tf.placeholder(tf.float32, x.shape)
        copied = tf.identity(fed)
        product = tf.matmul(fed, fed, transpose_b=True)
        total = tf.reduce_sum(tf.nn.relu(product) * 2.0 + fed, axis=1)
        config = tf.ConfigProto(allow_soft_placement=False)
        with tf.Session(config=config) as session:
            found = session.run([copied, product, total], {fed: x})
    _expect("a copy to the device and back", found[0], x)
    _expect("a matrix product", found[1], x @ x.T)
    expected = (np.maximum(x @ x.T, 0) * 2 + x).sum(axis=1)
    _expect("an element-wise kernel with a sum", found[2], expected)


def _cause(message: str) -> str:
    """The line of a message that tells the cause: in a step's error it follows the node's name."""
    lines = message.strip().splitlines() or [""]
    nodes = [i for i, line in enumerate(lines[:-1]) if line.startswith("Node: ")]
    return lines[nodes[-1] + 1 if nodes else 0]


def main(name: str) -> int:
    """Prints whether the device passes, and why not."""
    reason = ""
    try:
        check(name)
    except _Wrong as wrong:
        reason = str(wrong)
    except Exception as error:
        message = error.message if isinstance(error, tf.errors.OpError) else str(error)
        reason = f"{type(error).__name__}: {_cause(message)}"
    sys.stdout.write(json.dumps({"passed": not reason, "reason": reason}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
