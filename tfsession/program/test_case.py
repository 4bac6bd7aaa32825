"""`tf.test.TestCase`: absl's test case, with sessions and comparisons of arrays."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest
from google.protobuf import text_format

from tfsession.core import errors, nest, protos
from tfsession.core.device_spec import DeviceSpecV1
from tfsession.core.dtypes import as_dtype
from tfsession.graph.composite import composite_type_of
from tfsession.graph.graph import Graph, get_default_graph, reset_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.variables import Variable
from tfsession.program import machine
from tfsession.runtime.default_session import get_default_session
from tfsession.session import Session

__all__ = ["StubOutForTesting", "TestCase", "assert_equal_graph_def", "main", "mock"]

# The seed that TensorFlow gives the default graph of each test.
_SEED = 87654321


def main(argv: Any = None) -> None:
    """Run the tests of the program's module, then exit."""
    absltest.main(argv=argv)


def assert_equal_graph_def(actual: Any, expected: Any, checkpoint_v2: bool = False,
                           hash_table_shared_name: bool = False) -> None:  # fmt: skip
    """Hold two GraphDefs to the same nodes, in whatever order.

    Raises:
        AssertionError: they differ.
        TypeError: one of them is no GraphDef.
    """
    nodes = []
    for name, graph_def in (("actual", actual), ("expected", expected)):
        if not isinstance(graph_def, protos.GraphDef):
            kind = type(graph_def).__name__
            raise TypeError(f"Expected tf.GraphDef for {name}, got {kind}")
        nodes.append({node.name: node for node in graph_def.node})
    if nodes[0].keys() != nodes[1].keys():
        raise AssertionError(f"nodes of one only: {sorted(nodes[0].keys() ^ nodes[1].keys())}")
    for name, node in nodes[0].items():
        if node != nodes[1][name]:
            raise AssertionError(f"node {name} differs:\n{node}\n{nodes[1][name]}")


class StubOutForTesting:
    """Replaces attributes for the time of a test."""

    def __init__(self) -> None:
        self._kept: list[tuple[Any, str, Any]] = []

    def Set(self, parent: Any, child_name: str, new_child: Any) -> None:
        """Replace an attribute, until `UnsetAll`."""
        self._kept.append((parent, child_name, getattr(parent, child_name)))
        setattr(parent, child_name, new_child)

    SmartSet = Set

    def UnsetAll(self) -> None:
        """Put everything back."""
        while self._kept:
            parent, name, value = self._kept.pop()
            setattr(parent, name, value)

    SmartUnsetAll = CleanUp = UnsetAll

    def __enter__(self) -> StubOutForTesting:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.UnsetAll()


class CheckedThread:
    """A thread whose exception fails the test that joins it."""

    def __init__(self, case: TestCase, target: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._case = case
        self._error: BaseException | None = None
        self._joined = False

        def run() -> None:
            try:
                target(*(args or ()), **(kwargs or {}))
            except Exception as error:
                self._error = error

        self._thread = threading.Thread(target=run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its end; fails the test when it ended in an exception."""
        self._joined = True
        self._thread.join()
        if self._error is not None:
            self._case.fail(f"Error in checkedThread: {self._error}")

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def check_termination(self) -> None:
        """Fail the test when nobody has joined it."""
        if not self._joined:
            self._case.fail("A checked thread was not joined.")


class TestCase(absltest.TestCase):
    """A test case with a fresh default graph and fixed seeds for each test."""

    def setUp(self) -> None:
        """Begin with an empty default graph, with seeds set."""
        super().setUp()
        self._cached: tuple[Any, ...] | None = None
        self._threads: list[CheckedThread] = []
        random.seed(_SEED)
        np.random.seed(_SEED)  # noqa: NPY002 (tests use it)
        reset_default_graph()
        get_default_graph().seed = _SEED

    def tearDown(self) -> None:
        """Close the session of the test."""
        for thread in self._threads:
            thread.check_termination()
        self._forget_session()
        super().tearDown()

    def _forget_session(self) -> None:
        if self._cached is not None:
            self._cached[0].close()
            self._cached = None

    def get_temp_dir(self) -> str:
        """A directory for the files of this test."""
        self._directory = getattr(self, "_directory", None) or self.create_tempdir().full_path
        return str(self._directory)

    # --- sessions -------------------------------------------------------------------------------

    @contextmanager
    def session(
        self,
        graph: Graph | None = None,
        config: Any = None,
        use_gpu: bool = True,
        force_gpu: bool = False,
    ) -> Iterator[Session]:
        """A session of its own, as the default one; closed at the end.

        Args:
            graph: its graph; the default graph when None.
            config: its ConfigProto.
            use_gpu: False places everything on the CPU that says nothing else.
            force_gpu: place everything on the first GPU, or fail.
        """
        with (
            Session(graph=graph, config=_config(config, force_gpu)) as session,
            _placed(session, use_gpu, force_gpu),
        ):
            yield session

    @contextmanager
    def cached_session(
        self,
        graph: Graph | None = None,
        config: Any = None,
        use_gpu: bool = True,
        force_gpu: bool = False,
    ) -> Iterator[Session]:
        """The session of this test, made at the first call; see `session`.

        Raises:
            ValueError: it was made with other arguments.
        """
        session = self._session_of_test(graph, config, force_gpu, is_strict=True)
        with _placed(session, use_gpu, force_gpu):
            yield session

    @contextmanager
    def test_session(
        self,
        graph: Graph | None = None,
        config: Any = None,
        use_gpu: bool = True,
        force_gpu: bool = False,
    ) -> Iterator[Session]:
        """As `cached_session`; with a graph, as `session`."""
        if self.id().endswith(".test_session"):
            self.skipTest("Not a test.")
        if graph is not None:
            with self.session(graph, config, use_gpu, force_gpu) as session:
                yield session
            return
        session = self._session_of_test(graph, config, force_gpu, is_strict=False)
        with _placed(session, use_gpu, force_gpu):
            yield session

    def _session_of_test(
        self, graph: Graph | None, config: Any, force_gpu: bool, is_strict: bool
    ) -> Session:
        if self._cached is None:
            made = Session(graph=graph, config=_config(config, force_gpu))
            self._cached = made, graph, config, force_gpu
        session, *known = self._cached
        for name, was, now in zip(("graph", "config", "force_gpu value"), known,
                                  (graph, config, force_gpu), strict=True):  # fmt: skip
            if is_strict and was is not now:
                raise ValueError(
                    f"The {name} used to get the cached session is different than the one that "
                    "was used to create the session. Maybe create a new session with "
                    "self.session()"
                )
        found: Session = session
        return found

    def evaluate(self, tensors: Any) -> Any:
        """The values of tensors, in the default session or in that of the test."""
        session = get_default_session()
        leaves = nest.flatten(tensors)
        if session is not None:
            values = session.run(leaves)
        else:
            with self.test_session() as session:
                values = session.run(leaves)
        return nest.pack(tensors, values)

    def checkedThread(
        self, target: Callable[..., Any], args: Any = None, kwargs: Any = None
    ) -> CheckedThread:
        """A thread that the test must join, and whose exception fails it."""
        thread = CheckedThread(self, target, args, kwargs)
        self._threads.append(thread)
        return thread

    # --- comparisons ----------------------------------------------------------------------------

    def _GetNdArray(self, a: Any) -> Any:
        return np.asarray(self._value(a))

    def _value(self, a: Any) -> Any:
        is_symbolic = isinstance(a, Tensor | Variable) or composite_type_of(a) is not None
        if is_symbolic:
            return self.evaluate(a)
        if isinstance(a, list | tuple):
            return [self._value(part) for part in a]
        return a

    def assertAllClose(
        self, a: Any, b: Any, rtol: float = 1e-6, atol: float = 1e-6, msg: Any = None
    ) -> None:
        """Hold nests of arrays equal within `atol + rtol * |b|`."""
        if isinstance(a, Mapping) or isinstance(b, Mapping):
            self.assertEqual(isinstance(a, Mapping), isinstance(b, Mapping), msg)
            self.assertEqual(set(a), set(b), msg)
            for key in a:
                self.assertAllClose(a[key], b[key], rtol, atol, msg)
            return
        a, b = _as_dict(a), _as_dict(b)
        if isinstance(a, dict) and isinstance(b, dict):
            self.assertAllClose(a, b, rtol, atol, msg)
            return
        try:
            first, second = self._GetNdArray(a), self._GetNdArray(b)
        except ValueError:  # parts of several shapes
            self.assertEqual(len(a), len(b), msg)
            for left, right in zip(a, b, strict=True):
                self.assertAllClose(left, right, rtol, atol, msg)
            return
        self._assert_arrays_close(first, second, rtol, atol, msg)

    def _assert_arrays_close(self, a: Any, b: Any, rtol: float, atol: float, msg: Any) -> None:
        self.assertEqual(
            a.shape, b.shape, f"Shape mismatch: expected {a.shape}, got {b.shape}. {msg or ''}"
        )
        if a.dtype.kind not in "fciub":
            a, b = a.astype(np.float32), b.astype(np.float32)
        near = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        if near.all():
            return
        with np.errstate(invalid="ignore"):
            distance = np.abs(a - b) if a.dtype.kind != "b" else a ^ b
        places = np.argwhere(~near)[:10].tolist()
        self.fail(
            f"{msg or 'Mismatched value'}: {int((~near).sum())} of {near.size} elements are not "
            f"close, rtol={rtol}, atol={atol}, first at {places}\n"
            f"not close lhs = {a[~near]}\nnot close rhs = {b[~near]}\n"
            f"not close dif = {distance[~near]}"
        )

    def assertAllCloseAccordingToType(
        self,
        a: Any,
        b: Any,
        rtol: float = 1e-6,
        atol: float = 1e-6,
        float_rtol: float = 1e-6,
        float_atol: float = 1e-6,
        half_rtol: float = 1e-3,
        half_atol: float = 1e-3,
        bfloat16_rtol: float = 1e-2,
        bfloat16_atol: float = 1e-2,
        msg: Any = None,
    ) -> None:
        """As `assertAllClose`, with tolerances by the less precise dtype of the two."""
        first, second = self._GetNdArray(a), self._GetNdArray(b)
        wider = (
            (("float32", "complex64"), float_rtol, float_atol),
            (("float16",), half_rtol, half_atol),
            (("bfloat16",), bfloat16_rtol, bfloat16_atol),
        )
        for names, r, s in wider:
            if str(first.dtype) in names or str(second.dtype) in names:
                rtol, atol = max(rtol, r), max(atol, s)
        self.assertAllClose(first, second, rtol, atol, msg)

    def assertNotAllClose(
        self, a: Any, b: Any, rtol: float = 1e-6, atol: float = 1e-6, msg: Any = None
    ) -> None:
        """Hold two nests of arrays apart."""
        try:
            self.assertAllClose(a, b, rtol, atol, msg)
        except AssertionError:
            return
        raise AssertionError(f"The two values are close at all elements. {msg or ''}")

    def assertAllEqual(self, a: Any, b: Any, msg: Any = None) -> None:
        """Hold arrays equal in shape and in every element; NaN equals NaN."""
        a, b = self._GetNdArray(a), self._GetNdArray(b)
        text = f"Shape mismatch: expected {a.shape}, got {b.shape}. {msg or ''}"
        self.assertEqual(a.shape, b.shape, text)
        same = _texts(a) == _texts(b) if {a.dtype.kind, b.dtype.kind} & set("OSU") else a == b
        if a.dtype.kind in "fc" and b.dtype.kind in "fc":
            same = np.logical_or(same, np.isnan(a) & np.isnan(b))
        if not np.all(same):
            different = np.atleast_1d(~np.asarray(same))
            places = np.argwhere(different)[:10].tolist()
            self.fail(
                f"{msg or 'Arrays differ'}: {int(different.sum())} of {different.size} elements, "
                f"first at {places}\nnot equal lhs = {np.atleast_1d(a)[different]}\n"
                f"not equal rhs = {np.atleast_1d(b)[different]}"
            )

    def assertNotAllEqual(self, a: Any, b: Any, msg: Any = None) -> None:
        """Hold arrays different."""
        try:
            self.assertAllEqual(a, b)
        except AssertionError:
            return
        raise AssertionError(f"The two values are equal at all elements. {msg or ''}")

    def _assert_every(self, holds: Any, a: Any, text: str) -> None:
        if not np.all(holds):
            self.fail(f"{int(np.sum(~holds))} of {np.size(holds)} elements are not {text}: {a}")

    def assertAllGreater(self, a: Any, comparison_target: Any) -> None:
        """Hold every element above a number."""
        a = self._GetNdArray(a)
        self._assert_every(a > comparison_target, a, f"> {comparison_target}")

    def assertAllLess(self, a: Any, comparison_target: Any) -> None:
        """Hold every element below a number."""
        a = self._GetNdArray(a)
        self._assert_every(a < comparison_target, a, f"< {comparison_target}")

    def assertAllGreaterEqual(self, a: Any, comparison_target: Any) -> None:
        """Hold every element at or above a number."""
        a = self._GetNdArray(a)
        self._assert_every(a >= comparison_target, a, f">= {comparison_target}")

    def assertAllLessEqual(self, a: Any, comparison_target: Any) -> None:
        """Hold every element at or below a number."""
        a = self._GetNdArray(a)
        self._assert_every(a <= comparison_target, a, f"<= {comparison_target}")

    def assertAllInRange(
        self,
        target: Any,
        lower_bound: Any,
        upper_bound: Any,
        open_lower_bound: bool = False,
        open_upper_bound: bool = False,
    ) -> None:
        """Hold every element within bounds, which belong to the range unless they are open."""
        target = self._GetNdArray(target)
        if target.dtype.kind not in "fiu":
            raise AssertionError(f"{target} is of no ordered numeric type, but {target.dtype}")
        above = target > lower_bound if open_lower_bound else target >= lower_bound
        below = target < upper_bound if open_upper_bound else target <= upper_bound
        text = f"between {lower_bound} and {upper_bound}"
        self._assert_every(above & below, target, text)

    def assertAllInSet(self, target: Any, expected_set: Any) -> None:
        """Hold every element to be one of some values."""
        target = self._GetNdArray(target)
        other = np.setdiff1d(target.reshape(-1), list(expected_set))
        if other.size:
            self.fail(f"{other.size} unique element(s) are not in the set {expected_set}: {other}")

    def assertDTypeEqual(self, target: Any, expected_dtype: Any) -> None:
        """Hold an array to a dtype."""
        self.assertEqual(self._GetNdArray(target).dtype, as_dtype(expected_dtype).as_numpy_dtype)

    def assertShapeEqual(self, input_a: Any, input_b: Any, msg: Any = None) -> None:
        """Hold two arrays or tensors to one shape."""
        shapes = [
            s.as_list() if hasattr(s, "as_list") else list(s)
            for s in (input_a.shape, input_b.shape)
        ]
        self.assertEqual(*shapes, msg)

    def assertNear(self, f1: Any, f2: Any, err: float, msg: Any = None) -> None:
        """Hold two numbers no further apart than `err`."""
        self.assertTrue(
            f1 == f2 or abs(f1 - f2) <= err, f"{f1} != {f2} +/- {err}{f' ({msg})' if msg else ''}"
        )

    def assertArrayNear(self, farray1: Any, farray2: Any, err: float, msg: Any = None) -> None:
        """Hold the numbers of two vectors near."""
        self.assertEqual(len(farray1), len(farray2), msg)
        for f1, f2 in zip(farray1, farray2, strict=True):
            self.assertNear(float(f1), float(f2), err, msg)

    def assertNDArrayNear(self, ndarray1: Any, ndarray2: Any, err: float, msg: Any = None) -> None:
        """Hold the distance between two arrays below `err`."""
        self.assertTrue(np.linalg.norm(ndarray1 - ndarray2) < err, msg)

    def assertStartsWith(self, actual: Any, expected_start: Any, msg: Any = None) -> None:
        """Hold a text to a beginning."""
        if not actual.startswith(expected_start):
            tail = f" : {msg!r}" if msg else ""
            self.fail(f"{actual!r} does not start with {expected_start!r}{tail}")

    def assertDeviceEqual(self, device1: Any, device2: Any, msg: Any = None) -> None:
        """Hold two device names to one meaning."""
        first, second = (DeviceSpecV1.from_string(str(d or "")) for d in (device1, device2))
        text = f"Devices {device1} and {device2} are not equal. {msg}"
        self.assertEqual(first.to_string(), second.to_string(), text)

    def assertProtoEquals(
        self,
        expected_message_maybe_ascii: Any,
        validate_message: Any,
        msg: Any = None,
        relative_tolerance: float | None = None,
    ) -> None:
        """Hold a message equal to another one, or to its text."""
        expected = expected_message_maybe_ascii
        if isinstance(expected, str | bytes):
            text = expected.decode() if isinstance(expected, bytes) else expected
            expected = text_format.Parse(text, type(validate_message)())
        self.assertEqual(expected, validate_message, msg)

    @contextmanager
    def assertRaisesWithPredicateMatch(
        self, exception_type: Any, expected_err_re_or_predicate: Any
    ) -> Iterator[None]:
        """Hold a block to an error: of a type, and to a predicate or a pattern of its text."""
        fits = expected_err_re_or_predicate
        try:
            yield
        except Exception as error:
            text = error.message if isinstance(error, errors.OpError) else str(error)
            holds = fits(error) if callable(fits) else re.search(fits or "", text)
            if not isinstance(error, exception_type) or not holds:
                raise AssertionError(
                    f"Exception of type {type(error)}: {error} does not fit"
                ) from error
            return
        self.fail(f"{exception_type.__name__} not raised")

    def assertRaisesOpError(self, expected_err_re_or_predicate: Any) -> Any:
        """As `assertRaisesWithPredicateMatch` with OpError."""
        return self.assertRaisesWithPredicateMatch(errors.OpError, expected_err_re_or_predicate)

    assertItemsEqual = absltest.TestCase.assertCountEqual


def _config(config: Any, force_gpu: bool) -> Any:
    if config is None:
        return protos.ConfigProto(allow_soft_placement=not force_gpu)
    if force_gpu and config.allow_soft_placement:
        changed = type(config)()
        changed.CopyFrom(config)
        changed.allow_soft_placement = False
        return changed
    return config


@contextmanager
def _placed(session: Session, use_gpu: bool, force_gpu: bool) -> Iterator[None]:
    with session.graph.as_default(), session.as_default():
        if force_gpu:
            with session.graph.device(machine.gpu_device_name() or "/device:GPU:0"):
                yield
        elif use_gpu:
            yield
        else:
            with session.graph.device("/device:CPU:0"):
                yield


def _as_dict(value: Any) -> Any:
    return value._asdict() if hasattr(value, "_asdict") else value


def _texts(array: Any) -> Any:
    """The same array, texts as bytes."""
    flat = [v.encode() if isinstance(v, str) else v for v in array.reshape(-1).tolist()]
    found = np.empty(len(flat), object)
    found[:] = flat
    return found.reshape(array.shape)
