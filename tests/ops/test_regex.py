"""Regular expressions: RE2's, in a time that grows no faster than the text."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.kernels import regex_match
from tfsession.testing import Row, case_name, check_row, row_cases, strings, value

WORDS = strings(
    b"a", b"", b"foo bar", "naïve Été".encode(), b"\xffab\xff", b"x1\ny22", shape=[2, 3]
)


def _sub(pattern, text):
    return lambda x, *_, **__: np.frompyfunc(lambda t: re.sub(pattern, text, t), 1, 1)(x)


ROWS = [
    Row("StaticRegexReplace", "regex_replace", [WORDS],
        kwargs={"pattern": "[a-f]+", "rewrite": r"<\0>"}, reference=_sub(b"[a-f]+", rb"<\g<0>>")),
    Row("StaticRegexReplace", "strings.regex_replace", [WORDS], label="once",
        kwargs={"pattern": r"(\w)(\d*)", "rewrite": r"\2\\\1", "replace_global": False}),
    Row("RegexReplace", "regex_replace",
        [WORDS, value(b"[^ ]+$", "string"), value(b"_", "string")], constants=[1, 2]),
    Row("StaticRegexFullMatch", "strings.regex_full_match", [WORDS],
        kwargs={"pattern": "(?i)[a-z ]+"}),
    Row("RegexFullMatch", "strings.regex_full_match", [WORDS, value(b"(?s).*", "string")],
        constants=[1], reference=lambda x, _: np.vectorize(lambda t: b"\xff" not in t, [bool])(x)),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def _run(pattern, text, rewrite=None):
    with tf.Graph().as_default(), tf.Session() as session:
        if rewrite is None:
            return bool(session.run(tf.strings.regex_full_match(text, pattern)))
        return session.run(tf.strings.regex_replace(text, pattern, rewrite)).decode()


# Patterns over "a" and "b" whose meaning is Python's too.
PATTERNS = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "(?:^|a)", r"\b"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{1,3}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        inner.map(lambda part: f"({part})"),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.text("ab ", max_size=8))
def test_both_ways_of_matching_agree(pattern, text):
    regex = regex_match.Regex(pattern)
    if regex._python is None:  # something empty is repeated: only RE2's way
        return
    match, spans = re.compile(pattern).search(text), regex._code.run(text, 0)
    edges = [e for n in range(regex.groups + 1) for e in match.span(n)] if match else None
    assert spans == edges == regex.search(text, 0)
    is_full = re.fullmatch(pattern, text) is not None
    assert (regex._code.run(text, 0, is_full=True) is not None) == is_full
    assert regex.full_match(text) == is_full


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("(a+)+$", "a" * 20_000 + "b", False),
        ("(x+x+)+y", "x" * 5_000, False),
        ("(a|aa)+b", "a" * 5_000, False),
        ("(a?){40}a{40}", "a" * 40, True),
        ("(.*)(.*)(.*)(.*)[^a]", "a" * 2_000, False),
    ],
)
def test_patterns_that_backtracking_never_ends_with(pattern, text, fits):
    assert _run(pattern, text) is fits
    assert _run(pattern, text, "") == ("" if fits else text)


def test_no_empty_match_where_one_has_ended():
    assert _run("a*", "baac", "-") == "-b-c-"
    assert _run("", "né", "-") == "-n-é-"
    assert _run("(|a)+", "aa", "-") == "-a-a-"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?=a)", "invalid perl operator: (?="),
        ("a**", "bad repetition operator: **"),
        ("(a", "missing ): (a"),
        ("a)", "unexpected ): a)"),
        ("[a", "missing ]: [a"),
        ("\\", "trailing \\"),
        (r"\1", r"invalid escape sequence: \1"),
        (r"\x{110000}", "invalid escape sequence"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("*a", "no argument for repetition operator: *"),
        ("[b-a]", "invalid character class range: b-a"),
        (r"\p{Greek}", "classes of scripts are not known here"),
        ("((a{1000}){1000}){1000}", "pattern too large"),
        ("(" * 300 + ")" * 300, "nests too deeply"),
        (b"\xff", "invalid UTF-8"),
    ],
)
def test_what_is_no_pattern(pattern, text):
    for rewrite in (None, ""):
        with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(text)):
            _run(pattern, "a", rewrite)
    assert _run("a", "a")


def test_rewrites(fresh_graph):
    assert _run("(a)|(b)", "abc", r"[\1\2]") == "[a][b]c"
    assert _run("a", "aa", r"\1") == "aa"  # there is no such group
    for wrong in (r"\x", "\\"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid rewrite"):
            _run("a", "a", wrong)
    vector = tf.placeholder_with_default(["a"], None)
    for bad in (tf.strings.regex_full_match("a", vector), tf.regex_replace("a", vector, "b")):
        refused = pytest.raises(tf.errors.InvalidArgumentError, match="Pattern must be scalar")
        with tf.Session() as session, refused:
            session.run(bad)
    with pytest.raises(ValueError, match="Shape must be rank 0 but is rank 1"):
        tf.regex_replace("a", ["a"], "b")
