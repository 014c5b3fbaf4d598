"""map() of a Python callable in chunks, beside multiprocessing.pool.ThreadPool.

Supports in docs/benchmarks.md: "map() in chunks is no slower than that of
multiprocessing.pool.ThreadPool".
"""

import os
import statistics
from itertools import islice
from multiprocessing.pool import ThreadPool

import stealpool
from measure import arguments, duration, headline, rounds_of, save, table

N = 10**6
NUMBERS = list(range(-N, 0))


def main():
    args = arguments(__doc__, rounds=11).parse_args()
    headline()
    rows, records = [], []
    threads = min(32, (os.cpu_count() or 1) + 4)
    with stealpool.Executor(threads) as ours, ThreadPool(threads) as theirs:
        kinds = {
            "`range`": lambda: range(-N, 0),
            "`list`": lambda: NUMBERS,
            "generator": lambda: islice(NUMBERS, N),
        }
        for kind, make in kinds.items():
            found = rounds_of(
                args.rounds,
                {
                    "ours": lambda make=make: list(
                        ours.map(abs, make(), chunksize=1000)
                    ),
                    "auto": lambda make=make: list(
                        ours.map(abs, make(), chunksize="auto")
                    ),
                    "theirs": lambda make=make: theirs.map(abs, make(), chunksize=1000),
                },
            )
            results = [entry.result for entry in found.values()]
            assert results[0] == results[1] == results[2]
            times = [statistics.median(entry.seconds) for entry in found.values()]
            del results, found
            ratio = f"{times[2] / times[0]:.2f}x"
            rows.append([f"`abs` of a {kind}", *map(duration, times), ratio])
            records.append({"title": kind, "seconds": times})
    table(
        [
            f"{N} calls",
            "`chunksize=1000`",
            '`chunksize="auto"`',
            "`ThreadPool`",
            "ratio",
        ],
        rows,
    )
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
