"""An executor that is made for one Python callable, beside a ThreadPoolExecutor.

Supports in docs/benchmarks.md: "an executor for one callable costs what
ThreadPoolExecutor costs, whatever its max_workers".
"""

import statistics
from concurrent import futures as cf

import stealpool
from measure import arguments, duration, headline, rounds_of, save, table


def use(cls, max_workers):
    with cls(max_workers) as executor:
        return executor.submit(abs, -1).result()


def main():
    args = arguments(__doc__, rounds=201).parse_args()
    headline()
    rows, records = [], []
    for max_workers in (1, 8, 100):
        found = rounds_of(
            args.rounds,
            {
                "stealpool": lambda n=max_workers: use(stealpool.Executor, n),
                "peer": lambda n=max_workers: use(cf.ThreadPoolExecutor, n),
            },
        )
        assert {entry.result for entry in found.values()} == {1}
        seconds = {
            name: statistics.median(entry.seconds) for name, entry in found.items()
        }
        ratio = seconds["peer"] / seconds["stealpool"]
        rows.append([max_workers, *map(duration, seconds.values()), f"{ratio:.2f}x"])
        records.append({"max_workers": max_workers, "seconds": seconds})
    table(["max_workers", "stealpool, median", "ThreadPoolExecutor", "ratio"], rows)
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
