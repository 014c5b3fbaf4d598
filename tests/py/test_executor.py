"""The Executor: submit, shutdown, and what is refused."""

import gc
import math
import os
import pickle
import random
import re
import signal
import threading
import weakref
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import stealpool

# ---------------------------------------------------------------------------- making


def test_executors_made_at_once_borrow_one_pool(run_python):
    run_python(
        """
        import ctypes, threading
        import stealpool

        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        barrier = threading.Barrier(8)
        executors = []

        def make():
            barrier.wait()
            executors.append(stealpool.Executor())

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        futures = [executors[0].submit(cos, 0.0) for _ in range(100)]
        assert [future.result(60) for future in futures] == [1.0] * 100
        # Of the pool, not of the executor.
        assert [each.stats()["injected"] for each in executors] == [100] * 8
        """
    )


@pytest.mark.parametrize("name", ["max_workers", "native_workers"])
@pytest.mark.parametrize("value", [0, -1])
def test_numbers_of_workers_below_one_are_refused(name, value):
    with pytest.raises(
        ValueError, match=f"{name} must be greater than 0, got {value};"
    ):
        stealpool.Executor(**{name: value})


def test_too_many_native_workers_are_refused_with_the_limit():
    words = "native_workers must be at most 1024, got 1025"
    with pytest.raises(ValueError, match=words):
        stealpool.Executor(native_workers=1025)


@pytest.mark.parametrize("value", ["4", math.inf, math.nan])
def test_number_of_workers_must_be_an_integer(value):
    with pytest.raises(TypeError, match=f"max_workers must be an integer.*{value}"):
        stealpool.Executor(value)


@pytest.mark.parametrize(
    ("given", "workers"), [(0.5, 1), (2.0, 2), (1500, 1024), (10**15, 1024)]
)
def test_numbers_that_the_standard_library_takes_are_taken(
    make_executor, given, workers
):
    executor = make_executor(given, thread_name_prefix=7)
    assert executor.stats()["workers"] == workers
    thread = executor.submit(threading.current_thread).result()
    assert thread.name == "7_0"


def test_executor_that_ran_no_kernel_ends_like_any_other(make_executor, until):
    for cancel_futures in (False, True):
        executor = make_executor(2)
        executor.shutdown(wait=False, cancel_futures=cancel_futures)
        executor.shutdown()
        assert executor.stats()["unfinished"] == 0
    gone = weakref.ref(stealpool.Executor(2))
    until(lambda: gone() is None)


def test_first_kernels_of_many_threads_start_one_pool(make_executor, cos):
    executor, barrier = make_executor(2, thread_name_prefix="one"), threading.Barrier(8)
    results = []

    def submit():
        barrier.wait()
        results.append(executor.submit(cos, 0.0).result(60))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [1.0] * 8
    assert executor.stats()["executed"] == 8


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="ASan wants to be the first to stand before pthread_create()",
)
@pytest.mark.parametrize("closed", ["executor", "view"])
def test_a_pool_that_is_made_while_its_executor_closes_is_closed(
    compile_c, run_python, closed
):
    # Holds up a thread that starts native workers, until told to let it go.
    shim = compile_c(
        """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <pthread.h>
        #include <semaphore.h>
        static sem_t come, go;
        static __thread int holds;
        __attribute__((constructor)) static void init(void)
        {
            sem_init(&come, 0, 0);
            sem_init(&go, 0, 0);
        }
        void hold_me(void) { holds = 1; }
        void await_it(void) { sem_wait(&come); }
        void let_it_go(void) { sem_post(&go); }
        int pthread_create(pthread_t *restrict thread,
                           const pthread_attr_t *restrict attr,
                           void *(*main)(void *), void *restrict user)
        {
            int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
            *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
            if (holds) {
                holds = 0;
                sem_post(&come);
                sem_wait(&go);
            }
            return real(thread, attr, main, user);
        }
        """,
        "-ldl",
        "-pthread",
    )
    preloaded = [shim._name, *os.environ.get("LD_PRELOAD", "").split()]
    run_python(
        f"""
        import ctypes, os, stealpool, threading, time
        shim = ctypes.CDLL(None)
        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        executor = stealpool.Executor(2)
        through = {{"executor": executor, "view": executor.view()}}["{closed}"]
        said = []

        def submit():
            shim.hold_me()
            try:
                through.submit(cos, 0.0)
            except RuntimeError as error:
                said.append(str(error))

        thread = threading.Thread(target=submit)
        thread.start()
        shim.await_it()
        # But for this one. TSan has a thread of its own, from the first start on.
        n_threads = len(os.listdir("/proc/self/task")) - 1
        executor.shutdown(wait=False)
        shim.let_it_go()
        thread.join()
        assert said == ["cannot schedule new futures after shutdown"], said

        deadline = time.monotonic() + 30
        while len(os.listdir("/proc/self/task")) > n_threads:
            assert time.monotonic() < deadline, "its workers never end"
            time.sleep(0)
        """,
        env={"LD_PRELOAD": " ".join(preloaded)},
    )


def test_private_attributes_that_programs_look_at_are_there(make_executor):
    executor, gate = make_executor(1), threading.Event()
    running = executor.submit(gate.wait)
    while not running.running():
        pass
    futures = [executor.submit(abs, -i) for i in range(3)]
    assert executor._work_queue.qsize() == 3
    assert executor.stats()["queued"] == 3
    assert not executor._work_queue.empty()
    assert (executor._max_workers, len(executor._threads)) == (1, 1)
    assert executor._shutdown is executor._broken is False
    gate.set()
    stealpool.wait(futures)
    assert executor._work_queue.empty()
    executor.shutdown()
    assert executor._shutdown is True


def test_number_of_workers_may_be_numpys(make_executor):
    assert make_executor(np.int64(2)).stats()["workers"] == 2


def test_initializer_must_be_callable():
    with pytest.raises(TypeError, match="initializer must be a callable"):
        stealpool.Executor(initializer=5)


def test_repr_says_whether_it_is_open(make_executor):
    executor = make_executor(2)
    assert repr(executor) == "<stealpool.Executor open, 2 workers>"
    executor.shutdown()
    assert repr(executor) == "<stealpool.Executor closed, 2 workers>"


def test_executors_without_a_size_share_the_native_pool(make_executor):
    first, second = make_executor(), make_executor()
    assert first.stats()["workers"] == second.stats()["workers"]
    assert first._native_workers >= 1


def test_default_executor_is_one(cos):
    assert stealpool.default_executor() is stealpool.default_executor()
    assert stealpool.default_executor().submit(cos, 0.0).result() == 1.0


def test_executor_without_init_is_refused_and_not_a_crash():
    executor = stealpool.Executor.__new__(stealpool.Executor)
    with pytest.raises(RuntimeError, match=r"Executor.__init__\(\) was not called"):
        executor.submit(abs, 1)


def test_executor_is_pickled_as_what_it_was_made_with():
    with stealpool.Executor(
        2, "mill", str, ("x",), queue_capacity=3, on_full="run"
    ) as executor:
        other = pickle.loads(pickle.dumps(executor))
    with other:
        assert other is not executor
        assert other._max_workers == 2
        assert other._thread_name_prefix == "mill"
        assert (other._initializer, other._initargs) == (str, ("x",))
        assert other.submit(pow, 2, 5).result() == 32
        assert (other._queue_capacity, other._on_full) == (3, "run")


def test_native_workers_are_threads_that_the_first_kernel_starts(
    make_executor, cos, until
):
    def name_of(task):
        try:
            return (task / "comm").read_text()
        except OSError:  # it has just ended
            return ""

    def count():
        names = map(name_of, Path("/proc/self/task").iterdir())
        return sum(name.startswith("abc-") for name in names)

    executor = make_executor(3, thread_name_prefix="abc")
    executor.submit(abs, -1).result()
    assert (count(), executor.stats()["workers"]) == (0, 3)
    executor.submit(cos, 0.0).result()
    until(lambda: count() == 3)
    executor.shutdown()
    until(lambda: count() == 0)


# ------------------------------------------------------------------------ submitting


def test_keywords_named_self_and_fn_go_to_the_callable(one):
    def f(self, fn, **kwargs):
        return self, fn, kwargs

    assert one.submit(f, self=1, fn=2, args=3).result() == (1, 2, {"args": 3})


def test_fn_is_positional_only(one):
    with pytest.raises(TypeError):
        one.submit(fn=abs)


def test_kernel_takes_no_keywords(one, cos):
    with pytest.raises(TypeError, match="kernel cos takes no keyword arguments, got x"):
        one.submit(cos, x=1.0)


@pytest.mark.parametrize("arguments", [(), (1.0, 2.0)])
def test_wrong_number_of_arguments_is_refused(one, cos, arguments):
    message = rf"kernel cos takes 1 argument .*got {len(arguments)}"
    with pytest.raises(TypeError, match=message):
        one.submit(cos, *arguments)


def test_refused_submit_counts_as_nothing(one, cos):
    before = one.stats()
    for bad in ("x", None, 1j, b"1", [1.0]):
        with pytest.raises(TypeError, match="kernel cos: argument 1 must be a real"):
            one.submit(cos, bad)
    after = one.stats()
    assert (after["submitted"], after["unfinished"]) == (before["submitted"], 0)


def test_nested_submits_with_one_thread_do_not_deadlock(one):
    def fibonacci(n):
        if n < 2:
            return n
        left, right = one.submit(fibonacci, n - 1), one.submit(fibonacci, n - 2)
        return left.result() + right.result()

    assert one.submit(fibonacci, 12).result(60) == 144


def test_kernels_from_callables_do_not_deadlock(one, cos):
    def f():
        return sum(future.result() for future in one.submit_many(cos, [0.0] * 100))

    assert one.submit(f).result(60) == 100.0


def test_result_of_a_kernel_can_be_awaited_in_a_signal_handler(one, gate, cos):
    results = []
    old = signal.signal(
        signal.SIGUSR1, lambda *_: results.append(one.submit(abs, -1).result(60))
    )
    try:
        future = one.submit(gate.kernel, gate.key)
        for _ in range(100):
            signal.raise_signal(signal.SIGUSR1)
            one.submit(abs, -1)
        gate.open()
        assert future.result() == 0
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert results == [1] * 100


def test_submit_in_a_finalizer_during_submit_works(one):
    results = []

    class Submits:
        def __init__(self):
            self.me = self  # for the collector to find

        def __del__(self):
            results.append(one.submit(abs, -1))

    old = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for _ in range(200):
            Submits()
            one.submit(abs, -1)
    finally:
        gc.set_threshold(*old)
    gc.collect()
    assert {future.result(60) for future in results} == {1}


def test_conversion_of_an_argument_may_shut_the_executor_down(one, cos):
    class Shuts:
        def __float__(self):
            one.shutdown()
            return 0.0

    with pytest.raises(RuntimeError, match="after shutdown"):
        one.submit(cos, Shuts())
    assert one.stats()["unfinished"] == 0


def test_submitted_and_completed_are_counted(one, cos):
    stealpool.wait([*one.submit_many(cos, [0.0] * 10), one.submit(abs, 1)])
    one.shutdown()
    stats = one.stats()
    assert (stats["submitted"], stats["completed"], stats["unfinished"]) == (11, 11, 0)
    assert stats["python_threads"] == 1
    assert isinstance(stats, MappingProxyType)


def test_queued_counts_what_has_not_begun_in_both_lanes(one, gate, cos, until):
    view, event = one.options(priority="high"), threading.Event()
    running = [one.submit(gate.kernel, gate.key), one.submit(event.wait, 60)]
    until(lambda: all(future.running() for future in running))
    assert one.stats()["queued"] == 0
    kernels = [*one.submit_many(cos, [0.0] * 100), one.submit(cos, 0.0)]
    callables = [one.submit(abs, -1) for _ in range(10)]
    of_view = [view.submit(cos, 0.0), view.submit(abs, -1)]
    assert one.stats()["queued"] == 113
    assert (one.stats()["unfinished"], view.stats()["queued"]) == (115, 2)
    assert [kernels[50].cancel(), callables[5].cancel()] == [True, True]
    assert one.stats()["queued"] == 111
    del kernels, callables  # nobody will look at them
    assert one.stats()["queued"] == 111
    event.set()
    gate.open()
    stealpool.wait([*of_view, *running])
    until(lambda: one.stats()["unfinished"] == 0)
    assert one.stats()["queued"] == view.stats()["queued"] == 0


def test_queued_is_never_more_than_unfinished(make_executor, cos):
    executor, is_over = make_executor(2), threading.Event()

    def submit():
        while not is_over.is_set():
            executor.submit(abs, -1)
            stealpool.wait(executor.submit_many(cos, [0.0] * 20))

    thread = threading.Thread(target=submit)
    thread.start()
    for _ in range(300):
        stats = executor.stats()
        assert 0 <= stats["queued"] <= stats["unfinished"] <= stats["submitted"]
    is_over.set()
    thread.join()


def test_wait_for_many_attaches_once(one, gate, cos):
    one.submit(gate.kernel, gate.key)
    futures = one.submit_many(cos, [0.0] * 1000)
    before = one.stats()["attaches"]
    threading.Timer(0.01, gate.open).start()
    stealpool.wait(futures)
    assert one.stats()["attaches"] - before <= 1


# ------------------------------------------------------------------------------ ends


@pytest.mark.parametrize("native", [True, False])
def test_submit_after_shutdown_is_refused(one, cos, native):
    one.shutdown()
    with pytest.raises(
        RuntimeError, match="cannot schedule new futures after shutdown"
    ):
        one.submit(cos if native else abs, 1.0)


def test_shutdown_waits_for_all(make_executor, gate):
    executor = make_executor(2)
    futures = [executor.submit(gate.kernel, gate.key) for _ in range(5)]
    futures += [executor.submit(abs, -1) for _ in range(5)]
    threading.Timer(0.01, gate.open, [5]).start()
    executor.shutdown()
    assert all(future.done() for future in futures)


def test_with_waits_for_all(cos):
    with stealpool.Executor(2) as executor:
        futures = [executor.submit(cos, 0.0), executor.submit(abs, -1)]
    assert all(future.done() for future in futures)


def test_shutdown_without_waiting_returns_and_the_work_goes_on(make_executor, gate):
    executor, event = make_executor(1), threading.Event()
    futures = [executor.submit(gate.kernel, gate.key), executor.submit(event.wait, 60)]
    executor.shutdown(wait=False)
    assert not any(future.done() for future in futures)
    gate.open()
    event.set()
    assert [future.result(60) for future in futures] == [0, True]


def test_shutdown_is_idempotent(one, cos):
    one.submit(cos, 0.0)
    for _ in range(3):
        one.shutdown()
        one.shutdown(wait=False, cancel_futures=True)


def test_shutdown_with_cancel_futures_cancels_what_is_queued(one, gate, cos, until):
    event = threading.Event()
    running = [one.submit(gate.kernel, gate.key), one.submit(event.wait, 60)]
    until(lambda: all(future.running() for future in running))
    queued = [one.submit(fn, 1.0) for fn in (cos, abs) for _ in range(10)]
    heard = threading.Semaphore(0)
    for future in queued:
        future.add_done_callback(lambda _: heard.release())
    one.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in queued)
    for _ in queued:
        assert heard.acquire(timeout=60)
    gate.open()
    event.set()
    assert [future.result(60) for future in running] == [0, True]


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "dropped"])
@pytest.mark.parametrize("lane", ["kernel", "pinning kernel", "callable"])
def test_shutdown_with_a_timeout_says_what_runs(one, gate, until, lane, keep):
    event = threading.Event()
    calls = {
        "kernel": (gate.kernel, gate.key),
        "pinning kernel": (gate.pinning, gate.array),
        "callable": (event.wait, 60),
    }
    future = one.submit(*calls[lane])
    until(future.running)
    if not keep:
        del future
    name = "Event.wait" if lane == "callable" else "kernel sem_wait"
    words = re.escape(
        f"1 call is unfinished after timeout=0.01 s: 1 running ({name}), 0 queued. "
        "They go on, and nothing new is accepted; call shutdown() again to wait "
        "longer, with cancel_futures=True to cancel what is queued"
    )
    with pytest.raises(stealpool.TimeoutError, match=f"^{words}$"):
        one.shutdown(timeout=0.01)
    gate.open()
    event.set()
    one.shutdown(timeout=60)
    assert one.stats()["unfinished"] == 0


def test_shutdown_with_a_timeout_names_a_few_of_many(make_executor, gate, cos, until):
    executor, event = make_executor(3), threading.Event()
    view = executor.options(priority="low")
    running = [executor.submit(gate.kernel, gate.key) for _ in range(3)]
    running += [view.submit(event.wait, 60) for _ in range(2)]
    until(lambda: all(future.running() for future in running))
    executor.submit_many(cos, [0.0] * 100)
    words = r"^105 calls are .*: 5 running \(.*, .*, .*, \.\.\.\), 100 queued"
    with pytest.raises(stealpool.TimeoutError, match=words):
        executor.shutdown(timeout=0)
    words = r"^2 calls are .*: 2 running \(Event.wait, Event.wait\), 0 queued"
    with pytest.raises(stealpool.TimeoutError, match=words):
        view.shutdown(timeout=0)
    gate.open(3)
    event.set()
    executor.shutdown()


def test_shutdown_with_a_timeout_says_that_callbacks_go_on(make_executor):
    """The calls have ended, the threads that run their callbacks have not."""
    executor, gate, begun = make_executor(2), threading.Event(), threading.Barrier(3)

    def callback(future):
        begun.wait(60)
        gate.wait(60)

    ready = threading.Event()
    futures = [executor.submit(ready.wait, 60) for _ in range(2)]
    for future in futures:
        future.add_done_callback(callback)
    ready.set()
    begun.wait(60)
    with pytest.raises(
        TimeoutError, match="2 threads are in callbacks .* after 0.01 s"
    ):
        executor.shutdown(timeout=0.01)
    assert all(future.done() for future in futures)
    gate.set()
    executor.shutdown(timeout=60)


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 2**63, None])
def test_shutdown_takes_huge_timeouts(one, timeout):
    one.submit(abs, 1)
    one.shutdown(timeout=timeout)


def test_shutdown_within_a_callable_is_refused_and_nothing_happens(one):
    with pytest.raises(RuntimeError, match="would wait for itself; pass wait=False"):
        one.submit(one.shutdown).result(60)
    assert one.submit(abs, -1).result(60) == 1
    one.submit(one.shutdown, wait=False).result(60)
    with pytest.raises(RuntimeError, match="after shutdown"):
        one.submit(abs, -1)


def test_shutdown_in_a_kernels_callback_works(one, gate):
    over = threading.Event()
    future = one.submit(gate.kernel, gate.key)
    future.add_done_callback(lambda _: (one.shutdown(), over.set()))
    gate.open()
    assert over.wait(60)


def test_shutdown_in_a_signal_handler_during_submits_does_not_hang(one, cos):
    old = signal.signal(signal.SIGALRM, lambda *_: one.shutdown())
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(RuntimeError, match="after shutdown"):
            while True:
                one.submit(abs, 1)
                one.submit(cos, 1.0)
    finally:
        signal.signal(signal.SIGALRM, old)


def test_submit_in_a_signal_handler_during_submits_does_not_hang(one):
    results = []
    old = signal.signal(signal.SIGALRM, lambda *_: results.append(one.submit(abs, -1)))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while len(results) < 100:
            one.submit(abs, 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert {future.result(60) for future in results} == {1}


def test_collected_executor_finishes_its_work(gate):
    executor, event = stealpool.Executor(1), threading.Event()
    futures = [executor.submit(gate.kernel, gate.key) for _ in range(3)]
    futures += [executor.submit(event.wait, 60) for _ in range(3)]
    alive = weakref.ref(executor)
    del executor
    assert alive() is None
    gate.open(3)
    event.set()
    assert [future.result(60) for future in futures] == [0] * 3 + [True] * 3


def test_collected_executor_ends_its_threads(until):
    executor = stealpool.Executor(2)
    executor.submit(abs, 1).result()
    threads = executor._threads
    del executor
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_collected_executor_with_dropped_futures_and_buffers(gate, until):
    array = np.zeros(3)
    for _ in range(50):
        executor = stealpool.Executor(1)
        executor.submit(gate.pinning, gate.array)
        executor.submit(gate.kernel, gate.key)
        del executor
        gate.open(2)
    stealpool.Executor(1).shutdown()
    array.resize(4)


def test_executors_made_and_dropped_quickly_leave_nothing(until):
    def threads():
        return len(os.listdir("/proc/self/task"))

    stealpool.default_executor()
    before = threads()
    rng = random.Random(1)
    for _ in range(100):
        executor = stealpool.Executor(rng.randrange(1, 4))
        if rng.random() < 0.5:
            executor.submit(abs, 1)
        if rng.random() < 0.5:
            executor.shutdown(wait=rng.random() < 0.5)
        del executor
    until(lambda: threads() <= before + 1)  # the drainer may be new


def test_submits_racing_with_shutdown_end_or_are_refused(cos):
    for round_ in range(50):
        executor, accepted = stealpool.Executor(2), []
        barrier = threading.Barrier(3)

        def submit(executor=executor, accepted=accepted, barrier=barrier):
            barrier.wait()
            try:
                while True:
                    accepted.append(executor.submit(cos, 0.0))
                    accepted.append(executor.submit(abs, -1))
            except RuntimeError as error:
                assert "after shutdown" in str(error)

        threads = [threading.Thread(target=submit) for _ in range(2)]
        for thread in threads:
            thread.start()
        barrier.wait()
        executor.shutdown()
        done = executor.stats()
        for thread in threads:
            thread.join()
        assert all(future.done() for future in accepted), f"round {round_}"
        assert done["unfinished"] == 0
        assert executor.stats()["submitted"] == len(accepted) == done["submitted"]


def test_the_default_executor_is_one_though_a_signal_handler_asks_for_it(monkeypatch):
    module = stealpool.executor
    asked = []

    class Asking(stealpool.Executor):
        """Asks while it is being made, as a signal handler may."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            asked.append(self)
            if len(asked) == 1:
                stealpool.default_executor()

    monkeypatch.setattr(module, "_default", None)
    monkeypatch.setattr(module, "Executor", Asking)
    default = stealpool.default_executor()
    assert default is asked[1]
    assert stealpool.default_executor() is default
    asked[0].shutdown()
