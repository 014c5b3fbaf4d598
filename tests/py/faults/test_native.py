"""Faults of kernels, which run where Python cannot catch anything."""

import os
import signal

import pytest


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
