"""amap(): results for async for."""

import asyncio
import ctypes

import pytest
import stealpool


@pytest.fixture(scope="module")
def cos():
    return stealpool.kernel(ctypes.CDLL("libm.so.6").cos)


@pytest.fixture
def one(make_executor):
    return make_executor(1)


@pytest.fixture(scope="module")
def failing(compile_c):
    return stealpool.kernel(
        compile_c("int fail(int code) { return code; }").fail,
        "int (int)",
        returns="status",
    )


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("buffersize", [None, 1, 7])
def test_amap_gives_all_results(run_loop, one, cos, ordered, buffersize, new_loop):
    async def main():
        options = {"ordered": ordered, "buffersize": buffersize}
        for fn, values in ((cos, [0.1 * i for i in range(50)]), (abs, range(-50, 0))):
            found = [each async for each in one.amap(fn, values, **options)]
            expected = [fn(value) for value in values]
            assert (found if ordered else sorted(found)) == (
                expected if ordered else sorted(expected)
            )
        chunks = one.amap(pow, range(50), range(50), chunksize=8, **options)
        assert sorted([each async for each in chunks]) == [i**i for i in range(50)]
        assert [each async for each in one.amap(abs, [], **options)] == []

    run_loop(main(), new_loop)


def test_amap_runs_no_further_ahead_than_its_buffer(run_loop, one):
    taken = 0

    def count():
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield i

    async def main():
        n = 0
        async for value in one.amap(abs, count(), buffersize=5):
            assert value == n
            n += 1
            assert taken <= n + 5
        assert n == 1000

    run_loop(main())


def test_unordered_amap_does_not_wait_for_the_first(run_loop, make_executor, gate, cos):
    executor = make_executor(2)

    async def main():
        both = executor.amap(
            lambda x: stealpool.Future.result(stuck) if x == 0 else x,
            [0, 1, 2, 3],
            ordered=False,
        )
        assert sorted([await anext(both) for _ in range(3)]) == [1, 2, 3]
        gate.open()
        assert await anext(both) == 0
        with pytest.raises(StopAsyncIteration):
            await anext(both)

    stuck = executor.submit(gate.kernel, gate.key)
    run_loop(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_amap_cancels_the_others_when_a_call_fails(
    run_loop, one, gate, failing, until, ordered
):
    async def main():
        results = one.amap(failing, [0, 3, *[4] * 100], buffersize=50, ordered=ordered)
        taken = []
        with pytest.raises(stealpool.KernelError, match="returned [34]"):
            async for result in results:
                taken.append(result)
        # Unordered, an error may be seen before a result of the same instant.
        assert taken == [None] or not (ordered or taken)
        with pytest.raises(StopAsyncIteration):
            await anext(results)

    run_loop(main())


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("end", ["drop", "close", "cancel"])
def test_amap_cancels_what_nobody_will_take(
    run_loop, one, gate, cos, until, ordered, end
):
    async def take(results):
        async for _ in results:
            pass

    async def main():
        stuck = one.submit(gate.kernel, gate.key)
        until(stuck.running)
        results = one.amap(cos, [0.0] * 100, ordered=ordered)
        if end == "close":
            await results.aclose()
        elif end == "cancel":
            task = asyncio.create_task(take(results))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            del results
        assert one.stats()["unfinished"] == 1
        gate.open()

    run_loop(main())


def test_amap_refuses_odd_options(run_loop, one):
    async def main():
        with pytest.raises(ValueError, match="chunksize"):
            one.amap(abs, [1], chunksize=0)
        with pytest.raises(ValueError, match="buffersize"):
            one.amap(abs, [1], buffersize=0)
        with pytest.raises(TypeError, match="buffersize"):
            one.amap(abs, [1], buffersize="1")

    run_loop(main())
