"""The Python lane: threads, initializers, names."""

import contextvars
import ctypes
import gc
import logging
import sys
import threading
import weakref
from collections import deque

import pytest
import stealpool

has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()


def test_callables_run_on_threads_of_pythons(one):
    thread = one.submit(threading.current_thread).result()
    assert type(thread) is threading.Thread
    assert not thread.daemon
    assert thread in one._threads


def test_threads_are_named_after_the_prefix(make_executor):
    executor = make_executor(2, thread_name_prefix="mine")
    barrier = threading.Barrier(2)
    futures = [executor.submit(barrier.wait) for _ in range(2)]
    stealpool.wait(futures)
    assert sorted(thread.name for thread in executor._threads) == ["mine_0", "mine_1"]


def test_threads_start_as_they_are_needed(make_executor):
    executor, event = make_executor(4), threading.Event()
    assert len(executor._threads) == 0
    for n in range(1, 8):
        executor.submit(event.wait, 60)
        assert len(executor._threads) == min(n, 4)
    event.set()


def test_idle_thread_is_used_again(make_executor, until):
    executor = make_executor(4)
    for _ in range(10):
        assert executor.submit(abs, -1).result() == 1
        until(executor._lane.queue.idle_threads)
    assert len(executor._threads) == 1


def test_no_more_threads_run_at_once_than_max_workers(make_executor):
    executor, lock, inside, most = make_executor(3), threading.Lock(), [0], [0]

    def f():
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        with lock:
            inside[0] -= 1

    threads = [
        threading.Thread(target=lambda: [executor.submit(f) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    executor.shutdown()
    assert most[0] <= 3
    assert len(executor._threads) <= 3


def test_waiting_thread_runs_no_callable_of_another_executor(make_executor):
    """One thread may be there to keep calls apart: nobody else may make them."""
    outer, inner = make_executor(1), make_executor(1)
    event, names = threading.Event(), []

    def f():
        inner.submit(event.wait, 60)
        future = inner.submit(lambda: names.append(threading.current_thread()))
        threading.Timer(0.01, event.set).start()
        future.result(60)

    outer.submit(f).result(60)
    assert set(names) == inner._threads


def test_waiting_thread_runs_the_awaited_callable_only(one):
    order = []

    def f():
        first = one.submit(order.append, 1)
        one.submit(order.append, 2).result()
        assert order == [2]
        first.result()

    one.submit(f).result(60)
    assert order == [2, 1]


def test_initializer_runs_once_a_thread_with_its_arguments(make_executor):
    calls, local = [], threading.local()

    def initialize(*args):
        calls.append(args)
        local.value = args[0]

    executor = make_executor(1, initializer=initialize, initargs=(7, 8))
    assert [executor.submit(lambda: local.value).result() for _ in range(5)] == [7] * 5
    assert calls == [(7, 8)]


def test_kernels_need_no_initializer(make_executor):
    executor = make_executor(1, initializer=lambda: 1 / 0)
    cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
    assert executor.submit(cos, 0.0).result() == 1.0


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_failing_initializer_breaks_the_lane(make_executor, error, caplog):
    event = threading.Event()

    def initialize():
        event.wait(60)
        raise error("no")

    executor = make_executor(2, initializer=initialize)
    futures = [executor.submit(abs, -1) for _ in range(10)]
    heard = threading.Event()
    futures[-1].add_done_callback(lambda _: heard.set())
    with caplog.at_level(logging.CRITICAL, "concurrent.futures"):
        event.set()
        for future in futures:
            with pytest.raises(stealpool.BrokenThreadPool, match="initializer failed"):
                future.result(60)
    assert heard.wait(60)
    assert "Exception in initializer:" in caplog.text
    with pytest.raises(stealpool.BrokenThreadPool, match="initializer failed"):
        executor.submit(abs, -1)
    assert executor._broken
    executor.shutdown()
    assert executor.stats()["unfinished"] == 0


def test_submits_racing_with_a_failing_initializer_end(make_executor, caplog):
    for _ in range(50):
        executor = make_executor(1, initializer=lambda: 1 / 0)
        futures = []
        try:
            while True:
                futures.append(executor.submit(abs, -1))
        except stealpool.BrokenThreadPool:
            pass
        for future in futures:
            assert isinstance(future.exception(60), stealpool.BrokenThreadPool)


def test_thread_that_cannot_start_leaves_nothing_queued(one, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    calls = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            one.submit(calls.append, "ghost")
    assert one.stats()["unfinished"] == 0
    one.submit(calls.append, "real").result(60)
    assert calls == ["real"]


def test_thread_starts_though_another_takes_the_last_index_meanwhile(
    make_executor, until
):
    executor = make_executor(2)

    class Indices(deque):
        """Before somebody takes one, another thread does, or a signal handler."""

        is_first = True

        def popleft(self):
            if self.is_first:
                self.is_first = False
                others.append(executor.submit(threading.current_thread))
            return super().popleft()

    others, lane = [], executor._lane
    lane._vacant = Indices(list(lane._vacant)[:1])
    barrier = threading.Barrier(2)
    future = executor.submit(lambda: (barrier.wait(60), threading.current_thread()))
    until(lambda: len(others) == 1)
    barrier.wait(60)
    names = [future.result(60)[1].name, others[0].result(60).name]
    prefix = executor._thread_name_prefix
    assert {thread.name for thread in executor._threads} == {
        f"{prefix}_0",
        f"{prefix}_256",
    }
    assert set(names) <= {f"{prefix}_0", f"{prefix}_256"}
    lane._vacant = deque()  # the lane outlives the executor, which ours refers to


def test_fewer_threads_than_asked_for_will_do(make_executor, monkeypatch):
    executor, event = make_executor(2), threading.Event()
    first = executor.submit(event.wait, 60)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        second = executor.submit(abs, -1)
    event.set()
    assert (first.result(60), second.result(60)) == (True, 1)


def test_idle_thread_survives_an_asynchronous_exception(one):
    (ident,) = {one.submit(threading.get_ident).result()}
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    raise_in.argtypes = [ctypes.c_ulong, ctypes.py_object]
    raise_in(ident, KeyError)
    futures = [one.submit(lambda: 5) for _ in range(3)]
    outcomes = [future.exception(60) for future in futures]
    assert [type(outcome) for outcome in outcomes[1:]] == [type(None)] * 2


def test_exception_of_a_callable_does_not_end_its_thread(one):
    thread = one.submit(threading.current_thread).result()
    for error in (ValueError, SystemExit, KeyboardInterrupt):

        def fail(error=error):
            raise error

        assert isinstance(one.submit(fail).exception(60), error)
    assert one.submit(threading.current_thread).result(60) is thread


# ----------------------------------------------------------------- who runs what, when


def test_callable_that_blocks_does_not_hold_up_the_next(make_executor, until):
    executor, event = make_executor(2), threading.Event()
    barrier = threading.Barrier(2)
    stealpool.wait([executor.submit(barrier.wait, 60) for _ in range(2)])
    for _ in range(100):
        until(lambda: executor._lane.queue.idle_threads() == 2)
        blocked = executor.submit(event.wait, 60)
        assert executor.submit(abs, -1).result(60) == 1
        assert not blocked.done()
        event.set()
        assert blocked.result(60)
        event.clear()
    assert len(executor._threads) == 2


def test_as_many_callables_block_at_once_as_there_are_threads(make_executor):
    """Each of the threads is called, however few calls are needed to keep one busy."""
    executor = make_executor(6)
    for _ in range(100):
        barrier = threading.Barrier(6)
        futures = [executor.submit(barrier.wait, 60) for _ in range(6)]
        assert sorted(future.result(60) for future in futures) == list(range(6))


@pytest.mark.skipif(not has_gil, reason="without a GIL all threads are called")
def test_one_thread_is_called_for_short_callables(make_executor, until):
    """The thread that gets the GIL takes them all: others would only fight for it."""
    executor = make_executor(4)
    barrier = threading.Barrier(4)
    stealpool.wait([executor.submit(barrier.wait, 60) for _ in range(4)])
    for _ in range(100):  # until the lane has forgotten that callables block
        executor.submit(abs, -1).result(60)
    idle = []
    for _ in range(20):  # the GIL may change hands at any time, but not always
        until(lambda: executor._lane.queue.idle_threads() == 4)
        futures = [executor.submit(abs, -1) for _ in range(10)]
        idle.append(executor._lane.queue.idle_threads())
        stealpool.wait(futures)
    assert max(idle) == 3


@pytest.mark.skipif(not has_gil, reason="nobody waits for it then")
def test_calls_of_c_functions_let_other_threads_have_the_gil(one):
    """No bytecode runs between them that would look whether somebody wants it."""
    futures = [one.submit(abs, -1) for _ in range(300_000)]
    futures[0].result(60)
    assert any(future.cancel() for future in reversed(futures))


def test_idle_thread_keeps_no_reference(one, until):
    class Thing:
        pass

    things = [Thing(), Thing(), Thing()]
    alive = [weakref.ref(thing) for thing in things]
    future = one.submit(lambda *args, **kwargs: args[0], *things[:2], c=things[2])
    del things
    assert future.result(60) is alive[0]()
    until(one._lane.queue.idle_threads)
    assert [ref() is None for ref in alive] == [False, True, True]
    del future
    assert alive[0]() is None


def test_cancelled_callable_leaves_its_queue(one):
    event = threading.Event()
    one.submit(event.wait, 60)

    class Thing:
        pass

    thing = Thing()
    alive = weakref.ref(thing)
    future = one.submit(id, thing)
    del thing
    assert future.cancel()
    del future
    assert alive() is None
    event.set()


def test_awaited_callable_leaves_its_queue(one):
    """One that its waiter has run, in a thread of the lane, is not kept until later."""

    class Thing:
        pass

    def f():
        future = one.submit(Thing)
        alive = weakref.ref(future.result(60))
        del future
        return alive() is None

    assert one.submit(f).result(60)


def test_callbacks_of_an_awaited_callable_do_not_run_in_result(one, until, wait_for):
    """Its waiter runs it, and may hold a lock that a callback takes."""
    lock, called = threading.Lock(), []

    def callback(future):
        with lock:
            called.append(future.result())

    def outer():
        with lock:
            future = one.submit(abs, -1)
            future.add_done_callback(callback)
            wait_for(future)
            assert future.done()
        return called[:]

    assert one.submit(outer).result(60) == []
    until(lambda: called == [1])


def test_thread_locals_stay_with_their_thread(one):
    local = threading.local()

    def count():
        local.n = getattr(local, "n", 0) + 1
        return local.n

    assert [one.submit(count).result(60) for _ in range(5)] == [1, 2, 3, 4, 5]


def test_threads_keep_their_thread_state(one):
    state = ctypes.pythonapi.PyThreadState_Get
    state.restype = ctypes.c_void_p
    assert len({one.submit(state).result(60) for _ in range(50)}) == 1


# ------------------------------------------------------------------ context variables

variable = contextvars.ContextVar("variable", default="default")


def test_callables_run_in_a_copy_of_the_submitters_context(one):
    variable.set("mine")
    future = one.submit(variable.get)
    variable.set("later")
    assert future.result(60) == "mine"


def test_what_a_callable_sets_stays_in_its_context(one):
    variable.set("mine")
    one.submit(variable.set, "theirs").result(60)
    assert variable.get() == "mine"
    assert one.submit(variable.get).result(60) == "mine"
    assert contextvars.Context().run(one.submit, variable.get).result(60) == "default"


def test_context_is_left_after_an_exception(one):
    def fail():
        variable.set("theirs")
        raise KeyError

    assert isinstance(one.submit(fail).exception(60), KeyError)
    variable.set("mine")
    assert one.submit(variable.get).result(60) == "mine"


# ------------------------------------------------------------------- looking at threads


def test_profile_and_trace_functions_see_callables(make_executor):
    seen = []

    def hook(frame, event, arg):
        if frame.f_code is looked_at.__code__:
            seen.append((event, threading.current_thread().name))

    def looked_at():
        return 5

    for install in (threading.setprofile, threading.settrace):
        install(hook)
        try:
            executor = make_executor(1, thread_name_prefix="traced")
            assert executor.submit(looked_at).result(60) == 5
        finally:
            install(None)
    assert ("return", "traced_0") in seen
    assert seen.count(("call", "traced_0")) == 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12")
def test_sys_monitoring_sees_callables(one):
    def looked_at():
        return 5

    seen = []
    monitoring = sys.monitoring
    monitoring.use_tool_id(4, "test_lane")
    try:
        monitoring.register_callback(
            4, monitoring.events.PY_START, lambda code, _: seen.append(code)
        )
        monitoring.set_events(4, monitoring.events.PY_START)
        one.submit(looked_at).result(60)
    finally:
        monitoring.set_events(4, 0)
        monitoring.free_tool_id(4)
    assert seen.count(looked_at.__code__) == 1


# ------------------------------------------------------------------- nothing is left


class Ways:
    """What may become of a callable, each as a method."""

    def __init__(self, executor):
        self.executor = executor

    def run(self, f, x):
        return self.executor.submit(f, x, y=x).result(60)

    def raised(self, f, x):
        return self.executor.submit(f, x, 1, 2).exception(60)

    def cancelled(self, f, x):
        gate = threading.Event()
        self.executor.submit(gate.wait, 60)
        futures = [self.executor.submit(f, x) for _ in range(3)]
        futures[1].cancel()
        gate.set()
        stealpool.wait(futures)

    def dropped(self, f, x):
        self.executor.submit(f, x)
        self.executor.submit(f, x).add_done_callback(lambda future: future.result())
        self.executor.submit(id, x).result(60)

    def awaited_inside(self, f, x):
        self.executor.submit(lambda: self.executor.submit(f, x).result(60)).result(60)

    def mapped(self, f, x):
        list(self.executor.map(f, [x] * 10, chunksize="auto"))
        list(self.executor.map(f, [x] * 10, [x] * 9, chunksize=4, ordered=False))
        results = self.executor.map(f, [x] * 10, chunksize=2, buffersize=2)
        next(results)
        results.close()


@pytest.mark.parametrize("way", [name for name in vars(Ways) if name[0] != "_"])
def test_callables_leave_no_reference_behind(make_executor, until, way):
    executor = make_executor(1)

    def f(x, y=None):
        return x

    thing = object()
    variable.set(thing)
    do = getattr(Ways(executor), way)

    def counts():
        until(executor._lane.queue.idle_threads)
        gc.collect()
        return sys.getrefcount(f), sys.getrefcount(thing)

    for _ in range(3):
        do(f, thing)
    before = counts()
    for _ in range(50):
        do(f, thing)
    # Without a GIL, some references wait for the thread that made them.
    most = 0 if has_gil else 10
    until(lambda: max(n - m for n, m in zip(counts(), before, strict=True)) <= most)
    variable.set(None)
    assert executor.stats()["unfinished"] == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_callables_submitted_from_everywhere_run_once(make_executor, threads, until):
    """Threads, callables and callbacks submit; some are cancelled; each ends once."""
    executor = make_executor(threads)
    ran, cancelled, lock = [], [], threading.Lock()

    def leaf(key):
        ran.append(key)

    def branch(key):
        inner = [executor.submit(leaf, (key, i)) for i in range(3)]
        inner[0].add_done_callback(lambda _: executor.submit(leaf, (key, 3)))
        if inner[1].cancel():
            cancelled.append((key, 1))
        return inner[2].result(60)

    def submit(first):
        futures = [executor.submit(branch, first + i) for i in range(200)]
        for i, future in enumerate(futures):
            if i % 7 == 0 and future.cancel():
                with lock:
                    cancelled.extend((first + i, j) for j in range(4))
        stealpool.wait(futures)

    submitters = [threading.Thread(target=submit, args=(1000 * i,)) for i in range(3)]
    for thread in submitters:
        thread.start()
    for thread in submitters:
        thread.join()
    keys = {(1000 * i + j, k) for i in range(3) for j in range(200) for k in range(4)}
    until(lambda: len(ran) + len(cancelled) >= len(keys))
    executor.shutdown()
    assert len(ran) == len(set(ran))
    assert set(ran) | set(cancelled) == keys
    assert not set(ran) & set(cancelled)
    assert executor.stats()["unfinished"] == 0


# -------------------------------------------------------------------------- priorities


def test_queued_callables_run_by_priority(one):
    event, order = threading.Event(), []
    one.submit(event.wait, 60)
    for priority in ("low", "normal", "high"):
        view = one.options(priority=priority)
        for i in range(3):
            view.submit(order.append, (priority, i))
    event.set()
    one.shutdown()
    expected = [(p, i) for p in ("high", "normal", "low") for i in range(3)]
    assert order == expected


def test_callables_of_low_priority_are_not_starved(one):
    event, order = threading.Event(), []
    one.submit(event.wait, 60)
    one.options(priority="low").submit(order.append, "low")
    high = one.options(priority="high")
    for i in range(100):
        high.submit(order.append, i)
    event.set()
    one.shutdown()
    assert order.index("low") == 16
    assert [x for x in order if x != "low"] == list(range(100))


def test_without_a_context_callables_run_in_their_threads_own(one):
    variable.set("mine")
    view = one.options(context=None)
    assert view.submit(variable.get).result(60) == "default"
    view.submit(variable.set, "theirs").result(60)
    assert view.submit(variable.get).result(60) == "theirs"
    assert one.submit(variable.get).result(60) == "mine"


def test_view_maps_in_chunks_of_its_own_choice(one):
    results = one.view().map(abs, range(-9, 0), chunksize="auto")
    assert list(results) == list(range(9, 0, -1))
