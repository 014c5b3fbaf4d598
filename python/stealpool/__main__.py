"""The command line: ``python -m stealpool {info,compare}``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from . import _core, show_config

_PEERS = ("numpy", "scipy", "opencv-python-headless", "numba", "joblib", "pillow")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stealpool",
        description="A work-stealing thread pool for native kernels.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    info = commands.add_parser(
        "info", help="versions, CPUs, quota, instruction set, build options"
    )
    info.set_defaults(run=_info)
    compare = commands.add_parser(
        "compare", help="run the same work on stealpool and on its peers, here and now"
    )
    compare.add_argument(
        "--image", metavar="PATH", help="photograph to blur (needs Pillow)"
    )
    compare.add_argument(
        "--plot", metavar="FILE.png", help="draw the table (needs matplotlib)"
    )
    compare.add_argument("--json", metavar="FILE", help="write the numbers")
    compare.add_argument(
        "--quick", action="store_true", help="small jobs, few rounds: only a trial"
    )
    compare.set_defaults(run=_compare)
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


def _info(options: argparse.Namespace) -> int:
    show_config()
    print()
    for package in _PEERS:
        print(f"{package:<22}  {_version(package)}")
    return 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> str:
    config = _core.build_config()
    affinity = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return (
        f"{_processor()}, {config['usable_cpus']} usable CPUs (not pinned; "
        f"affinity {affinity}), {config['isa']}, {platform.python_implementation()} "
        f"{config['python']}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _report(words: str) -> None:
    """Progress: one line that is overwritten, or nothing if nobody looks."""
    if sys.stderr.isatty():
        print(f"\r\033[K{words[:78]}", end="", file=sys.stderr, flush=True)
    elif "round" not in words:
        print(words, file=sys.stderr, flush=True)


def _compare(options: argparse.Namespace) -> int:
    from .compare import run
    from .compare.photograph import ImageError
    from .compare.plot import PlotError, draw
    from .compare.table import as_json, lines

    machine = _machine()
    try:
        rows = run(options.quick, options.image, _report)
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)
        print(machine)
        print("Least of several interleaved rounds, unless it says median.")
        if options.quick:
            print("A quick trial: the numbers say little.")
        for line in lines(rows):
            print(line)
        if options.json:
            with open(options.json, "w") as file:
                json.dump(as_json(rows, {"machine": machine}), file, indent=1)
        if options.plot:
            draw(rows, options.plot, machine)
            print(f"\ndrawn: {options.plot}")
    except (ImageError, PlotError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if any(row.agrees is False for row in rows):
        print("error: results differ, see the table", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
