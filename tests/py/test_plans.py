"""Built-in kernels that are called as they stand: Ctrl-C ends them, in all threads."""

import pytest

PROGRAM = """
import math, signal, sys, threading
import numpy as np
import stealpool
from stealpool import image
from stealpool.kernels import integrate

signal.signal(signal.SIGALRM, signal.default_int_handler)
executor = stealpool.Executor(int(sys.argv[1]))
gray = np.zeros((500, 500), np.float32)
rgb = np.zeros((500, 500, 3), np.uint8)

calls = {
    "integrate": lambda: integrate(math.cos, 0, 1, n_iter=10**14, executor=executor),
    "gaussian": lambda: image.gaussian_filter(gray, 3.0, executor=executor),
    "gray": lambda: image.rgb_to_gray(rgb, executor=executor),
}

def for_ever():
    while True:
        calls[sys.argv[2]]()

for _ in range(3):
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        for_ever()
    except KeyboardInterrupt:
        print("interrupted")
assert abs(integrate(math.cos, 0, 1, n_iter=10**6, executor=executor) - 0.8415) < 1e-4
assert executor.submit(abs, -1).result(60) == 1
executor.shutdown()
"""


@pytest.fixture
def run(run_python):
    def run(program, *args):
        return run_python(f"import sys\nsys.argv[1:] = {list(args)}\n" + program)

    return run


@pytest.mark.parametrize("call", ["integrate", "gaussian", "gray"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_a_call_and_the_executor_goes_on(run, workers, call):
    assert run(PROGRAM, workers, call).stdout == "interrupted\n" * 3


def test_a_signal_handler_that_returns_does_not_end_a_call(run):
    done = run(
        """
import math, signal
import stealpool
from stealpool.kernels import integrate

heard = []

def hear(*_):
    # A call within the call, in the same thread.
    heard.append(integrate(math.cos, 0, 1, n_iter=1000))
    signal.setitimer(signal.ITIMER_REAL, 0.001)

signal.signal(signal.SIGALRM, hear)
signal.setitimer(signal.ITIMER_REAL, 0.001)
executor = stealpool.Executor(2)
n = 10**7
while len(heard) < 3:
    n *= 2
    value = integrate(math.cos, 0, 1, n_iter=n, executor=executor)
    assert abs(value - 0.8414709848) < 1e-6
signal.setitimer(signal.ITIMER_REAL, 0)
print("over")
"""
    )
    assert done.stdout == "over\n"


def test_ctrl_c_ends_a_kernel_that_asks_in_the_main_thread(run, compile_c):
    library = compile_c(
        "int ask(int (*cancelled)(void)) { while (!cancelled()) ; return 0; }"
    )
    done = run(
        f"""
import ctypes, signal, stealpool
ask = stealpool.kernel(ctypes.CDLL({library._name!r}).ask, "int (uintptr_t)")
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.02)
try:
    ask(stealpool.get_address("sp_cancelled"))
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert done.stdout == "interrupted\n"


def test_a_call_in_another_thread_is_left_alone(run):
    done = run(
        """
import math, signal, threading
import stealpool
from stealpool.kernels import integrate

signal.signal(signal.SIGALRM, signal.default_int_handler)
found = []
thread = threading.Thread(
    target=lambda: found.append(integrate(math.cos, 0, 1, n_iter=3 * 10**8))
)
thread.start()
try:
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    threading.Event().wait(60)
except KeyboardInterrupt:
    print("interrupted")
thread.join()
assert abs(found[0] - math.sin(1)) < 1e-6
"""
    )
    assert done.stdout == "interrupted\n"
