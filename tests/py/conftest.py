"""What all Python tests share. They run on the installed package, never on the tree."""

import asyncio
import ctypes
import functools
import gc
import importlib.metadata
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from pathlib import Path

import pytest
from hypothesis import settings

# A shell that runs us in the background may have it ignored, here and in all programs
# that tests run; and there are tests of Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    import stealpool
except ImportError:
    stealpool = None  # the tests of the tree need none

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_report_header():
    if stealpool is None:
        return "stealpool: not installed"
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?"
    return f"stealpool: {stealpool.__version__} in {stealpool.__path__[0]}, {cpus} CPUs"


@pytest.fixture(scope="session")
def tree():
    """The root of the source tree."""
    return Path(__file__).parents[2]


# ------------------------------------------------------------------------- waiting


@pytest.fixture(scope="session")
def until():
    """Wait until a condition holds, which must not be for ever."""

    def wait_until(condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "waited for ever"
            time.sleep(0)

    return wait_until


@pytest.fixture(scope="session")
def together():
    """Run functions at the same time; raise what they raise."""

    def run_all(*functions):
        barrier, errors = threading.Barrier(len(functions)), []

        def run(function):
            barrier.wait()
            try:
                function()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run, args=[f]) for f in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "hangs"
        for error in errors:
            raise error

    return run_all


@pytest.fixture
def make_executor():
    """Makes executors that do not outlive the test, even if they are stuck."""
    made = []

    def make(*args, **kwargs):
        made.append(stealpool.Executor(*args, **kwargs))
        return made[-1]

    yield make
    for executor in made:
        executor.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def one(make_executor):
    """An executor with one thread in each lane."""
    return make_executor(1)


WAYS_TO_WAIT = {
    "result": lambda future: future.result(),
    "exception": lambda future: future.exception(),
    "wait": lambda future: stealpool.wait([future]),
    "any": lambda future: stealpool.wait([future], None, "FIRST_COMPLETED"),
    "as_completed": lambda future: list(stealpool.as_completed([future])),
}


@pytest.fixture(params=WAYS_TO_WAIT)
def wait_for(request):
    """Waits for a Future, in each of our ways."""
    return WAYS_TO_WAIT[request.param]


@pytest.fixture(scope="session")
def cos():
    """A kernel that takes a number: the C library's cosine."""
    return stealpool.kernel(ctypes.CDLL("libm.so.6").cos)


# One for all gates: ctypes keeps something of each for good.
_libc = ctypes.CDLL(None)
_libc.sem_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
_libc.sem_post.argtypes = [ctypes.c_void_p]

_arrays_of_gates = []  # never freed: a kernel may still be leaving sem_wait()


class Gate:
    """A kernel that runs until the gate is opened: ``submit(gate.kernel, gate.key)``.

    ``gate.pinning`` is the same with an array as its argument: ``gate.array``.
    """

    def __init__(self):
        self.array = (ctypes.c_char * 128)()  # a sem_t, which has half of that
        _arrays_of_gates.append(self.array)
        self.key = ctypes.addressof(self.array)
        _libc.sem_init(self.key, 0, 0)
        self.kernel = stealpool.kernel(_libc.sem_wait, "int (uintptr_t)")
        self.pinning = stealpool.kernel(_libc.sem_wait, "int (void *)")

    def open(self, times=1):
        for _ in range(times):
            _libc.sem_post(self.key)


@pytest.fixture
def gate(make_executor):
    gate = Gate()
    yield gate
    gate.open(10_000)


@pytest.fixture
def abort_if_called():
    """A callable that must not be called."""

    def abort(*args):
        os.write(2, b"a cancelled call was run\n")
        os.abort()

    return abort


# ------------------------------------------------------------------------ event loops


class DeafLoop(asyncio.SelectorEventLoop):
    """As Windows' proactor loop: it polls nothing for others."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError


def debugging_loop():
    loop = asyncio.SelectorEventLoop()
    loop.set_debug(True)
    loop.slow_callback_duration = 60
    return loop


def uv_loop():
    return pytest.importorskip("uvloop").new_event_loop()


@pytest.fixture(
    params=[asyncio.SelectorEventLoop, debugging_loop, uv_loop, DeafLoop],
    ids=["selector", "debug", "uvloop", "deaf"],
)
def new_loop(request):
    """Makes event loops, of each kind."""
    if request.param is uv_loop:
        pytest.importorskip("uvloop")
    return request.param


@pytest.fixture
def run_loop():
    """Runs a coroutine on a loop of its own, which must not complain."""
    complaints = []

    def run(coroutine, new_loop=asyncio.SelectorEventLoop):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.get_loop().set_exception_handler(
                lambda loop, context: complaints.append(context)
            )
            return runner.run(coroutine)

    yield run
    gc.collect(1)  # the old have nothing to complain of
    assert complaints == []


# ------------------------------------------------------------------------ compiling


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory):
    """Compiles C to a library for ctypes; the same C to the same library."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")

    @functools.cache  # no library is ever unloaded
    def compile_library(source, *flags):
        folder = tmp_path_factory.mktemp("c")
        (folder / "library.c").write_text(source)
        command = [compiler, "-O2", "-shared", "-fPIC", "library.c", "-o", "library.so"]
        subprocess.run([*command, *flags], cwd=folder, check=True)
        return ctypes.CDLL(str(folder / "library.so"))

    return compile_library


@pytest.fixture(scope="session")
def cython_project(tree, tmp_path_factory):
    """A folder with tests/examples/cython_project, installed there by pip."""
    for needed in ("Cython", "mesonpy"):
        pytest.importorskip(needed)
    try:
        importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs pip")  # not imported: setuptools would not load after that
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    for needed in (shlex.split(compiler)[0], "ninja", "cython"):
        if shutil.which(needed, path=path) is None:
            pytest.skip(f"needs {needed}")
    folder = tmp_path_factory.mktemp("project")
    source = shutil.copytree(tree / "tests/examples/cython_project", folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation"]
    pip += ["--no-deps", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--target", folder / "site", source],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.fixture(scope="session")
def run_python():
    """Runs a program of its own; returns the finished process.

    Its own waits give up after 60 seconds. A start may take as long: beside others that
    want the CPU, CPython 3.13 without a GIL yields some 1800 times while it starts.
    """

    def run(program, *, expect=0, timeout=240, options=(), env=None):
        done = subprocess.run(
            [sys.executable, *options, "-c", textwrap.dedent(program)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            cwd="/",
        )
        if expect is not None:
            assert done.returncode == expect, done.stdout + done.stderr
        return done

    return run
