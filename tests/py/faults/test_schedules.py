"""Schedules of what threads do to one executor at once; afterwards the books balance.

Hypothesis makes the schedules. An accepted call ran once or was cancelled, never both,
never neither; its Future has its own result; each of its callbacks was called once.
STRESS multiplies the schedules: 300 make a million rounds, as a release does.
"""

import asyncio
import collections
import concurrent.futures as cf
import ctypes
import gc
import os
import sys
import threading
import weakref

import pytest
import stealpool
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SCHEDULES = 60 * int(os.environ.get("STRESS", "1"))
SLOTS = 4096

indices = st.integers(0, 30)
timeouts = st.sampled_from([None, 0, 1e-5, 60])
AWAITS = {
    "asubmit": lambda executor, call: executor.asubmit(*call),
    "shield": lambda executor, call: asyncio.shield(executor.asubmit(*call)),
    "wait_for": lambda executor, call: asyncio.wait_for(executor.asubmit(*call), 1e-5),
    "run_in_executor": lambda executor, call: (
        asyncio.get_running_loop().run_in_executor(executor, *call)
    ),
}
# how, native, does the loop have its turn then, is the task cancelled
awaits = st.tuples(st.sampled_from(list(AWAITS)), *[st.booleans()] * 3)
rounds = st.one_of(
    st.tuples(st.just("submit"), st.booleans()),
    st.tuples(st.just("submit_many"), st.integers(0, 20)),
    st.tuples(st.just("cancel"), indices),
    st.tuples(st.just("call_back"), indices),
    st.tuples(st.just("result"), indices, timeouts),
    st.tuples(st.just("exception"), indices, timeouts),
    st.tuples(st.just("look"), indices),
    st.tuples(st.just("wait"), indices, timeouts, st.sampled_from(["FIRST", "ALL"])),
    st.tuples(st.just("wait_as_standard"), indices, timeouts),
    st.tuples(st.just("as_completed"), indices, timeouts, st.booleans()),
    st.tuples(st.just("await_some"), st.lists(awaits, max_size=10)),
)
shutdowns = st.tuples(st.just("shut_down"), st.booleans(), st.booleans())
threads_of_rounds = st.lists(
    st.lists(
        st.one_of(rounds, rounds, rounds, rounds, shutdowns), min_size=8, max_size=40
    ),
    min_size=2,
    max_size=5,
)


@pytest.fixture(scope="module")
def mark(compile_c):
    """slots[i] += 1, atomically; returns i."""
    library = compile_c(
        "long mark(long *slots, long i) "
        "{ __atomic_fetch_add(slots + i, 1, __ATOMIC_RELAXED); return i; }"
    )
    return stealpool.kernel(library.mark, "int64_t (int64_t *, int64_t)")


class Books:
    """One executor, what was accepted, what was heard."""

    def __init__(self, executor, mark):
        self.executor, self.mark = executor, mark
        # Not array.array, which loses count of its exports without a GIL (3.13).
        self.slots = (ctypes.c_int64 * SLOTS)()
        self.numbers, self.lock = iter(range(SLOTS)), threading.Lock()
        self.called = []  # numbers of callables; append() is atomic
        self.accepted = []  # (number, future); likewise
        self.perhaps = []  # numbers of calls whose Future we do not have
        self.asked = []  # (future, token) of each callback that was added
        self.heard = []  # the same, from the callbacks

    def some(self, index, n=5):
        futures = [future for _, future in self.accepted[-40:]]
        start = index % len(futures) if futures else 0
        return futures[start : start + n]

    def call(self, number):
        self.called.append(number)
        return number

    def number(self):
        with self.lock:  # no iterator is safe without a GIL
            return next(self.numbers)

    def submit(self, is_native):
        number = self.number()
        if is_native:
            future = self.executor.submit(self.mark, self.slots, number)
        else:
            future = self.executor.submit(self.call, number)
        self.accepted.append((number, future))

    def submit_many(self, n):
        numbers = [self.number() for _ in range(n)]
        calls = [(self.slots, number) for number in numbers]
        try:
            futures = self.executor.submit_many(self.mark, calls)
        except RuntimeError:  # shut down while it waited for room
            self.perhaps += numbers
            raise
        self.accepted.extend(zip(numbers, futures, strict=True))

    def cancel(self, index):
        for future in self.some(index, 1):
            if future.cancel():
                assert future.cancelled()

    def call_back(self, index):
        for future in self.some(index, 1):
            token = object()
            self.asked.append((id(future), token))
            future.add_done_callback(
                lambda f, token=token: self.heard.append((id(f), token, f.done()))
            )

    def result(self, index, timeout):
        for future in self.some(index, 1):
            future.result(timeout)

    def exception(self, index, timeout):
        for future in self.some(index, 1):
            assert future.exception(timeout) is None

    def look(self, index):
        for future in self.some(index):
            was_done = future.done()
            assert not (future.running() and was_done)
            assert not was_done or future.done()
            repr(future)

    def wait(self, index, timeout, how):
        futures = self.some(index)
        condition = {"FIRST": cf.FIRST_COMPLETED, "ALL": cf.ALL_COMPLETED}[how]
        done, not_done = stealpool.wait(futures, timeout, condition)
        assert done | not_done == set(futures)
        assert all(future.done() for future in done)
        assert timeout is not None or not not_done or (how == "FIRST" and done)

    def wait_as_standard(self, index, timeout):
        futures = self.some(index)
        done, not_done = cf.wait(futures, timeout)
        assert done | not_done == set(futures)
        assert timeout is not None or not not_done

    def as_completed(self, index, timeout, is_standard):
        futures = self.some(index)
        library = cf if is_standard else stealpool
        seen = list(library.as_completed(futures, timeout))
        assert len(seen) == len(set(seen))
        assert set(seen) == set(futures)

    def await_some(self, calls):
        """In an event loop that closes, whatever is in its inbox."""
        asyncio.run(self.await_all(calls))

    async def await_all(self, calls):
        async def await_one(how, call):
            return await AWAITS[how](self.executor, call)

        tasks = {}
        for how, is_native, yields, is_cancelled in calls:
            number = self.number()
            self.perhaps.append(number)
            call = (self.mark, self.slots) if is_native else (self.call,)
            task = tasks[number] = asyncio.create_task(await_one(how, (*call, number)))
            if yields:
                await asyncio.sleep(0)
            if is_cancelled:
                task.cancel()
        # One that is cancelled wakes up, and so does the last one.
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        for number, result in zip(tasks, results, strict=True):
            if isinstance(result, RuntimeError):
                assert "after shutdown" in str(result)
            elif not isinstance(result, (asyncio.CancelledError, TimeoutError)):
                assert result == number

    def shut_down(self, waits, cancels):
        self.executor.shutdown(wait=waits, cancel_futures=cancels)

    def play(self, schedule):
        for name, *arguments in schedule:
            try:
                getattr(self, name)(*arguments)
            except (cf.CancelledError, TimeoutError):
                pass
            except RuntimeError as error:
                assert "after shutdown" in str(error)

    def check(self, until):
        self.executor.shutdown()
        called = collections.Counter(self.called)
        for number, future in self.accepted:
            ran = self.slots[number] + called[number]
            assert future.done(), number
            assert ran == (0 if future.cancelled() else 1), (number, ran, future)
            if not future.cancelled():
                assert future.result(0) == number
        for number in self.perhaps:
            assert self.slots[number] + called[number] <= 1, number
        accepted = {number for number, _ in self.accepted} | set(self.perhaps)
        ghosts = set(called) | {i for i, n in enumerate(self.slots) if n}
        assert ghosts <= accepted
        until(lambda: len(self.heard) >= len(self.asked))
        assert collections.Counter(self.asked) == collections.Counter(
            (which, token) for which, token, _ in self.heard
        )
        assert all(done for *_, done in self.heard)
        stats = self.executor.stats()
        assert stats["unfinished"] == 0
        n_accepted = stats["submitted"] - len(self.accepted)
        assert 0 <= n_accepted <= len(self.perhaps)


played = 0


@settings(
    max_examples=SCHEDULES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    workers=st.integers(1, 3),
    capacity=st.sampled_from([None, None, 3, 50]),
    schedules=threads_of_rounds,
    interval=st.sampled_from([1e-6, 1e-5, 1e-4, 5e-3]),
)
@example(
    workers=1, capacity=None, schedules=[[("submit", False)] * 40] * 4, interval=1e-6
)
@example(
    workers=2,
    capacity=None,
    schedules=[[("submit", True), ("cancel", 0)] * 20] * 4,
    interval=1e-6,
)
@example(
    workers=1,
    capacity=3,
    schedules=[[("await_some", [("shield", True, True, True)] * 10)] * 20] * 2,
    interval=1e-6,
)
def test_any_schedule_balances(mark, until, workers, capacity, schedules, interval):
    global played
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    errors = []
    books = Books(stealpool.Executor(workers, queue_capacity=capacity), mark)
    barrier = threading.Barrier(len(schedules))

    def play(schedule):
        barrier.wait()
        try:
            books.play(schedule)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=play, args=[each]) for each in schedules]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "hangs"
    finally:
        sys.setswitchinterval(before)
    for error in errors:
        raise error
    books.check(until)
    slots = weakref.ref(books.slots)
    books.slots = None
    # No task has it. An error that came out of a coroutine may, by its traceback.
    until(lambda: slots() is None or gc.collect() is None)
    played += sum(map(len, schedules))


def test_rounds_that_were_played_are_many():
    assert played >= 20 * SCHEDULES
    print(f"{played} rounds in {SCHEDULES} schedules")
