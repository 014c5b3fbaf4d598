"""1000 kernels of 1 us while another thread runs Python code all the time.

Supports in docs/benchmarks.md: "Beside a busy Python thread, 1000 kernels take at most
3 switch intervals (15 ms)", for submitting all and then waiting; round trips stand here
for comparison. The peer releases the GIL around the same loop. Its time varies much: a
thread that wants the GIL back after 1 us often gets it before the busy one has woken
up, and waits an interval if not. So the median and the worst round count, not the best.
"""

import statistics
import sys
from concurrent import futures as cf

import stealpool
from measure import arguments, busy_thread, duration, headline, rounds_of, save, table
from stealpool import _peers


def one_by_one(executor, fn, n):
    futures = [executor.submit(fn, 1.0) for _ in range(n)]
    return [future.result() for future in futures]


def many_and_wait(executor, fn, n):
    futures = executor.submit_many(fn, [1.0] * n)
    stealpool.wait(futures)
    return [future.result() for future in futures]


def each_and_wait(executor, fn, n):
    futures = [executor.submit(fn, 1.0) for _ in range(n)]
    cf.wait(futures)
    return [future.result() for future in futures]


def round_trips(executor, fn, n):
    return [executor.submit(fn, 1.0).result() for _ in range(n)]


def main():
    parser = arguments(__doc__, rounds=11)
    parser.add_argument("-n", type=int, default=1000)
    args = parser.parse_args()
    headline()
    n = args.n
    kernel, spin = stealpool.kernel(_peers, "spin_us"), _peers.spin
    with stealpool.Executor(2) as ours, cf.ThreadPoolExecutor(2) as theirs:
        calls = {
            "submit() each, result() each": lambda: one_by_one(ours, kernel, n),
            "submit_many(), wait()": lambda: many_and_wait(ours, kernel, n),
            "round trips": lambda: round_trips(ours, kernel, n),
            "peer: submit() each, result() each": lambda: one_by_one(theirs, spin, n),
            "peer: submit() each, wait()": lambda: each_and_wait(theirs, spin, n),
            "peer: round trips": lambda: round_trips(theirs, spin, n),
        }
        with busy_thread():
            found = rounds_of(args.rounds, calls)
    rows, record = [], {}
    interval = sys.getswitchinterval()
    for name, (seconds, result) in found.items():
        assert len(result) == n
        assert min(result) >= 1.0
        numbers = min(seconds), statistics.median(seconds), max(seconds)
        record[name] = numbers
        rows.append([name, *map(duration, numbers), f"{numbers[1] / interval:.1f}"])
    header = [f"{n} kernels of 1 us, a busy thread", "best", "median", "worst"]
    table([*header, "switch intervals (median)"], rows)
    save(args.json, __file__, [{"title": "busy thread", "n": n, "seconds": record}])


if __name__ == "__main__":
    main()
