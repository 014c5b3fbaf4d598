"""What the benchmarks share: interleaved rounds, pinning, a table, the command line."""

import argparse
import ctypes
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import stealpool


class Best(NamedTuple):
    seconds: float
    result: Any


class Rounds(NamedTuple):
    seconds: list[float]
    result: Any


def rounds_of(rounds: int, calls: Mapping[str, Callable[[], Any]]) -> dict[str, Rounds]:
    """The seconds of each call in each round, and its last result.

    The calls take turns in every round, so that a slow moment of the machine meets all
    of them. Each is called once more, before all, to warm up.
    """
    found = {name: Rounds([], None) for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            result = call()
            found[name].seconds.append(time.perf_counter() - start)
            found[name] = found[name]._replace(result=result)
    return found


def best(rounds: int, calls: Mapping[str, Callable[[], Any]]) -> dict[str, Best]:
    """The least seconds of each call, and its last result; see rounds_of()."""
    found = rounds_of(rounds, calls)
    return {
        name: Best(min(seconds), result) for name, (seconds, result) in found.items()
    }


def pin(main_cpus: Iterable[int], other_cpus: Iterable[int]) -> None:
    """Pin this thread, and all other threads of the process that there are by now."""
    this = threading.get_native_id()
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(ProcessLookupError):  # has ended meanwhile
            os.sched_setaffinity(thread, main_cpus if thread == this else other_cpus)


@contextmanager
def busy_thread(call: Callable[[], object] | None = None) -> Iterator[None]:
    """A thread that runs Python code all the time; or `call`, again and again."""
    is_over = False

    def count() -> None:
        n = 0
        while not is_over:
            n += 1
            if call:
                call()

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        is_over = True
        thread.join()


def libm_cos() -> Any:
    """The ctypes function; as users get it, it releases the GIL."""
    cos = ctypes.CDLL("libm.so.6").cos
    cos.restype, cos.argtypes = ctypes.c_double, [ctypes.c_double]
    return cos


def headline(pinning: str = "unpinned") -> None:
    """Print what the numbers below depend on."""
    config = stealpool._core.build_config()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [
            line.split(":", 1)[1].strip() for line in lines if "model name" in line
        ]
    except OSError:
        models = []
    print(
        f"stealpool {config['version']} ({config['build_type']}, {config['compiler']}, "
        f"{config['isa']}), {config['implementation']} {platform.python_version()}, "
        f"{models[0] if models else platform.machine()}, "
        f"{config['usable_cpus']} usable CPUs, {pinning}; "
        f"load {os.getloadavg()[0]:.1f}\n"
    )


def duration(seconds: float) -> str:
    for unit, scale in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1 or unit == "us":
            return f"{seconds * scale:.3g} {unit}"
    raise AssertionError


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print markdown."""
    lines = [list(header), ["---"] * len(header), *([str(v) for v in r] for r in rows)]
    for line in lines:
        print("| " + " | ".join(line) + " |")
    print(flush=True)


def compare(title: str, found: Mapping[str, Best], **numbers: Any) -> dict[str, Any]:
    """Print a table with the ratio to the first alternative; a record for --json."""
    seconds = {name: entry.seconds for name, entry in found.items()}
    ours = next(iter(seconds.values()))
    table(
        [title, "best", "ratio"],
        [(name, duration(s), f"{s / ours:.2f}x") for name, s in seconds.items()],
    )
    return {"title": title, "seconds": seconds, **numbers}


def arguments(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """``--rounds`` and ``--json``, which every script has."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=Path, help="write the numbers to this file, too")
    return parser


def save(path: Path | None, script: str, records: list[dict[str, Any]]) -> None:
    if path:
        content = {
            "script": Path(script).stem,
            "config": stealpool._core.build_config(),
            "records": records,
        }
        path.write_text(json.dumps(content, indent=1) + "\n")
