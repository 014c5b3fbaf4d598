"""Little CPU time: a quota, many threads on one CPU, a thread that goes before all."""

import contextlib
import ctypes
import os
import select
import signal
import threading
import time
from pathlib import Path

from program import NotPermittedError, until

libc = ctypes.CDLL(None)
BYTES = 96 << 20  # memfrob() uses 30 ms of CPU time for as many


def load(lib, executor):
    """Round trips, many calls, waits."""
    for i in range(100):
        assert executor.submit(abs, -i).result(60) == i
    futures = [executor.submit(pow, i, 2) for i in range(1000)]
    assert not lib.wait(futures, timeout=60).not_done
    assert sum(f.result() for f in lib.as_completed(futures)) == 332833500
    assert list(executor.map(abs, range(-100, 0))) == list(range(100, 0, -1))


def cpu_ns(but=None):
    """What the threads of this process that are alive have used."""
    used = 0
    for each in set(os.listdir("/proc/self/task")) - {str(but)}:
        with contextlib.suppress(FileNotFoundError):  # it has ended
            text = Path(f"/proc/self/task/{each}/schedstat").read_text()
            used += int(text.split()[0])
    return used


def waits_at_rest(lib, executor):
    """A thread that waits for native code uses no CPU time."""
    array = ctypes.create_string_buffer(BYTES)
    native = lib.native(libc.memfrob, "uintptr_t (void *, size_t)")
    for frob in (native, libc.memfrob):  # of both lanes
        before = cpu_ns()
        future = executor.submit(frob, array, BYTES)
        waiter_before = time.thread_time_ns()
        lib.wait([future], timeout=0.01)
        future.result(60)
        spun, used = time.thread_time_ns() - waiter_before, cpu_ns() - before
        assert spun < used / 4, f"waiting took {spun} of {used} ns"


def comes_to_rest():
    """Nobody but the main thread uses any more."""

    def is_still():
        before = cpu_ns(but=os.getpid())
        time.sleep(0.1)  # sleep: that nothing happens is not announced
        return cpu_ns(but=os.getpid()) == before

    until(is_still)


# ------------------------------------------------------------------ a fifth of a CPU


def cgroups():
    """Those of this process that may have quotas; a quota of 20 of 100 ms."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            limits = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "20000"}
            yield Path("/sys/fs/cgroup/cpu" + path), limits
        elif not controllers:
            yield Path("/sys/fs/cgroup" + path), {"cpu.max": "20000 100000"}


def enter(folder, limits):
    """Enter a new cgroup. False: that is not permitted, and nothing happened."""
    try:
        folder.mkdir()
    except OSError:
        return False
    try:
        for file, text in limits.items():
            (folder / file).write_text(text)
        (folder / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        folder.rmdir()
        return False
    return True


@contextlib.contextmanager
def quota():
    """This process in a cgroup of its own, which has 20 of 100 ms."""
    for home, limits in cgroups():
        folder = home / f"stealpool-test-{os.getpid()}"
        if enter(folder, limits):
            try:
                yield
            finally:
                (home / "cgroup.procs").write_text(str(os.getpid()))
                folder.rmdir()
            return
    raise NotPermittedError("may not make a cgroup with a CPU quota")


def a_quota_of_a_fifth(lib):
    """A cgroup quota of a fifth of a CPU: all calls end, then all threads rest"""
    with quota(), lib.Executor(2) as executor:
        if lib.name == "stealpool":
            with lib.Executor() as one_for_each_cpu:  # that the quota pays for
                assert one_for_each_cpu.stats()["workers"] == 1
        load(lib, executor)
        waits_at_rest(lib, executor)
        comes_to_rest()


@contextlib.contextmanager
def stopped_most_of_the_time():
    """A child stops this process for 80 of 100 ms, which is what a quota does to it."""
    parent, (end, over) = os.getpid(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(over)
        while not select.select([end], [], [], 0.02)[0]:
            os.kill(parent, signal.SIGSTOP)
            time.sleep(0.08)  # sleep: this is the period
            os.kill(parent, signal.SIGCONT)
        os._exit(0)
    os.close(end)
    try:
        yield
    finally:
        os.close(over)
        os.waitpid(child, 0)


def stopped_and_continued(lib):
    """The process is stopped for 80 of 100 ms, as by a quota: all calls end"""
    with lib.Executor(2) as executor:
        with stopped_most_of_the_time():
            load(lib, executor)
            waits_at_rest(lib, executor)
        comes_to_rest()


# ---------------------------------------------------------------- many threads, one CPU


def on_one_cpu():
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])


def many_threads_on_one_cpu(lib):
    """64 threads in each lane on one CPU: all calls end, then all threads rest"""
    on_one_cpu()
    with lib.Executor(64) as executor:
        barrier = threading.Barrier(64)
        futures = [executor.submit(barrier.wait, 60) for _ in range(64)]
        assert sum(future.result(60) for future in futures) == 63 * 64 // 2
        load(lib, executor)
        waits_at_rest(lib, executor)
        comes_to_rest()


# ------------------------------------------------------------ priorities of the system


def be_realtime():
    """The calling thread goes before all ordinary ones: ``chrt -f 50``."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    except OSError as error:
        raise NotPermittedError(f"no real-time priority: {error}") from None


def a_realtime_thread_waits_for_ordinary_ones(lib):
    """chrt -f 50, one CPU: a thread that goes before all others waits for calls"""
    on_one_cpu()
    with lib.Executor(2) as executor:
        load(lib, executor)  # all threads are there, and ordinary
        be_realtime()
        waits_at_rest(lib, executor)
        load(lib, executor)
        for i in range(1000):
            future = executor.submit(abs, -i)
            with contextlib.suppress(lib.TimeoutError):
                future.result(i % 50 * 1e-6)
            future.cancel()
