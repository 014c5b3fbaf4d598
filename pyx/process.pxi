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


def shut_down_pools():
    """At exit, after all executors: what those that are gone have queued runs, too."""
    for home in list(homes):
        await_group((<Home>home).home, -1)
        (<Home>home).pool.shut_down()
    for grave in graveyard:
        await_group((<Grave>grave).home, -1)
        (<Grave>grave).pool.shut_down()
    if process_pool is not None:
        process_pool.shut_down()


def count_spinning_cpus():
    """Decide whether waiters may spin: with one CPU, what they wait for needs it."""
    global may_spin
    may_spin = sp_usable_cpus() > 1
    return may_spin
