"""The tables hold together: each op has a kernel, a gradient or none by name, and a test row."""

import importlib.util
import inspect
from pathlib import Path

import pytest

import tfsession  # noqa: F401  (registers the op families)
from tfsession.core.op_def import ops
from tfsession.core.rules import gradients, kernels

OPS = Path(__file__).parent / "ops"


def _covered():
    """Op types that a row names, or that a test file says it covers otherwise."""
    covered = set()
    for path in OPS.glob("test_*.py"):
        spec = importlib.util.spec_from_file_location(f"drift_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        covered.update(row.op for row in getattr(module, "ROWS", ()))
        covered.update(getattr(module, "COVERED", ()))
    return covered


def _real_ops():
    return [
        name for name in ops.names() if not ops.site(name).split(":")[0].startswith(str(OPS.parent))
    ]


def test_every_op_has_a_kernel():
    assert [n for n in _real_ops() if not ops[n].graph_only and n not in kernels] == []


def test_every_kernel_has_an_op():
    assert [name for name in kernels.names() if name not in ops] == []


def test_every_op_has_a_gradient_or_none_by_name():
    missing = [name for name in _real_ops() if name not in gradients]
    assert missing == []


def test_every_op_has_a_row():
    covered = _covered()
    assert [name for name in _real_ops() if name not in covered] == []


@pytest.mark.parametrize("name", sorted(kernels.names()))
def test_kernel_parameters_are_inputs_and_attributes(name):
    op_def = ops[name]
    known = {arg.name for arg in op_def.inputs} | set(op_def.attrs)
    for kernel in kernels[name]:
        assert kernel.host <= {arg.name for arg in op_def.inputs}
        assert kernel.host_outputs <= {arg.name for arg in op_def.outputs}
        assert kernel.keeps <= {arg.name for arg in op_def.inputs}
        if kernel.function is None:
            continue
        keywords = [
            p.name
            for p in inspect.signature(kernel.function).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        ]
        # What the runtime gives: where to write, and what was found out about constants.
        given = {"out"} | ({"kept"} if kernel.keeps else set())
        assert set(keywords) - given <= known
