"""The first format's messages: those that others write in their ways are read, too."""

import numpy as np
import pytest

from tfsession.checkpoint.saved_slices import SlicesReader, SlicesWriter
from tfsession.checkpoint.table import decode_table, encode_table
from tfsession.core import dtypes, protos
from tfsession.core.tensor_parts import Part, whole
from tfsession.core.wire import nested

ARRAYS = {
    "float": (np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3), dtypes.float32),
    "double": (np.float64(0.1), dtypes.float64),
    "complex": (np.array([1 + 2j, -0.0], np.complex64), dtypes.complex64),
    "bool": (np.array([True, False, True]), dtypes.bool_),
    "int": (np.array([-1, 70000], np.int32), dtypes.int32),
    "empty": (np.zeros([0, 2], np.float32), dtypes.float32),
    "text": (np.array([b"a", b""], object), dtypes.string),
}
BITS = np.array([0x7FC00001, 0xFF800000, 1, 0x80000000], np.uint32)


@pytest.fixture
def written(tmp_path):
    """A checkpoint of the arrays, and of the two halves of another one."""
    writer = SlicesWriter(str(tmp_path / "m"))
    for name, (array, dtype) in ARRAYS.items():
        writer.add(name, whole(np.shape(array)), np.asarray(array), dtype)
    for begin in (0, 2):
        part = Part((4,), ((begin, 2),))
        writer.add("bits", part, BITS.view(np.float32)[begin : begin + 2], dtypes.float32)
    writer.finish()
    return tmp_path / "m"


def _check(path):
    reader = SlicesReader(str(path))
    for name, (array, dtype) in ARRAYS.items():
        found = reader.read(name)
        assert (found.dtype, found.shape) == (dtype.numpy, np.shape(array))
        np.testing.assert_array_equal(found, array)
    return reader.read("bits").view(np.uint32)


def test_bits_come_back(written):
    assert _check(written).tolist() == BITS.tolist()


def _otherwise(value):
    """The same message with what readers skip behind it: a field that nobody knows."""
    return value + nested(15, b"new")


def _unpacked(value):
    """The same message with each number in a field of its own."""
    message = protos.SavedTensorSlices.FromString(value)
    numbers = list(message.data.data.float_val)
    if not numbers:
        return value
    del message.data.data.float_val[:]
    raw = b"".join(b"\x2d" + np.float32(number).tobytes() for number in numbers)
    tensor = message.data.data.SerializeToString() + raw
    message.data.ClearField("data")
    return nested(2, message.data.SerializeToString() + nested(3, tensor))


@pytest.mark.parametrize("change", [_otherwise, _unpacked])
def test_messages_of_others_are_read(written, change):
    rows = list(decode_table(written.read_bytes()))
    changed = [(key, change(value) if key else value) for key, value in rows]
    assert changed != rows
    written.write_bytes(encode_table(changed))
    assert np.array_equal(_check(written)[1:], BITS[1:])
