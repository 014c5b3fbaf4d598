/*
 * worker.h - one pool thread: find a task, run it, idle.
 */
#ifndef SP_SCHED_WORKER_H
#define SP_SCHED_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/os.h"
#include "sched/deque.h"
#include "sched/frame.h"
#include "sched/slab.h"
#include "sched/staff.h"
#include "stealpool.h"

#define SP__ASLEEP 0x80000000u /* in worker.cpu: and there it sleeps */

struct sp__worker {
    struct sp__deque deque;
    struct sp__frames frames;
    struct sp__slab slab; /* cells for what its tasks spawn */

    /* Constant after start. */
    SP_CACHE_ALIGNED sp_pool *pool;
    uint32_t index;
    struct sp__os_thread thread;

    /* See staff.h. */
    enum sp__presence presence;  /* under staff.lock */
    _Atomic(uint32_t) is_called; /* a dormant one waits on it (L1) */
    uint32_t blocking;           /* sp_blocking_begin() without _end(); its own */
    uint32_t sleeping;           /* reasons why it takes up no task; its own */
    sp_group *waits_for;         /* and sleeps meanwhile; under staff.lock */
    bool is_blocked;             /* sp_blocking_begin(); under staff.lock */
    bool is_surplus;             /* that was so when the pool shrank; likewise */

    /* The worker's own. */
    uint64_t random;
    bool is_searching;      /* counted in pool->idle.searching */
    uint32_t taken_at;      /* `ticks` when it last took from the injector */
    uint32_t ticks;         /* tasks looked for; every so often the oldest is first */
    uint32_t fruitless;     /* searches in a row that led to nothing */
    int64_t keepalive_ns;   /* what it takes to be woken, or as the user wants */
    int64_t search_ns;      /* how long to search before parking; adapts */
    int64_t moved_at;       /* when it last left a CPU */
    int64_t asked_at;       /* when it last asked for its CPUs */
    bool is_confined;       /* there was one only */
    struct sp__freed freed; /* cells, of which their blocks are not yet told */
    sp_group *left;         /* has so many tasks less: not yet told, see spawn.h */
    uint32_t n_left;
    bool is_streaming;         /* the last look at the injector found something */
    bool was_in_region;        /* the last thing it took up; so tasks are next */
    bool is_fed;               /* by `robbed`, with short tasks that this one makes */
    struct sp__worker *robbed; /* from whom it has stolen last; */
    int64_t robbed_at;         /* when, */
    uint64_t robbed_of;        /* and how many that one had submitted */

    /* Written by thieves; read by the worker at each push. */
    SP_CACHE_ALIGNED _Atomic(uint32_t) is_asked; /* to hand out many tasks at once */

    /* Written by the worker; read by those who wonder whether to spin. */
    SP_CACHE_ALIGNED _Atomic(uint32_t) cpu; /* of its last look; SP__ASLEEP: parked */

    /* Written by the worker, read by sp_pool_get_stats(). */
    _Atomic(uint64_t) executed;
    _Atomic(uint64_t) stolen;
    _Atomic(uint64_t) injected;
    _Atomic(uint64_t) parked;
    _Atomic(uint64_t) joined;
    _Atomic(uint64_t) submitted;
    _Atomic(uint64_t) frames_stolen;
};

/** The calling thread's worker, of whatever pool; NULL outside of workers. */
struct sp__worker *sp__worker_current(void);

/** Prepare a worker in zeroed memory. */
void sp__worker_init(struct sp__worker *worker, sp_pool *pool, uint32_t index,
                     int64_t keepalive_ns);

/** The thread's main function: returns once the pool is over, or has too many. */
void sp__worker_run(void *worker);

/** The worker has found work: if it was the last searcher and there is more, it wakes
 * another one. Who joins a region calls it when he has his place. */
void sp__worker_end_search(struct sp__worker *worker);

/** The calling worker works beside a thread that runs on `cpu`: do not share it. */
void sp__worker_leave_cpu(uint32_t cpu);

/** Statistics: this worker has stolen a frame. */
void sp__worker_count_frame(struct sp__worker *worker);

/** The worker, in its own thread: queue tasks of normal priority behind its deque's
 * bottom; if they do not fit, half of the deque goes to the injector. High and low
 * tasks go there at once. */
void sp__worker_push(struct sp__worker *worker, sp_task *const *tasks, size_t n);

/**
 * How long to search before parking, after being woken took `wake_ns`: in the mean, so
 * long. Who does so never pays more than twice what he would if he knew when the next
 * task comes. Between 2 and 100 us, for a machine in use may wake as late as it likes.
 */
int64_t sp__keepalive_after(int64_t keepalive_ns, int64_t wake_ns);

/** The worker, in its own thread, goes: its tasks go to the injector, and if it was the
 * last one searching another one searches. */
void sp__worker_hand_over(struct sp__worker *worker);

/**
 * The worker, within a task, has taken another one from a queue: it runs that on top, or
 * throws it away.
 */
void sp__worker_nest(struct sp__worker *worker, sp_task *task);

/** The worker, within a task: its own newest task, if that is of the group; NULL. */
sp_task *sp__worker_pop_of(struct sp__worker *worker, const sp_group *group);

/** The same: a task of the group from the injector, and more of them for its deque. */
sp_task *sp__worker_take_of(struct sp__worker *worker, const sp_group *group,
                            uint32_t *ret_arrivals);

/** The same: its tasks go to the injector. */
void sp__worker_lay_open(struct sp__worker *worker);

/** In the child of a fork the calling thread is no worker. */
void sp__worker_forget(void);

#endif /* SP_SCHED_WORKER_H */
