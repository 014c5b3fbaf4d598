"""Awaited kernels, beside run_in_executor() with a ThreadPoolExecutor.

Supports in docs/benchmarks.md: "An awaited kernel costs 2.2 us, a tenth and less of
what it costs with ThreadPoolExecutor". In one process, in turn: 10 000 calls that are
gathered, and calls that are awaited one by one. The peer runs the same function by
ctypes, without the GIL. And the memory that an awaitable takes while it is pending.
"""

import asyncio
import ctypes
import importlib.util
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import stealpool
from measure import arguments, best, headline, libm_cos, save, table

PEER = "ThreadPoolExecutor"
WAYS = ("asubmit", "run_in_executor", PEER)
HEADER = ["loop", "awaited", "by", "each", "ratio"]


async def gathered(call, n):
    return await asyncio.gather(*(call(i * 1e-3) for i in range(n)))


async def one_by_one(call, n):
    return [await call(i * 1e-3) for i in range(n)]


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def pending_bytes(way, n):
    """Bytes of resident memory for each of `n` awaitables whose calls are queued."""
    loop, cos = asyncio.get_running_loop(), libm_cos()
    with executor_of(way) as executor:
        call = calls_on(loop, executor, cos)[way]
        await call(0.5)
        release = occupy(executor)
        before = resident_bytes()
        waiting = [call(0.5) for _ in range(n)]
        size = (resident_bytes() - before) / n
        release()
        await asyncio.gather(*waiting)
    return size


def in_fresh_process(way, n):
    """pending_bytes() where no freed memory is used again."""
    command = [sys.executable, __file__, "--pending", way, "-n", str(n)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def executor_of(way):
    return ThreadPoolExecutor(2) if way == PEER else stealpool.Executor(2)


def calls_on(loop, executor, cos):
    """What awaits a call with one argument, for each way."""
    kernel = stealpool.kernel(cos)
    return {
        "asubmit": lambda x: executor.asubmit(kernel, x),
        "run_in_executor": lambda x: loop.run_in_executor(executor, kernel, x),
        PEER: lambda x: loop.run_in_executor(executor, cos, x),
    }


def occupy(executor):
    """Keep both workers busy; returns what lets them go on."""
    libc = ctypes.CDLL(None)
    semaphore = (ctypes.c_char * 128)()
    address = ctypes.addressof(semaphore)
    libc.sem_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
    libc.sem_post.argtypes = libc.sem_wait.argtypes = [ctypes.c_void_p]
    libc.sem_init(address, 0, 0)
    wait = libc.sem_wait
    if isinstance(executor, stealpool.Executor):
        wait = stealpool.kernel(wait, "int (uintptr_t)")
    futures = [executor.submit(wait, address) for _ in range(2)]

    def release():
        for _ in futures:
            libc.sem_post(address)
        for future in futures:
            future.result()
        assert ctypes.addressof(semaphore) == address  # it was there all the time

    return release


def measured(loop, rounds, way_to_await, n):
    """Best seconds of each way, results compared."""
    cos = libm_cos()
    with stealpool.Executor(2) as ours, ThreadPoolExecutor(2) as theirs:
        calls = calls_on(loop, ours, cos)
        calls[PEER] = calls_on(loop, theirs, cos)[PEER]
        found = best(
            rounds,
            {
                name: lambda call=call: loop.run_until_complete(way_to_await(call, n))
                for name, call in calls.items()
            },
        )
    expected = [cos(i * 1e-3) for i in range(n)]
    assert all(entry.result == expected for entry in found.values())
    return {name: entry.seconds for name, entry in found.items()}


def loop_factories():
    yield "asyncio", asyncio.new_event_loop
    if importlib.util.find_spec("uvloop"):
        import uvloop

        yield "uvloop", uvloop.new_event_loop


def main():
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("--pending", help="print bytes of a pending call, no more")
    args = parser.parse_args()
    if args.pending:
        print(asyncio.run(pending_bytes(args.pending, args.n)))
        return
    headline()
    rows, records = [], []
    for loop_name, new_loop in loop_factories():
        loop = new_loop()
        for title, way_to_await, n in (
            (f"gather of {args.n}", gathered, args.n),
            ("one by one", one_by_one, args.n // 5),
        ):
            seconds = measured(loop, args.rounds, way_to_await, n)
            for name, total in seconds.items():
                each, ratio = total / n * 1e6, seconds[PEER] / total
                row = (loop_name, title, name, f"{each:.2f} us", f"{ratio:.1f}x")
                rows.append(row)
                records.append(dict(zip(HEADER, [*row[:3], each, ratio], strict=True)))
        loop.close()
    table(HEADER, rows)
    sizes = {way: in_fresh_process(way, 100_000) for way in WAYS}
    table(
        ["a pending call", "bytes", "ratio"],
        [(w, f"{size:.0f}", f"{sizes[PEER] / size:.1f}x") for w, size in sizes.items()],
    )
    records.append({"pending_bytes": sizes})
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
