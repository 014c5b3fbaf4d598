"""How long after Ctrl-C each wait ends, and each built-in kernel that is split.

Supports in docs/benchmarks.md: "Ctrl-C ends every wait within 100 ms". A timer raises
the signal at a random moment while the main thread waits; the delay is the time from
then until the except clause. After each one the executor is used again.
"""

import math
import random
import signal
import statistics
import threading
import time
from concurrent import futures as cf

import numpy as np
import stealpool
from measure import arguments, duration, headline, libm_cos, save, table
from stealpool import image
from stealpool.kernels import integrate, ufunc

LONG = 10**14  # points: some days


def delay_of(name, wait):
    """Seconds from the signal to the exception."""
    after = random.uniform(0.06, 0.14)
    due = time.monotonic() + after
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        wait()
    except KeyboardInterrupt:
        return time.monotonic() - due
    raise AssertionError(f"{name} has ended by itself")


class Endless:
    """An executor whose lanes are busy for ever, until it is freed."""

    def __init__(self, **kwargs):
        self.executor = stealpool.Executor(1, **kwargs)
        self.event = threading.Event()
        self.kernel = self.executor.submit(integrate, math.cos, 0, 1, n_iter=LONG)
        self.callable = self.executor.submit(self.event.wait)

    def free(self):
        self.kernel.cancel()
        self.event.set()


def waits(cos):
    """name -> a function that makes (the wait, its executor, what to do after it)."""
    identity = ufunc(np.sin)
    big = np.ones(60_000_000)
    picture, smooth = (np.ones((12_000, 12_000), np.float32) for _ in range(2))

    def of(wait, **kwargs):
        def make():
            endless = Endless(**kwargs)
            return lambda: wait(endless), endless.executor, endless.free

        return make

    def called(call):
        def make():
            executor = stealpool.Executor(2)
            return lambda: call(executor), executor, lambda: None

        return make

    def submit_for_ever(endless):
        while True:
            endless.executor.submit(cos, 0.0)

    def group(endless):
        with endless.executor.group() as members:
            members.submit(cos, 0.0)

    def again(function):
        def repeat(executor):
            while True:
                function(executor)

        return called(repeat)

    return {
        "result() of a kernel": of(lambda e: e.kernel.result()),
        "result(60) of a kernel": of(lambda e: e.kernel.result(60)),
        "result() of a callable": of(lambda e: e.callable.result()),
        "exception()": of(lambda e: e.kernel.exception()),
        "wait()": of(lambda e: stealpool.wait([e.kernel, e.callable])),
        "wait() for the first": of(
            lambda e: stealpool.wait(
                [e.kernel, e.callable], None, stealpool.FIRST_COMPLETED
            )
        ),
        "the standard library's wait()": of(lambda e: cf.wait([e.kernel])),
        "as_completed()": of(lambda e: list(stealpool.as_completed([e.kernel]))),
        "map() of a kernel": of(lambda e: list(e.executor.map(cos, [0.0]))),
        "map() of a callable": of(lambda e: list(e.executor.map(abs, [0]))),
        "submit(), the queue is full": of(submit_for_ever, queue_capacity=1),
        "submit_many(), the queue is full": of(
            lambda e: e.executor.submit_many(cos, [0.0] * 9), queue_capacity=1
        ),
        "the end of a group": of(group),
        "shutdown()": of(lambda e: e.executor.shutdown()),
        "view().shutdown()": of(shut_view_down),
        "for_range() of a callable": called(
            lambda executor: executor.for_range(spend, 0, 2000)
        ),
        "integrate()": called(
            lambda executor: integrate(math.cos, 0, 1, n_iter=LONG, executor=executor)
        ),
        "integrate() of a kernel": called(
            lambda executor: integrate(cos, 0, 1, n_iter=LONG, executor=executor)
        ),
        "gaussian_filter(), sigma 10": called(
            lambda executor: image.gaussian_filter(
                picture, 10.0, out=smooth, executor=executor
            )
        ),
        "a ufunc": again(lambda executor: identity(big, out=big, executor=executor)),
    }


def spend(begin, end):
    time.sleep(0.01)  # sleep: this is what takes long


def shut_view_down(endless):
    view = endless.executor.view()
    view.submit(abs, 0)
    view.shutdown()


def main():
    args = arguments(__doc__, rounds=20).parse_args()
    headline()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    random.seed(1)
    cos = stealpool.kernel(libm_cos())
    rows, records = [], []
    for name, make in waits(cos).items():
        delays = []
        for _ in range(args.rounds):
            wait, executor, free = make()
            delays.append(delay_of(name, wait))
            free()
            if not executor._shutdown_reason:
                assert executor.submit(cos, 0.0).result(60) == 1.0
                assert executor.submit(abs, -1).result(60) == 1
            executor.shutdown()
        rows.append([name, duration(statistics.median(delays)), duration(max(delays))])
        records.append({"title": name, "delays": delays})
    table([f"Ctrl-C in, {args.rounds} times each", "median", "worst"], rows)
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
