"""What a kernel costs more than the C function in it, by source, submitted in bulk.

Each source makes a kernel of the same function, a cheap polynomial. The bare cost is
that of a C loop over a pointer to the function; what a call costs above it is reported.
"""

import ctypes
import importlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import stealpool
from measure import arguments, headline, rounds_of, save, table

C = """
#include <stdint.h>
double poly(double x) { return (0.5 * x + 1.5) * x - 2.0; }
double poly_user(double x, void *user) { return poly(x) + *(double *)user; }
void each(double (*f)(double), const double *x, double *y, intptr_t n)
{
    for (intptr_t i = 0; i < n; i++)
        y[i] = f(x[i]);
}
"""
CYTHON = """
cdef api double poly(double x) noexcept nogil:
    return (0.5 * x + 1.5) * x - 2.0
"""


def compiled_c(folder):
    (folder / "poly.c").write_text(C)
    compiler = shutil.which("cc") or shutil.which("gcc")
    command = [compiler, "-O2", "-shared", "-fPIC", "poly.c", "-o", "poly.so"]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "poly.so"))
    library.poly.restype, library.poly.argtypes = ctypes.c_double, [ctypes.c_double]
    return library


def compiled_cython(folder):
    (folder / "poly_cython.pyx").write_text(CYTHON)
    command = [sys.executable, "-m", "Cython.Build.Cythonize", "-i", "-q", "-3"]
    subprocess.run(
        [*command, "poly_cython.pyx"], cwd=folder, check=True, capture_output=True
    )
    sys.path.insert(0, str(folder))
    return importlib.import_module("poly_cython")


def sources(folder):
    """(library of C, kernels by source), as far as their packages are here."""
    library = compiled_c(folder)
    address = ctypes.cast(library.poly, ctypes.c_void_p).value
    user = np.zeros(1)
    kernels = {
        "ctypes": stealpool.kernel(library.poly),
        "address": stealpool.kernel(address, "double (double)"),
        "ctypes, user data": stealpool.kernel(
            library.poly_user, "double (double, void *)", user=user
        ),
    }

    def cython():
        return stealpool.kernel(compiled_cython(folder), "poly")

    def cffi():
        ffi = importlib.import_module("cffi").FFI()
        return stealpool.kernel(ffi.cast("double (*)(double)", address))

    def numba():
        cfunc = importlib.import_module("numba").cfunc
        return stealpool.kernel(
            cfunc("float64(float64)")(lambda x: (0.5 * x + 1.5) * x - 2.0)
        )

    def decorator():
        @stealpool.kernel("double (double)")
        def poly(x):
            return (0.5 * x + 1.5) * x - 2.0

        return poly

    def scipy():
        callable_ = importlib.import_module("scipy").LowLevelCallable
        return stealpool.kernel(callable_(library.poly))

    for make, name in [
        (cython, "Cython"),
        (cffi, "cffi"),
        (numba, "numba @cfunc"),
        (decorator, "@kernel, by numba"),
        (scipy, "scipy.LowLevelCallable"),
    ]:
        try:
            kernels[name] = make()
        except ImportError as error:
            print(f"without {name}: {error}")
    return library, kernels


# submit_many() is followed by wait(), and the results are taken after that.
WAYS = ("submit_many of a list", "submit_many of an array", "map over an array")


def main():
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("-n", type=int, default=20_000)
    args = parser.parse_args()
    headline()
    records = []
    with tempfile.TemporaryDirectory() as folder, stealpool.Executor(2) as executor:
        library, kernels = sources(Path(folder))
        x = np.arange(args.n) * 1e-3
        xs, expected, y = x.tolist(), (0.5 * x + 1.5) * x - 2.0, np.empty(args.n)
        poly = ctypes.cast(library.poly, ctypes.c_void_p)
        at = [ctypes.c_void_p(a.ctypes.data) for a in (x, y)]

        def bare():
            library.each(poly, *at, ctypes.c_ssize_t(args.n))
            return y

        def many(kernel, values):
            futures = executor.submit_many(kernel, values)
            stealpool.wait(futures)
            return futures

        calls = {"bare": bare}
        for name, kernel in kernels.items():
            for what, values in (("a list", xs), ("an array", x)):
                calls[f"{name}: submit_many of {what}"] = (
                    lambda kernel=kernel, values=values: many(kernel, values)
                )
            calls[f"{name}: map over an array"] = lambda kernel=kernel: list(
                executor.map(kernel, x)
            )
        found = rounds_of(args.rounds, calls)
        for name, rounds in found.items():
            result = rounds.result
            if "submit_many" in name:
                result = [future.result() for future in result]
            assert np.array_equal(result, expected), name
        ns = {name: min(r.seconds) / args.n * 1e9 for name, r in found.items()}
        print(f"The bare function takes {ns['bare']:.1f} ns; above it, a call takes:\n")
        rows = []
        for name in kernels:
            row = [ns[f"{name}: {how}"] - ns["bare"] for how in WAYS]
            rows.append((name, *(f"{value:.0f} ns" for value in row)))
            records.append({"source": name, "ns": row, "bare_ns": ns["bare"]})
        table(["source", *WAYS], rows)
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
