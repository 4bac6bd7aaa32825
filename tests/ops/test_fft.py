"""Fourier transforms."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import COMPLEX, Row, case_name, check_row, floats, row_cases, value

SUFFIXES = {1: "", 2: "2d", 3: "3d"}
SHAPES = {1: (3, 5), 2: (2, 4, 3), 3: (2, 3, 2, 4)}
ALL = {name: getattr(np.fft, f"{name}n") for name in ("fft", "ifft", "rfft", "irfft")}
NO_GRADIENT = "TensorFlow has no gradient there, or one of another shape"
OWN = "half a transform filled with zeros is turned back here"


def transformed(name, dims, sizes=None):
    def reference(x, *_, **__):
        s = {} if sizes is None else {"s": sizes}
        return ALL[name](x, axes=tuple(range(-dims, 0)), **s)

    return reference


def in_parts(name):
    """Of real inputs, real outputs: what gradients are checked on."""

    def build(tf, a, b=None, **kwargs):
        y = getattr(tf.signal, name)(a if b is None else tf.complex(a, b), **kwargs)
        return [tf.real(y), tf.imag(y)] if y.dtype.is_complex else y

    return build


REALS = ["float32", "float64"]
ROWS = [
    row
    for dims, suffix in SUFFIXES.items()
    for row in (
        *(
            Row(f"{name}{suffix}".upper(), f"signal.{name}{suffix}", [floats(*SHAPES[dims])],
                dtypes=COMPLEX, reference=transformed(name, dims), tolerance=4)
            for name in ("fft", "ifft")
        ),
        *(
            Row(f"{name}{suffix}".upper(), in_parts(f"{name}{suffix}"),
                [floats(*SHAPES[dims]), floats(*SHAPES[dims])], dtypes=["float64"], grad=True,
                label="gradient", tolerance=4)
            for name in ("fft", "ifft")
        ),
        Row(f"RFFT{suffix}".upper(), f"signal.rfft{suffix}", [floats(*SHAPES[dims])],
            dtypes=REALS, reference=transformed("rfft", dims), tolerance=4),
        Row(f"IRFFT{suffix}".upper(), f"signal.irfft{suffix}", [floats(*SHAPES[dims])],
            dtypes=COMPLEX, reference=transformed("irfft", dims), tolerance=4),
        *(
            Row(f"RFFT{suffix}".upper(), in_parts(f"rfft{suffix}"), [floats(*SHAPES[dims])],
                {} if sizes is None else {"fft_length": sizes[-dims:]}, ["float64"],
                grad=True, label=f"gradient {sizes}", tolerance=4, same_graph=OWN,
                oracle=NO_GRADIENT if dims == 3 or sizes else True)
            for sizes in (None, [2, 6, 7], [2, 2, 4])
        ),
        *(
            Row(f"IRFFT{suffix}".upper(), in_parts(f"irfft{suffix}"),
                [floats(*SHAPES[dims]), floats(*SHAPES[dims])],
                {} if sizes is None else {"fft_length": sizes[-dims:]}, ["float64"],
                grad=True, label=f"gradient {sizes}", tolerance=4, same_graph=OWN,
                oracle=NO_GRADIENT if dims == 3 or sizes else True)
            for sizes in (None, [2, 3, 7], [2, 5, 4], [2, 3, 1])
        ),
    )
] + [
    Row("RFFT", lambda tf, x, n: tf.spectral.rfft(x, n), [floats(2, 3), value([8], "int32")],
        reference=lambda x, _: np.fft.rfft(x, 8), label="fed length", tolerance=4),
    Row("IRFFT", lambda tf, x, n: tf.spectral.irfft(x, n), [floats(2, 3), value([8], "int32")],
        dtypes=["complex64"], reference=lambda x, _: np.fft.irfft(x, 8), label="fed length",
        tolerance=4),
    Row("FFT", "spectral.fft", [floats(2, 0)], dtypes=COMPLEX, label="empty"),
    Row("RFFT", "signal.rfft", [floats(0, 4)], label="nothing"),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_errors(fresh_graph):
    with pytest.raises(ValueError, match=r"RFFT requires tf\.float32 or tf\.float64 inputs"):
        tf.signal.rfft(tf.constant([1]))
    with pytest.raises(ValueError, match="rank"):
        tf.signal.rfft2d(tf.constant([1.0]))
    n = tf.placeholder(tf.int32, [1])
    wrong = tf.raw_ops.RFFT(input=tf.constant([1.0, 2.0]), fft_length=n)
    with tf.Session() as session:
        for length, text in (([4], "length of at least 4 but got: 2"), ([-1], "must be >= 0")):
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(wrong, {n: length})
        assert session.run(wrong, {n: [2]}).tolist() == [3, -1]
