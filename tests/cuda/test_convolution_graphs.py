"""Convolutions by cuDNN: graphs of a fake front end, and the names of the true one."""

import inspect
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_convolutions import (  # noqa: F401
    BIAS,
    GROUPS,
    PROBLEMS,
    RELU,
    all_three,
    card,
    code,
    device,
    fake_library,
    given,
    needs_gxx,
    numbers,
    same,
    xp,
)
from test_convolutions import pytestmark as there_is_nvrtc

from tfsession.core.modes import modes
from tfsession.core.rules import fusers
from tfsession.devices import cudnn

pytestmark = there_is_nvrtc
FAKE = Path(__file__).parents[1] / "devices" / "fake_cudnn.py"
fake_cudnn = SimpleNamespace(**runpy.run_path(str(FAKE)))
# Products alone are those of one element.
PLAIN = (4, 8)


@pytest.fixture
def frontend(xp, monkeypatch):  # noqa: F811
    found = fake_cudnn.Frontend(lambda: xp.stream.captures)
    monkeypatch.setattr(cudnn, "_frontend", lambda: found)
    monkeypatch.setattr(cudnn, "_libraries", {})
    return found


@pytest.mark.parametrize("number", range(len(PROBLEMS)))
def test_convolutions_are_graphs(card, code, frontend, number):  # noqa: F811
    name, dtype, attrs, x, w, grad, _ = given(number)
    for _ in range(2):
        for found, expected in all_three(card, name, attrs, x, w, grad):
            same(found, expected, dtype)
    assert len(frontend.runs) == (0 if number in PLAIN else 6)
    assert len(set(frontend.runs)) == len(frontend.runs) // 2
    assert code.launches == []


@pytest.mark.parametrize("number", [0, 3, 9])
@pytest.mark.parametrize("epilogue", [RELU, BIAS, BIAS | RELU])
def test_what_is_done_to_the_sums_is_in_the_graph(card, frontend, number, epilogue):  # noqa: F811
    name, dtype, attrs, x, w, _, y = given(number)
    bias = numbers(w.shape[-1:], dtype, 3)
    arrays = device(x), device(w), epilogue, device(bias) if epilogue & BIAS else None
    found = fusers["convolution"](card, name, attrs)(*arrays)
    expected = y + bias if epilogue & BIAS else y
    same(found, np.maximum(expected, 0) if epilogue & RELU else expected, dtype)
    assert len(frontend.runs) == 1


@needs_gxx
@pytest.mark.parametrize("trouble", ["refuses", "fails"])
def test_without_a_plan_our_own_kernels_compute(card, code, frontend, trouble):  # noqa: F811
    setattr(frontend, trouble, True)
    name, dtype, attrs, x, w, grad, _ = given(0)
    for _ in range(2):
        for found, expected in all_three(card, name, attrs, x, w, grad):
            same(found, expected, dtype)
    assert frontend.runs == []
    assert len(code.launches) == 6


@needs_gxx
def test_a_capture_runs_plans_but_makes_none(card, xp, code, frontend):  # noqa: F811
    name, _, attrs, x, w, grad, _ = given(0)
    xp.stream.captures = True
    list(all_three(card, name, attrs, x, w, grad))
    assert frontend.runs == []
    xp.stream.captures = False
    list(all_three(card, name, attrs, x, w, grad))
    xp.stream.captures = True
    list(all_three(card, name, attrs, x, w, grad))
    assert len(frontend.runs) == 6
    assert len(set(frontend.runs)) == 3


@pytest.mark.parametrize("is_allowed", [True, False])
def test_float32_is_rounded_only_where_that_is_allowed(card, frontend, monkeypatch, is_allowed):  # noqa: F811
    monkeypatch.setattr(modes, "tensor_float_32", is_allowed)
    name, _, attrs, x, w, _, _ = given(0)
    fusers["convolution"](card, name, attrs)(device(x), device(w), RELU, None)
    (graph,) = frontend.runs
    assert ("TENSOR_CORE" in graph.notes) is not is_allowed
    assert "NONDETERMINISTIC" in graph.notes


def test_it_can_be_switched_off(card, monkeypatch):  # noqa: F811
    monkeypatch.setenv(cudnn.SWITCH, "0")
    cudnn._frontend.cache_clear()
    try:
        assert cudnn.graph_library(card) is None
    finally:
        cudnn._frontend.cache_clear()
    assert cudnn.graph_library(np) is None


# --- the true front end, which needs neither a card nor the library to be looked at ---------------


def names_of(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_front_end_has_all_names():
    import cudnn as true  # noqa: PLC0415

    fake = fake_cudnn.Frontend()
    for kind in ("data_type", "numerical_note", "heur_mode"):
        assert vars(getattr(fake, kind)).keys() <= names_of(getattr(true, kind))
    assert set(fake_cudnn.ORDER) <= names_of(true.pygraph)
    assert {"get_workspace_size", "execute"} <= names_of(true.pygraph)
    assert {"create_handle", "set_stream", "backend_version"} <= names_of(true)
    assert set(inspect.signature(true.set_stream).parameters) >= {"handle", "stream"}
    assert "handle" in inspect.signature(true.pygraph.execute).parameters


@pytest.mark.parametrize("number", [0, 3, 6, 9])
def test_the_front_end_describes_the_same_graphs(card, frontend, monkeypatch, number):  # noqa: F811
    import cudnn as true  # noqa: PLC0415

    described = []

    def plan(self, xp, key, dtype, describe, is_exact=False):  # noqa: F811
        graph = true.pygraph(io_data_type=true.data_type.FLOAT)
        describe(graph, true.data_type.FLOAT)
        described.append(graph)

    monkeypatch.setattr(cudnn.GraphLibrary, "plan", plan)
    name, _, attrs, x, w, grad, y = given(number)
    list(all_three(card, name, attrs, x, w, grad))
    bias = device(numbers(w.shape[-1:], "float32", 3))
    if number != 6:
        fusers["convolution"](card, name, attrs)(device(x), device(w), BIAS | RELU, bias)
    groups = GROUPS.get(number, 1)
    assert w.shape[-2] * groups == x.shape[1 if number == 6 else -1]
    shapes = [sorted(t.size for t in (x, w, y))] * 3
    for graph, wanted in zip(described, shapes, strict=False):
        known = [t for t in graph.tensors.values() if t.get_uid() in (1, 2, 3)]
        assert sorted(int(np.prod(t.get_dim())) for t in known) == wanted
    assert len(described) == (3 if number == 6 else 4)
