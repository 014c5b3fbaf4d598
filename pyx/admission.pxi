# Before a call is queued: is there room, may it still run, until when?
#
# Executors and views without a queue_capacity, a token and a time limit skip all this:
# their homes are plain.

cdef enum Admission:
    QUEUE       # as usual
    RUN_HERE    # in the calling thread, for want of room
    DO_NOT_RUN  # the token is cancelled

cdef enum OnFull:
    BLOCK
    RAISE
    RUN

cdef tuple ON_FULL = ("block", "raise", "run")


cdef Admission admit(Home home, unsigned lane) except *:
    """Take a place for one call. Blocks, raises or says what else to do, if need be."""
    if sp_canceller_is_cancelled(home.home.canceller):
        return DO_NOT_RUN
    if home.gates is None:
        return QUEUE
    cdef sp_gate *gate = &home.gates.gates[lane]
    if sp_gate_enter(gate, 1, 1):
        return QUEUE
    if home.gates.on_full == RAISE:
        raise_full(home.gates, lane)
    # In a thread that callables run in, waiting for room might be waiting for itself.
    if home.gates.on_full == RUN or is_on_lane_of(home):
        sp_gate_enter_anyway(gate)
        return RUN_HERE
    await_room(home, gate, 1)
    return QUEUE


cdef uint32_t await_room(Home home, sp_gate *gate, uint32_t most) except 0:
    """Wait until there is room; take places for up to `most` calls."""
    cdef sp_status status
    cdef uint32_t turn, taken = 0
    cdef int64_t left_ns = -1, deadline_ns = 0
    if home.home.timeout_ms:
        left_ns = <int64_t>home.home.timeout_ms * 1000000
        deadline_ns = now_ns() + left_ns
    while not taken:
        turn = sp_gate_turn(gate)
        if sp_latch_is_set(&home.closed):
            raise_closed(home.shutdown_reason)
        if sp_canceller_is_cancelled(home.home.canceller):
            raise _CancelledError("cancelled while it waited for room in the queue")
        finish_starts()
        with nogil:
            status = sp_gate_wait(gate, turn, left_ns)
        sp_home_count_attach(home.home)
        PyErr_CheckSignals()
        if status == SP_ETIMEDOUT:
            raise full_for_too_long(home)
        taken = sp_gate_enter(gate, 1, most)
        if left_ns >= 0:
            left_ns = max(deadline_ns - now_ns(), 0)
    return taken


cdef object full_for_too_long(Home home):
    return _TimeoutError(f"the queue was full for {home.home.timeout_ms / 1000.0:g} s")


cdef int raise_full(Gates gates, unsigned lane) except -1:
    cdef str which = "kernels" if lane == SP_NATIVE_LANE else "Python callables"
    raise _Full(
        f"the queue of {which} is full: queue_capacity is {gates.capacity}; take "
        "results first, or make the executor with on_full='block' or 'run'"
    )


cdef int leave(Home home, unsigned lane, uint32_t n) except -1:
    """Give places back: nothing was queued."""
    if home.gates is not None and n:
        sp_gate_leave(&home.gates.gates[lane], n)
    return 0


cdef bint is_plain(Home home):
    return (
        home.gates is None and home.home.canceller == NULL and home.home.timeout_ms == 0
    )


cdef int watch(Home home, sp_cell *cell) except -1:
    """The caller is about to run the cell himself. What his view asks for stops it, as
    it stops what is submitted. He settles the cell afterwards."""
    if home.home.canceller != NULL or home.home.timeout_ms:
        sp_cell_join_inline(cell, home.home)
        see_to_end(home, cell)
    return 0


cdef int see_future_to_end(Home home, FutureBase future) except -1:
    """see_to_end() for a call that others know, who may have let go of its cell."""
    cdef sp_cell *cell = borrow(future)
    if cell != NULL:
        try:
            see_to_end(home, cell)
        finally:
            sp_task_unref(&cell.task)
    return 0


cdef int see_to_end(Home home, sp_cell *cell) except -1:
    """The cell has joined: its time runs, and a token that was cancelled meanwhile
    reaches it (see sp_canceller_cancel()). The caller has a reference."""
    if home.home.timeout_ms:
        set_alarm(home)
    if sp_canceller_is_cancelled(home.home.canceller):
        sp_cell_cancel(cell)
    return 0
