/*
 * group.h - counts tasks in and out; struct sp_group is in stealpool.h.
 *
 * `unfinished` is a count with two bits above it: somebody sleeps on the word; and a
 * worker that does so shall look whether tasks of the group are queued (help.h).
 */
#ifndef SP_SCHED_GROUP_H
#define SP_SCHED_GROUP_H

#include "stealpool.h"

#define SP__GROUP_WAITER 0x80000000u
#define SP__GROUP_LOOK 0x40000000u
#define SP__GROUP_COUNT 0x3fffffffu

/** Count `n` tasks in at once, each of which was given `group` as its group. */
void sp__group_enter(sp_group *group, uint32_t n);

/**
 * Count `n` tasks out. After the last one the group may be gone, so this is the
 * last thing that a task's end does.
 */
void sp__group_leave(sp_group *group, uint32_t n);

#endif /* SP_SCHED_GROUP_H */
