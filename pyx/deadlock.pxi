# Waiting that can never end, found in debug mode.
#
# In debug mode each thread of a Python lane says what it runs, and what it waits for
# without a timeout. A thread that is about to wait asks who could still make progress:
# whoever does not wait, and whoever waits for something that one of those will end. If
# it is not among them, its wait raises instead. The last one to close a circle sees all
# of it, for asking and saying happen under one lock.
#
# What is not seen counts as progress: other threads, timed waits, locks, the standard
# library's wait(). So nothing is reported that could end by itself.

cdef sp_gauge is_debugging

cdef object debug_lock = _RLock()
cdef dict running_in = {}   # thread -> the futures that it runs, outermost first
cdef dict waiting_in = {}   # thread -> (futures, whether for all)


def set_debugging(bint debugs):
    """Look for circles of waiting threads from now on. Returns what was set before.

    Callables that run already are not looked at.
    """
    with debug_lock:
        before = bool(sp_gauge_read(&is_debugging))
        sp_gauge_set(&is_debugging, debugs)
    return before


cdef int note_begin(FutureBase future) except -1:
    with debug_lock:
        running_in.setdefault(_get_ident(), []).append(future)
    return 0


cdef int note_end(FutureBase future) except -1:
    """Whether or not its beginning was noted."""
    with debug_lock:
        futures = running_in.get(_get_ident(), [])
        if futures and futures[-1] is future:
            futures.pop()
            if not futures:
                del running_in[_get_ident()]
    return 0


cdef bint note_wait(object futures, bint for_all) except -1:
    """The calling thread is about to wait; raises if that would be for ever.

    Returns whether note_wait_over() is to be called.
    """
    cdef object thread = _get_ident()
    with debug_lock:
        # In a thread that runs no callable, nobody waits for this one.
        if thread not in running_in or thread in waiting_in:
            return False
        waiting_in[thread] = (tuple(futures), for_all)
        threads = circle_around(thread)
        if threads:
            del waiting_in[thread]
            names = sorted(
                name_of(<FutureBase>running_in[other][-1]) for other in threads
            )
            raise RuntimeError(
                f"deadlock: this wait would never end, for {len(threads)} threads of "
                f"Python lanes wait for each other; they run {', '.join(names)}. Do "
                "not wait in callables for callables that wait for them"
            )
    return True


cdef str name_of(FutureBase future):
    function = future.job[0] if type(future.job) is tuple else future
    return str(getattr(function, "__qualname__", function))


cdef int note_wait_over() except -1:
    with debug_lock:
        waiting_in.pop(_get_ident(), None)
    return 0


cdef set circle_around(object thread):
    """The threads that wait for ever, if `thread` is among them; else an empty set."""
    cdef set moving = set(running_in).difference(waiting_in)
    cdef set stuck = set(waiting_in)
    cdef bint has_changed = True
    while has_changed and thread in stuck:
        has_changed = False
        for other in list(stuck):
            futures, for_all = waiting_in[other]
            ends = [will_end(<FutureBase>future, moving) for future in futures]
            if all(ends) if for_all else any(ends):
                stuck.discard(other)
                moving.add(other)
                has_changed = True
    return stuck if thread in stuck else set()


cdef bint will_end(FutureBase future, set moving) except -1:
    """May the future end, if these threads get on?"""
    cdef sp_cell *cell
    cdef sp_phase phase
    with cython.critical_section(future):
        cell = cell_of(future)
        if cell == NULL or is_native(cell):
            return True
        phase = sp_task_phase(&cell.task)
    if phase >= SP_DONE:
        return True
    if phase == SP_PENDING:
        return future.home.lane.may_run_more() or any(
            (<FutureBase>each).home.lane is future.home.lane
            for thread in moving
            for each in <list>running_in.get(thread, ())
        )
    for thread, futures in running_in.items():
        for each in <list>futures:
            if each is future:
                return thread in moving
    return True  # claimed, and its thread has not said so yet
