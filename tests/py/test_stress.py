"""Many threads do everything at once; afterwards the books must balance.

Each accepted call has a number. It ran once or was cancelled, never both, never
neither; its Future ended once, with its own result; each callback was called once.
STRESS multiplies the rounds; SEED repeats one.
"""

import asyncio
import collections
import concurrent.futures as cf
import ctypes
import gc
import os
import random
import sys
import threading
import weakref

import pytest
import stealpool
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

ROUNDS = 10 * int(os.environ.get("STRESS", "1"))


@pytest.fixture(params=range(int(os.environ.get("SEED", 0)), ROUNDS))
def rng(request):
    """A random number generator; its seed is the test's parameter."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(10.0 ** -random.Random(request.param).randrange(3, 7))
    yield random.Random(request.param)
    sys.setswitchinterval(old)


@pytest.fixture(scope="module")
def identity(compile_c):
    library = compile_c("double identity(double x) { return x; }")
    return stealpool.kernel(library.identity, "double (double)")


@pytest.fixture(scope="module")
def add_one(compile_c):
    """x[0] += 1, atomically."""
    library = compile_c(
        "double add_one(long *x, double y) "
        "{ __atomic_fetch_add(x, 1, __ATOMIC_RELAXED); return y; }"
    )
    return stealpool.kernel(library.add_one, "double (int64_t *, double)")


def zero():
    """An array of one number, for kernels; weakly referenced, it tells when no task has
    it any more. Not array.array: without a GIL it loses count of its exports (3.13)."""
    return (ctypes.c_int64 * 1)()


@pytest.mark.parametrize("native", [True, False], ids=["kernels", "callables"])
def test_submit_cancel_wait_and_callbacks(rng, native, add_one, until, together):
    executor, arrays = stealpool.Executor(rng.randrange(1, 4)), [zero()]
    lock, called_back = threading.Lock(), []
    futures, seeds = [], [rng.random() for _ in range(6)]

    def call(number):
        with lock:
            arrays[0][0] += 1
        return number

    def heard(future):
        called_back.append(id(future))

    def submit(seed):
        own = random.Random(seed)
        for _ in range(100):
            number = float(own.randrange(2**40))
            if native:
                future = executor.submit(add_one, arrays[0], number)
            else:
                future = executor.submit(call, number)
            future.number = number
            if own.random() < 0.5:
                future.add_done_callback(heard)
                future.is_observed = True
            futures.append(future)

    def cancel(seed):
        own = random.Random(seed)
        while len(futures) < 250:
            if futures:
                own.choice(futures).cancel()

    def wait(seed):
        own = random.Random(seed)
        while len(futures) < 250:
            some = own.sample(futures, min(len(futures), own.randrange(1, 20)))
            way = own.randrange(7)
            timeout = own.choice([None, 0, 0.0001, 60])
            if way == 0:
                stealpool.wait(some, timeout)
            elif way == 1:
                stealpool.wait(some, timeout, stealpool.FIRST_COMPLETED)
            elif way == 2:
                cf.wait(some, timeout)
            elif way < 5:
                library = stealpool if way == 3 else cf
                try:
                    for future in library.as_completed(some, timeout):
                        assert future.done()
                except stealpool.TimeoutError:
                    assert timeout is not None
            else:
                for future in some:
                    try:
                        assert future.result(timeout) == future.number
                    except stealpool.CancelledError:
                        assert future.cancelled()
                    except stealpool.TimeoutError:
                        assert timeout is not None

    a, b, c, d, e, f = seeds
    together(
        lambda: submit(a), lambda: submit(b), lambda: submit(c),
        lambda: cancel(d), lambda: wait(e), lambda: wait(f),
    )  # fmt: skip
    executor.shutdown()
    cancelled = [future for future in futures if future.cancelled()]
    for future in futures:
        if not future.cancelled():
            assert future.result(0) == future.number
    assert arrays[0][0] + len(cancelled) == len(futures) == 300
    observed = [future for future in futures if getattr(future, "is_observed", False)]
    until(lambda: len(called_back) >= len(observed))
    assert sorted(called_back) == sorted(map(id, observed))
    stats = executor.stats()
    assert (stats["submitted"], stats["unfinished"]) == (300, 0)
    array = weakref.ref(arrays.pop())
    until(lambda: array() is None)  # no task has it


def test_callback_added_in_the_race_with_the_end_is_called_once(rng, identity, until):
    with stealpool.Executor(2) as executor:
        calls, futures = [], []
        for i in range(300):
            future = executor.submit(identity, i) if i % 2 else executor.submit(abs, i)
            for _ in range(rng.randrange(30)):
                pass
            future.add_done_callback(lambda _, i=i: calls.append(i))
            futures.append(future)
            if rng.random() < 0.2:
                future.cancel()
        until(lambda: len(calls) >= 300)
    assert sorted(calls) == list(range(300))


def test_timeouts_racing_with_the_end_lose_no_result(rng, identity):
    with stealpool.Executor(1) as executor:
        for i in range(300):
            future = executor.submit(identity, i)
            try:
                assert future.result(rng.random() * 2e-5) == i
            except stealpool.TimeoutError:
                assert future.result() == i


def test_shutdown_races_with_everything(rng, identity, together):
    executor, futures = stealpool.Executor(2), []
    cancels = rng.random() < 0.5

    def submit():
        try:
            while True:
                futures.append(executor.submit(identity, 1.0))
                futures.append(executor.submit(abs, 1.0))
                futures.extend(executor.submit_many(identity, [1.0] * 10))
        except RuntimeError as error:
            assert "after shutdown" in str(error)

    def shut_down():
        while len(futures) < 100:
            pass
        executor.shutdown(cancel_futures=cancels)

    together(submit, submit, shut_down)
    for future in futures:
        assert future.done()
        assert future.cancelled() or future.result() == 1.0
    assert executor.stats()["unfinished"] == 0


def test_nested_waits_never_deadlock(rng, identity):
    with stealpool.Executor(rng.randrange(1, 3)) as executor:
        seeds = iter([rng.random() for _ in range(10_000)])

        def node(depth, seed):
            own = random.Random(seed)
            if depth == 0:
                return executor.submit(identity, 1.0).result()
            children = [
                executor.submit(node, depth - 1, next(seeds))
                for _ in range(own.randrange(1, 4))
            ]
            way = own.randrange(4)
            if way == 0:
                stealpool.wait(children)
            elif way == 1:
                list(stealpool.as_completed(children))
            elif way == 2:
                stealpool.wait(children, 60, stealpool.FIRST_COMPLETED)
            return sum(child.result() for child in children)

        assert executor.submit(node, 5, next(seeds)).result(120) >= 1.0


def test_buffers_come_and_go(rng, add_one, until):
    arrays = [zero() for _ in range(5)]
    with stealpool.Executor(2) as executor:
        kept = collections.deque(maxlen=20)
        n = [0] * len(arrays)
        for _ in range(500):
            i = rng.randrange(len(arrays))
            n[i] += 1
            future = executor.submit(add_one, arrays[i], 0.0)
            if rng.random() < 0.5:
                kept.append(future)
            if rng.random() < 0.1:
                rng.choice([*kept, future]).result()
            if rng.random() < 0.1:
                future.add_done_callback(lambda _: None)
        del future
        kept.clear()
    assert [numbers[0] for numbers in arrays] == n
    references = [weakref.ref(numbers) for numbers in arrays]
    del arrays
    until(lambda: not any(array() is not None for array in references))


def test_asyncio_awaits_everything(rng, identity):
    async def main(executor):
        loop = asyncio.get_running_loop()
        futures = []
        for i in range(100):
            fn = identity if rng.random() < 0.5 else float
            future = loop.run_in_executor(executor, fn, float(i))
            if rng.random() < 0.1:
                future.cancel()
            futures.append(future)
        results = await asyncio.gather(*futures, return_exceptions=True)
        for i, result in enumerate(results):
            assert result == i or isinstance(result, asyncio.CancelledError)

    with stealpool.Executor(2) as executor:
        asyncio.run(main(executor))


def test_nothing_is_left_after_executors_come_and_go(rng, identity, add_one, until):
    numbers = zero()
    gc.collect()
    before = sys.getrefcount(identity), sys.getrefcount(add_one)
    homes = []
    for _ in range(10):
        executor = stealpool.Executor(rng.choice([1, 2, None]))
        homes.append(weakref.ref(executor))
        futures = [
            executor.submit(identity, 1.0),
            executor.submit(add_one, numbers, 1.0),
        ]
        futures += executor.submit_many(identity, [1.0] * rng.randrange(50))
        futures.append(executor.submit(abs, 1.0))
        if rng.random() < 0.5:
            futures[rng.randrange(len(futures))].add_done_callback(lambda _: None)
        if rng.random() < 0.5:
            futures[0].cycle = (executor, futures)
        if rng.random() < 0.5:
            executor.shutdown(wait=rng.random() < 0.5)
        if rng.random() < 0.5:
            stealpool.wait(futures)
        del executor, futures

    def is_back():
        gc.collect()
        after = sys.getrefcount(identity), sys.getrefcount(add_one)
        return after == before and not any(home() for home in homes)

    until(is_back)


class Lockstep(RuleBasedStateMachine):
    """The standard library's executor and ours, one thread each, see the same."""

    def __init__(self):
        super().__init__()
        self.pools = [cf.ThreadPoolExecutor(1), stealpool.Executor(1)]
        self.gates = []
        self.futures = []
        self.heard = ([], [])

    def observe(self, function):
        outcomes = []
        for which in (0, 1):
            try:
                outcomes.append(function(which))
            except Exception as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]

    @rule(fails=st.booleans())
    def submit(self, fails):
        gates = threading.Event(), threading.Event()

        def call(which):
            assert gates[which].wait(60)
            if fails:
                raise KeyError("failed")
            return len(self.futures)

        def submit(which):
            pair.append(self.pools[which].submit(call, which))

        pair = []
        self.observe(submit)
        if pair:
            self.gates.append(gates)
            self.futures.append(pair)

    @rule(data=st.data())
    def cancel(self, data):
        # Not the first unfinished one: whether it has begun is a race in both.
        index = data.draw(st.integers(0, 10))
        unfinished = [pair for pair in self.futures if not pair[0].done()]
        if index + 1 < len(unfinished):
            pair = unfinished[index + 1]
            self.observe(lambda which: pair[which].cancel())

    @rule(index=st.integers(0, 10))
    def add_callback(self, index):
        if index < len(self.futures):
            for which in (0, 1):
                self.futures[index][which].add_done_callback(
                    lambda _, which=which: self.heard[which].append(index)
                )

    @rule()
    def finish_the_next(self):
        for pair, gates in zip(self.futures, self.gates, strict=True):
            if not pair[0].done():
                for which in (0, 1):
                    gates[which].set()
                cf.wait([pair[0]], 60)
                stealpool.wait([pair[1]], 60)
                break

    @rule(wait_for=st.sampled_from([cf.FIRST_COMPLETED, cf.FIRST_EXCEPTION]))
    def wait(self, wait_for):
        if not all(pair[0].done() for pair in self.futures):
            for wait in (cf.wait, stealpool.wait):
                self.observe(
                    lambda which, wait=wait: self.indices(wait, which, wait_for)
                )

    def indices(self, wait, which, wait_for):
        futures = [pair[which] for pair in self.futures]
        done, not_done = wait(futures, 0, wait_for)
        assert done | not_done == set(futures)
        return [i for i, future in enumerate(futures) if future in done]

    @rule()
    def shut_down(self):
        self.observe(lambda which: self.pools[which].shutdown(wait=False))

    @invariant()
    def both_say_the_same(self):
        for pair in self.futures:
            self.observe(lambda which, pair=pair: pair[which].done())
            self.observe(lambda which, pair=pair: pair[which].cancelled())
            if pair[0].done():
                self.observe(lambda which, pair=pair: pair[which].result(0))
                self.observe(lambda which, pair=pair: repr(pair[which].exception(0)))

    def teardown(self):
        for gates in self.gates:
            for gate in gates:
                gate.set()
        for pool in self.pools:
            pool.shutdown()
        assert self.heard[0] == self.heard[1]


TestLockstep = Lockstep.TestCase
TestLockstep.settings = settings(max_examples=60, stateful_step_count=25)
