/*
 * spawn.h - detached tasks; sp_spawn() is in stealpool.h.
 */
#ifndef SP_SCHED_SPAWN_H
#define SP_SCHED_SPAWN_H

#include "stealpool.h"

struct sp__worker;

/** Call a detached task's function. */
void sp__detached_run(sp_task *task);

/**
 * Count the detached tasks that the worker has ended out of their group, unless that is
 * `next`: before it does anything else than run another one of the group.
 */
void sp__detached_tell(struct sp__worker *worker, const sp_group *next);

/** The calling thread, if it is a worker, tells all that it keeps back: it has ended tasks
 * of what may be another's pool. */
void sp__detached_settle(void);

/** A detached task has run, or is thrown away: tell its group, free its cell. */
void sp__detached_end(sp_task *task);

#endif /* SP_SCHED_SPAWN_H */
