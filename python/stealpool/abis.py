"""What kernels mean that are called with the shapes of arrays, or with ranges.

A *planner* checks the arguments of one call, allocates what they do not say, and makes
the plan that runs without the GIL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from ._core import ArrayPlan, Kernel
from .signature import Operand, Signature

__all__ = ["Batch", "Loop", "Loops", "Tiles", "reduction"]

BORDERS = ("reflect", "mirror", "nearest", "constant", "wrap")
_MAX_HALO = 65535


# --------------------------------------------------------------------- arguments


def _take_out(kernel: Kernel, kwargs: dict[str, Any], n: int) -> list[Any]:
    """The arrays for `n` results, None for those to be allocated."""
    out = kwargs.pop("out", None)
    if kwargs:
        raise TypeError(
            f"kernel {kernel.name} takes no keyword arguments but out= "
            f"(and executor= when it is called), got {', '.join(kwargs)}"
        )
    if out is None:
        return [None] * n
    outs = list(out) if isinstance(out, tuple) else [out]
    if len(outs) != n:
        raise ValueError(
            f"kernel {kernel.name} has {n} result{'s' if n != 1 else ''}, "
            f"got {len(outs)} in out="
        )
    return outs


def _array(kernel: Kernel, index: int, value: Any, dtype: np.dtype[Any]) -> Any:
    """An argument as an array of exactly that dtype; lists and numbers are copied."""
    array = value
    if not isinstance(value, np.ndarray):
        is_exporter = hasattr(value, "__array_interface__") or _is_buffer(value)
        array = np.asarray(value, None if is_exporter else dtype)
    if array.dtype != dtype:
        raise TypeError(
            f"kernel {kernel.name}: argument {index + 1} must be an array of {dtype}, "
            f"got {array.dtype}; convert it first, for example with "
            f"array.astype({dtype.name!r})"
        )
    return array


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def _result(
    kernel: Kernel, out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    """`out`, if it fits, or a new array."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(
            f"kernel {kernel.name}: out must be an array, "
            f"got {type(out).__name__} {out!r:.60}"
        )
    if out.dtype != dtype or out.shape != shape:
        raise ValueError(
            f"kernel {kernel.name}: out must be an array of {dtype} with the shape "
            f"{shape}, got {out.dtype} with the shape {out.shape}"
        )
    if not out.flags.writeable:
        raise ValueError(f"kernel {kernel.name}: out is read-only")
    return out


def _need_contiguous(kernel: Kernel, what: str, array: Any) -> None:
    if not array.flags.c_contiguous:
        raise ValueError(
            f"kernel {kernel.name}: {what} must be C-contiguous, got strides "
            f"{array.strides} for shape {array.shape}; pass "
            "numpy.ascontiguousarray(array)"
        )


def _need_apart(kernel: Kernel, arrays: Sequence[Any], out: Any, why: str) -> None:
    for array in arrays:
        same = (
            array.ctypes.data == out.ctypes.data
            and array.strides == out.strides
            and array.shape == out.shape
        )
        if np.may_share_memory(array, out) and not (same and not why):
            raise ValueError(
                f"kernel {kernel.name}: out overlaps an argument"
                f"{why or ' without being the same array'}; pass a copy"
            )


def _user_of(kernel: Kernel, args: tuple[Any, ...], n: int, is_bound: bool) -> Any:
    """What follows the `n` arrays: the user data, if the kernel has none yet."""
    most = n if is_bound else n + 1
    if not n <= len(args) <= most:
        extra = "" if is_bound else " and user data"
        raise TypeError(
            f"kernel {kernel.name} takes {n} array{'s' if n != 1 else ''}{extra} "
            f"({kernel.signature}), got {len(args)} arguments"
        )
    return args[n] if len(args) > n else None


# ---------------------------------------------------------------------- planners


@dataclass(frozen=True)
class Batch:
    """``int (const T *x, intptr_t n, U *out, void *user)``: a function of many x."""

    x: str
    out: str
    is_bound: bool

    def __call__(
        self, kernel: Kernel, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ArrayPlan:
        (out,) = _take_out(kernel, kwargs, 1)
        user = _user_of(kernel, args, 1, self.is_bound)
        x = _array(kernel, 0, args[0], np.dtype(self.x))
        out = _result(kernel, out, x.shape, np.dtype(self.out))
        _need_contiguous(kernel, "argument 1", x)
        _need_contiguous(kernel, "out", out)
        _need_apart(kernel, [x], out, "")
        return _core.plan_batch(kernel, x, out, user)


@dataclass(frozen=True)
class Tiles:
    """``int (const sp_view *, sp_view *, const sp_rect *, void *)``."""

    x: Operand
    out: Operand
    halo: tuple[int, int]
    border: str
    fill: bytes
    is_bound: bool

    def __call__(
        self, kernel: Kernel, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ArrayPlan:
        (out,) = _take_out(kernel, kwargs, 1)
        user = _user_of(kernel, args, 1, self.is_bound)
        x = _array(kernel, 0, args[0], np.dtype(self.x.dtype))
        if x.ndim not in (2, 3):
            raise ValueError(
                f"kernel {kernel.name}: an image has the shape (height, width) or "
                f"(height, width, channels), got {x.shape}"
            )
        out = _result(kernel, out, x.shape, np.dtype(self.out.dtype))
        for what, array in (("argument 1", x), ("out", out)):
            if array.size and not array[0].flags.c_contiguous:
                raise ValueError(
                    f"kernel {kernel.name}: the rows of {what} must be contiguous, "
                    f"got strides {array.strides} for shape {array.shape}; pass "
                    "numpy.ascontiguousarray(array)"
                )
        _need_apart(kernel, [x], out, ", which its neighbours read" * any(self.halo))
        return _core.plan_tiles(kernel, x, out, self.halo, self.border, self.fill, user)


def halo_of(halo: Any) -> tuple[int, int]:
    """(rows, columns) of ``halo=``."""
    try:
        pair = tuple(halo) if isinstance(halo, (tuple, list)) else (halo, halo)
        rows, columns = (number.__index__() for number in pair)
    except (AttributeError, ValueError):
        raise TypeError(
            f"halo must be a number of pixels, or two (rows, columns), got {halo!r:.60}"
        ) from None
    if not (0 <= rows <= _MAX_HALO and 0 <= columns <= _MAX_HALO):
        raise ValueError(f"halo must be from 0 to {_MAX_HALO}, got {halo!r}")
    return rows, columns


@dataclass(frozen=True)
class Loop:
    """One loop of NumPy's kind: what it takes and makes, and where it is."""

    inputs: tuple[np.dtype[Any], ...]
    outputs: tuple[np.dtype[Any], ...]
    address: int
    data: int

    def __str__(self) -> str:
        sides = (", ".join(map(str, side)) for side in (self.inputs, self.outputs))
        return " -> ".join(sides)


@dataclass(frozen=True)
class Loops:
    """The loops of a ufunc or gufunc, or the only one of a function in C.

    `core` has the names of the core dimensions of each operand.
    """

    loops: tuple[Loop, ...]
    core: tuple[tuple[str, ...], ...]
    n_inputs: int

    def __str__(self) -> str:
        core = [f"({','.join(names)})" for names in self.core]
        n = self.n_inputs
        shapes = (
            f" {','.join(core[:n])}->{','.join(core[n:])}" if any(self.core) else ""
        )
        return "; ".join(map(str, self.loops)) + shapes

    def only(
        self, name: str, inputs: tuple[Operand, ...], outputs: tuple[Operand, ...]
    ) -> Loops:
        """The loop of these types alone."""
        wanted = [[np.dtype(o.dtype) for o in side] for side in (inputs, outputs)]
        for loop in self.loops:
            if [list(loop.inputs), list(loop.outputs)] == wanted:
                return Loops((loop,), self.core, self.n_inputs)
        raise ValueError(
            f"{name} has no loop {', '.join(map(str, inputs))} -> "
            f"{', '.join(map(str, outputs))}; there are {self}"
        )

    def __call__(
        self, kernel: Kernel, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ArrayPlan:
        n = self.n_inputs
        outs = _take_out(kernel, kwargs, len(self.core) - n)
        if len(args) != n:
            raise TypeError(
                f"kernel {kernel.name} takes {n} argument{'s' if n != 1 else ''} "
                f"({kernel.signature}), got {len(args)}"
            )
        loop = self._select(kernel, args)
        arrays = [
            _array(kernel, i, arg, dtype)
            for i, (arg, dtype) in enumerate(zip(args, loop.inputs, strict=True))
        ]
        sizes: dict[str, int] = {}
        for i, (array, names) in enumerate(zip(arrays, self.core[:n], strict=True)):
            self._measure(kernel, f"argument {i + 1}", array, names, sizes)
        for out, names in zip(outs, self.core[n:], strict=True):
            if out is not None and isinstance(out, np.ndarray):
                self._measure(kernel, "out", out, names, sizes)
        outer = np.broadcast_shapes(
            *(
                a.shape[: a.ndim - len(c)]
                for a, c in zip(arrays, self.core, strict=False)
            )
        )
        results = [
            self._make(kernel, out, outer, names, sizes, dtype)
            for out, names, dtype in zip(outs, self.core[n:], loop.outputs, strict=True)
        ]
        for result in results:
            _need_apart(kernel, arrays, result, "" if not sizes else ", of a gufunc")
        return self._plan(kernel, loop, [*arrays, *results], outer, sizes, results)

    def _plan(
        self,
        kernel: Kernel,
        loop: Loop,
        operands: list[Any],
        outer: tuple[int, ...],
        sizes: dict[str, int],
        results: list[Any],
    ) -> ArrayPlan:
        shape = outer or (1,)
        strides: list[tuple[int, ...]] = []
        core_steps: list[int] = []
        for array, names in zip(operands, self.core, strict=True):
            core = tuple(sizes[name] for name in names)
            whole = np.broadcast_to(array, outer + core)
            strides.append(whole.strides[: len(outer)] or (0,))
            core_steps += whole.strides[len(outer) :]
        return _core.plan_loop(
            kernel,
            loop.address,
            loop.data,
            operands,
            shape,
            strides,
            list(sizes.values()),
            core_steps,
            results[0] if len(results) == 1 else tuple(results),
        )

    def _select(self, kernel: Kernel, args: tuple[Any, ...]) -> Loop:
        """The first loop for exactly these dtypes; Python's numbers have none."""
        found = [
            None if type(arg) in _PYTHON_KINDS else np.asarray(arg) for arg in args
        ]
        for loop in self.loops:
            if all(
                _fits(arg, dtype) if array is None else array.dtype == dtype
                for arg, array, dtype in zip(args, found, loop.inputs, strict=True)
            ):
                return loop
        got = ", ".join(
            type(arg).__name__ if array is None else str(array.dtype)
            for arg, array in zip(args, found, strict=True)
        )
        known = "; ".join(map(str, self.loops))
        raise TypeError(
            f"kernel {kernel.name} has no loop for ({got}): expected exactly one of "
            f"{known}. Convert the arguments first, for example with "
            "array.astype('float64')"
        )

    def _measure(
        self,
        kernel: Kernel,
        what: str,
        array: Any,
        names: tuple[str, ...],
        sizes: dict[str, int],
    ) -> None:
        """Note the sizes of the core dimensions; they must agree."""
        if array.ndim < len(names):
            raise ValueError(
                f"kernel {kernel.name}: {what} needs {len(names)} dimensions "
                f"({','.join(names)}), got the shape {array.shape}"
            )
        for name, size in zip(
            names, array.shape[array.ndim - len(names) :], strict=True
        ):
            expected = int(name) if name.isdecimal() else sizes.get(name, size)
            if size != expected:
                raise ValueError(
                    f"kernel {kernel.name}: {what} has the size {size} in the "
                    f"dimension {name}, expected {expected}"
                )
            sizes[name] = size

    def _make(
        self,
        kernel: Kernel,
        out: Any,
        outer: tuple[int, ...],
        names: tuple[str, ...],
        sizes: dict[str, int],
        dtype: np.dtype[Any],
    ) -> Any:
        for name in names:
            if name.isdecimal():
                sizes.setdefault(name, int(name))
            if name not in sizes:
                raise ValueError(
                    f"kernel {kernel.name}: only out= can tell the size of the "
                    f"dimension {name} ({kernel.signature})"
                )
        return _result(kernel, out, outer + tuple(sizes[n] for n in names), dtype)


# Kinds of dtypes that a Python number may be used as, in the eyes of NumPy 2.
_PYTHON_KINDS = {bool: "biufc", int: "iufc", float: "fc", complex: "c"}


def _fits(number: Any, dtype: np.dtype[Any]) -> bool:
    return dtype.kind in _PYTHON_KINDS[type(number)]


# -------------------------------------------------------------------- reductions


def reduction(
    body: Kernel,
    signature: Signature,
    combine: Any,
    initial: Any,
    found: Callable[[Any, str | None], Any],
) -> Kernel:
    """A ReduceKernel; `found` finds a native function, see sources.py."""
    if initial is None:
        raise TypeError(
            f"kernel {body.name} is a reduction: pass initial=, its neutral element, "
            "such as initial=0.0 or an array"
        )
    array = np.array(initial)
    if array.dtype.hasobject:
        raise TypeError(f"initial must be numbers, got {initial!r:.60}")
    if len(signature.parameters) < 3:
        pointee = "void"
    else:
        pointee = signature.parameters[2].pointee or "void"
    if pointee not in ("void", array.dtype.name):
        raise TypeError(
            f"kernel {body.name}: the accumulator is {pointee} ({signature}), but "
            f"initial={initial!r:.60} is {array.dtype}"
        )

    def finish(acc: Any) -> Any:
        if isinstance(initial, np.ndarray) and initial.ndim:
            return acc
        return (
            acc.item() if isinstance(initial, (bool, int, float, complex)) else acc[()]
        )

    if isinstance(combine, np.ufunc):
        from .interop import numpy as of_numpy

        loop = of_numpy.combining(combine, array.dtype)
        return _core.make_reduction(
            body, None, False, loop.address, loop.data, combine, array, finish
        )
    other = found(combine, None)
    takes = [parameter.type for parameter in other.signature.parameters]
    if other.signature.returns != "void" or takes not in (
        ["pointer"] * 2,
        ["pointer"] * 3,
    ):
        raise ValueError(
            "combine must be a function 'void (void *into, const void *from, void "
            f"*user)', or a ufunc of NumPy's such as numpy.add; {other.name} is "
            f"'{other.signature}'"
        )
    return _core.make_reduction(
        body, other.address, len(takes) == 3, None, None, other, array, finish
    )
