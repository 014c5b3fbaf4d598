"""Faults of kernels, which run where Python cannot catch anything."""

import os
import platform
import signal
import threading

import pytest
import stealpool


@pytest.mark.parametrize("how", ["*(volatile int *)8 = 1", "__builtin_trap()"])
def test_kernel_that_crashes_ends_the_process_and_says_where(
    run_python, compile_c, how
):
    library = compile_c(f"void crash(void) {{ {how}; }}")
    done = run_python(
        f"""
        import ctypes, stealpool
        library = ctypes.CDLL({library._name!r})
        crash = stealpool.kernel(library.crash, "void ()")
        stealpool.Executor(1).submit(crash).result()
        """,
        expect=None,
        options=("-X", "faulthandler"),
    )
    assert done.returncode in (-signal.SIGSEGV, -signal.SIGILL, -signal.SIGTRAP)
    assert "Fatal Python error" in done.stderr
    assert "in <module>" in done.stderr  # who waits for it


def test_signals_are_handled_by_the_main_thread_only(program):
    """A storm of signals for the process, while workers run and sleep."""
    program(
        """
        handled = []
        signal.signal(
            signal.SIGUSR1, lambda *_: handled.append(threading.current_thread())
        )
        executor = stealpool.Executor(3)
        sent = []

        def send():
            for _ in range(2000):
                os.kill(os.getpid(), signal.SIGUSR1)
                sent.append(None)

        thread = threading.Thread(target=send)
        thread.start()
        while thread.is_alive():
            futures = executor.submit_many(cos, [0.0] * 100)
            futures.append(executor.submit(abs, -1))
            assert len(stealpool.wait(futures).done) == 101
            assert all(future.result() == 1 for future in futures)
        assert handled and set(handled) == {threading.main_thread()}
        """
    )


def test_signal_for_one_thread_of_the_pool_waits_for_ever(program):
    """Workers block signals, so nothing of theirs is interrupted."""
    program(
        """
        executor = stealpool.Executor(2, thread_name_prefix="blocks")
        executor.submit(cos, 0.0).result()  # which starts them
        def workers():
            for task in os.listdir("/proc/self/task"):
                with open(f"/proc/self/task/{task}/comm") as file:
                    if file.read().startswith("blocks"):
                        yield int(task)
        until(lambda: len(list(workers())) == 2)
        tgkill = libc.syscall
        for worker in workers():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                assert tgkill(234, os.getpid(), worker, number) == 0
        assert executor.submit(cos, 0.0).result(30) == 1.0
        assert sum(executor.map(cos, [0.0] * 1000)) == 1000
        """
        if os.uname().machine == "x86_64"
        else "print('tgkill has another number here')"
    )


def test_kernels_of_a_pool_that_never_end_do_not_keep_others(make_executor, gate):
    """One worker of two is taken for good: the other does all the work."""
    executor = make_executor(2)
    executor.submit(gate.kernel, gate.key)
    futures = [executor.submit(abs, -i) for i in range(100)]
    futures += executor.submit_many(gate.kernel, [gate.key] * 5)
    gate.open(5)
    for future in futures[:100]:
        future.result(60)
    gate.open()
    executor.shutdown(timeout=60)


def test_callback_of_python_in_a_kernel_is_refused(run_python):
    """It would take the GIL in a worker, and crash the interpreter at exit."""
    done = run_python(
        """
        import ctypes, stealpool
        function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(abs)
        try:
            stealpool.kernel(function)
        except TypeError as error:
            print(error)
        """
    )
    assert "calls a Python function, which needs the GIL" in done.stdout


ROUNDS_AND_FLUSHES = """
    #include <fenv.h>
    #include <stdint.h>
    #if defined(__SSE2__)
    #include <immintrin.h>
    static void spoil(void)
    {
        fesetround(FE_UPWARD);
        _mm_setcsr(_mm_getcsr() | 0x8040);
    }
    #else
    static void spoil(void) { fesetround(FE_UPWARD); }
    #endif
    int spoil_for_good(void) { spoil(); return 0; }
    int spoil_range(intptr_t begin, intptr_t end)
    { (void)begin; (void)end; spoil(); return 0; }
    double third(double x) { volatile double y = x; return y / 3; }
    double half(double x) { volatile double y = x; return y / 2; }
"""


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="modes are not restored"
)
def test_kernel_that_changes_the_rounding_changes_it_for_itself(
    make_executor, compile_c
):
    library = compile_c(ROUNDS_AND_FLUSHES, "-lm")
    executor = make_executor(1)
    spoil = stealpool.kernel(library.spoil_for_good, "int ()")
    loop = stealpool.kernel(library.spoil_range, "int (intptr_t, intptr_t)")
    third = stealpool.kernel(library.third, "double (double)")
    half = stealpool.kernel(library.half, "double (double)")
    tiny = 5e-324 * 2
    for spoiling in (
        lambda: executor.submit(spoil).result(),
        lambda: executor.submit_many(spoil, [()] * 9)[-1].result(),
        lambda: executor.for_range(loop, 0, 1000),
        spoil,
    ):
        spoiling()
        for run in (lambda f, x: executor.submit(f, x).result(), lambda f, x: f(x)):
            assert run(third, 1.0) == 1 / 3
            assert run(half, tiny) == 5e-324
        assert executor.submit(lambda: tiny / 2).result() == 5e-324


def test_kernel_may_fork(make_executor, compile_c, cos):
    """The child has only the worker, and no Python; the parent is as before."""
    library = compile_c(
        """
        #include <sys/wait.h>
        #include <unistd.h>
        int forks(int status)
        {
            pid_t pid = fork();
            if (pid == 0)
                _exit(status);
            return waitpid(pid, &status, 0) == pid ? WEXITSTATUS(status) : -1;
        }
        """
    )
    forks = stealpool.kernel(library.forks, "int (int)", returns="value")
    executor, over = make_executor(2), threading.Event()

    def load():
        while not over.is_set():
            assert sum(executor.map(cos, [0.0] * 100)) == 100
            assert executor.submit(abs, -1).result() == 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        futures = executor.submit_many(forks, range(50))
        statuses = [future.result() for future in futures]
    finally:
        over.set()
        thread.join()
    assert statuses == list(range(50))


def test_wall_clock_that_jumps_changes_no_timeout(run_python, compile_c):
    """Every look at the wall clock finds it an hour or a day from the last."""
    shim = compile_c(
        """
        #define _GNU_SOURCE
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>
        static long jump(void)
        {
            static int n;
            int i = __atomic_fetch_add(&n, 1, __ATOMIC_RELAXED);
            return (i % 3 - 1) * 86400L + 3600;
        }
        int clock_gettime(clockid_t clock, struct timespec *time)
        {
            long code = syscall(SYS_clock_gettime, clock, time);
            if (clock == CLOCK_REALTIME)
                time->tv_sec += jump();
            return (int)code;
        }
        int gettimeofday(struct timeval *restrict time, void *restrict zone)
        {
            long code = syscall(SYS_gettimeofday, time, zone);
            time->tv_sec += jump();
            return (int)code;
        }
        """
    )
    preloaded = [shim._name, *os.environ.get("LD_PRELOAD", "").split()]
    run_python(
        """
        import ctypes, stealpool, threading, time
        looks = [time.time() for _ in range(6)]
        assert max(looks) - min(looks) > 80000, "the shim does nothing"
        executor, gate = stealpool.Executor(1, queue_capacity=1), threading.Event()
        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        running = executor.submit(gate.wait)
        while not running.running():
            pass
        start = time.monotonic()
        late = [
            lambda: running.result(0.02),
            lambda: list(stealpool.as_completed([running], 0.02)),
            lambda: next(executor.map(abs, [1], timeout=0.02)),
            lambda: executor.view().options(timeout=0.02).submit(abs, 1).result(),
        ]
        for wait in late:
            try:
                wait()
            except TimeoutError:
                pass
            else:
                raise AssertionError("no TimeoutError")
        assert not stealpool.wait([running], 0.02).done
        assert executor.submit(cos, 0.0).result(3000) == 1.0
        gate.set()
        assert running.result(3000) is True
        executor.shutdown(timeout=3000)
        assert time.monotonic() - start < 40, "somebody has slept by the wall clock"
        """,
        env={"LD_PRELOAD": " ".join(preloaded)},
    )
