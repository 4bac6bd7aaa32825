"""What the GPU path is held to, told of the rows of one run; nothing else makes a claim of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

OURS = "tfsession"
# Ours as a part of the faster of these; of copy bandwidth; of torch; microseconds of Python a step.
COMPILED, BANDWIDTH, PRODUCTS, PYTHON = 1.0, 0.9, 1.05, 10.0
Rows = list[dict[str, Any]]
Aim = dict[str, Any]


def _medians(row: dict[str, Any]) -> dict[str, float]:
    return {name: found["median_us"] for name, found in row["figures"].items()}


def _aim(row: dict[str, Any], what: str, figure: float | None, holds: bool | None) -> Aim:
    return {"row": f"{row['work']}, {row['variant']}", "what": what, "is": figure, "holds": holds}


def _ratio(row: dict[str, Any], what: str, names: tuple[str, ...], most: float) -> Aim:
    """Ours as a part of the least of others; of no known outcome where none is there."""
    medians = _medians(row)
    others = [medians[name] for name in names if name in medians]
    if OURS not in medians or not others:
        return _aim(row, what, None, None)
    ratio = medians[OURS] / min(others)
    return _aim(row, what, ratio, ratio <= most)


def aims(rows: Rows) -> Iterator[Aim]:
    """Each with its figure and whether it holds; None where a figure is lacking."""
    for row in rows:
        name, ours = row["work"], row["figures"].get(OURS, {})
        if name.startswith("MLP"):
            what = f"at most {COMPILED} of the faster of jax.jit and torch compiled"
            yield _ratio(row, what, ("jax.jit", "torch compiled"), COMPILED)
        elif name.startswith("matmul"):
            what = f"at most {PRODUCTS} of torch"
            yield _ratio(row, what, ("torch",), PRODUCTS)
        elif name.startswith("8 element-wise") and row["bound_by"] == "bytes":
            share = ours.get("share_of_roofline")
            holds = None if share is None else share >= BANDWIDTH
            yield _aim(row, f"at least {BANDWIDTH} of copy bandwidth", share, holds)
        elif name.startswith("8 element-wise"):
            host = ours.get("host_us")
            holds = None if host is None else host <= PYTHON
            yield _aim(row, f"at most {PYTHON} microseconds of the host a step", host, holds)
