"""Which kernels copy between host and device by themselves, beside the table that is kept.

    python tests/kernels/test_device_copies.py             prints what changed since the table
    python tests/kernels/test_device_copies.py --update    writes the table anew: device_copies.txt

Each row of tests/ops, and steps of optimizers and of variables, runs on a simulated GPU. A kernel
that brings arrays there by itself (`xp.asarray(host)`), or looks at one (`item()`, `bool(array)`),
waits for the device at each step, and cannot be captured into a CUDA graph.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TABLE = HERE / "device_copies.txt"
OPS = HERE.parent / "ops"
HEAD = """\
# What kernels copy by themselves on a GPU: the most uploads and reads of one run of an operation,
# in the rows of tests/ops and some steps of training, and how often else it waits for the device.
# What stands here cannot be captured.
# python tests/kernels/test_device_copies.py --update
"""

# What is counted: methods of simulated devices.
KINDS = ("uploads", "reads", "waits")
NONE = (0,) * len(KINDS)

# The most of each kind of one operation of a type.
Copies = dict[str, tuple[int, ...]]


class Watch:
    """Counts the copies that kernels make on simulated devices, by operation."""

    def __init__(self) -> None:
        self.found: Copies = {}
        self._of_run: dict[str, Counter[tuple[str, str]]] = {}

    def note(self, kind: str) -> None:
        """The operation that runs now copies."""
        from tfsession.devices import memory  # noqa: PLC0415  after the environment is set

        self._of_run.setdefault(kind, Counter())[memory._running_operation()] += 1

    def forget(self) -> None:
        """What was counted since the last end does not count."""
        self._of_run = {}

    def end(self) -> None:
        """A run is over: take its counts into the table."""
        for column, kind in enumerate(KINDS):
            for (_, op_type), count in self._of_run.get(kind, Counter()).items():
                row = list(self.found.get(op_type, NONE))
                row[column] = max(row[column], count)
                self.found[op_type] = tuple(row)
        self._of_run = {}


@contextmanager
def watching() -> Iterator[Watch]:
    """Counts copies in a block."""
    from tfsession.devices.simulated import SimulatedDevice  # noqa: PLC0415

    watch, before = Watch(), {kind: getattr(SimulatedDevice, kind) for kind in KINDS}

    def noting(kind: str, function: Callable[..., None]) -> Callable[..., None]:
        def count(*args: Any) -> None:
            function(*args)  # a recording refuses it, and the operation runs once more
            watch.note(kind)

        return count

    for kind, function in before.items():
        setattr(SimulatedDevice, kind, noting(kind, function))
    try:
        yield watch
    finally:
        for kind, function in before.items():
            setattr(SimulatedDevice, kind, function)


# --- what is run ----------------------------------------------------------------------------------


def _rows() -> Iterator[tuple[Any, str]]:
    """Every row, with one dtype of a kind."""
    for path in sorted(OPS.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"copies_of_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        rows = getattr(module, "ROWS", [])
        if isinstance(rows, list):  # another table, by chance of that name
            for row in rows:
                of_kinds = {_kind(dtype): dtype for dtype in row.dtypes}
                yield from ((row, dtype) for dtype in of_kinds.values())


def _kind(dtype: str) -> str:
    """What dtypes have in common for which kernels are the same, as a rule."""
    return dtype if dtype in ("float16", "bfloat16") else dtype.strip("0123456789")


def _run_row(tf: Any, watch: Watch, row: Any, dtype: str) -> None:
    """One row with its gradients, as far as it has some."""
    from tfsession import testing  # noqa: PLC0415

    arrays = row.arrays(dtype)
    tensors, outputs, feeds = testing.build_row(tf, row, arrays)
    values = [t for t in outputs if t is not None]
    floating = [t for t in values if hasattr(t, "dtype") and t.dtype.is_floating]
    inputs = [t for t in tensors if t in feeds and t.dtype.is_floating]
    grads = tf.gradients(floating, inputs) if row.grad and floating and inputs else []
    config = tf.ConfigProto(allow_soft_placement=True)
    with tf.Session(config=config) as session:
        for _ in range(2):
            watch.forget()  # what the first run brings over stays there
            session.run([values, [g for g in grads if g is not None]], feeds)


def _optimizers(tf: Any) -> dict[str, Any]:
    train = tf.train
    return {
        "descent": train.GradientDescentOptimizer(0.1),
        "momentum": train.MomentumOptimizer(0.1, 0.9),
        "Nesterov": train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
        "Adam": train.AdamOptimizer(0.1),
        "Adagrad": train.AdagradOptimizer(0.1),
        "AdagradDA": train.AdagradDAOptimizer(0.1, tf.constant(1, tf.int64)),
        "Adadelta": train.AdadeltaOptimizer(0.1),
        "RMSProp": train.RMSPropOptimizer(0.1, momentum=0.9),
        "centered RMSProp": train.RMSPropOptimizer(0.1, momentum=0.9, centered=True),
        "Ftrl": train.FtrlOptimizer(0.1),
        "proximal descent": train.ProximalGradientDescentOptimizer(0.1),
        "proximal Adagrad": train.ProximalAdagradOptimizer(0.1),
    }


def _train(tf: Any, watch: Watch, name: str, use_resource: bool) -> None:
    """Two steps of an optimizer on a dense variable and on some rows of another."""
    dense = tf.get_variable("dense", [3, 2], use_resource=use_resource)
    words = tf.get_variable("words", [5, 3], use_resource=use_resource)
    found = tf.nn.embedding_lookup(words, tf.constant([1, 3, 1], tf.int64))
    loss = tf.reduce_mean(tf.square(tf.matmul(found, dense)))
    step = _optimizers(tf)[name].minimize(loss)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        session.run([step, loss])
        watch.forget()
        session.run([step, loss])


_SCATTERS = ["add", "sub", "mul", "div", "min", "max", "update"]


def _scatter(tf: Any, use_resource: bool) -> None:
    """All that writes some rows, elements or slices of a variable."""
    variable = tf.get_variable("rows", [5, 3], use_resource=use_resource)
    rows, elements = tf.constant([1, 3], tf.int64), tf.constant([[1, 0], [3, 2]], tf.int64)
    updates, numbers = tf.ones([2, 3]), tf.ones([2])
    made = [getattr(tf, f"scatter_{verb}")(variable, rows, updates) for verb in _SCATTERS]
    made += [
        getattr(tf, f"scatter_nd_{verb}")(variable, elements, numbers)
        for verb in ("add", "sub", "update")
    ]
    made += [tf.gather_nd(variable, elements), tf.assign_add(variable, tf.ones([5, 3]))]
    made += [tf.assign_sub(variable, tf.zeros([5, 3])), tf.assign(variable, tf.zeros([5, 3]))]
    if not use_resource:
        made += [tf.count_up_to(tf.get_variable("to", initializer=tf.constant(0, tf.int64)), 9)]
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        session.run([item.op if hasattr(item, "op") else item for item in made])


def _programs(tf: Any, watch: Watch) -> Iterator[Callable[[], None]]:
    for row, dtype in _rows():
        yield lambda row=row, dtype=dtype: _run_row(tf, watch, row, dtype)  # type: ignore[misc]
    for use_resource in (False, True):
        for name in _optimizers(tf):
            yield lambda name=name, kind=use_resource: _train(tf, watch, name, kind)  # type: ignore[misc]
        yield lambda kind=use_resource: _scatter(tf, kind)  # type: ignore[misc]


def find() -> Copies:
    """What the kernels copy now."""
    import tfsession as tf  # noqa: PLC0415

    with (
        watching() as watch,
        warnings.catch_warnings(),
        pytest.MonkeyPatch.context() as patch,
    ):
        warnings.simplefilter("ignore")
        patch.setenv("TFSESSION_GPU_GRAPHS", "0")  # what cannot be recorded would be tried twice
        for program in _programs(tf, watch):
            with tf.Graph().as_default() as graph, graph.device("/gpu:0"):
                tf.set_random_seed(7)
                program()
            watch.end()
    return watch.found


# --- the table ------------------------------------------------------------------------------------


def load() -> Copies:
    """The table that is kept."""
    lines = TABLE.read_text("utf-8").splitlines() if TABLE.exists() else []
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {name: tuple(map(int, counts)) for name, *counts in rows}


def text(found: Copies) -> str:
    """The table as it is written."""
    rows = [
        f"{name:44}" + "".join(f"{count:4}" for count in counts) + "\n"
        for name, counts in sorted(found.items())
    ]
    return HEAD + "".join(rows)


def compare(kept: Copies, found: Copies) -> list[str]:
    """What changed, a line each."""
    return [
        f"{name}: {', '.join(KINDS)} {kept.get(name, NONE)} -> {found.get(name, NONE)}"
        for name in sorted(kept.keys() | found.keys())
        if kept.get(name) != found.get(name)
    ]


UPDATE = "`python tests/kernels/test_device_copies.py --update` writes the table anew"


def test_kernels_copy_no_more_than_they_did():
    changes = compare(load(), find())
    assert not changes, "\n".join(
        ["kernels copy otherwise than device_copies.txt says:", *changes, UPDATE]
    )


def test_copies_are_counted_by_operation():
    import tfsession as tf  # noqa: PLC0415

    with watching() as watch, tf.Graph().as_default(), tf.device("/gpu:0"):
        value = tf.placeholder(tf.float32, [None])
        checked = tf.debugging.check_numerics(tf.debugging.check_numerics(value, "a"), "b")
        with tf.Session() as session:
            session.run(checked, {value: [1.0]})
        watch.end()
    assert watch.found == {"CheckNumerics": (0, 1, 0)}


def test_changes_are_named():
    kept = {"Add": (1, 0, 0), "Mul": (0, 1, 0)}
    changes = compare(kept, {"Mul": (0, 2, 0), "Sub": (1, 1, 1)})
    assert [line.split(":")[0] for line in changes] == ["Add", "Mul", "Sub"]
    assert compare(kept, kept) == []


def main() -> None:
    """Compare, update."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the table anew")
    options = parser.parse_args()
    os.environ["TFSESSION_SIMULATED_GPUS"] = "2:256MiB"
    found = find()
    print("\n".join(compare(load(), found)) or "nothing changed")  # noqa: T201
    if options.update:
        TABLE.write_text(text(found), "utf-8")


if __name__ == "__main__":
    main()
