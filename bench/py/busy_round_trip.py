"""One kernel of 10 us at a time while another thread, on another CPU, runs Python code.

Supports: "a round trip beside a busy Python thread takes less than 100 us (median), the
standard executor's a switch interval", and "10 000 kernels of 10 us, waited for once,
take their own time and at most 2 switch intervals". The peer releases the GIL around
the same loop. The busy thread is pinned to one CPU, everything else to the other. The
kernels' own time is taken beside a thread that is as busy, without the GIL: two CPUs
may be one core's.
"""

import os
import statistics
import sys
import threading
import time
from concurrent import futures as cf
from functools import partial

import stealpool
from measure import arguments, busy_thread, duration, headline, save, table
from stealpool import _peers

MICROSECONDS = 10.0


def round_trips(executor, fn, n):
    """Seconds of each."""
    seconds = []
    for _ in range(n):
        begin = time.perf_counter()
        executor.submit(fn, MICROSECONDS).result()
        seconds.append(time.perf_counter() - begin)
    return seconds


def all_at_once(executor, kernel, n):
    begin = time.perf_counter()
    stealpool.wait(executor.submit_many(kernel, [MICROSECONDS] * n))
    return time.perf_counter() - begin


def pin_apart(cpus):
    """The newest thread, the busy one, to the last CPU; the others to the first."""
    busy = max(thread.native_id for thread in threading.enumerate())
    for thread in map(int, os.listdir("/proc/self/task")):
        os.sched_setaffinity(thread, {cpus[-1] if thread == busy else cpus[0]})


def main():
    parser = arguments(__doc__, rounds=11)
    parser.add_argument("-n", type=int, default=200)
    args = parser.parse_args()
    headline("busy thread pinned apart")
    kernel, spin = stealpool.kernel(_peers, "spin_us"), _peers.spin
    ours_seconds, theirs_seconds, bulk, alone = [], [], [], []
    cpus = sorted(os.sched_getaffinity(0))
    with stealpool.Executor(1) as ours, cf.ThreadPoolExecutor(1) as theirs:
        assert theirs.submit(spin, 1.0).result() >= 1.0
        for _ in range(args.rounds):
            with busy_thread(partial(spin, 1e5)):
                pin_apart(cpus)
                alone.append(all_at_once(ours, kernel, 10_000))
            with busy_thread():
                pin_apart(cpus)
                ours_seconds += round_trips(ours, kernel, args.n)
                theirs_seconds += round_trips(theirs, spin, args.n // 10)
                bulk.append(all_at_once(ours, kernel, 10_000))
    rows = [
        [name, *map(duration, (min(each), statistics.median(each), max(each)))]
        for name, each in (
            ("round trip", ours_seconds),
            ("peer: round trip", theirs_seconds),
            ("10 000 kernels, one wait", bulk),
            ("the same, nobody else uses the GIL", alone),
        )
    ]
    table(["kernels of 10 us, a busy thread", "best", "median", "worst"], rows)
    over = statistics.median(bulk) - statistics.median(alone)
    print(f"\nfor the GIL: {over / sys.getswitchinterval():.1f} switch intervals")
    numbers = {
        "ours": statistics.median(ours_seconds),
        "peer": statistics.median(theirs_seconds),
        "bulk": statistics.median(bulk),
        "alone": statistics.median(alone),
    }
    save(
        args.json, __file__, [{"title": "round trip, busy thread", "seconds": numbers}]
    )


if __name__ == "__main__":
    main()
