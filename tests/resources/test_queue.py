"""Queues against a simple model, their order of service, and that nothing is lost among threads."""

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.core import errors
from tfsession.core.dtypes import float32, int32, int64, string
from tfsession.core.pending import Pending
from tfsession.resources.philox import words
from tfsession.resources.queue_kinds import (
    FIFOQueue,
    PaddingFIFOQueue,
    PriorityQueue,
    RandomShuffleQueue,
)
from tfsession.resources.store import ResourceStore

SEED = 5
RECORDED_TIES = [1, 6, 11, 4, 9, 2, 10, 3, 7, 5, 0, 8]
RECORDED_SHUFFLE = [7, 2, 4, 8, 0, 6, 1, 10, 11, 3, 5, 9]


def fifo(capacity=10):
    return FIFOQueue("q", "localhost", [int32], [()], capacity)


def padding(capacity=10):
    return PaddingFIFOQueue("q", "localhost", [int32], [()], capacity)


def shuffle(capacity=10, stay=0):
    return RandomShuffleQueue(
        "q", "localhost", [int32], [()], capacity, min_after_dequeue=stay, seeds=(SEED, 0)
    )


def priority(capacity=10):
    return PriorityQueue("q", "localhost", [int64], [()], capacity)


KINDS = {"FIFO": fifo, "padding": padding, "shuffle": shuffle, "priority": priority}


def element(value):
    return (np.int32(value),)


def ended(operation):
    """What an operation comes to: a Pending, its value, or the text of its error."""
    try:
        return described(operation())
    except errors.OpError as error:
        return error.message


def described(result):
    if isinstance(result, Pending):
        if not result.is_done:
            return result
        return described(result.result) if result.error is None else result.error.message
    if result is None:
        return "done"
    (component,) = result
    return component.tolist()


# --- the model ------------------------------------------------------------------------------------


class Wait(dict):
    """What the model knows of an operation; one is equal to itself alone."""

    __eq__, __hash__ = object.__eq__, object.__hash__


class Model:
    """A queue as its documentation has it, one element at a time, with waits as plain lists."""

    def __init__(self, name, capacity, stay=0):
        self.name, self.capacity, self.stay = name, capacity, stay
        self.items, self.closed = [], False
        self.producers, self.consumers = [], []
        self.stream = words(SEED, 0)

    def add(self, side, **attempt):
        attempt = Wait(attempt, outcome=None)
        side.append(attempt)
        self.settle()
        return attempt

    def settle(self):
        """Each side goes on as long as it can; then the other has its turn."""
        happened = True
        while happened:
            happened = False
            for side, step in ((self.producers, self.produce), (self.consumers, self.consume)):
                while self.serve(side, step):
                    happened = True

    def serve(self, side, step):
        """One step of the first attempt of a side; whether anything happened."""
        happened = bool(side) and step(side[0])
        if side and side[0]["outcome"] is not None:
            del side[0]
        return happened

    def produce(self, attempt):
        if attempt["values"] is None:
            attempt["outcome"] = "Queue 'q' is already closed." if self.closed else "done"
            self.closed = True
        elif self.closed:
            attempt["outcome"] = f"{self.name} 'q' is closed."
        elif len(self.items) < self.capacity:
            self.items.append(attempt["values"].pop(0))
            if not attempt["values"]:
                attempt["outcome"] = "done"
        else:
            return False
        return True

    def consume(self, attempt):
        wanted = attempt["count"] - len(attempt["held"])
        if self.closed and len(self.items) < wanted:
            return self.consume_rest(attempt, wanted)
        if self.name == "PriorityQueue" and len(self.items) < wanted:
            return False
        if len(self.items) <= (0 if self.closed else self.stay):
            return False
        attempt["held"].append(self.take())
        if len(attempt["held"]) == attempt["count"]:
            attempt["outcome"] = attempt["held"] if attempt["many"] else attempt["held"][0]
        return True

    def consume_rest(self, attempt, wanted):
        there = len(self.items)
        self.give_back(attempt)
        if attempt["up_to"] and self.items:
            attempt["count"] = len(self.items)
        else:
            attempt["outcome"] = (
                f"{self.name} 'q' is closed and has insufficient elements "
                f"(requested {wanted}, current size {there})"
            )
        return True

    def take(self):
        if self.name == "PriorityQueue":
            self.items.sort()
        if self.name != "RandomShuffleQueue":
            return self.items.pop(0)
        index = next(self.stream) % len(self.items)
        value, last = self.items[index], self.items.pop()
        if index < len(self.items):
            self.items[index] = last
        return value

    def give_back(self, attempt):
        held, attempt["held"] = attempt["held"], []
        if self.name == "RandomShuffleQueue":
            self.items += held[::-1]
        else:
            self.items[:0] = held

    def cancel(self, *attempts):
        for attempt in attempts:
            side = self.producers if "values" in attempt else self.consumers
            if attempt in side:
                side.remove(attempt)
                if side is self.consumers:
                    self.give_back(attempt)
                word = "Enqueue" if side is self.producers else "Dequeue"
                attempt["outcome"] = f"{word} operation was cancelled"
        self.settle()

    def close_now(self):
        self.closed = True
        self.cancel(*list(self.producers))


COUNTS = st.integers(0, 5)
COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue")),
        st.tuples(st.just("enqueue_many"), COUNTS),
        st.tuples(st.just("dequeue")),
        st.tuples(st.just("dequeue_many"), COUNTS),
        st.tuples(st.just("dequeue_up_to"), COUNTS),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.sampled_from(["close", "close", "close_now"])),
    ),
    max_size=40,
)


class Both:
    """A queue and its model, to which the same is done."""

    def __init__(self, queue, model):
        self.queue, self.model = queue, model
        # Priorities that differ: which of equal ones goes first is another matter.
        self.values = iter(random.Random(3).sample(range(10**6), 500))
        self.operations = []

    def enqueue(self):
        value = next(self.values)
        self.note(lambda: self.queue.enqueue(element(value)), self.model.producers, values=[value])

    def enqueue_many(self, count):
        values = list(islice(self.values, count))
        batch = [element(value) for value in values]
        if count:
            self.note(lambda: self.queue.enqueue_many(batch), self.model.producers, values=values)
        else:
            assert self.queue.enqueue_many(batch) is None

    def dequeue(self):
        self.note(self.queue.dequeue, self.model.consumers, count=1, held=[], many=False,
                  up_to=False)  # fmt: skip

    def dequeue_many(self, count, up_to=False):
        if not count:
            assert described(self.queue.dequeue_many(0, up_to)) == []
            return
        self.note(lambda: self.queue.dequeue_many(count, up_to), self.model.consumers,
                  count=count, held=[], many=True, up_to=up_to)  # fmt: skip

    def dequeue_up_to(self, count):
        self.dequeue_many(count, True)

    def close(self):
        self.note(self.queue.close, self.model.producers, values=None)

    def close_now(self):
        assert self.queue.close(cancel_pending_enqueues=True) is None
        self.model.close_now()

    def cancel(self, number):
        if self.operations:
            found, attempt = self.operations[number % len(self.operations)]
            if isinstance(found, Pending):
                found.cancel()
                self.model.cancel(attempt)

    def note(self, operation, side, **attempt):
        found = ended(operation)
        self.operations.append((found, self.model.add(side, **attempt)))

    def compare(self):
        for found, attempt in self.operations:
            found = described(found) if isinstance(found, Pending) else found
            assert (None if isinstance(found, Pending) else found) == attempt["outcome"]
        assert self.queue.size == len(self.model.items)
        assert self.queue.is_closed == self.model.closed


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(st.integers(-1, 6), st.integers(0, 2), COMMANDS)
def test_a_queue_does_what_its_model_does(kind, capacity, stay, commands):
    stay = stay if kind == "shuffle" and (capacity < 0 or stay < capacity) else 0
    if kind == "shuffle":
        capacity = capacity or 1
        queue = shuffle(capacity, stay)
    else:
        queue = KINDS[kind](capacity)
    both = Both(queue, Model(queue.kind, 10**9 if capacity < 0 else capacity, stay))
    for name, *arguments in commands:
        getattr(both, name)(*arguments)
        both.compare()


# --- order and rest -------------------------------------------------------------------------------


def test_attempts_are_served_in_the_order_in_which_they_came():
    queue, order = fifo(), []
    waits = [queue.dequeue() for _ in range(5)]
    for number, pending in enumerate(waits):
        pending.when_done(lambda p, number=number: order.append((number, described(p))))
    queue.enqueue_many([element(value) for value in range(3)])
    queue.enqueue(element(3))
    assert order == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert not waits[4].is_done


def test_one_that_could_be_served_does_not_overtake():
    queue = fifo()
    queue.enqueue_many([element(1), element(2)])
    batch, single = queue.dequeue_many(3), queue.dequeue()
    assert queue.size == 0
    assert not single.is_done
    queue.enqueue(element(3))
    assert described(batch) == [1, 2, 3]
    assert not single.is_done
    batch_again = queue.dequeue_many(2)
    single.cancel()
    queue.enqueue_many([element(4), element(5)])
    assert described(batch_again) == [4, 5]


def test_a_callback_may_use_the_queue():
    """Whoever waits goes on outside of the lock, even with the same queue."""
    queue, seen = fifo(1), []

    def go_on(pending):
        seen.append(described(pending))
        queue.enqueue(element(7))
        seen.append(queue.size)

    queue.dequeue().when_done(go_on)
    queue.enqueue(element(6))
    assert seen == [6, 1]


def test_a_batch_that_cannot_be_stacked_is_put_back(monkeypatch):
    queue = fifo()
    queue.enqueue_many([element(value) for value in range(4)])

    def fail(elements):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(queue, "stacked", fail)
        with pytest.raises(MemoryError):
            queue.dequeue_many(3)
        waiting = queue.dequeue_many(5)
        queue.enqueue(element(4))
        assert isinstance(waiting.error, MemoryError)
    assert described(queue.dequeue_many(5)) == [0, 1, 2, 3, 4]


def test_equal_priorities_leave_as_in_tensorflow():
    """Recorded from TensorFlow 2.21: the order of 12 elements with 3 priorities."""
    queue = PriorityQueue("q", "localhost", [int64, int32], [(), ()], 20)
    numbers = [2, 0, 1, 1, 0, 2, 0, 1, 2, 0, 1, 0]
    queue.enqueue_many([(np.int64(n), np.int32(i)) for i, n in enumerate(numbers)])
    found = [int(queue.dequeue()[1]) for _ in numbers]
    assert found == RECORDED_TIES


def test_shuffling_follows_the_stream_of_its_seeds():
    """Recorded from TensorFlow 2.21: 12 elements, seed=5 without a graph seed."""
    queue = RandomShuffleQueue(
        "q", "localhost", [int32], [()], 20, min_after_dequeue=0, seeds=(87654321, 5)
    )
    queue.enqueue_many([element(value) for value in range(12)])
    assert [int(queue.dequeue()[0]) for _ in range(12)] == RECORDED_SHUFFLE


# --- whose memory it is ---------------------------------------------------------------------------


def test_elements_are_copies():
    queue = FIFOQueue("q", "localhost", [float32, string], [(2,), ()], 10)
    array, text = np.array([1, 2], np.float32), np.array(b"a", object)
    batch, texts = np.array([[3, 4], [5, 6]], np.float32), np.array([b"b", b"c"], object)
    queue.enqueue(queue.element([array, text]))
    queue.enqueue_many(queue.elements([batch, texts]))
    array[:], batch[:], text[()], texts[:] = 0, 0, b"x", b"x"
    assert [part.tolist() for part in queue.dequeue()] == [[1, 2], b"a"]
    found = queue.dequeue_many(2)
    assert [part.tolist() for part in found] == [[[3, 4], [5, 6]], [b"b", b"c"]]
    assert all(part.base is None for part in found)


def test_a_slice_does_not_keep_its_batch():
    queue = FIFOQueue("q", "localhost", [float32], [(3,)], 10)
    queue.enqueue_many(queue.elements([np.ones((4, 3), np.float32)]))
    assert queue.dequeue()[0].base is None


def test_what_waits_to_enter_is_a_copy_too():
    queue = FIFOQueue("q", "localhost", [float32], [()], 1)
    batch = np.array([1, 2, 3], np.float32)
    assert isinstance(queue.enqueue_many(queue.elements([batch])), Pending)
    batch[:] = 0
    assert [float(queue.dequeue()[0]) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("dtype", [int32, float32, string])
@pytest.mark.parametrize("shape", [(), (2,), (0,), (1, 3)])
def test_batches_have_the_dtype_and_shape(dtype, shape):
    queue = FIFOQueue("q", "localhost", [dtype], [shape], 10)
    array = np.full((3, *shape), b"t" if dtype is string else 1, dtype.numpy)
    queue.enqueue_many(queue.elements([array]))
    for count in (0, 3):
        (found,) = queue.dequeue_many(count)
        assert (found.dtype, found.shape) == (dtype.numpy, (count, *shape))
        assert found.tolist() == array[:count].tolist()


def test_padding_fills_up_to_the_largest():
    queue = PaddingFIFOQueue("q", "localhost", [int32, string], [(None, 2), (None,)], 10)
    for rows, texts in ((1, [b"a"]), (3, []), (0, [b"b", b"c"])):
        value = np.full((rows, 2), rows, np.int32)
        queue.enqueue(queue.element([value, np.array(texts, object)]))
    numbers, texts = queue.dequeue_many(3)
    assert numbers.tolist() == [[[1, 1], [0, 0], [0, 0]], [[3, 3]] * 3, [[0, 0]] * 3]
    assert texts.tolist() == [[b"a", b""], [b"", b""], [b"b", b"c"]]


def test_padding_takes_any_rank():
    queue = PaddingFIFOQueue("q", "localhost", [int32], [(1, None, 1, 1, None)], 10)
    for size in (1, 2):
        queue.enqueue(queue.element([np.ones((1, size, 1, 1, size), np.int32)]))
    (batch,) = queue.dequeue_many(2)
    assert batch.shape == (2, 1, 2, 1, 1, 2)
    assert batch[:, 0, :, 0, 0].tolist() == [[[1, 0], [0, 0]], [[1, 1], [1, 1]]]


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_release_ends_every_wait(kind):
    store = ResourceStore()
    queue = store.get_or_create("", "q", object, lambda: KINDS[kind](2))
    taker = KINDS[kind](2)
    waits = [taker.dequeue(), taker.dequeue_many(2)]
    taker.release()
    queue.enqueue_many([element(1), element(2)])
    waits += [queue.enqueue(element(3)), queue.close()]
    store.clear()
    texts = [wait.error.message for wait in waits]
    assert (
        texts == ["Dequeue operation was cancelled"] * 2 + ["Enqueue operation was cancelled"] * 2
    )
    for operation in (queue.dequeue, lambda: queue.enqueue(element(1)), queue.close):
        with pytest.raises(errors.CancelledError, match="operation was cancelled"):
            operation()
    assert queue.size == 0


# --- threads --------------------------------------------------------------------------------------


def waited(result):
    if not isinstance(result, Pending):
        return result
    event = threading.Event()
    result.when_done(lambda pending: event.set())
    assert event.wait(60)
    if result.error is not None:
        raise result.error
    return result.result


@pytest.fixture
def switching():
    """Switch threads often, so that a race has many chances."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_or_doubled_among_threads(kind, switching):
    queue, count, producers = KINDS[kind](7), 300, 4
    found, lock = [], threading.Lock()

    def produce(number):
        rng = random.Random(number)
        values = list(range(number * count, (number + 1) * count))
        while values:
            size = rng.choice([1, 1, 3])
            batch, values = values[:size], values[size:]
            if size == 1:
                waited(queue.enqueue(element(batch[0])))
            else:
                waited(queue.enqueue_many([element(value) for value in batch]))

    def consume(number):
        rng = random.Random(number)
        with pytest.raises(errors.OutOfRangeError):
            while True:
                size = rng.choice([1, 1, 2, 5])
                result = queue.dequeue() if size == 1 else queue.dequeue_many(size, True)
                if isinstance(result, Pending) and rng.random() < 0.3:
                    # Either the wait is ended, or it had ended before: well, or with the queue.
                    result.cancel()
                    if isinstance(result.error, errors.CancelledError):
                        continue
                (component,) = waited(result)
                with lock:
                    found.extend(np.ravel(component).tolist())

    with ThreadPoolExecutor(producers + 3) as pool:
        takers = [pool.submit(consume, 100 + number) for number in range(3)]
        makers = [pool.submit(produce, number) for number in range(producers)]
        for maker in makers:
            maker.result(60)
        waited(queue.close())
        for taker in takers:
            taker.result(60)
    assert sorted(found) == list(range(producers * count))
