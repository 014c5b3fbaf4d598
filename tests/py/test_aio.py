"""asyncio: what coroutines await, on asyncio's own loop, in its debug mode, on uvloop,
and on a loop that cannot poll."""

import asyncio
import contextvars
import ctypes
import gc
import random
import time
import traceback
import weakref

import pytest
import stealpool


@pytest.fixture(scope="module")
def cos():
    return stealpool.kernel(ctypes.CDLL("libm.so.6").cos)


@pytest.fixture
def one(make_executor):
    return make_executor(1)


@pytest.fixture(scope="module")
def failing(compile_c):
    return stealpool.kernel(
        compile_c("int fail(int code) { return code; }").fail,
        "int (int)",
        returns="status",
    )


def complaints_of(loop):
    complaints = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    return complaints


# --------------------------------------------------------------------------- results


def test_awaiting_a_call_gives_its_result(run_loop, one, cos, new_loop):
    async def main():
        assert await one.asubmit(cos, 0.0) == 1.0
        assert await one.asubmit(pow, 2, 5) == 32
        assert await one.asubmit(int, "11", base=2) == 3
        assert await one.asubmit(stealpool.kernels.integrate, abs, 0.0, 2.0) > 1.9
        assert await one.asubmit(lambda: None) is None
        assert await one.asubmit(lambda: (1, 2)) == (1, 2)

    run_loop(main(), new_loop)


def test_a_hundred_thousand_calls_are_awaited(run_loop, make_executor, cos, new_loop):
    executor = make_executor(2)
    n = 100_000 if new_loop is asyncio.SelectorEventLoop else 10_000

    async def main():
        values = [i * 1e-3 for i in range(n)]
        futures = [executor.asubmit(cos, x) for x in values]
        assert await asyncio.gather(*futures) == [cos(x) for x in values]

    run_loop(main(), new_loop)


def test_tasks_await_calls_of_both_lanes(run_loop, make_executor, cos, new_loop):
    executor = make_executor(2)

    async def square(i):
        a = await executor.asubmit(pow, i, 2)
        b = await executor.asubmit(cos, 0.0)
        loop = asyncio.get_running_loop()
        c = await loop.run_in_executor(executor, cos, 0.0)
        d = await loop.run_in_executor(executor, pow, i, 2)
        return a * b, c * d

    async def main():
        tasks = [asyncio.create_task(square(i)) for i in range(200)]
        assert await asyncio.gather(*tasks) == [(i**2, i**2) for i in range(200)]

    run_loop(main(), new_loop)


def test_a_call_is_queued_before_it_is_awaited(run_loop, one, gate, until):
    async def main():
        future = one.asubmit(gate.kernel, gate.key)
        until(lambda: future is not None and one.stats()["unfinished"] == 1)
        gate.open()
        until(lambda: one.stats()["unfinished"] == 0)
        assert future.done()
        assert await future == 0

    run_loop(main())


def test_wrong_arguments_are_refused_by_the_call(run_loop, one, cos):
    async def main():
        with pytest.raises(TypeError, match="cos"):
            one.asubmit(cos, "0")

    run_loop(main())


def test_without_a_running_loop_there_is_nothing_to_await(one, cos):
    with pytest.raises(RuntimeError, match="no running event loop"):
        one.asubmit(cos, 0.0)


def test_a_future_is_only_made_by_asubmit():
    with pytest.raises(TypeError, match="asubmit"):
        stealpool.AsyncFuture()


def test_a_future_can_be_awaited_again_and_by_many(run_loop, one, gate, new_loop):
    async def wait_for(future):
        return await future

    async def main():
        future = one.asubmit(gate.kernel, gate.key)
        tasks = [asyncio.create_task(wait_for(future)) for _ in range(3)]
        await asyncio.sleep(0)
        gate.open()
        assert await asyncio.gather(*tasks) == [0, 0, 0]
        assert await future == await future == 0

    run_loop(main(), new_loop)


def test_result_of_a_call_that_has_not_ended_is_refused(run_loop, one, gate):
    async def main():
        future = one.asubmit(gate.kernel, gate.key)
        assert not future.done()
        assert not future.cancelled()
        for ask in (future.result, future.exception):
            with pytest.raises(asyncio.InvalidStateError, match="not ended"):
                ask()
        gate.open()
        await future
        assert future.done()
        assert future.result() == 0
        assert future.exception() is None

    run_loop(main())


def test_repr_tells_the_state(run_loop, one, gate, failing):
    async def main():
        future = one.asubmit(gate.kernel, gate.key)
        queued = one.asubmit(pow, 2, 2)
        assert "pending" in repr(future)
        gate.open()
        await future
        assert "returned int" in repr(future)
        await queued
        bad = one.asubmit(failing, 1)
        await asyncio.wait([bad])
        assert "raised KernelError" in repr(bad)
        bad.exception()
        gone = one.asubmit(gate.kernel, gate.key)
        gone.cancel()
        assert "cancelled" in repr(gone)

    run_loop(main())


# ---------------------------------------------------------- what asyncio does with them


def test_asyncio_takes_it_for_a_future_of_its_own(run_loop, one, gate, cos, new_loop):
    async def main():
        loop = asyncio.get_running_loop()
        future = one.asubmit(cos, 0.0)
        assert asyncio.isfuture(future)
        assert asyncio.ensure_future(future) is future
        assert future.get_loop() is loop
        assert await asyncio.wait_for(one.asubmit(cos, 0.0), 60) == 1.0
        assert await asyncio.shield(one.asubmit(cos, 0.0)) == 1.0
        done, pending = await asyncio.wait([one.asubmit(cos, 0.0) for _ in range(5)])
        assert [each.result() for each in done] == [1.0] * 5
        assert not pending
        stuck = one.asubmit(gate.kernel, gate.key)
        quick = one.asubmit(pow, 2, 2)
        first = asyncio.FIRST_COMPLETED
        done, pending = await asyncio.wait([stuck, quick], return_when=first)
        assert (done, pending) == ({quick}, {stuck})
        gate.open()
        results = [
            await each for each in asyncio.as_completed([stuck, one.asubmit(pow, 3, 2)])
        ]
        assert sorted(results) == [0, 9]
        async with asyncio.timeout(60):
            assert await one.asubmit(cos, 0.0) == 1.0

    run_loop(main(), new_loop)


def test_a_loop_runs_until_it_is_done(one, cos):
    loop = asyncio.SelectorEventLoop()

    async def submit():
        return one.asubmit(cos, 0.0)

    future = loop.run_until_complete(submit())
    assert loop.run_until_complete(future) == 1.0
    loop.close()


def test_awaiting_it_in_another_loop_is_refused(run_loop, one, gate):
    async def submit():
        return one.asubmit(gate.kernel, gate.key)

    async def wait_for(future):
        await future

    loop = asyncio.SelectorEventLoop()
    future = loop.run_until_complete(submit())
    with pytest.raises(RuntimeError, match="loop"):
        run_loop(wait_for(future))
    loop.close()
    gate.open()


# ------------------------------------------------------------------------- exceptions


def test_a_kernels_error_is_raised_by_await(run_loop, one, failing, new_loop):
    async def main():
        for _ in range(3):
            with pytest.raises(stealpool.KernelError) as caught:
                await one.asubmit(failing, 7)
            assert caught.value.code == 7
        loop = asyncio.get_running_loop()
        with pytest.raises(stealpool.KernelError):
            await loop.run_in_executor(one, failing, 7)
        results = await asyncio.gather(
            one.asubmit(failing, 1), one.asubmit(pow, 2, 2), return_exceptions=True
        )
        assert results[0].code == 1
        assert results[1] == 4

    run_loop(main(), new_loop)


def test_a_traceback_does_not_grow_when_raised_again(run_loop, one):
    def divide():
        return 1 / 0

    async def main():
        future = one.asubmit(divide)
        lengths = []
        for _ in range(3):
            with pytest.raises(ZeroDivisionError) as caught:
                await future
            frames = traceback.extract_tb(caught.tb)
            assert frames[-1].name == "divide"
            lengths.append(len(frames))
        assert lengths[1] == lengths[2]

    run_loop(main())


def test_stop_iteration_of_a_callable_does_not_end_the_coroutine(run_loop, one):
    async def main():
        for awaitable in (
            one.asubmit(next, iter(())),
            asyncio.get_running_loop().run_in_executor(one, next, iter(())),
        ):
            with pytest.raises(RuntimeError, match="StopIteration") as caught:
                await awaitable
            assert isinstance(caught.value.__cause__, StopIteration)

    run_loop(main())


def test_errors_of_concurrent_futures_become_those_of_asyncio(run_loop, one):
    def fail(error):
        raise error

    async def main():
        with pytest.raises(asyncio.CancelledError):
            await one.asubmit(fail, stealpool.CancelledError())
        with pytest.raises(asyncio.InvalidStateError, match="words"):
            await one.asubmit(fail, stealpool.InvalidStateError("words"))

    run_loop(main())


def test_an_exception_that_nobody_asked_for_is_reported(one, failing, until):
    loop = asyncio.SelectorEventLoop()
    complaints = complaints_of(loop)

    async def main():
        future = one.asubmit(failing, 1)
        asked = one.asubmit(failing, 2)
        await asyncio.wait([future, asked])
        asked.exception()

    loop.run_until_complete(main())
    gc.collect()
    loop.close()
    (complaint,) = complaints
    assert complaint["message"] == "AsyncFuture exception was never retrieved"
    assert complaint["exception"].code == 1


def test_an_exception_leaves_no_cycle_behind(run_loop, one, failing, new_loop):
    async def main():
        future = one.asubmit(failing, 1)
        with pytest.raises(stealpool.KernelError):
            await future
        watch = weakref.ref(future)
        del future
        # The callback that woke us has it, and, for a deaf loop, the thread that told
        # the loop: for a moment. Only a cycle would keep it, for the collector is off.
        deadline = time.monotonic() + 60
        while watch() is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0)

    gc.disable()
    try:
        run_loop(main(), new_loop)
    finally:
        gc.enable()


# ---------------------------------------------------------------------------- callbacks


def test_callbacks_are_called_in_order_in_their_contexts(run_loop, one, gate):
    word = contextvars.ContextVar("word", default="none")
    calls = []

    async def main():
        future = one.asubmit(gate.kernel, gate.key)
        word.set("mine")
        future.add_done_callback(lambda f: calls.append((f is future, word.get())))
        other = contextvars.Context()
        future.add_done_callback(lambda f: calls.append((1, word.get())), context=other)
        future.add_done_callback(lambda f: calls.append((2, word.get())))
        word.set("later")
        gate.open()
        await future
        future.add_done_callback(lambda f: calls.append((3, word.get())))
        assert len(calls) == 3  # never inside of add_done_callback()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run_loop(main())
    assert calls == [(True, "mine"), (1, "none"), (2, "mine"), (3, "later")]


def test_a_callback_can_be_removed(run_loop, one, gate):
    calls = []

    async def main():
        future = one.asubmit(gate.kernel, gate.key)
        for each in (calls.append, print, calls.append):
            future.add_done_callback(each)
        assert future.remove_done_callback(calls.append) == 2
        assert future.remove_done_callback(calls.append) == 0
        assert future.remove_done_callback(print) == 1
        gate.open()
        await future

    run_loop(main())
    assert calls == []


def test_a_failing_callback_is_the_loops_affair(one, gate, new_loop):
    loop = new_loop()
    complaints = complaints_of(loop)
    calls = []

    async def main():
        future = one.asubmit(gate.kernel, gate.key)
        future.add_done_callback(lambda _: 1 / 0)
        future.add_done_callback(calls.append)
        gate.open()
        await future
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    loop.close()
    assert len(calls) == 1
    (complaint,) = complaints
    assert isinstance(complaint["exception"], ZeroDivisionError)
    assert "callback" in complaint["message"]


def test_exit_out_of_a_callback_loses_no_other_future(one, gate, cos, until):
    loop = asyncio.SelectorEventLoop()
    futures, ended = [], []

    def submit():
        futures.append(one.asubmit(gate.kernel, gate.key))
        futures.extend(one.asubmit(cos, 0.0) for _ in range(10))
        for future in futures:
            future.add_done_callback(leave if future is futures[3] else ended.append)
        gate.open()
        until(lambda: one.stats()["unfinished"] == 0)

    def leave(_):
        raise SystemExit(3)

    loop.call_soon(submit)
    with pytest.raises(SystemExit):
        loop.run_forever()
    assert ended == futures[:3]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert ended == futures[:3] + futures[4:]


# ----------------------------------------------------------------------- cancellation


@pytest.mark.parametrize("way", ["asubmit", "run_in_executor"])
def test_cancelling_a_task_cancels_the_queued_call(
    run_loop, one, gate, cos, until, new_loop, way
):
    async def wait_for(*call):
        loop = asyncio.get_running_loop()
        if way == "asubmit":
            await one.asubmit(*call)
        else:
            await loop.run_in_executor(one, *call)

    async def main():
        stuck = one.submit(gate.kernel, gate.key)
        until(stuck.running)
        executed = one.stats()["executed"]
        tasks = [asyncio.create_task(wait_for(cos, 0.0)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel("words")
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(each) for each in results} == {asyncio.CancelledError}
        until(lambda: one.stats()["unfinished"] == 1)
        gate.open()
        assert stuck.result() == 0
        await one.asubmit(cos, 0.0)
        assert one.stats()["executed"] == executed + 2

    run_loop(main(), new_loop)


@pytest.fixture(scope="module")
def polling(compile_c):
    """A kernel that runs until it is asked to stop; its argument; how many run."""
    library = compile_c(
        """
        #include <sched.h>
        #include <stdint.h>
        volatile int n_running;
        int poll_until_asked(uintptr_t is_cancelled)
        {
            n_running++;
            while (!((int (*)(void))is_cancelled)())
                sched_yield();
            n_running--;
            return 7;
        }
        """
    )
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = stealpool._core.__pyx_capi__["is_cancelled"]
    address = pointer(capsule, b"int (void)")
    kernel = stealpool.kernel(library.poll_until_asked, "int (uintptr_t)")
    return kernel, address, ctypes.c_int.in_dll(library, "n_running")


@pytest.mark.parametrize("way", ["asubmit", "run_in_executor"])
def test_cancelling_a_task_asks_the_running_kernel_to_stop(
    run_loop, one, polling, until, new_loop, way
):
    async def wait_for(*call):
        loop = asyncio.get_running_loop()
        if way == "asubmit":
            await one.asubmit(*call)
        else:
            await loop.run_in_executor(one, *call)

    async def main():
        kernel, address, n_running = polling
        task = asyncio.create_task(wait_for(kernel, address))
        async with asyncio.timeout(60):
            while not n_running.value:
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        until(lambda: n_running.value == 0)

    run_loop(main(), new_loop)


def test_a_task_need_not_wait_for_a_running_kernel_that_it_gives_up(
    run_loop, one, gate, until, new_loop
):
    async def main():
        future = one.asubmit(gate.kernel, gate.key)
        watch = weakref.ref(future)

        async def wait_for():
            await future

        task = asyncio.create_task(wait_for())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()
        assert future.done()
        with pytest.raises(asyncio.CancelledError):
            await future
        gate.open()
        assert one.submit(pow, 2, 2).result() == 4
        return watch

    run_loop(main(), new_loop)


def test_timeout_gives_up_a_call(run_loop, one, gate, new_loop):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await one.asubmit(gate.kernel, gate.key)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.asubmit(gate.kernel, gate.key), 0.001)
        gate.open(2)

    run_loop(main(), new_loop)


def test_a_task_group_cancels_the_siblings_of_a_failed_call(
    run_loop, one, gate, failing, new_loop
):
    async def wait_for(*call):
        await one.asubmit(*call)

    async def main():
        siblings = []
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(wait_for(failing, 5))
                siblings += [
                    group.create_task(wait_for(gate.kernel, gate.key)) for _ in range(3)
                ]
        assert [each.code for each in caught.value.exceptions] == [5]
        assert all(sibling.cancelled() for sibling in siblings)
        gate.open(3)

    run_loop(main(), new_loop)


def test_cancel_tells_whether_it_came_in_time(run_loop, one, gate, cos, until):
    async def main():
        stuck = one.submit(gate.kernel, gate.key)
        queued = one.asubmit(cos, 0.0)
        assert queued.cancel("words")
        assert not queued.cancel()
        assert queued.done()
        assert queued.cancelled()
        with pytest.raises(asyncio.CancelledError, match="words"):
            queued.result()
        with pytest.raises(asyncio.CancelledError, match="words"):
            await queued
        gate.open()
        stuck.result()
        ended = one.asubmit(cos, 0.0)
        await ended
        assert not ended.cancel()
        assert not ended.cancelled()

    run_loop(main())


def test_shutdown_with_cancel_futures_wakes_who_awaits(run_loop, one, gate, cos, until):
    async def wait_for(*call):
        await one.asubmit(*call)

    async def main():
        stuck = one.submit(gate.kernel, gate.key)
        until(stuck.running)
        task = asyncio.create_task(wait_for(cos, 0.0))
        relayed = asyncio.get_running_loop().run_in_executor(one, cos, 0.0)
        await asyncio.sleep(0)
        one.shutdown(wait=False, cancel_futures=True)
        for awaitable in (task, relayed):
            with pytest.raises(asyncio.CancelledError):
                await awaitable
        gate.open()

    run_loop(main())


@pytest.mark.parametrize("seed", range(3))
def test_cancelling_races_with_ends(run_loop, make_executor, cos, new_loop, seed):
    executor = make_executor(2)
    chance = random.Random(seed)

    async def wait_for(call):
        if chance.random() < 0.5:
            return await executor.asubmit(*call)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, *call)

    async def main():
        # asyncio's debug mode takes a stack for each call: 20 times as long.
        is_slow = asyncio.get_running_loop().get_debug()
        for _ in range(3 if is_slow else 30):
            calls = [chance.choice([(cos, 0.0), (pow, 1, 1)]) for _ in range(50)]
            tasks = [asyncio.create_task(wait_for(call)) for call in calls]
            chosen = [task for task in tasks if chance.random() < 0.5]
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            for task in chosen:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for task, result in zip(tasks, results, strict=True):
                if task in chosen and isinstance(result, asyncio.CancelledError):
                    continue
                assert result == 1, f"seed {seed}"
        stats = executor.stats()
        while stats["unfinished"]:
            await asyncio.sleep(0)
            stats = executor.stats()
        assert stats["submitted"] == stats["completed"]

    run_loop(main(), new_loop)


def test_cancel_in_the_moment_of_the_end(run_loop, make_executor, cos):
    executor = make_executor(1)
    chance = random.Random(0)

    async def main():
        told = []
        for _ in range(20_000):
            future = executor.asubmit(cos, 0.0)
            future.add_done_callback(told.append)
            due = time.perf_counter_ns() + chance.randrange(10_000)
            while time.perf_counter_ns() < due:
                pass
            is_cancelled = future.cancel()
            async with asyncio.timeout(20):
                while not told:
                    await asyncio.sleep(0)
            assert told.pop() is future
            assert future.cancelled() is is_cancelled

    run_loop(main())
