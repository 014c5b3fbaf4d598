"""The standard library's own tests, unmodified, on our Executor and our Future.

They run in a virtual environment of their own, where a .pth file puts ours in the place
of the standard library's classes before anything else is imported: the tests name them,
and some start interpreters of theirs.
"""

import importlib.util
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import numpy as np
import pytest
import stealpool

pytestmark = pytest.mark.slow

SWAP = """
import concurrent.futures
import concurrent.futures._base
import concurrent.futures.thread

import stealpool


class ThreadPoolExecutor(stealpool.Executor):
    pass


for module in (concurrent.futures, concurrent.futures.thread):
    module.ThreadPoolExecutor = ThreadPoolExecutor
for module in (concurrent.futures, concurrent.futures._base):
    module.Future = stealpool.Future
"""

# Tests of the standard library that cannot pass, each with the reason.
SKIPPED = {
    "test_thread_names_default": "our threads are called after stealpool",
}

FUTURES = [
    "test_concurrent_futures.test_thread_pool",
    "test_concurrent_futures.test_wait",
    "test_concurrent_futures.test_as_completed",
    "test_concurrent_futures.test_shutdown",
    "test_concurrent_futures.test_init",
    "test_concurrent_futures.test_future",
]

# What uses executors in asyncio: run_in_executor(), to_thread(), wrap_future().
ASYNCIO = ["test_asyncio.test_threads", "test_asyncio.test_base_events"]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with ours in the place of the standard library's."""
    folder = tmp_path_factory.mktemp("swapped") / "venv"
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "swap.py").write_text(SWAP)
    # Ours and what it needs may lie apart.
    ours, numpys = (Path(each.__file__).parents[1] for each in (stealpool, np))
    (site / "swap.pth").write_text(f"{ours}\n{numpys}\nimport swap\n")
    return folder / "bin" / "python"


def run(python, *arguments):
    """Run regrtest; returns its output. A failure is the standard library's words."""
    command = [python, "-m", "test", "-u", "walltime,cpu", "--timeout", "240", "-v"]
    command += arguments
    for name in SKIPPED:
        command += ["-i", name]  # after -m: the last one that matches counts
    done = subprocess.run(command, capture_output=True, text=True, cwd=python.parent)
    output = done.stdout + done.stderr
    lines = output.splitlines()
    failed = [line for line in lines if line.startswith(("FAIL:", "ERROR:"))]
    assert done.returncode == 0, "\n".join([*failed, *lines[-60:]])
    return output


def is_installed(name):
    try:
        return importlib.util.find_spec(f"test.{name}") is not None
    except ModuleNotFoundError:
        return False


def test_classes_are_ours_in_other_interpreters_too(python):
    program = """
        import concurrent.futures, subprocess, sys
        assert concurrent.futures.ThreadPoolExecutor.__mro__[1].__module__ == \\
            "stealpool.executor"
        assert concurrent.futures.Future.__module__ == "stealpool"
        if len(sys.argv) == 1:
            command = [sys.executable, "-I", "-c", sys.orig_argv[-1], "inner"]
            subprocess.run(command, check=True)
    """
    subprocess.run([python, "-c", textwrap.dedent(program)], check=True)


@pytest.mark.parametrize("name", FUTURES)
def test_tests_of_concurrent_futures_pass(python, name):
    if not is_installed(name):
        version = ".".join(map(str, sys.version_info[:2]))
        pytest.skip(f"this Python {version} comes without test.{name}")
    # Those of process pools are about other classes.
    output = run(python, "-m", "*ThreadPool*", "-m", "*FutureTests*", name)
    assert " ok\n" in output, "no test ran"


@pytest.mark.parametrize("name", ASYNCIO)
def test_tests_of_asyncio_pass(python, name):
    if not is_installed(name):
        pytest.skip(f"this Python comes without test.{name}")
    assert " ok\n" in run(python, name), "no test ran"
