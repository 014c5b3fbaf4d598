"""20 000 kernels that take some nanoseconds each, beside a ThreadPoolExecutor.

Supports in docs/benchmarks.md: "20 000 calls of libm's cos through ctypes: 15x as fast
with submit() and result() of each, 50x with submit_many() and one wait(), 6x with the
standard library's wait()". The peer runs the same ctypes function.
"""

from concurrent import futures as cf

import stealpool
from measure import arguments, best, compare, headline, libm_cos, save


def one_by_one(executor, fn, xs):
    futures = [executor.submit(fn, x) for x in xs]
    return [future.result() for future in futures]


def many_and_wait(executor, fn, xs):
    futures = executor.submit_many(fn, xs)
    stealpool.wait(futures)
    return futures


def each_and_wait(executor, fn, xs):
    futures = [executor.submit(fn, x) for x in xs]
    cf.wait(futures)
    return futures


def values(results):
    return [getattr(entry, "result", lambda entry=entry: entry)() for entry in results]


def main():
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("-n", type=int, default=20_000)
    args = parser.parse_args()
    headline()
    cos = libm_cos()
    kernel = stealpool.kernel(cos)
    xs = [i * 1e-3 for i in range(args.n)]
    expected = [cos(x) for x in xs]
    records = []
    with stealpool.Executor(2) as ours, cf.ThreadPoolExecutor(2) as theirs:
        pairs = {
            "submit() and result() of each": (
                lambda: one_by_one(ours, kernel, xs),
                lambda: one_by_one(theirs, cos, xs),
            ),
            "submit_many() and wait(); theirs submit() of each and wait()": (
                lambda: many_and_wait(ours, kernel, xs),
                lambda: each_and_wait(theirs, cos, xs),
            ),
            "submit() of each and the standard library's wait()": (
                lambda: each_and_wait(ours, kernel, xs),
                lambda: each_and_wait(theirs, cos, xs),
            ),
        }
        for title, (mine, peer) in pairs.items():
            found = best(
                args.rounds, {"stealpool.Executor": mine, "ThreadPoolExecutor": peer}
            )
            assert all(values(entry.result) == expected for entry in found.values())
            title = f"{args.n} x cos: {title}"
            records.append(compare(title, found, n=args.n))
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
