"""100 000 kernels while 100 Python callables block, beside the kernels alone.

Supports in docs/benchmarks.md: "Blocking callables delay kernels of the same executor
by at most 15 %". The callables sleep, so they come for the GIL again and again, and
some are queued all the time. The peer is the same executor without them.
"""

import statistics
import time

import stealpool
from measure import arguments, duration, headline, rounds_of, save, table
from stealpool import _peers

KERNELS, CALLABLES = 100_000, 100


def kernels(executor, kernel):
    futures = executor.submit_many(kernel, [2.0] * KERNELS)
    stealpool.wait(futures)
    return sum(future.result() >= 2.0 for future in futures)


def main():
    args = arguments(__doc__, rounds=11).parse_args()
    headline()
    kernel = stealpool.kernel(_peers, "spin_us")
    ended = []  # callables, by the end of the kernels
    with stealpool.Executor() as executor:
        # The callables' own end is not timed: clock the kernels inside.
        seconds = {"alone": [], "beside blocking callables": []}

        def clocked(name, call):
            start = time.perf_counter()
            result = call()
            seconds[name].append(time.perf_counter() - start)
            return result

        def beside():
            blocking = [executor.submit(time.sleep, 0.1) for _ in range(CALLABLES)]
            result = clocked(
                "beside blocking callables", lambda: kernels(executor, kernel)
            )
            ended.append(sum(future.done() for future in blocking))
            stealpool.wait(blocking)
            return result

        found = rounds_of(
            args.rounds,
            {
                "alone": lambda: clocked("alone", lambda: kernels(executor, kernel)),
                "beside blocking callables": beside,
            },
        )
    assert {entry.result for entry in found.values()} == {KERNELS}
    assert all(0 < n < CALLABLES for n in ended), ended
    medians = [statistics.median(times[1:]) for times in seconds.values()]
    rows = [
        [name, duration(median), f"{(median / medians[0] - 1) * 100:+.1f} %"]
        for name, median in zip(seconds, medians, strict=True)
    ]
    table([f"{KERNELS} kernels of 2 us", "median", "delay"], rows)
    save(args.json, __file__, [{"title": "mixed", "seconds": seconds}])


if __name__ == "__main__":
    main()
