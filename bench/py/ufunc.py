"""Ufuncs on two threads, beside NumPy and beside NumPy on slices.

Supports in docs/benchmarks.md: "gamma, cos and functions of numba's take half the time
at 10^6 elements, and at 10^3 what they take in NumPy". The slices are the same ufunc on
the halves of its operands, on a ThreadPoolExecutor with two threads.
"""

import math
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from measure import arguments, best, compare, headline, save, table
from scipy import special
from stealpool import kernels

LARGE, SMALL = 10**6, 10**3
CALLS = 200  # of a small call in a round


@numba.vectorize(["float64(float64)"])
def bell(x):
    return math.cos(x) * math.exp(-x * x)


@numba.guvectorize(["void(float64[:], float64[:])"], "(n)->()")
def log_of_sum(x, result):
    total = 0.0
    for i in range(x.shape[0]):
        total += math.exp(x[i])
    result[0] = math.log(total)


def operands(shape):
    return np.random.default_rng(1).uniform(0.1, 5.0, shape)


def on_slices(threads, u, x, out):
    half = len(x) // 2
    parts = [slice(None, half), slice(half, None)]
    for _ in threads.map(lambda part: u(x[part], out=out[part]), parts):
        pass
    return out


def large(name, u, x, rounds, threads):
    ours = kernels.ufunc(u)
    shape = u(x).shape
    outs = [np.empty(shape) for _ in range(3)]
    found = best(
        rounds,
        {
            "stealpool": lambda: ours(x, out=outs[0]),
            "NumPy": lambda: u(x, out=outs[1]),
            "NumPy on slices, 2 Python threads": lambda: on_slices(
                threads, u, x, outs[2]
            ),
        },
    )
    assert ours.pool_calls > rounds, "left to NumPy"
    for entry in found.values():
        assert np.array_equal(entry.result, u(x)), name
    return compare(f"{name}, {x.size:,} elements", found)


def small(name, u, x, rounds):
    ours = kernels.ufunc(u)
    assert np.array_equal(ours(x), u(x))

    def repeat(call):
        for _ in range(CALLS):
            call(x)

    found = best(rounds, {"ours": lambda: repeat(ours), "theirs": lambda: repeat(u)})
    us = [1e6 * found[key].seconds / CALLS for key in ("ours", "theirs")]
    return [name, *(f"{each:.2f} us" for each in us), f"{us[0] - us[1]:+.2f} us"]


def main():
    parser = arguments(__doc__, rounds=25)
    args = parser.parse_args()
    headline()
    cases = {
        "np.cos": (np.cos, operands(LARGE), operands(SMALL)),
        "scipy.special.gamma": (special.gamma, operands(LARGE), operands(SMALL)),
        "numba.vectorize": (bell, operands(LARGE), operands(SMALL)),
        "numba.guvectorize": (
            log_of_sum,
            operands((LARGE // 1000, 1000)),
            operands((SMALL // 100, 100)),
        ),
    }
    with ThreadPoolExecutor(2) as threads:
        records = [
            large(name, u, x, args.rounds, threads) for name, (u, x, _) in cases.items()
        ]
    rows = [small(name, u, x, 2 * args.rounds) for name, (u, _, x) in cases.items()]
    table([f"{SMALL:,} elements", "stealpool", "NumPy", "difference"], rows)
    save(args.json, __file__, [*records, {"title": "small", "rows": rows}])


if __name__ == "__main__":
    main()
