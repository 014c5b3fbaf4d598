"""Python callables, beside a ThreadPoolExecutor.

Supports in docs/benchmarks.md: "20 000 short Python callables take an eighth of the
time, a round trip half, and callables that block or release the GIL no longer than with
ThreadPoolExecutor".
"""

import hashlib
import os
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as standard_wait

import stealpool
from measure import arguments, duration, headline, pin, rounds_of, save, table

N = 20_000
DATA = bytes(range(256)) * 256


def same(x):
    return x


def bulk(executor, wait):
    futures = [executor.submit(same, i) for i in range(N)]
    wait(futures)
    return sum(future.result() for future in futures)


def bulk_results(executor, wait):
    futures = [executor.submit(same, i) for i in range(N)]
    return sum(future.result() for future in futures)


def hashes(executor, wait):
    futures = [executor.submit(hashlib.sha256, DATA) for _ in range(1000)]
    return {future.result().hexdigest() for future in futures}


def barriers(executor, wait):
    met = 0
    for _ in range(200):
        barrier = threading.Barrier(4)
        futures = [executor.submit(barrier.wait) for _ in range(4)]
        met += sum(future.result() for future in futures)
    return met


def sleeps(executor, wait):
    futures = [executor.submit(time.sleep, 0.001) for _ in range(300)]
    return [future.result() for future in futures]


def reads(executor, wait):
    """Each callable waits for a byte that the main thread sends later."""
    total = 0
    pairs = [socket.socketpair() for _ in range(4)]
    try:
        for _ in range(100):
            futures = [executor.submit(here.recv, 1) for here, _ in pairs]
            for _, there in pairs:
                there.send(b"x")
            total += sum(len(future.result()) for future in futures)
    finally:
        for here, there in pairs:
            here.close()
            there.close()
    return total


JOBS = {
    f"{N} short callables, `wait()`": (bulk, N),
    f"{N} short callables, `result()` each": (bulk_results, N),
    "1000 x sha256 of 64 KiB": (hashes, 1000),
    "200 x 4 callables at a barrier": (barriers, 200),
    "300 x `sleep(0.001)`": (sleeps, 300),
    "100 x 4 blocking reads": (reads, 400),
}


def trips(executor, n):
    """Seconds of each of `n` round trips."""
    clock, times, result = time.perf_counter, [], None
    for i in range(n):
        start = clock()
        result = executor.submit(same, i).result()
        times.append(clock() - start)
    assert result == n - 1
    return times


def median_trips(rounds, n, executors):
    """The least mean, and the median of that round, for each executor."""
    found = {}
    for _ in range(rounds):
        for name, executor in executors.items():
            times = trips(executor, n)
            entry = statistics.fmean(times), statistics.median(times)
            found[name] = min(entry, found.get(name, entry))
    return found


def main():
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("-n", type=int, default=3000, help="round trips a round")
    args = parser.parse_args()
    headline("unpinned, but for the round trips")
    records, rows = [], []
    with stealpool.Executor() as ours, ThreadPoolExecutor() as theirs:
        for title, (job, n) in JOBS.items():
            found = rounds_of(
                args.rounds,
                {
                    "stealpool": lambda job=job: job(ours, stealpool.wait),
                    "standard": lambda job=job: job(theirs, standard_wait),
                },
            )
            results = [entry.result for entry in found.values()]
            assert results[0] == results[1], title
            times = [statistics.median(entry.seconds) / n for entry in found.values()]
            ratio = f"{times[1] / times[0]:.2f}x"
            rows.append([title, *map(duration, times), ratio])
            medians = dict(zip(found, times, strict=True))
            records.append({"title": title, "seconds": medians})
    cpus = sorted(os.sched_getaffinity(0))
    situations = {"unpinned": (cpus, cpus), "all on one CPU": (cpus[:1], cpus[:1])}
    if len(cpus) > 1:
        situations["main on one CPU, threads on another"] = (cpus[:1], cpus[1:2])
    with stealpool.Executor() as ours, ThreadPoolExecutor() as theirs:
        executors = {"stealpool": ours, "standard": theirs}
        median_trips(1, 100, executors)  # all threads have started
        for situation, (main_cpus, other_cpus) in situations.items():
            pin(main_cpus, other_cpus)
            found = median_trips(args.rounds, args.n, executors)
            times = [median for _, median in found.values()]
            title = f"round trip, {situation}"
            rows.append([title, *map(duration, times), f"{times[1] / times[0]:.2f}x"])
            records.append({"title": title, "seconds": found})
        pin(cpus, cpus)
    table(["each of", "`Executor`", "`ThreadPoolExecutor`", "ratio"], rows)
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
