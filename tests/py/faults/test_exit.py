"""Exit with calls that do not end by themselves: Ctrl-C, or a limit, ends the wait."""

import pytest

ABANDONED = "stealpool: 1 calls go on after they were asked to stop at exit"


@pytest.mark.parametrize("size", ["1", ""])
def test_control_c_at_exit_stops_a_kernel_that_asks(program, size):
    done = program(
        f"""
        from stealpool.kernels import integrate
        executor = stealpool.Executor({size})
        future = executor.submit(integrate, math.cos, 0, 1, n_iter=10**14)
        until(future.running)
        atexit.register(lambda: print(future.cancelled()))
        interrupt_at_exit()
        """
    )
    assert done.stdout == "True\n"
    assert "abandoned" not in done.stderr
    assert "KeyboardInterrupt" in done.stderr


@pytest.mark.parametrize("size", ["1", ""])
@pytest.mark.parametrize("keep", ["executor", "future", "nothing"])
def test_control_c_at_exit_abandons_a_kernel_that_does_not_ask(program, size, keep):
    done = program(
        f"""
        executor = stealpool.Executor({size})
        future = executor.submit(wait_at, gate.key)
        until(future.running)
        if {keep!r} != "executor":
            del executor
        if {keep!r} != "future":
            del future
        atexit.register(print, "over")
        interrupt_at_exit()
        """
    )
    assert done.stdout == "over\n"
    assert ABANDONED in done.stderr


def test_control_c_at_exit_cancels_what_is_queued(program):
    done = program(
        """
        executor = stealpool.Executor(1)
        executor.submit(wait_at, gate.key)
        executor.submit(threading.Event().wait)
        kernels = [executor.submit(write, 1, b"kernel", 6) for _ in range(10)]
        calls = [executor.submit(print, "call") for _ in range(10)]
        atexit.register(lambda: print(all(f.cancelled() for f in kernels + calls)))
        interrupt_at_exit()
        """
    )
    assert done.stdout == "True\n"


def test_limit_at_exit_abandons_kernels_and_callables(program):
    done = program(
        """
        stealpool.process.set_exit_timeout(0.05)
        executor = stealpool.Executor(1)
        futures = [executor.submit(wait_at, gate.key)]
        futures += [executor.submit(threading.Event().wait)]
        for future in futures:
            until(future.running)
        """
    )
    assert "stealpool: 2 calls go on" in done.stderr


def test_limit_at_exit_comes_from_the_environment(program):
    done = program(
        """
        stealpool.Executor(1).submit(wait_at, gate.key)
        """,
        env={"STEALPOOL_EXIT_TIMEOUT": "0"},
    )
    # Its executor is gone, and it may not have begun, and so is cancelled.
    assert done.stderr == "" or ABANDONED in done.stderr


def test_limit_at_exit_still_waits_for_threads_of_the_program(program):
    done = program(
        """
        stealpool.process.set_exit_timeout(0)
        executor = stealpool.Executor(1)
        until(executor.submit(threading.Event().wait).running)
        pool = cf.ThreadPoolExecutor(1)

        def late():
            threading.main_thread().join()
            print("late")

        threading.Thread(target=late).start()
        pool.submit(print, "pool")
        """
    )
    assert sorted(done.stdout.split()) == ["late", "pool"]


def test_limit_that_is_not_reached_changes_nothing(program):
    done = program(
        """
        stealpool.process.set_exit_timeout(60)
        executor = stealpool.Executor(1)
        executor.submit(wait_at, gate.key).add_done_callback(lambda _: print("heard"))
        executor.submit(write, 1, b"kernel\\n", 7)
        executor.submit(print, "call", flush=True)
        threading.Timer(0.05, gate.open).start()
        """
    )
    assert sorted(done.stdout.split()) == ["call", "heard", "kernel"]
    assert done.stderr == ""


def test_limit_at_exit_abandons_a_callback_that_never_returns(program):
    done = program(
        """
        stealpool.process.set_exit_timeout(0.05)
        executor, inside = stealpool.Executor(1), threading.Event()

        def callback(_):
            inside.set()
            threading.Event().wait()

        executor.submit(wait_at, gate.key).add_done_callback(callback)
        gate.open()
        assert inside.wait(30)

        atexit.register(print, "over")
        """
    )
    assert done.stdout == "over\n"


def test_abandoned_kernel_keeps_its_buffers(program, compile_c, runs):
    """The kernel writes to a block that the allocator would give back to the system."""
    library = compile_c(
        "void scribble(volatile long *x, long n) "
        "{ for (;;) for (long i = 0; i < n; i++) x[i]++; }"
    )
    for _ in range(runs):
        done = program(
            f"""
            import array
            library = ctypes.CDLL({library._name!r})
            scribble = stealpool.kernel(
                library.scribble, "void (int64_t *, int64_t)"
            )
            stealpool.process.set_exit_timeout(0)
            executor = stealpool.Executor(1)
            numbers = array.array("q", [0]) * (1 << 20)
            until(executor.submit(scribble, numbers, 1 << 20).running)
            del numbers
            """
        )
        assert ABANDONED in done.stderr


def test_split_loop_in_a_daemon_thread_does_not_keep_the_process(program):
    done = program(
        """
        stealpool.process.set_exit_timeout(0)
        from stealpool.kernels import integrate
        begun = threading.Event()

        def loop():
            begun.set()
            integrate(math.cos, 0, 1, n_iter=10**14)

        threading.Thread(target=loop, daemon=True).start()
        begun.wait()
        spent = time.process_time() + 0.05  # the loop has begun, workers have joined
        until(lambda: time.process_time() > spent)
        print("over")
        """
    )
    assert done.stdout == "over\n"


def test_limit_at_exit_is_a_number_from_0_on(program):
    program(
        """
        for bad in (-1, float("nan"), -0.001):
            try:
                stealpool.process.set_exit_timeout(bad)
            except ValueError as error:
                assert str(bad) in str(error)
            else:
                raise AssertionError(bad)
        for good in (0, 1e300, float("inf"), None):
            stealpool.process.set_exit_timeout(good)
        """
    )


def test_bad_limit_in_the_environment_is_ignored_with_a_warning(program):
    done = program("", env={"STEALPOOL_EXIT_TIMEOUT": "soon"})
    assert "STEALPOOL_EXIT_TIMEOUT='soon' is ignored" in done.stderr


def test_exit_status_is_the_programs_own(program):
    program(
        """
        stealpool.process.set_exit_timeout(0)
        executor = stealpool.Executor(1)
        until(executor.submit(wait_at, gate.key).running)
        sys.exit(7)
        """,
        expect=7,
    )


def test_thread_of_a_callable_is_no_daemon(program):
    """The library's threads are, to the interpreter; what they start must not be."""
    done = program(
        """
        executor = stealpool.Executor(1)
        print(executor.submit(lambda: threading.Thread().daemon).result())
        print(executor.submit(lambda: threading.current_thread().daemon).result())
        """
    )
    assert done.stdout == "False\nFalse\n"
