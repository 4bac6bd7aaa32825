"""Sound: files, spectra and cepstral coefficients."""

import struct
import wave

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, strings, value


def wav(samples, rate=8000, bits=16, kind=1, extra=b""):
    samples = np.asarray(samples, "<i2")
    sound, channels = samples.tobytes(), samples.shape[1]
    head = struct.pack("<HHIIHH", kind, channels, rate, 2 * channels * rate, 2 * channels, bits)
    parts = b"fmt " + struct.pack("<I", len(head)) + head + extra
    parts += b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(parts) + 4) + b"WAVE" + parts


STEREO = wav([[0, 32767], [-32768, 5], [100, -100]])
SOUND = floats(400, 2, low=-1.0, high=1.0)
POWER = floats(2, 5, 129, low=0.0, high=9.0)
ROWS = [
    *(
        Row("DecodeWav", "audio.decode_wav", [strings(STEREO, shape=[])], kwargs, label=f"{kwargs}")
        for kwargs in ({}, {"desired_channels": 1}, {"desired_channels": 4, "desired_samples": 5},
                       {"desired_samples": 2})
    ),
    Row("DecodeWav", "audio.decode_wav",
        [strings(wav([[1], [2]], extra=b"LIST\2\0\0\0ab"), shape=[])], label="other parts"),
    Row("EncodeWav", "audio.encode_wav", [
        value([[0.0, 1.0], [-1.0, 2.0], [0.5 / 32768, -1.5 / 32768]], "float32"),
        value(44100, "int32")]),
    *(
        Row("AudioSpectrogram", lambda tf, x, **kwargs: tf.raw_ops.AudioSpectrogram(
            input=x, **kwargs), [SOUND], {"window_size": window, "stride": stride,
            "magnitude_squared": squared}, label=f"{window}-{stride}-{squared}")
        for window, stride, squared in ((64, 32, False), (100, 50, True), (401, 1, False))
    ),
    *(
        Row("Mfcc", lambda tf, x, rate, **kwargs: tf.raw_ops.Mfcc(
            spectrogram=x, sample_rate=rate, **kwargs), [POWER, value(rate, "int32")], kwargs,
            label=f"{rate}{kwargs}")
        for rate, kwargs in ((16000, {}), (8000, {
            "upper_frequency_limit": 3000.0, "lower_frequency_limit": 100.0,
            "filterbank_channel_count": 20, "dct_coefficient_count": 20}))
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_files_are_read_by_others(fresh_graph, tmp_path):
    audio = np.sin(np.arange(300)).reshape(150, 2).astype(np.float32) * 0.9
    contents = tf.audio.encode_wav(audio, 11025)
    again, rate = tf.audio.decode_wav(contents)
    with tf.Session() as session:
        data, back, number = session.run([contents, again, rate])
    (tmp_path / "a.wav").write_bytes(data)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 11025, 150)
    assert number == 11025
    np.testing.assert_allclose(back, audio, atol=1 / 32768)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "Header mismatch"),
        (b"RIFF1234WAVE", "no format or no data"),
        (STEREO[:-1], "goes beyond its end"),
        (STEREO[:30], "goes beyond its end"),
        (wav([[1]], bits=8), "16-bit PCM WAV files, not 8 bits"),
        (wav([[1]], kind=3), "of format 3"),
        (wav(np.zeros((2, 0))), "0 channels"),
    ],
)
def test_files_that_are_none(fresh_graph, data, text):
    with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError, match=text):
        session.run(tf.audio.decode_wav(data))


def test_what_cannot_be_told(fresh_graph):
    unknown = tf.placeholder(tf.float32)
    raw = tf.raw_ops
    with tf.Session() as session:
        for made, text in [
            (tf.audio.encode_wav(unknown, 8000), "must be a matrix"),
            (tf.audio.encode_wav(tf.ones([2, 1]), 0), "need samples, channels and a rate"),
            (raw.AudioSpectrogram(input=unknown, window_size=4, stride=1), "2-dimensional"),
            (raw.Mfcc(spectrogram=unknown, sample_rate=8000), "rank 3"),
            (raw.Mfcc(spectrogram=tf.ones([1, 1, 9]), sample_rate=8000,
                      lower_frequency_limit=5000.0), "lower_frequency_limit"),
        ]:  # fmt: skip
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(made, {unknown: 1.0})
