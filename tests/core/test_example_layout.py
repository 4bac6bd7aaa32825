"""Examples of a known layout give what protobuf finds in each of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.core import example_layout, protos
from tfsession.core.dtypes import float32, int64, string
from tfsession.core.example_layout import values_by_name
from tfsession.core.examples import column, example_features, known_column

KINDS = {
    string: ("bytes_list", st.binary(max_size=9)),
    float32: ("float_list", st.floats(width=32, allow_nan=False)),
    int64: ("int64_list", st.integers(-(2**63), 2**63 - 1)),
}
LISTS = st.sampled_from(list(KINDS)).flatmap(
    lambda dtype: st.lists(KINDS[dtype][1], max_size=3).map(lambda values: (dtype, values))
)
EXAMPLES = st.dictionaries(st.sampled_from(["a", "bc", "d" * 200]), LISTS, max_size=3)


def serialized(features):
    example = protos.Example()
    for name, (dtype, values) in features.items():
        getattr(example.features.feature[name], KINDS[dtype][0]).value.extend(values)
    return example.SerializeToString()


@settings(max_examples=60)
@given(st.lists(EXAMPLES, min_size=1, max_size=4), st.integers(1, 3))
def test_known_values_are_those_of_each_example(examples, times):
    texts = [serialized(features) for features in examples] * times
    found = values_by_name(texts)
    if found is None:
        return
    parts = [example_features(text) for text in texts]
    assert all(set(part) == set(found) for part in parts)
    for key, (kind, values) in found.items():
        dtype = examples[0][key.decode()][0]
        ours, expected = known_column(kind, values, dtype), column([p[key] for p in parts], dtype)
        assert ours.values.tolist() == expected.values.tolist()
        assert [ours.counts, ours.missing] == [expected.counts, expected.missing]


def test_plain_examples_are_known(monkeypatch):
    monkeypatch.setattr(example_layout, "_known", example_layout._Known())
    texts = [serialized({"a": (int64, [n]), "bc": (float32, [n, 0.5])}) for n in range(300)]
    found = values_by_name(texts)
    assert [int64, float32] == [
        int64 if found[key][0] == 0x1A else float32 for key in (b"a", b"bc")
    ]
    assert known_column(*found[b"a"], int64).values.tolist() == list(range(300))
    assert known_column(*found[b"a"], string) is None


@pytest.mark.parametrize("damage", [b"", b"\x0a", b"\x0a\xff\xff", b"?" * 20, b"\x0a\x02\x0a\x05"])
def test_what_is_no_plain_example_is_not_known(damage, monkeypatch):
    monkeypatch.setattr(example_layout, "_known", example_layout._Known())
    text = serialized({"a": (int64, [3])})
    assert values_by_name([text, damage]) is None
    assert values_by_name([text, text[:-1] + b"\xff"]) is not None  # its values are not looked at
