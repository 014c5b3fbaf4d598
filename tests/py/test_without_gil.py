"""On a free-threaded CPython: nothing of ours turns the GIL on again."""

import sysconfig

import pytest
import stealpool

pytestmark = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this CPython has a GIL"
)


def test_importing_and_using_everything_leaves_the_gil_off(run_python):
    run_python(
        """
        import asyncio, ctypes, importlib, math, pkgutil, sys
        import numpy as np
        import stealpool

        assert not sys._is_gil_enabled(), "numpy or stealpool"
        for found in pkgutil.walk_packages(stealpool.__path__, "stealpool."):
            if found.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(found.name)
            except ImportError as error:  # an optional neighbour
                assert error.name and not error.name.startswith("stealpool"), error
            assert not sys._is_gil_enabled(), found.name

        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        with stealpool.Executor(2) as executor:
            futures = executor.submit_many(cos, [0.0] * 10)
            futures += [executor.submit(abs, -1.0) for _ in range(10)]
            futures[0].add_done_callback(print)
            assert sum(future.result() for future in futures) == 20
            assert stealpool.kernels.integrate(math.cos, 0, 1) > 0.8
            stealpool.kernels.ufunc(np.sin)(np.zeros(1000), executor=executor)
            stealpool.image.gaussian_filter(np.zeros((9, 9), np.float32), 1.0)

            async def main():
                return await executor.asubmit(cos, 0.0)

            assert asyncio.run(main()) == 1.0
        assert not sys._is_gil_enabled(), "something that was used"
        """,
        options=["-W", "error:The global interpreter lock:RuntimeWarning"],
        env={"PYTHON_GIL": ""},
    )


def test_time_limits_set_while_others_pass_are_kept(one, gate, cos, together):
    # Each view gets on the drainer's list while the drainer takes others off it.
    one.submit(gate.kernel, gate.key)

    def pass_limits():
        for _ in range(300):
            future = one.options(timeout=0.001).submit(cos, 0.0)
            assert not stealpool.wait([future], 30).not_done, "its limit was lost"
            assert isinstance(future.exception(), TimeoutError)

    together(*[pass_limits] * 4)
    gate.open()


def test_what_executors_leave_is_kept_while_others_look_through_it(run_python):
    # A home that got lost among those that are buried would have its pool freed, which
    # waits for the kernel: whoever makes the next executor would hang.
    run_python(
        """
        import ctypes, stealpool, threading
        libc = ctypes.CDLL(None)
        wait = stealpool.kernel(libc.sem_wait, "int (uintptr_t)")
        barrier = threading.Barrier(4)
        semaphores, errors = [], []

        def bury():
            barrier.wait()
            try:
                for _ in range(50):
                    semaphore = ctypes.create_string_buffer(128)
                    libc.sem_init(semaphore, 0, 0)
                    semaphores.append(semaphore)
                    executor = stealpool.Executor(1)
                    executor.submit(wait, ctypes.addressof(semaphore))
                    del executor
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=bury, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
            assert not thread.is_alive(), "the pool of a kernel that runs is freed"
        assert not errors, errors
        for semaphore in semaphores:
            libc.sem_post(semaphore)
        """
    )
