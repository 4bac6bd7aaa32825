"""Clusters of processes, as programs describe them; a server for the one process that there is."""

from __future__ import annotations

import threading
from typing import Any

from tfsession.core import protos
from tfsession.core.errors import InternalError, UnimplementedError
from tfsession.core.exports import export


@export("train.ClusterSpec")
class ClusterSpec:
    """Which tasks a cluster has, by job, and their addresses.

    Args:
        cluster: a dict from job names to lists of addresses, or to dicts of addresses by number of
            the task; or a ClusterDef or ClusterSpec.

    Raises:
        TypeError: it is something else.
    """

    def __init__(self, cluster: Any) -> None:
        self._jobs: dict[str, dict[int, str]] = {}
        if isinstance(cluster, ClusterSpec):
            self._jobs = {job: dict(tasks) for job, tasks in cluster._jobs.items()}
        elif isinstance(cluster, dict):
            for job, tasks in cluster.items():
                self._jobs[_text(job, "Job name")] = _numbered(job, tasks)
        else:
            try:
                message = protos.coerce(cluster, protos.ClusterDef)
            except TypeError:
                raise TypeError(
                    "`cluster` must be a dictionary mapping one or more job names to lists of "
                    "network addresses, or a `ClusterDef` protocol buffer"
                ) from None
            self._jobs = {job.name: dict(job.tasks) for job in message.job}

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def __eq__(self, other: object) -> bool:
        # A dict is compared as `as_dict` would give it with numbers for all tasks.
        return self._jobs == (other._jobs if isinstance(other, ClusterSpec) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        found = self.as_dict()
        return (
            f"ClusterSpec({{{', '.join([f'{job!r}: {found[job]!r}' for job in sorted(found)])}}})"
        )

    def as_dict(self) -> dict[str, Any]:
        """The addresses by job: lists where the tasks are numbered without gaps, else dicts."""
        found: dict[str, Any] = {}
        for job, tasks in self._jobs.items():
            is_whole = tasks and max(tasks) + 1 == len(tasks)
            found[job] = self.job_tasks(job) if is_whole else dict(sorted(tasks.items()))
        return found

    def as_cluster_def(self) -> Any:
        """The ClusterDef message."""
        message = protos.ClusterDef()
        for job, tasks in sorted(self._jobs.items()):
            found = message.job.add(name=job)
            for number, address in sorted(tasks.items()):
                found.tasks[number] = address
        return message

    @property
    def jobs(self) -> list[str]:
        """The names of the jobs."""
        return list(self._jobs)

    def _job(self, name: str) -> dict[int, str]:
        if name not in self._jobs:
            raise ValueError(f"No such job in cluster: {name!r}")
        return self._jobs[name]

    def num_tasks(self, job_name: str) -> int:
        """How many tasks a job has; ValueError if there is no such job."""
        return len(self._job(job_name))

    def task_indices(self, job_name: str) -> list[int]:
        """The numbers of a job's tasks; ValueError if there is no such job."""
        return sorted(self._job(job_name))

    def task_address(self, job_name: str, task_index: int) -> str:
        """The address of a task; ValueError if there is none."""
        tasks = self._job(job_name)
        if task_index not in tasks:
            raise ValueError(f"No task with index {task_index!r} in job {job_name!r}")
        return tasks[task_index]

    def job_tasks(self, job_name: str) -> list[str | None]:
        """The addresses of a job's tasks by number, None in gaps; ValueError if there is none."""
        tasks = self._job(job_name)
        return [tasks.get(number) for number in range(max(tasks, default=-1) + 1)]


def _text(value: Any, what: str) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise TypeError(f"{what} {value!r} must be bytes or unicode")
    return value


def _numbered(job: Any, tasks: Any) -> dict[int, str]:
    if isinstance(tasks, list | tuple):
        tasks = dict(enumerate(tasks))
    elif not isinstance(tasks, dict):
        raise TypeError(
            f"The tasks for job {job!r} must be a list or a dictionary from integers to strings."
        )
    return {int(number): _text(address, "Task address") for number, address in tasks.items()}


@export("train.Server", "distribute.Server")
class Server:
    """What sessions of a cluster's processes talk to; here of the only process of a cluster.

    Graphs run in this process: `target` is that of a session without a server.

    Args:
        server_or_cluster_def: a ServerDef; or a cluster, as for ClusterSpec.
        job_name: the job of this process; the only one by default.
        task_index: the number of this process in it; the only one by default.
        protocol: "grpc" by default; not used.
        config: a `tf.ConfigProto`, kept in `server_def`.
        start: start at once.

    Raises:
        TypeError: `server_or_cluster_def` is something else.
        ValueError: which task this process is, is not said.
        InternalError: the cluster has no such task.
        UnimplementedError: the cluster has other tasks.
    """

    def __init__(
        self,
        server_or_cluster_def: Any,
        job_name: str | None = None,
        task_index: int | None = None,
        protocol: str | None = None,
        config: Any = None,
        start: bool = True,
    ) -> None:
        self._server_def = _server_def(server_or_cluster_def, job_name, task_index, protocol)
        if config is not None:
            given = protos.coerce(config, protos.ConfigProto)
            self._server_def.default_session_config.MergeFrom(given)
        _check_alone(self._server_def)

    @staticmethod
    def create_local_server(config: Any = None, start: bool = True) -> Server:
        """A server of a cluster of this process alone."""
        return Server({"localhost": ["localhost:0"]}, protocol="grpc", config=config, start=start)

    def start(self) -> None:
        """Start; it has always been started here."""

    def join(self) -> None:
        """Wait for ever, or for Ctrl-C."""
        threading.Event().wait()

    @property
    def server_def(self) -> Any:
        """The ServerDef message."""
        return self._server_def

    @property
    def target(self) -> str:
        """The target of sessions."""
        return ""


def _server_def(given: Any, job: str | None, task: int | None, protocol: str | None) -> Any:
    message = protos.ServerDef()
    try:
        message.CopyFrom(protos.coerce(given, protos.ServerDef))
    except TypeError:
        try:
            cluster = ClusterSpec(given)
        except TypeError:
            raise TypeError(
                "Could not convert `server_or_cluster_def` to a `tf.train.ServerDef` or "
                "`tf.train.ClusterSpec`."
            ) from None
        message.cluster.CopyFrom(cluster.as_cluster_def())
        message.protocol = "grpc"
        job = _only(cluster.jobs, job, "job_name")
        if job in cluster.jobs:
            task = _only(cluster.task_indices(job), task, "task_index")
    if job is not None:
        message.job_name = job
    if task is not None:
        message.task_index = task
    if protocol is not None:
        message.protocol = protocol
    return message


def _only(items: list[Any], given: Any, what: str) -> Any:
    if given is None and len(items) != 1:
        raise ValueError(f"Must specify an explicit `{what}`.")
    return items[0] if given is None else given


def _check_alone(message: Any) -> None:
    """Raise unless the server's task is there, and is the only one."""
    job, task = message.job_name, message.task_index
    jobs = {found.name: dict(found.tasks) for found in message.cluster.job}
    if job not in jobs:
        raise InternalError(None, None, f'Job "{job}" was not defined in cluster')
    if task not in jobs[job]:
        raise InternalError(None, None, f'Task {task} was not defined in job "{job}"')
    others = [
        f"/job:{name}/task:{number} at {address}"
        for name, tasks in jobs.items()
        for number, address in sorted(tasks.items())
        if (name, number) != (job, task)
    ]
    if others:
        raise UnimplementedError(
            None,
            None,
            f"A tf.train.Server of /job:{job}/task:{task} would work with {', '.join(others)}, but "
            "graphs run in one process here. Run the program as one: make the sessions without a "
            "server and a target, and put the replicas on the devices of this machine, with "
            "tf.device('/gpu:0') and so on. tf.train.Server.create_local_server() is a server of "
            "this process alone.",
        )
