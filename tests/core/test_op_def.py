"""The grammar of op definitions: each row is a text and what it means."""

import numpy as np
import pytest

from tfsession.core import dtypes, protos
from tfsession.core.op_def import NO_DEFAULT, ArgDef, AttrDef, OpDef, define_op, ops
from tfsession.core.op_def_proto import op_def_from_proto, to_op_def_proto

ATTRS = {a.name: a for a in map(AttrDef, ["T: type", "N: int >= 1", "Tin: list(type)"])}

ARGS = [
    ("x: T", {"type_attr": "T"}),
    ("x:T", {"type_attr": "T"}),
    ("x: float", {"type": dtypes.float32}),
    ("x: half", {"type": dtypes.float16}),
    ("ref: Ref(T)", {"type_attr": "T", "is_ref": True}),
    ("ref: Ref(int32)", {"type": dtypes.int32, "is_ref": True}),
    ("values: N * T", {"number_attr": "N", "type_attr": "T"}),
    ("values: N*string", {"number_attr": "N", "type": dtypes.string}),
    ("refs: Ref(N * T)", {"number_attr": "N", "type_attr": "T", "is_ref": True}),
    ("args: Tin", {"type_list_attr": "Tin"}),
]


@pytest.mark.parametrize(("text", "expected"), ARGS, ids=[text for text, _ in ARGS])
def test_argument(text, expected):
    arg = ArgDef(text, ATTRS)
    fields = ("type", "type_attr", "number_attr", "type_list_attr", "is_ref")
    found = {name: getattr(arg, name) for name in fields}
    assert found == dict.fromkeys(fields[:-1]) | {"is_ref": False} | expected
    assert arg.is_sequence == ("number_attr" in expected or "type_list_attr" in expected)
    assert arg.name == text.split(":")[0]


DTYPES = (dtypes.int32, dtypes.int64)

ATTRIBUTES = [
    ("a: int", "int", None, None, NO_DEFAULT),
    ("a: int = -3", "int", None, None, -3),
    ("a: int >= 2", "int", 2, None, NO_DEFAULT),
    ("a: int >= -1 = 0", "int", -1, None, 0),
    ("a: float = 1e-4", "float", None, None, float(np.float32(1e-4))),
    ("a: float = -inf", "float", None, None, float("-inf")),
    ("a: bool = true", "bool", None, None, True),
    ("a: bool=false", "bool", None, None, False),
    ("a: string = ''", "string", None, None, b""),
    ("a: string = 'x, y'", "string", None, None, b"x, y"),
    ("a: {'SAME', 'VALID'}", "string", None, (b"SAME", b"VALID"), NO_DEFAULT),
    ("a: {'', 'NHWC'} = 'NHWC'", "string", None, (b"", b"NHWC"), b"NHWC"),
    ("a: type", "type", None, None, NO_DEFAULT),
    ("a: type = DT_FLOAT", "type", None, None, dtypes.float32),
    ("a: {int32, int64} = DT_INT32", "type", None, DTYPES, dtypes.int32),
    ("a: quantizedtype", "type", None, dtypes.TYPE_GROUPS["quantizedtype"], NO_DEFAULT),
    ("a: list(type) >= 1", "list(type)", 1, None, NO_DEFAULT),
    ("a: list({int32, int64}) >= 0 = []", "list(type)", 0, DTYPES, []),
    ("a: list(type) = [DT_INT32, DT_HALF]", "list(type)", None, None, [dtypes.int32, dtypes.half]),
    ("a: list(int) = [1, -1]", "list(int)", None, None, [1, -1]),
    ("a: list(float) = [0.75, 1.0]", "list(float)", None, None, [0.75, 1.0]),
    ("a: list(bool) = [true]", "list(bool)", None, None, [True]),
    ("a: list(string) = ['a, b', '']", "list(string)", None, None, [b"a, b", b""]),
    ("a: list({'A', 'B'}) = ['B']", "list(string)", None, (b"A", b"B"), [b"B"]),
    ("a: list(shape) >= 0 = []", "list(shape)", 0, None, []),
    ("a: list(shape) = [[], [1, -1]]", "list(shape)", None, None, [(), (1, None)]),
    ("a: shape = []", "shape", None, None, ()),
    ("a: shape = [2, -1]", "shape", None, None, (2, None)),
    ("a: shape = { unknown_rank: true }", "shape", None, None, None),
    ("a: shape = {}", "shape", None, None, ()),
    ("a: func", "func", None, None, NO_DEFAULT),
    ("a: list(func) = []", "list(func)", None, None, []),
]


@pytest.mark.parametrize("row", ATTRIBUTES, ids=[row[0] for row in ATTRIBUTES])
def test_attribute(row):
    text, kind, minimum, allowed, default = row
    attr = AttrDef(text)
    assert (attr.name, attr.type, attr.minimum, attr.allowed) == ("a", kind, minimum, allowed)
    assert attr.default == default
    assert type(attr.default) is type(default)


def test_tensor_default():
    default = AttrDef("color: tensor = uint8[255, 0]").default
    np.testing.assert_array_equal(default, np.array([255, 0], np.uint8), strict=True)
    assert AttrDef("color: tensor = float 1.5").default == np.float32(1.5)


@pytest.mark.parametrize(
    "text", ["x", "x T", "x: Ref(T", "x: T)", "x: N * N * T", "x: nope", "x: N * Ref(T)"]
)
def test_bad_argument(text):
    with pytest.raises(ValueError, match=r"Cannot parse|Unknown type"):
        ArgDef(text, ATTRS)


@pytest.mark.parametrize(
    "text", ["a", "a: {half, nope}", "a: string = bare", "a: func = f", "a: string = 'open"]
)
def test_bad_attribute(text):
    with pytest.raises(ValueError, match=r"Cannot parse|Unknown type|can be written"):
        AttrDef(text)


def test_definition_message():
    op_def = OpDef(
        "OpDefRow",
        inputs=["ref: Ref(T)", "values: N * T", "args: Tin"],
        outputs=["y: float"],
        attrs=["T: {half, int32} = DT_INT32", "N: int >= 1", "Tin: list(type)", "s: string = 'x'"],
        stateful=True,
        allows_uninitialized_input=True,
    )
    a, d = protos.OpDef.ArgDef, protos.OpDef.AttrDef
    value = protos.AttrValue
    types = protos.AttrValue.ListValue(type=[protos.DT_HALF, protos.DT_INT32])
    message = to_op_def_proto(op_def)
    assert message == protos.OpDef(
        name="OpDefRow",
        input_arg=[
            a(name="ref", type_attr="T", is_ref=True),
            a(name="values", type_attr="T", number_attr="N"),
            a(name="args", type_list_attr="Tin"),
        ],
        output_arg=[a(name="y", type=protos.DT_FLOAT)],
        attr=[
            d(
                name="T",
                type="type",
                default_value=value(type=protos.DT_INT32),
                allowed_values=value(list=types),
            ),
            d(name="N", type="int", has_minimum=True, minimum=1),
            d(name="Tin", type="list(type)"),
            d(name="s", type="string", default_value=value(s=b"x")),
        ],
        is_stateful=True,
        allows_uninitialized_input=True,
    )
    assert to_op_def_proto(op_def_from_proto(message)) == message


def test_definitions_are_read_late_and_once():
    define_op("OpDefReadLate", attrs=["this is no attribute"])
    with pytest.raises(ValueError, match="Cannot parse the attribute definition"):
        _ = ops["OpDefReadLate"].attrs
    with pytest.raises(
        ValueError, match=r"'OpDefReadLate' is registered already, at .*test_op_def"
    ):
        define_op("OpDefReadLate")
    del ops._rules["OpDefReadLate"]


def test_unknown_flag():
    with pytest.raises(TypeError, match="statefull"):
        define_op("OpDefFlag", statefull=True)
    assert "OpDefFlag" not in ops
