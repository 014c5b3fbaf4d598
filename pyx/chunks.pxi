# Chunks of calls, for map(): run in one go, and taken apart again.

cdef enum:
    LOOK_EVERY = 64  # calls of a C function


def call_each(fn, arguments, /):
    """``[fn(argument) for argument in arguments]``"""
    cdef list results = []
    cdef bint looks = not PyFunction_Check(fn) and not SP_IS_PARALLEL
    cdef int64_t since_ns = now_ns()
    for argument in arguments:
        results.append(fn(argument))
        if looks and len(results) % LOOK_EVERY == 0:
            since_ns = let_others(since_ns)
    return results


def call_each_with(fn, arguments, /):
    """``[fn(*args) for args in arguments]``"""
    cdef list results = []
    cdef bint looks = not PyFunction_Check(fn) and not SP_IS_PARALLEL
    cdef int64_t since_ns = now_ns()
    for args in arguments:
        results.append(call_with(fn, <tuple>args, NULL))
        if looks and len(results) % LOOK_EVERY == 0:
            since_ns = let_others(since_ns)
    return results


cdef int64_t let_others(int64_t since_ns):
    """Let go of the GIL for a moment, if it was held for longer than an interval:
    no bytecode has looked whether another thread wants it. Returns since when it is
    held."""
    if now_ns() - since_ns > sp_gauge_read(&switch_interval_ns):
        with nogil:
            pass
        since_ns = now_ns()
    return since_ns


@cython.final
cdef class Flattened:
    """The items of the lists that an iterator yields. It keeps none it has yielded."""

    cdef object lists  # a generator
    cdef list items    # ours alone
    cdef Py_ssize_t next_item

    def __cinit__(self, lists):
        self.lists = lists
        self.items = []

    def __iter__(self):
        return self

    def __next__(self):
        cdef object item = None
        cdef bint is_there = False
        while True:
            with cython.critical_section(self):
                if self.next_item < len(self.items):
                    item = self.items[self.next_item]
                    self.items[self.next_item] = None
                    self.next_item += 1
                    is_there = True
            if is_there:
                return item
            items = next(self.lists)
            with cython.critical_section(self):
                # Another thread may have come with a list of its own.
                self.items = self.items[self.next_item:] + items
                self.next_item = 0

    def close(self):
        """Cancel what has not begun."""
        with cython.critical_section(self):
            self.items = []
            self.next_item = 0
        self.lists.close()
