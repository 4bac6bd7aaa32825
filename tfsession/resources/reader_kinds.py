"""The readers that programs make, one for each way in which records lie in files."""

from __future__ import annotations

from tfsession.resources.reader import Reader
from tfsession.resources.reader_files import (
    FixedLengthRecords,
    Lines,
    OneRecord,
    RecordFile,
    Records,
    whole_file,
)


class TextLineReader(Reader):
    """Lines of files; settings: `skip`, how many lines at the top of each to pass over."""

    def begin(self, work: bytes) -> Records:
        """The lines of a file."""
        return Lines(work, **self.settings)


class WholeFileReader(Reader):
    """Whole files."""

    has_state = True

    def begin(self, work: bytes) -> Records:
        """The contents of a file."""
        return whole_file(work)


class FixedLengthRecordReader(Reader):
    """Records of one size; settings: those of FixedLengthRecords."""

    def begin(self, work: bytes) -> Records:
        """The records of a file."""
        return FixedLengthRecords(work, **self.settings)


class TFRecordReader(Reader):
    """Records of TFRecord files; settings: `compression`."""

    def begin(self, work: bytes) -> Records:
        """The records of a file."""
        return RecordFile(work, **self.settings)


class IdentityReader(Reader):
    """The work items themselves."""

    has_state = True

    def begin(self, work: bytes) -> Records:
        """The item under itself."""
        return OneRecord(work, work)
