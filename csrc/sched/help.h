/*
 * help.h - how a worker waits for a group: it runs the group's tasks, and nothing else.
 *
 * On a stack that may hold a lock no stranger's task begins, and a stack is as deep as
 * the tree of those who wait. The worker takes the group's tasks from where it can tell
 * whose they are: its own deque, as long as the newest one there is the group's, and the
 * injector. When there are none, others run the rest. It looks for a while, then puts all
 * that is left in its deque where others see it, and sleeps on the group's word; somebody
 * stands in (staff.h). Where nobody can, it is roused to look in the injector again.
 */
#ifndef SP_SCHED_HELP_H
#define SP_SCHED_HELP_H

#include "stealpool.h"

struct sp__worker;

/** sp_group_wait() in a worker. */
sp_status sp__help_wait(struct sp__worker *worker, sp_group *group, int64_t timeout_ns);

#endif /* SP_SCHED_HELP_H */
