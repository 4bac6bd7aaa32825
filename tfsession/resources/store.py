"""The state of one session: resources by container, name and kind, and state by node name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from tfsession.core import forking

R = TypeVar("R")

DEFAULT_CONTAINER = "localhost"


class ResourceStore:
    """Resources of a session, found by (container, name, kind); safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = forking.rlock()
        self._resources: dict[tuple[str, str, type], Any] = {}
        self._node_states: dict[str, dict[str, Any]] = {}
        self._unnamed = 0

    def get_or_create(self, container: str, name: str, kind: type[R], make: Callable[[], R]) -> R:
        """The resource, made by `make()` when it does not exist yet."""
        key = (container or DEFAULT_CONTAINER, name, kind)
        with self._lock:
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

    def has_container(self, container: str) -> bool:
        """Whether anything lives in the container."""
        with self._lock:
            return any(key[0] == container for key in self._resources)

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
