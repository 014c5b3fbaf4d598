"""Weaken each ordered access by one step, and see whether the simulator notices.

    python tests/sim/mutants.py build-c/tests/sim/sim

A mutant needs no compiler: the simulator knows each access by its place in the
program, and `--weaken=PLACE=ORDER` gives it another order. A mutant that survives all
schedules is a question: can its access be weakened for good? Where it is not, the
comment at the access says why, after "Kept". What is needed only for executions that
the simulator does not have is shown by a litmus test in tests/models/rc11.py. The
others are open: nothing shows yet what they are for.
"""

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/models"))

import rc11  # noqa: E402

RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST = 0, 2, 3, 4, 5
NAMES = {0: "relaxed", 2: "acquire", 3: "release", 4: "acq_rel", 5: "seq_cst"}

# One step down, by what the access is: load, store, read-modify-write.
WEAKER = {
    ("l", SEQ_CST): [ACQUIRE],
    ("l", ACQUIRE): [RELAXED],
    ("s", SEQ_CST): [RELEASE],
    ("s", RELEASE): [RELAXED],
    ("r", SEQ_CST): [ACQ_REL],
    ("r", ACQ_REL): [ACQUIRE, RELEASE],
    ("r", ACQUIRE): [RELAXED],
    ("r", RELEASE): [RELAXED],
}

# So many schedules of the scenarios that reach the access; the next number is tried on
# those that survived.
ROUNDS = [10_000, 100_000]

ORDERS = r"(?:seq_cst|acquire|acq_rel|release)"
ACCESS = re.compile(rf"\b(?:load|store|exchange|fetch_\w+|cas\w*)_{ORDERS}\(")


@dataclass
class Access:
    """An access in the sources, and where the compiler put it."""

    file: str
    line: int
    nth: int  # of the ordered accesses in this line
    kind: str
    order: int
    function: str
    places: list = field(default_factory=list)
    scenarios: set = field(default_factory=set)

    def __str__(self):
        nth = f" ({self.nth + 1}.)" if self.nth else ""
        return f"{self.file}:{self.line}{nth} {self.function}"


def run(program, *args):
    words = [str(word) for word in (program, *args)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def places(program):
    """Where the compiler put accesses: kind, order, and who gets there."""
    found = {}
    for scenario in run(program, "--list").stdout.splitlines():
        if scenario.startswith("litmus "):
            continue
        listing = run(program, "--schedules", 3000, "--sites", scenario)
        if listing.returncode:
            sys.exit(listing.stderr)
        site = r"^site (0x[0-9a-f]+) (\w) (\d)$"
        for place, kind, order in re.findall(site, listing.stdout, re.M):
            key = int(place, 16), kind, int(order)
            found.setdefault(key, set()).add(scenario)
    return found


def accesses(program):
    """All accesses of csrc and pyx that the scenarios reach."""
    sites = places(program)
    command = ["addr2line", "-fe", program, *(hex(site[0] - 1) for site in sites)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = lines.stdout.splitlines()
    in_line = defaultdict(list)
    for site, function, where in zip(sites, lines[::2], lines[1::2], strict=True):
        path, _, line = where.partition(":")
        match = re.search(r"/((?:csrc|pyx)/[^/].*)$", path)
        if match:
            in_line[match[1], int(line.split()[0]), function].append(site)
    found = {}
    for (file, line, function), several in in_line.items():
        text = (ROOT / file).read_text().splitlines()[line - 1]
        in_source = max(1, len(ACCESS.findall(text)))
        for i, site in enumerate(sorted(several)):
            nth = i % in_source  # a function in a header is in several objects
            place, kind, order = site
            access = Access(file, line, nth, kind, order, function)
            access = found.setdefault((file, line, nth), access)
            access.places.append(place)
            access.scenarios |= sites[site]
    return [found[key] for key in sorted(found)]


def mutants(program):
    for access in accesses(program):
        for order in WEAKER.get((access.kind, access.order), []):
            yield access, order


def killer(program, access, order, schedules):
    """What notices the mutant, or None."""
    weaken = [f"--weaken={place:#x}={order}" for place in access.places]
    result = run(program, "--schedules", schedules, *weaken, *sorted(access.scenarios))
    if result.returncode == 0:
        return None
    scenario = re.search(r"^ +scenario (\w+),", result.stderr, re.M)
    what = re.search(r"^sim: (.*)$", result.stderr, re.M)
    if not scenario or not what:
        sys.exit(f"{access}: {result.stderr}")
    return f"{scenario[1]}: {what[1]}"


def source_line(access):
    return (ROOT / access.file).read_text().splitlines()[access.line - 1].strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the file's name")
    parser.add_argument("--rounds", type=int, default=len(ROUNDS))
    args = parser.parse_args()

    left = [(a, o) for a, o in mutants(args.program) if args.only in a.file]
    total = len(left)
    for schedules in ROUNDS[: args.rounds]:
        left = survivors(args, left, schedules)
    unexplained = 0
    modelled = rc11.needed()
    for access, order in list(left):
        tag = shown_by_model(modelled, access, order)
        if tag:
            left.remove((access, order))
            change = f"{NAMES[access.order]} -> {NAMES[order]}"
            print(f"killed    {access}: {change} by tests/models/rc11.py: {tag}")
    for access, order in left:
        reason = reason_to_keep(access)
        unexplained += reason is None
        print(f"survived  {access}: {NAMES[access.order]} -> {NAMES[order]}")
        print(f"              {reason or 'open'}")
    kept = len(left) - unexplained
    killed = total - len(left)
    print(f"{killed} of {total} killed, {kept} kept for a reason, {unexplained} open")
    return 0


def shown_by_model(modelled, access, order):
    """The tag of a litmus test that needs this access as it is. The model may ask for
    less than the sources have, but not the mutant for less than the model."""
    text = source_line(access)
    for (file, function, part, has, weaker), tag in modelled.items():
        if (
            access.file.endswith(file)
            and function in access.function
            and part in text
            and rc11.is_at_most(NAMES[order], has, weaker)
        ):
            return tag
    return None


def comment_at(lines, at):
    """Above the statement that has line `at`, or beside it."""
    first = at
    while not re.search(r"(\*/|[;{}])$", lines[first - 1]):  # folded
        first -= 1
    words = lines[at]
    while "/*" not in words and re.search(r"^ *(/\*|\* )|\*/$", lines[first - 1]):
        first -= 1
        words = f"{lines[first].strip().removeprefix('* ')} {words}"
    return words


def reason_to_keep(access):
    """What the comment at the access says, after "Kept"."""
    lines = (ROOT / access.file).read_text().splitlines()
    comment = comment_at(lines, access.line - 1)
    kept = re.search(r"\bKept\b.*?: (.*?)\.? ?\*/", comment)
    return kept and kept[1]


def survivors(args, left, schedules):
    """Those of `left` that are not killed; the others are reported."""
    with ThreadPoolExecutor(args.jobs) as threads:
        tasks = [
            threads.submit(killer, args.program, access, order, schedules)
            for access, order in left
        ]
        survived = []
        for (access, order), task in zip(left, tasks, strict=True):
            by = task.result()
            if by is None:
                survived.append((access, order))
                continue
            change = f"{NAMES[access.order]} -> {NAMES[order]}"
            print(f"killed    {access}: {change} by {by}", flush=True)
    return survived


if __name__ == "__main__":
    sys.exit(main())
