# asyncio: what a coroutine awaits.
#
# Two Replies (see inbox.pxi; room.pxi has a third): the AsyncFuture, which asubmit()
# makes and which a task of asyncio's can wait for as it stands; and the Relay, behind
# an asyncio.Future that loop.run_in_executor() has made.


@cython.final
cdef class AsyncFuture(Reply):
    """The result, now or later, of a call, for an event loop: ``await`` it.

    Made by :meth:`Executor.asubmit`, in a coroutine. To asyncio it is a future as good
    as its own: ``asyncio.gather()``, ``wait()``, ``wait_for()``, ``shield()`` and
    ``timeout()`` accept it. It belongs to the event loop in which it was made.
    """

    cdef object callback      # the first one, and its context
    cdef object context
    cdef list others          # further ones: [(callback, context)]
    cdef object error         # what result() raises, once it was asked for
    cdef object traceback     # the error's own
    cdef object cancel_words  # cancel()'s message
    cdef Reply room           # the Room in whose line it is, or None
    cdef bint is_cancelled    # by cancel()
    cdef bint is_refused      # never submitted: `error` says why
    cdef bint was_asked       # somebody knows of the error
    cdef bint is_waited_for   # asyncio's task is about to wait
    cdef bint has_waited      # one was, at least once
    cdef object __weakref__

    __class_getitem__ = classmethod(_GenericAlias)

    def __init__(self):
        raise TypeError("an AsyncFuture is made by Executor.asubmit()")

    def __del__(self):
        if not self.was_asked and not self.is_cancelled and self.future is not None:
            if self.is_refused or (
                sp_latch_is_set(&self.future.ready) and self.future.is_error
            ):
                self.report_error()

    cdef int report_error(self) except -1:
        self.inbox.loop.call_exception_handler({
            "message": f"{type(self).__name__} exception was never retrieved",
            "exception": self.error if self.is_refused else self.future.value,
            "future": self,
        })
        return 0

    def __repr__(self):
        if self.is_cancelled:
            words = "cancelled"
        elif not self.has_ended():
            words = "pending"
        elif self.is_refused:
            words = f"finished raised {type(self.error).__name__}"
        else:
            words = self.future.__repr__().partition("state=")[2].rstrip(">")
        return f"<{type(self).__name__} at {id(self):#x} {words}>"

    cdef bint has_ended(self) except -1:
        if self.is_cancelled:
            return True
        if not sp_latch_is_set(&self.future.ready):
            peek(self.future)
        return sp_latch_is_set(&self.future.ready)

    # ------------------------------------------------------------------- being awaited

    @property
    def _asyncio_future_blocking(self):
        return self.is_waited_for

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, value):
        self.is_waited_for = value

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef Inbox inbox = self.inbox
        if self.has_waited:
            if self.has_ended():
                raise StopIteration(self.result())
        elif self.callback is None and inbox.unyielded < MAX_UNYIELDED:
            # Nobody was there before us, whose callback had to be called first.
            if self.has_ended() or (self.room is None and inbox.spin(self.future)):
                inbox.unyielded += 1
                raise StopIteration(self.result())
        self.has_waited = True
        self.is_waited_for = True
        return self

    # ------------------------------------------------------------- as asyncio.Future

    def get_loop(self):
        """The event loop it belongs to."""
        return self.inbox.loop

    def done(self):
        """True once the call has ended, or was cancelled."""
        return self.has_ended()

    def cancelled(self):
        """True if the call was cancelled, or nobody wants to hear of it any more."""
        if self.is_cancelled:
            return True
        if not self.has_ended() or self.is_refused:
            return False
        return self.future.outcome != FINISHED

    def result(self):
        """The result of the call, which has ended.

        Raises
        ------
        asyncio.InvalidStateError
            If it has not.
        asyncio.CancelledError
            If it was cancelled.
        Exception
            What the call raised; a KernelError for a kernel that failed.
        """
        error = self.exception()
        if error is None:
            return value_of(self.future)
        try:
            raise error.with_traceback(self.traceback)
        finally:
            self = error = None  # break the cycle error -> traceback -> frame -> error

    def exception(self):
        """The exception that the call raised, or None; it must have ended."""
        if self.cancelled():
            raise self._make_cancelled_error()
        if not self.has_ended():
            raise aio.InvalidStateError(
                "the call has not ended yet; await it, or ask done() first"
            )
        self.was_asked = True
        if self.is_refused:
            return self.error
        if not self.future.is_error:
            return None
        if self.error is None:
            self.error = error_for_loop(self.future.value)
            self.traceback = self.error.__traceback__
        return self.error

    @property
    def _cancel_message(self):
        return self.cancel_words

    def _make_cancelled_error(self):
        if self.cancel_words is None:
            return aio.CancelledError()
        return aio.CancelledError(self.cancel_words)

    def cancel(self, msg=None):
        """Wake who awaits it with a CancelledError, and cancel the call.

        A call that has not begun never will. A running kernel is asked to stop, and
        goes on until it looks; its arrays are in use until then.

        Returns
        -------
        bool
            False if the call had ended already.
        """
        if self.has_ended() or not self.disarm():
            return False
        self.future.cancel()
        if self.room is not None:
            (<Room>self.room).take_out(self)
        self.is_cancelled = True
        self.cancel_words = msg
        if self.callback is not None:
            self.inbox.ready.append(self)
            self.inbox.deliver_soon()
        return True

    cdef int refuse(self, object error) except -1:
        """The call will not be submitted: awaiting it raises."""
        self.error = error
        self.traceback = error.__traceback__
        self.is_refused = True
        forget(self.future)
        return 0

    @property
    def _is_in_line(self):
        """It waits for room in a full queue."""
        return self.room is not None

    def add_done_callback(self, fn, *, context=None):
        """Have the event loop call ``fn(self)`` once the call has ended."""
        if context is None:
            context = _copy_context()
        if self.callback is None:
            self.callback = fn
            self.context = context
        elif self.others is None:
            self.others = [(fn, context)]
        else:
            self.others.append((fn, context))
        if self.is_cancelled:
            self.inbox.ready.append(self)
            self.inbox.deliver_soon()
        elif self.index < 0:
            self.arm()

    def remove_done_callback(self, fn):
        """Forget all callbacks that are equal to `fn`; returns how many they were."""
        cdef list kept = [], all = self.callbacks()
        for entry in all:
            if entry[0] != fn:
                kept.append(entry)
        self.callback = self.context = self.others = None
        if kept:
            self.callback, self.context = kept[0]
            self.others = kept[1:] or None
        return len(all) - len(kept)

    cdef list callbacks(self):
        if self.callback is None:
            return []
        return [(self.callback, self.context), *(self.others or ())]

    cdef int deliver(self, bint is_debug) except -1:
        cdef object fn = self.callback, context = self.context
        cdef list others = self.others
        if fn is None:
            return 0
        self.callback = self.context = self.others = None
        self.call(fn, context, is_debug)
        if others is not None:
            for fn, context in others:
                self.call(fn, context, is_debug)
        return 0

    cdef int call(self, object fn, object context, bint is_debug) except -1:
        """As the loop would: we are in a call of the loop's, outside of any task."""
        cdef object loop = self.inbox.loop
        if is_debug:  # the loop times its calls, and names those that are slow
            loop.call_soon(fn, self, context=context)
            return 0
        PyContext_Enter(context)
        try:
            fn(self)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            loop.call_exception_handler({
                "message": f"Exception in callback {fn!r}",
                "exception": error,
                "future": self,
            })
        finally:
            PyContext_Exit(context)
        return 0


def when_ended(FutureBase future not None):
    """An AsyncFuture, for the event loop that runs in this thread.

    Raises RuntimeError if none does.
    """
    return async_future(inbox_for_coroutines(), future)


cdef Inbox inbox_for_coroutines():
    import_asyncio()
    loop = running_loop()
    if loop is None:
        raise RuntimeError(
            "no running event loop; asubmit() and amap() are for coroutines, "
            "submit() and map() for other code"
        )
    return inbox_of(loop)


cdef AsyncFuture async_future(Inbox inbox, FutureBase future):
    cdef AsyncFuture reply = AsyncFuture.__new__(AsyncFuture)
    reply.inbox = inbox
    reply.future = future
    return reply


cdef object error_for_loop(object error):
    """The exception that a coroutine gets for one of a call."""
    if isinstance(error, StopIteration):  # would end the coroutine as if it returned
        new = RuntimeError("the call raised StopIteration, which ends coroutines")
        new.__cause__ = error
        return new
    if type(error) is _CancelledError:
        return aio.CancelledError(*error.args)
    if type(error) is _InvalidStateError:
        return aio.InvalidStateError(*error.args)
    return error


# ------------------------------------------------------------ loop.run_in_executor()


@cython.final
cdef class Relay(Reply):
    """Resolves an asyncio.Future that stands for one of ours."""

    cdef object target

    cdef int deliver(self, bint is_debug) except -1:
        cdef FutureBase future = self.future
        if self.target.done():  # cancelled
            return 0
        if future.outcome != FINISHED:
            self.target.cancel()
        elif future.is_error:
            self.target.set_exception(error_for_loop(future.value))
        else:
            self.target.set_result(value_of(future))
        return 0


cdef object chain_code = None  # of the callback by which asyncio chains futures


cdef bint relay(FutureBase future, object fn) except -1:
    """If `fn` is the callback by which asyncio's wrap_future() chains an asyncio.Future
    to ours, and we are in its loop: let the loop's inbox resolve it. False: it is not.

    As the standard library has it, each end is one call_soon_threadsafe(), by a thread
    of its own, with a write to the loop's socket.
    """
    cdef Relay reply
    if not is_chain(fn):
        return False
    cells = dict(zip(fn.__code__.co_freevars, fn.__closure__))
    target = cells["destination"].cell_contents
    loop = cells["dest_loop"].cell_contents
    import_asyncio()
    if loop is None or running_loop() is not loop or future.home is None:
        return False
    reply = Relay.__new__(Relay)
    reply.inbox = inbox_of(loop)
    reply.future = future
    reply.target = target
    if reply.inbox.queue == NULL:
        return False
    reply.arm()
    return True


cdef bint is_chain(object fn) except -1:
    """Is it asyncio.futures._chain_future.<locals>._call_set_state?"""
    global chain_code
    if type(fn) is not _Function:
        return False
    if fn.__code__ is chain_code:
        return True
    if chain_code is not None or fn.__code__.co_name != "_call_set_state":
        return False
    chain = getattr(_sys.modules.get("asyncio.futures"), "_chain_future", None)
    for constant in getattr(getattr(chain, "__code__", None), "co_consts", ()):
        if constant is fn.__code__:
            if {"destination", "dest_loop"} <= set(constant.co_freevars):
                chain_code = constant
                return True
    return False
