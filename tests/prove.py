"""The long tier: everything that shows that the scheduler is right, and a page of it.

    spin prove                               some hours
    spin prove --quick                       all of it in some twenty minutes
    spin prove --only coverage               one step; the others stay as they were
    spin prove --more 60                     an hour of new seeds, and of soaking

Each step is a command; what it printed last is its result, kept in build-c/proof.json.
From all that is there, docs/proof.md is written. A step that fails is in the page as
well, and ends the program with 1.

What `--more` has run is added to docs/proof-runs.csv, a line a run with its commit and
its seeds; the page has the sum. No two runs of a commit share a seed.
"""

import argparse
import csv
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/proof.md"
RESULTS = ROOT / "build-c/proof.json"
RUNS = ROOT / "docs/proof-runs.csv"
SIM = "build-c/tests/sim/sim"
SOAK = "build-c/tests/c/stress_soak"

HEAD = """# What the scheduler has been put through

Written by `spin prove`; not to be edited. {compiler}, {cpus} CPUs ({machine}).

The simulator, `tests/sim`, runs the scheduler's sources on user-level threads, on a
memory as weak as C11 allows; a schedule is one interleaving, from a scenario's start to
its end. `tests/sim/README.md` says what that covers, and what it does not.

| step | result | time | when, which commit |
|---|---|---:|---|
"""


# Commits whose soak would have seen a frame that was lost, and not one called twice.
OLDER = {"5934bfc", "d63f046", "715d1fe", "9ebb25f", "8c71ee2", "fc7f89e"}
BEFORE = (
    " Up to 8c71ee2 the soak would have seen a frame that was lost, not one that was "
    "called twice; tasks, and frames since, which makes {:,}, were each seen to run "
    "exactly once."
)


def run(command, env=None):
    """Run a command; returns whether it succeeded, what it printed, and the time."""
    print("$", command, flush=True)
    start = time.monotonic()
    result = subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env=os.environ | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(result.stdout[-2000:], flush=True)
    return result.returncode == 0, result.stdout, time.monotonic() - start


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def steps(args):
    """Name, command, environment, and the lines of its output that are kept."""
    python = sys.executable
    coverage = "build-coverage"
    bound = 3 if args.quick else 5
    yield (
        "litmus tests, every schedule within a bound",
        f"{SIM} --litmus --search {bound} --stale {bound} --schedules 100000000",
        {},
    )
    yield (
        "scenarios at random",
        f"{SIM} --base {args.base} --schedules {int(args.schedules)}",
        {},
    )
    yield (
        f"scenarios, every schedule within {2 - args.quick} preemptions",
        f"{SIM} --search {2 - args.quick} --schedules {int(args.schedules / 5)}",
        {},
    )
    yield "planted errors", f"{python} tests/sim/twins.py build-c", {}
    rounds = "--rounds 1 " if args.quick else ""
    mutants = f"{python} tests/sim/mutants.py {rounds}{SIM}"
    for folder in ("csrc", "pyx"):
        yield f"orders one step weaker, `{folder}`", f"{mutants} --only {folder}/", {}
    for build in ("c", "tsan", "posix"):
        factor = args.soak if build == "c" else max(args.soak / 20, 0.1)
        yield (
            f"soak, build `{build}`",
            f"build-{build}/tests/c/stress_soak",
            {"STRESS": str(factor), "TSAN_OPTIONS": "halt_on_error=1"},
        )
    yield (
        "coverage by the C tests and the simulator",
        f"meson test -C {coverage} --suite unit --suite stress >/dev/null; "
        f"{coverage}/tests/sim/sim --schedules 300000 >/dev/null; "
        f"{python} tests/coverage.py {coverage}",
        {},
    )
    yield "MC/DC, by the C tests", f"{python} tests/mcdc.py build-mcdc", {}


def summary(name, ok, text):
    if name.startswith("coverage"):
        line = re.search(r"^all +(.*?) +(\d\S* % of \d+)$", text, re.M)
        result = f"lines {line[1]}, branches {line[2]}" if line else last_line(text)
    else:
        result = last_line(text)
    return result if ok else f"**fails**: {result}"


def details(name, text):
    """What stands below the table."""
    if name.startswith("orders"):
        yield f"## Orders in {name.partition(' `')[2][:-1]} that no scenario needs"
        yield (
            "Weakened by one step, these were not noticed. Here is why they stay; what "
            "they are for is in the comment at each and in `csrc/sched/README.md`. "
            "Open: the proof there needs it, and no scenario shows it yet."
        )
        lines = re.findall(r"^survived +(.*)\n +(.*)$", text, re.M)
        yield "\n".join(f"- `{where}`: {why}" for where, why in lines) or "None."
    if name.startswith("coverage"):
        yield "## Lines and branches that no test reaches"
        left = text.partition("Not reached:\n")[2]
        pairs = re.findall(r"^  (\S+): (line|branch): (.*)\n +(.*)$", left, re.M)
        yield "\n".join(
            f"- `{where}` ({kind}) `{code.strip('`')}`"
            + (f": {why}" if why != "?" else "")
            for where, kind, code, why in pairs
        )
    if name.startswith("MC/DC"):
        yield "## Conditions that no test shows to matter"
        left = text.partition("Not shown to matter:\n")[2]
        pairs = re.findall(r"^  (\S+): (condition.*?): (.*)\n +(.*)$", left, re.M)
        yield "\n".join(
            f"- `{where}` ({which}) `{code}`: {why}"
            for where, which, code, why in pairs
        )


def more(minutes, commit):
    """Runs of new seeds and of soaking, in turn, each a line in the ledger."""
    first = max(
        (int(run["seed"]) + int(run["count"]) for run in runs("sim")), default=1
    )
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        for kind, command, found in (
            ("sim", f"{SIM} --base {first} --schedules 1000000", r"^(\d+) s\w+, (\d+)"),
            ("soak", f"STRESS=400 {SOAK}", r"^(\d+) tasks and (\d+)"),
        ):
            ok, text, seconds = run(command)
            match = re.search(found, last_line(text))
            if not ok or not match:
                return False
            count, also = match.groups()
            seed = first if kind == "sim" else 0
            line = [today(), commit, kind, seed, count, also, round(seconds)]
            with RUNS.open("a") as file:
                csv.writer(file, lineterminator="\n").writerow(line)
        first += int(runs("sim")[-1]["count"])  # a few more than asked for
    return True


def runs(kind):
    lines = csv.DictReader(RUNS.open()) if RUNS.exists() else []
    return [line for line in lines if line["kind"] == kind]


def in_all():
    """The sum of the ledger, as a paragraph."""
    seeds = defaultdict(list)
    for one in runs("sim"):
        seeds[one["commit"]].append((int(one["seed"]), int(one["count"])))
    for commit, ranges in seeds.items():
        ranges.sort()
        for (seed, count), (following, _) in pairwise(ranges):
            if seed + count > following:
                sys.exit(f"{RUNS}: {commit} has run seed {following} twice")
    sums = {
        kind: [sum(int(one[key]) for one in runs(kind)) for key in ("count", "also")]
        for kind in ("sim", "soak")
    }
    commits = dict.fromkeys(one["commit"] for one in runs("sim") + runs("soak"))
    counted = sums["soak"][0] + sum(
        int(one["also"]) for one in runs("soak") if one["commit"] not in OLDER
    )
    return (
        f"At commits {', '.join(commits)}: "
        "{:,} schedules of {:,} steps, no two with the same seed; "
        "{:,} tasks and {:,} frames, each of them once. No failure.{}"
    ).format(*sums["sim"], *sums["soak"], BEFORE.format(counted))


def today():
    return datetime.now(UTC).strftime("%Y-%m-%d")


def output(command):
    return run(command)[1].strip()


def write_page(results, names):
    page = HEAD.format(
        compiler=output("cc --version").splitlines()[0],
        cpus=len(os.sched_getaffinity(0)),
        machine=platform.machine(),
    )
    below = []
    for name in [name for name in names if name in results]:
        ok, text, seconds, when = results[name]
        page += f"| {name} | {summary(name, ok, text)} | {seconds:.0f} s | {when} |\n"
        below += details(name, text)
    if RUNS.exists():
        below = ["## Runs added up", in_all(), *below]
    PAGE.write_text("\n\n".join([page.rstrip("\n"), *below]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=float, default=1e8)
    parser.add_argument("--base", type=int, default=time.time_ns() // 10**9)
    parser.add_argument("--soak", type=float, default=1000.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="steps with this in their name")
    parser.add_argument("--more", type=float, default=0, help="minutes")
    args = parser.parse_args()
    if args.quick:
        args.schedules, args.soak = 1e6, 1.0
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    commit = output("git rev-parse --short HEAD")
    failed = args.more > 0 and not more(args.more, commit)
    for name, command, env in steps(args):
        if args.only not in name or args.more > 0:
            continue
        ok, text, seconds = run(command, env)
        failed |= not ok
        when = f"{today()}, {commit}"
        results[name] = ok, text, seconds, when
        RESULTS.write_text(json.dumps(results))
    write_page(results, [step[0] for step in steps(args)])
    return failed


if __name__ == "__main__":
    sys.exit(main())
