"""Stands in for the front end of cuDNN: graphs of convolutions, computed by NumPy where they lie.

It is strict about the order of calls, sizes and strides, and about what a stream that captures may
be asked.
"""

import ctypes
from itertools import product
from types import SimpleNamespace

import ml_dtypes
import numpy as np

KINDS = {"HALF": np.float16, "BFLOAT16": ml_dtypes.bfloat16, "FLOAT": np.float32,
         "DOUBLE": np.float64}  # fmt: skip
ORDER = ["validate", "build_operation_graph", "create_execution_plans", "deselect_numeric_notes",
         "deselect_workspace_greater_than", "check_support", "build_plans"]  # fmt: skip


class Tensor:
    def __init__(self, make=None, dim=None, stride=None, data_type=None, uid=None):
        self.make, self.dim, self.stride = make, dim, stride
        self.data_type, self.uid, self.is_output = data_type, uid, False

    def set_output(self, value):
        self.is_output = value
        return self

    def set_data_type(self, kind):
        self.data_type = kind
        return self

    def set_uid(self, uid):
        self.uid = uid
        return self

    def set_dim(self, dim):
        self.dim = list(dim)
        return self

    def set_stride(self, stride):
        self.stride = list(stride)
        return self

    def at(self, address):
        """The memory of the tensor."""
        dtype = np.dtype(KINDS[self.data_type])
        count = sum((d - 1) * s for d, s in zip(self.dim, self.stride, strict=True)) + 1
        flat = np.frombuffer(
            (ctypes.c_char * (count * dtype.itemsize)).from_address(address), dtype
        )
        strides = [step * dtype.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(flat, self.dim, strides)


def windows(x_shape, w_shape, moves):
    """(index of a filter's element, the slices of padded images that meet it), and the counts."""
    sizes = [
        size + before + behind
        for size, before, behind in zip(
            x_shape[2:], moves["pre_padding"], moves["post_padding"], strict=True
        )
    ]
    extents, strides, dilations = w_shape[2:], moves["stride"], moves["dilation"]
    counts = [
        (size - (extent - 1) * dilation - 1) // stride + 1
        for size, extent, stride, dilation in zip(sizes, extents, strides, dilations, strict=True)
    ]
    taps = [
        (tap, tuple(slice(t * d, t * d + (c - 1) * s + 1, s)
                    for t, d, c, s in zip(tap, dilations, counts, strides, strict=True)))
        for tap in product(*map(range, extents))
    ]  # fmt: skip
    return sizes, counts, taps


def padded(x, sizes, moves):
    found = np.zeros((*x.shape[:2], *sizes))
    found[inner(x.shape, moves)] = x
    return found


def inner(shape, moves):
    places = zip(moves["pre_padding"], shape[2:], strict=True)
    return (slice(None), slice(None), *(slice(b, b + size) for b, size in places))


def correlate(x, w, moves, y=None, to=""):
    """The sums; or the gradient for images or filters, whose shapes are those of `x` and `w`."""
    sizes, counts, taps = windows(x.shape, w.shape, moves)
    groups, depth, out = x.shape[1] // w.shape[1], w.shape[1], w.shape[0]
    images = padded(x, sizes, moves)
    found = {"": np.zeros((x.shape[0], out, *counts)), "x": images * 0, "w": np.zeros(w.shape)}[to]
    for group in range(groups):
        taken = slice(group * depth, (group + 1) * depth)
        given = slice(group * out // groups, (group + 1) * out // groups)
        for tap, near in taps:
            place = (slice(None), taken, *near)
            own = (given, slice(None), *tap)
            if to == "x":
                found[place] += np.einsum("nk...,kc->nc...", y[:, given], w[own])
            elif to == "w":
                slopes = y[:, given].reshape(len(x), -1, np.prod(counts))
                met = images[place].reshape(len(x), depth, -1)
                found[own] = np.einsum("nks,ncs->kc", slopes, met)
            else:
                found[:, given] += np.einsum("nc...,kc->nk...", images[place], w[own])
    return found[inner(x.shape, moves)] if to == "x" else found


class Graph:
    def __init__(self, frontend, handle, **kinds):
        assert handle is frontend.handle and set(kinds) == {
            "io_data_type", "intermediate_data_type", "compute_data_type"
        }  # fmt: skip
        self.frontend, self.calls, self.read, self.outputs = frontend, [], [], []
        self.notes, self.most = [], None

    def __getattr__(self, name):
        if name not in ORDER:
            raise AttributeError(name)

        def call(*arguments):
            assert not self.frontend.captures(), f"{name} in a capture"
            assert ORDER[len(self.calls)] == name
            self.calls.append(name)
            if name == "deselect_numeric_notes":
                self.notes = arguments[0]
            if name == "check_support" and self.frontend.refuses:
                raise RuntimeError("cudnnGraphNotSupportedError")

        return call

    def tensor(self, dim, stride, data_type, uid):
        self.read.append(Tensor(None, dim, stride, data_type, uid))
        return self.read[-1]

    def made(self, make):
        self.outputs.append(Tensor(make))
        return self.outputs[-1]

    def conv_fprop(self, image, weight, **moves):
        return self.made(lambda of: correlate(of(image), of(weight), moves))

    def conv_dgrad(self, loss, filter, **moves):
        def make(of):
            images = np.zeros(self.outputs[-1].dim)
            return correlate(images, of(filter), moves, of(loss), "x")

        return self.made(make)

    def conv_wgrad(self, image, loss, **moves):
        def make(of):
            filters = np.zeros(self.outputs[-1].dim)
            return correlate(of(image), filters, moves, of(loss), "w")

        return self.made(make)

    def sdpa(self, q, k, v, attn_scale, generate_stats, bias=None):
        assert generate_stats is False

        def make(of):
            scores = of(q) @ of(k).swapaxes(-1, -2) * attn_scale
            scores = scores if bias is None else scores + of(bias)
            powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
            return powers / powers.sum(axis=-1, keepdims=True) @ of(v)

        return self.made(make), None

    def bias(self, input, bias):
        return self.made(lambda of: of(input) + of(bias))

    def relu(self, input):
        return self.made(lambda of: np.maximum(of(input), 0))

    def get_workspace_size(self):
        assert self.calls == ORDER
        return 512

    def execute(self, addresses, workspace, handle):
        assert self.calls == ORDER and handle is self.frontend.handle and workspace
        assert self.frontend.stream is not None
        if self.frontend.fails:
            raise RuntimeError("CUDNN_STATUS_EXECUTION_FAILED")
        (result,) = [tensor for tensor in self.outputs if tensor.is_output]
        assert sorted(addresses) == sorted([result.uid, *(t.uid for t in self.read)])

        def of(tensor):
            if tensor.make is None:
                return tensor.at(addresses[tensor.uid]).astype(np.float64)
            return tensor.make(of)

        found = of(result)
        assert list(found.shape) == result.dim
        result.at(addresses[result.uid])[...] = found
        self.frontend.runs.append(self)


class Frontend:
    """The module, as far as it is used."""

    def __init__(self, captures=lambda: False, version=91000):
        self.captures, self.handle, self.stream = captures, object(), None
        self.refuses = self.fails = False
        self.runs = []
        self.data_type = SimpleNamespace(**{name: name for name in KINDS})
        self.heur_mode = SimpleNamespace(A="A", FALLBACK="FALLBACK")
        notes = "NONDETERMINISTIC", "TENSOR_CORE", "DOWN_CONVERT_INPUTS"
        self.numerical_note = SimpleNamespace(**{name: name for name in notes})
        self.backend_version = lambda: version

    def create_handle(self):
        assert not self.captures()
        return self.handle

    def set_stream(self, handle, stream):
        assert handle is self.handle
        self.stream = stream

    def pygraph(self, **told):
        return Graph(self, **told)
