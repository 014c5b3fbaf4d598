"""The ends of a process: exit, Ctrl-C, fork. Each in a program of its own."""

import os
import sys
import textwrap

import pytest

PRELUDE = """
import concurrent.futures as cf, ctypes, os, signal, sys, threading, time
import stealpool

libc = ctypes.CDLL(None)

class Gate:
    def __init__(self):
        self.memory = ctypes.create_string_buffer(128)
        self.key = ctypes.addressof(self.memory)
        libc.sem_init(self.memory, 0, 0)

    def open(self):
        libc.sem_post(self.memory)

gate = Gate()
wait_at = stealpool.kernel(libc.sem_wait, "int (uintptr_t)")
cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)

def until(condition):
    while not condition():
        time.sleep(0)
"""


@pytest.fixture
def program(run_python):
    def run(*parts, **options):
        # Python 3.12 and newer warn of a fork in a process with threads.
        flags = ("-W", "ignore::DeprecationWarning", "-X", "faulthandler")
        text = "".join(map(textwrap.dedent, (PRELUDE, *parts)))
        return run_python(text, options=flags, **options)

    return run


# ------------------------------------------------------------------------------ exit


def test_exit_runs_queued_callables(program):
    done = program(
        """
        event = threading.Event()
        executor = stealpool.Executor(1)
        executor.submit(event.wait, 60)
        for i in range(5):
            executor.submit(print, i)
        event.set()
        """
    )
    assert done.stdout.split() == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("keep", ["executor", "futures", "nothing"])
@pytest.mark.parametrize("size", ["2", ""])
def test_exit_runs_queued_kernels(program, keep, size):
    """getpid() has no effect to see; write() to standard output has."""
    done = program(
        f"""
        write = stealpool.kernel(libc.write, "intptr_t (int, const void *, size_t)")
        executor = stealpool.Executor({size})
        blocks = [wait_at] * executor.stats()["workers"]
        futures = [executor.submit(block, gate.key) for block in blocks]
        futures += [executor.submit(write, 1, b"x", 1) for _ in range(100)]
        threading.Timer(0.05, lambda: [gate.open() for _ in blocks]).start()
        if {keep!r} != "futures":
            del futures
        if {keep!r} != "executor":
            del executor
        """
    )
    assert done.stdout == "x" * 100


def test_exit_is_clean_many_times(program):
    for seed in range(12):
        done = program(
            f"""
            import random
            rng = random.Random({seed})
            executors = [stealpool.Executor(rng.choice([None, 1, 2])) for _ in range(3)]
            for _ in range(200):
                executor = rng.choice(executors)
                fn, argument = rng.choice([(cos, 0.0), (abs, -1), (len, bytearray(9))])
                future = executor.submit(fn, argument)
                if rng.random() < 0.3:
                    future.add_done_callback(lambda f: None)
                if rng.random() < 0.1:
                    executor.submit_many(cos, [0.0] * 100)
            if rng.random() < 0.5:
                del executors, executor, future
            """
        )
        assert done.stderr == "", f"seed {seed}"


def test_callbacks_of_kernels_run_before_the_process_ends(program):
    done = program(
        """
        executor = stealpool.Executor(1)
        executor.submit(wait_at, gate.key).add_done_callback(lambda _: print("called"))
        threading.Timer(0.05, gate.open).start()
        """
    )
    assert done.stdout == "called\n"


def test_shutdown_without_waiting_does_not_lose_work_at_exit(program):
    done = program(
        """
        executor, event = stealpool.Executor(1), threading.Event()
        executor.submit(event.wait, 60)
        executor.submit(print, "ran")
        executor.shutdown(wait=False)
        event.set()
        """
    )
    assert done.stdout == "ran\n"


def test_submit_at_exit_is_refused(program):
    done = program(
        """
        import atexit
        executor = stealpool.Executor(1)

        @atexit.register
        def late():
            for fn in (cos, abs):
                try:
                    executor.submit(fn, 0.0)
                except RuntimeError as error:
                    print(error)
            try:
                stealpool.Executor(1).submit(abs, 1)
            except RuntimeError as error:
                print(error)
        """
    )
    message = "cannot schedule new futures after interpreter shutdown\n"
    assert done.stdout == message * 3


def test_submit_in_a_callable_at_exit_is_refused(program):
    done = program(
        """
        executor, event = stealpool.Executor(1), threading.Event()

        def f():
            event.wait(60)
            until(lambda: executor._shutdown_reason)
            try:
                executor.submit(abs, 1)
            except RuntimeError as error:
                print(error)

        executor.submit(f)
        event.set()
        """
    )
    assert "cannot schedule new futures after interpreter shutdown" in done.stdout


def test_daemon_threads_in_result_do_not_keep_the_process(program):
    program(
        """
        future = stealpool.Future()
        executor = stealpool.Executor(1)
        for target in (future.result, executor.submit(cos, 0.0).result):
            for _ in range(3):
                threading.Thread(target=target, daemon=True).start()
        """
    )


def test_exit_after_an_exception_runs_what_is_queued(program):
    done = program(
        """
        executor = stealpool.Executor(1)
        executor.submit(print, "ran")
        raise KeyError("end")
        """,
        expect=1,
    )
    assert done.stdout == "ran\n"
    assert "KeyError: 'end'" in done.stderr


def test_import_within_a_thread_works(program):
    done = program(
        """
        import subprocess
        text = (
            "import threading\\n"
            "def f():\\n"
            "    import stealpool\\n"
            "    print(stealpool.Executor(1).submit(abs, -1).result())\\n"
            "t = threading.Thread(target=f); t.start(); t.join()\\n"
        )
        subprocess.run([sys.executable, "-c", text], check=True)
        """
    )
    assert done.stdout == "1\n"


# ---------------------------------------------------------------------------- signals

WAITS = {
    "result": "future.result()",
    "timed result": "future.result(60)",
    "exception": "future.exception()",
    "wait": "stealpool.wait([future])",
    "wait for the first": "stealpool.wait([future], None, stealpool.FIRST_COMPLETED)",
    "as_completed": "list(stealpool.as_completed([future]))",
    "shutdown": "executor.shutdown()",
    "map": "list(executor.map(wait_at, [gate.key]))",
}


@pytest.mark.parametrize("native", [True, False], ids=["kernel", "callable"])
@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_wait_and_the_pool_lives(program, wait, native):
    submit = "wait_at, gate.key" if native else "event.wait, 60"
    done = program(
        f"""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        executor, event = stealpool.Executor(1), threading.Event()
        future = executor.submit({submit})
        until(future.running)

        # The main thread waits as soon as it sleeps in a system call, in the end.
        def interrupt():
            stat = "/proc/self/task/%d/stat" % os.getpid()
            asleep = 0
            while asleep < 20:
                with open(stat) as file:
                    asleep = asleep + 1 if ") S " in file.read() else 0
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            {WAITS[wait]}
        except KeyboardInterrupt:
            print("interrupted")
        thread.join()
        assert not future.done()
        gate.open(); gate.open(); event.set()
        assert future.result(60) in (0, True)
        if not executor._shutdown_reason:
            assert executor.submit(cos, 0.0).result(60) == 1.0
            assert executor.submit(abs, -1).result(60) == 1
        """
    )
    assert done.stdout == "interrupted\n"


def test_handler_that_returns_does_not_end_a_wait(program):
    done = program(
        """
        calls = []
        def handler(*_):
            calls.append(1)
            if len(calls) == 5:
                gate.open()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        executor = stealpool.Executor(1)
        future = executor.submit(wait_at, gate.key)
        try:
            future.result(0.05)
        except stealpool.TimeoutError:
            print("timed out")
        print(future.result(60))
        signal.setitimer(signal.ITIMER_REAL, 0)
        """
    )
    assert done.stdout == "timed out\n0\n"


def test_workers_block_all_signals(program):
    done = program(
        """
        executor = stealpool.Executor(3, thread_name_prefix="blocks")
        executor.submit(cos, 0.0).result()  # which starts them
        def masks():
            for task in os.listdir("/proc/self/task"):
                with open(f"/proc/self/task/{task}/status") as file:
                    fields = dict(line.split(":\\t", 1) for line in file)
                if fields["Name"].startswith("blocks-"):
                    yield int(fields["SigBlk"], 16)
        until(lambda: len(list(masks())) == 3)
        for mask in masks():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
                assert mask >> (number - 1) & 1
        print("blocked")
        """
    )
    assert done.stdout == "blocked\n"


# ------------------------------------------------------------------------------- fork

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")

CHILD = """
pid = os.fork()
if pid == 0:
    try:
        child()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 0
"""


@needs_fork
@pytest.mark.parametrize("size", ["1", "3", ""])
def test_child_uses_an_inherited_executor(program, size):
    done = program(
        f"""
        executor = stealpool.Executor({size})
        executor.submit(abs, -1).result()
        executor.submit(cos, 0.0).result()

        def child():
            assert executor.submit(cos, 0.0).result(60) == 1.0
            assert executor.submit(abs, -1).result(60) == 1
            futures = executor.submit_many(cos, [0.0] * 100)
            assert len(stealpool.wait(futures, 60).done) == 100
            heard = threading.Event()
            executor.submit(cos, 0.0).add_done_callback(lambda _: heard.set())
            assert heard.wait(60)
            executor.shutdown()
            print("child")
        """,
        CHILD,
        "print(executor.submit(abs, -1).result(60))",
    )
    assert done.stdout == "child\n1\n"


@needs_fork
def test_child_uses_a_fresh_executor_and_the_default_one(program):
    program(
        """
        stealpool.default_executor().submit(cos, 0.0).result()

        def child():
            with stealpool.Executor(2) as executor:
                assert executor.submit(cos, 0.0).result(60) == 1.0
                assert list(executor.map(abs, [-1, -2])) == [1, 2]
            assert stealpool.default_executor().submit(cos, 0.0).result(60) == 1.0
            from stealpool.kernels import integrate
            import math
            integrate(math.cos, 0, 1, n_iter=10**6)
        """,
        CHILD,
    )


@needs_fork
def test_futures_in_flight_are_broken_in_the_child(program):
    done = program(
        """
        executor, event = stealpool.Executor(1), threading.Event()
        futures = [
            executor.submit(wait_at, gate.key),
            executor.submit(cos, 0.0),
            executor.submit(event.wait, 60),
            executor.submit(abs, -1),
        ]
        done = stealpool.Executor(1).submit(cos, 0.0)
        stealpool.wait([done])
        until(futures[0].running)

        def child():
            waits = [lambda f=future: f.result(60) for future in futures]
            waits += [lambda: stealpool.wait(futures), lambda: stealpool.wait(
                futures, None, stealpool.FIRST_COMPLETED)]
            waits += [lambda: list(stealpool.as_completed(futures))]
            for wait in waits:
                try:
                    wait()
                except stealpool.BrokenThreadPool as error:
                    assert "submit it again here" in str(error)
                else:
                    raise AssertionError
            assert done.result() == 1.0
            print("child")
        """,
        CHILD,
        """
        gate.open(); event.set()
        print([future.result(60) for future in futures])
        """,
    )
    assert done.stdout == "child\n[0, 1.0, True, 1]\n"


@needs_fork
def test_child_ends_normally_with_an_inherited_executor(program):
    done = program(
        """
        executor = stealpool.Executor(2)
        futures = [executor.submit(wait_at, gate.key), executor.submit(abs, -1)]
        pid = os.fork()
        if pid:
            _, status = os.waitpid(pid, 0)
            gate.open()
            print("child ended with", os.waitstatus_to_exitcode(status))
        """
    )
    assert done.stdout == "child ended with 0\n"


@needs_fork
def test_closed_executor_is_closed_in_the_child(program):
    program(
        """
        executor = stealpool.Executor(1)
        executor.shutdown()

        def child():
            try:
                executor.submit(abs, 1)
            except RuntimeError as error:
                assert "after shutdown" in str(error)
            else:
                raise AssertionError
            executor.shutdown()
        """,
        CHILD,
    )


@needs_fork
def test_forks_under_load(program):
    program(
        """
        executor, over = stealpool.Executor(2), threading.Event()
        def load():
            while not over.is_set():
                futures = executor.submit_many(cos, [0.0] * 50)
                futures[0].add_done_callback(lambda _: None)
                futures += [executor.submit(abs, -1), executor.submit(len, b"x")]
                stealpool.wait(futures)
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            pid = os.fork()
            if pid == 0:
                ok = executor.submit(cos, 0.0).result(60) == 1.0
                ok = ok and executor.submit(abs, -1).result(60) == 1
                os._exit(0 if ok else 1)
            _, status = os.waitpid(pid, 0)
            assert status == 0
        over.set()
        for thread in threads:
            thread.join()
        """,
        timeout=120,
    )


@needs_fork
def test_fork_within_a_callable(program):
    program(
        """
        executor = stealpool.Executor(1)

        def f():
            pid = os.fork()
            if pid == 0:
                ok = stealpool.Executor(1).submit(cos, 0.0).result(60) == 1.0
                os._exit(0 if ok else 1)
            return os.waitpid(pid, 0)[1]

        assert executor.submit(f).result(60) == 0
        """
    )


@needs_fork
@pytest.mark.skipif(sys.platform != "linux", reason="forks by default on Linux only")
def test_process_pool_of_the_standard_library_uses_executors(program):
    program(
        """
        import multiprocessing
        executor = stealpool.Executor(1)
        executor.submit(cos, 0.0).result()

        def in_child(x):
            return executor.submit(cos, x).result(60)

        context = multiprocessing.get_context("fork")
        with cf.ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(in_child, [0.0] * 10)) == [1.0] * 10
        """
    )
