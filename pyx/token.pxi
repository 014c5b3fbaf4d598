# CancellationToken: one flag for many tasks, whoever runs them.

cdef object tokens = _WeakSet()


@cython.final
cdef class CancellationToken:
    """Cancels calls from afar: what is queued at once, what runs as soon as it asks.

    Give it to :meth:`Executor.options`, keep it, and call :meth:`cancel`.

    Parameters
    ----------
    parent : CancellationToken, optional
        Cancelling it cancels this one, too.

    Attributes
    ----------
    address : int
        Of a C ``int`` that becomes 1. Code that cannot call ``sp_cancelled()``,
        such as a numba kernel, can poll it; it is valid as long as this object, or any
        task that it belongs to.

    Examples
    --------
    >>> token = CancellationToken()
    >>> with Executor() as ex:
    ...     future = ex.options(cancel=token).submit(integrate, math.cos, 0, 1)
    ...     token.cancel()
    """

    cdef sp_canceller *canceller
    cdef object __weakref__

    def __cinit__(self, CancellationToken parent=None):
        self.canceller = sp_canceller_create(
            parent.canceller if parent is not None else NULL
        )
        if self.canceller == NULL:
            raise MemoryError("stealpool: no memory for a token")
        tokens.add(self)

    def __dealloc__(self):
        sp_canceller_unref(self.canceller)

    def cancel(self):
        """Cancel. Queued calls end as cancelled; running kernels are asked to stop.

        Calls submitted later with this token are cancelled at once. May be called from
        any thread, any number of times.
        """
        with nogil:
            sp_canceller_cancel(self.canceller)

    def cancelled(self):
        """True once :meth:`cancel` was called, here or on the parent."""
        return sp_canceller_is_cancelled(self.canceller)

    @property
    def address(self):
        return <uintptr_t>sp_token_address(&self.canceller.token)

    def __repr__(self):
        state = "cancelled" if self.cancelled() else "not cancelled"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def __reduce__(self):
        raise TypeError(
            "a CancellationToken reaches tasks of its own process and cannot be pickled"
        )
