"""What programs do with a ThreadPoolExecutor beside submitting: the same works here."""

import asyncio
import concurrent.futures as cf
import copy
import inspect
import pickle

import pytest
import stealpool

CLASSES = [stealpool.Executor, stealpool.ThreadPoolExecutor]


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def cls(request):
    return request.param


def test_positional_arguments_are_the_standard_librarys(cls):
    theirs = list(inspect.signature(cf.ThreadPoolExecutor).parameters)[:4]
    assert list(inspect.signature(cls).parameters)[:4] == theirs
    started = []
    with cls(1, "mill", started.append, ("x",)) as executor:
        assert executor.submit(abs, -1).result() == 1
        assert [thread.name for thread in executor._threads] == ["mill_0"]
    assert started == ["x"]
    cls(1).shutdown(False)


@pytest.mark.parametrize("name", ["submit", "map", "shutdown"])
def test_methods_take_what_the_standard_librarys_take(cls, name):
    ours = inspect.signature(getattr(cls, name)).parameters
    theirs = inspect.signature(getattr(cf.ThreadPoolExecutor, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for parameter in theirs.values():
        assert ours[parameter.name].kind == parameter.kind
        assert ours[parameter.name].default == parameter.default


def test_a_subclass_that_overrides_submit_sees_the_calls_of_map_and_asyncio(cls):
    class Counting(cls):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.names = []

        def submit(self, fn, /, *args, **kwargs):
            self.names.append(fn.__name__)
            return super().submit(fn, *args, **kwargs)

    async def main():
        loop = asyncio.get_running_loop()
        each = [value async for value in executor.amap(abs, [-3])]
        return [*each, await executor.asubmit(abs, -4), await run_in_executor(loop)]

    def run_in_executor(loop):
        return loop.run_in_executor(executor, abs, -5)

    with Counting(2) as executor:
        assert executor.submit(abs, -1).result() == 1
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
        assert asyncio.run(main()) == [3, 4, 5]
        assert executor.names == ["abs"] * 6


def test_a_subclass_of_future_is_set_and_waited_for_as_there():
    class Named(stealpool.Future):
        def __init__(self, name):
            super().__init__()
            self.name = name

    future, heard = Named("x"), []
    future.add_done_callback(heard.append)
    assert future.set_running_or_notify_cancel()
    assert (future.name, future.running(), future.done()) == ("x", True, False)
    future.set_result(3)
    assert cf.wait([future]).done == {future}
    assert (future.result(), heard) == (3, [future])
    assert repr(future).startswith("<Named at 0x")


def test_future_takes_a_type_as_there():
    assert str(stealpool.Future[int]) == "stealpool.Future[int]"


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_an_executor_of_its_own(cls, again):
    with cls(3, "mill", queue_capacity=5, on_full="raise") as executor:
        executor.submit(abs, -1).result()
        other = again(executor)
    with other:
        assert type(other) is cls
        assert other.stats()["submitted"] == 0
        assert other.submit(abs, -2).result() == 2
        asked = ("_max_workers", "_thread_name_prefix", "_queue_capacity", "_on_full")
        assert [getattr(other, name) for name in asked] == [3, "mill", 5, "raise"]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_future_is_refused_to_be_copied_and_says_what_to_do(again):
    with stealpool.Executor(1) as executor:
        for future in (executor.submit(abs, -1), stealpool.Future()):
            with pytest.raises(TypeError, match=r"belongs to its process.*result\(\)"):
                again(future)


def test_what_the_guide_says_of_private_attributes_holds(cls):
    executor = cls(1)
    executor._max_workers = 5
    for name in ("_shutdown", "_broken", "_work_queue", "_threads"):
        with pytest.raises(AttributeError):
            setattr(executor, name, True)
    for name in ("put", "get", "get_nowait"):
        assert not hasattr(executor._work_queue, name)
    executor.submit(abs, -1).result()
    assert not set(executor._threads) & set(cf.thread._threads_queues)
    executor.shutdown()
