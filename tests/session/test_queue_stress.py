"""Many producers and consumers of one queue, for a minute: nothing is lost, doubled or stuck.

    export TFSESSION_STRESS_SECONDS=600
    python -m pytest -o faulthandler_timeout=0 tests/session/test_queue_stress.py

Rounds follow each other, each with a session and a queue of its own. What a step says it has
enqueued comes out exactly once, whatever else timed out meanwhile; what ended with an error has not
entered. A round ends by closing the queue, with or without what still waits to enter, or by closing
the session in the middle of all.
"""

import os
import random
import threading
import time
from collections import Counter

import numpy as np
import pytest

import tfsession as tf

SECONDS = float(os.environ.get("TFSESSION_STRESS_SECONDS", "60"))
PRODUCERS = CONSUMERS = 16
EACH = 40
# No thread may take longer to end, on however busy a machine.
STUCK = 60

KINDS = {
    "FIFO": lambda capacity, seed: tf.FIFOQueue(capacity, ["int64"], [[]]),
    "shuffling": lambda capacity, seed: tf.RandomShuffleQueue(
        capacity, capacity // 3, ["int64"], [[]], seed=7
    ),
    "padding": lambda capacity, seed: tf.PaddingFIFOQueue(capacity, ["int64"], [[]]),
    "by priority": lambda capacity, seed: tf.PriorityQueue(capacity, ["int64"], [[]]),
}


class Round:
    """One queue, its steps, and what the threads saw."""

    def __init__(self, kind, seed):
        self.dice = random.Random(seed)
        self.is_ordered = kind == "by priority"
        with tf.Graph().as_default() as graph:
            queue = KINDS[kind](self.dice.choice([3, 20, 200]), seed)
            self.one = tf.placeholder("int64", [])
            self.some = tf.placeholder("int64", [None])
            put, put_some = self.one, self.some
            if self.is_ordered:
                put, put_some = [tf.zeros([], "int64"), put], [tf.zeros_like(put_some), put_some]
            self.enqueue, self.enqueue_many = queue.enqueue(put), queue.enqueue_many(put_some)
            self.dequeue, self.dequeue_up_to = queue.dequeue(), queue.dequeue_up_to(3)
            self.dequeue_many = queue.dequeue_many(2)
            self.close = queue.close()
            self.close_now = queue.close(cancel_pending_enqueues=True)
            self.size = queue.size()
        self.session = tf.Session(graph=graph)
        self.call_enqueue = self.session.make_callable(self.enqueue, [self.one])
        self.call_dequeue = self.session.make_callable(self.dequeue)
        self.entered, self.perhaps, self.left = Counter(), Counter(), Counter()
        self.lock = threading.Lock()
        self.unexpected = []
        self.is_closed = False

    def produce(self, dice, numbers):
        """Enqueue numbers one by one or some at a time, again where a step came too late."""
        while numbers:
            count = dice.choice([1, 1, 1, 4])
            now, is_single = numbers[:count], count == 1
            options = tf.RunOptions(timeout_in_ms=dice.choice([1, 3, 10]))
            try:
                if not is_single:
                    # Those that entered before the end stay, and are told by nobody.
                    with self.lock:
                        self.perhaps.update(now)
                    self.session.run(self.enqueue_many, {self.some: now})
                    with self.lock:
                        self.perhaps.subtract(now)
                elif dice.random() < 0.5:
                    self.call_enqueue(np.int64(now[0]))
                else:
                    self.session.run(self.enqueue, {self.one: now[0]}, options=options)
            except tf.errors.DeadlineExceededError:
                continue
            except tf.errors.CancelledError:
                return
            with self.lock:
                self.entered.update(now)
            del numbers[:count]

    def consume(self, dice):
        """Dequeue until the queue or the session is closed."""
        while True:
            fetch = dice.choice([self.dequeue, self.dequeue_up_to, self.dequeue_many, None])
            options = tf.RunOptions(timeout_in_ms=dice.choice([1, 3, 10]))
            try:
                if fetch is None:
                    found = self.call_dequeue()
                else:
                    found = self.session.run(fetch, options=options)
            except tf.errors.DeadlineExceededError:
                continue
            except tf.errors.OutOfRangeError:
                if fetch is self.dequeue_many:
                    continue  # one may be left, which is too few
                return
            except tf.errors.CancelledError:
                return
            values = np.ravel(found[1] if self.is_ordered else found).tolist()
            with self.lock:
                self.left.update(values)

    def guarded(self, work, *args):
        """Keep what no thread should end with."""
        try:
            work(*args)
        except BaseException as error:  # the test shows it
            if str(error) != "Attempted to use a closed Session." or not self.is_closed:
                self.unexpected.append(error)

    def threads(self, work, count, arguments):
        """Begin threads that work."""
        made = [
            threading.Thread(target=self.guarded, args=(work, *arguments(i)), daemon=True)
            for i in range(count)
        ]
        for thread in made:
            thread.start()
        return made

    def run(self):
        """Let all work, and end it in one of three ways."""
        ending = self.dice.choice(["drained", "drained", "cancelled", "session"])
        seeds = [self.dice.random() for _ in range(PRODUCERS + CONSUMERS)]
        producers = self.threads(
            self.produce,
            PRODUCERS,
            lambda i: (random.Random(seeds[i]), list(range(i * EACH, i * EACH + EACH))),
        )
        consumers = self.threads(
            self.consume, CONSUMERS, lambda i: (random.Random(seeds[PRODUCERS + i]),)
        )
        if ending == "drained":
            self.join(producers)
            self.session.run(self.close)
        else:
            time.sleep(self.dice.random() * 0.1)
            if ending == "cancelled":
                self.session.run(self.close_now)
            else:
                self.is_closed = True
                self.session.close()
        self.join(producers + consumers)
        assert self.unexpected == []
        doubled = {number for number, times in self.left.items() if times > 1}
        assert doubled == set(), f"{ending}: came out twice"
        strangers = +(self.left - self.entered - self.perhaps)
        # A session that is closed drops what its steps have done and not told.
        assert not strangers or ending == "session", f"{ending}: {strangers} never entered"
        if ending != "session":
            assert self.session.run(self.size) == 0
            assert not self.entered - self.left, f"{ending}: {self.entered - self.left} is lost"
            self.session.close()

    def join(self, threads):
        """Wait for the end of threads."""
        end = time.monotonic() + STUCK
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        assert not [thread for thread in threads if thread.is_alive()], "threads are stuck"


@pytest.mark.parametrize("kind", KINDS)
def test_every_element_is_delivered_once(kind):
    seed, end = 0, time.monotonic() + SECONDS / len(KINDS)
    before = threading.active_count()
    while time.monotonic() < end or not seed:
        Round(kind, f"{kind} {seed}").run()
        seed += 1
    assert threading.active_count() == before
