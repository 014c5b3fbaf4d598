# cimport stealpool: see _core.pxd for what each of these does.
from stealpool._core cimport (
    Handle,
    fail,
    future_of,
    handle,
    is_cancelled,
    join,
    native_fn,
    parallel_for,
    range_fn,
    spawn,
)
