/*
 * watched.h - a loop whose caller looks up from it now and then.
 *
 * A thread of Python's that takes part in a loop cannot be reached by Ctrl-C, and
 * cannot report progress, until the loop is over. Here the pieces of the loop are
 * cut once more, so that each call of the body takes a few milliseconds, and
 * between two of them, some twenty times a second, the caller, and only he, calls
 * a function that may take the GIL. Workers never do.
 */
#ifndef SP_PYX_WATCHED_H
#define SP_PYX_WATCHED_H

#include <stdint.h>

#include "base/atomics.h"
#include "stealpool.h"

/* Called by the thread that started the loop. `done` indices are done, more or
 * less. Not 0: the loop is to stop. */
typedef int (*sp_look_fn)(void *looker, intptr_t done);

struct sp_watched {
    sp_range_fn body; /* or, of a reduction: */
    sp_reduce_fn reduce_body;
    sp_combine_fn combine;
    void *user;
    intptr_t grain; /* a call of the body has so many indices, but for the last */
    sp_look_fn look;
    void *looker;
    int64_t next_look_ns;    /* the caller's own, like the next */
    intptr_t unmeasured;     /* indices since a look at the clock */
    _Atomic(intptr_t) chunk; /* indices that take a few milliseconds, as far as known */
    _Atomic(intptr_t) done;
};

/** Before the loop, by its caller. The function pointers and `user`, `looker` and
 * `grain` are set already. */
void sp_watched_begin(struct sp_watched *watched);

/** A piece of the loop: an sp_range_fn, whose user is the sp_watched. Stops with
 * SP_ECANCELLED when told so by `look`, or when the task was asked to. */
int sp_watched_piece(intptr_t begin, intptr_t end, void *watched);

/** A piece of a reduction: an sp_reduce_fn. It is not cut once more, so that the
 * result does not depend on how fast it went. */
int sp_watched_reduce(intptr_t begin, intptr_t end, void *acc, void *watched);

/** An sp_combine_fn. */
void sp_watched_combine(void *into, const void *from, void *watched);

/** Indices that are done, as far as known. */
static inline intptr_t sp_watched_done(struct sp_watched *watched)
{
    return load_relaxed(&watched->done);
}

#endif /* SP_PYX_WATCHED_H */
