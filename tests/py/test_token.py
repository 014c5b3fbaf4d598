"""CancellationToken: queued calls at once, running kernels as soon as they ask."""

import copy
import ctypes
import gc
import pickle
import random
import threading
import time

import pytest
import stealpool
from stealpool import CancellationToken

POLLING = """
#include <stdint.h>
int poll_flag(uintptr_t flag, volatile int32_t *begun)
{
    *begun = 1;
    while (!*(volatile int32_t *)flag)
        ;
    return -7; /* SP_ECANCELLED */
}
"""


@pytest.fixture(scope="module")
def polling(compile_c):
    """Runs until the flag at an address is set, then ends as cancelled."""
    function = compile_c(POLLING).poll_flag
    return stealpool.kernel(function, "int (uintptr_t, int32 *)", returns="status")


def test_queued_kernels_and_callables_are_cancelled_at_once(one, gate, cos):
    token = CancellationToken()
    view = one.options(cancel=token)
    event = threading.Event()
    blocking = [one.submit(gate.kernel, gate.key), one.submit(event.wait, 60)]
    queued = [view.submit(cos, 0.0), view.submit(abs, 1), *view.submit_many(cos, [1.0])]
    others = [one.submit(cos, 0.0), one.submit(abs, -1)]
    token.cancel()
    assert all(future.cancelled() for future in queued)
    with pytest.raises(stealpool.CancelledError):
        queued[0].result()
    gate.open()
    event.set()
    assert [future.result() for future in others] == [1.0, 1]
    assert [future.result() for future in blocking] == [0, True]


def test_the_end_is_announced_to_callbacks_and_to_the_standard_library(one, gate, cos):
    token = CancellationToken()
    event, heard = threading.Event(), threading.Barrier(3)
    blocking = [one.submit(gate.kernel, gate.key), one.submit(event.wait, 60)]
    view = one.options(cancel=token)
    queued = [view.submit(cos, 0.0), view.submit(abs, 1)]
    threads = []
    for future in queued:

        def callback(done):
            # Callbacks run one after the other: the barrier needs threads.
            threads.append(threading.Thread(target=heard.wait, args=(60,)))
            threads[-1].start()

        future.add_done_callback(callback)
    token.cancel()
    heard.wait(60)
    for thread in threads:
        thread.join()
    gate.open()
    event.set()
    assert stealpool.wait(blocking).not_done == set()


def test_a_running_kernel_sees_the_flag_at_the_address(one, polling, until):
    token = CancellationToken()
    begun = (ctypes.c_int32 * 1)()
    future = one.options(cancel=token).submit(polling, token.address, begun)
    until(lambda: begun[0])
    assert not token.cancelled()
    token.cancel()
    assert token.cancelled()
    with pytest.raises(stealpool.CancelledError):
        future.result(60)
    assert future.cancelled()


def test_the_flag_outlives_the_token_object(one, polling, until):
    token = CancellationToken()
    child = CancellationToken(token)
    begun = (ctypes.c_int32 * 1)()
    future = one.options(cancel=child).submit(polling, child.address, begun)
    until(lambda: begun[0])
    del child
    gc.collect()
    token.cancel()
    with pytest.raises(stealpool.CancelledError):
        future.result(60)


def test_calls_submitted_after_cancel_never_run(one, cos, abort_if_called):
    token = CancellationToken()
    token.cancel()
    view = one.options(cancel=token)
    futures = [
        view.submit(abort_if_called),
        view.submit(cos, 0.0),
        *view.submit_many(cos, [0.0] * 10),
    ]
    assert all(future.cancelled() for future in futures)
    assert one.stats()["unfinished"] == 0


def test_cancelling_a_parent_cancels_its_children_but_not_the_reverse(one, gate, cos):
    parent = CancellationToken()
    child, sibling = CancellationToken(parent), CancellationToken(parent)
    one.submit(gate.kernel, gate.key)
    ours = one.options(cancel=child).submit(cos, 0.0)
    theirs = one.options(cancel=sibling).submit(cos, 0.0)
    child.cancel()
    assert (parent.cancelled(), child.cancelled(), sibling.cancelled()) == (0, 1, 0)
    assert (ours.cancelled(), theirs.cancelled()) == (True, False)
    parent.cancel()
    assert theirs.cancelled()
    assert CancellationToken(parent).cancelled()
    gate.open()


def test_cancel_reaches_calls_whose_view_and_futures_are_gone(one, gate, cos):
    token = CancellationToken()
    blocking = one.submit(gate.kernel, gate.key)
    for _ in range(100):
        one.options(cancel=token).submit(cos, 0.0)
    gc.collect()
    assert one.stats()["unfinished"] == 101
    token.cancel()
    assert one.stats()["unfinished"] == 1
    gate.open()
    assert blocking.result(60) == 0


def test_cancel_races_with_submit_and_nothing_is_lost(make_executor, cos):
    executor = make_executor(2)
    for _ in range(200):
        token = CancellationToken()
        view = executor.options(cancel=token)
        start = threading.Barrier(2)
        futures = []

        def submit(view=view, start=start, futures=futures):
            start.wait()
            futures.extend(view.submit(cos, 0.0) for _ in range(50))

        thread = threading.Thread(target=submit)
        thread.start()
        start.wait()
        token.cancel()
        thread.join()
        assert stealpool.wait(futures, 60).not_done == set()
        assert futures[-1].cancelled() or futures[-1].result() == 1.0


def test_cancel_is_idempotent_and_the_token_belongs_to_its_process():
    token = CancellationToken()
    assert "not cancelled" in repr(token)
    token.cancel()
    token.cancel()
    assert "not cancelled" not in repr(token)
    for refused in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            refused(token)


def test_a_token_of_the_parent_process_works_in_the_child_of_a_fork(run_python):
    run_python("""
        import os
        from stealpool import CancellationToken, Executor

        token, executor = CancellationToken(), Executor(1)
        view = executor.options(cancel=token)
        view.submit(abs, 1).result()
        child = os.fork()
        if child == 0:
            token.cancel()
            assert view.submit(abs, 1).cancelled()
            assert executor.submit(abs, -2).result() == 2
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert view.submit(abs, -3).result() == 3
    """)


def test_kernels_that_begin_while_their_token_is_cancelled_are_counted(
    make_executor, cos, until
):
    executor = make_executor(2, queue_capacity=3000)
    chance = random.Random(0)
    for _ in range(500):
        token = CancellationToken()
        view = executor.options(cancel=token)
        futures = view.submit_many(cos, [0.0] * chance.choice([10, 300, 3000]))
        due = time.perf_counter_ns() + chance.randrange(30_000)
        while time.perf_counter_ns() < due:
            pass
        token.cancel()
        stealpool.wait(futures)
        until(lambda view=view: view.stats()["unfinished"] == 0)
    # Each has given its place back.
    assert [f.result(60) for f in executor.submit_many(cos, [0.0] * 4000)] == [1] * 4000
