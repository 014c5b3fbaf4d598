"""How often a million kernels and one wait take the GIL: counted within and outside.

Supports in docs/benchmarks.md: "a million kernels and one wait() take the GIL at most 5
times". From within, stats()["attaches"]; from outside, perf counts calls of CPython's
take_gil (a uprobe, for root or CAP_PERFMON) in a process of its own, less those of the
same process without the workload. The peer runs the same ctypes function.
"""

import os
import re
import statistics
import subprocess
import sys
from concurrent import futures as cf
from pathlib import Path

import stealpool
from measure import arguments, headline, libm_cos, save, table

EVENT = f"stealpool_bench_{os.getpid()}:take_gil"


def workload(name, n):
    """What the counted process does. Returns stats()["attaches"] of the workload."""
    cos = libm_cos()
    xs = [i * 1e-3 for i in range(n)]
    if name == "peer":
        with cf.ThreadPoolExecutor(2) as theirs:
            cf.wait([theirs.submit(cos, 0.5) for _ in range(4)])
            cf.wait([theirs.submit(cos, x) for x in xs])
        return 0
    kernel = stealpool.kernel(cos)
    with stealpool.Executor(2) as ours:
        ours.submit(kernel, 0.5).result()
        before = ours.stats()["attaches"]
        if name == "submit_many" and n:
            stealpool.wait(ours.submit_many(kernel, xs))
        elif n:
            stealpool.wait([ours.submit(kernel, x) for x in xs])
        return ours.stats()["attaches"] - before


def perf(*words):
    run = subprocess.run(["perf", *words], capture_output=True, text=True)
    if run.returncode:
        raise OSError(f"perf {words[0]}: {(run.stderr or run.stdout).strip()[:300]}")
    return run


def interpreter_file():
    """The file that take_gil is in: the shared library, or the interpreter itself."""
    maps = Path("/proc/self/maps").read_text()
    libraries = re.findall(r"\S*/libpython3[^\s/]*\.so[.\d]*", maps)
    return libraries[0] if libraries else os.path.realpath(sys.executable)


def counted(name, n):
    """(calls of take_gil, attaches) of one process."""
    child = [sys.executable, __file__, "--child", name, "-n", str(n)]
    run = perf("stat", "-x", ",", "-e", EVENT, "--", *child)
    lines = [line for line in run.stderr.splitlines() if EVENT in line]
    return int(lines[0].split(",")[0]), int(run.stdout)


def main():
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("-n", type=int, default=1_000_000)
    parser.add_argument("--child", help="for the script itself: run this workload")
    args = parser.parse_args()
    if args.child:
        print(workload(args.child, args.n))
        return
    headline()
    names = {
        "submit_many": "stealpool, submit_many() and wait()",
        "submit": "stealpool, submit() of each and wait()",
        "peer": "ThreadPoolExecutor, submit() of each and wait()",
    }
    rows, records = [], []
    try:
        perf("probe", "-q", "-x", interpreter_file(), "-a", f"{EVENT}=take_gil")
    except OSError as error:
        print(f"No count from outside: {error}\n")
        for name in ("submit_many", "submit"):
            attaches = workload(name, args.n)
            rows.append([names[name], attaches, "-", "-"])
            records.append({"title": name, "attaches": attaches})
    else:
        try:
            for name, title in names.items():
                without = [counted(name, 0)[0] for _ in range(args.rounds)]
                runs = [counted(name, args.n) for _ in range(args.rounds)]
                base = statistics.median(without)
                calls = statistics.median(run[0] for run in runs) - base
                attaches = max(run[1] for run in runs) if name != "peer" else "-"
                spread = f"{max(without) - min(without)}"
                rows.append([title, attaches, f"{calls:g}", spread])
                records.append({"title": name, "take_gil": calls, "attaches": attaches})
        finally:
            perf("probe", "-q", "-d", EVENT)
    header = [f"{args.n} x cos", "most attaches", "take_gil, median", "spread without"]
    table(header, rows)
    save(args.json, __file__, records)


if __name__ == "__main__":
    main()
