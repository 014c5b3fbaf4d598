"""An event loop's inbox: one wake-up for a batch, and the ends of loops."""

import asyncio
import ctypes
import gc
import os
import random
import sys
import threading
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


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


# -------------------------------------------------------------- one wake-up for a batch


class CountingLoop(asyncio.SelectorEventLoop):
    n_turns = 0
    n_messages = 0

    def _run_once(self):
        self.n_turns += 1
        super()._run_once()

    def call_soon_threadsafe(self, *args, **kwargs):
        self.n_messages += 1
        return super().call_soon_threadsafe(*args, **kwargs)


@pytest.mark.parametrize("way", ["asubmit", "run_in_executor"])
def test_a_batch_takes_one_turn_of_the_loop(run_loop, one, gate, cos, until, way):
    async def main():
        loop = asyncio.get_running_loop()
        if way == "asubmit":
            submit = one.asubmit
        else:
            submit = lambda *call: loop.run_in_executor(one, *call)  # noqa: E731
        futures = [submit(gate.kernel, gate.key)]
        futures += [submit(cos, 0.0) for _ in range(1000)]
        all_ended = asyncio.gather(*futures)
        await asyncio.sleep(0)
        attaches = one.stats()["attaches"]
        gate.open()
        until(lambda: one.stats()["unfinished"] == 0)
        before = loop.n_turns
        await all_ended
        assert loop.n_turns - before <= 4
        assert loop.n_messages == 0
        assert one.stats()["attaches"] == attaches

    run_loop(main(), CountingLoop)


def test_a_loop_that_cannot_poll_is_woken_once_for_a_batch(run_loop, one, gate, cos):
    class DeafCountingLoop(CountingLoop):
        def add_reader(self, fd, callback, *args):
            raise NotImplementedError

    async def main():
        loop = asyncio.get_running_loop()
        futures = [one.asubmit(gate.kernel, gate.key)]
        futures += [one.asubmit(cos, 0.0) for _ in range(1000)]
        all_ended = asyncio.gather(*futures)
        all_announced = threading.Event()
        last = one.submit(cos, 0.0)
        last.add_done_callback(lambda _: all_announced.set())
        gate.open()
        assert all_announced.wait(60)
        await all_ended
        assert loop.n_messages == 1

    run_loop(main(), DeafCountingLoop)


def test_a_loop_that_forgets_its_readers_is_woken_otherwise(run_loop, one, gate):
    class ForgetfulLoop(asyncio.SelectorEventLoop):
        """As in tests that replace its private methods."""

        def add_reader(self, fd, callback, *args):
            pass

    async def main():
        loop = asyncio.get_running_loop()
        futures = [one.asubmit(gate.kernel, gate.key)]
        futures += [loop.run_in_executor(one, gate.kernel, gate.key)]
        both = asyncio.gather(*futures)
        gate.open(2)
        assert await both == [0, 0]

    run_loop(main(), ForgetfulLoop)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_a_loop_that_refuses_to_be_woken_once_is_woken_by_the_next_end(
    run_loop, one, gate, until, monkeypatch, error
):
    reports, refused = [], threading.Event()
    monkeypatch.setattr(sys, "unraisablehook", lambda u: reports.append(u.exc_type))

    class RefusingLoop(asyncio.SelectorEventLoop):
        refuses = False

        def add_reader(self, fd, callback, *args):
            raise NotImplementedError

        def call_soon_threadsafe(self, *args, **kwargs):
            if self.refuses:
                self.refuses = False
                refused.set()
                raise error
            return super().call_soon_threadsafe(*args, **kwargs)

    async def main():
        first, second = (one.asubmit(gate.kernel, gate.key) for _ in range(2))
        told = {future: asyncio.Event() for future in (first, second)}
        for future in told:
            future.add_done_callback(lambda future: told[future].set())
        asyncio.get_running_loop().refuses = True
        gate.open()
        until(refused.is_set)
        gate.open()
        await asyncio.wait_for(told[second].wait(), 60)
        if error is not RuntimeError:  # which is what closed loops raise
            await asyncio.wait_for(told[first].wait(), 60)

    run_loop(main(), RefusingLoop)
    # Of a callback, an Exception is logged; RuntimeError says that the loop is closed.
    assert reports == ([error] if error is KeyboardInterrupt else [])


def test_awaiting_short_calls_does_not_starve_the_loop(run_loop, one, cos, new_loop):
    async def main():
        turns = 0
        is_over = False

        async def count():
            nonlocal turns
            while not is_over:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        future = one.asubmit(cos, 0.0)
        for _ in range(1000):
            await future
            await one.asubmit(cos, 0.0)
        is_over = True
        await counting
        assert turns >= 10

    run_loop(main(), new_loop)


# ------------------------------------------------------------------- the loop's own end


def test_a_closed_loop_leaves_the_calls_alone(make_executor, gate, cos, until):
    executor = make_executor(1)
    before = open_descriptors()
    for _ in range(20):
        loop = asyncio.SelectorEventLoop()

        async def main():
            loop = asyncio.get_running_loop()
            futures = [executor.asubmit(gate.kernel, gate.key)]
            futures += [executor.asubmit(cos, 0.0) for _ in range(10)]
            futures += [loop.run_in_executor(executor, cos, 0.0)]
            for future in futures:
                future.add_done_callback(print)
            return futures

        futures = loop.run_until_complete(main())
        loop.close()
        gate.open()
        until(lambda: executor.stats()["unfinished"] == 0)
        assert futures[1].result() == 1.0
    del futures, loop
    gc.collect()
    assert open_descriptors() <= before


@pytest.mark.parametrize("seed", range(3))
def test_closing_a_loop_races_with_ends(make_executor, cos, until, seed):
    executor = make_executor(2)
    before = open_descriptors()
    chance = random.Random(seed)

    async def main():
        loop = asyncio.get_running_loop()
        futures = [executor.asubmit(cos, 0.0) for _ in range(chance.randrange(1, 200))]
        futures += [loop.run_in_executor(executor, cos, 0.0) for _ in range(20)]
        for future in futures:
            future.add_done_callback(id)
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)

    for _ in range(100):
        loop = asyncio.SelectorEventLoop()
        loop.run_until_complete(main())
        loop.close()
    until(lambda: executor.stats()["unfinished"] == 0)
    gc.collect()
    assert open_descriptors() <= before, f"seed {seed}"


def test_a_loop_closes_with_ends_in_its_inbox_that_nobody_waits_for(run_python):
    run_python(
        """
        import asyncio, ctypes
        import stealpool

        libc = ctypes.CDLL("libc.so.6")
        wait = stealpool.kernel(libc.sem_wait, "int (void *)")
        semaphore = ctypes.create_string_buffer(64)
        executor = stealpool.Executor(1)

        async def main():
            libc.sem_init(semaphore, 0, 0)
            futures = [executor.asubmit(wait, semaphore) for _ in range(100)]
            for future in futures:
                future.add_done_callback(print)
            for future in futures:
                libc.sem_post(semaphore)
            while not all([future.done() for future in futures]):
                pass
            loop.stop()  # it does not look into its inbox any more

        loop = asyncio.SelectorEventLoop()
        task = loop.create_task(main())
        loop.run_forever()
        loop.close()
        assert executor.submit(abs, -1).result(60) == 1
        """,
        env={"PYTHONMALLOC": "debug"},  # what is freed is overwritten
    )


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_loop_that_is_dropped_unclosed_is_collected(
    make_executor, gate, cos, until, when
):
    executor = make_executor(1)
    before = open_descriptors()

    async def main():
        loop = asyncio.get_running_loop()
        for future in (
            executor.asubmit(gate.kernel, gate.key),
            executor.asubmit(cos, 0.0),
            loop.run_in_executor(executor, cos, 0.0),
        ):
            future.add_done_callback(id)

    loop = asyncio.SelectorEventLoop()
    loop.run_until_complete(main())
    watch = weakref.ref(loop)
    if when == "before":
        gate.open()
        until(lambda: executor.stats()["unfinished"] == 0)
    del loop
    gc.collect()
    assert watch() is None
    gate.open()
    until(lambda: executor.stats()["unfinished"] == 0)
    assert open_descriptors() <= before


def test_loops_in_many_threads_have_inboxes_of_their_own(make_executor, cos, new_loop):
    executor = make_executor(2)
    found = []

    async def main(x):
        loop = asyncio.get_running_loop()
        # asyncio's debug mode takes a stack for each call: 20 times as long.
        for _ in range(2 if loop.get_debug() else 20):
            results = await asyncio.gather(
                *(executor.asubmit(cos, x) for _ in range(50)),
                *(loop.run_in_executor(executor, cos, x) for _ in range(50)),
            )
            assert results == [cos(x)] * 100
        found.append(x)

    def run_loop(x):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main(x))

    threads = [threading.Thread(target=run_loop, args=(i * 0.1,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_the_child_of_a_fork_has_an_inbox_of_its_own(run_python):
    done = run_python(
        """
        import asyncio, ctypes, os, stealpool, warnings
        warnings.simplefilter("ignore")
        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        executor = stealpool.Executor(1)

        async def use(n):
            await asyncio.gather(*(executor.asubmit(cos, 0.0) for _ in range(n)))

        async def main():
            futures = [executor.asubmit(cos, 0.0) for _ in range(100)]
            for future in futures:
                future.add_done_callback(id)
            pid = os.fork()
            if pid == 0:
                return futures
            assert os.waitpid(pid, 0)[1] == 0
            await asyncio.gather(*futures)
            await use(100)

        loop = asyncio.new_event_loop()
        futures = loop.run_until_complete(main())
        if futures:
            del futures
            asyncio.run(use(100))
            executor.shutdown()
            print("child", flush=True)
            os._exit(0)
        loop.close()
        print("parent")
        """
    )
    assert done.stdout == "child\nparent\n"


def test_exit_with_a_loop_that_never_closed(run_python):
    run_python(
        """
        import asyncio, ctypes, stealpool
        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        executor = stealpool.Executor(1)

        async def main():
            global futures
            futures = [executor.asubmit(cos, 0.0) for _ in range(1000)]
            for future in futures:
                future.add_done_callback(id)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        """
    )


# ---------------------------------------------------------------------- run_in_executor


def test_run_in_executor_starts_no_drainer(run_python):
    run_python(
        """
        import asyncio, ctypes, stealpool, threading
        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        executor = stealpool.Executor(1)

        async def main():
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor
            assert await asyncio.gather(
                *(call(executor, cos, 0.0) for _ in range(100))
            ) == [1.0] * 100
            assert threading.enumerate() == [threading.main_thread()]

        asyncio.run(main())
        """
    )


def test_a_future_can_be_wrapped_outside_of_its_loop(one, gate):
    loop = asyncio.SelectorEventLoop()
    wrapped = asyncio.wrap_future(one.submit(gate.kernel, gate.key), loop=loop)
    gate.open()
    assert loop.run_until_complete(wrapped) == 0
    loop.close()


def test_a_future_can_be_wrapped_and_waited_for_twice(run_loop, one, gate, cos):
    async def main():
        first = one.submit(gate.kernel, gate.key)
        future = one.submit(cos, 0.0)
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        results = asyncio.gather(
            asyncio.wrap_future(future), asyncio.wrap_future(future)
        )
        waiting = threading.Thread(
            target=lambda: list(stealpool.as_completed([future]))
        )
        waiting.start()
        gate.open()
        assert await results == [1.0, 1.0]
        assert await asyncio.to_thread(ended.wait, 60)
        waiting.join()
        first.result()

    run_loop(main())


def test_as_completed_first_and_the_loop_second(run_loop, one, gate, cos):
    async def main():
        first = one.submit(gate.kernel, gate.key)
        future = one.submit(cos, 0.0)
        iterator = stealpool.as_completed([future, first])
        taken = asyncio.to_thread(list, iterator)
        task = asyncio.create_task(taken)
        wrapped = asyncio.wrap_future(future)
        await asyncio.sleep(0)
        gate.open()
        assert await wrapped == 1.0
        assert len(await task) == 2

    run_loop(main())


# ------------------------------------------------------------------------------ memory


def test_awaited_calls_leave_nothing_behind(run_loop, make_executor, cos, failing):
    executor = make_executor(1)

    async def spend(n):
        loop = asyncio.get_running_loop()
        futures = [executor.asubmit(cos, 0.0) for _ in range(n)]
        futures += [loop.run_in_executor(executor, cos, 0.0) for _ in range(n)]
        futures += [executor.asubmit(failing, 1) for _ in range(n)]
        futures += [executor.asubmit(abs, 1) for _ in range(n)]
        for future in futures[::7]:
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)

    async def main():
        await spend(100)
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(20):
            await spend(100)
        gc.collect()
        assert sys.getallocatedblocks() - before < 2000  # 40 objects a round at most

    run_loop(main())
