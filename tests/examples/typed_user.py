"""What a user's type checker sees: checked by tests/py/test_types.py, never run."""

import asyncio
import math
from concurrent.futures import Executor as AnyExecutor
from typing import Literal, assert_type

import numpy as np
import stealpool
from numpy.typing import NDArray
from stealpool import (
    AsyncFuture,
    CancellationToken,
    Executor,
    Future,
    Kernel,
    as_completed,
    kernel,
    wait,
)
from stealpool.image import gaussian_filter, rgb_to_gray
from stealpool.kernels import integrate
from stealpool.view import ExecutorView


def area(width: float, height: float = 1.0) -> float:
    return width * height


def submitting(executor: Executor) -> None:
    assert_type(executor.submit(area, 2.0), Future[float])
    assert_type(executor.submit(area, 2.0, height=3.0).result(), float)
    assert_type(executor.submit(area, 2.0).exception(), BaseException | None)
    executor.submit(area, "2")  # type: ignore[arg-type]
    executor.submit(area, 2.0, depth=3.0)  # type: ignore[call-arg]


def mapping(executor: Executor) -> list[float]:
    return list(executor.map(area, [1.0, 2.0], [3.0, 4.0], ordered=False))


def waiting(executor: Executor) -> float:
    futures = [executor.submit(area, float(width)) for width in range(10)]
    done, not_done = wait(futures, timeout=1.0, return_when=stealpool.FIRST_COMPLETED)
    left = wait(not_done).done
    return sum(future.result() for future in as_completed([*done, *left]))


def with_views(executor: Executor) -> None:
    token = CancellationToken()
    child = CancellationToken(token)
    urgent = executor.options(priority="high", cancel=child, timeout=2.5, context=None)
    assert_type(urgent, ExecutorView)
    assert_type(urgent.submit(area, 2.0), Future[float])
    assert_type(urgent.options(cancel=None, timeout=None, context="copy"), ExecutorView)
    executor.options(priority="urgent")  # type: ignore[arg-type]
    executor.options(cancel=True)  # type: ignore[arg-type]
    executor.options(deadline=1.0)  # type: ignore[call-arg]
    with executor.view() as lent:
        assert_type(lent, ExecutorView)
        any_executor(lent)
    try:
        with executor.group() as group:
            assert_type(group.submit(area, 2.0), Future[float])
            group.submit(area, "2")  # type: ignore[arg-type]
    except* ValueError as errors:
        assert_type(errors, ExceptionGroup[ValueError])
    token.cancel()
    assert_type(token.cancelled(), bool)
    assert_type(token.address, int)
    lent.shutdown(wait=True, cancel_futures=True, timeout=1.0)


def looping(executor: Executor, body: Kernel, sums: NDArray[np.float64]) -> None:
    def piece(begin: int, end: int, scale: float) -> None:
        sums[begin:end] *= scale

    executor.for_range(body, 0, 1000, sums, grain=64)
    executor.for_range(piece, 0, len(sums), 2.0, progress=lambda done: print(done + 1))
    executor.for_range(piece, 0, "1000")  # type: ignore[arg-type]


def bounded() -> Executor:
    executor = Executor(native_workers=2, queue_capacity=100, on_full="run")
    Executor(queue_capacity="100")  # type: ignore[arg-type]
    Executor(queue_capacity=100, on_full="drop")  # type: ignore[arg-type]
    on_full: Literal["block", "raise", "run"] = "raise"
    Executor(queue_capacity=100, on_full=on_full)
    return executor


def with_kernels(executor: Executor, cos: Kernel) -> str:
    futures = executor.submit_many(cos, np.zeros(3))
    futures += executor.submit_many(cos, [0.0, 1.0])
    futures += executor.submit_many(cos, [(0.0,), (1.0,)])
    executor.submit_many(area, [0.0])  # type: ignore[arg-type]
    values = [future.result() for future in futures]
    values += [executor.submit(cos, 0.0).result(), cos(0.0)]
    half = kernel(cos, returns="value")
    return half.name + half.signature


def with_built_in_kernels(executor: Executor) -> None:
    assert_type(integrate(math.cos, 0, 1, n_iter=10, executor=executor), float)
    assert_type(executor.submit(integrate, math.cos, 0.0, 1.0), Future[float])
    integrate(math.cos, "0", 1)  # type: ignore[arg-type]


def with_images(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    gray: NDArray[np.uint8] = rgb_to_gray(image)
    blurred: NDArray[np.uint8] = gaussian_filter(gray, (1.0, 2.0), mode="nearest")
    return blurred


async def in_coroutines(executor: Executor, cos: Kernel) -> float:
    future = executor.asubmit(area, 2.0, height=3.0)
    assert_type(future, AsyncFuture[float])
    assert_type(await future, float)
    assert_type(future.result(), float)
    executor.asubmit(area, "2")  # type: ignore[arg-type]
    executor.asubmit(area, 2.0, depth=3.0)  # type: ignore[call-arg]
    future.add_done_callback(lambda ended: print(ended.result() + 1.0))
    first, second = await asyncio.gather(future, executor.asubmit(str, 1))
    assert_type(first, float)
    assert_type(second, str)
    assert_type(await asyncio.wait_for(executor.asubmit(area, 1.0), 1.0), float)
    assert_type(await asyncio.shield(future), float)
    loop = asyncio.get_running_loop()
    assert_type(await loop.run_in_executor(executor, area, 1.0), float)
    async for value in executor.amap(area, [1.0], [2.0], buffersize=1, ordered=False):
        assert_type(value, float)
    return float(sum([each async for each in executor.amap(cos, [0.0])]))


def any_executor(executor: AnyExecutor) -> float:
    return executor.submit(area, 2.0).result()


def main() -> None:
    with Executor(4, thread_name_prefix="typed") as executor:
        submitting(executor)
        any_executor(executor)
        executor.submit(area, 1.0).add_done_callback(lambda future: None)
        counters = executor.stats()
        print(counters["executed"])
    try:
        assert_type(stealpool.default_executor(), Executor)
    except stealpool.KernelError as error:
        print(error.kernel, error.code, error.message)
    stealpool.show_config()
