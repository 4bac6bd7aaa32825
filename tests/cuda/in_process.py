"""Stands in for CodeLibrary: kernels become a library of the host, called where arrays lie."""

import ctypes
import re
from types import SimpleNamespace

import numpy as np
from host_code import INCLUDE

from tfsession.kernels.cuda.expressions import DEVICE

_CALL = """
static void call(void** a) {{ {name}({arguments}); }}
}}
extern "C" void run_{name}(const long long* shape, void** a) {{
  launch(of_{name}::call, {meets}, shape, a, false);
}}
"""


class HostLibrary:
    """Kernels of one file each, compiled by g++ as they are asked for."""

    def __init__(self, host_code):
        self.card = SimpleNamespace(id=0, compute_capability="90")
        self.host_code, self.launches, self.known = host_code, [], {}

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
        text = source.replace(DEVICE, INCLUDE).replace('extern "C" ', "")
        assert text.endswith("}\n")
        text = text[:-2] + _CALL.format(
            name=name, meets=str(meets).lower(), arguments=", ".join(taken)
        )
        path = self.host_code.compiled(text, "-shared")
        return getattr(ctypes.CDLL(str(path)), f"run_{name}")
