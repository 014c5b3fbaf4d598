"""Runs the catalogue of faults on both libraries and writes docs/scoreboard.md.

python -P tests/py/faults/scoreboard.py
"""

import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from catalogue import PARTS, NotPermittedError, scenarios

PAGE = Path(__file__).parents[3] / "docs" / "scoreboard.md"

HEADINGS = {
    "callbacks": "Callbacks that misbehave",
    "calls": "Calls that misbehave",
    "reentry": "Calls from signal handlers, finalizers, callbacks, workers",
    "timeouts": "Odd timeouts",
    "resources": "No memory, no threads",
    "lifetimes": "Lifetimes",
    "fork": "fork()",
    "ends": "Exit and Ctrl-C",
    "scarce": "Little CPU time",
}

INTRODUCTION = """\
# Scoreboard

What goes wrong in programs, and what becomes of the executor then.
Each line is a program of its own, run by both executors; one that is not over after
{timeout} seconds counts as hanging.
The page is written by `tests/py/faults/scoreboard.py`; the same programs are tests of
stealpool.

CPython {version}: of {total} scenarios, {ours} hold with `stealpool.Executor` and
{theirs} with `concurrent.futures.ThreadPoolExecutor`.
"""


def in_words(outcome):
    """What the table says of an outcome: one line, without what is not the point."""
    if outcome is None:
        return "✓"
    first, *_ = outcome.split(":\n")
    last = outcome.strip().splitlines()[-1] if "Traceback" in outcome else first
    words = last.removeprefix("AssertionError: ").replace("|", "\\|")
    if words in ("TimeoutError", "waited for ever"):
        words = "never ends"
    return f"✗ {words[:90]}"


def main(timeout=20):
    rows, held = {part: [] for part in PARTS}, [0, 0]
    for scenario in scenarios():
        outcomes = []
        for which, library in enumerate(("stealpool", "concurrent.futures")):
            try:
                outcome = scenario.run(library, timeout)
            except NotPermittedError as error:
                outcomes.append(f"({error})")
                continue
            held[which] += outcome is None
            outcomes.append(in_words(outcome))
        print(scenario.name, *outcomes, sep=" | ", flush=True)
        rows[scenario.part].append(f"| {scenario.claim} | {' | '.join(outcomes)} |")
    text = INTRODUCTION.format(
        timeout=timeout,
        version=platform.python_version(),
        total=sum(map(len, rows.values())),
        ours=held[0],
        theirs=held[1],
    )
    for part, lines in rows.items():
        text += f"\n## {HEADINGS[part]}\n\n"
        text += "| scenario | ours | standard |\n|---|---|---|\n"
        text += "\n".join(lines) + "\n"
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
