# Facts about the process, and its ends: fork and exit.


cdef int64_t now_ns():
    return sp__os_now_ns()


def build_config():
    """What was built, and what it runs on: for show_config() and bug reports."""
    return {
        "version": __version__,
        "python": _sys.version.split()[0],
        "implementation": _sys.implementation.name,
        "free_threaded": bool(_sysconfig.get_config_var("Py_GIL_DISABLED")),
        "compiler": SP_COMPILER.decode(),
        "build_type": SP_BUILD_TYPE.decode(),
        "isa": sp_isa().decode(),
        "affinity_cpus": sp__os_affinity_cpus(),
        "cpu_quota": sp_cpu_quota() or None,
        "usable_cpus": sp_usable_cpus(),
    }


def capsule_pointer(capsule):
    """(name, address, context) of a PyCapsule; the name is its signature."""
    cdef const char *name = PyCapsule_GetName(capsule)
    if name == NULL:
        raise ValueError(
            "the PyCapsule has no name, so its signature is unknown; name it after the "
            "C signature, such as 'double (double)', or pass signature="
        )
    cdef void *context = PyCapsule_GetContext(capsule)
    return (
        name.decode(),
        <uintptr_t>PyCapsule_GetPointer(capsule, name),
        <uintptr_t>context if context != NULL else None,
    )


def is_capsule(obj):
    """True for a PyCapsule."""
    return PyCapsule_CheckExact(obj)


def mark_stale():
    """In the child of a fork: native threads and what they run are not here."""
    global epoch, drainer, deputy, main_thread, pool_lock, timed_lock, due
    epoch += 1
    main_thread = PyThread_get_thread_ident()
    drainer = deputy = None
    due = _deque()
    sp_gauge_set(&has_due, False)
    sp_gauge_set(&drainer_is_there, False)
    pool_lock = _RLock()  # a thread of the parent may have it
    timed_lock = object()  # or be in its critical section
    sp_gauge_set(&alarm_ns, SP_BELL_NO_ALARM)
    timed.clear()
    starts.clear()
    handed_over.clear()
    # What they hold is the parent's to announce; and they, and the bell, may look as if
    # somebody had been told of it already.
    open_queues()
    for home in list(homes):
        (<Home>home).home.is_stale = True
        if (<Home>home).gates is not None:
            (<Home>home).gates.reset()
    for token in list(tokens):
        sp_canceller_reset((<CancellationToken>token).canceller)
    graveyard.clear()


def shut_down_pools(timeout):
    """At exit, after all executors: what those that are gone have queued runs, too.

    Returns
    -------
    bool
        False if tasks are unfinished, or pools at work, when the time has passed.
    """
    cdef int64_t left_ns = ns_of(timeout)
    cdef int64_t deadline_ns = now_ns() + left_ns
    cdef bint is_over = True
    cdef Pool pool
    for home in list(homes):
        is_over &= await_group((<Home>home).home, left_until(deadline_ns, left_ns))
    for grave in all_graves():
        is_over &= await_group((<Grave>grave).home, left_until(deadline_ns, left_ns))
    for pool in all_pools():
        is_over &= pool.shut_down(left_until(deadline_ns, left_ns))
    return is_over


cdef int64_t left_until(int64_t deadline_ns, int64_t left_ns):
    return max(deadline_ns - now_ns(), 0) if left_ns >= 0 else -1


cdef set all_pools():
    pools = {(<Home>home).pool for home in list(homes)}
    pools.update([(<Grave>grave).pool for grave in all_graves()])
    with pool_lock:
        if process_pool is not None:
            pools.add(process_pool)
    return pools


def stop_tasks():
    """Cancel all that is queued, and ask all kernels that run to stop."""
    for home in list(homes):
        stop_home((<Home>home).home)
    for grave in all_graves():
        stop_home((<Grave>grave).home)


cdef int stop_home(sp_home *home) except -1:
    if not home.is_stale:
        sp_home_cancel(home, True)
    return 0


def abandon_pools():
    """Leave running kernels, their threads and their buffers alone, for good.

    Returns
    -------
    int
        Tasks that are unfinished.
    """
    cdef Pool pool
    cdef uint32_t unfinished = 0
    for home in list(homes):
        unfinished += sp_group_unfinished(&(<Home>home).home.group)
    for grave in all_graves():
        unfinished += sp_group_unfinished(&(<Grave>grave).home.group)
    for pool in all_pools():
        if not pool.shut_down(0):
            pool.abandon()
    return unfinished


def count_spinning_cpus():
    """Decide whether waiters may spin: one CPU they would keep from the workers."""
    cdef bint may = sp_usable_cpus() > 1
    sp_gauge_set(&may_spin, may)
    return may


cdef int set_gauges() except -1:
    """When the module is loaded."""
    sp_gauge_set(&spin_ns, SPIN_NS)
    sp_gauge_set(&switch_interval_ns, 5000000)
    sp_gauge_set(&alarm_ns, SP_BELL_NO_ALARM)
    return 0
