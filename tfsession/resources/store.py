"""The state of a session: on each device resources by container, name and kind; kept tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tfsession.core import forking
from tfsession.resources.session_tensors import SessionTensors

R = TypeVar("R")

DEFAULT_CONTAINER = "localhost"


class ResourceStore:
    """Resources on a device, found by (container, name, kind); safe to use from many threads.

    `containers` names those in which there is or was something.
    """

    def __init__(self) -> None:
        self._lock = forking.rlock()
        self._resources: dict[tuple[str, str, type], Any] = {}
        self._node_states: dict[str, dict[str, Any]] = {}
        self._unnamed = 0
        self.containers: set[str] = set()

    def get_or_create(
        self, container: str, name: str, kind: type[R], make: Callable[[], R], exists: bool = True
    ) -> R:
        """The resource, made by `make()` when it does not exist yet.

        Without `exists` it is only a place for a value, and no reason for its container to exist.
        """
        key = (container or DEFAULT_CONTAINER, name, kind)
        with self._lock:
            if exists:
                self.containers.add(key[0])
            resource = self._resources.get(key)
            if resource is None:
                resource = self._resources[key] = make()
            return resource

    def unique_name(self, node: str) -> str:
        """A name for the resource of a node that has none: `_0_q`, numbered by session."""
        with self._lock:
            number = self._unnamed
            self._unnamed += 1
        return f"_{number}_{node}"

    def lookup(self, container: str, name: str, kind: type[R]) -> R | None:
        """The resource, or None."""
        with self._lock:
            return self._resources.get((container or DEFAULT_CONTAINER, name, kind))

    def remove(self, container: str, name: str, kind: type[Any]) -> bool:
        """Forget the resource; gives whether it was there."""
        with self._lock:
            return (
                self._resources.pop((container or DEFAULT_CONTAINER, name, kind), None) is not None
            )

    def clear(self, containers: Iterator[str] | None = None) -> None:
        """Forget everything, or everything in the named containers."""
        wanted = None if containers is None else set(containers)
        with self._lock:
            self.containers -= self.containers if wanted is None else wanted
            keys = [k for k in self._resources if wanted is None or k[0] in wanted]
            dropped = [self._resources.pop(key) for key in keys]
            if wanted is None:
                self._node_states.clear()
        # Without the lock: who waits for a resource goes on in this thread.
        for resource in dropped:
            release = getattr(resource, "release", None)
            if release is not None:
                release()

    def node_state(self, node: str) -> dict[str, Any]:
        """What the kernel of a node keeps from run to run."""
        with self._lock:
            return self._node_states.setdefault(node, {})


class SessionState:
    """What a session keeps between steps: resources on each device, and tensors under handles."""

    def __init__(self) -> None:
        self.tensors = SessionTensors()
        self._stores: dict[str, ResourceStore] = {}

    def on(self, device: str) -> ResourceStore:
        """The resources on the device of this full name."""
        return self._stores.setdefault(device, ResourceStore())

    def clear(self) -> None:
        """Forget everything."""
        self.tensors.clear()
        for store in list(self._stores.values()):
            store.clear()
