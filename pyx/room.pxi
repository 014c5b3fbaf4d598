# What asubmit() does when the queue is full: the call waits, the event loop goes on.
#
# Each loop keeps, for each full queue, a line of calls that are not submitted yet. The
# gate announces room to the loop's inbox like the end of a task (see room.h); then the
# loop lets in as many as there is room for, the oldest first.


def submit_from_loop(ExecutorBase executor not None, fn, tuple args, dict kwargs):
    """asubmit() of an executor that blocks when its queue is full."""
    cdef Home home
    cdef Job job = None
    cdef FutureBase future
    cdef AsyncFuture reply
    cdef Room room
    cdef Gates gates
    cdef unsigned lane
    cdef Inbox inbox = inbox_for_coroutines()
    executor.check_open()
    home = executor.home
    gates = home.gates
    if isinstance(fn, Kernel):
        job = (<Kernel>fn).job_for(args, kwargs)
    elif isinstance(fn, Builtin):
        job = (<Builtin>fn).planner(*args, **kwargs)
        fn = (<Builtin>fn).function
    if job is not None:
        lane = SP_NATIVE_LANE
        future = new_future(home, job, job.cell_from(args))
    else:
        lane = SP_PYTHON_LANE
        future = executor.make_callable(fn, args, kwargs)
    reply = async_future(inbox, future)
    if sp_canceller_is_cancelled(home.home.canceller):
        forget(future)
        return reply
    room = <Room>inbox.rooms.get(<uintptr_t>&gates.gates[lane])
    if is_on_lane_of(home):  # the thread that would run it is this loop's
        sp_gate_enter_anyway(&gates.gates[lane])
        let_in(executor, future, RUN_HERE)
    elif room is not None and room.line:
        room.put(reply, executor)
    elif sp_gate_enter(&gates.gates[lane], 1, 1):
        let_in(executor, future, QUEUE)
    else:
        if room is None:
            room = Room.__new__(Room)
            room.open(inbox, home, lane)
        room.put(reply, executor)
    return reply


cdef int let_in(
    ExecutorBase executor, FutureBase future, Admission admission
) except -1:
    """Queue a call that has entered the gate, or run it."""
    cdef Home home = executor.home
    cdef sp_cell *cell = cell_of(future)
    if is_native(cell):
        executor.queue_cell(future, cell, admission, False)
    else:
        if sp_latch_is_set(&home.lane.has_failed):
            leave(home, SP_PYTHON_LANE, 1)
            raise BrokenThreadPool(home.lane.reason)
        executor.queue_callable(future, cell, admission, False)
        if executor._initializer is not None:
            executor._lane.fail_if_broken()
    executor.recorded(future)
    return 0


@cython.final
@cython.no_gc_clear
cdef class Room(Reply):
    """A loop's line of calls before one full queue.

    As a Reply it waits for `future`, which ends when the gate has something to say.
    """

    cdef Gates gates
    cdef sp_gate *gate
    cdef Home home         # of the first one in the line; only its counters are used
    cdef object line       # AsyncFuture -> (executor, alarm of its time limit, or None)
    cdef sp_cell *cell     # what the gate is to cancel, with a reference; or NULL
    cdef uint32_t turn     # the gate's, when all in the line were last looked at
    cdef bint was_looked_at

    cdef int open(self, Inbox inbox, Home home, unsigned lane) except -1:
        self.inbox = inbox
        self.home = home
        self.gates = home.gates
        self.gate = &home.gates.gates[lane]
        self.line = _OrderedDict()
        inbox.rooms[<uintptr_t>self.gate] = self
        return 0

    def __dealloc__(self):
        self.stop_listening()

    cdef int put(self, AsyncFuture reply, ExecutorBase executor) except -1:
        """The last in the line."""
        cdef uint32_t timeout_ms = executor.home.home.timeout_ms
        alarm = None
        if timeout_ms:
            alarm = self.inbox.loop.call_later(
                timeout_ms / 1000.0, self.expire, reply, context=_Context()
            )
        self.line[reply] = (executor, alarm)
        reply.room = self
        if self.cell == NULL:
            self.advance()
        return 0

    cdef object take_out(self, AsyncFuture reply):
        """Its executor; the reply is in the line no more."""
        executor, alarm = self.line.pop(reply)
        reply.room = None
        if alarm is not None:
            alarm.cancel()
        return executor

    cdef int deliver(self, bint is_debug) except -1:
        """The gate has spoken."""
        self.stop_listening()
        return self.advance()

    cdef int advance(self) except -1:
        """Let in all for whom there is room, and listen for more."""
        cdef AsyncFuture reply
        cdef uint32_t turn
        while self.line:
            turn = sp_gate_turn(self.gate)
            if turn != self.turn or not self.was_looked_at:
                self.turn = turn
                self.was_looked_at = True
                self.refuse_closed()
            while self.line and sp_gate_enter(self.gate, 1, 1):
                reply = next(iter(self.line))
                executor = self.take_out(reply)
                try:
                    let_in(<ExecutorBase>executor, reply.future, QUEUE)
                except Exception as error:
                    reply.refuse(error)
            if not self.line or self.listen(turn):
                break
        if not self.line and self.cell == NULL:
            self.inbox.rooms.pop(<uintptr_t>self.gate, None)
        return 0

    cdef int refuse_closed(self) except -1:
        """An executor was closed, or a token cancelled: not all need wait."""
        cdef ExecutorBase executor
        for reply, (of, _) in list(self.line.items()):
            executor = <ExecutorBase>of
            if sp_latch_is_set(&executor.home.closed):
                self.take_out(<AsyncFuture>reply)
                (<AsyncFuture>reply).refuse(RuntimeError(executor.home.shutdown_reason))
            elif sp_canceller_is_cancelled(executor.home.home.canceller):
                self.take_out(<AsyncFuture>reply)
                forget((<AsyncFuture>reply).future)
        return 0

    def expire(self, AsyncFuture reply not None):
        """Called by the loop: it has waited for too long."""
        cdef ExecutorBase executor
        if reply.room is self:
            executor = <ExecutorBase>self.take_out(reply)
            reply.refuse(full_for_too_long(executor.home))

    cdef bint listen(self, uint32_t turn) except -1:
        """Hear of it when there is room, or another turn; False: there is already."""
        cdef sp_cell *cell = sp_room_create()
        if cell == NULL:
            raise MemoryError("stealpool: no memory to wait for room in a queue")
        self.future = new_future(self.home, None, cell)
        if not sp_room_listen(cell, self.gate, turn):
            return False
        self.cell = cell
        sp_task_ref(&cell.task)
        self.arm()
        return True

    cdef int stop_listening(self) except -1:
        cdef sp_cell *cell = self.cell
        self.cell = NULL
        if cell != NULL:
            if self.inbox.born == epoch:  # or the gate's lock may be held in the parent
                sp_room_unlisten(cell, self.gate)
            sp_task_unref(&cell.task)
        return 0

    cdef int close(self) except -1:
        """The loop is closed: those in the line never begin."""
        self.stop_listening()
        for reply in list(self.line):
            self.take_out(<AsyncFuture>reply)
            forget((<AsyncFuture>reply).future)
        return 0
