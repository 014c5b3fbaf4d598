"""Measure again, and write what came out into README.md and docs/.

    python bench/py/update_docs.py                    # all figures
    python bench/py/update_docs.py compare machine    # some of them

Run it on a machine that does nothing else, with the package and its `compare` extra
installed. What stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->` in a page
is replaced by what bench/py/NAME.py prints. `compare` is `python -m stealpool compare`:
a summary in README.md, a picture, and all of it in docs/benchmarks.md; `machine` is
`python -m stealpool info`; `peers` and `alone` are what bench/peers/run.py prints of
the programs that `spin peers` has built.
"""

import json
import re
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Loops are not among them: who calls one takes part, beside the one worker.
SPAWNING = ("fib", "skynet", "nqueens", "quadrature", "flat", "external-1")
README, BENCHMARKS = ROOT / "README.md", ROOT / "docs/benchmarks.md"
PICTURE = ROOT / "docs/img/compare.png"
MARKED = re.compile(r"(<!-- (\w+):begin -->\n).*?(<!-- \2:end -->\n)", re.S)


def printed(*command):
    """What a Python program prints; its complaints go to ours."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return done.stdout.strip("\n") + "\n"


def compare():
    """The text for each page, and the picture."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder) / "compare.json"
        options = ["--json", numbers, "--plot", PICTURE]
        text = printed("-m", "stealpool", "compare", *options)
        found = json.loads(numbers.read_text())
    text = re.sub(r"\ndrawn: .*\n", "", text)
    return {README: summary(found), BENCHMARKS: text}


def summary(found):
    """Of each job: our time, and that of the fastest peer."""
    lines = [
        "| job | stealpool | fastest peer | its time | ratio |",
        "|:---|---:|:---|---:|---:|",
    ]
    for job, group in groupby(found["rows"], key=lambda row: row["job"]):
        seconds = {row["way"]: row["seconds"] for row in group if row["seconds"]}
        names = {is_ours: [] for is_ours in (True, False)}
        for way in sorted(seconds, key=seconds.get):
            names[way.startswith("stealpool")].append(way)
        ours, peer = seconds[names[True][0]], seconds[names[False][0]]
        lines.append(
            f"| {job} | {duration(ours)} | {names[False][0]} | {duration(peer)} "
            f"| {peer / ours:.1f}x |"
        )
    return "\n".join([*lines, "", found["config"]["machine"] + ".", ""])


def duration(seconds):
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def figure(name):
    """The text of a figure, by page or for all pages."""
    if name == "compare":
        return compare()
    if name == "machine":
        return f"```text\n{printed('-m', 'stealpool', 'info')}```\n"
    if name == "peers":
        return printed("bench/peers/run.py", "--ahead")
    if name == "alone":
        return printed("bench/peers/run.py", "--ahead", "--threads", 1, *SPAWNING)
    return printed(f"bench/py/{name}.py")


def main(names):
    pages = {path: path.read_text() for path in (README, BENCHMARKS)}
    known = {match[2] for text in pages.values() for match in MARKED.finditer(text)}
    if unknown := set(names) - known:
        sys.exit(f"no page has a place for {unknown}; the figures are {sorted(known)}")
    for name in names or sorted(known):
        text = figure(name)
        for path, page in pages.items():
            new = text[path] if isinstance(text, dict) else text
            pages[path] = MARKED.sub(
                lambda match, name=name, new=new: (
                    match[1] + new + match[3] if match[2] == name else match[0]
                ),
                page,
            )
            path.write_text(pages[path])


if __name__ == "__main__":
    main(sys.argv[1:])
