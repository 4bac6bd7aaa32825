"""Signals cut into frames, put together again, and their short-time transforms.

Formulas: Allen, "Short term spectral analysis, synthesis, and modification by discrete Fourier
transform" (1977); Harris, "On the use of windows for harmonic analysis" (1978); the Vorbis I
specification, section 1.3.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tfsession.core import dtypes
from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.shape_fns import with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, less, where, where_v2
from tfsession.ops.constant import constant, ones, ones_like, zeros, zeros_like
from tfsession.ops.elementwise import div_no_nan, maximum, minimum
from tfsession.ops.elementwise import pow as power
from tfsession.ops.fft import irfft, rfft
from tfsession.ops.gather import gather
from tfsession.ops.join import concat, stack
from tfsession.ops.reduce import reduce_prod
from tfsession.ops.reverse import roll
from tfsession.ops.segment import unsorted_segment_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import expand_dims, rank, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.transpose import transpose
from tfsession.ops.unary import ceil, cos, log, sin, square


def _scalar(value: Any, name: str) -> Tensor:
    found = convert_to_tensor(value, name=name)
    with_rank(found._shape, 0)
    return found


# --- windows --------------------------------------------------------------------------------------


def _positions(window_length: Any, dtype: Any) -> tuple[Tensor, Tensor]:
    """The length of a window, and the numbers of its elements."""
    if not dtypes.as_dtype(dtype).is_floating:
        raise ValueError(f"dtype must be a floating point type. Found {dtypes.as_dtype(dtype)}")
    length = convert_to_tensor(window_length, dtypes.int32, name="window_length")
    with_rank(length._shape, 0)
    return length, cast(range_(length), dtype)


def _raised_cosine(name: str, offset: float) -> Callable[..., Tensor]:
    @export(f"signal.{name}", f"contrib.signal.{name}")
    def window(
        window_length: Any, periodic: Any = True, dtype: Any = dtypes.float32, name: Any = None
    ) -> Tensor:
        with (
            graph_of([window_length, periodic]).as_default() as graph,
            graph.name_scope(name or label),
        ):
            length, numbers = _positions(window_length, dtype)
            is_periodic = cast(convert_to_tensor(periodic, dtypes.bool_), dtypes.int32)
            last = maximum(1, length + is_periodic * (1 - length % 2) - 1)
            turns = constant(2 * math.pi, dtype) * numbers / cast(last, dtype)
            values = offset - (1 - offset) * cos(turns)
            return where(_filled(equal(length, 1), values), ones_like(values), values)

    label = name
    window.__name__ = window.__qualname__ = name
    window.__doc__ = f"""A {name.partition("_")[0].capitalize()} window: a raised cosine.

    Args:
        window_length: int32 scalar.
        periodic: windows of even length end before they come back to their first value, as
            transforms want it; False makes them symmetric.
        dtype: dtype of floats.
        name: name scope of the operations.

    Raises:
        ValueError: another dtype.
    """
    return window


def _filled(flag: Tensor, like: Tensor) -> Tensor:
    mask = cast(zeros_like(like), dtypes.bool_)
    return mask | flag


hann_window = _raised_cosine("hann_window", 0.5)
hamming_window = _raised_cosine("hamming_window", 0.54)


@export("signal.vorbis_window")
def vorbis_window(
    window_length: Any, dtype: Any = dtypes.float32, name: str | None = None
) -> Tensor:
    """The power-complementary window of Vorbis."""
    with graph_of([window_length]).as_default() as graph, graph.name_scope(name or "vorbis_window"):
        length, numbers = _positions(window_length, dtype)
        arch = sin(math.pi / cast(length, dtype) * (numbers + 0.5))
        return sin(math.pi / 2 * power(arch, 2.0))


# --- frames ---------------------------------------------------------------------------------------


@export("signal.frame", "contrib.signal.frame")
def frame(
    signal: Any,
    frame_length: Any,
    frame_step: Any,
    pad_end: bool = False,
    pad_value: Any = 0,
    axis: Any = -1,
    name: str | None = None,
) -> Tensor:
    """Windows of `frame_length` elements, one each `frame_step` elements.

    Args:
        signal: tensor of rank 1 at least.
        frame_length: integer scalar.
        frame_step: integer scalar.
        pad_end: begin frames up to the end of the signal, and fill them.
        pad_value: scalar to fill them with.
        axis: the dimension to cut, an int.
        name: name scope of the operations.

    Returns:
        `signal` with `[frames, frame_length]` in the place of dimension `axis`.

    Raises:
        ValueError: a length is no scalar.
    """
    graph = graph_of([signal, frame_length, frame_step, pad_value])
    with graph.as_default(), graph.name_scope(name or "frame"):
        signal = convert_to_tensor(signal, name="signal")
        length, step = _scalar(frame_length, "frame_length"), _scalar(frame_step, "frame_step")
        static = with_rank_at_least(signal._shape, 1)
        at = int(axis)
        if static is not None and at >= 0:
            at -= len(static)
        samples = cast(shape_of(signal)[at], length.dtype)
        step = cast(step, length.dtype)
        if pad_end:
            count = -(-samples // step)
        else:
            count = maximum(constant(0, length.dtype), 1 + (samples - length) // step)
        begins = expand_dims(range_(count, dtype=length.dtype) * step, 1)
        chosen = begins + expand_dims(range_(length, dtype=length.dtype), 0)
        frames: Tensor = gather(
            signal, minimum(chosen, samples - 1) if pad_end else chosen, axis=at
        )
        if pad_end:
            behind = -1 - at if at < 0 else rank(signal) - 1 - at
            inside = less(chosen, samples)
            mask = reshape(inside, concat([shape_of(inside), ones([behind], dtypes.int32)], 0))
            frames = where_v2(mask, frames, cast(pad_value, frames.dtype))
        known = _frame_shape(static, at, length, step, pad_end)
        frames._shape = shape_lib.merge(frames._shape, known)
        return frames


def _frame_shape(
    static: shape_lib.Shape, at: int, length: Tensor, step: Tensor, pad_end: bool
) -> shape_lib.Shape:
    if static is None:
        return None
    size, by, samples = constant_value(length), constant_value(step), static[at]
    count = None
    if samples is not None and by is not None and pad_end:
        count = -(-samples // int(by))
    elif samples is not None and by is not None and size is not None:
        count = max(0, 1 + (samples - int(size)) // int(by))
    parts = (count, None if size is None else int(size))
    return (*static[:at], *parts, *(static[at + 1 :] if at != -1 else ()))


@export("signal.overlap_and_add", "contrib.signal.overlap_and_add")
def overlap_and_add(signal: Any, frame_step: Any, name: str | None = None) -> Tensor:
    """The signal of which `signal` holds frames: they are added where they overlap.

    Args:
        signal: tensor `[..., frames, frame_length]`.
        frame_step: integer scalar, by how much each frame begins after the one before.
        name: name scope of the operations.

    Returns:
        A tensor `[..., frame_step * (frames - 1) + frame_length]`.

    Raises:
        ValueError: a rank below two, or a step that is no integer.
    """
    graph = graph_of([signal, frame_step])
    with graph.as_default(), graph.name_scope(name or "overlap_and_add"):
        signal = convert_to_tensor(signal, name="signal")
        static = with_rank_at_least(signal._shape, 2)
        step = _scalar(frame_step, "frame_step")
        if not step.dtype.is_integer:
            raise ValueError(f"frame_step must be an integer. Got {step.dtype}")
        step = cast(step, dtypes.int32)
        sizes = shape_of(signal)
        frames, length = sizes[-2], sizes[-1]
        total = maximum(0, step * (frames - 1) + length)
        places = expand_dims(range_(frames) * step, 1) + expand_dims(range_(length), 0)
        outer = reduce_prod(sizes[:-2])
        rows = transpose(reshape(signal, stack([outer, frames * length])))
        added = unsorted_segment_sum(rows, reshape(places, [-1]), total)
        result: Tensor = reshape(transpose(added), concat([sizes[:-2], [total]], 0))
        if static is not None:
            by = constant_value(step)
            is_known = by is not None and None not in static[-2:]
            last = int(by) * (static[-2] - 1) + static[-1] if is_known else None  # type: ignore
            result._shape = shape_lib.merge(result._shape, (*static[:-2], last))
        return result


# --- short-time transforms ------------------------------------------------------------------------


def _transform_length(frame_length: Tensor, fft_length: Any) -> Tensor:
    """The next power of two, unless it is given."""
    if fft_length is not None:
        return _scalar(fft_length, "fft_length")
    known = constant_value(frame_length)
    if known is not None:
        return constant(2 ** math.ceil(math.log2(int(known))), frame_length.dtype)
    twos = ceil(log(cast(frame_length, dtypes.float32)) / math.log(2.0))
    return cast(power(2.0, twos), frame_length.dtype)


@export("signal.stft", "contrib.signal.stft")
def stft(
    signals: Any,
    frame_length: Any,
    frame_step: Any,
    fft_length: Any = None,
    window_fn: Callable[..., Any] | None = hann_window,
    pad_end: bool = False,
    name: str | None = None,
) -> Tensor:
    """The Fourier transforms of windowed frames.

    Args:
        signals: float32 or float64 tensor `[..., samples]`.
        frame_length: integer scalar, samples in a frame.
        frame_step: integer scalar, samples from frame to frame.
        fft_length: size of the transform; the least power of two that holds a frame when None.
        window_fn: `f(frame_length, dtype=...)` that gives factors for a frame; None for no window.
        pad_end: fill the last frames with zeros.
        name: name scope of the operations.

    Returns:
        A complex tensor `[..., frames, fft_length // 2 + 1]`.
    """
    graph = graph_of([signals, frame_length, frame_step])
    with graph.as_default(), graph.name_scope(name or "stft"):
        length = _scalar(frame_length, "frame_length")
        size = _transform_length(length, fft_length)
        frames = frame(signals, length, frame_step, pad_end=pad_end)
        if window_fn is not None:
            frames = frames * window_fn(length, dtype=frames.dtype)
        return rfft(frames, [size])


@export("signal.inverse_stft_window_fn", "contrib.signal.inverse_stft_window_fn")
def inverse_stft_window_fn(
    frame_step: Any, forward_window_fn: Callable[..., Any] = hann_window, name: str | None = None
) -> Callable[..., Tensor]:
    """A window for `inverse_stft` that undoes `forward_window_fn`.

    Args:
        frame_step: integer scalar, samples from frame to frame.
        forward_window_fn: the window of the forward transform.
        name: name scope of the operations.
    """

    def window(frame_length: Any, dtype: Any) -> Tensor:
        with (
            graph_of([frame_length, frame_step]).as_default() as graph,
            graph.name_scope(name or "inverse_stft_window_fn"),
        ):
            step = _scalar(frame_step, "frame_step")
            length = _scalar(frame_length, "frame_length")
            forward = forward_window_fn(length, dtype=dtype)
            # The energy that all frames together give to each place of one.
            places = range_(length) % step
            energy = gather(unsorted_segment_sum(square(forward), places, step), places)
            return div_no_nan(forward, energy)

    return window


@export("signal.inverse_stft", "contrib.signal.inverse_stft")
def inverse_stft(
    stfts: Any,
    frame_length: Any,
    frame_step: Any,
    fft_length: Any = None,
    window_fn: Callable[..., Any] | None = hann_window,
    name: str | None = None,
) -> Tensor:
    """Signals of which `stfts` are the short-time transforms.

    Args:
        stfts: complex tensor `[..., frames, fft_length // 2 + 1]`.
        frame_length: integer scalar, samples in a frame.
        frame_step: integer scalar, samples from frame to frame.
        fft_length: size of the transform; the least power of two that holds a frame when None.
        window_fn: factors for a frame; `inverse_stft_window_fn` gives those that undo the ones of
            the forward transform. None for no window.
        name: name scope of the operations.

    Returns:
        A tensor `[..., samples]`.
    """
    graph = graph_of([stfts, frame_length, frame_step])
    with graph.as_default(), graph.name_scope(name or "inverse_stft"):
        stfts = convert_to_tensor(stfts, name="stfts")
        with_rank_at_least(stfts._shape, 2)
        length = _scalar(frame_length, "frame_length")
        frames = irfft(stfts, [_transform_length(length, fft_length)])
        have = shape_of(frames)
        missing = maximum(0, cast(length, dtypes.int32) - have[-1])
        cut = frames[..., :length]
        fill = concat([have[:-1], expand_dims(missing, 0)], 0)
        frames = concat([cut, zeros(fill, frames.dtype)], -1)
        known = constant_value(length)
        if frames._shape is not None and known is not None:
            frames._shape = (*frames._shape[:-1], int(known))
        if window_fn is not None:
            frames = frames * window_fn(length, dtype=stfts.dtype.real_dtype)
        return overlap_and_add(frames, frame_step)


def _shifter(name: str, sign: int, what: str) -> None:
    @export(f"signal.{name}")
    def shift(x: Any, axes: Any = None, name: str | None = None) -> Tensor:
        with graph_of([x]).as_default() as graph, graph.name_scope(name or label):
            x = convert_to_tensor(x)
            where_to = range_(rank(x)) if axes is None else convert_to_tensor(axes) % rank(x)
            return roll(x, sign * (gather(shape_of(x), where_to) // 2), where_to)

    label = name
    shift.__name__ = shift.__qualname__ = name
    shift.__doc__ = f"""{what}.

    Args:
        x: tensor.
        axes: the dimensions, an int or a list; all when None.
        name: name scope of the operations.
    """


_shifter("fftshift", 1, "Spectra with the zero frequency brought to the middle")
_shifter("ifftshift", -1, "The inverse of `fftshift`")
