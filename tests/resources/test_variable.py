"""The storage of variables: snapshots, updates in place, errors, and the store that holds them."""

import threading

import numpy as np
import pytest

from tfsession.core import errors
from tfsession.core.dtypes import float32, int32
from tfsession.resources.store import ResourceStore, SessionState
from tfsession.resources.variable import ReferenceVariable, ResourceVariable


def _resource(value):
    variable = ResourceVariable("v", float32, "localhost")
    variable.assign(np.asarray(value, np.float32))
    return variable


def _reference(value):
    variable = ReferenceVariable("v", float32, "localhost")
    variable.assign(np.asarray(value, np.float32))
    return variable


def test_a_resource_read_is_a_snapshot():
    variable = _resource([1.0, 2.0])
    snapshot = variable.read()
    variable.assign(np.array([3.0, 4.0], np.float32))
    assert snapshot.tolist() == [1.0, 2.0]
    view = variable.read()[1:]
    variable.writable()[...] = 9.0
    assert view.tolist() == [4.0]
    assert variable.read().tolist() == [9.0, 9.0]


def test_a_resource_is_updated_in_place_when_nobody_looks():
    variable = _resource([1.0, 2.0])
    address = variable.read().__array_interface__["data"][0]
    variable.assign(np.array([3.0, 4.0], np.float32))
    assert variable.writable().__array_interface__["data"][0] == address


def test_a_reference_changes_under_its_readers():
    variable = _reference([1.0, 2.0])
    seen = variable.read()
    variable.assign(np.array([3.0, 4.0], np.float32))
    assert seen.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("make", [_resource, _reference])
def test_assign_copies_and_may_change_the_shape(make):
    variable = make([1.0, 2.0])
    value = np.array([5.0, 6.0, 7.0], np.float32)
    variable.assign(value)
    value[0] = 0.0
    assert variable.read().tolist() == [5.0, 6.0, 7.0]
    variable.assign(np.float32(4.0))
    assert variable.read().shape == ()
    assert isinstance(variable.read(), np.ndarray)


def _address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("kind", [ResourceVariable, ReferenceVariable])
def test_what_nobody_else_has_is_kept_itself(kind):
    variable = kind("v", float32, "localhost")
    value = np.array([5.0, 6.0, 7.0], np.float32)
    address = _address(value)
    variable.assign(value, owned=True)
    assert _address(variable.read()) == address
    for other in (np.zeros([6], np.float32)[:4], np.zeros([2, 3], np.float32).T, np.float32(3)):
        variable.assign(other, owned=True)
        assert variable.read().flags.owndata
        assert variable.read().flags.c_contiguous
        assert variable.read().tolist() == other.tolist()


def test_a_reference_stays_where_its_readers_look():
    variable = _reference([1.0, 2.0])
    seen = variable.read()
    variable.assign(np.array([3.0, 4.0], np.float32), owned=True)
    assert seen.tolist() == [3.0, 4.0]


def test_reading_before_the_first_assignment():
    reference = ReferenceVariable("r", float32, "localhost")
    with pytest.raises(
        errors.FailedPreconditionError, match="Attempting to use uninitialized value r"
    ):
        reference.read()
    resource = ResourceVariable("v", float32, "localhost")
    with pytest.raises(errors.FailedPreconditionError, match="Could not find variable v"):
        resource.read()
    with pytest.raises(errors.NotFoundError, match="Container localhost does not exist"):
        resource.writable()
    resource.assign(np.zeros(2, np.float32))
    assert resource.existing(float32).shape == (2,)
    with pytest.raises(errors.InvalidArgumentError, match="Expected int32 got float"):
        resource.existing(int32)
    resource.release()
    with pytest.raises(errors.NotFoundError, match="Resource localhost/v/N10tensorflow3VarE does"):
        resource.existing(float32)


def test_readers_never_see_half_an_update():
    variable = _resource(np.zeros(4096))
    stop = threading.Event()
    torn = []

    def read():
        while not stop.is_set():
            seen = variable.read()
            if seen.min() != seen.max():
                torn.append(seen.copy())

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(300):
        variable.assign(np.full(4096, step, np.float32))
    stop.set()
    for thread in threads:
        thread.join()
    assert torn == []


def test_the_store_makes_a_resource_once():
    store = ResourceStore()
    made = [
        store.get_or_create("", "v", ResourceVariable, lambda: ResourceVariable("v", float32, ""))
        for _ in range(2)
    ]
    assert made[0] is made[1]
    assert store.lookup("localhost", "v", ResourceVariable) is made[0]
    assert store.lookup("other", "v", ResourceVariable) is None
    assert store.lookup("localhost", "v", ReferenceVariable) is None


def test_the_store_forgets_containers_and_releases_what_they_held():
    store = ResourceStore()
    for container in ("a", "b"):
        variable = store.get_or_create(
            container, "v", ResourceVariable, lambda: ResourceVariable("v", float32, "")
        )
        variable.assign(np.zeros(2, np.float32))
    store.clear(iter(["a"]))
    assert store.containers == {"b"}
    assert store.lookup("a", "v", ResourceVariable) is None
    assert store.lookup("b", "v", ResourceVariable).is_initialized
    store.node_state("n")["k"] = 1
    store.clear()
    assert store.node_state("n") == {}
    assert store.containers == set()


def test_each_device_has_its_own_resources():
    state = SessionState()
    one, other = state.on("/device:CPU:0"), state.on("/device:CPU:1")
    assert state.on("/device:CPU:0") is one
    made = one.get_or_create("", "v", ResourceVariable, lambda: _resource([1.0]))
    assert other.lookup("", "v", ResourceVariable) is None
    state.clear()
    assert not made.is_initialized
    assert one.lookup("", "v", ResourceVariable) is None
