# What happens to ended tasks that nobody waits for.
#
# Two queues for the whole process. `announced`: observed futures of kernels, whose
# waiters and callbacks must hear of the end. `reclaimed`: tasks that hold buffers,
# or whose future is gone. Waiters empty `reclaimed` while they have the GIL anyway;
# what they leave, and all of `announced`, is the drainer's, a daemon thread that
# sleeps without the GIL and takes it once a batch.

cdef sp_completion *announced = NULL
cdef sp_completion *reclaimed = NULL
cdef sp_bell bell

# How long buffers may wait for somebody to collect them in passing.
cdef int64_t PATIENCE_NS = 100000000

cdef object drainer = None     # the thread
cdef bint drainer_stops = False


cdef int open_queues() except -1:
    raise_status(sp_completion_create(&announced, sp_bell_ring_urgently, &bell))
    raise_status(sp_completion_create(&reclaimed, sp_bell_ring_lazily, &bell))
    return 0


cdef int start_drainer() except -1:
    """Start the drainer if it is not running."""
    global drainer
    if drainer is not None or drainer_stops:
        return 0
    thread = _Thread(target=drain_until_stopped, name="stealpool-drainer", daemon=True)
    if drainer is not None:  # another thread was quicker
        return 0
    drainer = thread
    try:
        thread.start()
    except BaseException:
        drainer = None
        raise
    return 0


def drain_until_stopped():
    """The drainer's main function."""
    while not drainer_stops:
        with nogil:
            sp_bell_wait(&bell, PATIENCE_NS)
            while not drainer_stops and nothing_to_drain():
                sp_bell_wait(&bell, PATIENCE_NS)
        try:
            drain_announced()
            drain_reclaimed(counts=True)
        except BaseException as error:
            report_unraisable(error, drainer)


cdef bint nothing_to_drain() noexcept nogil:
    return sp_completion_is_empty(announced) and sp_completion_is_empty(reclaimed)


def stop_drainer():
    """At exit: no thread of ours may want the GIL any more."""
    global drainer_stops, drainer
    drainer_stops = True
    if drainer is not None:
        sp_bell_ring_urgently(&bell)
        drainer.join()
        drainer = None
        drain_announced()
    drain_reclaimed()


cdef int drain_announced() except -1:
    cdef sp_ticket *ticket = sp_completion_drain(announced)
    cdef sp_task *task
    cdef sp_home *home = NULL
    cdef FutureBase future
    while ticket != NULL:
        task = sp_ticket_task(ticket)
        ticket = sp_ticket_next(ticket)
        if sp_cell_of(task).home != home:  # one acquisition for each batch
            home = sp_cell_of(task).home
            sp_home_count_attach(home)
        future = <FutureBase>sp_cell_of(task).future
        Py_DECREF(future)  # taken in order_announcement(); `future` has its own
        sp_task_unref(task)
        try:
            get_ready(future)
            publish(future)
        except BaseException as error:
            # A callback let a BaseException out: the other futures still end.
            report_unraisable(error, future)
    return 0


cdef int drain_reclaimed(bint counts=False) except -1:
    """Release the buffers, and what else is kept, of tasks that have ended.

    With `counts`, the GIL was taken for that purpose.
    """
    cdef sp_ticket *ticket
    cdef sp_task *task
    cdef sp_home *home = NULL
    if sp_completion_is_empty(reclaimed):
        return 0
    ticket = sp_completion_drain(reclaimed)
    while ticket != NULL:
        task = sp_ticket_task(ticket)
        ticket = sp_ticket_next(ticket)
        # Only an unsettled cell knows that its home is there.
        if counts and sp_cell_of(task).keep and sp_cell_of(task).home != home:
            home = sp_cell_of(task).home
            if home != NULL:
                sp_home_count_attach(home)
        settle(sp_cell_of(task))
        sp_task_unref(task)
    return 0
