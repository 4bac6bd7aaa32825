"""BLAS threads: small products use one, and what was set before comes back."""

import threading
from types import SimpleNamespace

import pytest

from tfsession.devices import blas
from tfsession.devices.threads import blas_threads_for


@pytest.fixture
def threads(monkeypatch):
    """A stand-in for the library: the number of threads, and every number set."""
    state = {"now": 4, "log": []}

    def assign(number):
        state["now"] = number
        state["log"].append(number)

    monkeypatch.setattr(blas, "_controls", lambda: blas._Controls(lambda: state["now"], assign))
    return state


def test_a_small_product_usesone_thread(threads):
    with blas_threads_for(1000):
        assert threads["now"] == 1
    assert threads["now"] == 4


def test_a_large_product_is_left_alone(threads):
    with blas_threads_for(10**9):
        assert threads["now"] == 4
    assert threads["log"] == []


def test_what_was_one_stays_untouched(threads):
    threads["now"] = 1
    with blas_threads_for(1000):
        pass
    assert threads["log"] == []


def test_the_last_one_out_restores(threads):
    seen = []

    def other():
        with blas_threads_for(10):
            seen.append(threads["now"])

    with blas_threads_for(10):
        worker = threading.Thread(target=other)
        worker.start()
        worker.join()
        assert [*seen, threads["now"]] == [1, 1]
    assert threads["log"] == [1, 4]


def test_who_was_driven_out_comes_back_to_set_it_right(threads):
    """Ctrl-C before the first line of the exit; or a fork while another thread is inside."""
    blas_threads_for(10).__enter__()
    with blas_threads_for(10):
        assert threads["now"] == 1
    assert threads["now"] == 4
    worker = threading.Thread(target=lambda: blas_threads_for(10).__enter__())
    worker.start()
    worker.join()
    blas.one_thread.after_fork()
    assert threads["now"] == 4


def test_an_error_restores_too(threads):
    with pytest.raises(RuntimeError, match="inside"), blas_threads_for(10):
        raise RuntimeError("inside")
    assert threads["now"] == 4


def test_many_threads_leave_it_as_it_was(threads):
    def work():
        for _ in range(200):
            with blas_threads_for(10):
                pass

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert threads["now"] == 4


def test_the_library_of_this_numpy_answers_or_is_left_alone():
    controls = blas._controls()
    if controls is None:
        with blas_threads_for(10):
            pass
        return
    before = controls.get()
    with blas_threads_for(10):
        assert controls.get() == 1
    assert controls.get() == before


@pytest.mark.parametrize(
    ("architecture", "features", "hinted"),
    [
        ("Haswell", ["AVX512F", "AVX512_SKX"], True),
        ("Zen", ["X86_V3", "X86_V4"], True),
        ("Haswell", ["AVX2"], False),
        ("SkylakeX", ["AVX512F", "AVX512_SKX"], False),
    ],
)
def test_kernels_too_narrow_for_the_cpu_are_told(monkeypatch, architecture, features, hinted):
    info = {"internal_api": "openblas", "version": "0.3", "num_threads": 2}
    info["architecture"] = architecture
    library = SimpleNamespace(info=lambda: info)
    monkeypatch.setattr(blas, "_library", lambda: library)
    monkeypatch.setattr(blas, "_features", lambda: features)
    text = blas.description()
    assert text.startswith(f"openblas 0.3, {architecture} kernels, 2 threads")
    assert ("OPENBLAS_CORETYPE=SkylakeX" in text) is hinted


def test_an_unknown_blas_is_no_error(monkeypatch):
    monkeypatch.setattr(blas, "_library", lambda: None)
    assert "unknown" in blas.description()
