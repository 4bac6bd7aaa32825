"""The signature of every public function, and of every class as it is called, is TensorFlow's."""

import inspect

import pytest

import tfsession
from tfsession.core import exports
from tfsession.imports import listing

pytestmark = [pytest.mark.oracle, pytest.mark.spec("signatures")]

# Another signature here, on purpose.
DIFFERENT = {
    # Made by the library, not by programs.
    *("data.Dataset", "data.Options"),
    # A default that stands for none.
    *("profiler.profile", "sparse.split", "sparse_split"),
    *("DType", "dtypes.DType", "Operation", "Tensor", "VariableAggregation"),
    "VariableSynchronization",
    # What only TensorFlow 2 or its eager mode has is not taken.
    *("enable_eager_execution", "train.AdamOptimizer", "train.Optimizer"),
    *("train.export_meta_graph", "logging.TaskLevelStatusMessage"),
    # An argument more, or one that TensorFlow shows as `**keywords`.
    *("all_variables", "convert_to_tensor", "is_variable_initialized", "get_local_variable"),
    "variable_op_scope",
}
# absl's own, and those that tests/conformance/test_errors.py and test_op_defs.py compare.
ELSEWHERE = ("flags.", "app.flags.", "errors.", "OpError", "raw_ops.", "test.TestCase")


def found_at(module, dotted):
    for part in dotted.split("."):
        module = getattr(module, part)
    return module


def parameters(value):
    """Names, kinds and defaults; None for what does not tell."""
    if not callable(value):
        return "a value"
    try:
        found = inspect.signature(value.__init__ if inspect.isclass(value) else value).parameters
    except ValueError:
        return None
    return [(p.name, _default(p.default)) for p in found.values()]


def _default(value):
    if value is inspect.Parameter.empty:
        return "required"
    value = getattr(value, "as_datatype_enum", getattr(value, "value", value))
    plain = isinstance(value, str | bytes | int | float | list | tuple | type(None))
    return value if plain else type(value).__name__.lstrip("_")


def test_same_signatures(tf):
    dir(tfsession)
    different, compared = {}, 0
    for name in sorted(listing.names() & exports.names.keys()):
        if name.startswith(ELSEWHERE):
            continue
        theirs = parameters(found_at(tf, name))
        mine = parameters(found_at(tfsession, name))
        compared += 1
        if None not in (theirs, mine) and theirs != mine:
            different[name] = (mine, theirs)
    assert compared > 1000
    others = {name: different[name] for name in sorted(different.keys() - DIFFERENT)}
    assert others == {}
    assert DIFFERENT & exports.names.keys() <= different.keys(), "these are the same by now"
