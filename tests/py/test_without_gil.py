"""On a free-threaded CPython: nothing of ours turns the GIL on again."""

import sysconfig

import pytest

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
