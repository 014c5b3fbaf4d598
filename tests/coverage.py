"""Lines and branches of csrc that the C tests reach; what they do not, with reasons.

    python tests/coverage.py build-coverage

Reads what gcov counted. A line with `assert` has branches that must not be taken, and
is left out; so is the way past all cases of a switch over an enum. A line that no test
can reach stands in `REASONS`, by a part of its text, and is listed with its reason.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["csrc/base", "csrc/sched", "csrc/par"]
# What there is, less a little for schedules that differ; the goals are 98 and 95.
WANTED = {"lines": 95.0, "branches": 91.0}

# (file, a part of the line, why no test of C reaches it)
KERNEL = "the kernel or the C library breaks its word"
NO_MEMORY = "malloc() itself fails; sp__alloc() is made to fail instead"
NO_THREADS = "the system is short of threads; the simulator refuses them instead"
FORK = "for the binding's fork handlers: tests/py/test_process.py"
REASONS = [
    ("os_linux.c", "", KERNEL),
    ("os_thread.c", "cannot be joined", KERNEL),
    ("os_thread.c", "abort()", KERNEL),
    ("os_thread.c", "pthread_join", KERNEL),
    ("os_thread.c", "if (!set)", NO_MEMORY),
    ("os_thread.c", "if (set)", NO_MEMORY),
    ("os_thread.c", "error", NO_THREADS),
    ("os_thread.c", "attempt", NO_THREADS),
    ("os_thread.c", "nanosleep", NO_THREADS),
    ("os_thread.c", "sp__free(start)", NO_THREADS),
    ("os_thread.c", "return false", NO_THREADS),
    ("os_thread.c", "sched_getaffinity", "more than 1024 CPUs"),
    ("os_thread.c", "bits", "more than 1024 CPUs"),
    ("os_thread.c", "CPU_", "more than 1024 CPUs"),
    ("os_thread.c", "errno != EINVAL", "more than 1024 CPUs"),
    ("os_thread.c", "online", "the affinity cannot be read"),
    ("memory.c", "if (memory)", NO_MEMORY),
    ("memory.c", "cas_weak", "two threads count down at once"),
    ("quota.c", "snprintf", "a path longer than the system allows"),
    ("quota.c", "PATH_MAX", "a path longer than the system allows"),
    ("quota.c", "", "a /proc that no kernel writes"),
    ("topology.c", "", "a /sys that no kernel writes"),
    ("lock.h", "", FORK),
    ("token.c", "", FORK),
]


def gcov(folder):
    """gcov's files, read as JSON, one for each object of the library."""
    library = (ROOT / folder).glob("csrc/libstealpool.a.p/*.gcda")
    simulated = (ROOT / folder).glob("tests/sim/libsim_library.a.p/*csrc*.gcda")
    for data in sorted([*library, *simulated]):
        command = ["gcov", "--json-format", "--stdout", "--branch-probabilities", data]
        result = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT / folder
        )
        for line in result.stdout.splitlines():
            yield from json.loads(line)["files"]


def counted(folder):
    """file -> line -> [times it ran, times of each of its branches]."""
    found = defaultdict(dict)
    for file in gcov(folder):
        path = (ROOT / folder / file["file"]).resolve()
        if not path.is_relative_to(ROOT):
            continue
        name = str(path.relative_to(ROOT))
        if not name.startswith(tuple(FOLDERS)):
            continue
        for line in file["lines"]:
            branches = [b["count"] for b in line["branches"] if not b["throw"]]
            entry = found[name].setdefault(line["line_number"], [0, []])
            entry[0] += line["count"]
            if len(branches) == len(entry[1]):
                entry[1] = [a + b for a, b in zip(entry[1], branches, strict=True)]
            else:
                entry[1] = max(entry[1], branches, key=len)
    return found


def reason_for(name, text):
    for file, part, reason in REASONS:
        if name.endswith(file) and part in text:
            return reason
    return None


def report(found):
    totals = {"lines": [0, 0], "branches": [0, 0]}
    missed = []
    print(f"{'':44} {'lines':>14} {'branches':>14}")
    for name in sorted(found):
        source = (ROOT / name).read_text().splitlines()
        lines, branches = [0, 0], [0, 0]
        for number, (count, taken) in sorted(found[name].items()):
            text = source[number - 1].strip()
            if re.search(r"\bassert\(", text):
                taken = []
            if text.startswith("switch (") and 0 in taken:
                taken.remove(0)  # no case fits: all values of an enum have one
            lines[0] += count > 0
            lines[1] += 1
            branches[0] += sum(n > 0 for n in taken)
            branches[1] += len(taken)
            if count == 0:
                missed.append((name, number, "line", text))
            elif 0 in taken:
                missed.append((name, number, "branch", text))
        print(f"{name:44} {percent(lines):>14} {percent(branches):>14}")
        for key, value in (("lines", lines), ("branches", branches)):
            totals[key][0] += value[0]
            totals[key][1] += value[1]
    all_lines, all_branches = percent(totals["lines"]), percent(totals["branches"])
    print(f"{'all':44} {all_lines:>14} {all_branches:>14}")
    return totals, missed


def percent(pair):
    return f"{100 * pair[0] / max(pair[1], 1):.1f} % of {pair[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="a build with -Db_coverage=true whose tests ran")
    args = parser.parse_args()
    totals, missed = report(counted(args.build))
    print("\nNot reached:")
    for name, number, kind, text in missed:
        reason = reason_for(name, text) or "?"
        print(f"  {name}:{number}: {kind}: {text[:60]}\n      {reason}")
    low = [key for key, (hit, of) in totals.items() if 100 * hit < WANTED[key] * of]
    for key in low:
        print(f"less than {WANTED[key]} % of the {key}")
    return bool(low)


if __name__ == "__main__":
    sys.exit(main())
