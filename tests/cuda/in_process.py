"""Stands in for CodeLibrary: kernels become a library of the host, called where arrays lie."""

import ctypes
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tfsession.kernels.cuda.expressions import DEVICE

SHIM = Path(__file__).with_name("shim.h")
_CALL = """
static void call(void** a) {{ {name}({arguments}); }}
}}
extern "C" void run_{name}(const long long* shape, void** a) {{
  launch(of_{name}::call, {meets}, shape, a, false);
}}
"""


class HostLibrary:
    """Kernels of one file each, compiled by g++ as they are asked for."""

    def __init__(self, folder):
        self.card = SimpleNamespace(id=0, compute_capability="90")
        self.folder, self.launches, self.known = Path(folder), [], {}

    def kernels(self, source, names, options):
        head, *parts = re.split(r"(?=^namespace of_)", source, flags=re.MULTILINE)
        rows = zip(parts, names, strict=True)
        return [self._kernel(f"{head}{part.rstrip()}\n", name) for part, name in rows]

    def _kernel(self, source, name):
        if source not in self.known:
            self.known[source] = self._compiled(source, name)
        function = self.known[source]

        def kernel(grid, block, arguments):
            self.launches.append(name)
            shape = (ctypes.c_longlong * 4)(*grid[:2], *block[:2])
            numbers = np.array([int(argument) for argument in arguments], np.int64)
            function(shape, numbers.ctypes.data_as(ctypes.c_void_p))

        return kernel

    def _compiled(self, source, name):
        meets = "__syncthreads" in source.split(f"namespace of_{name} ")[1]
        (told,) = re.findall(rf"\) {name}\(\n(.*?)\) {{", source, re.DOTALL)
        taken = [
            f"({part.rsplit(' ', 1)[0].replace('__restrict__', '')})" + f"(size_t)a[{place}]"
            for place, part in enumerate(re.split(r",\s+", told))
        ]
        text = source.replace(DEVICE, f'#include "{SHIM}"\n').replace('extern "C" ', "")
        assert text.endswith("}\n")
        text = text[:-2] + _CALL.format(
            name=name, meets=str(meets).lower(), arguments=", ".join(taken)
        )
        path = self.folder / f"kernel{len(self.known)}.cpp"
        path.write_text(text)
        flags = ["-O1", "-std=c++17", "-ffp-contract=off", "-w", "-shared", "-fPIC"]
        command = ["g++", *flags, str(path), "-o", str(path.with_suffix(".so"))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr[:4000]
        return getattr(ctypes.CDLL(str(path.with_suffix(".so"))), f"run_{name}")
