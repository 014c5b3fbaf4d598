"""The same programs on stealpool and on other libraries for C and C++, in turn.

    spin peers                          # all, then a table
    spin peers fib empty --threads 2 --rounds 5
    spin peers --ahead                  # of all that the machine has to do otherwise
    python bench/peers/run.py --build build-peers

Each library has an executable of its own, made from one source (bench/peers/*.hpp), so
that no library's threads disturb another, and CPU time and memory can be told apart.
In every round each executable runs once; the programs check their results. Times are
medians over all rounds; CPU seconds are of the whole process, a run of the program;
memory is the process's peak.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

# What is in the table, and how often a process repeats it.
PROGRAMS = {
    "fib": 5,
    "skynet": 5,
    "nqueens": 5,
    "quadrature": 5,
    "uts-t1": 1,
    "uts-t3": 1,
    "flat": 5,
    "external-1": 5,
    "external-2": 5,
    "external-8": 5,
    "empty": 5,
    "sweep-10ns": 5,
    "sweep-100ns": 5,
    "sweep-1us": 5,
    "sweep-10us": 5,
    "sweep-100us": 2,
    "sweep-1ms": 1,
    "mandelbrot": 5,
    "spmv": 11,
    "matmul": 11,
    "stencil": 11,
    "ping-hot": 3,
    "ping-parked": 2,
    "burst": 2,
    "idle": 1,
}
# These sleep, and are woken among other programs.
NEVER_AHEAD = {"ping-hot", "ping-parked", "burst", "idle"}
LIBRARIES = ("stealpool", "tbb", "openmp", "libomp", "stealpool_clang", "serial")
UNSUPPORTED = 77
OURS = "stealpool"


class Row(NamedTuple):
    library: str
    median: float
    p99: float
    cpu: float
    megabytes: float
    per_task: float | None
    unit: str


def go_ahead() -> None:
    """But in turns: some programs spin where their other thread is to run."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def measure(
    executable: Path, program: str, threads: int, rounds: int, ahead: bool
) -> Any:
    done = subprocess.run(
        [executable, program, str(threads), str(rounds)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        preexec_fn=go_ahead if ahead else None,
    )
    if done.returncode == UNSUPPORTED:
        return None
    if done.returncode:
        sys.exit(f"{executable.name} {program}: exit code {done.returncode}")
    return json.loads(done.stdout)


def summarize(found: list[Any], threads: int) -> Row:
    seconds = sorted(s for one in found for s in one["seconds"])
    operations = found[0]["operations"]
    is_many = operations > 1
    median = statistics.median(seconds)
    return Row(
        library=found[0]["library"],
        median=median,
        p99=seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))],
        cpu=statistics.median(one["cpu"] for one in found),
        megabytes=max(one["megabytes"] for one in found),
        per_task=median * threads / operations * 1e9 if is_many else None,
        unit=found[0]["unit"],
    )


def amount(value: float, unit: str) -> str:
    return f"{value:.0f} {unit}" if unit == "switches" else duration(value)


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


HEAD = [
    "| program | library | median | p99 | CPU s | peak MB | thread-ns a task | ratio |",
    "|:---|:---|---:|---:|---:|---:|---:|---:|",
]


def lines(program: str, rows: list[Row]) -> list[str]:
    """Of the table, for one program: ours first, with the others' ratios to it."""
    ours = next(row.median for row in rows if row.library == OURS)
    found = []
    for row in rows:
        per_task = f"{row.per_task:.1f}" if row.per_task else ""
        ratio = f"{row.median / ours:.2f}x" if ours else ""
        found.append(
            f"| {program if row.library == OURS else ''} | {row.library} "
            f"| {amount(row.median, row.unit)} | {amount(row.p99, row.unit)} "
            f"| {row.cpu:.4f} | {row.megabytes:.1f} | {per_task} | {ratio} |"
        )
    return found


def run(build: Path, program: str, threads: int, rounds: int, ahead: bool) -> list[Row]:
    executables = [build / "bench/peers" / f"peer_{name}" for name in LIBRARIES]
    executables = [path for path in executables if path.exists()]
    found: dict[str, list[Any]] = {path.name: [] for path in executables}
    for _ in range(rounds):
        for path in executables:
            one = measure(path, program, threads, PROGRAMS[program], ahead)
            if one:
                found[path.name].append(one)
    return [summarize(one, threads) for one in found.values() if one]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("programs", nargs="*", help=f"of {', '.join(PROGRAMS)}")
    parser.add_argument("--build", type=Path, default=Path("build-peers"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--ahead",
        action="store_true",
        help="with a real-time priority, which needs root",
    )
    args = parser.parse_args()
    if unknown := set(args.programs) - PROGRAMS.keys():
        parser.error(f"no program is called {', '.join(sorted(unknown))}")
    load = "ahead of others" if args.ahead else f"load {os.getloadavg()[0]:.1f}"
    print(
        f"{args.threads} threads, {args.rounds} rounds, {platform.machine()}, {load}\n"
    )
    print(*HEAD, sep="\n")
    for program in args.programs or PROGRAMS:
        ahead = args.ahead and program not in NEVER_AHEAD
        rows = run(args.build, program, args.threads, args.rounds, ahead)
        print(*lines(program, rows), sep="\n", flush=True)


if __name__ == "__main__":
    main()
