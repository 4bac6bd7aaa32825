"""Numbers as texts, texts as numbers, tensors in texts."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import FLOATS, INTS, Row, case_name, check_row, floats, row_cases, strings
from tfsession.testing import value as given_value

NUMBERS = given_value([1.5, -2, np.nan, -np.nan, np.inf, -np.inf, 1e20, 1e-5, 0.1, -0.0])
TEXTS = strings(
    *(b"1", b" -1.5e3\n", b".5", b"1.", b"inf", b"-Infinity", b"0x1p-3", b"1e400", b"1e-46"),
    *(b"16777217.0000000001", b"16777217", b"3.4028236e38"),
)
SETTINGS = {
    "": {},
    "precise": {"precision": 2},
    "scientific": {"scientific": True, "precision": 3},
    "shortest": {"shortest": True},
    "zeros": {"width": 10, "fill": "0"},
    "left": {"width": 12, "fill": "-"},
    "signed": {"width": 12, "fill": "+"},
    "space": {"fill": " "},
}
FORMATTED = [
    floats(2, 3), floats(9), floats(8, 8), floats(3, 1, 2, 1), floats(), floats(2, 0), floats(0),
]  # fmt: skip

ROWS = [
    *(Row("AsString", "as_string", [NUMBERS], kwargs=kwargs, dtypes=("float32", "float64"),
          label=label or "floats") for label, kwargs in SETTINGS.items()),
    *(Row("AsString", "strings.as_string", [floats(3, 4)], kwargs=kwargs,
          dtypes=(*INTS, "bool"), label=f"integers {label}")
      for label, kwargs in SETTINGS.items() if not {"precision", "shortest"} & set(kwargs)),
    Row("AsString", "as_string", [floats(3, 4)], dtypes=("complex64", "complex128")),
    Row("AsString", "as_string", [floats(3, 4)], dtypes=("float16", "bfloat16"),
        kwargs={"shortest": True}, label="small"),
    Row("AsString", "as_string", [strings(b"ab", b"", b"12345")], kwargs={"width": 4, "fill": "-"},
        reference=lambda x, **_: np.array([b"ab  ", b"    ", b"12345"], object), label="texts"),
    *(Row("StringToNumber", "string_to_number", [TEXTS], kwargs={"out_type": kind}, tolerance=0,
          label=kind, reference=lambda x, out_type: _parsed(x).astype(out_type))
      for kind in ("float64",)),
    Row("StringToNumber", "string_to_number", [TEXTS], tolerance=0, label="float32"),
    Row("StringToNumber", "string_to_number", [strings(b"+NaN", b" nan(1)")], label="nan"),
    *(Row("StringToNumber", "strings.to_number",
          [strings(b"1", b" +0012 ", b"\t7\n", b"2147483647")],
          kwargs={"out_type": kind}, label=kind,
          reference=lambda x, out_type: np.array([1, 12, 7, 2147483647], out_type))
      for kind in ("int32", "int64", "uint32", "uint64")),
    *(Row("StringFormat", lambda tf, x, n: tf.strings.format("<{}>", x, summarize=int(n)),
          [item], dtypes=("float32",), label=f"{i} {n}", kwargs={"n": n})
      for i, item in enumerate(FORMATTED) for n in (3, 1, -1)),
    Row("StringFormat", lambda tf, x: tf.strings.format("{} and {}", [x, x]), [floats(7)],
        dtypes=(*FLOATS, "int8", "uint64", "bool"), label="dtypes"),
    Row("StringFormat", lambda tf, x: tf.strings.format("%t", [x], placeholder="%t"),
        [strings(b"a\x00\x1f\x7f\xff'\\\t\r\n?\"", "é".encode(), b"", b"")], label="texts"),
    Row("StringFormat", lambda tf: tf.strings.format("none", []), label="none"),
]  # fmt: skip


def _parsed(texts):
    return np.array([float.fromhex(t.decode()) if b"x" in t else float(t.partition(b"(")[0])
                     for t in texts.tolist()])  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case):
    """On the one device that has texts; test_string.py says so of others."""
    check_row(*case, "/cpu:0")


@settings(max_examples=300, deadline=None)
@given(st.floats(width=64), st.integers(-1, 20), st.sampled_from("efg"))
def test_what_was_written_is_read(number, precision, letter):
    kwargs = {"scientific": letter == "e", "shortest": letter == "g"}
    with tf.Graph().as_default(), tf.Session() as session:
        text = tf.as_string(tf.constant(number, tf.float64), precision, **kwargs)
        again = tf.string_to_number(text, tf.float64)
        found, back = session.run([text, again])
    if number == number:
        assert found.decode() == f"%.{precision if precision >= 0 else 6}{letter}" % number
        assert back == float(found)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**24 - 1), st.integers(-140, 100), st.sampled_from(["", "0000001", "-"]))
def test_the_nearest_float32(mantissa, exponent, beyond):
    """Numbers in the middle between two, and a little beside it, are rounded once."""
    low = np.ldexp(np.float64(mantissa | 2**23), exponent)
    middle = Fraction(float(low)) + Fraction(2) ** exponent / 2
    if beyond:
        middle += Fraction(1, 10**400) * (-1 if beyond == "-" else 1)
    scaled = middle * 10**600
    text = f"{scaled.numerator // scaled.denominator}e-600".encode()
    exact = Fraction(scaled.numerator // scaled.denominator, 10**600)
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(tf.string_to_number([text]))[0]
    up = np.nextafter(found, np.float32(np.inf))
    down = np.nextafter(found, np.float32(-np.inf))
    error = abs(Fraction(float(found)) - exact)
    assert error <= abs(Fraction(float(down)) - exact)
    assert not np.isfinite(up) or error <= abs(Fraction(float(up)) - exact)


E = tf.errors.InvalidArgumentError
NOT_FLOATS = (b"", b"abc", b"1_0", b".", b"1e", b"1 2", b"1f", b"+ 1", b"infin", b"1\0", b"0x")
NOT_INTS = (b"1.5", b"", b"-", b"2147483648", b"-2147483649", b"0x10", b"1_0", b"1" * 5000)
FAILURES = [
    (lambda: tf.as_string(1.0, fill="00"), "Fill string must be one or fewer characters"),
    (lambda: tf.as_string(1.0, fill="x"), 'Fill argument not supported: "x"'),
    (lambda: tf.as_string(1.0, scientific=True, shortest=True), "Cannot select both scientific"),
    (lambda: tf.as_string(1, precision=2), "precision not supported for datatype int32"),
    (lambda: tf.as_string(True, scientific=True), "scientific and shortest format not supported"),
    *((lambda t=t: tf.string_to_number([b"1", t]), "could not correctly convert string: ")
      for t in NOT_FLOATS),
    *((lambda t=t: tf.string_to_number(t, tf.int32), "could not correctly convert string: ")
      for t in NOT_INTS),
    (lambda: tf.string_to_number("-1", tf.uint32), "could not correctly convert string: -1"),
]  # fmt: skip


@pytest.mark.parametrize("row", FAILURES, ids=range(len(FAILURES)))
def test_failures(fresh_graph, row):
    program, text = row
    bad = program()
    with tf.Session() as session:
        with pytest.raises(E, match=text):
            session.run(bad)
        assert session.run(tf.string_to_number("1")) == 1


def test_placeholders_are_counted(fresh_graph):
    with pytest.raises(ValueError, match="The template expects 1 tensors, but the inputs only has"):
        tf.strings.format("{}", [tf.constant(1), tf.constant(2)])
