"""MC/DC of csrc: of each decision of several conditions, which were shown to matter.

    spin coverage --mcdc

A condition counts when two runs of its decision differ in it, in the outcome, and in
nothing else that was looked at. Needs clang and LLVM's tools, 18 or later, all of one
version; prints a table, and what was not shown, with the reason in `coverage.REASONS`.
The simulator, which gcc compiles, does not take part.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from coverage import reason_for

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["csrc/base", "csrc/sched", "csrc/par"]
FLAGS = "-fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc -DSP_MCDC"
OPTIONS = [
    "-Dpython=disabled",
    "-Dbuildtype=debug",
    "-Ddeque_capacity=4",
    "-Dchaos=true",
    f"-Dc_args={FLAGS}",
    "-Dc_link_args=-fprofile-instr-generate",
]


def newest():
    """The ending of the names of the newest tools that are all there, or None."""
    for version in range(40, 17, -1):
        names = [f"{name}-{version}" for name in ("clang", "llvm-profdata", "llvm-cov")]
        if all(map(shutil.which, names)):
            return f"-{version}"
    return None


def run(*command, env=None):
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=ROOT, env=os.environ | (env or {}), check=True, stdout=sys.stderr
    )


def tests(folder):
    words = ["meson", "introspect", "--tests", str(folder)]
    listing = subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    for test in json.loads(listing.stdout):
        program = Path(test["cmd"][0])
        if program.parent.name == "c" and "headers" not in program.name:
            yield test["name"], program


def measure(folder, version):
    """LLVM's report on the C tests, as JSON: one entry a file."""
    if not (folder / "build.ninja").exists():
        run("meson", "setup", folder, *OPTIONS, env={"CC": f"clang{version}"})
    profiles = folder / "profiles"
    shutil.rmtree(profiles, ignore_errors=True)
    found = dict(tests(folder))
    env = {"LLVM_PROFILE_FILE": str(profiles / "%4m.profraw")}
    run("meson", "test", "-C", folder, "--print-errorlogs", *found, env=env)
    data = folder / "all.profdata"
    run(f"llvm-profdata{version}", "merge", "-o", data, *profiles.glob("*.profraw"))
    first, *others = found.values()
    objects = [word for program in others for word in ("-object", program)]
    words = [
        *(f"llvm-cov{version}", "export", "-skip-functions", "-skip-expansions"),
        *("-instr-profile", data, first, *objects, "-sources", *FOLDERS),
    ]
    report = subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    return json.loads(report.stdout)["data"][0]["files"]


def decisions(file):
    """Line, its text, and for each condition whether it was shown; without asserts.
    A decision in a header may be in several programs: the best counts."""
    source = Path(file["filename"]).read_text().splitlines()
    best = {}
    for line, column, *_, conditions in file["mcdc_records"]:
        text = source[line - 1].strip()
        if "assert(" not in text:
            place = line, column
            before = best.get(place, (line, text, [False] * len(conditions)))[2]
            shown = [a or b for a, b in zip(before, conditions, strict=True)]
            best[place] = line, text, shown
    return sorted(best.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="build-mcdc", type=Path)
    folder = ROOT / parser.parse_args().folder
    version = newest()
    if version is None:
        print(
            "MC/DC: not measured, for there is no clang with LLVM's tools, 18 or later"
        )
        return 0
    files = measure(folder, version)
    total, missed = [0, 0], []
    for file in files:
        name = str(Path(file["filename"]).relative_to(ROOT))
        shown = 0
        of = 0
        for line, text, conditions in decisions(file):
            shown += sum(conditions)
            of += len(conditions)
            which = [str(i + 1) for i, ok in enumerate(conditions) if not ok]
            if which:
                missed.append(f"  {name}:{line}: condition {', '.join(which)}: {text}")
                missed.append(f"      {reason_for(name, text) or '?'}")
        if of:
            print(f"{name:44} {100 * shown / of:5.1f} % of {of}")
        total = [total[0] + shown, total[1] + of]
    percent = 100 * total[0] / max(total[1], 1)
    print("\nNot shown to matter:", *missed, sep="\n")
    print(f"\nMC/DC, clang{version}: {percent:.1f} % of {total[1]} conditions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
