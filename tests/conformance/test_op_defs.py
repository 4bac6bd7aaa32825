"""Every op definition against TensorFlow's registered OpDef."""

import inspect

import numpy as np
import pytest

import tfsession
from tfsession.core import protos
from tfsession.core.attr_value import attr_from_proto
from tfsession.core.op_def import ops
from tfsession.core.op_def_proto import to_op_def_proto
from tfsession.core.tensor_proto import make_ndarray

pytestmark = [pytest.mark.oracle, pytest.mark.spec("op_defs")]

NAMES = sorted(name for name in ops.names() if "tests/" not in ops.site(name))


def comparable(message):
    """The message without documentation, deprecation and what only tracing compilers read."""
    op_def = protos.OpDef.FromString(message.SerializeToString())
    for field in ("summary", "description", "deprecation", "control_output"):
        op_def.ClearField(field)
    for arg in (*op_def.input_arg, *op_def.output_arg):
        for field in ("description", "experimental_full_type", "handle_data"):
            arg.ClearField(field)
    for attr in op_def.attr:
        attr.ClearField("description")
        if attr.type == "tensor" and attr.HasField("default_value"):
            # The same values may be written as numbers or as bytes.
            attr.description = str(attr_from_proto(attr.default_value))
            attr.ClearField("default_value")
    return op_def


@pytest.mark.parametrize("name", NAMES)
def test_same_definition(tf, name):
    from tensorflow.python.framework import op_def_registry  # noqa: PLC0415

    real = op_def_registry.get(name)
    assert real is not None, f"TensorFlow has no op {name}"
    assert comparable(to_op_def_proto(ops[name])) == comparable(real)


def plain(default):
    """A default value that can be compared: a dtype as its number, a tensor as a list."""
    if hasattr(default, "tensor_shape"):
        default = make_ndarray(default)
    if isinstance(default, np.ndarray):
        return default.dtype, default.tolist()
    if isinstance(default, list):
        return [float(np.float32(v)) if isinstance(v, float) else v for v in default]
    return getattr(default, "as_datatype_enum", default)


def parameters(function):
    found = inspect.signature(function).parameters.values()
    return function.__name__.removeprefix("_"), [(p.name, plain(p.default)) for p in found]


@pytest.mark.parametrize("name", NAMES)
def test_same_raw_function(tf, name):
    mine, real = (getattr(module.raw_ops, name) for module in (tfsession, tf))
    assert parameters(mine) == parameters(real)
