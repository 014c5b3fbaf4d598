"""Exit and fork in every state that a program can be in, again and again.

STRESS=100 runs each a thousand times, as a release does.
"""

import os

import pytest

STATES = {
    "idle": "executor.submit(cos, 0.0).result(); executor.submit(abs, -1).result()",
    "running kernel": """
        executor.submit(wait_at, gate.key)
        threading.Timer(0.002, gate.open).start()
    """,
    "running call": """
        event = threading.Event()
        executor.submit(event.wait)
        threading.Timer(0.002, event.set).start()
    """,
    "queued kernels": """
        for _ in range(200):
            executor.submit(cos, 0.0)
        executor.submit_many(cos, [0.0] * 200)
    """,
    "queued calls": "[executor.submit(abs, -i) for i in range(200)]",
    "pending callbacks": """
        for i in range(100):
            executor.submit(cos, 0.0).add_done_callback(lambda f: f.result())
            executor.submit(abs, -1).add_done_callback(lambda f: f.result())
    """,
    "executor gone": """
        futures = [executor.submit(f, 0.0) for f in (cos, abs) * 100]
        del executor
    """,
    "all gone": """
        for f in (cos, abs) * 100:
            executor.submit(f, 0.0)
        del executor
        gc.collect()
    """,
    "pinned buffers": """
        length = stealpool.kernel(libc.strlen, "size_t (const void *)")
        for _ in range(100):
            executor.submit(length, bytearray(8))
    """,
    "exit in a call": """
        futures = [executor.submit(sys.exit, 3) for _ in range(10)]
    """,
    "waiting daemons": """
        for future in (stealpool.Future(), executor.submit(cos, 0.0)):
            threading.Thread(target=future.result, daemon=True).start()
    """,
    "threads that submit": """
        def submit():
            try:
                for _ in range(1000):
                    executor.submit(cos, 0.0)
                    executor.submit(abs, -1)
            except RuntimeError:
                pass
        for _ in range(2):
            threading.Thread(target=submit).start()
    """,
    "never-ending kernel": """
        stealpool.process.set_exit_timeout(0)
        stealpool.process._GRACE = 0.01
        until(executor.submit(wait_at, gate.key).running)
    """,
    "never-ending call": """
        stealpool.process.set_exit_timeout(0)
        stealpool.process._GRACE = 0.01
        until(executor.submit(threading.Event().wait).running)
    """,
    "never-ending loop": """
        stealpool.process.set_exit_timeout(0)
        from stealpool.kernels import integrate
        until(executor.submit(integrate, math.cos, 0, 1, n_iter=10**14).running)
    """,
    "ctrl-c": """
        stealpool.process._GRACE = 0.01
        until(executor.submit(wait_at, gate.key).running)
        interrupt_at_exit()
    """,
}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")

# Each run is a child of a process that has imported the library and done nothing else,
# which is as good as a new one and takes a tenth of the time. It ends as programs do.
RUNS = """
state = compile(textwrap.dedent(STATE), "state", "exec")
for run in range({runs}):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # one that hangs
        executor = stealpool.Executor(*[[], [1], [2], [3]][run % 4])
        exec(state)
        break
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"run {{run}} ends with {{status}}"
"""


@needs_fork
@pytest.mark.parametrize("state", STATES)
def test_exit_is_clean(program, runs, state):
    done = program(
        f"import textwrap\nSTATE = {STATES[state]!r}\n",
        RUNS.format(runs=5 * runs),
        timeout=60 + 5 * runs,
    )
    if not state.startswith(("never", "ctrl")):
        assert done.stderr == ""


FORKS = """
def in_child(*functions):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # the child of a bug hangs
        try:
            for function in functions:
                function()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid

def ends_well(pid):
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child's status is {status}"

def uses_it():
    assert executor.submit(cos, 0.0).result(20) == 1.0
    assert executor.submit(abs, -1).result(20) == 1
    heard = threading.Event()
    executor.submit(cos, 0.0).add_done_callback(lambda _: heard.set())
    assert heard.wait(20)
"""


@needs_fork
def test_fork_under_load(program, runs):
    """All threads of the parent are somewhere inside the library when it forks."""
    program(
        FORKS,
        f"""
        executor, over = stealpool.Executor(2), threading.Event()
        def load():
            while not over.is_set():
                futures = executor.submit_many(cos, [0.0] * 50)
                futures[0].add_done_callback(lambda _: None)
                futures += [executor.submit(abs, -1), executor.submit(len, b"x")]
                stealpool.wait(futures)
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range({5 * runs}):
            ends_well(in_child(uses_it))
        over.set()
        for thread in threads:
            thread.join()
        uses_it()
        """,
        timeout=60 + runs,
    )


@needs_fork
def test_fork_in_a_worker(program, runs):
    """The thread that lives on in the child is one of the executor's own."""
    program(
        FORKS,
        f"""
        executor, over = stealpool.Executor(2), threading.Event()
        futures = [executor.submit(wait_at, gate.key)]

        def call():
            ends_well(in_child(uses_it))

        for _ in range({5 * runs}):
            executor.submit(call).result(30)
        gate.open()
        uses_it()
        """,
        timeout=60 + runs,
    )


@needs_fork
def test_fork_and_exit(program, runs):
    """The child ends as programs do, with the parent's calls still unfinished."""
    program(
        f"""
        executor = stealpool.Executor(2)
        for _ in range({5 * runs}):
            futures = [executor.submit(f, 0.0) for f in (cos, abs) * 10]
            futures[0].add_done_callback(lambda _: None)
            pid = os.fork()
            if pid == 0:
                executor.submit(abs, -1)
                sys.exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            stealpool.wait(futures)
        """,
        timeout=60 + runs,
    )
