/* sched/fork.h: pools in the child of a fork. */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/memory.h"
#include "check.h"
#include "sched/pool.h"
#include "sched/token.h"
#include "stealpool.h"
#include "threads.h"

/* GCC's ThreadSanitizer does not support threads in the child; clang's does. */
#if defined __SANITIZE_THREAD__ && !defined __clang__
#define CAN_FORK 0
#else
#define CAN_FORK 1
#endif

/* AddressSanitizer's allocator does not survive a fork while another thread holds one
 * of its locks (gcc 12: the child inherits the lock, taken). So there nobody but the
 * forking thread may be in it: threads have begun, and tests allocate under a lock. */
#ifdef __SANITIZE_ADDRESS__
#define FORKS_IN_ALLOCATOR 0
#else
#define FORKS_IN_ALLOCATOR 1
#endif

static struct sp__lock allocator;

static void lock_allocator(void)
{
    if (!FORKS_IN_ALLOCATOR)
        sp__lock_take(&allocator);
}

static void unlock_allocator(void)
{
    if (!FORKS_IN_ALLOCATOR)
        sp__lock_give(&allocator);
}

#ifdef CAN_WRAP
static _Atomic(uint32_t) refuses_threads;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg)
{
    if (load_relaxed(&refuses_threads))
        return EPERM;
    return __real_pthread_create(thread, attr, run, arg);
}
#endif

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

struct meeting {
    sp_task task;
    _Atomic(uint32_t) *begun;
    uint32_t expected;
};

static void attend(sp_task *task)
{
    struct meeting *meeting = (struct meeting *)task;
    meet(meeting->begun, meeting->expected);
}

/* Returns when each worker of `pool` has begun, and none is in the allocator. */
static void leave_allocator(sp_pool *pool)
{
    struct meeting meetings[8];
    _Atomic(uint32_t) begun = 0;
    sp_group group;
    if (FORKS_IN_ALLOCATOR || !pool)
        return;
    uint32_t workers = sp_pool_workers(pool);
    CHECK(workers <= 8);
    sp_group_init(&group);
    for (uint32_t i = 0; i < workers; i++) {
        meetings[i] = (struct meeting){.begun = &begun, .expected = workers};
        sp_task_init(&meetings[i].task, attend, NULL);
        sp_group_add(&group, &meetings[i].task);
        CHECK_EQ(sp_submit(pool, &meetings[i].task), SP_OK);
    }
    wait_for_group(&group);
}

/* By address: gcov makes a direct call forget what fork handlers count in the child. */
static pid_t (*volatile fork_by_address)(void) = fork;

/* A child that fails a check aborts. `open`, if any, is the pool that has threads. */
static void in_child(sp_pool *open, void (*run)(void *), void *arg)
{
    fflush(stdout);
    leave_allocator(open);
    lock_allocator();
    pid_t child = fork_by_address();
    unlock_allocator();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60);
        run(arg);
        leave_child(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

struct job {
    sp_task task;
    _Atomic(uint32_t) *begun;
    _Atomic(uint32_t) *may_end;
    unsigned runs;
    unsigned releases;
};

static void run(sp_task *task)
{
    ((struct job *)task)->runs++;
}

static void release(sp_task *task)
{
    ((struct job *)task)->releases++;
}

static void block(sp_task *task)
{
    struct job *job = (struct job *)task;
    fetch_add_seq_cst(job->begun, 1u);
    await(job->may_end, 1);
}

static int add_indices(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        *(int64_t *)acc += i;
    return 0;
}

static void add(void *into, const void *from, void *user)
{
    (void)user;
    *(int64_t *)into += *(const int64_t *)from;
}

static void use(sp_pool *pool)
{
    enum { N = 100 };
    struct job jobs[N];
    sp_group group;
    int64_t sum = 0;
    sp_group_init(&group);
    for (int i = 0; i < N; i++) {
        jobs[i] = (struct job){.runs = 0};
        sp_task_init(&jobs[i].task, run, release);
        sp_task_set_priority(&jobs[i].task, SP_PRIORITY_HIGH - i % 3);
        sp_group_add(&group, &jobs[i].task);
        CHECK_EQ(sp_submit(pool, &jobs[i].task), SP_OK);
    }
    wait_for_group(&group);
    for (int i = 0; i < N; i++)
        CHECK_EQ(jobs[i].runs, 1);
    CHECK_EQ(sp_parallel_reduce(pool, 0, 100000, 0, add_indices, add, &sum, sizeof sum,
                                NULL),
             0);
    CHECK_EQ(sum, (int64_t)100000 * 99999 / 2);
}

static void use_and_free(void *pool)
{
    use(pool);
    CHECK(sp_pool_workers(pool) >= 1);
    sp_pool_free(pool);
}

static void free_only(void *pool)
{
    sp_pool_free(pool);
}

static void the_child_can_use_the_pool_or_free_it(void)
{
    sp_pool *pool = new_pool(2);
    in_child(pool, use_and_free, pool);
    use(pool);
    in_child(pool, use_and_free, pool);
    in_child(pool, free_only, pool);
    use_and_free(pool);
}

static void use_first(unsigned index, void *pool)
{
    (void)index;
    use(pool);
}

static void use_at_once_and_free(void *pool)
{
    run_together(3, use_first, pool);
    sp_pool_free(pool);
}

static void several_threads_of_the_child_may_use_it_first(void)
{
    sp_pool *pool = new_pool(2);
    for (long round = check_rounds(20); round > 0; round--)
        in_child(pool, use_at_once_and_free, pool);
    sp_pool_free(pool);
}

#ifdef CAN_WRAP
static void find_it_closed(void *pool)
{
    struct job job = {.runs = 0};
    int64_t sum = 0;
    store_relaxed(&refuses_threads, 1u);
    sp_task_init(&job.task, run, NULL);
    CHECK_EQ(sp_submit(pool, &job.task), SP_ECLOSED);
    CHECK_EQ(
        sp_parallel_reduce(pool, 0, 1000, 0, add_indices, add, &sum, sizeof sum, NULL),
        0);
    CHECK_EQ(sum, 499500);
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    sp_pool_free(pool);
}

static void a_child_that_gets_no_thread_has_a_closed_pool(void)
{
    sp_pool *pool = new_pool(2);
    in_child(pool, find_it_closed, pool);
    use_and_free(pool);
}
#endif

static void use_and_fork(void *pool)
{
    use(pool);
    in_child(pool, use_and_free, pool);
    use_and_free(pool);
}

static void a_grandchild_can_use_it_too(void)
{
    sp_pool *pool = new_pool(2);
    in_child(pool, use_and_fork, pool);
    sp_pool_free(pool);
}

static void resize_and_free(void *pool)
{
    CHECK_EQ(sp_pool_resize(pool, 3), SP_OK);
    CHECK_EQ(sp_pool_workers(pool), 3);
    use_and_free(pool);
}

static void its_size_may_change_in_the_child(void)
{
    sp_pool *pool = new_pool(1);
    in_child(pool, resize_and_free, pool);
    CHECK_EQ(sp_pool_workers(pool), 1);
    use_and_free(pool);
}

static void submit_to_closed(void *pool)
{
    struct job job = {.runs = 0};
    sp_task_init(&job.task, run, NULL);
    CHECK_EQ(sp_submit(pool, &job.task), SP_ECLOSED);
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    sp_pool_free(pool);
}

static void a_closed_pool_is_closed_in_the_child(void)
{
    /* Threads that end are in the allocator. */
    for (int waits = !FORKS_IN_ALLOCATOR; waits < 2; waits++) {
        sp_pool *pool = new_pool(2);
        sp_pool_close(pool, SP_DRAIN);
        if (waits)
            CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
        in_child(NULL, submit_to_closed, pool);
        sp_pool_free(pool);
    }
}

/* ------------------------------------------------------- what was queued */

#define QUEUED 20

struct jam {
    sp_pool *pool;
    _Atomic(uint32_t) begun;
    _Atomic(uint32_t) may_end;
    struct job gate;
    struct job queued[QUEUED];
};

static void check_cancelled(void *arg)
{
    struct jam *jam = arg;
    use(jam->pool);
    for (int i = 0; i < QUEUED; i++) {
        CHECK_EQ(wait_for_task(&jam->queued[i].task), SP_ECANCELLED, "%d", i);
        CHECK_EQ(jam->queued[i].runs, 0);
        sp_task_unref(&jam->queued[i].task);
        CHECK_EQ(jam->queued[i].releases, 1);
    }
    sp_pool_free(jam->pool);
}

static void what_was_queued_is_cancelled_in_the_child_and_runs_in_the_parent(void)
{
    static struct jam jam;
    jam = (struct jam){.pool = new_pool(1)};
    jam.gate = (struct job){.begun = &jam.begun, .may_end = &jam.may_end};
    sp_task_init(&jam.gate.task, block, NULL);
    CHECK_EQ(sp_submit(jam.pool, &jam.gate.task), SP_OK);
    await(&jam.begun, 1);
    for (int i = 0; i < QUEUED; i++) {
        sp_task_init(&jam.queued[i].task, run, release);
        sp_task_set_priority(&jam.queued[i].task, SP_PRIORITY_HIGH - i % 3);
        CHECK_EQ(sp_submit(jam.pool, &jam.queued[i].task), SP_OK);
    }
    in_child(NULL, check_cancelled, &jam);
    store_seq_cst(&jam.may_end, 1u);
    CHECK_EQ(sp_pool_shutdown(jam.pool, SP_DRAIN), SP_OK);
    for (int i = 0; i < QUEUED; i++)
        CHECK_EQ(jam.queued[i].runs, 1);
    sp_pool_free(jam.pool);
}

/* ------------------------------------------------------- during the fork itself */

/* Registered before the library's own, and so called after that: between the moment at
 * which it prepares for the fork, and the fork. */
static struct {
    sp_pool *pool; /* NULL: not now */
    uint32_t runs;
} meanwhile;

static void work_before_fork(void)
{
    sp_pool *pool = meanwhile.pool;
    if (!pool)
        return;
    meanwhile.pool = NULL;
    for (int i = 0; i < 10; i++) {
        struct job job = {.runs = 0};
        int64_t sum = 0;
        sp_task_init(&job.task, run, NULL);
        CHECK_EQ(sp_submit(pool, &job.task), SP_OK);
        while (sp_task_phase(&job.task) != SP_DONE)
            sp__os_yield(); /* nobody but a worker runs it */
        meanwhile.runs += job.runs;
        CHECK_EQ(sp_parallel_reduce(pool, 0, 1000, 0, add_indices, add, &sum,
                                    sizeof sum, NULL),
                 0);
        CHECK_EQ(sum, 499500);
    }
    leave_allocator(pool);
}

static void workers_work_on_while_the_process_forks(void)
{
    sp_pool *pool = new_pool(2);
    use(pool);
    meanwhile.pool = pool;
    meanwhile.runs = 0;
    in_child(pool, use_and_free, pool);
    CHECK_EQ(meanwhile.runs, 10);
    use_and_free(pool);
}

/* --------------------------------------------------------------- under load */

struct load {
    sp_pool *pool;
    _Atomic(uint32_t) is_over;
    _Atomic(uint32_t) submitted;
    _Atomic(uint32_t) runs;
    sp_token token;
    uint32_t forks;
};

struct item {
    sp_task task;
    struct load *load;
};

static void count_run(sp_task *task)
{
    fetch_add_seq_cst(&((struct item *)task)->load->runs, 1u);
}

static void free_item(sp_task *task)
{
    lock_allocator();
    sp__free(task);
    unlock_allocator();
}

static int spin_a_little(intptr_t begin, intptr_t end, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        sp__os_pause();
    return 0;
}

static void submit_until_over(struct load *load)
{
    while (!load_seq_cst(&load->is_over)) {
        /* Each child has to cancel what is queued. */
        while ((int32_t)(load_seq_cst(&load->submitted) - load_seq_cst(&load->runs)) >
               50)
            sp__os_yield();
        sp_token token;
        sp_token_init(&token, &load->token);
        for (int i = 0; i < 10; i++) {
            lock_allocator();
            struct item *item = sp__alloc(sizeof *item);
            unlock_allocator();
            item->load = load;
            sp_task_init(&item->task, count_run, free_item);
            CHECK_EQ(sp_submit(load->pool, &item->task), SP_OK);
            sp_task_unref(&item->task);
        }
        fetch_add_seq_cst(&load->submitted, 10u);
        CHECK_EQ(sp_parallel_for(load->pool, 0, 1000, 0, spin_a_little, NULL), 0);
        sp_token_end(&token);
    }
}

/* 0 forks; the others keep the pool busy. */
static void fork_or_load(unsigned index, void *arg)
{
    struct load *load = arg;
    if (index > 0) {
        submit_until_over(load);
        return;
    }
    for (uint32_t i = 0; i < load->forks; i++)
        in_child(NULL, i % 2 ? use_and_free : free_only, load->pool);
    store_seq_cst(&load->is_over, 1u);
}

static void a_thousand_forks_under_load_harm_nobody(void)
{
    struct load load = {.pool = new_pool(3), .forks = (uint32_t)check_rounds(1000)};
    leave_allocator(load.pool);
    sp_token_init(&load.token, NULL);
#if defined(__SANITIZE_ADDRESS__) || defined(SP_CHAOS)
    load.forks /= 10; /* copying the shadow, and yielding, takes long */
#endif
    run_together(3, fork_or_load, &load);
    sp_pool_free(load.pool);
    CHECK_EQ(load_seq_cst(&load.runs), load_seq_cst(&load.submitted));
}

int main(void)
{
    if (!CAN_FORK)
        return CHECK_SKIPPED;
    CHECK_EQ(pthread_atfork(work_before_fork, NULL, NULL), 0); /* before any pool */
    RUN(the_child_can_use_the_pool_or_free_it);
    RUN(several_threads_of_the_child_may_use_it_first);
#ifdef CAN_WRAP
    RUN(a_child_that_gets_no_thread_has_a_closed_pool);
#endif
    RUN(a_grandchild_can_use_it_too);
    RUN(its_size_may_change_in_the_child);
    RUN(a_closed_pool_is_closed_in_the_child);
    RUN(what_was_queued_is_cancelled_in_the_child_and_runs_in_the_parent);
    RUN(workers_work_on_while_the_process_forks);
    RUN(a_thousand_forks_under_load_harm_nobody);
    return 0;
}
