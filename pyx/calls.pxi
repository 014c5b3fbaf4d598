# The queue of a Python lane: what is queued, and which thread comes for it. See lane.h.

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define SP_IS_PARALLEL 1
    #else
    #define SP_IS_PARALLEL 0
    #endif
    """
    bint SP_IS_PARALLEL


@cython.final
@cython.no_gc
cdef class Start:
    """A thread that a queue has asked for, while somebody is about to start it.

    A signal handler that submits or waits on top of him starts one in his place.
    Whichever of the two has the claim goes on, and the other one ends at once.
    """

    cdef object lane       # the queue's
    cdef unsigned long by  # the thread that starts it
    cdef uint64_t born
    cdef readonly bint is_claimed

    def claim(self):
        """True for who comes first."""
        cdef bint was_claimed
        with cython.critical_section(self):
            was_claimed = self.is_claimed
            self.is_claimed = True
        return not was_claimed

    @property
    def is_stale(self):
        """It was asked for before this process was forked."""
        return self.born != epoch


cdef list starts = []  # under way


cdef Start begin_start(object lane):
    """After CallQueue.put() has asked for a thread. No signal handler comes in between,
    as neither runs Python code or the collector."""
    cdef Start start = Start.__new__(Start)
    start.lane = lane
    start.by = PyThread_get_thread_ident()
    start.born = epoch
    starts.append(start)
    return start


cdef int end_start(Start start) except -1:
    if start in starts:  # it is not in the child of a fork
        starts.remove(start)
    return 0


cdef int finish_starts() except -1:
    """Before a wait, and after a submit that asked for no thread: start what the
    calling thread was about to start when a signal handler interrupted it. What the
    handler waits for may need that thread."""
    cdef unsigned long here
    if not starts:
        return 0
    here = PyThread_get_thread_ident()
    for start in starts[:]:
        if (<Start>start).by == here:
            (<Start>start).lane.start(start)
    return 0


@cython.final
@cython.no_gc
cdef class CallQueue:
    """A struct sp_lane. It owns the futures of the calls in it."""

    cdef sp_lane lane
    cdef uint64_t born
    cdef str reason           # once it has failed: what submit() raises
    cdef sp_latch has_failed  # reason is there
    cdef object __weakref__

    def __cinit__(self, uint32_t max_threads):
        memset(&self.lane, 0, sizeof(sp_lane))
        sp_lane_init(&self.lane, max_threads, SP_IS_PARALLEL)
        self.born = epoch

    cdef bint put(self, object future, sp_cell *cell, int priority):
        """Queue a call; True: start a thread for it, or say thread_failed().

        `priority` is 1, 0 or -1. No memory is needed, and no Python code runs.
        """
        # Dropped by who takes the call out. A token may cancel the task meanwhile, and
        # its future be ready and without the cell, which is linked here all the same.
        Py_INCREF(future)
        sp_task_ref(&cell.task)
        return sp_lane_put(&self.lane, sp_cell_call(cell), <uint32_t>(1 - priority))

    def take_any(self):
        """The next future, which becomes the caller's; None if there is none."""
        cdef sp_call *call = sp_lane_take_any(&self.lane)
        if call == NULL:
            return None
        return future_of_call(call)

    cdef int take_out(self, object future, sp_cell *cell) except -1:
        """The call was cancelled, or is run by somebody who waits for it."""
        if self.born != epoch:  # the lock may be held by a thread of another process
            return 0
        if sp_lane_remove(&self.lane, sp_cell_call(cell)):
            future_of_call(sp_cell_call(cell))
        return 0

    def qsize(self):
        """How many calls wait, at this moment; as queue.Queue has it."""
        return sp_lane_queued(&self.lane) if self.born == epoch else 0

    def empty(self):
        """Whether none waits, at this moment."""
        return self.qsize() == 0

    def thread_failed(self):
        """The thread that put() asked for could not be started."""
        if self.born == epoch:
            sp_lane_thread_failed(&self.lane)

    def fail(self, str message not None):
        """Refuse all calls from now on, with this message, if it is the first."""
        with cython.critical_section(self):
            if not sp_latch_is_set(&self.has_failed):
                self.reason = message
                sp_latch_set(&self.has_failed)

    @property
    def broken(self):
        """Why calls are refused, or None."""
        return self.reason if sp_latch_is_set(&self.has_failed) else None

    def close(self):
        """Let the threads end when the queue is empty. Idempotent."""
        if self.born == epoch:
            sp_lane_close(&self.lane)

    cdef bint may_run_more(self):
        """A thread is idle, or may be started."""
        return sp_lane_may_run_more(&self.lane)

    def idle_threads(self):
        """How many threads wait for a call."""
        return sp_lane_idle_threads(&self.lane)


cdef FutureBase future_of_call(sp_call *call):
    """The future of a call that was taken out of the queue, and the queue's
    references with it."""
    cdef sp_cell *cell = sp_cell_of_call(call)
    cdef FutureBase future = <FutureBase>cell.future
    Py_DECREF(future)  # taken in put(), like the next
    sp_task_unref(&cell.task)
    return future
