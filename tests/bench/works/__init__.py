"""The programs that the bench times, a file a family; `ROWS` are they all, in the table's order.

They are written once, with the names of `tf.compat.v1`, and take the library as an argument. Run as
part of `bench.py` and of the tests beside it; nothing else imports them.
"""

from works import small, graphs, dense, images, loops, sparse, pipelines  # noqa: I001  (the order of the table)
from works.row import ROWS, Row, Step, Work

__all__ = [
    "ROWS",
    "Row",
    "Step",
    "Work",
    "dense",
    "graphs",
    "images",
    "loops",
    "pipelines",
    "small",
    "sparse",
]
