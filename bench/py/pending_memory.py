"""What a call that waits to be run costs in memory, beside a ThreadPoolExecutor.

Supports in docs/benchmarks.md: "a pending call of a kernel takes less than a sixth of
the memory". Each executor has a process of its own, in which its one worker is held up
while the calls are submitted; what the process grows by is theirs. The list of futures
counts, the arguments, which were there before, do not. Afterwards all results are
compared.
"""

import json
import subprocess
import sys

from measure import arguments, headline, save, table

PROGRAM = """
import concurrent.futures as cf, ctypes, json, os, sys, threading
import stealpool

sys.path.insert(0, {folder!r})
from measure import libm_cos

how, n = {how!r}, {n}
libc = ctypes.CDLL(None)
gate = (ctypes.c_char * 128)()
key = ctypes.addressof(gate)
libc.sem_init(ctypes.c_void_p(key), 0, 0)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


cos, xs = libm_cos(), [i * 1e-3 for i in range(n)]
if how == "ThreadPoolExecutor":
    fn, executor, begun = cos, cf.ThreadPoolExecutor(1), threading.Event()
    libc.sem_wait.argtypes = [ctypes.c_void_p]
    executor.submit(lambda: (begun.set(), libc.sem_wait(key)))
    begun.wait()
else:
    fn, executor = stealpool.kernel(cos), stealpool.Executor(1)
    blocking = executor.submit(stealpool.kernel(libc.sem_wait, "int (uintptr_t)"), key)
    while not blocking.running():
        pass
submit_each = lambda xs: [executor.submit(fn, x) for x in xs]
submit = (lambda xs: executor.submit_many(fn, xs)) if "many" in how else submit_each
warm = submit(xs[:1000])
before = resident()
futures = submit(xs)
grown = resident() - before
assert not any(future.done() for future in futures[::1000])
libc.sem_post(ctypes.c_void_p(key))
assert [future.result() for future in futures] == [cos(x) for x in xs]
print(json.dumps(grown / n))
executor.shutdown()
"""


def bytes_per_call(how, n, folder):
    program = PROGRAM.format(how=how, n=n, folder=folder)
    return json.loads(subprocess.check_output([sys.executable, "-c", program]))


def main():
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("-n", type=int, default=200_000)
    args = parser.parse_args()
    headline()
    peer = "ThreadPoolExecutor"
    found = {
        how: min(bytes_per_call(how, args.n, sys.path[0]) for _ in range(args.rounds))
        for how in ("stealpool, submit()", "stealpool, submit_many()", peer)
    }
    table(
        [f"{args.n} pending calls of cos", "bytes a call", "ratio"],
        [(how, f"{n:.0f}", f"{found[peer] / n:.1f}x") for how, n in found.items()],
    )
    save(args.json, __file__, [{"n": args.n, "bytes": found}])


if __name__ == "__main__":
    main()
