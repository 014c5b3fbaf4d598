"""One integral on two threads, beside the same loop in plain nogil Cython.

Supports in docs/benchmarks.md: "The integral of cos over [0, pi/2] with 10^6 points in
2 jobs is 4x as fast as a plain nogil loop on a ThreadPoolExecutor with AVX-512, 3x with
AVX2". Both sides are submitted and summed over as_completed() in the same way.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import as_completed as cf_as_completed

import stealpool
from measure import arguments, best, compare, headline, save
from stealpool import _peers, kernels

N = 10**6
JOBS = 2


def integral(executor, integrate, as_completed, calls):
    a, b = 0.0, math.pi / 2
    total = 0.0
    for _ in range(calls):
        step = (b - a) / JOBS
        futures = [
            executor.submit(
                integrate,
                math.cos,
                a + i * step,
                a + (i + 1) * step,
                n_iter=N // JOBS,
            )
            for i in range(JOBS)
        ]
        total += sum(future.result() for future in as_completed(futures))
    return total / calls


def main():
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("--calls", type=int, default=3, help="integrals a round")
    args = parser.parse_args()
    headline()
    with stealpool.Executor(JOBS) as ours, ThreadPoolExecutor(JOBS) as theirs:
        found = best(
            args.rounds,
            {
                "stealpool.Executor, kernels.integrate": lambda: integral(
                    ours, kernels.integrate, stealpool.as_completed, args.calls
                ),
                "ThreadPoolExecutor, nogil Cython": lambda: integral(
                    theirs, _peers.integrate, cf_as_completed, args.calls
                ),
            },
        )
    values = [entry.result for entry in found.values()]
    assert math.isclose(*values, rel_tol=1e-12), values
    assert math.isclose(values[0], 1.0, rel_tol=1e-5), values
    per_call = {
        name: entry._replace(seconds=entry.seconds / args.calls)
        for name, entry in found.items()
    }
    record = compare(f"cos over [0, pi/2], {N} points, {JOBS} jobs", per_call)
    save(args.json, __file__, [record])


if __name__ == "__main__":
    main()
