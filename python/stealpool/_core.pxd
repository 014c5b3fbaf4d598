# What other Cython modules can cimport. All functions are nogil, except where a
# Python object is an argument.
from libc.stdint cimport intptr_t

# A task: 0, or an error code (see fail()).
ctypedef int (*native_fn)(void *user) noexcept nogil

# A piece of a loop: the indices begin ... end-1. Not 0 stops the loop.
ctypedef int (*range_fn)(intptr_t begin, intptr_t end, void *user) noexcept nogil


cdef class Handle:
    cdef object executor
    cdef void *home
    cdef void *pool

# An executor for nogil code; keep it as long as `.pool` is in use.
cdef Handle handle(object executor)

# Submit function(user) to a pool. NULL: no memory, or the pool is shut down. The
# result must go to join() or to future_of(), once.
cdef void *spawn(void *pool, native_fn function, void *user) noexcept nogil

# Wait for what was spawned; returns its error code, or a negative status.
cdef int join(void *spawned) noexcept nogil

# A Future, for Python to wait for what was spawned.
cdef object future_of(Handle executor, void *spawned)

# Call body on pieces of begin ... end-1, here and on the pool's free workers.
# `grain` is the least number of indices of a piece, 0 = automatic.
cdef int parallel_for(
    void *pool, intptr_t begin, intptr_t end, intptr_t grain, range_fn body, void *user
) noexcept nogil

# Inside a task or a loop: has somebody asked for it to stop?
cdef int is_cancelled() noexcept nogil

# Inside a task or a loop: say why it fails. Returns `code`, which must not be 0.
cdef int fail(int code, const char *message) noexcept nogil
