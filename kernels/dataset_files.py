"""What datasets read from files: lines, records with checksums, records of one size."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tfsession.core.errors import DataLossError, InvalidArgumentError, UnimplementedError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.records import RecordReader
