"""The loops to compare with: they compute the same, and hold no pool code."""

import math
import threading

import pytest
import stealpool
from stealpool import _peers


def test_integrate_is_the_rectangle_rule():
    n = 1000
    step = 1.0 / n
    right = step * math.fsum(math.cos(i * step) for i in range(n))
    assert _peers.integrate(math.cos, 0.0, 1.0, n_iter=n) == pytest.approx(right)


def test_integrate_refuses_other_functions():
    with pytest.raises(ValueError, match=r"compiled for math\.cos"):
        _peers.integrate(math.sin, 0.0, 1.0, n_iter=10)


def test_spin_lets_other_threads_run():
    goes_on = threading.Event()
    thread = threading.Thread(target=goes_on.set)
    spinning = threading.Thread(target=_peers.spin, args=(2e5,))
    spinning.start()
    thread.start()
    assert goes_on.wait(10.0)
    thread.join()
    spinning.join()


def test_spin_is_a_kernel_too():
    kernel = stealpool.kernel(_peers, "spin_us")
    assert kernel(10.0) >= 10.0
