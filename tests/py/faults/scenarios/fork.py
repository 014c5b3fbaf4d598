"""fork(), where no thread but the forking one lives on in the child."""

import os
import threading
import time


def in_child(function):
    """True if the function returns true in a child, within some seconds."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if function() else 1)
        except BaseException:
            os._exit(1)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.001)  # sleep: the child has no other way to be heard
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return False


def a_child_submits(lib):
    """fork() with all threads running: submit() in the child works"""
    executor, gate = lib.Executor(1), threading.Event()
    executor.submit(gate.wait, 60)
    works = in_child(lambda: executor.submit(abs, -1).result(4) == 1)
    gate.set()
    assert works, "submit() in the child never ends"
    assert executor.submit(abs, -1).result(10) == 1


def children_of_children_submit(lib):
    """fork() in the child of a fork, six deep: old and new executors work in each"""
    executor = lib.Executor(1)

    def works(depth):
        with lib.Executor(1) as own:
            for each in (executor, own):
                if each.submit(abs, -depth).result(4) != depth:
                    return False
        return depth == 6 or in_child(lambda: works(depth + 1))

    assert works(0), "submit() in a child never ends"


def a_child_waits_for_a_future_of_its_parent(lib):
    """fork() with calls pending: waiting for them in the child raises"""
    executor, gate = lib.Executor(1), threading.Event()
    futures = [executor.submit(gate.wait, 60), executor.submit(abs, -1)]

    def waits():
        for future in futures:
            try:
                future.result(4)
            except lib.TimeoutError:
                return False
            except RuntimeError:
                continue
            return False
        return True

    works = in_child(waits)
    gate.set()
    assert works, "result() in the child never ends"
    assert [future.result(10) for future in futures] == [True, 1]


def a_child_shuts_down(lib):
    """fork(): shutdown() of the parent's executor in the child returns"""
    executor, gate = lib.Executor(2), threading.Event()
    futures = [executor.submit(gate.wait, 60) for _ in range(5)]

    def shuts_down():
        executor.shutdown()
        return True

    works = in_child(shuts_down)
    gate.set()
    assert works, "shutdown() in the child never ends"
    assert all(future.result(10) for future in futures)


def a_child_makes_an_executor(lib):
    """fork(): a new executor in the child works"""
    executor = lib.Executor(2)
    futures = [executor.submit(abs, -i) for i in range(100)]

    def works():
        with lib.Executor(2) as own:
            return list(own.map(abs, [-1, -2])) == [1, 2]

    assert in_child(works)
    assert [future.result(10) for future in futures] == list(range(100))


def forks_while_other_threads_submit(lib):
    """100 forks while two threads submit: a child's submit() works, parents' too"""
    executor, over = lib.Executor(2), threading.Event()

    def load():
        while not over.is_set():
            futures = [executor.submit(abs, -1) for _ in range(20)]
            futures[0].add_done_callback(lambda _: None)
            lib.wait(futures)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    good = 0
    try:
        for _ in range(100):
            if not in_child(lambda: executor.submit(abs, -1).result(4) == 1):
                break
            good += 1
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert good == 100, f"fork {good + 1} fails"


def a_call_forks(lib):
    """A call forks, and the child submits to the same executor"""
    executor = lib.Executor(1)

    def call():
        return in_child(lambda: executor.submit(abs, -1).result(4) == 1)

    assert executor.submit(call).result(10), "submit() in the child never ends"
    assert executor.submit(abs, -1).result(10) == 1
