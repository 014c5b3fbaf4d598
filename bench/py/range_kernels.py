"""A loop of numba's, by prange and by our for_range(): the same body, 2 threads.

The body takes some 2 microseconds or 10 milliseconds for the whole range.
"""

import numba
import numpy as np
import stealpool
from measure import arguments, best, compare, headline, save
from numba import njit, prange

numba.set_num_threads(min(2, numba.get_num_threads()))


@njit(parallel=True, error_model="numpy")
def by_prange(x, y, n):
    for i in prange(n):
        y[i] = np.sqrt(x[i]) * 1.5 + np.exp(-x[i])


@stealpool.kernel("int (intptr_t, intptr_t, const double *, double *)")
def body(begin, end, x, y):
    for i in range(begin, end):
        y[i] = np.sqrt(x[i]) * 1.5 + np.exp(-x[i])
    return 0


def main():
    args = arguments(__doc__, rounds=30).parse_args()
    headline()
    records = []
    with stealpool.Executor(2) as executor:
        for n, repeats, label in [(400, 200, "2 us"), (2_000_000, 1, "10 ms")]:
            x = np.random.default_rng(1).random(n)
            ours, theirs = np.empty(n), np.empty(n)

            def mine(x=x, y=ours, n=n, repeats=repeats):
                for _ in range(repeats):
                    executor.for_range(body, 0, n, x, y)
                return y

            def peer(x=x, y=theirs, n=n, repeats=repeats):
                for _ in range(repeats):
                    by_prange(x, y, n)
                return y

            found = best(
                args.rounds,
                {"stealpool for_range()": mine, "numba prange": peer},
            )
            results = [entry.result for entry in found.values()]
            assert np.allclose(*results, rtol=1e-15, atol=0)
            found = {
                name: entry._replace(seconds=entry.seconds / repeats)
                for name, entry in found.items()
            }
            records.append(compare(f"{n} indices, some {label}", found, n=n))
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
