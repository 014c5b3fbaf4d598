"""Debug mode: callables that wait for each other raise, rather than for ever."""

import threading

import pytest
import stealpool


@pytest.fixture
def debugging():
    before = stealpool._core.set_debugging(True)
    yield
    stealpool._core.set_debugging(before)


def test_callables_that_wait_for_each_other_raise(debugging, make_executor, wait_for):
    executor, barrier, futures = make_executor(2), threading.Barrier(2), []

    def f(i):
        barrier.wait(60)
        wait_for(futures[1 - i])

    gate = threading.Event()
    blocked = [executor.submit(gate.wait, 60) for _ in range(2)]
    futures += [executor.submit(f, i) for i in range(2)]
    gate.set()
    stealpool.wait(blocked)
    errors = [future.exception(60) for future in futures]
    first = next(error for error in errors if error is not None)
    assert isinstance(first, RuntimeError)
    assert "deadlock: this wait would never end, for 2 threads" in str(first)


def test_callable_that_waits_for_itself_raises(debugging, one):
    box, ready = [], threading.Event()

    def f():
        ready.wait(60)
        return box[0].result()

    box.append(one.submit(f))
    ready.set()
    with pytest.raises(RuntimeError, match="deadlock.* 1 thread.*run .*f"):
        box[0].result(60)


def test_circle_through_two_executors_is_found(debugging, make_executor):
    """One thread each, and each waits for what the other would have to begin."""
    left, right = make_executor(1), make_executor(1)
    begun = threading.Barrier(3)
    queued = []

    def f(i):
        begun.wait(60)
        begun.wait(60)
        return queued[i].result()

    futures = [left.submit(f, 0), right.submit(f, 1)]
    begun.wait(60)
    queued += [right.submit(abs, -1), left.submit(abs, -2)]
    begun.wait(60)
    outcomes = [future.exception(60) for future in futures]
    assert sum(isinstance(outcome, RuntimeError) for outcome in outcomes) == 1
    assert [future.result(60) for future in queued] == [1, 2]


def test_waiting_that_ends_is_not_reported(debugging, make_executor):
    executor = make_executor(2)

    def nested(n):
        return n + executor.submit(nested, n - 1).result() if n else 0

    assert executor.submit(nested, 30).result(60) == 30 * 31 // 2
    event = threading.Event()
    waiting = executor.submit(lambda: executor.submit(event.wait, 60).result())
    timed = executor.submit(lambda: waiting.result(60))
    event.set()
    assert timed.result(60) is True


@pytest.mark.parametrize(
    ("options", "variables"), [(["-X", "dev"], {}), ([], {"STEALPOOL_DEBUG": "1"})]
)
def test_debug_mode_is_of_the_interpreter_or_the_environment(
    run_python, options, variables
):
    program = "import stealpool; print(stealpool._core.set_debugging(False))"
    assert run_python(program, options=options, env=variables).stdout == "True\n"
    assert run_python(program, env={"STEALPOOL_DEBUG": "0"}).stdout == "False\n"
