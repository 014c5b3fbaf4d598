"""Should a thread that waits run kernels itself? Never, short ones, or any?

Supports the decision record about helping, and in docs/benchmarks.md the sentence that
says what ``helping=True`` changes. It applies to waits without a timeout only; the
column with a timeout is there to show that. Each cell is the median of some runs, in
which the three ways take turns. The kernels do a fixed amount of work (libm's jn(),
whose time is linear in n): one that spins until a clock says so would seem to run in
parallel on one CPU. Their lengths are calibrated at the start.
"""

import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from functools import partial

import stealpool
from measure import arguments, busy_thread, duration, headline, save, table

MODES = ("never", "short", "always")
KERNELS_US = (1, 10, 20_000)
MANY = 100
SITUATIONS = ("quiet", "busy", "one CPU")
BLOCKED_US = 300_000  # SIGINT comes while the workers are kept from the queue
SIGNAL_AFTER = 0.03


def bessel():
    jn = ctypes.CDLL("libm.so.6").jn
    jn.restype, jn.argtypes = ctypes.c_double, [ctypes.c_int, ctypes.c_double]
    return jn


def steps_per_us():
    """How far jn() recurs in 1 us."""
    jn, n, times = bessel(), 1_000_000, []
    for _ in range(20):
        start = time.perf_counter()
        jn(n, 1e9)
        times.append(time.perf_counter() - start)
    return n / (min(times) * 1e6)


class Situation:
    """An executor with one way of helping, and kernels of one length."""

    def __init__(self, mode, us, steps):
        self.executor = stealpool.Executor(2)
        self.executor._set_helping(mode)
        self.kernel, self.blocker = (stealpool.kernel(bessel()) for _ in range(2))
        self.call = int(us * steps), 1e9
        self.block = int(BLOCKED_US * steps), 1e9
        self.us = us
        self.wait_for_many()  # "short" knows how long the kernel runs

    def result(self, timeout=None):
        self.executor.submit(self.kernel, *self.call).result(timeout)

    def result_in_time(self):
        self.result(timeout=60)

    def wait_for_many(self):
        stealpool.wait(self.executor.submit_many(self.kernel, [self.call] * MANY))

    def late(self):
        """Seconds from SIGINT to KeyboardInterrupt, with about 0.2 s of work queued."""
        sent = []

        def interrupt():
            time.sleep(SIGNAL_AFTER)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        n = min(200_000 // self.us, 100_000)
        blocked = self.executor.submit_many(self.blocker, [self.block] * 2)
        time.sleep(0.05)  # both workers have begun
        futures = self.executor.submit_many(self.kernel, [self.call] * n)
        thread = threading.Thread(target=interrupt)
        try:
            thread.start()
            stealpool.wait(blocked + futures)
            raise AssertionError("the wait was not interrupted")
        except KeyboardInterrupt:
            seconds = time.perf_counter() - sent[0]
        thread.join()
        stealpool.wait([f for f in blocked + futures if not f.cancel()])
        return seconds


def seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def child(us, runs, steps, part):
    """For each mode, its cells for one of SITUATIONS, or for SIGINT."""
    found = {mode: {} for mode in MODES}
    ways = {mode: Situation(mode, us, steps) for mode in MODES}
    if part == "SIGINT":
        late = [{mode: way.late() for mode, way in ways.items()} for _ in range(5)]
        for mode, cells in found.items():
            times = [run[mode] for run in late]
            cells["SIGINT"], cells["SIGINT, worst"] = (
                statistics.median(times),
                max(times),
            )
        return found
    calls = {
        "result()": Situation.result,
        f"wait() for {MANY}": Situation.wait_for_many,
        "result(timeout)": Situation.result_in_time,
    }
    with busy_thread() if part == "busy" else nullcontext():
        for name, call in calls.items():
            times = {mode: [] for mode in MODES}
            for _ in range(runs):
                for mode, way in ways.items():
                    times[mode].append(seconds_of(partial(call, way)))
            for mode, cells in found.items():
                cells[f"{part}: {name}"] = statistics.median(times[mode])
    return found


def main():
    parser = arguments(__doc__, rounds=21)
    parser.add_argument("--child", help="for the script itself: JSON")
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(*json.loads(args.child))))
        return
    headline()
    rows, records, steps = [], [], steps_per_us()
    first_cpu = str(min(os.sched_getaffinity(0)))
    for us in KERNELS_US:
        found = {mode: {} for mode in MODES}
        for part in (*SITUATIONS, "SIGINT"):
            runs = args.rounds if us < 1000 else max(args.rounds // 7, 1)
            words = [sys.executable, __file__]
            words += ["--child", json.dumps([us, runs, steps, part])]
            if part == "one CPU":
                words[:0] = ["taskset", "-c", first_cpu]
            for mode, cells in json.loads(subprocess.check_output(words)).items():
                found[mode] |= cells
        for mode, cells in found.items():
            rows.append([duration(us / 1e6), mode, *map(duration, cells.values())])
            records.append({"title": f"{us} us, {mode}", "seconds": cells})
    table(["kernel", "helping", *records[0]["seconds"]], rows)
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
