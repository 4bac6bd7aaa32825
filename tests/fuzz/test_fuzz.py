"""A few thousand of the changed files that `fuzz.py` makes without end: see there."""

import logging

import formats
import fuzz
import pytest

# How many of each a run of the tests reads.
MUTATIONS = {
    "graph": 1500,
    "graph_binary": 1500,
    "graph_text": 400,
    "meta_graph": 150,
    "saved_model": 150,
    "checkpoint_v2": 2500,
    "checkpoint_v1": 2500,
    "state_file": 500,
    "records": 2500,
    "safetensors": 1500,
    "npz": 1500,
    "external": 500,
    "imported": 500,
}
PIECE = 500
PIECES = [(name, first) for name, count in MUTATIONS.items() for first in range(0, count, PIECE)]


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(("name", "first"), PIECES)
def test_changed_files_are_read_or_refused(name, first):
    """Nothing but errors of these classes; no hang, no memory for what a file only claims."""
    defects = {}
    for number in range(first, min(first + PIECE, MUTATIONS[name])):
        found = fuzz.defect_of(name, "suite", number)
        if found is not None:
            defects[number] = found[0]
    assert defects == {}


def test_every_format_has_its_turns():
    assert MUTATIONS.keys() == formats.FORMATS.keys()


@pytest.mark.parametrize("number", [784, 6294, 123663])
def test_what_a_file_only_claims_is_not_computed_with(number):
    """An empty matrix of 2**32 columns; the sum of 2**32 equal numbers, before a step runs."""
    assert fuzz.defect_of("graph", "303", number) is None


@pytest.mark.parametrize(("seed", "number"), [("401", 90587), ("402", 259017), ("401", 139881)])
def test_what_few_values_stand_for_is_written_so(seed, number):
    """Sixteen million truths, or a million texts, of which all but a dozen are equal."""
    assert fuzz.defect_of("graph", seed, number) is None


@pytest.mark.parametrize(
    ("seed", "number"), [("602", 110038), ("701", 105855), ("9701", 74468), ("9801", 173528)]
)
def test_kernels_end(seed, number):
    """A part of an image not found in 2**40 attempts; huge rows, n-grams and samples."""
    assert fuzz.defect_of("graph", seed, number) is None


@pytest.mark.parametrize(
    ("seed", "number"),
    [("502", 145342), ("9601", 333322), ("502", 210033), ("9601", 349443)],
)
def test_what_does_not_fit_is_refused(seed, number):
    """A function of other arguments than its dataset has; constants without values."""
    assert fuzz.defect_of("graph", seed, number) is None
