"""The GPU bench on a simulated device: its texts give the right answers; failures are told."""

import json
import time

import gpu
import numpy as np
import pytest
from on_gpu import ceilings, planned, table
from on_gpu.aims import aims
from on_gpu.peers import ByHand, Ours, Peer, Steps
from on_gpu.work import error_of, right_answers

CEILINGS = {"copy_bytes_per_s": 1e9, "float32_flop_per_s": 1e12, "replay_s_per_node": 1e-6}
MAKERS = list(planned(tiny=True))
TINY = [make() for make in MAKERS]


@pytest.mark.parametrize("peer", [Ours, ByHand])
@pytest.mark.parametrize("work", TINY, ids=lambda work: work.name)
def test_the_answers_are_numpys_in_float64(work, peer):
    steps, error = gpu.checked(peer("simulated"), work, right_answers(work))
    assert error <= work.tolerance
    assert list(steps.variants) == list(work.variants)


class _Off(ByHand):
    """Computes by hand, but trains at a greater rate, or gives greater numbers."""

    def build(self, work):
        work.rate *= 1.2
        steps = super().build(work)
        look = steps.look
        if not work.trains:
            steps.look = lambda number: look(number) * 1.2
        return steps


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make().name)
def test_wrong_answers_are_not_timed(make):
    work = make()
    right = right_answers(work)
    with pytest.raises(AssertionError, match=r"off by [\d.e-]+, allowed is"):
        gpu.checked(_Off("simulated"), work, right)


def test_gradients_by_hand_are_those_of_differences():
    rng = np.random.default_rng(0)
    for work in TINY:
        if not work.trains:
            continue
        weights = [array.astype(np.float64) for array in work.parameters]
        arrays = [a if a.dtype.kind == "i" else a.astype(np.float64) for a in work.inputs[0]]
        _, grads = work.by_hand(np, weights, *arrays)
        turns = [rng.normal(size=weight.shape) for weight in weights]
        along = sum(float((g * t).sum()) for g, t in zip(grads, turns, strict=True))
        near = [
            work.by_hand(np, [w + h * t for w, t in zip(weights, turns, strict=True)], *arrays)[0]
            for h in (1e-6, -1e-6)
        ]
        assert along == pytest.approx((near[0] - near[1]) / 2e-6, rel=1e-4), work.name


@pytest.mark.parametrize("found", [[[1.0, 2.0]], [[1.0, np.nan]], [[1.0], [2.0]]])
def test_an_error_is_of_the_root_mean_square(found):
    if len(found) > 1:
        with pytest.raises(AssertionError, match="2 answers, not 1"):
            error_of(found, [[3.0, 4.0]])
    else:
        wanted = np.inf if np.isnan(found[0][1]) else 2 / 12.5**0.5
        assert error_of(found, [[3.0, 4.0]]) == pytest.approx(wanted)


class _Broken(Peer):
    """A library whose steps fail; when is its name."""

    version = "0"

    def __init__(self, name):
        self.name = name

    def build(self, work):
        if self.name == "built":
            raise RuntimeError("no such\n  function")
        if self.name == "slow":
            time.sleep(30)
        steps = ByHand("simulated").build(work)
        answers, steps.answers = steps.answers, lambda work: [answers(work), broken()][0]

        def broken():
            steps.variants = dict.fromkeys(steps.variants, lambda number: 1 / 0)

        return steps


def test_what_fails_is_told_and_the_rest_measured(monkeypatch):
    monkeypatch.setattr(gpu, "BUILD", 2.0)
    peers = [Ours("simulated"), *map(_Broken, ("built", "slow", "timed"))]
    until = time.monotonic() + 60
    (row,) = gpu.measure(TINY[1], peers, CEILINGS, until, rounds=2)
    assert list(row["figures"]) == ["tfsession"]
    assert [row["failures"][name].splitlines()[0] for name in ("built", "slow", "timed")] == [
        "RuntimeError: no such function",
        "TooLong: stopped after 2 seconds",
        "ZeroDivisionError: division by zero",
    ]
    figures = row["figures"]["tfsession"]
    assert figures["rounds"] == 2
    assert figures["refused"] == []
    assert 0 < figures["recorded"] <= figures["segments"]
    assert 0 < figures["host_us"] <= figures["max_us"]
    assert figures["min_us"] <= figures["median_us"] <= figures["max_us"]
    assert row["floor_us"] == pytest.approx(8.0)
    assert figures["share_of_roofline"] == pytest.approx(8.0 / figures["median_us"])


def test_the_floor_is_what_binds_most():
    work = TINY[0]
    assert ceilings.floor(work, CEILINGS) == (work.moved / 1e9, "bytes")
    assert ceilings.floor(work, {"replay_s_per_node": 1.0}) == (work.depth, "kernels in a row")
    assert ceilings.floor(work, {"float32_flop_per_s": 1.0}) == (work.flop, "FLOP")
    assert ceilings.floor(work, {"copy_bytes_per_s": None}) is None


def test_a_run_leaves_figures_that_claim_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "ROUND", 0.001)
    path = tmp_path / "figures.json"
    options = ["--device", "simulated", "--rounds", "2", "--json", str(path), "--only", "8 el"]
    assert gpu.main(options) == 0
    report = json.loads(path.read_text())
    assert report["is_claim"] is False
    assert [row["work"] for row in report["works"]] == ["8 element-wise ops, 1,000 float32"]
    assert report["works"][0]["figures"].keys() == report["peers"].keys()
    assert report["peers"].keys() | report["absent"].keys() >= {"tfsession", "torch", "jax.jit"}
    assert all(report["ceilings"].values())
    printed = capsys.readouterr().out
    assert "2 of 10: 8 element-wise ops, 1,000 float32" in printed
    assert "claim nothing" in printed
    assert gpu.main(["--markdown", str(path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("tried on a simulated device: these figures claim nothing.")
    row = "| 8 element-wise ops, 1,000 float32 | inputs on the device, nothing fetched | float32 |"
    assert row in text
    assert "10.0 microseconds of the host a step" in text or "of copy bandwidth" in text


def test_a_run_ends_within_its_time(tmp_path):
    path = tmp_path / "figures.json"
    gpu.main(["--device", "simulated", "--rounds", "1", "--json", str(path), "--seconds", "1"])
    report = json.loads(path.read_text())
    assert report["left_out"] == [work.name for work in TINY[1:]]
    assert "no time was left" in table.markdown(report)


def test_a_library_that_fails_in_all_rows_is_in_the_table(tmp_path):
    row = {"work": "w", "variant": "v", "figures": {}, "failures": {"torch": "E: why\nwhere"}}
    row |= {"floor_us": None, "bound_by": None, "precision": "float32"}
    report = {"is_claim": True, "device": "a card", "peers": {"torch": "1"}, "works": [row]}
    report |= {"absent": {"jax.jit": "not installed"}, "ceilings": {}, "left_out": []}
    report["aims"] = []
    text = table.markdown(report)
    assert "| w | v | float32 | failed |  |  |" in text
    assert "- w, torch: E: why" in text
    assert "- jax.jit: not installed" in text
    table.show(report)


def test_steps_give_their_answers_in_the_order_of_the_right_ones():
    work = TINY[0]
    fetched = [variant for variant in work.variants if variant.fetched]
    steps = Steps(dict.fromkeys(work.variants, lambda n: n), lambda n: 10 + n, lambda: None)
    assert len(steps.answers(work)) == len(right_answers(work)) == 4 * (4 + len(fetched))


def _row(work, bound="FLOP", **figures):
    found = {name.replace("_", " "): {"median_us": time} for name, time in figures.items()}
    found |= {"jax.jit": found.pop("jax")} if "jax" in found else {}
    return {"work": work, "variant": "v", "bound_by": bound, "figures": found}


def test_aims_are_told_of_the_rows_of_a_run():
    rows = [
        _row("MLP", tfsession=30.0, torch_compiled=40.0, jax=50.0, torch=10.0),
        _row("MLP", tfsession=30.0, torch_compiled=40.0, jax=20.0),
        _row("MLP", tfsession=30.0, torch=10.0),
        _row("matmul", tfsession=104.0, torch=100.0),
        _row("matmul", tfsession=106.0, torch=100.0),
        _row("matmul", torch=100.0),
        _row("8 element-wise ops", "bytes", tfsession=1.0),
        _row("8 element-wise ops", "kernels in a row", tfsession=1.0),
        _row("LSTM", tfsession=1.0, torch=0.1),
    ]
    rows[6]["figures"]["tfsession"]["share_of_roofline"] = 0.89
    rows[7]["figures"]["tfsession"]["host_us"] = 9.5
    found = [(aim["is"], aim["holds"]) for aim in aims(rows)]
    assert found[:2] == [(0.75, True), (1.5, False)]
    assert found[2:6] == [(None, None), (1.04, True), (1.06, False), (None, None)]
    assert found[6:] == [(0.89, False), (9.5, True)]
