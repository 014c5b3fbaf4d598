/*
 * stealpool.h - a work-stealing thread pool for C kernels.
 *
 * This header is the manual. A function, type or constant that does not
 * appear here is not part of the API. It compiles alone, as C11 and as C++17.
 *
 *
 * What it is
 * ----------
 * A pool owns worker threads, as many as it was told. Each worker has a deque of
 * tasks: it pushes and pops at the bottom, the other workers ("thieves") steal
 * at the top. A thread that is not a worker hands its tasks in through the
 * injector. A worker without work searches for a while, then parks in the
 * kernel and costs nothing.
 *
 * Three ways to use it, from the simplest:
 *
 *   1. A loop. sp_parallel_for() calls one function on the pieces of a range,
 *      in the calling thread and in every worker that is free; it returns when
 *      all pieces are done. sp_parallel_reduce() also combines a result.
 *
 *          static int scale(intptr_t begin, intptr_t end, void *user)
 *          {
 *              double *x = user;
 *              for (intptr_t i = begin; i < end; i++)
 *                  x[i] *= 2.0;
 *              return 0;
 *          }
 *
 *          sp_pool *pool;
 *          if (sp_pool_create(&pool, NULL) == SP_OK) {
 *              sp_parallel_for(pool, 0, n, 0, scale, x);
 *              sp_pool_free(pool);
 *          }
 *
 *   2. A task. sp_task_init() prepares a task inside memory of the caller's,
 *      sp_submit() hands it in, sp_task_wait() waits for it.
 *
 *   3. A stream. A task told to sp_task_notify() a completion queue is put
 *      there by the worker that finished it. One thread drains the queue, all
 *      that is ready in one go; the doorbell rings only when the queue was
 *      empty. This is how an event loop, or Python, hears of many results at
 *      the price of one wake-up.
 *
 *
 * Rules that hold everywhere
 * --------------------------
 * - A function that can fail returns an sp_status and writes its out-parameters
 *   only on SP_OK. A violated precondition is a bug of the caller's: checked by
 *   assert in debug builds, undefined in release builds.
 * - Unless a comment says otherwise, a function may be called from any thread,
 *   a worker included, and does not block.
 * - Workers block all signals. No function here changes the caller's signal
 *   mask, affinity or floating-point environment.
 * - A process may have several pools, and be forked at any time. In the child a pool can
 *   be used like before: at its first use there it gets workers anew, and tasks that were
 *   queued are cancelled. Those that ran at the fork, or were about to, run in the parent;
 *   in the child they never end, so do not wait for them, nor for a group that counts
 *   them. The parent's workers and tasks are not disturbed. A child that was forked by a
 *   task must not return from it: it calls exec or _exit.
 * - Times are nanoseconds on the monotonic clock. A negative timeout means
 *   "for ever", 0 means "look, do not wait".
 */
#ifndef STEALPOOL_H
#define STEALPOOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef SP_BUILD_SHARED /* what is declared here is what the shared library exports */
#pragma GCC visibility push(default)
#endif

#define SP_VERSION_MAJOR 0
#define SP_VERSION_MINOR 1
#define SP_VERSION_PATCH 0

/* Fields that several threads write. C++ sees the plain type: such fields are
 * the library's alone, and have the same size and alignment (asserted). */
#ifdef __cplusplus
#define SP__ATOMIC(type) type
#else
#define SP__ATOMIC(type) _Atomic(type)
#endif

/* ----------------------------------------------------------------- status */

typedef enum sp_status {
    SP_OK = 0,
    SP_ENOMEM = -1,     /* an allocation failed; nothing happened */
    SP_EINVAL = -2,     /* an argument is out of range; nothing happened */
    SP_ECLOSED = -3,    /* the pool is shut down */
    SP_ETIMEDOUT = -4,  /* the timeout passed first */
    SP_EINTR = -5,      /* a signal handler ran in the waiting thread */
    SP_EDONE = -6,      /* too late: the task has ended already */
    SP_ECANCELLED = -7, /* cancelled before it ran, or stopped on request */
    SP_ETHREAD = -8,    /* the system refused to create even one thread */
    SP_EBUSY = -9,      /* the slot is in use, or the call would wait for itself */
    SP_EFILES = -10,    /* the process, or the system, has too many open files */
    SP_EPERM = -11      /* the system does not permit that to this process */
} sp_status;

/** The status in words, a static string without a final full stop. */
const char *sp_status_text(sp_status status);

/* ------------------------------------------------------------------ pools */

typedef struct sp_pool sp_pool;

/** Where workers run. Pinned, worker i stays on one CPU of those that the thread that
 * makes the pool may use, the i-th in an order; with more workers than CPUs, from the
 * first again. A system that cannot pin, or refuses, leaves them unpinned. */
typedef enum sp_pin {
    SP_PIN_NONE = 0,    /* the system decides: best next to other programs */
    SP_PIN_COMPACT = 1, /* threads of a core, then cores of a package: share caches */
    SP_PIN_SPREAD = 2   /* packages in turn, threads of a core last: share little */
} sp_pin;

/**
 * How the system schedules workers. With a real-time policy a worker runs before all
 * normal threads of its CPU, for as long as it has work: leave a CPU to the rest, use no
 * keepalive_us that matters, and mind that a task waiting for a normal thread may wait
 * long. On Linux the process needs CAP_SYS_NICE or a limit (ulimit -r) of at least
 * `priority`.
 */
typedef enum sp_policy {
    SP_POLICY_INHERIT = 0, /* that of the thread that makes the pool */
    SP_POLICY_FIFO = 1,    /* SCHED_FIFO: until it sleeps, or a higher one comes */
    SP_POLICY_RR = 2       /* SCHED_RR: the same, in turn with those of its priority */
} sp_policy;

#define SP_NEVER UINT32_MAX

/** How to make a pool. Zero-filled means: all defaults. */
typedef struct sp_pool_options {
    uint32_t workers;      /* worker threads; 0 = sp_usable_cpus() */
    uint32_t keepalive_us; /* how long an idle worker searches before it parks,
                              at most; 0 = as long as it takes to wake one, which
                              each learns: 2 to 100, at first 50; or not at all when
                              the pool has more workers than the process has CPUs */
    const char *name;      /* threads are called "<name>-<index>", cut to 15
                              characters; NULL = "stealpool" */
    uint32_t pin;          /* enum sp_pin */
    uint32_t policy;       /* enum sp_policy */
    uint32_t priority;     /* with a real-time policy: on Linux 1 to 99; else 0 */
    uint32_t max_workers;  /* the most that sp_pool_resize() may ask for; 0 = 64, or
                              `workers` if that is more */
    uint32_t max_blocked;  /* for so many blocked workers at a time others are
                              started; 0 = 32, SP_NEVER = for none */
    uint32_t reserved[3];  /* zero */
} sp_pool_options;

/**
 * Make a pool and start its workers.
 *
 * With fewer threads than asked for, because the system refused some, the pool
 * still works: see sp_pool_workers(). `options` may be NULL; it is copied.
 * @return SP_OK; SP_EINVAL for more than SP_MAX_WORKERS workers, an unknown pin or
 *         policy, or a priority that the policy does not have; SP_ENOMEM; SP_ETHREAD
 *         when not even one thread could be started; SP_EPERM when the process may
 *         not use that policy with that priority.
 */
sp_status sp_pool_create(sp_pool **ret_pool, const sp_pool_options *options);

#define SP_MAX_WORKERS 1024

typedef enum sp_shutdown_mode {
    SP_DRAIN,  /* run what is queued, then stop */
    SP_ABANDON /* cancel what is queued, finish what is running, then stop */
} sp_shutdown_mode;

/**
 * Refuse new tasks, deal with the queued ones as `mode` says, stop the workers.
 *
 * Waits until every worker has ended; in the child of a fork there are none. Idempotent; of two calls the second
 * waits too, and SP_ABANDON after SP_DRAIN cancels what is still queued. Tasks
 * submitted by running tasks after this call are refused with SP_ECLOSED.
 * @return SP_OK, or SP_EBUSY from a worker of this pool (it cannot wait for
 *         itself): the pool then refuses new tasks, but is not stopped yet.
 */
sp_status sp_pool_shutdown(sp_pool *pool, sp_shutdown_mode mode);

/**
 * Like sp_pool_shutdown(), but does not wait for the workers, so that a worker may call
 * it, too: they stop on their own. A later sp_pool_shutdown() or sp_pool_free() waits for them.
 */
void sp_pool_close(sp_pool *pool, sp_shutdown_mode mode);

/**
 * Shut down with SP_DRAIN unless that was done, and free the pool.
 * Not from a worker. Nobody else may be using the pool. NULL is allowed.
 */
void sp_pool_free(sp_pool *pool);

/** Number of workers that the pool has, without those that stand in for blocked ones.
 * Constant but for sp_pool_resize(). */
uint32_t sp_pool_workers(const sp_pool *pool);

/**
 * Have `workers` workers from now on; 0 = sp_usable_cpus(). From any thread, at any time;
 * tasks go on. Added ones are there on return. Those that are too many go when they have
 * ended what they run, or are about to take; what they had queued goes to the others.
 * @return SP_OK; SP_EINVAL for more than sp_pool_options.max_workers; SP_ECLOSED;
 *         SP_ETHREAD or SP_EPERM when the system refused to add all of them: the pool
 *         works on with those that sp_pool_workers() says.
 */
sp_status sp_pool_resize(sp_pool *pool, uint32_t workers);

/**
 * Around what may block a task for long: a read, a lock, another program. Another worker
 * stands in meanwhile, so that as many work as the pool has; it is started if need be (some
 * 50 microseconds, once) and goes a second after it is not needed any more. Beyond
 * sp_pool_options.max_blocked, or when the system refuses, none does. The two calls may be
 * nested. Outside of workers they do nothing.
 *
 * sp_task_wait() and sp_group_wait() do this by themselves, when a worker sleeps in them.
 */
void sp_blocking_begin(void);
void sp_blocking_end(void);

/** True in a worker of `pool`; with NULL, in a worker of any pool. */
int sp_on_worker(const sp_pool *pool);

/** Counters since the pool was made; each is monotonic, the set is not an
 * atomic snapshot. */
typedef struct sp_pool_stats {
    uint64_t submitted; /* tasks accepted */
    uint64_t executed;  /* tasks run by workers; not those that the one who
                           waited for them ran himself */
    uint64_t stolen;    /* of these, taken from another worker's deque */
    uint64_t injected;  /* of these, that came through the injector */
    uint64_t parked;    /* times a worker went to sleep */
    uint64_t woken;     /* times a worker was woken by a submitter or worker */
    uint64_t loops;     /* times a worker joined a parallel loop */
    uint64_t frames;    /* forked frames that another worker than the one that
                           forked them has run */
} sp_pool_stats;

/** Write the counters to `*ret_stats`, at any time before sp_pool_free(). */
void sp_pool_get_stats(const sp_pool *pool, sp_pool_stats *ret_stats);

/**
 * CPUs that this process may use at once: the smaller of its affinity mask and
 * its cgroup's CPU quota (v1 and v2, all ancestors, rounded up); at least 1.
 * Read anew at each call (some 50 microseconds).
 */
uint32_t sp_usable_cpus(void);

/** The cgroup CPU quota in CPUs, rounded up; 0 when there is none. */
uint32_t sp_cpu_quota(void);

/* ------------------------------------------------------------------ tasks */

typedef struct sp_task sp_task;
typedef struct sp_completion sp_completion;
typedef struct sp_group sp_group;
typedef struct sp_token sp_token;

/** What a task does. Runs once, in a worker (or in the thread that waits for
 * it), and must return. */
typedef void (*sp_task_fn)(sp_task *task);

/** Frees a task. Called once, by whoever drops the last reference, in any
 * thread; must not block. */
typedef void (*sp_release_fn)(sp_task *task);

/* A task's place in a completion queue. Private. */
typedef struct sp_ticket {
    struct sp_ticket *next;
    uintptr_t queue; /* and which ticket this is, in the lowest bit */
} sp_ticket;

#define SP_TICKETS 2

/**
 * The unit of scheduling. Embed it as the first member of a struct of your own
 * that holds arguments and result. All fields are private.
 *
 * A task is pending, running, then done; or pending, then cancelled (for a moment it
 * may be seen as running before it is cancelled, without having begun). Whoever
 * makes the change with one atomic operation on `state` owns its consequences.
 * `state` also counts the references: the queue holds one from sp_submit()
 * until the task was run or thrown away, the owner holds one from
 * sp_task_init() until sp_task_unref(), an armed ticket holds one until its
 * queue's consumer drops it. The last one calls `release`.
 */
struct sp_task {
    sp_task *next;
    sp_task_fn run;
    sp_release_fn release;
    sp_group *group;
    sp_token *token;
    SP__ATOMIC(uint32_t) state;
    int32_t priority; /* enum sp_priority */
    sp_ticket tickets[SP_TICKETS];
};

/**
 * Prepare `task`. The caller has its one reference.
 *
 * `release` may be NULL when the caller knows by other means that nobody uses
 * the task any more. For a task on the caller's stack that holds once
 * sp_task_wait() returned SP_OK, provided that it was run and has no ticket.
 * A task that was cancelled, or run by the waiter, may still lie in a queue.
 */
void sp_task_init(sp_task *task, sp_task_fn run, sp_release_fn release);

typedef enum sp_priority {
    SP_PRIORITY_LOW = -1,
    SP_PRIORITY_NORMAL = 0, /* what sp_task_init() gives */
    SP_PRIORITY_HIGH = 1
} sp_priority;

/**
 * Say how urgent the task is. Before it is submitted, by the thread that submits it.
 *
 * A worker takes a high task before anything else, normal tasks that its own tasks have
 * submitted included; and a low one when there is nothing else to do. Within a priority,
 * tasks from outside are served first in, first out. A running task is never
 * interrupted. Nothing starves: every 61st task that a worker takes is, in turn, a low
 * one, the oldest normal one from outside, another worker's, and its own oldest one.
 *
 * High and low tasks are taken one at a time, from one place, so they cost more than
 * normal ones: do not make all tasks of a fine-grained program high.
 */
void sp_task_set_priority(sp_task *task, sp_priority priority);

/**
 * Hand in one task, once. Never blocks and never runs the task itself.
 *
 * From a worker of `pool` a task of normal priority goes to the bottom of that
 * worker's deque; all others go to the injector, see sp_task_set_priority(). At most
 * one worker is woken.
 * @return SP_OK, and the pool has a reference until the task has ended; or
 *         SP_ECLOSED, and nothing happened.
 */
sp_status sp_submit(sp_pool *pool, sp_task *task);

/**
 * Hand in `n` tasks at once: one queue operation, one wake-up (a woken worker
 * wakes the next while work is left). All are accepted or none.
 */
sp_status sp_submit_many(sp_pool *pool, sp_task *const *tasks, size_t n);

typedef enum sp_phase {
    SP_PENDING = 0,
    SP_RUNNING = 1,
    SP_DONE = 2,
    SP_CANCELLED = 3
} sp_phase;

/** The task's phase. Once it is SP_DONE or SP_CANCELLED, all that the task
 * wrote is visible to the caller. */
sp_phase sp_task_phase(const sp_task *task);

/**
 * Wait until the task has ended.
 *
 * A worker that waits for a pending task runs it itself, so tasks may wait for
 * tasks they submitted, to any depth that the stack allows; it never runs any
 * other task meanwhile. Any other thread spins for `spin_ns`, then sleeps.
 * @return SP_OK when done; SP_ECANCELLED when it was cancelled; SP_ETIMEDOUT;
 *         SP_EINTR when a signal handler ran (call again to go on waiting).
 */
sp_status sp_task_wait(sp_task *task, int64_t timeout_ns, int64_t spin_ns);

/**
 * Run the task in the calling thread, if nobody has started it.
 * @return SP_OK: it was run and is done. SP_EDONE: somebody else has it.
 *         SP_ECANCELLED: its token is cancelled, and now it is, too.
 */
sp_status sp_task_run(sp_task *task);

/**
 * Cancel the task, if nobody has started it: waiters wake up, tickets are
 * delivered, the queue entry becomes empty.
 * @return SP_OK: it is cancelled and will never run. SP_EBUSY: it is running;
 *         it is asked to stop, see sp_cancelled(). SP_EDONE: it has ended.
 */
sp_status sp_task_cancel(sp_task *task);

/** One more reference, for a caller who has one. */
void sp_task_ref(sp_task *task);

/** Drop one reference; the last one releases the task. */
void sp_task_unref(sp_task *task);

/**
 * Inside a task or a loop: has somebody asked for it to stop, by sp_task_cancel() or
 * with its token? Cheap (three loads); ask as often as you like.
 */
int sp_cancelled(void);

/**
 * Inside a kernel: say why it fails. `return sp_fail(3, "row 7 is not finite");`
 * The text is copied, cut to 255 bytes, and kept for this thread until the
 * next sp_fail() or sp_take_failure().
 * @return `code`, which must not be 0.
 */
int sp_fail(int code, const char *message);

/** The text of this thread's last sp_fail(), or "" when there was none since
 * the last call. Valid until the next sp_fail() in this thread. */
const char *sp_take_failure(void);

/* ----------------------------------------------------------------- tokens */

/**
 * Asks many tasks to stop at once. Tokens form trees: a cancelled token cancels all
 * that are below it. Lives in memory of the caller's, longer than the tasks that have
 * it and the tokens below it. All fields are private.
 */
struct sp_token {
    SP__ATOMIC(int) is_cancelled;
    uint32_t reserved;
    sp_token *parent; /* the rest under a lock */
    sp_token *child;
    sp_token *before; /* of those with the same parent */
    sp_token *after;
};

/** Make a token; below `parent`, unless that is NULL. If `parent` is cancelled, it is,
 * too. */
void sp_token_init(sp_token *token, sp_token *parent);

/** Before the token's memory goes: take it out of its tree. No token is below it, and
 * no task that has not ended has it. Needless for a token without a parent. */
void sp_token_end(sp_token *token);

/**
 * Cancel the token and all below it, for good.
 *
 * Running tasks that have it see that in sp_cancelled(); their loops begin no new piece
 * and return SP_ECANCELLED. Queued ones are cancelled, instead of run, when their turn
 * comes: waiters wake up, tickets are delivered, groups count them out. That needs no
 * memory, and cannot fail. Nothing that has begun is interrupted.
 */
void sp_token_cancel(sp_token *token);

/** True once it is cancelled. */
int sp_token_is_cancelled(const sp_token *token);

/**
 * Where a kernel that knows nothing of this library can read whether to stop: 0 or 1,
 * an int that others write (read it through a pointer to volatile, or atomically).
 * Valid as long as the token.
 */
const int *sp_token_address(const sp_token *token);

/** Give the task a token; NULL takes it back. Before it is submitted, by the thread that
 * submits it. */
void sp_task_set_token(sp_task *task, sp_token *token);

/** The token of the task that this thread runs, or loops for; NULL without. To make a
 * token below it for tasks that are parts of that one. */
sp_token *sp_current_token(void);

/* --------------------------------------------------------- detached tasks */

/** What a detached task does, with its own copy of the argument. */
typedef void (*sp_spawn_fn)(void *arg);

/** Arguments of up to so many bytes need no allocation. */
#define SP_SPAWN_BYTES 80

/**
 * Call run(copy of `arg`) in a worker, some time. The `size` bytes at `arg` are copied,
 * aligned to 16, and gone when `run` returns; size 0 copies nothing. There is no
 * handle, and nothing to free: one can wait for such tasks by their `group`, which may
 * be NULL. If that has a token, they have it, too. A worker may count several of a group
 * out at once, so none of them may wait for the count itself. Their memory comes from the
 * pool and is kept by it for the next ones.
 * @return SP_OK; SP_ECLOSED or SP_ENOMEM, and nothing happened. With SP_ABANDON, a task
 *         that has not begun is dropped, and its group told that it has ended.
 */
sp_status sp_spawn(sp_pool *pool, sp_group *group, sp_spawn_fn run, const void *arg,
                   size_t size);

/* ---------------------------------------------------------- fork and join */

/* Divide and conquer. A function forks a call, which another worker may make
 * meanwhile, does something else, and joins it: by then somebody else has made
 * the call, or it is made here. A fork and its join cost some nanoseconds, no
 * allocation and, unless somebody steals, no atomic operation.
 *
 *     struct fib { sp_frame frame; long n, result; };
 *
 *     static int fib(sp_worker *worker, sp_frame *frame)
 *     {   struct fib *self = (struct fib *)frame;
 *         self->result = self->n;
 *         if (self->n < 2) return 0;
 *         struct fib one = {.n = self->n - 1}, two = {.n = self->n - 2};
 *         sp_fork(worker, &one.frame, fib);
 *         fib(worker, &two.frame);
 *         sp_join(worker, &one.frame);
 *         self->result = one.result + two.result;
 *         return 0;
 *     }
 *     ... sp_run(pool, &root.frame, fib);
 *
 * What a function forks it joins before it returns, the last forked first, and on
 * failure, too; the frame stays where it is until then. Pass on the `worker` that your
 * function was called with. While it waits for a stolen frame, a thread runs only frames
 * forked by that one, or by what it called: so a function may hold a lock while it
 * joins, if what it forked does not take it. A stack is no deeper than without forks.
 */
typedef struct sp_worker sp_worker;
typedef struct sp_frame sp_frame;

/** A call that can be forked: 0, or an error code, see sp_fail(). */
typedef int (*sp_frame_fn)(sp_worker *worker, sp_frame *frame);
/** A forked call. Embed it as the first member of a struct of your own that holds
 * arguments and results; needs no preparation. */
struct sp_frame {
    sp_frame_fn run; /* private */
};

/** The thread's forked frames. All fields are private. */
struct sp_worker {
    sp_frame **forked;          /* those not joined, oldest first */
    uint32_t n;                 /* how many these are */
    uint32_t split;             /* of which so many were shown to thieves */
    SP__ATOMIC(uint32_t) limit; /* from so many on a fork does more; 0: asked to */
    uint32_t reserved;
};

/**
 * Call run(worker, frame) in a worker of `pool` and return what it returns, with
 * the words of its sp_fail(); the calling thread sleeps meanwhile. In a worker, of
 * whatever pool, it is a plain call. With pool == NULL, too, and what is forked are
 * plain calls at their joins.
 * @return its code; SP_ECLOSED; or SP_ECANCELLED when the pool was shut down with
 *         SP_ABANDON before it began.
 */
int sp_run(sp_pool *pool, sp_frame *frame, sp_frame_fn run);

/* The rare part of sp_fork() and sp_join(), and a relaxed load. Private. */
void sp__fork_slowly(sp_worker *worker, sp_frame *frame);
int sp__join_slowly(sp_worker *worker, sp_frame *frame);
#define SP__LIMIT(worker) \
    __atomic_load_n((const uint32_t *)&(worker)->limit, __ATOMIC_RELAXED)

/**
 * Let run(worker, frame) be called by whoever has time, at the latest by
 * sp_join(). At most 16384 of a thread's frames can be stolen at a time; more may
 * be forked.
 */
static inline void sp_fork(sp_worker *worker, sp_frame *frame, sp_frame_fn run)
{
    uint32_t n = worker->n++;
    frame->run = run;
    if (__builtin_expect(n < SP__LIMIT(worker), 1))
        worker->forked[n] = frame;
    else
        sp__fork_slowly(worker, frame);
}

/**
 * Have the frame done that was forked last: call it here, unless it was stolen, and
 * then wait for it. What it wrote is visible then.
 *
 * @return what it returned, with the words of its sp_fail().
 */
static inline int sp_join(sp_worker *worker, sp_frame *frame)
{
    if (__builtin_expect(worker->n > worker->split && SP__LIMIT(worker) != 0, 1)) {
        worker->n--;
        return frame->run(worker, frame);
    }
    return sp__join_slowly(worker, frame);
}

/* ----------------------------------------------------------------- groups */

/**
 * Counts the unfinished tasks that were given to it, so that one can wait for
 * all. Lives in memory of the caller's, longer than its tasks.
 */
struct sp_group {
    SP__ATOMIC(uint32_t) unfinished; /* top bits: somebody waits */
    uint32_t reserved;
    sp_token *token;
};

/** Make an empty group without a token. It owns nothing, and needs no end. */
void sp_group_init(sp_group *group);

/** Tasks that are added after this have `token`, and so can all be cancelled at once:
 * sp_group_wait() then returns when those that run have noticed. NULL: they keep what
 * sp_task_set_token() gave them. */
void sp_group_set_token(sp_group *group, sp_token *token);

/** Count `task` in. Before it is submitted, by the thread that submits it;
 * if sp_submit() fails, the task is counted out again. */
void sp_group_add(sp_group *group, sp_task *task);

/** Unfinished tasks, at this moment. */
uint32_t sp_group_unfinished(const sp_group *group);

/**
 * Wait until no task is unfinished. Returns as sp_task_wait() does.
 *
 * A worker that waits runs tasks of the group, out of its own deque and the injector, and
 * never any other: its stack is as deep as the tree of those who wait. It may hold a lock,
 * if who else takes that does so after sp_blocking_begin(). When there are none, it looks
 * for a while, then sleeps, and another worker stands in. Where none does, nothing hangs
 * as long as tasks wait only for groups that they made, with what they, and what these,
 * spawned in the same pool. With a timeout of 0 nothing is run. A task must not wait for
 * a group that counts it.
 */
sp_status sp_group_wait(sp_group *group, int64_t timeout_ns);

/* ------------------------------------------------------ completion queues */

/** Called when a completion queue that was empty gets its first task: in the
 * thread that finished the task, which must not be kept waiting. */
typedef void (*sp_doorbell_fn)(void *user);

/**
 * Make a queue for finished tasks. Any thread puts tasks in (wait-free but for
 * one compare-exchange), one thread at a time takes them out.
 *
 * `ring` may be NULL: then nobody is called, and the consumer looks in.
 * @return SP_OK or SP_ENOMEM.
 */
sp_status sp_completion_create(sp_completion **ret_queue, sp_doorbell_fn ring,
                               void *user);

/**
 * The same with a doorbell for poll(), select() or epoll: a file descriptor that is
 * readable while there is something to take. sp_completion_drain() makes it unreadable;
 * do nothing else with it, and do not close it: sp_completion_free() does. On Linux it is
 * an eventfd, elsewhere the end of a pipe.
 *
 *          int fd;
 *          sp_completion *queue;
 *          sp_completion_create_fd(&queue, &fd);
 *          ...
 *          struct pollfd event = {.fd = fd, .events = POLLIN};
 *          while (poll(&event, 1, -1) > 0)
 *              take_all(sp_completion_drain(queue));
 *
 * @return SP_OK; SP_ENOMEM; SP_EFILES when no file descriptor is left.
 */
sp_status sp_completion_create_fd(sp_completion **ret_queue, int *ret_fd);

/**
 * Free an empty queue with which no task is armed any more. The doorbell may
 * still be ringing for a task that was drained: what it touches must live
 * until the task's group has counted it out. (A file descriptor does.)
 */
void sp_completion_free(sp_completion *queue);

/**
 * Ask for the task to be put into `queue` when it ends. A task has SP_TICKETS
 * tickets, so it can report to two queues; `ticket` says which one to use.
 * Calls for one ticket of one task must not run at the same time.
 *
 * @return SP_OK; SP_EDONE when the task has ended already, and it will not be
 *         put in; SP_EBUSY when the ticket is in use.
 */
sp_status sp_task_notify(sp_task *task, unsigned ticket, sp_completion *queue);

/**
 * Take back sp_task_notify().
 * @return SP_OK; or SP_EDONE when the task has ended: it is in the queue, or
 *         is being put there.
 */
sp_status sp_task_unnotify(sp_task *task, unsigned ticket);

/** True when there is nothing to take. A hint: it may be old news. */
int sp_completion_is_empty(const sp_completion *queue);

/**
 * The consumer: sleep until there is something to take.
 * @return SP_OK, SP_ETIMEDOUT or SP_EINTR.
 */
sp_status sp_completion_wait(sp_completion *queue, int64_t timeout_ns);

/**
 * The consumer: take all that is there, oldest first; NULL when there is nothing. Walk it
 * with sp_ticket_next() *before* dropping the reference of each ticket's task
 * with sp_task_unref(). A task that is put in after this call rings again.
 */
sp_ticket *sp_completion_drain(sp_completion *queue);

/** The one that came after it, or NULL. The ticket lives as long as its task. */
static inline sp_ticket *sp_ticket_next(const sp_ticket *ticket)
{
    return ticket->next;
}

/** The task that a ticket belongs to: the consumer has a reference to it. */
static inline sp_task *sp_ticket_task(const sp_ticket *ticket)
{
    const sp_ticket *first = ticket - (ticket->queue & 1);
    return (sp_task *)(uintptr_t)((const char *)first - offsetof(sp_task, tickets));
}

/* ------------------------------------------------------------------ loops */

/** One piece of a loop: the indices begin ... end-1. Returns 0 to go on, any
 * other value to stop the loop (see sp_fail()). */
typedef int (*sp_range_fn)(intptr_t begin, intptr_t end, void *user);

/** One piece of a reduction. Adds to `acc`, which starts as a copy of the
 * neutral element. */
typedef int (*sp_reduce_fn)(intptr_t begin, intptr_t end, void *acc, void *user);

/** Combines two results: into = into + from. `from` stands to the right of
 * `into` in the range, so the operation need not be commutative. */
typedef void (*sp_combine_fn)(void *into, const void *from, void *user);

/**
 * Call `body` on pieces that cover begin ... end-1 exactly once.
 *
 * The caller works too, and returns when every piece has been done; a worker
 * that has not joined by then is not waited for. As many threads take part as the
 * pool has workers, the caller included, but two at least. The caller does the
 * first piece alone and times it: if what remains is not worth a wake-up, nobody
 * is woken. `grain` is the least number of indices of a piece (the last one may
 * be shorter); 0 lets the library choose. Pieces get longer or shorter until one
 * takes some microseconds.
 *
 * The body may submit, wait and loop on the same pool, to any depth; no thread
 * is ever created. With pool == NULL, or when nobody has time, the caller does
 * it all.
 *
 * @return 0; or the code of the piece that failed: of several, the one with the
 *         lowest indices, as in a plain loop: what comes before it is done, what
 *         comes behind it is not begun. Its words are then this thread's, as if it
 *         had called sp_fail() here. Or SP_ECANCELLED when the surrounding task was
 *         asked to stop.
 */
int sp_parallel_for(sp_pool *pool, intptr_t begin, intptr_t end, intptr_t grain,
                    sp_range_fn body, void *user);

/** How a loop is cut into pieces. */
typedef enum sp_schedule {
    SP_AUTO = 0, /* by time, as described above */
    SP_STATIC,   /* equal parts for all threads, cut at the same places each time, not
                    by `grain`. For short loops: nobody helps where a CPU is slower */
    SP_DYNAMIC   /* pieces of exactly `grain` indices, 0 = 1, but for the last */
} sp_schedule;

/** Zero-filled means: all defaults. */
typedef struct sp_loop_options {
    intptr_t grain;
    sp_schedule schedule;
    uint32_t reserved[5]; /* zero */
} sp_loop_options;

/**
 * sp_parallel_for(), cut as one says. SP_STATIC and SP_DYNAMIC time nothing, and wake a
 * worker at once: for loops that are known to be long. */
int sp_parallel_for_with(sp_pool *pool, intptr_t begin, intptr_t end,
                         const sp_loop_options *options, sp_range_fn body, void *user);

/** One tile of a loop over rows and columns. As sp_range_fn otherwise. */
typedef int (*sp_range_2d_fn)(intptr_t row_begin, intptr_t row_end,
                              intptr_t column_begin, intptr_t column_end, void *user);

/**
 * Call `body` on tiles that cover `rows` x `columns` exactly once, each of at most
 * `tile_rows` x `tile_columns`; 0 lets the library choose. Otherwise as
 * sp_parallel_for(), in the order of rows, and from left to right.
 */
int sp_parallel_for_2d(sp_pool *pool, intptr_t rows, intptr_t columns,
                       intptr_t tile_rows, intptr_t tile_columns, sp_range_2d_fn body,
                       void *user);

/**
 * Reduce begin ... end-1 into `result`.
 *
 * `result` holds the neutral element on entry (`size` bytes, copied bytewise
 * for every piece) and the result on return; it is undefined after an error.
 * The range is cut at places that depend on the range and on `grain` alone and
 * the pieces are combined from left to right: the result is the same, bit for
 * bit, for any number of threads. At most SP_REDUCE_PIECES pieces are made.
 * @return as sp_parallel_for(); or SP_ENOMEM.
 */
int sp_parallel_reduce(sp_pool *pool, intptr_t begin, intptr_t end, intptr_t grain,
                       sp_reduce_fn body, sp_combine_fn combine, void *result,
                       size_t size, void *user);

#define SP_REDUCE_PIECES 1024

#ifdef SP_BUILD_SHARED
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* STEALPOOL_H */
