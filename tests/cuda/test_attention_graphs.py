"""Attention by cuDNN: graphs of a fake front end, and the names of the true one."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_attention import check, fake_cupy, numbers
from test_attention import pytestmark as there_is_nvrtc

from tfsession.core.rules import fusers
from tfsession.devices import cudnn
from tfsession.devices.capture import Watch
from tfsession.devices.cuda_module import CudaModule

pytestmark = there_is_nvrtc
FAKE = Path(__file__).parents[1] / "devices" / "fake_cudnn.py"
fake_cudnn = SimpleNamespace(**runpy.run_path(str(FAKE)))
HALF = ("float16", False)


@pytest.fixture
def card():
    return CudaModule(fake_cupy.FakeCupy(), Watch())


@pytest.fixture
def frontend(monkeypatch):
    found = fake_cudnn.Frontend()
    monkeypatch.setattr(cudnn, "_frontend", lambda: found)
    monkeypatch.setattr(cudnn, "_libraries", {})
    return found


def attention(card, arrays, changes, keeps=False, transposed=False):
    return fusers["attention"](card, changes, [], transposed, keeps)(*arrays)


# (shapes of Q and K, depth of V, shape of the mask)
SHAPES = [
    ((2, 3, 5, 16), (2, 3, 7, 16), 16, None),
    ((2, 3, 5, 8), (2, 3, 7, 8), 24, (2, 1, 1, 7)),
    ((3, 5, 64), (3, 9, 64), 64, (5, 9)),
    ((5, 128), (4, 128), 8, None),
]


@pytest.mark.parametrize("row", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 0.125])
def test_attention_is_a_graph(card, frontend, row, scale):
    q, k = (numbers(shape, "float16", n) for n, shape in enumerate(row[:2]))
    v = numbers((*row[1][:-1], row[2]), "float16", 2)
    mask = None if row[3] is None else numbers(row[3], "float16", 3)
    changes = [("scale", scale)] * (scale != 1) + [("add", 0.0)] * (mask is not None)
    given = [fake_cupy.device(x) for x in (q, k, v, *([] if mask is None else [mask]))]
    for _ in range(2):
        check((HALF, [q, k, v], mask, scale), attention(card, given, changes))
    assert len(frontend.runs) == 2
    assert len(set(frontend.runs)) == 1


def test_what_is_no_graph(card, frontend):
    q = fake_cupy.device(numbers((2, 2, 5, 16), "float16", 0))
    mask = fake_cupy.device(np.ones((5, 5), bool))
    attention(card, [q, q, q], [], keeps=True)
    attention(card, [q, q, q, mask], [("where", -1e9)])
    attention(card, [q, q.swapaxes(-1, -2), q], [], transposed=False)
    attention(card, [q[..., :12], q[..., :12], q], [])  # it is not read 16 bytes at a time
    attention(card, [q, q[:1], q[:1]], [])
    wide = fake_cupy.device(numbers((2, 2, 5, 16), "float32", 0))
    attention(card, [wide, wide, wide], [])
    assert frontend.runs == []


def test_without_a_plan_there_is_none(card, frontend):
    q = fake_cupy.device(numbers((2, 2, 5, 16), "float16", 0))
    frontend.fails = True
    assert attention(card, [q, q, q], []) is None  # nor is there what compiles our own kernel
    frontend.fails = False
    assert attention(card, [q, q, q], []) is None
    assert frontend.runs == []


def test_the_front_end_describes_the_same_graph(card, frontend, monkeypatch):
    import cudnn as true  # noqa: PLC0415

    described = []

    def plan(self, xp, key, dtype, describe):
        graph = true.pygraph(io_data_type=true.data_type.HALF)
        describe(graph, true.data_type.HALF)
        described.append(graph)

    monkeypatch.setattr(cudnn.GraphLibrary, "plan", plan)
    given = [fake_cupy.device(numbers((2, 2, 5, 16), "float16", n)) for n in range(3)]
    mask = fake_cupy.device(numbers((2, 1, 5, 5), "float16", 3))
    attention(card, [*given, mask], [("scale", 0.5), ("add", 0.0)])
    (graph,) = described
    found = {t.get_uid(): t.get_dim() for t in graph.tensors.values()}
    assert found[5] == [2, 1, 5, 5]
    assert [found[n] for n in (1, 2, 3, 4)] == [[2, 2, 5, 16]] * 4
