"""Errors that the stress tests must find: each has a twin of the library with one.

    spin test-c --twins
    python tests/c/planted.py build-edges

The simulator finds its own (tests/sim/twins.py). A stress test, too, is worth something
only if it was seen to fail, and that of faults: for each, one error is planted into the
library, the test is linked with that, and run until it fails, hangs, or has passed
`RUNS` times.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/sim"))

from twins import TWINS, Twin  # noqa: E402

RUNS = 40
ASLEEP = 4  # looks, a second apart, at which every thread slept and none had worked
LIMIT = 60  # seconds; who burns them hangs as well

PLANTED = {twin.claim: twin for twin in TWINS}

# Which test, and the claim of a twin of the simulator's, or a twin of its own.
TESTS = [
    ("steal", "the last task is taken without asking the thieves"),
    ("steal", "a thief does not mind losing"),
    ("wakeup", "a worker sleeps without a last look"),
    ("shutdown", "who closes the pool wakes nobody"),
    ("shutdown", "a refused task keeps the pool's reference"),
    ("completion", "the bell rings only for a sleeper"),
    ("completion", "the consumer's sleep is overwritten in silence"),
    ("cancel", "a task is claimed without a compare-exchange"),
    ("cancel", "a ticket holds no reference"),
    ("loop", "a region is left while somebody is inside"),
    ("loop", "two take the same piece of a loop"),
    ("frame", "an owner takes a shown frame back without asking"),
    ("frame", "a stolen frame's end is not rung for"),
    ("soak", "a push into a full deque overwrites the oldest task"),
    (
        "soak",
        Twin(
            "a thief takes a frame that was taken",
            "sched/frame.c",
            "cas_weak_acquire(&victim->shown, &shown, shown + 1)",
            "cas_weak_acquire(&victim->shown, &shown, shown)",
        ),
    ),
    (
        "scarce",
        Twin(
            "the oldest never has its turn",
            "sched/worker.c",
            "    if (++worker->ticks % OLDEST_FIRST_EVERY == 0 &&",
            "    if (++worker->ticks % OLDEST_FIRST_EVERY == OLDEST_FIRST_EVERY &&",
        ),
    ),
    ("faults", "without threads the pool's memory is kept"),
    ("faults", "a worker that did not start counts as awake"),
    ("faults", "a frame's words are copied into no memory"),
]


def compile_commands(folder):
    text = subprocess.run(
        ["ninja", "-C", folder, "-t", "compdb"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {entry["output"]: entry["command"] for entry in json.loads(text)}


def build(folder, commands, test, twin, into):
    """The test on the twin; returns the program."""
    path = ROOT / "csrc" / twin.file
    text = path.read_text()
    if text.count(twin.old) != 1:
        sys.exit(f"{text.count(twin.old)} places in {path} look like: {twin.claim}")
    source = into / path.name
    source.write_text(text.replace(twin.old, twin.new))
    name = twin.file.replace("/", "_") + ".o"
    words = shlex.split(commands[f"csrc/libstealpool.a.p/{name}"])
    words[words.index("-o") + 1] = str(into / name)
    words[words.index("-c") + 1] = str(source)
    for option in ("-MF", "-MQ"):
        words[words.index(option) + 1] = str(into / "twin.d")
    words = [word for word in words if word != "-Werror"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    # The twin comes first, so its neighbour in the library is not linked.
    names = [f"tests/c/{kind}_{test}" for kind in ("stress", "test")]
    words = shlex.split(next(commands[name] for name in names if name in commands))
    program = into / test
    words[words.index("-o") + 1 : words.index("-o") + 2] = [str(program), into / name]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return program


def threads(process):
    """Of each thread its state and the time it has worked."""
    for stat in Path(f"/proc/{process}/task").glob("*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        yield fields[0], fields[11], fields[12]


def family(process):
    """A process and its children, for some tests fork."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue
        for child in found:
            yield from family(int(child))


def fate(program, seed):
    """How it ended: None when it passed."""
    end = time.monotonic() + LIMIT
    process = subprocess.Popen(
        [program],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"SEED": str(seed)},
        start_new_session=True,
    )
    before, looks = None, 0
    try:
        while True:
            try:
                _, complaint = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                pass
            now = [thread for one in family(process.pid) for thread in threads(one)]
            is_asleep = all(state == "S" for state, *_ in now)
            looks = looks + 1 if is_asleep and now == before else 0
            before = now
            if looks >= ASLEEP:
                return "hangs, asleep"
            if time.monotonic() > end:
                return "hangs, busy"
    finally:
        if process.poll() is None:
            for one in reversed(list(family(process.pid))):
                subprocess.run(["kill", "-KILL", str(one)], check=False)
            process.wait()
    if process.returncode == 0:
        return None
    lines = complaint.strip().splitlines() or [f"signal {-process.returncode}"]
    return lines[0].removeprefix("../")


def check(folder, commands, test, twin):
    """Whether it is caught, and a line about it."""
    with tempfile.TemporaryDirectory() as into:
        program = build(folder, commands, test, twin, Path(into))
        for run in range(1, RUNS + 1):
            how = fate(program, run)
            if how:
                return True, f"run {run}: {how}"
    return False, f"has passed {RUNS} times"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="where meson has built the tests")
    parser.add_argument("--only", default="", help="a part of the test or claim")
    args = parser.parse_args()
    folder = Path(args.build).resolve()
    commands = compile_commands(folder)
    missed = done = 0
    for test, error in TESTS:
        twin = error if isinstance(error, Twin) else PLANTED[error]
        if args.only not in f"{test}: {twin.claim}":
            continue
        caught, line = check(folder, commands, test, twin)
        done += 1
        missed += not caught
        verdict = "caught" if caught else "MISSED"
        print(f"{verdict}  {test}: {twin.claim}\n        {line}", flush=True)
    print(f"{done - missed} of {done} twins caught")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
