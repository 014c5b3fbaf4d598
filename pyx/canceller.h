/*
 * canceller.h - what a CancellationToken is made of: a token that reaches homes.
 *
 * A token of the core's is looked at by running tasks, and when a queued one has its
 * turn. A canceller also ends the queued tasks of its homes at once, in any thread, a
 * worker included, without the GIL; so nobody waits for the turn of what will not run.
 *
 * The address of the token's flag is public: C code polls it. So a canceller lives as
 * long as any of its homes, and these as long as any task of theirs.
 *
 * Both lists are under its spin lock (H2), which is taken before a child's and before a
 * home's.
 */
#ifndef SP_PYX_CANCELLER_H
#define SP_PYX_CANCELLER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "stealpool.h"

struct sp_home;

struct sp_canceller {
    sp_token token;                /* of all its tasks */
    _Atomic(uint32_t) references;  /* its maker's, one of each home and child */
    _Atomic(uint32_t) lock;        /* of what follows (H2) */
    struct sp_home *homes;         /* linked by next_of_canceller */
    struct sp_canceller *children; /* linked by next_of_parent */
    struct sp_canceller *parent;   /* or NULL; a reference */
    struct sp_canceller *next_of_parent;
};

/** A canceller with one reference; cancelled if `parent` is. NULL: no memory. */
struct sp_canceller *sp_canceller_create(struct sp_canceller *parent);

/** Drop a reference; the last one frees the canceller. NULL is allowed. */
void sp_canceller_unref(struct sp_canceller *canceller);

/** Let the canceller reach the tasks of `home`, which has none yet. */
void sp_canceller_attach(struct sp_canceller *canceller, struct sp_home *home);

/** Undo sp_canceller_attach(), if it was done. */
void sp_canceller_detach(struct sp_home *home);

/** Cancel; see above. Idempotent. */
void sp_canceller_cancel(struct sp_canceller *canceller);

/** True once it is cancelled; false for NULL. */
bool sp_canceller_is_cancelled(const struct sp_canceller *canceller);

/** In the child of a fork, where no other thread is: forget the parent's homes. */
void sp_canceller_reset(struct sp_canceller *canceller);

#endif /* SP_PYX_CANCELLER_H */
