# A status or a kernel's error code becomes an exception, here and nowhere else.


class KernelError(RuntimeError):
    """A kernel has failed.

    Attributes
    ----------
    kernel : str
        Name of the kernel.
    code : int
        What it returned; never 0.
    message : str
        What it said with ``sp_fail()``, or ``""``.
    """

    def __init__(self, kernel, code, message=""):
        super().__init__(kernel, code, message)
        self.kernel = kernel
        self.code = code
        self.message = message

    def __str__(self):
        words = f": {self.message}" if self.message else ""
        return f"kernel {self.kernel} returned {self.code}{words}"


KernelError.__module__ = "stealpool"


cdef object exception_of_error(
    str name, int code, const char *message, bint is_status
):
    """The exception for what a kernel returned; with `is_status`, one of ours, whose
    codes are those of sp_status. What others mean by -1 is their affair."""
    if is_status and code == SP_ENOMEM:
        return MemoryError(f"{name}: no memory for scratch space")
    words = message.decode("utf-8", "replace") if message != NULL else ""
    if is_status and code == SP_EINVAL and not words:
        words = "an argument is out of range"
    return KernelError(name, code, words)


cdef int raise_status(sp_status status) except -1:
    """For what the pool itself returns."""
    if status == SP_OK:
        return 0
    if status == SP_ENOMEM:
        raise MemoryError("stealpool: out of memory")
    if status == SP_ECLOSED:
        raise RuntimeError("cannot schedule new futures after shutdown")
    text = sp_status_text(status).decode()
    raise RuntimeError(f"stealpool: {text}")


cdef int raise_closed(str reason) except -1:
    raise RuntimeError(reason)


cdef int report_unraisable(BaseException error, object where) except -1:
    """Like an exception in __del__: there is nobody to raise it to."""
    PyErr_SetObject(type(error), error)
    PyErr_WriteUnraisable(where)
    return 0
