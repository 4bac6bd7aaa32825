"""From a builder's arguments to an operation: conversion, inference, and errors."""

import re
import sys
import threading

import numpy as np
import pytest

import tfsession as tf
from tfsession.core import protos
from tfsession.core.dtypes import as_dtype
from tfsession.graph.create import (
    convert_to_tensor,
    create_op,
    create_operation,
    register_tensor_conversion_function,
)
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

FLOAT, INT, STRING = map(as_dtype, ("float32", "int32", "string"))


def floats(*shape):
    return create_op("ToyInput", [], {"dtype": FLOAT, "shape": shape})


def ints(*shape):
    return create_op("ToyInput", [], {"dtype": INT, "shape": shape})


# --- what is made ---------------------------------------------------------------------------------


def test_outputs(fresh_graph):
    assert isinstance(create_op("ToyNothing"), Operation)
    assert isinstance(create_op("ToyNeg", [1.0]), Tensor)
    assert create_op("ToyMany", [[1, "s"]])[1].dtype is STRING
    two = create_op("ToySplit", [0, floats(2)], {"num_split": 2})
    assert [t.value_index for t in two] == [0, 1]
    assert len(create_op("ToySplit", [0, floats(2)], {"num_split": 1})) == 1
    assert isinstance(create_operation("ToyNeg", [1.0]), Operation)


def test_names_of_converted_inputs(fresh_graph):
    create_op("ToyAdd", [1.0, 2.0])
    create_op("ToySum", [[1.0, 2.0]])
    create_op("ToyAdd", [1.0, floats()], name="q/r")
    create_op("ToyNeg", [1.0], name="exact/")
    with fresh_graph.name_scope("s"):
        create_op("ToyNeg", [1.0], name="_a")
    assert [op.name for op in fresh_graph.get_operations()] == [
        *("ToyAdd/x", "ToyAdd/y", "ToyAdd", "ToySum/inputs_0", "ToySum/inputs_1", "ToySum"),
        *("ToyInput", "q/r/x", "q/r", "exact/x", "exact", "s/_a/x", "s/_a"),
    ]


def test_a_name_taken_exactly_is_in_use(fresh_graph):
    create_op("ToyNothing", name="q/")
    assert create_op("ToyNothing", name="Q").name == "Q_1"
    with pytest.raises(ValueError, match="Duplicate node name in graph: 'q'"):
        create_op("ToyNothing", name="q/")


CONVERTED = [
    ("scalar_beside_float", lambda: create_op("ToyAdd", [floats(2), 1]), FLOAT),
    ("scalar_beside_int", lambda: create_op("ToyAdd", [ints(2), 1]), INT),
    ("first_decides", lambda: create_op("ToyAdd", [1, 2]), INT),
    ("attr_decides", lambda: create_op("ToyAdd", [1, 2], {"T": FLOAT}), FLOAT),
    ("attr_by_name", lambda: create_op("ToyAdd", [1, 2], {"T": "float32"}), FLOAT),
    ("array", lambda: create_op("ToyAdd", [floats(2), np.ones(2)]), FLOAT),
    ("default_type", lambda: create_op("ToyReshape", [1.0, [1, 1]]).op.inputs[1], INT),
    ("list_beside_tensor", lambda: create_op("ToySum", [[1, floats()]]), FLOAT),
    ("reference", lambda: create_op("ToyNeg", [create_op("ToyVariable", [], {"dtype": FLOAT})]),
     FLOAT),
]  # fmt: skip


@pytest.mark.parametrize(("make", "dtype"), [row[1:] for row in CONVERTED],
                         ids=[row[0] for row in CONVERTED])  # fmt: skip
def test_types_that_follow(fresh_graph, make, dtype):
    assert make().dtype is dtype


def test_reference_output(fresh_graph):
    ref = create_op("ToyVariable", [], {"dtype": FLOAT})
    assert ref.dtype.name == "float32_ref"
    assert create_op("ToyAssign", [ref, 1.0]).dtype is ref.dtype


def test_attributes(fresh_graph):
    given = {
        "i": np.int64(3),
        "f": 1,
        "b": False,
        "s": "é",
        "choice": "VALID",
        "shape": None,
        "t": np.int64,
        "ints": (1, 2.7),
        "types": ["float", np.bool_],
        "shapes": [[None], 3],
        "value": protos.TensorProto(dtype=1, float_val=[1.5]),
        "_private": b"x",
    }
    attrs = create_op("ToyAttrs", [floats(1, 1, 1)], given).op.attrs
    assert attrs == {
        "T": FLOAT,
        "i": 3,
        "f": 1.0,
        "b": False,
        "s": "é".encode(),
        "choice": b"VALID",
        "shape": None,
        "t": as_dtype("int64"),
        "ints": [1, 2],
        "_private": b"x",
        "types": [FLOAT, as_dtype("bool")],
        "shapes": [(None,), (3,)],
        "value": 1.5,
    }
    assert isinstance(attrs["value"], np.ndarray)


def test_none_means_default(fresh_graph):
    given = dict.fromkeys(["i", "f", "b", "s", "choice", "t", "ints", "types", "value"])
    op = create_op("ToyAttrs", [floats(1, 1, 1)], given).op
    assert op.attrs == create_op("ToyAttrs", [floats(1, 1, 1)]).op.attrs
    assert op.attrs["i"] == 1


def test_attributes_belong_to_one_operation(fresh_graph):
    x = floats(2)
    first, second = create_op("ToyNeg", [x]).op, create_op("ToyNeg", [x]).op
    first._set_attr("_note", protos.AttrValue(i=1))
    assert "_note" not in second.attrs


# --- errors ---------------------------------------------------------------------------------------

NOT_BOOL = "passed to parameter 'x' of op 'ToyNot', got"
ROWS = [
    (
        "type_of_argument",
        lambda: create_op("ToyAdd", [floats(2), ints(2)]),
        TypeError,
        "Input 'y' of 'ToyAdd' Op has type int32 that does not match type float32 of argument 'x'.",
    ),
    (
        "type_of_attribute",
        lambda: create_op("ToyAdd", [floats(2), 1.0], {"T": INT}),
        TypeError,
        "Input 'x' of 'ToyAdd' Op has type float32 that does not match type int32 of attribute "
        "'T'.",
    ),
    (
        "fixed_type",
        lambda: create_op("ToyNot", [floats(2)]),
        TypeError,
        "Input 'x' of 'ToyNot' Op has type float32 that does not match expected type of bool.",
    ),
    (
        "fixed_int",
        lambda: create_op("ToyNot", [3]),
        TypeError,
        f"Expected bool {NOT_BOOL} 3 of type 'int' instead. Error: Expected bool, but got 3 of "
        "type 'int'.",
    ),
    (
        "fixed_list",
        lambda: create_op("ToyNot", [[1.0]]),
        TypeError,
        f"Expected bool {NOT_BOOL} [1.0] of type 'list' instead. Error: Expected bool, but got "
        "1.0 of type 'float'.",
    ),
    (
        "none",
        lambda: create_op("ToyNeg", [None]),
        ValueError,
        "Tried to convert 'x' to a tensor and failed. Error: None values not supported.",
    ),
    (
        "text_beside_float",
        lambda: create_op("ToyAdd", [floats(2), "s"]),
        TypeError,
        "Expected float32 passed to parameter 'y' of op 'ToyAdd', got 's' of type 'str' instead. "
        "Error: Expected float32, but got s of type 'str'.",
    ),
    (
        "float_beside_int",
        lambda: create_op("ToyAdd", [ints(2), 1.5]),
        TypeError,
        "Expected int32 passed to parameter 'y' of op 'ToyAdd', got 1.5 of type 'float' instead.",
    ),
    (
        "ragged",
        lambda: create_op("ToyAdd", [floats(2), [[1.0], [1.0, 2.0]]]),
        ValueError,
        "Tried to convert 'y' to a tensor and failed. Error: ",
    ),
    (
        "not_allowed",
        lambda: create_op("ToyNeg", ["s"]),
        TypeError,
        "Value passed to parameter 'x' has DataType string not in list of allowed values: "
        "float16, float32, float64, int32, int64",
    ),
    (
        "no_reference",
        lambda: create_op("ToyAssign", [floats(2), floats(2)]),
        TypeError,
        "'ToyAssign' Op requires that input 'ref' be a mutable tensor (e.g.: a tf.Variable)",
    ),
    (
        "list_empty",
        lambda: create_op("ToySum", [[]]),
        ValueError,
        "List argument 'inputs' to 'ToySum' Op with length 0 shorter than minimum length 1.",
    ),
    (
        "list_is_none",
        lambda: create_op("ToySum", [3]),
        TypeError,
        "Expected list for 'inputs' argument to 'ToySum' Op, not 3.",
    ),
    (
        "list_mixed",
        lambda: create_op("ToySum", [[floats(2), ints(2)]]),
        TypeError,
        "Tensors in list passed to 'inputs' of 'ToySum' Op have types [float32, int32] that don't "
        "all match.",
    ),
    (
        "list_mixed_values",
        lambda: create_op("ToySum", [[1, 2.0]]),
        TypeError,
        "have types [int32, float32] that don't all match.",
    ),
    (
        "list_with_none",
        lambda: create_op("ToySum", [[floats(2), None]]),
        TypeError,
        "have types [float32, <NOT CONVERTIBLE TO TENSOR>] that don't all match.",
    ),
    (
        "list_not_allowed",
        lambda: create_op("ToySum", [["s"]]),
        TypeError,
        "Value passed to parameter 'inputs' has DataType string not in list of allowed values: ",
    ),
    (
        "list_of_fixed_type",
        lambda: create_op("ToyJoin", [[1, 2]]),
        TypeError,
        "Tensors in list passed to 'inputs' of 'ToyJoin' Op have types [int32, int32] that do not "
        "match expected type string.",
    ),
    (
        "list_of_attribute",
        lambda: create_op("ToySum", [[floats(2)]], {"T": INT}),
        TypeError,
        "have types [float32] that do not match type int32 inferred from earlier arguments.",
    ),
    (
        "lengths",
        lambda: create_op("ToyPairs", [[1, 2], [1.0]]),
        ValueError,
        "List argument 'b' to 'ToyPairs' Op with length 1 must match length 2 of argument 'a'.",
    ),
    (
        "types_empty",
        lambda: create_op("ToyMany", [[]]),
        ValueError,
        "Attr 'T' of 'ToyMany' Op passed list of length 0 less than minimum 1.",
    ),
    (
        "types_no_list",
        lambda: create_op("ToyMany", [3]),
        TypeError,
        "Expected list for 'input' argument to 'ToyMany' Op, not 3.",
    ),
    (
        "types_none",
        lambda: create_op("ToyMany", [[1, None]]),
        TypeError,
        "Tensors in list passed to 'input' of 'ToyMany' Op have types [int32, <NOT CONVERTIBLE TO "
        "TENSOR>] that are invalid. Tensors: [1, None]",
    ),
    (
        "unknown_op",
        lambda: create_op("Zork"),
        RuntimeError,
        "Unrecognized Op name Zork",
    ),
    (
        "unknown_attribute",
        lambda: create_op("ToyNeg", [floats(2)], {"zz": 3}),
        TypeError,
        "ToyNeg got unexpected keyword arguments: zz.",
    ),
    (
        "too_few",
        lambda: create_op("ToyAdd", [floats(2)]),
        TypeError,
        "ToyAdd takes 2 inputs, not 1",
    ),
    (
        "missing_attribute",
        lambda: create_op("ToyInput"),
        TypeError,
        "No argument found for attr dtype for ToyInput",
    ),
    (
        "attribute_none",
        lambda: create_op("ToyInput", [], {"dtype": None}),
        TypeError,
        "Expected DataType for argument 'dtype' not None.",
    ),
    (
        "name",
        lambda: create_op("ToyNeg", [1.0], name="a b"),
        ValueError,
        "'a b' is not a valid root scope name. A root scope name has to match the following "
        "pattern: ^[A-Za-z0-9.][A-Za-z0-9_.\\\\/>-]*$",
    ),
    (
        "name_underscore",
        lambda: create_op("ToyNeg", [floats(2)], name="_a"),
        ValueError,
        "'_a' is not a valid root scope name.",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_error(fresh_graph, row):
    _, make, error, phrase = row
    with pytest.raises(error) as caught:
        make()
    assert phrase in str(caught.value)
    assert {op.type for op in fresh_graph.get_operations()} <= {"Const", "ToyInput"}


def attr_error(**attrs):
    return lambda: create_op("ToyAttrs", [floats(1, 1, 1)], attrs)


ATTR_ROWS = [
    ({"i": "a"}, TypeError, "Expected int for argument 'i' not 'a'."),
    ({"i": [1]}, TypeError, "Expected int for argument 'i' not [1]."),
    ({"i": 0}, ValueError, "Attr 'i' of 'ToyAttrs' Op passed 0 less than minimum 1."),
    ({"f": "x"}, TypeError, "Expected float for argument 'f' not 'x'."),
    ({"b": 1}, TypeError, "Expected bool for argument 'b' not 1."),
    ({"b": np.bool_(1)}, TypeError, "Expected bool for argument 'b' not np.True_."),
    ({"s": 3}, TypeError, "Expected string for argument 's' not 3."),
    (
        {"choice": "ZAP"},
        ValueError,
        "Attr 'choice' of 'ToyAttrs' Op passed string 'ZAP' not in: \"SAME\", \"VALID\".",
    ),
    ({"t": "zork"}, TypeError, "Expected DataType for argument 't' not 'zork'."),
    (
        {"t": "string"},
        TypeError,
        "Value passed to parameter 't' has DataType string not in list of allowed values: int32, "
        "int64",
    ),
    (
        {"shape": [-2]},
        TypeError,
        "Error converting [-2] (arg name = shape) to a TensorShape: Dimension -2 must be >= 0",
    ),
    ({"ints": 3}, TypeError, "Expected list for attr ints, obtained int instead."),
    ({"ints": "ab"}, TypeError, "Expected list for attr ints, obtained str instead."),
    ({"ints": ["a", 1]}, TypeError, "Expected int for argument 'ints' not 'a'."),
    (
        {"ints": [1]},
        ValueError,
        "Attr 'ints' of 'ToyAttrs' Op passed list of length 1 less than minimum 2.",
    ),
    ({"types": ["zork"]}, TypeError, "Expected DataType for argument 'types' not 'zork'."),
    ({"shapes": ["a"]}, TypeError, "Error converting 'a' (arg name = shapes) to a TensorShape: "),
    (
        {"value": 3.0},
        TypeError,
        "Don't know how to convert 3.0 to a TensorProto for argument 'value'",
    ),
]


@pytest.mark.parametrize(
    ("attrs", "error", "phrase"), ATTR_ROWS, ids=[str(r[0]) for r in ATTR_ROWS]
)
def test_bad_attribute(fresh_graph, attrs, error, phrase):
    with pytest.raises(error, match=re.escape(phrase)):
        create_op("ToyAttrs", [floats(1, 1, 1)], attrs)
    with pytest.raises(error, match=re.escape(phrase)):  # the long way, too
        create_op("ToyAttrs", [[[[1.0]]]], attrs)


def test_tensor_as_attribute(fresh_graph):
    with pytest.raises(TypeError, match=r"Expected int for argument 'i' not <tf\.Tensor 'Const:0'"):
        create_op("ToyAttrs", [floats(1, 1, 1)], {"i": tf.constant(2)})


def test_tensors_of_two_graphs(fresh_graph):
    with Graph().as_default() as other:
        foreign = floats(3)
    mine = floats(2)
    text = (
        f"{foreign} must be from the same graph as {mine} (graphs are {other} and {fresh_graph})."
    )
    for inputs in ([mine, foreign], [mine, foreign, 1]):
        with pytest.raises(ValueError, match=re.escape(text)):
            create_op("ToySum", [inputs])
    with pytest.raises(ValueError, match=re.escape(text)):
        create_op("ToyAdd", [mine, foreign])
    assert create_op("ToyNeg", [foreign]).graph is other


SHAPES = [
    (
        "two_sizes",
        lambda: create_op("ToyMatMul", [floats(2, 2), floats(3, 3)], {"transpose_a": True}, "m"),
        "Dimensions must be equal, but are 2 and 3 for '{{node m}} = ToyMatMul[T=DT_FLOAT, "
        "transpose_a=true](ToyInput, ToyInput_1)' with input shapes: [2,2], [3,3].",
    ),
    (
        "attributes",
        lambda: create_op("ToyAttrs", [floats(2, None)]),
        "Shape must be rank 3 but is rank 2 for '{{node ToyAttrs}} = ToyAttrs[T=DT_FLOAT, "
        'b=true, choice="SAME", f=0.5, i=1, ints=[1, 1], s="", shape=[2,?], shapes=[], '
        "t=DT_INT32, types=[], value=Tensor<type: int32 shape: [] values: 7>](ToyInput)' with "
        "input shapes: [2,?].",
    ),
    (
        "partial",
        lambda: create_op("ToyReshape", [floats(), tf.constant([1, -1, 3])]),
        "Too many dimensions for '{{node ToyReshape}} = ToyReshape[S=DT_INT32, T=DT_FLOAT]"
        "(ToyInput, Const)' with input shapes: [], [3] and with input tensors computed as partial "
        "shapes: input[1] = [1,?,3].",
    ),
    (
        "values",
        lambda: create_op("ToyPad", [create_op("ToyInput", [], {"dtype": INT}), [[1, 2], [-5, 3]]]),
        "Paddings must be non-negative for '{{node ToyPad}} = ToyPad[S=DT_INT32, T=DT_INT32]"
        "(ToyInput, ToyPad/paddings)' with input shapes: ?, [2,2] and with computed input tensors: "
        "input[1] = <[1 2][-5 3]>.",
    ),
    (
        "scopes_come_later",
        lambda: _in_scopes(lambda: create_op("ToyMatMul", [floats(2, 2), floats(3, 3)])),
        "for '{{node ToyMatMul}} = ToyMatMul[T=DT_FLOAT, transpose_a=false](ToyInput, ToyInput_1)' "
        "with input shapes: [2,2], [3,3].",
    ),
]


def _in_scopes(make):
    graph = get_default_graph()
    target = create_op("ToyNothing")
    controls = graph.control_dependencies([target])
    with graph.device("/gpu:1"), controls, graph.colocate_with(target):
        return make()


@pytest.mark.parametrize("row", SHAPES, ids=lambda row: row[0])
def test_shape_error(fresh_graph, row):
    _, make, text = row
    with pytest.raises(ValueError, match=re.escape(text) + "$"):
        make()


# --- convert_to_tensor ----------------------------------------------------------------------------


def test_convert_to_tensor(fresh_graph):
    x = floats(2)
    assert convert_to_tensor(x) is x
    assert convert_to_tensor(x, tf.float32) is x
    assert convert_to_tensor([1, 2], preferred_dtype=tf.int64).dtype is as_dtype("int64")
    assert convert_to_tensor([1, 2], preferred_dtype=tf.string).dtype is INT
    assert convert_to_tensor([1, 2], dtype_hint=tf.float32).dtype is FLOAT
    text = "Tensor conversion requested dtype int32 for Tensor with dtype float32: <tf.Tensor 'ToyI"
    with pytest.raises(ValueError, match=text):
        convert_to_tensor(x, tf.int32)


def test_conversion_functions(fresh_graph):
    class Base:
        pass

    class Odd(Base):
        pass

    calls = []

    def give(result):
        def convert(value, dtype=None, name=None, as_ref=False):
            calls.append(result)
            return result() if callable(result) else result

        return convert

    register_tensor_conversion_function(Base, give(NotImplemented), 1)
    register_tensor_conversion_function(Odd, give(lambda: tf.constant(1)), 2)
    assert convert_to_tensor(Odd()).dtype is INT
    assert calls[0] is NotImplemented
    text = "returned incompatible dtype: requested = float32, actual = int32"
    with pytest.raises(RuntimeError, match=rf"Conversion function <.*> for type <.*Odd'> {text}"):
        convert_to_tensor(Odd(), tf.float32)
    with pytest.raises(RuntimeError, match=rf"^y: Conversion function .* {text}"):
        create_op("ToyAdd", [floats(), Odd()])
    register_tensor_conversion_function((Odd,), give(3), 0)
    with pytest.raises(RuntimeError, match="returned non-Tensor: 3"):
        convert_to_tensor(Odd())
    for bad in (3, (int, 3)):
        with pytest.raises(TypeError, match="`base_type` must be a type or a tuple of types"):
            register_tensor_conversion_function(bad, give(3))
    with pytest.raises(TypeError, match="`conversion_func` must be callable"):
        register_tensor_conversion_function(Odd, 3)


# --- where and when -------------------------------------------------------------------------------


def test_traceback_is_the_users(fresh_graph):
    def outer():
        return create_op("ToyNeg", [1.0])

    line = sys._getframe().f_lineno + 1
    frames = outer().op.traceback
    assert [frame.name for frame in frames][-2:] == ["test_traceback_is_the_users", "outer"]
    assert frames[-2].lineno == line
    assert frames[-1].line == 'return create_op("ToyNeg", [1.0])'


def test_many_threads_make_operations(fresh_graph):
    x = floats(2)

    def make():
        with fresh_graph.as_default():
            for _ in range(200):
                create_op("ToyAdd", [x, 1.0], name="same")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ops = fresh_graph.get_operations()
    assert len({op.name for op in ops}) == len(ops) == 1 + 2 * 800
    assert [op._id for op in ops] == list(range(len(ops)))
    assert all(op.inputs[1].op.name == f"{op.name}/y" for op in ops if op.type == "ToyAdd")
