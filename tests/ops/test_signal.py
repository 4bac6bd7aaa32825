"""Frames, windows, short-time and cosine transforms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

OWN = "the same numbers by other operations"


def parts(tf, y):
    return [tf.real(y), tf.imag(y)] if y.dtype.is_complex else y


def signal(op, name, inputs, kwargs=None, **more):
    def build(tf, *tensors, **kwargs):
        return parts(tf, getattr(tf.signal, name)(*tensors, **kwargs))

    label = f"{name} {kwargs}" + more.pop("label", "")
    return Row(op, build, inputs, kwargs or {}, same_graph=OWN, label=label, **more)


def inverted(tf, x, **kwargs):
    y = tf.signal.stft(x, 8, 3, **kwargs)
    window = tf.signal.inverse_stft_window_fn(3)
    return [tf.signal.inverse_stft(y, 8, 3, window_fn=window), tf.signal.inverse_stft(y, 8, 3)]


FOUR = {"frame_length": 4, "frame_step": 3}
ROWS = [
    *(signal("GatherV2", "frame", [floats(2, 11)], {**FOUR, **kwargs}, grad=True)
      for kwargs in ({}, {"pad_end": True}, {"pad_end": True, "pad_value": 2.0})),
    *(signal("GatherV2", "frame", [floats(2, 11, 3)], {**FOUR, **kwargs})
      for kwargs in ({"axis": 1}, {"axis": -2, "pad_end": True}, {"axis": 0})),
    signal("GatherV2", "frame", [floats(2, 2)], FOUR, label=" too short"),
    *(signal("UnsortedSegmentSum", "overlap_and_add", [floats(2, 3, 4)], {"frame_step": step},
             grad=True) for step in (1, 3, 4, 6)),
    *(signal("Cos", name, [value(length, "int32")], kwargs)
      for name in ("hann_window", "hamming_window") for length in (1, 2, 7, 8)
      for kwargs in ({}, {"periodic": False})),
    signal("Sin", "vorbis_window", [value(8, "int32")]),
    signal("RFFT", "stft", [floats(2, 20)], {"frame_length": 6, "frame_step": 4}, tolerance=5),
    signal("RFFT", "stft", [floats(2, 20)],
           {"frame_length": 6, "frame_step": 4, "fft_length": 16, "pad_end": True,
            "window_fn": None}, tolerance=5),
    signal("RFFT", "stft", [floats(20), value(6, "int32"), value(4, "int32")], tolerance=5,
           label=" fed"),
    Row("IRFFT", inverted, [floats(2, 20)], same_graph=OWN, tolerance=20),
    Row("IRFFT", inverted, [floats(2, 20)], {"fft_length": 8}, same_graph=OWN, tolerance=20,
        label="given"),
    *(signal("RFFT" if kind != 3 else "IRFFT", "dct", [floats(2, 6)],
             {"type": kind, "norm": norm, "n": n}, grad=n is None,
             dtypes=["float32", "float64"], tolerance=20)
      for kind in (1, 2, 3, 4) for norm in (None, "ortho") for n in (None, 4, 9)
      if not (kind == 1 and norm)),
    *(signal("IRFFT" if kind == 2 else "RFFT", "idct", [floats(6)], {"type": kind}, tolerance=20)
      for kind in (1, 2, 3, 4)),
    *(signal("Roll", name, [floats(5, 4)], {"axes": axes})
      for name in ("fftshift", "ifftshift") for axes in (None, 1, [0, -1])),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 30))
def test_windows_that_are_undone_give_the_signal_back(step, more, samples):
    x = np.random.default_rng(samples).normal(size=samples)
    length = step + more
    with tf.Graph().as_default(), tf.Session() as session:
        window = tf.signal.hamming_window
        y = tf.signal.stft(x, length, step, window_fn=window)
        undone = tf.signal.inverse_stft_window_fn(step, window)
        found = session.run(tf.signal.inverse_stft(y, length, step, window_fn=undone))
    whole = found[length : len(found) - length]
    assert whole == pytest.approx(x[length : length + len(whole)], abs=1e-5)


@pytest.mark.parametrize("kind", [2, 3, 4])
def test_orthogonal_transforms_are_undone(fresh_graph, kind):
    x = np.random.default_rng(kind).normal(size=(3, 7))
    there = tf.signal.dct(x, type=kind, norm="ortho")
    back = tf.signal.idct(there, type=kind, norm="ortho")
    with tf.Session() as session:
        there, back = session.run([there, back])
    np.testing.assert_allclose(back, x, atol=1e-12)
    assert (there**2).sum() == pytest.approx((x**2).sum())


def test_errors(fresh_graph):
    x = tf.zeros([4])
    for build, error, text in (
        (lambda: tf.signal.dct(x, axis=0), NotImplementedError, "axis must be -1"),
        (lambda: tf.signal.dct(x, type=5), ValueError, "Types I, II, III and IV"),
        (lambda: tf.signal.dct(x, n=0), ValueError, "positive integer"),
        (lambda: tf.signal.dct(x, norm="x"), ValueError, "Unknown normalization"),
        (lambda: tf.signal.dct(x, type=1, norm="ortho"), ValueError, "Type-I"),
        (lambda: tf.signal.dct(x[:1], type=1), ValueError, "greater than one"),
        (lambda: tf.signal.hann_window(4, dtype=tf.int32), ValueError, "floating point"),
        (lambda: tf.signal.overlap_and_add(x, 1), ValueError, "rank"),
        (lambda: tf.signal.overlap_and_add(x[None], 1.0), ValueError, "must be an integer"),
        (lambda: tf.signal.frame(x, [1], 1), ValueError, "rank"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            build()
