"""1000 kernels of 1 us while another thread runs Python code all the time.

Supports in docs/benchmarks.md: "Beside a busy Python thread, 1000 kernels take at most
3 switch intervals (15 ms); a ThreadPoolExecutor waits one for each acquisition of the
GIL". The peer releases the GIL around the same loop. It takes seconds, so it runs a
part of the tasks, and its time is scaled up, which its row says. A round that needs one
interval is lucky; what counts here is the median and the worst round, not the best.
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
    parser.add_argument("--peer-share", type=int, default=4, help="peer runs n / this")
    args = parser.parse_args()
    headline()
    n, few, share = args.n, args.n // args.peer_share, args.peer_share
    kernel, spin = stealpool.kernel(_peers, "spin_us"), _peers.spin
    with stealpool.Executor(2) as ours, cf.ThreadPoolExecutor(2) as theirs:
        calls = {
            "submit() each, result() each": lambda: one_by_one(ours, kernel, n),
            "submit_many(), wait()": lambda: many_and_wait(ours, kernel, n),
            "round trips": lambda: round_trips(ours, kernel, n),
            f"peer, {few} scaled: submit() each, result() each": (
                lambda: one_by_one(theirs, spin, few)
            ),
            f"peer, {few} scaled: submit() each, wait()": (
                lambda: each_and_wait(theirs, spin, few)
            ),
            f"peer, {few} scaled: round trips": lambda: round_trips(theirs, spin, few),
        }
        with busy_thread():
            found = rounds_of(args.rounds, calls)
    rows, record = [], {}
    interval = sys.getswitchinterval()
    for name, (seconds, result) in found.items():
        is_peer = len(result) != n
        assert len(result) == (few if is_peer else n)
        assert min(result) >= 1.0
        scaled = [s * share if is_peer else s for s in seconds]
        median = statistics.median(scaled)
        numbers = min(scaled), median, max(scaled)
        record[name] = numbers
        rows.append([name, *map(duration, numbers), f"{median / interval:.1f}"])
    header = [f"{n} kernels of 1 us, a busy thread", "best", "median", "worst"]
    table([*header, "switch intervals (median)"], rows)
    save(args.json, __file__, [{"title": "busy thread", "n": n, "seconds": record}])


if __name__ == "__main__":
    main()
