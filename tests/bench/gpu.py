"""tfsession on /gpu:0 beside CuPy, and torch and jax where they are installed, in one process run.

Each work is built by every peer from the same numbers, its answer is checked against NumPy's,
and short rounds are timed in turn, each one ended by a synchronisation. `--json FILE` keeps
the figures.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tfsession as tf

Step = Callable[[], Any]
LAYERS = (784, 256, 128, 10)


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


class Work:
    """One work: its inputs, its answer, and a step for each peer that can do it."""

    name: str
    tolerance = 2e-3

    def answer(self) -> Any:
        """What every step must give, computed by NumPy."""
        raise NotImplementedError

    def tfsession(self) -> Step:
        """The step of tfsession, fed from and fetched to the host."""
        raise NotImplementedError

    def cupy(self, cupy: Any) -> Step:
        """The step written by hand in CuPy."""
        raise NotImplementedError

    def torch(self, torch: Any) -> Step:
        """The step in eager torch."""
        raise NotImplementedError

    def jax(self, jax: Any) -> Step:
        """The step under jax.jit."""
        raise NotImplementedError


class Chain(Work):
    """Eight element-wise ops on a large vector that stays on the device; the sum is fetched."""

    def __init__(self, size: int) -> None:
        self.name = f"8 element-wise ops and a sum, {size:,} float32"
        self.data = np.linspace(-1, 1, size, dtype=np.float32)

    def _chain(self, x: Any, tanh: Callable[[Any], Any]) -> Any:
        for _ in range(2):
            x = tanh(x * 1.5 + 0.5) - x
        return x

    def answer(self) -> Any:
        return self._chain(self.data, np.tanh).sum(dtype=np.float64)

    def tfsession(self) -> Step:
        with tf.Graph().as_default() as graph, tf.device("/gpu:0"):
            start = tf.placeholder(tf.float32, self.data.shape)
            x = tf.Variable(start, name="x")
            total = tf.reduce_sum(self._chain(x, tf.tanh))
            session = tf.Session(graph=graph)
            session.run(x.initializer, {start: self.data})
        return session.make_callable(total, [])

    def cupy(self, cupy: Any) -> Step:
        x = cupy.asarray(self.data)
        return lambda: float(self._chain(x, cupy.tanh).sum())

    def torch(self, torch: Any) -> Step:
        x = torch.tensor(self.data, device="cuda")
        return lambda: float(self._chain(x, torch.tanh).sum())

    def jax(self, jax: Any) -> Step:
        x = jax.device_put(self.data)
        step = jax.jit(lambda x: self._chain(x, jax.numpy.tanh).sum())
        return lambda: float(step(x))


class Inference(Work):
    """A perceptron 784-256-128-10, forward, fed from the host."""

    def __init__(self, batch: int) -> None:
        self.name = f"MLP inference, batch {batch}, fed from the host"
        rng = np.random.default_rng(0)
        self.data = rng.normal(0, 1, (batch, LAYERS[0])).astype(np.float32)
        self.weights = [
            rng.normal(0, 0.05, shape).astype(np.float32) for shape in itertools.pairwise(LAYERS)
        ]

    def _forward(self, x: Any, weights: list[Any], relu: Callable[[Any], Any]) -> Any:
        for weight in weights[:-1]:
            x = relu(x @ weight)
        return x @ weights[-1]

    def answer(self) -> Any:
        return self._forward(self.data, self.weights, lambda x: np.maximum(x, 0))

    def tfsession(self) -> Step:
        with tf.Graph().as_default() as graph, tf.device("/gpu:0"):
            x = tf.placeholder(tf.float32, [None, LAYERS[0]])
            weights = [tf.Variable(weight) for weight in self.weights]
            logits = self._forward(x, weights, tf.nn.relu)
            session = tf.Session(graph=graph)
            session.run(tf.global_variables_initializer())
        step = session.make_callable(logits, [x])
        return lambda: step(self.data)

    def cupy(self, cupy: Any) -> Step:
        weights = [cupy.asarray(weight) for weight in self.weights]
        return lambda: cupy.asnumpy(
            self._forward(cupy.asarray(self.data), weights, lambda x: cupy.maximum(x, 0))
        )

    def torch(self, torch: Any) -> Step:
        weights = [torch.tensor(weight, device="cuda") for weight in self.weights]

        def step() -> Any:
            with torch.inference_mode():
                x = torch.from_numpy(self.data).cuda()
                return self._forward(x, weights, torch.relu).cpu().numpy()

        return step

    def jax(self, jax: Any) -> Step:
        weights = [jax.device_put(weight) for weight in self.weights]
        step = jax.jit(lambda x, weights: self._forward(x, weights, jax.nn.relu))
        return lambda: np.asarray(step(self.data, weights))


def _peers(work: Work) -> dict[str, Step]:
    """The steps of everything that is here; raises when an answer is wrong."""
    steps = {"tfsession": work.tfsession()}
    for name in ("cupy", "torch", "jax"):
        module = _optional(name)
        if name == "jax" and module is not None and module.default_backend() != "gpu":
            module = None
        if name == "torch" and module is not None and not module.cuda.is_available():
            module = None
        if module is not None:
            steps[name] = getattr(work, name)(module)
    wanted = work.answer()
    for name, step in steps.items():
        np.testing.assert_allclose(
            step(), wanted, rtol=work.tolerance, atol=work.tolerance, err_msg=f"{work.name}: {name}"
        )
    return steps


def measure(work: Work, rounds: int) -> dict[str, Any]:
    """Median, least and greatest microseconds of each peer, timed in turn."""
    steps = _peers(work)
    times: dict[str, list[float]] = {name: [] for name in steps}
    repeats = {}
    for name, step in steps.items():
        for _ in range(20):
            step()
        start = time.perf_counter()
        step()
        repeats[name] = max(1, min(500, int(0.05 / max(time.perf_counter() - start, 1e-6))))
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                step()
            times[name].append((time.perf_counter() - start) / repeats[name] * 1e6)
    figures = {
        name: {"median_us": statistics.median(t), "min_us": min(t), "max_us": max(t)}
        for name, t in times.items()
    }
    return {"work": work.name, "rounds": rounds, "figures": figures}


def main() -> None:
    """Print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    works = [Chain(1 << 16), Chain(1 << 26), Inference(1), Inference(128), Inference(4096)]
    results = []
    for work in works:
        result = measure(work, options.rounds)
        results.append(result)
        print(work.name)
        for name, figures in result["figures"].items():
            print(f"  {name:12}{figures['median_us']:12,.1f} us", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
