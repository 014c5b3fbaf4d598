"""Runs Python tests again and again, and names those that leave something behind.

    python -P tests/leaks.py                         # what submits, waits, cancels
    python -P tests/leaks.py tests/py/test_view.py   # pytest's arguments

Each test is run with its fixtures, some times to warm up and then RUNS times. Counted
after each: blocks of Python's allocator, references to what everybody has (None, True,
the classes of the library), and bytes in use of malloc(), where cells and pools lie. A
test leaks if one of these grows in every run; a
suspect gets as many runs again before it is named. Tests that start programs of their
own are left out: what those leave behind ends with them.

This is `regrtest -R` for a release build of Python.
"""

import ctypes
import gc
import os
import re
import sys
import threading
import time
from array import array
from itertools import pairwise

import pytest
from _pytest.runner import runtestprotocol

WARM_UPS, RUNS = 6, 8

CORE = [
    f"tests/py/test_{name}.py"
    for name in (
        "admission",
        "batch",
        "buffers",
        "drainer",
        "executor",
        "future",
        "lane",
        "mapping",
        "ranges",
        "token",
        "view",
        "waiting",
    )
]

# They run programs of their own; pytest keeps the records of what was logged.
OTHERS = {"run_python", "program", "caplog"}


class Usage(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Usage


def bytes_in_use():
    """Of malloc(), in all arenas; what a thread keeps for itself counts as used."""
    usage = mallinfo()
    return usage.uordblks + usage.hblkhd


def references():
    """To what everybody has."""
    import stealpool

    shared = (None, True, stealpool.Future, stealpool.Executor, stealpool.Kernel)
    return sum(map(sys.getrefcount, shared))


COUNTS = {
    "blocks": sys.getallocatedblocks,
    "references": references,
    "bytes of malloc()": bytes_in_use,
}


TASKS = "/proc/self/task"


def threads():
    """Those that end with an executor: no drainer, deputy or pool of the process."""
    lasting = {
        t.native_id for t in threading.enumerate() if t.name.startswith("stealpool-d")
    }
    return {
        task
        for task in map(int, os.listdir(TASKS))
        if task not in lasting and not re.fullmatch(rb"stealpool-\d+\n", name_of(task))
    }


def name_of(task):
    """Of a thread; files of Python's leave blocks behind for a while."""
    try:
        file = os.open(f"{TASKS}/{task}/comm", os.O_RDONLY)
    except OSError:  # it has just ended
        return b""
    try:
        return os.read(file, 100)
    except OSError:
        return b""
    finally:
        os.close(file)


def rest(before):
    """Executors end in their own time after the test: wait until their threads have.

    What stays is a leak, which the counts show.
    """
    deadline = time.monotonic() + 5
    while threads() - before and time.monotonic() < deadline:
        gc.collect(0)
        time.sleep(0.001)  # sleep: nobody tells of the end of a native thread


class Again:
    """To pytest, the next test: of the same module, so that its fixtures stay."""

    def __init__(self, item):
        self.chain = item.listchain()[:-1]

    def listchain(self):
        return self.chain


def is_of_a_test(finalizer):
    """Of a fixture that was made for one test, and has ended with it."""
    fixture = getattr(getattr(finalizer, "func", None), "__self__", None)
    return getattr(fixture, "scope", None) == "function"


def forget_what_pytest_keeps(item):
    """Fixtures that outlive a test keep the finalizers of those that have used them."""
    for fixtures in item._fixtureinfo.name2fixturedefs.values():
        for fixture in fixtures:
            left = [each for each in fixture._finalizers if not is_of_a_test(each)]
            fixture._finalizers[:] = left
    for plugin in item.config.pluginmanager.get_plugins():
        getattr(plugin, "_arrays_of_gates", []).clear()  # which are kept for good


def growing(item, runs):
    """What has grown in every run: its name, and by how much; None: it failed."""
    seen = {name: array("q", [0]) * (runs + 1) for name in COUNTS}
    again = Again(item)
    before = threads()
    for i in range(runs + 1):
        reports = runtestprotocol(item, nextitem=again, log=False)
        if not all(report.passed for report in reports):
            return None
        del reports
        rest(before)
        forget_what_pytest_keeps(item)
        for _ in range(3):
            gc.collect()
        for name, count in COUNTS.items():
            seen[name][i] = count()
    steps = {
        name: [after - before for before, after in pairwise(counts)]
        for name, counts in seen.items()
    }
    return {name: each for name, each in steps.items() if min(each) > 0}


class Leaks:
    def __init__(self):
        self.found = {}
        self.n_tests = 0

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if not OTHERS & set(item.fixturenames)]

    def pytest_collection_finish(self):
        gc.freeze()  # what is here now, a collector need not look at each time

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        for report in runtestprotocol(item, nextitem=Again(item), log=False):
            item.ihook.pytest_runtest_logreport(report=report)
        # A test that fails when it is run again, for what it was given is used up,
        # says nothing.
        grown = growing(item, WARM_UPS) is not None and growing(item, RUNS)
        if grown:
            again = growing(item, RUNS) or {}
            grown = {name: again[name] for name in grown.keys() & again.keys()}
        if grown:
            self.found[item.nodeid] = grown
        self.n_tests += 1
        item.session._setupstate.teardown_exact(nextitem)
        return True


def main(arguments):
    leaks = Leaks()
    status = pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=[leaks])
    for name, grown in leaks.found.items():
        print(f"{name} leaves behind, each time: {grown}")
    times = WARM_UPS + RUNS
    print(
        f"{leaks.n_tests} tests, {times} times each and more: {len(leaks.found)} leak"
    )
    return status or bool(leaks.found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or CORE))
