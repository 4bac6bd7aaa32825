"""Compiles C++ by g++: each text once in a run of the tests, whatever process asks for it."""

import hashlib
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

SHIM = Path(__file__).with_name("shim.h")
INCLUDE = f'#include "{SHIM.name}"\n'
_FLAGS = ("-O1", "-std=c++17", "-ffp-contract=off", "-w", "-fPIC")


class HostCode:
    """What has been compiled, in a folder that the processes of a run share."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def compiled(self, text, *flags):
        """The program or library of a text, which includes the shim."""
        flags = (*_FLAGS, *flags)
        name = hashlib.sha256("\0".join([*flags, text]).encode()).hexdigest()[:24]
        path = self.folder / name
        with self._alone(name):
            if not path.exists():
                source = path.with_suffix(".cpp")
                source.write_text(text)
                self._run(*flags, f"-I{self._header(flags)}", source, into=path)
        return path

    def _header(self, flags):
        """A folder with the shim as the compiler has read it: most of a kernel's time."""
        flags = [flag for flag in flags if flag != "-shared"]
        name = "shim_" + hashlib.sha256("\0".join(flags).encode()).hexdigest()[:8]
        path = self.folder / name / SHIM.name
        with self._alone(name):
            if not path.exists():
                path.parent.mkdir()
                self._run(*flags, "-x", "c++-header", SHIM, into=path.with_name("shim.h.gch"))
                shutil.copy(SHIM, path)
        return path.parent

    @staticmethod
    def _run(*arguments, into):
        part = into.with_name(f"{into.name}.part")
        command = ["g++", *map(str, arguments), "-o", str(part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr[:4000]
        part.replace(into)

    @contextmanager
    def _alone(self, name):
        import fcntl  # noqa: PLC0415  POSIX only, as all of this

        with (self.folder / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
