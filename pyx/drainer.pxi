# What happens to ended tasks that nobody waits for.
#
# Two queues for the whole process. `announced`: observed futures of kernels, whose
# waiters and callbacks must hear of the end. `reclaimed`: tasks that hold buffers,
# or whose future is gone. Waiters empty `reclaimed` while they have the GIL anyway;
# what they leave, and all of `announced`, is the drainer's, a daemon thread that
# sleeps without the GIL and takes it once a batch.
#
# The drainer tells all waiters of a batch before it calls any callback. While it is in
# a callback, which may wait for whatever it likes, its deputy, a second daemon, tells
# waiters, frees buffers and keeps the time limits; callbacks wait for the drainer.

cdef sp_completion *announced = NULL
cdef sp_completion *reclaimed = NULL
cdef sp_bell bell

# How long buffers may wait for somebody to collect them in passing.
cdef int64_t PATIENCE_NS = 100000000

cdef object drainer = None     # the thread; in the critical section of `timed_lock`
cdef object deputy = None      # started for the first callback; likewise
cdef object due = _deque()     # futures that were announced, with callbacks to call
cdef sp_gauge has_due          # the deputy has left some to the drainer
cdef sp_gauge drainer_is_there
cdef sp_gauge drainer_stops


cdef int open_queues() except -1:
    sp_bell_init(&bell)
    raise_status(sp_completion_create(&announced, sp_bell_ring_urgently, &bell))
    raise_status(sp_completion_create(&reclaimed, sp_bell_ring_lazily, &bell))
    return 0


cdef int start_drainer() except -1:
    """Start the drainer if it is not running."""
    global drainer
    if sp_gauge_read(&drainer_is_there) or sp_gauge_read(&drainer_stops):
        return 0
    thread = _Thread(target=drain_until_stopped, name="stealpool-drainer", daemon=True)
    with cython.critical_section(timed_lock):
        if drainer is not None:  # another thread was quicker
            return 0
        drainer = thread
        sp_gauge_set(&drainer_is_there, True)
    try:
        thread.start()
    except BaseException:
        with cython.critical_section(timed_lock):
            drainer = None
            sp_gauge_set(&drainer_is_there, False)
        raise
    return 0


def drain_until_stopped():
    """The drainer's main function."""
    while not sp_gauge_read(&drainer_stops):
        with nogil:
            sp_bell_wait(&bell, PATIENCE_NS, sp_gauge_read(&alarm_ns))
            while (
                not sp_gauge_read(&drainer_stops)
                and not sp_gauge_read(&has_due)
                and nothing_to_drain()
            ):
                sp_bell_wait(&bell, PATIENCE_NS, sp_gauge_read(&alarm_ns))
        try:
            drain()
        except BaseException as error:
            report_unraisable(error, drainer)
        call_due()


cdef int drain() except -1:
    expire_due()
    drain_handed_over()
    drain_announced()
    drain_reclaimed(counts=True)
    return 0


cdef int call_later(FutureBase future) except -1:
    try:
        due.append(future)
    except MemoryError:
        future._invoke_callbacks()
    return 0


cdef int call_due() except -1:
    """Call the callbacks that are due; meanwhile, the deputy stands in."""
    sp_gauge_set(&has_due, False)
    while due:
        start_deputy()
        sp_bell_leave(&bell, sp_gauge_read(&alarm_ns))
        while due:
            future = due.popleft()
            try:
                (<FutureBase>future)._invoke_callbacks()
            except BaseException as error:
                # A callback let it out; those of other futures are still called.
                report_unraisable(error, future)
            future = None
        sp_bell_return(&bell)
    return 0


cdef int start_deputy() except -1:
    """Without one, all waits until the callbacks have returned."""
    global deputy
    if deputy is not None or sp_gauge_read(&drainer_stops):
        return 0
    try:
        thread = _Thread(target=stand_in, name="stealpool-deputy", daemon=True)
        thread.start()
        deputy = thread
    except Exception:  # no thread to be had, no memory
        pass
    return 0


def stand_in():
    """The deputy's main function."""
    cdef uint32_t calls = 0
    while not sp_gauge_read(&drainer_stops):
        with nogil:
            while not sp_gauge_read(&drainer_stops):
                if not sp_bell_stand_in(
                    &bell, &calls, PATIENCE_NS, sp_gauge_read(&alarm_ns)
                ):
                    continue
                if not nothing_to_drain():
                    break
        try:
            drain()
        except BaseException as error:
            report_unraisable(error, deputy)
        if due:
            sp_gauge_set(&has_due, True)
            if not sp_bell_is_away(&bell):  # else he looks when he is back
                sp_bell_ring_urgently(&bell)


cdef bint nothing_to_drain() noexcept nogil:
    return (
        sp_completion_is_empty(announced)
        and sp_completion_is_empty(reclaimed)
        and sp__os_now_ns() < sp_gauge_read(&alarm_ns)
    )


# Homes with time limits and tasks that are not due yet; when the first one is.
cdef list timed = []
cdef size_t timed_prune_at = 8
cdef object timed_lock = object()  # its own: a list's calls enter that of the list
# An earlier alarm is set before the bell is rung, and read after it was heard.
cdef sp_gauge alarm_ns


cdef int set_alarm(Home home) except -1:
    """A task with a time limit has joined the home: see that the drainer wakes up."""
    cdef int64_t due_ns
    cdef list before = None
    with cython.critical_section(timed_lock):
        if home.is_timed:
            return 0  # its older tasks are due before
        if len(timed) >= timed_prune_at:
            before = prune_timed()
        timed.append(home)
        home.is_timed = True
        due_ns = sp_home_next_due_ns(home.home)
        if due_ns >= sp_gauge_read(&alarm_ns):
            return 0
        sp_gauge_set(&alarm_ns, due_ns)
    sp_bell_ring_urgently(&bell)
    return 0


cdef list prune_timed():
    """Forget homes whose tasks have ended in time: a limit may be hours away.

    In the critical section. Returns what the list was, to be dropped outside.
    """
    global timed_prune_at
    cdef list left = [], before = timed[:]
    for home in before:
        (<Home>home).is_timed = (
            sp_home_next_due_ns((<Home>home).home) != SP_BELL_NO_ALARM
        )
        if (<Home>home).is_timed:
            left.append(home)
    timed[:] = left
    timed_prune_at = 2 * len(left) + 8
    return before


# Futures whose cancel() was interrupted before it had announced the end.
cdef list handed_over = []  # in the critical section of `timed_lock`


cdef int hand_over(FutureBase future) except -1:
    """What cancel() could not announce, the drainer does."""
    with cython.critical_section(future):
        if not future.is_being_cancelled:
            return 0
        if future.state >= CANCELLED and not has_callbacks_due(future):
            return 0
        future.is_being_cancelled = False
    with cython.critical_section(timed_lock):
        handed_over.append(future)
        sp_gauge_set(&alarm_ns, 0)
    sp_bell_ring_urgently(&bell)
    return 0


cdef int drain_handed_over() except -1:
    global handed_over
    cdef list futures
    none_left = []
    with cython.critical_section(timed_lock):
        futures, handed_over = handed_over, none_left
    for future in futures:
        announce_from_afar(<FutureBase>future)
    return 0


cdef int announce_from_afar(FutureBase future) except -1:
    """Announce the end, unless cancel() does so in its thread."""
    cdef bint is_ours
    try:
        get_ready(future)
        with cython.critical_section(future):
            is_ours = not future.is_being_cancelled and future.observers is not None
        if is_ours and announce(future):
            call_later(future)
    except BaseException as error:  # no memory; the other futures still end
        report_unraisable(error, future)
    return 0


cdef int expire_due() except -1:
    """Cancel what is due; set the alarm for the next."""
    cdef int64_t due_ns, first_ns = SP_BELL_NO_ALARM
    cdef list left, before
    with cython.critical_section(timed_lock):
        left, before = [], timed[:]  # to be dropped outside
        for home in timed:
            due_ns = sp_home_expire((<Home>home).home, now_ns())
            (<Home>home).is_timed = due_ns != SP_BELL_NO_ALARM
            if (<Home>home).is_timed:
                left.append(home)
                first_ns = min(first_ns, due_ns)
        timed[:] = left
        sp_gauge_set(&alarm_ns, first_ns)
    return 0


def stop_drainer(timeout):
    """At exit: no thread of ours may want the GIL any more.

    One that is in a callback when the time has passed is a daemon, and ends with the
    process.
    """
    global drainer, deputy
    sp_gauge_set(&drainer_stops, True)
    with cython.critical_section(timed_lock):
        threads = [thread for thread in (deputy, drainer) if thread is not None]
    sp_bell_call_deputy(&bell)
    sp_bell_ring_urgently(&bell)
    for thread in threads:
        thread.join(timeout)
        if thread.is_alive():
            return
    with cython.critical_section(timed_lock):
        drainer = deputy = None
    drain_announced()
    call_due()
    drain_reclaimed()


cdef int drain_announced() except -1:
    """Tell those who wait; callbacks are due then."""
    cdef sp_ticket *ticket = sp_completion_drain(announced)
    cdef sp_task *task
    cdef sp_home *home = NULL
    cdef FutureBase future
    while ticket != NULL:
        task = sp_ticket_task(ticket)
        ticket = sp_ticket_next(ticket)
        if sp_cell_home(sp_cell_of(task)) != home:  # one acquisition for each batch
            home = sp_cell_home(sp_cell_of(task))
            if home != NULL:  # or it never joined one
                sp_home_count_attach(home)
        future = <FutureBase>sp_cell_of(task).future
        Py_DECREF(future)  # taken in order_announcement(); `future` has its own
        sp_task_unref(task)
        announce_from_afar(future)
    return 0


cdef int drain_reclaimed(bint counts=False) except -1:
    """Release the buffers, and what else is kept, of tasks that have ended.

    With `counts`, the GIL was taken for that purpose.
    """
    cdef sp_ticket *ticket
    cdef sp_task *task
    cdef sp_home *home = NULL
    cdef sp_home *next_home
    if sp_completion_is_empty(reclaimed):
        return 0
    ticket = sp_completion_drain(reclaimed)
    while ticket != NULL:
        task = sp_ticket_task(ticket)
        ticket = sp_ticket_next(ticket)
        next_home = sp_cell_unsettled_home(sp_cell_of(task)) if counts else NULL
        if next_home != NULL and next_home != home:
            home = next_home
            sp_home_count_attach(home)
        settle(sp_cell_of(task))
        sp_task_unref(task)
    return 0
