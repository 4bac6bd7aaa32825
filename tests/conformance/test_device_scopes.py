"""Random nests of device and colocation scopes: the device and `_class` of every operation."""

import os
import random

import pytest

import tfsession

pytestmark = pytest.mark.oracle

# Many more, once: TFSESSION_TEST_EXAMPLES=10000.
EXAMPLES = int(os.environ.get("TFSESSION_TEST_EXAMPLES", "400"))

HOSTS = ("", "/job:w", "/job:ps/task:1", "/task:2", "/replica:0", "/job:w/replica:1/task:3")
KINDS = ("", "/cpu:0", "/gpu:1", "/device:CPU:*", "/device:FOO:2", "/device:*:1")
LOOSE = ("gpu:1", "/cpu", "cpu", "/gpu:*", "//job:a", "/device:gpu:0", "/job:a/job:b", "/tpu:00")
BAD = ("bogus", "/gpu:x", "/task:*", "/cpu:0/gpu:0", "/device:CPU", " /cpu:0", b"/cpu:0", 5)
FIELDS = {
    "job": ("w", "ps", None),
    "replica": (0, 1, None),
    "task": (0, "2", None),
    "device_type": ("cpu", "GPU", "FOO", None),
    "device_index": (0, "1", None),
}


class Story:
    """One random nest, told to one module: `told` holds what came of each operation and scope."""

    def __init__(self, module, seed):
        self.tf = module
        self.pick = random.Random(seed)
        self.ops = []
        self.told = []
        with module.Graph().as_default() as self.graph:
            for _ in range(3):
                self.block(0)

    def text(self):
        return self.pick.choice(HOSTS) + self.pick.choice(KINDS)

    def spec(self):
        kind = self.pick.choice((self.tf.DeviceSpec, self.tf.compat.v2.DeviceSpec))
        fields = {name: self.pick.choice(values) for name, values in FIELDS.items()}
        if fields["device_type"] is None:
            # TensorFlow takes such a spec for one without an index, if it has met that before.
            fields["device_index"] = None
        return kind(**fields)

    def function(self):
        """A device function; those of no sense are there, too."""
        form = self.pick.randint(0, 7)
        text, spec = self.text(), self.spec()

        def place(op):
            self.told.append(("asked", op.name, op.device, [x.name for x in op.inputs]))
            if form == 0:
                return op.device + "/task:7"
            if form == 1:
                return self.tf.DeviceSpec.from_string(op.device).make_merged_spec(spec)
            if form == 2:
                raise KeyError(op.name)
            return (None, text.encode(), spec, text, text)[form - 3]

        return place

    def device(self):
        form = self.pick.choice("tttttssffflb0")
        if form == "t":
            return self.text()
        if form == "s":
            return self.spec()
        if form == "f":
            return self.function()
        return {"l": self.pick.choice(LOOSE), "b": self.pick.choice(BAD), "0": None}[form]

    def scope(self):
        if self.pick.random() < 0.75:
            scope = (self.graph.device, self.tf.device)[self.pick.randint(0, 1)]
            return scope(self.device())
        target = self.pick.choice(self.ops) if self.ops and self.pick.random() < 0.9 else None
        if target is not None and target.outputs and self.pick.random() < 0.5:
            target = target.outputs[0]
        return self.graph.colocate_with(target, self.pick.random() < 0.3)

    def block(self, depth):
        for _ in range(self.pick.randint(1, 3)):
            if depth < 5 and self.pick.random() < 0.6:
                try:
                    with self.scope():
                        self.block(depth + 1)
                except Exception as error:
                    self.told.append((type(error).__name__, str(error)))
            else:
                self.operation()

    def operation(self):
        name = f"n{len(self.told)}"
        source = self.pick.choice([op for op in self.ops if op.outputs] or [None])
        try:
            if source is None or self.pick.random() < 0.5:
                op = self.tf.placeholder(self.tf.float32, name=name).op
            elif self.pick.random() < 0.5:
                op = self.tf.negative(source.outputs[0], name=name).op
            else:
                op = self.tf.no_op(name=name)
        except Exception as error:
            self.told.append((type(error).__name__, str(error)))
            return
        self.ops.append(op)
        classes = list(op.node_def.attr["_class"].list.s)
        self.told.append((op.name, op.device, classes, op.colocation_groups()))
        if self.pick.random() < 0.05:
            op._set_device(self.text())


@pytest.mark.spec("5.3")
def test_same_as_tensorflow(tf, rows_compared):
    for seed in range(EXAMPLES):
        real, ours = Story(tf, seed).told, Story(tfsession, seed).told
        assert ours == real, seed
    rows_compared(EXAMPLES)
