"""Full queues and time limits: what happens before a call is queued."""

import queue
import signal
import threading
import time

import pytest
import stealpool


def fill(executor, gate, event, waiting):
    """One call running and `waiting` queued, in both lanes."""
    futures = [executor.submit(gate.kernel, gate.key) for _ in range(1 + waiting)]
    return futures + [executor.submit(event.wait, 60) for _ in range(1 + waiting)]


# --------------------------------------------------------------------- full queues


def test_raise_refuses_what_is_over_capacity_in_each_lane(make_executor, gate, cos):
    executor = make_executor(1, queue_capacity=2, on_full="raise")
    event = threading.Event()
    accepted = fill(executor, gate, event, waiting=2)
    with pytest.raises(queue.Full, match="queue of kernels is full.*capacity is 2"):
        executor.submit(cos, 0.0)
    with pytest.raises(queue.Full, match="queue of Python callables is full"):
        executor.submit(abs, 1)
    with pytest.raises(queue.Full):
        executor.submit_many(cos, [0.0])
    assert executor.stats()["unfinished"] == 6
    event.set()
    gate.open(3)
    assert stealpool.wait(accepted, 60).not_done == set()
    assert executor.submit(cos, 0.0).result() == 1.0
    assert len(executor.submit_many(cos, [0.0] * 3)) == 3


def test_raise_accepts_all_of_submit_many_or_none(make_executor, gate, cos):
    executor = make_executor(1, queue_capacity=4, on_full="raise")
    executor.submit(gate.kernel, gate.key)
    with pytest.raises(queue.Full):
        executor.submit_many(cos, [0.0] * 5)
    assert executor.stats()["submitted"] == 1
    futures = executor.submit_many(cos, [0.0] * 4)
    gate.open()
    assert [future.result(60) for future in futures] == [1.0] * 4


def test_run_runs_in_the_caller(make_executor, gate, cos):
    executor = make_executor(1, queue_capacity=1, on_full="run")
    event = threading.Event()
    accepted = fill(executor, gate, event, waiting=1)
    future = executor.submit(threading.get_ident)
    assert future.done()
    assert future.result() == threading.get_ident()
    kernels = [executor.submit(cos, 0.0), *executor.submit_many(cos, [0.0] * 9)]
    assert all(kernel.done() for kernel in kernels)
    assert executor.stats()["completed"] == 11
    event.set()
    gate.open(2)
    assert stealpool.wait(accepted, 60).not_done == set()
    assert executor.stats()["unfinished"] == 0


def test_block_waits_until_half_of_the_capacity_is_free(make_executor, gate, cos):
    executor = make_executor(1, queue_capacity=4)
    accepted = [executor.submit(gate.kernel, gate.key) for _ in range(5)]
    late = []
    thread = threading.Thread(target=lambda: late.append(executor.submit(cos, 0.0)))
    thread.start()
    gate.open()
    accepted[0].result(60)
    gate.open()
    accepted[1].result(60)
    thread.join(60)
    assert not thread.is_alive()
    gate.open(3)
    assert late[0].result(60) == 1.0
    # Three waited and one ran when it was let in: two had to end, not only one.
    assert accepted[1].done()


def test_block_holds_for_many_submitters_and_submit_many(make_executor, cos):
    executor = make_executor(2, queue_capacity=3)
    results = []

    def submit():
        futures = [executor.submit(cos, 0.0) for _ in range(500)]
        futures += executor.submit_many(cos, [0.0] * 500)
        futures += [executor.submit(abs, -1.0) for _ in range(200)]
        results.append(sum(future.result(60) for future in futures))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1200.0] * 4
    assert executor.stats()["unfinished"] == 0


def test_block_in_a_thread_of_the_lane_runs_the_call_instead(make_executor):
    executor = make_executor(1, queue_capacity=1)

    def nested():
        futures = [executor.submit(threading.get_ident) for _ in range(10)]
        return [future.result() for future in futures], threading.get_ident()

    idents, ident = executor.submit(nested).result(60)
    assert set(idents) == {ident}


def test_block_ends_when_the_executor_is_closed(make_executor, gate, until):
    executor = make_executor(1, queue_capacity=1)
    event = threading.Event()
    fill(executor, gate, event, waiting=1)
    errors = []

    def submit():
        try:
            executor.submit(gate.kernel, gate.key)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=submit)
    thread.start()
    executor.shutdown(wait=False, cancel_futures=False)
    thread.join(60)
    assert errors == ["cannot schedule new futures after shutdown"]
    gate.open(2)
    event.set()


def test_block_ends_when_the_token_is_cancelled(make_executor, gate):
    executor = make_executor(1, queue_capacity=1)
    event, token = threading.Event(), stealpool.CancellationToken()
    accepted = fill(executor, gate, event, waiting=1)
    view = executor.options(cancel=token)
    threading.Timer(0.01, token.cancel).start()
    with pytest.raises(stealpool.CancelledError):
        view.submit(gate.kernel, gate.key).result()
    gate.open(2)
    event.set()
    assert stealpool.wait(accepted, 60).not_done == set()


def test_block_ends_at_the_time_limit(make_executor, gate, cos):
    executor = make_executor(1, queue_capacity=1)
    event = threading.Event()
    fill(executor, gate, event, waiting=1)
    with pytest.raises(TimeoutError, match=r"queue was full for 0\.01 s"):
        executor.options(timeout=0.01).submit(cos, 0.0)
    gate.open(2)
    event.set()


def test_ctrl_c_ends_block_and_the_executor_goes_on(make_executor, gate, cos):
    executor = make_executor(1, queue_capacity=1)
    accepted = [executor.submit(gate.kernel, gate.key) for _ in range(2)]
    main = threading.get_ident()
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        executor.submit(cos, 0.0)
        time.sleep(60)  # sleep: the signal comes now, if it has not come before
    timer.join()
    gate.open(2)
    assert stealpool.wait(accepted, 60).not_done == set()
    assert executor.submit(cos, 0.0).result(60) == 1.0


def test_views_share_the_capacity_of_their_executor(make_executor, gate, cos):
    executor = make_executor(1, queue_capacity=1, on_full="raise")
    view = executor.options(priority="high")
    view.submit(gate.kernel, gate.key)
    executor.submit(cos, 0.0)
    with pytest.raises(queue.Full):
        view.submit(cos, 0.0)
    gate.open()


def test_places_come_back_however_a_call_ends(make_executor, gate, cos):
    executor = make_executor(1, queue_capacity=2, on_full="raise")
    event = threading.Event()
    for round_number in range(3):
        accepted = fill(executor, gate, event, waiting=2)
        if round_number == 0:
            for future in accepted:
                future.cancel()
        elif round_number == 1:
            del accepted[1:]
        gate.open(3)
        event.set()
        executor._await_tasks(60)
        event.clear()
    with pytest.raises(TypeError):
        executor.submit(cos, "x")
    assert len([executor.submit(cos, 0.0) for _ in range(2)]) == 2


@pytest.mark.parametrize("capacity", [0, -1, 2**31])
def test_a_capacity_out_of_range_is_refused(capacity):
    with pytest.raises(ValueError, match=f"queue_capacity must be from 1.*{capacity}"):
        stealpool.Executor(queue_capacity=capacity)


def test_other_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="queue_capacity must be an integer.*float 1.5"):
        stealpool.Executor(queue_capacity=1.5)
    with pytest.raises(ValueError, match="on_full must be .*got 'drop'"):
        stealpool.Executor(on_full="drop")


# --------------------------------------------------------------------- time limits


def test_a_queued_call_ends_in_timeout_error_when_its_time_passes(one, gate, cos):
    event = threading.Event()
    one.submit(gate.kernel, gate.key)
    one.submit(event.wait, 60)
    view = one.options(timeout=0.02)
    futures = [view.submit(cos, 0.0), view.submit(abs, 1), view.submit(cos, 1.0)]
    heard = threading.Event()
    futures[2].add_done_callback(lambda future: heard.set())
    for future in futures:
        with pytest.raises(TimeoutError, match=r"had not ended 0\.02 s after"):
            future.result(60)
        assert not future.cancelled()
    assert heard.wait(60)
    gate.open()
    event.set()


def test_a_running_call_raises_when_it_returns(one, gate):
    view = one.options(timeout=0.02)
    event = threading.Event()
    kernel, callable_ = view.submit(gate.kernel, gate.key), view.submit(event.wait, 60)
    assert stealpool.wait([kernel, callable_], 0.2).done == set()
    gate.open()
    event.set()
    for future in (kernel, callable_):
        with pytest.raises(TimeoutError, match="had not ended"):
            future.result(60)


def test_calls_in_time_are_not_affected(make_executor, cos):
    executor = make_executor(2)
    view = executor.options(timeout=60)
    assert sum(f.result() for f in view.submit_many(cos, [0.0] * 1000)) == 1000
    assert list(view.map(abs, range(-100, 0))) == list(range(100, 0, -1))


def test_each_submit_has_its_own_time_limit(one, gate, cos, until):
    one.submit(gate.kernel, gate.key)
    short, long = one.options(timeout=0.01), one.options(timeout=60)
    kept = [long.submit(cos, 0.0)]
    lost = []
    for _ in range(5):
        lost.append(short.submit(cos, 0.0))
        kept.append(long.submit(cos, 0.0))
        until(lost[-1].done)
    gate.open()
    assert [future.result(60) for future in kept] == [1.0] * 6
    assert all(isinstance(future.exception(), TimeoutError) for future in lost)
