"""Runs Python tests again and again, and names those that leave something behind.

    python -P tests/leaks.py                         # what submits, waits, cancels
    python -P tests/leaks.py tests/py/test_view.py   # pytest's arguments

Each test is run with its fixtures, some times to warm up and then RUNS times. Counted
after each: blocks of Python's allocator, references to what everybody has (None, True,
the classes of the library), and bytes in use of malloc(), where cells and pools lie. A
test in which one of these has grown is a suspect, and gets 40 more runs to show whether
it goes on. Tests that start programs of their own are left out: what those leave behind
ends with them.

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
    """What was printed and logged; and fixtures that outlive a test keep the finalizers
    of those that have used them."""
    item._report_sections.clear()
    for fixtures in item._fixtureinfo.name2fixturedefs.values():
        for fixture in fixtures:
            left = [each for each in fixture._finalizers if not is_of_a_test(each)]
            fixture._finalizers[:] = left
    for plugin in item.config.pluginmanager.get_plugins():
        getattr(plugin, "_arrays_of_gates", []).clear()  # which are kept for good


def settle():
    """Let go of what is nobody's: garbage, and what CPython's caches hold on to.

    A lookup that misses keeps the name that was looked for, in a table of 4096 entries
    by its address. `asyncio.run()` looks up names that it has just put together, so it
    alone leaves a block or two behind, each time, until the table is full.
    """
    for _ in range(3):
        gc.collect()
    forget = getattr(sys, "_clear_internal_caches", None)  # from 3.13 on
    (forget or sys._clear_type_cache)()


def counts_after(item, runs):
    """What is counted after each of some runs, by its name; None: one failed."""
    seen = {name: array("q", [0]) * runs for name in COUNTS}
    again = Again(item)
    before = threads()
    for i in range(runs):
        reports = runtestprotocol(item, nextitem=again, log=False)
        if not all(report.passed for report in reports):
            return None
        del reports
        rest(before)
        forget_what_pytest_keeps(item)
        settle()
        for name, count in COUNTS.items():
            seen[name][i] = count()
    return seen


def suspects(item):
    """Whose second half is higher than the first, after some runs to warm up."""
    if counts_after(item, WARM_UPS) is None:
        return set()
    seen = counts_after(item, RUNS) or {}
    half = RUNS // 2
    return {name for name, each in seen.items() if sum(each[half:]) > sum(each[:half])}


def growing(item):
    """What grows again and again: its name, and by how much a run.

    Counts go up and down by a little with the threads that a test starts, and malloc()
    gets its memory in pieces; so of three times RUNS, with as many in between, the
    lowest must be above the highest of those before.
    """
    left, highest, begin = suspects(item), None, None
    for _ in range(3):
        seen = left and counts_after(item, RUNS)
        if not seen:  # no suspect is left, or it failed, being used up: it says nothing
            return {}
        if highest:
            left = {name for name in left if min(seen[name]) > highest[name]}
        else:
            begin = {name: each[0] for name, each in seen.items()}
        highest = {name: max(each) for name, each in seen.items()}
        end = {name: each[-1] for name, each in seen.items()}
        if left and counts_after(item, RUNS) is None:
            return {}
    return {name: round((end[name] - begin[name]) / (5 * RUNS), 1) for name in left}


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
        # Twice, for malloc()'s free pieces may happen to come apart a little at a time.
        if growing(item) and (grown := growing(item)):
            self.found[item.nodeid] = grown
        self.n_tests += 1
        item.session._setupstate.teardown_exact(nextitem)
        return True


def run(*arguments):
    leaks = Leaks()
    status = pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=[leaks])
    return leaks, status


def compile_once():
    """Have numba compile a function once, though a test that is run again asks anew.

    It keeps what it has compiled for good: in a program without us, 18 blocks and some
    380 kB a function.
    """
    try:
        import numba
    except ImportError:
        return
    original, made = numba.cfunc, {}

    def cfunc(signature, **options):
        def compiled(function):
            captured = [cell.cell_contents for cell in function.__closure__ or ()]
            key = (function.__code__, f"{signature} {options} {captured}")
            if key not in made:
                made[key] = original(signature, **options)(function)
            return made[key]

        return compiled

    numba.cfunc = cfunc


def see_what_is_planted():
    """A watcher that sees nothing says that all is well, too."""
    leaks, status = run("tests/planted_leaks.py")
    names = {name.partition("::")[2] for name in leaks.found}
    if status or len(names) != 5 or any("leak" not in name for name in names):
        sys.exit(f"of the planted leaks, these were found: {sorted(names)}")


def main(arguments):
    compile_once()
    see_what_is_planted()
    leaks, status = run(*arguments)
    for name, grown in leaks.found.items():
        print(f"{name} leaves behind, each time: {grown}")
    times = WARM_UPS + RUNS
    n_leaks = len(leaks.found)
    print(f"{leaks.n_tests} tests, {times} times each and more: {n_leaks} leak")
    return status or bool(leaks.found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or CORE))
