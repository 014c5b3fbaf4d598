# What has ended for an event loop reaches it in batches.
#
# Each loop has an inbox: a completion queue whose doorbell is an eventfd that the loop
# polls. A worker that ends a task for the loop puts it in, and rings if the inbox was
# empty; the loop wakes up, takes out all there is and resolves it. No thread takes the
# GIL for that, and nothing is called from one thread into another.
#
# Who wants to hear of an end is a Reply; which there are, say aio.pxi and room.pxi.
# All of this belongs to the loop's thread.

cdef object aio = None           # asyncio, once somebody uses it
cdef object running_loop = None  # asyncio's function; None if there is no loop
cdef dict inboxes = {}           # id(loop) -> weak reference to its Inbox

# How many awaits in a row may end without the loop having had its turn.
cdef unsigned MAX_UNYIELDED = 64


cdef int import_asyncio() except -1:
    global aio, running_loop
    if aio is None:
        import asyncio

        running_loop = asyncio._get_running_loop
        aio = asyncio
    return 0


cdef Inbox inbox_of(object loop):
    """The inbox of the loop that runs in this thread."""
    cdef Inbox inbox
    reference = inboxes.get(id(loop))
    if reference is not None:
        inbox = reference()
        # One whose loop has been closed, or that a fork left behind, gets no more.
        if inbox is not None and inbox.loop is loop and inbox.born == epoch:
            return inbox
    inbox = Inbox(loop)
    for key, reference in list(inboxes.items()):
        if reference() is None:
            inboxes.pop(key, None)
    inboxes[id(loop)] = _WeakRef(inbox)
    return inbox


@cython.final
@cython.no_gc_clear
cdef class Inbox:
    """What has ended for one event loop, and who waits for it.

    Kept by its Replies, and by the Reader that the loop has. When the loop closes, or
    is collected, it drops the Reader, which is how the inbox learns of it.
    """

    cdef sp_completion *queue  # NULL: the loop cannot poll, or is closed
    cdef int fd                # its doorbell
    cdef size_t n_tickets     # in the queue, or still to come
    cdef object loop
    cdef object loop_ready    # the loop's own queue of calls, if it shows it
    cdef list armed           # Replies with a ticket; each knows its index
    cdef list orphans         # futures whose Reply has died before the ticket came
    cdef dict rooms           # address of a full queue's gate -> Room
    cdef object ready         # Replies whose callbacks are due
    cdef sp_latch called      # from another thread: the loop will look at `ready`
    cdef bint is_delivering   # they are being called, or the loop will
    cdef unsigned unyielded
    cdef unsigned misses, skip  # of spin()
    cdef uint64_t born
    cdef object __weakref__

    def __cinit__(self, loop):
        self.loop = loop
        self.loop_ready = getattr(loop, "_ready", None)
        if type(self.loop_ready) is not _deque:
            self.loop_ready = None
        self.armed = []
        self.orphans = []
        self.rooms = {}
        self.ready = _deque()
        self.born = epoch
        try:
            self.open()
        except (NotImplementedError, RuntimeError):
            # Windows' proactor loop has no add_reader(); or no descriptor is left.
            self.shut()

    cdef int open(self) except -1:
        """Have the loop poll the bell."""
        raise_status(sp_completion_create_fd(&self.queue, &self.fd))
        # The loop keeps the reader's context: an empty one keeps nothing alive.
        reader = Reader.__new__(Reader)
        (<Reader>reader).inbox = self
        context = _Context()
        context.run(self.loop.add_reader, self.fd, reader)
        if self.loop.remove_reader(self.fd) is False:
            raise NotImplementedError("a loop that takes readers and forgets them")
        context.run(self.loop.add_reader, self.fd, reader)
        return 0

    def __dealloc__(self):
        self.shut()

    cdef int shut(self) except -1:
        """The loop takes no more: withdraw all tickets, close the bell."""
        cdef sp_completion *queue = self.queue
        if queue == NULL:
            return 0
        if self.born != epoch:  # nobody knows what state a fork has left it in
            self.queue = NULL
            _os.close(self.fd)
            return 0
        for room in list(self.rooms.values()):
            (<Room>room).close()
        self.rooms.clear()
        # The tickets that cannot be taken back are in the queue, or on their way there,
        # and name futures, which must live so long.
        armed = self.armed[:]
        for reply in armed:
            if not (<Reply>reply).disarm():
                (<Reply>reply).forget_ticket()
        while self.n_tickets > 0:
            with nogil:
                sp_completion_wait(queue, -1)
            self.take()
        self.queue = NULL
        self.ready.clear()
        self.orphans.clear()
        with nogil:
            sp_completion_free(queue)
        return 0

    cdef int take(self) except -1:
        """Move what has ended from the queue to `ready`."""
        cdef sp_ticket *ticket = sp_completion_drain(self.queue)
        cdef sp_task *task
        cdef FutureBase future
        cdef Reply reply
        cdef object first = None
        while ticket != NULL:
            task = sp_ticket_task(ticket)
            ticket = sp_ticket_next(ticket)
            self.n_tickets -= 1
            if sp_cell_of(task).future != NULL:
                future = <FutureBase>sp_cell_of(task).future
                if future.reply != NULL:
                    reply = <Reply>future.reply
                    reply.forget_ticket()
                    try:
                        get_ready(future)
                        self.ready.append(reply)
                    except BaseException as error:  # no memory; the others come first
                        first = error
            sp_task_unref(task)
        if first is not None:
            raise first
        return 0

    def read(self):
        """The loop's reader: the bell has rung."""
        if self.queue == NULL or self.born != epoch:
            return  # the child of a fork would take the ring away from its parent
        try:
            self.take()
        finally:
            self.deliver()
        drain_reclaimed()

    def deliver(self):
        """Tell those whose calls have ended. Called by the loop itself."""
        cdef bint is_debug
        sp_latch_lower(&self.called)
        cdef size_t n = len(self.ready)
        self.unyielded = 0
        if not self.ready:
            self.is_delivering = False
            return
        self.is_delivering = True
        is_debug = self.loop.get_debug()
        try:
            while n > 0 and self.ready:
                n -= 1
                (<Reply>self.ready.popleft()).deliver(is_debug)
        finally:
            self.is_delivering = False
            # What has come meanwhile waits for the loop's next turn, others have theirs
            # first. Or something like SystemExit came out of a callback.
            if self.ready:
                self.deliver_soon()

    cdef int deliver_soon(self) except -1:
        if not self.is_delivering:
            self.loop.call_soon(self.deliver, context=_Context())
            self.is_delivering = True
        return 0

    cdef bint spin(self, FutureBase future) except -1:
        """Wait for a moment, if the loop has nothing else to do; True: it has ended.

        Going to sleep and being woken takes longer than many a kernel. The more often
        it was in vain, the rarer it is tried again.
        """
        cdef sp_cell *cell
        cdef bint has_ended
        if not sp_gauge_read(&may_spin) or self.loop_ready is None:
            return False
        if self.loop_ready or self.ready:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        cell = borrow(future)
        if cell == NULL:
            return True
        has_ended = is_native(cell) and spin(cell, future.home)
        sp_task_unref(&cell.task)
        self.misses = 0 if has_ended else min(self.misses + 1, 8)
        self.skip = (1 << self.misses) - 1
        return has_ended


@cython.final
@cython.no_gc_clear
cdef class Reader:
    """What a loop calls when the bell has rung, and owns alone."""

    cdef Inbox inbox

    def __call__(self):
        self.inbox.read()

    def __dealloc__(self):
        if self.inbox is not None:
            self.inbox.shut()


@cython.no_gc_clear
cdef class Reply:
    """Somebody in a loop who wants to hear of a Future's end."""

    cdef FutureBase future
    cdef Inbox inbox
    cdef Py_ssize_t index  # in inbox.armed; -1: has no ticket

    def __cinit__(self):
        self.index = -1

    def __dealloc__(self):
        # While armed, the inbox has us; but the collector may have emptied its list.
        if self.index >= 0 and self.inbox.queue != NULL and not self.disarm():
            self.forget_ticket()
            self.inbox.orphans.append(self.future)

    cdef int arm(self) except -1:
        """Have the end announced, by deliver() in the loop."""
        cdef Inbox inbox = self.inbox
        cdef sp_cell *cell = NULL
        cdef sp_status status = SP_EDONE
        peek(self.future)
        if not sp_latch_is_set(&self.future.ready):
            if inbox.queue == NULL or self.future.home is None:
                return self.arm_without_bell()
            cell = borrow(self.future)
        if cell != NULL:
            try:
                inbox.armed.append(self)
                self.index = len(inbox.armed) - 1
                status = sp_task_notify(&cell.task, WAITER_TICKET, inbox.queue)
            finally:
                sp_task_unref(&cell.task)
            if status == SP_OK:
                inbox.n_tickets += 1
                self.future.reply = <void *>self
                return 0
            self.leave_list()
        if status == SP_EBUSY:  # somebody else waits with as_completed()
            return self.arm_without_bell()
        get_ready(self.future)
        inbox.ready.append(self)
        return inbox.deliver_soon()

    cdef int arm_without_bell(self) except -1:
        """Be called back by the drainer, or by who else announces the end."""
        self.future.add_done_callback(self._call_loop)
        return 0

    def _call_loop(self, future):
        """In another thread: one wake-up of the loop for all that is there."""
        cdef Inbox inbox = self.inbox
        inbox.ready.append(self)
        if sp_latch_raise(&inbox.called):
            try:
                inbox.loop.call_soon_threadsafe(inbox.deliver, context=_Context())
            except RuntimeError:
                sp_latch_lower(&inbox.called)
                inbox.ready.clear()  # the loop is closed
            except BaseException:
                sp_latch_lower(&inbox.called)
                raise

    cdef bint disarm(self) except -1:
        """Take the ticket back. False: it is in the queue, or on its way, and the end
        will be delivered."""
        cdef sp_cell *cell
        cdef sp_status status = SP_EDONE
        if self.index < 0:
            return True
        cell = borrow(self.future)
        if cell != NULL:
            status = sp_task_unnotify(&cell.task, WAITER_TICKET)
            sp_task_unref(&cell.task)
        if status != SP_OK:
            return False
        self.inbox.n_tickets -= 1
        self.forget_ticket()
        return True

    cdef int forget_ticket(self) except -1:
        self.future.reply = NULL
        return self.leave_list()

    cdef int leave_list(self) except -1:
        """Leave the inbox's list; its last one takes the place."""
        cdef list armed = self.inbox.armed
        cdef Reply last
        if self.index < len(armed):  # unless the collector has emptied it
            last = armed[len(armed) - 1]
            armed[self.index] = last
            last.index = self.index
            armed.pop()
        self.index = -1
        return 0

    cdef int deliver(self, bint is_debug) except -1:
        return 0
