"""A full queue and event loops: calls wait in line, and the loop goes on."""

import asyncio
import contextvars
import gc
import queue
import random
import threading
import weakref
from array import array

import pytest
import stealpool


class Full:
    """An executor whose queues are full, of both lanes, until it is emptied."""

    def __init__(self, make_executor, gate, capacity=1, **kwargs):
        self.executor = make_executor(1, queue_capacity=capacity, **kwargs)
        self.gate, self.event, self.n = gate, threading.Event(), 1 + capacity
        self.accepted = [
            self.executor.submit(gate.kernel, gate.key) for _ in range(self.n)
        ]
        self.accepted += [
            self.executor.submit(self.event.wait, 60) for _ in range(self.n)
        ]

    def empty(self):
        self.gate.open(self.n)
        self.event.set()


@pytest.fixture
def full(make_executor, gate):
    full = Full(make_executor, gate)
    yield full
    full.empty()


def test_the_loop_goes_on_while_a_call_waits_for_room(run_loop, full, cos, new_loop):
    async def main():
        calls = [full.executor.asubmit(cos, 0.0), full.executor.asubmit(abs, -2)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert not any(call.done() for call in calls)
        assert full.executor.stats()["submitted"] == 2 * full.n
        full.empty()
        assert await asyncio.gather(*calls) == [1.0, 2]

    run_loop(main(), new_loop)


def test_many_calls_pass_a_narrow_gate(run_loop, make_executor, cos, new_loop):
    for capacity in (1, 3, 50):
        executor = make_executor(2, queue_capacity=capacity)

        async def main(executor):
            calls = [executor.asubmit(cos, 0.0) for _ in range(500)]
            others = [executor.asubmit(abs, -i) for i in range(200)]
            assert await asyncio.gather(*calls) == [1.0] * 500
            assert await asyncio.gather(*others) == list(range(200))
            assert await executor.asubmit(pow, 2, exp=3) == 8

        run_loop(main(executor), new_loop)
        assert executor.stats()["unfinished"] == 0


def test_calls_are_let_in_in_their_order(run_loop, full, new_loop):
    begun = []

    async def main():
        calls = [full.executor.asubmit(begun.append, i) for i in range(20)]
        full.empty()
        calls += [full.executor.asubmit(begun.append, i) for i in range(20, 30)]
        await asyncio.gather(*calls)

    run_loop(main(), new_loop)
    assert begun == list(range(30))


def test_a_call_in_line_is_cancelled_and_never_begins(
    run_loop, full, abort_if_called, new_loop
):
    async def main():
        calls = [full.executor.asubmit(abort_if_called) for _ in range(3)]
        last = full.executor.asubmit(abs, -1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(calls[0], 0.001)
        task = asyncio.ensure_future(calls[1])
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert calls[2].cancel()
        assert not calls[2].cancel()
        assert all(call.cancelled() for call in calls)
        full.empty()
        assert await last == 1
        assert full.executor.stats()["submitted"] == 2 * full.n + 1

    run_loop(main(), new_loop)


def test_a_line_in_which_all_have_given_up_is_no_obstacle(run_loop, full, cos):
    async def main():
        calls = [full.executor.asubmit(cos, 0.0) for _ in range(3)]
        for call in calls:
            call.cancel()
        full.empty()
        assert await full.executor.asubmit(cos, 0.0) == 1.0

    run_loop(main())


def test_arrays_are_let_go_when_a_call_in_line_is_cancelled(run_loop, full, gate):
    numbers = array("q", [0] * 16)

    async def main():
        call = full.executor.asubmit(gate.pinning, numbers)
        with pytest.raises(BufferError):
            numbers.append(0)
        call.cancel()
        numbers.append(0)

    run_loop(main())


def test_raise_raises_in_a_coroutine_and_run_runs_in_it(
    run_loop, make_executor, gate, cos
):
    refusing = Full(make_executor, gate, on_full="raise")
    running = Full(make_executor, gate, on_full="run")

    async def main():
        for fn, x in ((cos, 0.0), (abs, -1)):
            with pytest.raises(queue.Full):
                refusing.executor.asubmit(fn, x)
        with pytest.raises(queue.Full):
            refusing.executor.amap(cos, [0.0])
        ident = running.executor.asubmit(threading.get_ident)
        assert ident.done()
        assert await ident == threading.get_ident()
        assert await running.executor.asubmit(cos, 0.0) == 1.0
        refusing.empty()
        running.empty()

    run_loop(main())


def test_wrong_arguments_are_refused_before_the_line(run_loop, full, cos):
    async def main():
        with pytest.raises(TypeError, match="cos"):
            full.executor.asubmit(cos, "0")
        full.empty()

    run_loop(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        full.executor.asubmit(cos, 0.0)


def test_who_is_in_line_when_the_executor_closes_is_refused(
    run_loop, full, abort_if_called, new_loop
):
    async def main():
        call = full.executor.asubmit(abort_if_called)
        waiter = asyncio.ensure_future(asyncio.wait([call]))
        await asyncio.sleep(0)
        full.executor.shutdown(wait=False)
        await waiter
        assert "finished raised RuntimeError" in repr(call)
        assert not call.cancelled()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="after shutdown"):
                await call
        with pytest.raises(RuntimeError, match="after shutdown"):
            full.executor.asubmit(abort_if_called)
        full.empty()

    run_loop(main(), new_loop)


def test_a_refusal_that_nobody_asks_for_is_reported(full, abort_if_called):
    complaints = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        call = full.executor.asubmit(abort_if_called)
        full.executor.shutdown(wait=False)
        while not call.done():
            await asyncio.sleep(0)
        del call
        gc.collect()

    asyncio.run(main())
    (complaint,) = complaints
    assert "never retrieved" in complaint["message"]
    assert "after shutdown" in str(complaint["exception"])


def test_a_token_cancels_who_is_in_line_and_only_them(run_loop, full, cos, new_loop):
    async def main():
        token = stealpool.CancellationToken()
        call = full.executor.options(cancel=token).asubmit(cos, 0.0)
        other = full.executor.asubmit(cos, 0.0)
        token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(asyncio.CancelledError):
            await full.executor.options(cancel=token).asubmit(cos, 0.0)
        assert not other.done()
        full.empty()
        assert await other == 1.0

    run_loop(main(), new_loop)


def test_a_time_limit_ends_the_wait_for_room(run_loop, full, cos, new_loop):
    async def main():
        view = full.executor.options(timeout=0.02)
        call, other = view.asubmit(cos, 0.0), full.executor.asubmit(cos, 0.0)
        with pytest.raises(TimeoutError, match=r"queue was full for 0\.02 s"):
            await call
        in_time = full.executor.options(timeout=60).asubmit(cos, 0.0)
        full.empty()
        assert await asyncio.gather(other, in_time) == [1.0, 1.0]

    run_loop(main(), new_loop)


def test_calls_in_line_see_the_context_of_their_asubmit(run_loop, full):
    variable = contextvars.ContextVar("variable", default=0)

    async def main():
        calls = []
        for i in range(5):
            variable.set(i)
            calls.append(full.executor.asubmit(variable.get))
        full.empty()
        assert await asyncio.gather(*calls) == list(range(5))

    run_loop(main())


def test_a_loop_in_a_thread_of_the_lane_runs_the_call(make_executor):
    executor = make_executor(1, queue_capacity=1)

    async def main():
        calls = [executor.asubmit(threading.get_ident) for _ in range(5)]
        return await asyncio.gather(*calls)

    def callable_():
        return asyncio.run(main()), threading.get_ident()

    idents, ident = executor.submit(callable_).result(60)
    assert set(idents) == {ident}


def test_closing_the_loop_drops_who_is_in_line(full, abort_if_called, new_loop, until):
    class Argument:
        pass

    arguments = [Argument() for _ in range(3)]
    alive = [weakref.ref(each) for each in arguments]

    async def main():
        return [full.executor.asubmit(abort_if_called, each) for each in arguments]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        calls = runner.run(main())
    hears_of_its_end = new_loop.__name__ != "DeafLoop"
    assert all(call.cancelled() == hears_of_its_end for call in calls)
    del calls
    arguments.clear()
    full.empty()

    def are_gone():
        gc.collect()
        return not any(each() for each in alive)

    until(are_gone)
    assert full.executor.submit(abs, -1).result(60) == 1


# Not pytest.warns(): its record of the warning has the loop, which weak references see
# from 3.15 on.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_that_is_forgotten_with_calls_in_line_is_collected(
    full, abort_if_called, until
):
    async def main():
        full.executor.asubmit(abort_if_called)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    alive = weakref.ref(loop)
    del loop

    def is_gone():
        gc.collect()
        return alive() is None

    until(is_gone)
    full.empty()


def test_an_executor_lives_while_calls_are_in_line(run_loop, make_executor, gate, cos):
    executor = stealpool.Executor(1, queue_capacity=1)
    for _ in range(2):
        executor.submit(gate.kernel, gate.key)
    alive = weakref.ref(executor)

    async def main(executor):
        call = executor.asubmit(cos, 0.0)
        del executor
        gc.collect()
        gate.open(2)
        assert await call == 1.0

    coroutine = main(executor)
    del executor
    run_loop(coroutine)
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("ordered", [True, False])
def test_amap_gives_all_results_through_a_narrow_gate(
    run_loop, make_executor, new_loop, ordered
):
    executor = make_executor(1, queue_capacity=4)

    async def main():
        results = executor.amap(abs, range(-300, 0), ordered=ordered)
        found = [value async for value in results]
        assert (found if ordered else sorted(found)[::-1]) == list(range(300, 0, -1))

    run_loop(main(), new_loop)


def test_amap_reads_ahead_by_the_queue_and_one_in_line(run_loop, full):
    taken = []

    async def main():
        results = full.executor.amap(abs, map(taken.append, range(100)))
        assert taken == [0]  # the queue is full: one is in line
        full.empty()
        with pytest.raises(TypeError):
            await anext(results)

    run_loop(main())


def test_a_call_of_a_group_that_is_in_line_is_refused_when_its_block_ends(
    run_loop, full, abort_if_called
):
    async def main():
        with full.executor.group() as group:
            call = group.asubmit(abort_if_called)
        with pytest.raises(RuntimeError, match="after shutdown"):
            await call
        full.empty()

    run_loop(main())


def test_loops_and_threads_pass_one_gate_together(make_executor, cos):
    """Nothing is lost, nothing is done twice, whoever waits how."""
    executor = make_executor(2, queue_capacity=3)
    called, totals = [], []

    async def main(seed):
        own = random.Random(seed)
        calls, number = [], seed * 1000
        for _ in range(200):
            number += 1
            if own.random() < 0.5:
                calls.append((1.0, executor.asubmit(cos, 0.0)))
            else:
                calls.append((number, executor.asubmit(call, number)))
            if own.random() < 0.1:
                await asyncio.sleep(0)
            if own.random() < 0.2:
                own.choice(calls)[1].cancel()
        results = await asyncio.gather(
            *(each for _, each in calls), return_exceptions=True
        )
        for (expected, each), result in zip(calls, results, strict=True):
            assert each.done()
            assert result == expected or isinstance(result, asyncio.CancelledError)
        return sum(isinstance(each, int) for each in results)

    def call(number):
        called.append(number)
        return number

    def run(seed):
        totals.append(asyncio.run(main(seed)))

    def submit():
        futures = [executor.submit(cos, 0.0) for _ in range(300)]
        totals.append(0 * sum(future.result(60) for future in futures))

    threads = [threading.Thread(target=run, args=[seed]) for seed in range(1, 4)]
    threads += [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(totals) == len(threads)
    executor.shutdown()
    assert len(called) == len(set(called)) >= sum(totals)
    stats = executor.stats()
    assert stats["unfinished"] == 0


LINE = """
    import asyncio, ctypes, os, threading
    import stealpool

    stop = threading.Event()
    executor = stealpool.Executor(1, queue_capacity=1)
    cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)

    async def fill():
        accepted = []
        for _ in range(executor._max_workers + 1):
            accepted.append(executor.submit(stop.wait, 60))
        return accepted, executor.asubmit(abs, -2)
"""


def test_fork_with_a_call_in_line(run_python):
    run_python(
        LINE
        + """
    async def main():
        accepted, in_line = await fill()
        assert not in_line.done()
        child = os.fork()
        if child == 0:
            for future in accepted:
                future.cancel()
            executor.submit(abs, -1).result(60)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        stop.set()
        assert await in_line == 2

    asyncio.run(main())
    """,
        options=("-W", "ignore::DeprecationWarning"),
    )


def test_exit_with_a_call_in_line(run_python):
    run_python(
        LINE
        + """
    async def main():
        await fill()
        threading.Timer(0, stop.set).start()

    asyncio.run(main())
    """
    )
