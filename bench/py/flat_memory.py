"""Ten million kernels are submitted, waited for and dropped: does memory grow?

    python bench/py/flat_memory.py [millions]

Prints the resident set after each million, in four ways to submit and wait. What is
growth and what is noise: one page a million would be four bytes a thousand kernels.
"""

import ctypes
import gc
import sys

import stealpool

N = 1_000_000
BLOCK = 10_000


def resident_kib():
    with open("/proc/self/smaps_rollup") as file:
        for line in file:
            if line.startswith("Rss:"):
                return int(line.split()[1])
    raise RuntimeError("no Rss in /proc/self/smaps_rollup")


def submit_many_and_wait(executor, cos, n):
    for _ in range(n // BLOCK):
        stealpool.wait(executor.submit_many(cos, [0.0] * BLOCK))


def submit_each_and_wait(executor, cos, n):
    for _ in range(n // BLOCK):
        stealpool.wait([executor.submit(cos, 0.0) for _ in range(BLOCK)])


def submit_each_and_take_results(executor, cos, n):
    for _ in range(n // BLOCK):
        futures = [executor.submit(cos, 0.0) for _ in range(BLOCK)]
        assert sum(future.result() for future in futures) == BLOCK


def submit_and_drop(executor, cos, n):
    for _ in range(n // BLOCK):
        for _ in range(BLOCK - 1):
            executor.submit(cos, 0.0)
        executor.submit(cos, 0.0).result()


WAYS = [
    submit_many_and_wait,
    submit_each_and_wait,
    submit_each_and_take_results,
    submit_and_drop,
]


def main(millions=10):
    libm = ctypes.CDLL("libm.so.6")
    cos = stealpool.kernel(libm.cos)
    first, worst = 0, 0
    with stealpool.Executor(2) as executor:
        for way in WAYS:  # what is allocated once is allocated now
            way(executor, cos, 2 * BLOCK)
        gc.collect()
        references, objects = sys.getrefcount(cos), len(gc.get_objects())
        start = resident_kib()
        print(f"{'way':<30} {'millions':>8} {'RSS KiB':>9} {'since start':>12}")
        for i in range(millions):
            way = WAYS[i % len(WAYS)]
            way(executor, cos, N)
            now = resident_kib()
            print(f"{way.__name__:<30} {i + 1:>8} {now:>9} {now - start:>+12}")
            if i >= len(WAYS) - 1:
                first = first or now
                worst = max(worst, now - first)
        gc.collect()
        assert executor.stats()["unfinished"] == 0
        assert sys.getrefcount(cos) == references, "references are leaked"
        left = len(gc.get_objects()) - objects
        assert left < 50, f"{left} objects are left"
        print(
            f"{executor.stats()['submitted']} kernels; growth once every way was used: "
            f"{worst} KiB; no reference and no object left"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
