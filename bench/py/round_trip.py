"""submit(kernel).result(), one at a time, beside a ThreadPoolExecutor.

Supports in docs/benchmarks.md: "A round trip to a worker and back is 4x as fast as
with ThreadPoolExecutor", on one CPU, on two, and where the system puts the threads.
That each trip was to a worker is checked: stats()["executed"] counts them.
"""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import stealpool
from measure import arguments, duration, headline, libm_cos, pin, save, table


def trips(executor, fn, n):
    """Seconds of each of `n` round trips."""
    clock, times, result = time.perf_counter, [], None
    for _ in range(n):
        start = clock()
        result = executor.submit(fn, 0.5).result()
        times.append(clock() - start)
    assert result == fn(0.5)
    return times


def count_executed(executor):
    """Kernels that workers ran. They count one a moment after its result is there."""
    time.sleep(0.02)
    return executor.stats()["executed"]


def measured(rounds, n, alternatives):
    """(mean, median, p99) of the round with the least mean, for each alternative."""
    found = {}
    for _ in range(rounds):
        for name, (executor, fn) in alternatives.items():
            times = sorted(trips(executor, fn, n))
            mean = statistics.fmean(times)
            entry = mean, times[n // 2], times[n * 99 // 100]
            found[name] = min(entry, found.get(name, entry))
    return found


def main():
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("-n", type=int, default=3000, help="trips a round")
    args = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    situations = {"unpinned": (cpus, cpus), "all on one CPU": (cpus[:1], cpus[:1])}
    if len(cpus) > 1:
        situations["main on one CPU, workers on another"] = (cpus[:1], cpus[1:2])
    headline("pinned as each row says")
    cos = libm_cos()
    kernel = stealpool.kernel(cos)
    rows, records = [], []
    with stealpool.Executor(2) as ours, ThreadPoolExecutor(2) as theirs:
        alternatives = {
            "stealpool.Executor": (ours, kernel),
            "ThreadPoolExecutor": (theirs, cos),
        }
        measured(1, 100, alternatives)  # all threads have started
        for situation, (main_cpus, other_cpus) in situations.items():
            pin(main_cpus, other_cpus)
            executed = count_executed(ours)
            found = measured(args.rounds, args.n, alternatives)
            executed = count_executed(ours) - executed
            assert executed == args.rounds * args.n, f"workers ran {executed} kernels"
            ours_mean = found["stealpool.Executor"][0]
            for name, numbers in found.items():
                ratio = f"{numbers[0] / ours_mean:.2f}x"
                rows.append([situation, name, *map(duration, numbers), ratio])
            records.append({"title": situation, "seconds": found})
        pin(cpus, cpus)
    table(["threads", "executor", "mean", "median", "p99", "ratio"], rows)
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
