"""How the memory of a step is laid out: nothing that lives at once overlaps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfsession.devices.slab import ALIGNMENT, AllocationTrace, Lifetime, aligned, lay_out


class _Memory:
    """Stands for memory that is alive."""


lifetimes = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 40), st.integers(1, 40)).map(
        lambda row: Lifetime(row[0], row[1], row[1] + row[2])
    ),
    max_size=40,
)


@given(lifetimes)
def test_no_two_allocations_overlap_while_both_live(given_lifetimes):
    slab = lay_out(given_lifetimes)
    assert slab.sizes == tuple(lifetime.nbytes for lifetime in given_lifetimes)
    rows = list(zip(given_lifetimes, slab.offsets, strict=True))
    for number, (one, start) in enumerate(rows):
        assert start % ALIGNMENT == 0
        assert start + one.nbytes <= slab.nbytes
        for other, place in rows[:number]:
            if one.begin < other.end and other.begin < one.end:
                assert start + one.nbytes <= place or place + other.nbytes <= start


def _least_possible(rows):
    moments = range(max(row.end for row in rows))
    return max(sum(aligned(r.nbytes) for r in rows if r.begin <= m < r.end) for m in moments)


def test_a_step_of_two_thousand_buffers_takes_little_more_than_it_must():
    random = np.random.default_rng(7)
    begins = random.integers(0, 2000, 2000)
    rows = [
        Lifetime(int(size), int(begin), int(begin + length))
        for size, begin, length in zip(
            random.integers(1, 1 << 20, 2000), begins, random.integers(1, 60, 2000), strict=True
        )
    ]
    assert lay_out(rows).nbytes <= 1.1 * _least_possible(rows)


def test_a_chain_needs_room_for_two():
    rows = [Lifetime(1000, number, number + 2) for number in range(50)]
    assert lay_out(rows).nbytes == 2 * aligned(1000)


def test_a_trace_tells_when_memory_was_asked_for_and_when_it_ended():
    trace = AllocationTrace()
    first = _Memory()
    trace.add(first, 10)
    second = _Memory()
    trace.add(second, 20)
    del first
    third = _Memory()
    trace.add(third, 30)
    found = trace.lifetimes()
    assert [lifetime.nbytes for lifetime in found] == [10, 20, 30]
    assert found[0].end <= found[2].begin
    assert found[1].end > found[2].begin
    assert lay_out(found).nbytes == 2 * ALIGNMENT
    del second, third
    assert trace.lifetimes() == found


def test_nothing_takes_no_memory():
    assert lay_out([]).nbytes == 0
    assert lay_out([Lifetime(0, 0, 1)]).nbytes == 0
