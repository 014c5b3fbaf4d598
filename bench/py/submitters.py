"""submit() from several threads at once, and its contexts, beside a ThreadPoolExecutor.

Supports in docs/benchmarks.md: "submits of many threads do not get in each other's
way", and "the copy of the context variables costs at most 0.15 us a submit".
"""

import contextvars
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import stealpool
from measure import arguments, duration, headline, libm_cos, save, table

N = 8_000
VARIABLES = [contextvars.ContextVar(f"variable_{i}") for i in range(20)]


def same(x):
    return x


def seconds_of(cls, fn, threads):
    """What N submits of so many threads take; the results are checked afterwards."""
    start = threading.Barrier(threads + 1)
    futures = []
    with cls(2) as executor:

        def submit():
            submit = executor.submit
            start.wait()
            futures.append([submit(fn, 0.0) for _ in range(N // threads)])

        submitters = [threading.Thread(target=submit) for _ in range(threads)]
        for thread in submitters:
            thread.start()
        start.wait()
        begin = time.perf_counter()
        for thread in submitters:
            thread.join()
        seconds = time.perf_counter() - begin
        results = {future.result() for part in futures for future in part}
    assert results == {fn(0.0)}
    assert sum(map(len, futures)) == N
    return seconds / N


def seconds_of_contexts(executor, held, view, n=1000):
    """A submit of a callable that waits in the queue."""
    held.clear()
    executor.submit(held.wait)
    begin = time.perf_counter()
    futures = [view.submit(abs, -1) for _ in range(n)]
    seconds = time.perf_counter() - begin
    held.set()
    assert all(future.result() == 1 for future in futures)
    return seconds / n


def main():
    args = arguments(__doc__, rounds=11).parse_args()
    headline()
    records, rows = {}, []
    cos = libm_cos()
    for name, ours, theirs in [
        ("kernel", stealpool.kernel(cos), cos),
        ("callable", same, same),
    ]:
        for threads in (1, 2, 4, 8):
            found = [
                (
                    seconds_of(stealpool.Executor, ours, threads),
                    seconds_of(ThreadPoolExecutor, theirs, threads),
                )
                for _ in range(args.rounds)
            ]
            mine, peer = map(statistics.median, zip(*found, strict=True))
            records[f"{name}, {threads}"] = {"ours": mine, "peer": peer}
            rows.append(
                [name, threads, duration(mine), duration(peer), f"{peer / mine:.1f}x"]
            )
    table(["submit() of a", "threads", "stealpool", "ThreadPoolExecutor", ""], rows)

    for variable in VARIABLES:
        variable.set(1)
    with stealpool.Executor(1) as executor:
        held = threading.Event()
        views = {"copy": executor.options(), "None": executor.options(context=None)}
        found = {name: [] for name in views}
        for _ in range(40 * args.rounds):
            for name, view in views.items():
                found[name].append(seconds_of_contexts(executor, held, view))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    table(
        ["submit() of a callable, by options(context=...)", "median"],
        [[name, duration(seconds)] for name, seconds in medians.items()],
    )
    save(args.json, __file__, {"submitters": records, "contexts": medians})


if __name__ == "__main__":
    main()
