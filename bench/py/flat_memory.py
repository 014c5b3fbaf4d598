"""Ten million kernels are submitted, waited for and dropped: does memory grow?

Supports in docs/benchmarks.md: "10 000 000 kernels leave nothing behind". Prints the
resident set after each million, in four ways to submit and wait, and by how much it was
larger after a way than after the same way before. What is growth and what is noise: one
page a million would be four bytes a thousand kernels.
"""

import gc
import sys

import stealpool
from measure import arguments, headline, libm_cos, save, table

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


def main():
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("-n", type=int, default=10, help="millions of kernels")
    args = parser.parse_args()
    headline()
    cos = stealpool.kernel(libm_cos())
    rows, first, worst = [], {}, 0
    with stealpool.Executor(2) as executor:
        for way in WAYS:  # what is allocated once is allocated now
            way(executor, cos, 2 * BLOCK)
        gc.collect()
        references, objects = sys.getrefcount(cos), len(gc.get_objects())
        start = resident_kib()
        for i in range(args.n):
            way = WAYS[i % len(WAYS)]
            way(executor, cos, N)
            now = resident_kib()
            rows.append([i + 1, way.__name__, now, f"{now - start:+}"])
            worst = max(worst, now - first.setdefault(way, now))
        gc.collect()
        submitted = executor.stats()["submitted"]
        assert executor.stats()["unfinished"] == 0
        assert sys.getrefcount(cos) == references, "references are leaked"
        left = len(gc.get_objects()) - objects
        assert left < 50, f"{left} objects are left"
    table(["millions", "way", "resident KiB", "since the start"], rows)
    print(
        f"{submitted} kernels; the same way again takes {worst} KiB more at most; no "
        "reference and no object is left."
    )
    save(args.json, __file__, [{"submitted": submitted, "growth_kib": worst}])


if __name__ == "__main__":
    main()
