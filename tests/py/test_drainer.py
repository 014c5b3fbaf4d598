"""The drainer: announces what is observed, frees what nobody collects."""

import sys
import threading

import stealpool


def test_callbacks_of_a_batch_take_one_acquisition(one, gate, cos, until):
    first = one.submit(gate.kernel, gate.key)
    futures = one.submit_many(cos, [0.0] * 1000)
    first.add_done_callback(lambda _: until(lambda: one.stats()["unfinished"] == 0))
    left, over = [len(futures)], threading.Event()

    def count(_):
        left[0] -= 1
        if not left[0]:
            over.set()

    for future in futures:
        future.add_done_callback(count)
    before = one.stats()["attaches"]
    gate.open()
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
