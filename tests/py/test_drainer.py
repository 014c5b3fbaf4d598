"""The drainer: announces what is observed, frees what nobody collects."""

import concurrent.futures as cf
import ctypes
import sys
import sysconfig
import threading
import weakref

import pytest
import stealpool

libc = ctypes.CDLL(None)


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="no GIL to acquire"
)
def test_callbacks_of_a_batch_take_one_acquisition(one, gate, cos):
    one.submit(gate.kernel, gate.key)
    futures = one.submit_many(cos, [0.0] * 1000)
    left, over = [len(futures)], threading.Event()

    def count(_):
        left[0] -= 1
        if not left[0]:
            over.set()

    for future in futures:
        future.add_done_callback(count)
    before = one.stats()["attaches"]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)  # this thread has the GIL until all have ended
    try:
        ctypes.PyDLL(None).sem_post(ctypes.c_void_p(gate.key))  # with the GIL
        while one.stats()["unfinished"]:
            pass
    finally:
        sys.setswitchinterval(interval)
    assert over.wait(60)
    assert one.stats()["attaches"] - before <= 3


def test_kernels_that_nobody_observes_start_no_drainer(run_python):
    run_python(
        """
        import ctypes, stealpool, threading
        cos = stealpool.kernel(ctypes.CDLL("libm.so.6").cos)
        with stealpool.Executor(1) as executor:
            futures = executor.submit_many(cos, [0.0] * 100)
            stealpool.wait(futures)
            assert threading.enumerate() == [threading.main_thread()]
            futures[0].add_done_callback(print)
            assert threading.enumerate() == [threading.main_thread()]
        """
    )


def test_drainer_is_a_daemon_and_one_for_all(make_executor, gate):
    over = threading.Semaphore(0)
    for _ in range(3):
        future = make_executor(1).submit(gate.kernel, gate.key)
        future.add_done_callback(lambda _: over.release())
    gate.open(3)
    for _ in range(3):
        assert over.acquire(timeout=60)
    drainers = [t for t in threading.enumerate() if t.name == "stealpool-drainer"]
    assert len(drainers) == 1
    assert drainers[0].daemon


def test_one_bad_callback_in_a_batch_does_not_stop_the_others(
    one, gate, cos, monkeypatch, caplog
):
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: reports.append(u.exc_type))
    one.submit(gate.kernel, gate.key)
    heard, over = [], threading.Event()

    def callback(i):
        if i == 99:
            over.set()
        if i % 3 == 0:
            raise SystemExit
        if i % 3 == 1:
            raise ValueError
        heard.append(i)

    for i, future in enumerate(one.submit_many(cos, [0.0] * 100)):
        future.add_done_callback(lambda _, i=i: callback(i))
    gate.open()
    assert over.wait(60)
    assert heard == [i for i in range(100) if i % 3 == 2]
    assert reports[:33] == [SystemExit] * 33
    assert len(caplog.records) == 33


def test_callback_may_wait_for_kernels_and_callables(one, gate, cos):
    results, over = [], threading.Event()

    def callback(_):
        results.append(one.submit(cos, 0.0).result(60))
        results.append(one.submit(abs, -1).result(60))
        results.append(len(stealpool.wait(one.submit_many(cos, [0.0] * 9)).done))
        over.set()

    one.submit(gate.kernel, gate.key).add_done_callback(callback)
    gate.open()
    assert over.wait(60)
    assert results == [1.0, 1, 9]


def test_what_nobody_waits_for_is_reclaimed_by_the_next_executor(run_python):
    run_python(
        """
        import ctypes, gc, os, stealpool, threading, time, weakref
        libc = ctypes.CDLL(None)
        semaphore = ctypes.create_string_buffer(128)
        key = ctypes.addressof(semaphore)
        libc.sem_init(semaphore, 0, 0)

        def forget_calls():
            function = libc["sem_wait"]
            wait = stealpool.kernel(function, "int (uintptr_t)")
            executor = stealpool.Executor(1)
            executor.submit(wait, key)
            executor.submit(wait, key)
            executor.shutdown(wait=False)
            return weakref.ref(function)

        def count_threads():
            n_threads.append(len(os.listdir("/proc/self/task")))

        # TSan has a thread of its own, from the first start on.
        functions, n_threads = [], []
        counting = threading.Thread(target=count_threads)
        counting.start()
        counting.join()
        for _ in range(10):
            functions.append(forget_calls())
            libc.sem_post(semaphore)
            libc.sem_post(semaphore)
            deadline = time.monotonic() + 30
            while len(os.listdir("/proc/self/task")) > n_threads[0] - 1:
                assert time.monotonic() < deadline, "its worker never ends"
                time.sleep(0)
        gc.collect()  # ctypes
        assert functions[-1]() is not None  # nobody has looked at its tasks yet
        stealpool.Executor(1)
        gc.collect()
        assert [function() for function in functions] == [None] * 10
        """
    )


def test_views_whose_calls_ended_in_time_are_forgotten_before_their_limit(one, cos):
    homes = []
    for _ in range(100):
        view = one.options(timeout=3600)
        assert view.submit(cos, 0.0).result() == 1.0
        homes.append(weakref.ref(view._home))
    del view
    assert sum(home() is not None for home in homes) < 30


def test_observing_when_no_thread_can_start_fails_and_can_be_repeated(run_python):
    run_python(
        """
        import ctypes, stealpool, threading
        libc = ctypes.CDLL(None)
        semaphore = ctypes.create_string_buffer(128)
        libc.sem_init(semaphore, 0, 0)
        wait = stealpool.kernel(libc.sem_wait, "int (void *)")

        def refuse(self):
            raise RuntimeError("can't start new thread")

        start, threading.Thread.start = threading.Thread.start, refuse
        executor, over = stealpool.Executor(1), threading.Event()
        future = executor.submit(wait, semaphore)
        try:
            future.add_done_callback(lambda _: over.set())
        except RuntimeError as error:
            assert "can't start new thread" in str(error)
        else:
            raise AssertionError
        threading.Thread.start = start
        future.add_done_callback(lambda _: over.set())
        libc.sem_post(semaphore)
        assert over.wait(60)
        """
    )


# ------------------------------------------------------------------- the deputy


class Absence:
    """The drainer is in a callback until the end of a ``with`` statement."""

    def __init__(self, executor, gate):
        self.executor, self.gate = executor, gate
        self.begun, self.over = threading.Event(), threading.Event()

    def callback(self, future):
        self.begun.set()
        self.over.wait(60)

    def __enter__(self):
        future = self.executor.submit(self.gate.kernel, self.gate.key)
        future.add_done_callback(self.callback)
        self.gate.open()
        assert self.begun.wait(60)

    def __exit__(self, *exc_info):
        self.over.set()


@pytest.fixture
def absence(make_executor, gate):
    return Absence(make_executor(1), gate)


def test_a_callback_that_waits_holds_up_no_waiter(absence, one, gate):
    with absence:
        futures = [one.submit(gate.kernel, gate.key) for _ in range(3)]
        ended = threading.Event()
        thread = threading.Thread(target=lambda: (cf.wait(futures), ended.set()))
        thread.start()
        gate.open(3)
        assert ended.wait(60)
        thread.join()
        assert list(cf.as_completed(futures, 60))


def test_who_holds_the_lock_of_a_callback_may_wait(one, gate, cos):
    """For any future, in any way, also for the one whose callback it is."""
    lock, called = threading.Lock(), threading.Semaphore(0)

    def callback(future):
        with lock:
            called.release()

    def wait_for(future):
        with lock:
            gate.open()
            cf.wait([future])
            stealpool.wait([future])
            assert list(cf.as_completed([one.submit(cos, 0.0)]))
            assert one.submit(cos, 0.0).result() == 1.0
            assert not called.acquire(blocking=False)

    for _ in range(3):
        future = one.submit(gate.kernel, gate.key)
        future.add_done_callback(callback)
        thread = threading.Thread(target=wait_for, args=(future,), daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        assert called.acquire(timeout=60)


def test_a_callback_that_waits_holds_up_no_time_limit(absence, one, gate, cos):
    with absence:
        one.submit(gate.kernel, gate.key)
        future = one.options(timeout=0.01).submit(cos, 0.0)
        with pytest.raises(TimeoutError, match=r"had not ended 0\.01 s"):
            future.result(60)
        gate.open()


def test_a_callback_that_waits_holds_up_no_buffer(absence, one, gate, until):
    def is_free():
        try:
            data.append(0)
        except BufferError:
            return False
        return True

    with absence:
        data = bytearray(128)
        future = one.submit(gate.kernel, gate.key)
        pinned = one.submit(stealpool.kernel(libc.strlen, "uintptr_t (void *)"), data)
        assert not is_free()
        gate.open()
        until(is_free)
    assert (future.result(60), pinned.result(60)) == (0, 0)


def test_callbacks_wait_for_the_drainer_and_keep_their_order(
    absence, one, gate, cos, until
):
    called = []
    with absence:
        first = one.submit(gate.kernel, gate.key)
        futures = [one.submit(cos, 0.0) for _ in range(100)]
        for i, future in enumerate(futures):
            future.add_done_callback(
                lambda _, i=i: called.append((i, threading.current_thread().name))
            )
        gate.open()
        assert cf.wait([first, *futures]).not_done == set()
        assert called == []
    until(lambda: len(called) == 100)
    assert called == [(i, "stealpool-drainer") for i in range(100)]


GATED = """
    import ctypes, concurrent.futures as cf, os, stealpool, threading, time
    libc = ctypes.CDLL(None)
    semaphore = ctypes.create_string_buffer(128)
    libc.sem_init(semaphore, 0, 0)
    wait = stealpool.kernel(libc.sem_wait, "int (uintptr_t)")

    def submit(executor):
        return executor.submit(wait, ctypes.addressof(semaphore))

    def until(condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "waited for ever"
            time.sleep(0)

    executor = stealpool.Executor(1)
    begun, over, called = threading.Event(), threading.Event(), []
"""


def test_without_a_thread_for_a_deputy_callbacks_are_called(run_python):
    run_python(
        GATED
        + """
    start = threading.Thread.start

    def refuse(self):
        if self.name == "stealpool-deputy":
            raise RuntimeError("can't start new thread")
        start(self)

    threading.Thread.start = refuse
    for _ in range(3):
        future = submit(executor)
        future.add_done_callback(called.append)
        libc.sem_post(semaphore)
        cf.wait([future])
    until(lambda: len(called) == 3)
    """
    )


def test_fork_while_the_drainer_is_in_a_callback(run_python):
    run_python(
        GATED
        + """
    future = submit(executor)
    future.add_done_callback(lambda _: (begun.set(), over.wait(60)))
    libc.sem_post(semaphore)
    begun.wait(60)
    later = submit(executor)
    later.add_done_callback(lambda _: called.append("parent's"))
    libc.sem_post(semaphore)
    cf.wait([later])
    child = os.fork()
    if child == 0:
        future = submit(executor)
        future.add_done_callback(lambda _: called.append("child's"))
        libc.sem_post(semaphore)
        cf.wait([future])
        until(lambda: called)
        os._exit(called != ["child's"])
    assert os.waitpid(child, 0)[1] == 0
    assert called == []
    over.set()
    until(lambda: called == ["parent's"])
    """
    )


def test_process_ends_while_the_deputy_stands_in(run_python):
    """Callbacks that are due are called first, then both threads end."""
    done = run_python(
        GATED
        + """
    for i in range(3):
        future = submit(executor)
        future.add_done_callback(lambda _: (begun.set(), over.wait(60)))
        future.add_done_callback(lambda _: print("called", flush=True))
        libc.sem_post(semaphore)
        cf.wait([future])
    begun.wait(60)
    threading._register_atexit(over.set)
    """
    )
    assert done.stdout == "called\n" * 3
    assert done.stderr == ""
