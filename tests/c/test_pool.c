/* Pools, and what stealpool.h promises of them. */
#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "check.h"
#include "sched/pool.h"
#include "sched/task.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

struct job {
    sp_task task;
    sp_pool *pool;
    struct job *other;
    _Atomic(uint32_t) *begun;
    _Atomic(uint32_t) *may_end;
    sp_status status;
    unsigned runs;
    unsigned releases;
};

static void release(sp_task *task)
{
    ((struct job *)task)->releases++;
}

static void run(sp_task *task)
{
    ((struct job *)task)->runs++;
}

static void block(sp_task *task)
{
    struct job *job = (struct job *)task;
    job->runs++;
    fetch_add_seq_cst(job->begun, 1u);
    await(job->may_end, 1);
}

/* ----------------------------------------------------------------- creating */

static void a_pool_has_the_workers_it_was_asked_for(void)
{
    sp_pool *pool = NULL;
    for (uint32_t n = 1; n <= 5; n++) {
        pool = new_pool(n);
        CHECK_EQ(sp_pool_workers(pool), n);
        sp_pool_free(pool);
    }
    CHECK_EQ(sp_pool_create(&pool, NULL), SP_OK);
    CHECK_EQ(sp_pool_workers(pool), sp_usable_cpus());
    sp_pool_free(pool);
    sp_pool_free(NULL);
}

static void too_many_workers_are_refused(void)
{
    sp_pool *pool = NULL;
    sp_pool_options options = {.workers = SP_MAX_WORKERS + 1};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_EINVAL);
    CHECK(!pool);
}

static void nonsense_is_refused(void)
{
    static const sp_pool_options nonsense[] = {
        {.workers = 1, .pin = SP_PIN_SPREAD + 1},
        {.workers = 1, .policy = SP_POLICY_RR + 1, .priority = 1},
        {.workers = 1, .policy = SP_POLICY_FIFO},
        {.workers = 1, .policy = SP_POLICY_RR, .priority = 1000},
        {.workers = 1, .policy = SP_POLICY_FIFO, .priority = UINT32_MAX},
        {.workers = 1, .priority = 1},
    };
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        sp_pool *pool = NULL;
        CHECK_EQ(sp_pool_create(&pool, &nonsense[i]), SP_EINVAL, "%zu", i);
        CHECK(!pool);
    }
}

/* ------------------------------------------------------------ where and how */

struct place {
    sp_task task;
    _Atomic(uint32_t) *arrived;
    uint32_t n;
    cpu_set_t cpus;
    int policy;
    int priority;
    uint32_t index;
};

static void see_place(sp_task *task)
{
    struct place *place = (struct place *)task;
    struct sched_param param;
    CHECK_EQ(sched_getaffinity(0, sizeof place->cpus, &place->cpus), 0);
    CHECK_EQ(pthread_getschedparam(pthread_self(), &place->policy, &param), 0);
    place->priority = param.sched_priority;
    place->index = sp__worker_current()->index;
    meet(place->arrived, place->n);
}

static void each_pinned_worker_has_one_cpu_and_all_are_used(void)
{
    uint32_t n = sp__os_affinity_cpus();
    n = n > 8 ? 8 : n;
    for (uint32_t pin = SP_PIN_COMPACT; pin <= SP_PIN_SPREAD; pin++) {
        struct place places[8];
        _Atomic(uint32_t) arrived = 0;
        sp_pool *pool;
        sp_pool_options options = {.workers = n, .pin = pin};
        cpu_set_t used;
        CPU_ZERO(&used);
        CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
        for (uint32_t i = 0; i < n; i++) {
            places[i] = (struct place){.arrived = &arrived, .n = n};
            sp_task_init(&places[i].task, see_place, NULL);
            CHECK_EQ(sp_submit(pool, &places[i].task), SP_OK);
        }
        sp_pool_free(pool);
        for (uint32_t i = 0; i < n; i++) {
            CHECK_EQ(CPU_COUNT(&places[i].cpus), 1);
            CPU_OR(&used, &used, &places[i].cpus);
        }
        CHECK_EQ(CPU_COUNT(&used), n);
    }
}

static sp_status create_hurried(sp_policy policy, int *ret_policy, int *ret_priority)
{
    _Atomic(uint32_t) arrived = 0;
    struct place place = {.arrived = &arrived, .n = 1};
    sp_pool_options options = {.workers = 1, .policy = policy, .priority = 7};
    sp_pool *pool = NULL;
    sp_status status = sp_pool_create(&pool, &options);
    CHECK_EQ(pool != NULL, status == SP_OK);
    if (status != SP_OK)
        return status;
    sp_task_init(&place.task, see_place, NULL);
    CHECK_EQ(sp_submit(pool, &place.task), SP_OK);
    sp_pool_free(pool);
    *ret_policy = place.policy;
    *ret_priority = place.priority;
    return SP_OK;
}

static void a_real_time_policy_is_had_or_refused(void)
{
    for (int policy = SP_POLICY_FIFO; policy <= SP_POLICY_RR; policy++) {
        int had = -1, priority = -1;
        sp_status status = create_hurried((sp_policy)policy, &had, &priority);
        if (status == SP_OK) {
            CHECK_EQ(had, policy == SP_POLICY_FIFO ? SCHED_FIFO : SCHED_RR);
            CHECK_EQ(priority, 7);
        } else {
            CHECK_EQ(status, SP_EPERM);
        }
    }
}

static void without_permission_the_policy_is_refused(void)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        int had, priority;
        if (setrlimit(RLIMIT_RTPRIO, &none) != 0 || seteuid(65534) != 0)
            leave_child(0); /* not root: tested above */
        sp_status status = create_hurried(SP_POLICY_FIFO, &had, &priority);
        CHECK_EQ(seteuid(0), 0); /* who may write what was counted */
        leave_child(status == SP_EPERM ? 0 : 1);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Allocations of sp_pool_create(): pool, workers, beds, then one a thread. */
static void any_allocation_may_fail(void)
{
    sp_pool_options options = {.workers = 3};
    for (int n = 0; n < 8; n++) {
        for (int for_good = 0; for_good < 2; for_good++) {
            sp_pool *pool = NULL;
            if (!sp__alloc_fail_at(n, for_good))
                return;
            sp_status status = sp_pool_create(&pool, &options);
            sp__alloc_fail_at(-1, false);
            CHECK_EQ(status, n < 3 ? SP_ENOMEM : n == 3 ? SP_ETHREAD : SP_OK, "%d", n);
            CHECK_EQ(pool != NULL, status == SP_OK);
            if (pool)
                CHECK_EQ(sp_pool_workers(pool), n < 6 ? n - 3 : 3);
            sp_pool_free(pool);
        }
    }
}

#ifdef CAN_WRAP
/* The n-th thread from now is refused, and those after it when `for_good`. */
static struct {
    int countdown; /* negative: none */
    bool for_good;
    int error;
} refusal = {.countdown = -1};

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*begin)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*begin)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*begin)(void *), void *arg)
{
    if (refusal.countdown == 0) {
        refusal.countdown = refusal.for_good ? 0 : -1;
        return refusal.error;
    }
    if (refusal.countdown > 0)
        refusal.countdown--;
    return __real_pthread_create(thread, attr, begin, arg);
}

/* For a moment (EAGAIN, once) it is asked for again. */
static void any_thread_may_be_refused(void)
{
    static const int errors[] = {EAGAIN, EPERM};
    sp_pool_options options = {.workers = 3};
    for (int n = 0; n < 4; n++)
        for (int i = 0; i < 4; i++) {
            refusal.countdown = n;
            refusal.for_good = i / 2;
            refusal.error = errors[i % 2];
            bool is_short = n < 3 && (refusal.for_good || refusal.error == EPERM);
            sp_pool *pool = NULL;
            sp_status status = sp_pool_create(&pool, &options);
            refusal.countdown = -1;
            CHECK_EQ(status, is_short && n == 0 ? SP_ETHREAD : SP_OK, "%d, %d", n, i);
            if (pool) {
                CHECK_EQ(sp_pool_workers(pool), is_short ? n : 3, "%d, %d", n, i);
                CHECK_EQ(sp_pool_resize(pool, 3), SP_OK);
                CHECK_EQ(sp_pool_workers(pool), 3);
            }
            sp_pool_free(pool);
        }
}
#endif

/* Then, for each thread, a list of CPUs and their order. */
static void without_memory_a_worker_is_not_pinned_and_works(void)
{
    sp_pool_options options = {.workers = 2, .pin = SP_PIN_SPREAD};
    for (int n = 0; n < 12; n++) {
        for (int for_good = 0; for_good < 2; for_good++) {
            sp_pool *pool = NULL;
            if (!sp__alloc_fail_at(n, for_good))
                return;
            sp_status status = sp_pool_create(&pool, &options);
            sp__alloc_fail_at(-1, false);
            CHECK_EQ(pool != NULL, status == SP_OK, "%d", n);
            if (!pool) {
                CHECK_EQ(status, n < 3 ? SP_ENOMEM : SP_ETHREAD, "%d", n);
                continue;
            }
            struct job job = {.runs = 0};
            sp_task_init(&job.task, run, NULL);
            CHECK_EQ(sp_submit(pool, &job.task), SP_OK);
            sp_pool_free(pool);
            CHECK_EQ(job.runs, 1, "%d", n);
        }
    }
}

static void a_pool_with_fewer_threads_than_wanted_works(void)
{
    struct job jobs[50];
    sp_pool *pool;
    sp_pool_options options = {.workers = 70};
    if (!sp__alloc_fail_at(3 + 2, true))
        return;
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    sp__alloc_fail_at(-1, false);
    CHECK_EQ(sp_pool_workers(pool), 2);
    for (int i = 0; i < 50; i++) {
        jobs[i] = (struct job){.runs = 0};
        sp_task_init(&jobs[i].task, run, NULL);
        CHECK_EQ(sp_submit(pool, &jobs[i].task), SP_OK);
    }
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(jobs[i].runs, 1);
    sp_pool_free(pool);
}

/* --------------------------------------------------------------- submitting */

static void a_submitted_task_runs_and_is_released(void)
{
    sp_pool *pool = new_pool(2);
    struct job job = {.runs = 0};
    sp_task_init(&job.task, run, release);
    CHECK_EQ(sp_submit(pool, &job.task), SP_OK);
    CHECK_EQ(wait_for_task(&job.task), SP_OK);
    CHECK_EQ(sp_task_phase(&job.task), SP_DONE);
    CHECK_EQ(job.runs, 1);
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    CHECK_EQ(job.releases, 0);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
    sp_pool_free(pool);
}

/* As the binding does it: a batch is made first, then pushed. */
static void a_batch_is_queued_as_a_whole_or_not_at_all(void)
{
    enum { N = 10 };
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        sp_pool *pool = new_pool(2);
        struct job jobs[N];
        struct sp__batch batch = {.newest = NULL};
        for (int i = 0; i < N; i++) {
            jobs[i] = (struct job){.runs = 0};
            sp_task_init(&jobs[i].task, run, release);
            sp__task_enqueue(&jobs[i].task);
            sp__batch_add(&batch, &jobs[i].task);
        }
        if (is_closed)
            sp_pool_close(pool, SP_DRAIN);
        CHECK_EQ(sp__pool_push_batch(pool, &batch, N), !is_closed);
        sp_pool_free(pool);
        for (int i = 0; i < N; i++)
            CHECK_EQ(jobs[i].runs, !is_closed, "%d", i);
    }
}

static void no_tasks_at_all_are_accepted(void)
{
    sp_pool *pool = new_pool(1);
    CHECK_EQ(sp_submit_many(pool, NULL, 0), SP_OK);
    sp_pool_free(pool);
}

static void a_task_cancelled_in_the_queue_never_runs(void)
{
    _Atomic(uint32_t) begun = 0, may_end = 0;
    sp_pool *pool = new_pool(1);
    struct job gate = {.begun = &begun, .may_end = &may_end};
    struct job job = {.runs = 0};
    sp_task_init(&gate.task, block, NULL);
    sp_task_init(&job.task, run, release);
    CHECK_EQ(sp_submit(pool, &gate.task), SP_OK);
    await(&begun, 1);
    CHECK_EQ(sp_submit(pool, &job.task), SP_OK);
    CHECK_EQ(sp_task_cancel(&job.task), SP_OK);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 0); /* the queue has it */
    store_seq_cst(&may_end, 1u);
    sp_pool_free(pool);
    CHECK_EQ(job.runs, 0);
    CHECK_EQ(job.releases, 1);
}

static void wait_for_inner(sp_task *task)
{
    struct job *job = (struct job *)task;
    job->status = sp_task_wait(&job->other->task, -1, 0);
    job->runs++;
}

/* One worker, each task waits for the next one in the queue. */
static void a_worker_runs_the_task_it_waits_for(void)
{
    enum { DEPTH = 50 };
    static struct job jobs[DEPTH + 2];
    sp_pool *pool = new_pool(1);
    for (int i = 0; i <= DEPTH; i++) {
        jobs[i] = (struct job){.other = &jobs[i + 1]};
        sp_task_init(&jobs[i].task, i < DEPTH ? wait_for_inner : run, NULL);
    }
    for (int i = 0; i <= DEPTH; i++)
        CHECK_EQ(sp_submit(pool, &jobs[i].task), SP_OK);
    CHECK_EQ(wait_for_task(&jobs[0].task), SP_OK);
    for (int i = 0; i <= DEPTH; i++)
        CHECK_EQ(jobs[i].runs, 1);
    sp_pool_free(pool);
}

/* ------------------------------------------------------------------ shutdown */

#define QUEUED 40

/* One worker is busy, QUEUED tasks wait behind it. */
struct jam {
    sp_pool *pool;
    sp_group group;
    _Atomic(uint32_t) begun;
    _Atomic(uint32_t) may_end;
    struct job gate;
    struct job queued[QUEUED];
};

static struct jam *new_jam(void)
{
    struct jam *jam = sp__alloc(sizeof *jam);
    jam->pool = new_pool(1);
    sp_group_init(&jam->group);
    jam->gate = (struct job){.begun = &jam->begun, .may_end = &jam->may_end};
    sp_task_init(&jam->gate.task, block, release);
    CHECK_EQ(sp_submit(jam->pool, &jam->gate.task), SP_OK);
    await(&jam->begun, 1);
    for (int i = 0; i < QUEUED; i++) {
        sp_task_init(&jam->queued[i].task, run, release);
        sp_group_add(&jam->group, &jam->queued[i].task);
        CHECK_EQ(sp_submit(jam->pool, &jam->queued[i].task), SP_OK);
    }
    return jam;
}

static void free_jam(struct jam *jam, sp_phase phase)
{
    store_seq_cst(&jam->may_end, 1u);
    CHECK_EQ(sp_pool_shutdown(jam->pool, SP_DRAIN), SP_OK);
    CHECK_EQ(sp_group_unfinished(&jam->group), 0);
    CHECK_EQ(sp_task_phase(&jam->gate.task), SP_DONE);
    CHECK_EQ(jam->gate.runs, 1);
    for (int i = 0; i < QUEUED; i++) {
        CHECK_EQ(sp_task_phase(&jam->queued[i].task), phase);
        CHECK_EQ(jam->queued[i].runs, phase == SP_DONE);
        sp_task_unref(&jam->queued[i].task);
        CHECK_EQ(jam->queued[i].releases, 1);
    }
    sp_pool_free(jam->pool);
    sp__free(jam);
}

static void a_wait_for_the_workers_may_end_before_they_do(void)
{
    struct jam *jam = new_jam();
    sp_pool_close(jam->pool, SP_DRAIN);
    sp_status status = sp__pool_wait(jam->pool, 1000000);
    CHECK(status == SP_ETIMEDOUT || status == SP_EINTR, "%d", status);
    store_seq_cst(&jam->may_end, 1u);
    while ((status = sp__pool_wait(jam->pool, -1)) == SP_EINTR)
        ;
    CHECK_EQ(status, SP_OK);
    CHECK_EQ(jam->queued[QUEUED - 1].runs, 1);
    free_jam(jam, SP_DONE);
}

static void drain_runs_what_is_queued(void)
{
    struct jam *jam = new_jam();
    sp_pool_close(jam->pool, SP_DRAIN);
    free_jam(jam, SP_DONE);
}

static void abandon_cancels_what_is_queued_although_the_worker_is_busy(void)
{
    struct jam *jam = new_jam();
    sp_pool_close(jam->pool, SP_ABANDON);
    wait_for_group(&jam->group);
    CHECK_EQ(sp_task_phase(&jam->gate.task), SP_RUNNING);
    free_jam(jam, SP_CANCELLED);
}

static void abandon_after_drain_cancels_what_is_left(void)
{
    struct jam *jam = new_jam();
    sp_pool_close(jam->pool, SP_DRAIN);
    sp_pool_close(jam->pool, SP_ABANDON);
    wait_for_group(&jam->group);
    free_jam(jam, SP_CANCELLED);
}

static void drain_after_abandon_stays_abandoned(void)
{
    struct jam *jam = new_jam();
    sp_pool_close(jam->pool, SP_ABANDON);
    sp_pool_close(jam->pool, SP_DRAIN);
    free_jam(jam, SP_CANCELLED);
}

static void a_closed_pool_refuses_and_nothing_happens(void)
{
    sp_pool *pool = new_pool(2);
    sp_group group;
    struct job jobs[3];
    sp_task *tasks[3];
    sp_group_init(&group);
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    CHECK_EQ(sp_pool_shutdown(pool, SP_ABANDON), SP_OK);
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct job){.runs = 0};
        tasks[i] = &jobs[i].task;
        sp_task_init(tasks[i], run, release);
        sp_group_add(&group, tasks[i]);
    }
    CHECK_EQ(sp_task_cancel(tasks[1]), SP_OK);
    CHECK_EQ(sp_group_unfinished(&group), 2);
    CHECK_EQ(sp_submit_many(pool, tasks, 3), SP_ECLOSED);
    CHECK_EQ(sp_group_unfinished(&group), 0);
    CHECK_EQ(sp_submit(pool, tasks[0]), SP_ECLOSED);
    sp_pool_free(pool);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(jobs[i].releases, 0);
        sp_task_unref(tasks[i]);
        CHECK_EQ(jobs[i].releases, 1);
        CHECK_EQ(jobs[i].runs, 0);
    }
}

static void close_from_inside(sp_task *task)
{
    struct job *job = (struct job *)task;
    struct job late = {.runs = 0};
    job->status = sp_pool_shutdown(job->pool, SP_DRAIN);
    sp_task_init(&late.task, run, NULL);
    CHECK_EQ(sp_submit(job->pool, &late.task), SP_ECLOSED);
}

static void a_worker_cannot_wait_for_itself(void)
{
    struct job job = {.pool = new_pool(2), .status = SP_OK};
    sp_task_init(&job.task, close_from_inside, NULL);
    CHECK_EQ(sp_submit(job.pool, &job.task), SP_OK);
    CHECK_EQ(wait_for_task(&job.task), SP_OK);
    CHECK_EQ(job.status, SP_EBUSY);
    CHECK_EQ(sp_pool_shutdown(job.pool, SP_DRAIN), SP_OK);
    sp_pool_free(job.pool);
}

/* Runs while tasks are queued behind it, on the only worker. */
static void abandon_from_inside(sp_task *task)
{
    struct job *job = (struct job *)task;
    fetch_add_seq_cst(job->begun, 1u);
    await(job->may_end, 1);
    sp_pool_close(job->pool, SP_ABANDON);
    job->status = sp_pool_shutdown(job->pool, SP_ABANDON);
}

static void a_worker_may_abandon_what_is_queued(void)
{
    _Atomic(uint32_t) begun = 0, may_end = 0;
    struct job closer = {.pool = new_pool(1), .begun = &begun, .may_end = &may_end};
    struct job queued[QUEUED];
    sp_task_init(&closer.task, abandon_from_inside, NULL);
    CHECK_EQ(sp_submit(closer.pool, &closer.task), SP_OK);
    await(&begun, 1);
    for (int i = 0; i < QUEUED; i++) {
        queued[i] = (struct job){.runs = 0};
        sp_task_init(&queued[i].task, run, release);
        CHECK_EQ(sp_submit(closer.pool, &queued[i].task), SP_OK);
    }
    store_seq_cst(&may_end, 1u);
    CHECK_EQ(wait_for_task(&closer.task), SP_OK);
    CHECK_EQ(closer.status, SP_EBUSY);
    sp_pool_free(closer.pool);
    for (int i = 0; i < QUEUED; i++) {
        CHECK_EQ(sp_task_phase(&queued[i].task), SP_CANCELLED);
        CHECK_EQ(queued[i].runs, 0);
        sp_task_unref(&queued[i].task);
        CHECK_EQ(queued[i].releases, 1);
    }
}

static void shut_down(unsigned index, void *pool)
{
    CHECK_EQ(sp_pool_shutdown(pool, index % 2 ? SP_DRAIN : SP_ABANDON), SP_OK);
}

static void many_may_shut_down_at_once(void)
{
    for (long round = check_rounds(30); round > 0; round--) {
        sp_pool *pool = new_pool(3);
        run_together(4, shut_down, pool);
        sp_pool_free(pool);
    }
}

/* As long as a task runs, the other workers are there for its loops, and for the
 * tasks that its worker took along. */
static void workers_stay_until_the_last_task_ends(void)
{
    _Atomic(uint32_t) begun = 0, may_end = 0;
    sp_pool *pool = new_pool(3);
    struct job jobs[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct job){.begun = &begun, .may_end = &may_end};
        sp_task_init(&jobs[i].task, block, NULL);
    }
    CHECK_EQ(sp_submit(pool, &jobs[0].task), SP_OK);
    CHECK_EQ(sp_submit(pool, &jobs[1].task), SP_OK);
    CHECK_EQ(sp_submit(pool, &jobs[2].task), SP_OK);
    sp_pool_close(pool, SP_DRAIN);
    await(&begun, 3); /* all at once */
    store_seq_cst(&may_end, 1u);
    sp_pool_free(pool);
}

/* ---------------------------------------------------------------- statistics */

#ifdef __linux__
/* Where a waiter may spin: the CPUs are written down here as workers would. */
static void a_waiter_spins_if_a_worker_is_on_another_cpu(void)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = 2};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    while ((uint32_t)load_seq_cst(&pool->awake) > 0 ||
           !(load_relaxed(&pool->workers[0].cpu) & load_relaxed(&pool->workers[1].cpu) &
             SP__ASLEEP))
        sp__os_yield(); /* they write no more */
    cpu_set_t before, one;
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    uint32_t here = sp__os_current_cpu();
    uint32_t there = here + 1;
    CPU_ZERO(&one);
    CPU_SET(here, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    static const struct {
        bool sleeps, is_there;
    } states[] = {{false, false}, {false, true}, {true, false}, {true, true}};
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 2; j++) {
            int state = j ? i / 4 : i % 4;
            store_relaxed(&pool->workers[j].cpu,
                          (states[state].is_there ? there : here) |
                              (states[state].sleeps ? SP__ASLEEP : 0));
        }
        int a = i % 4, b = i / 4;
        bool awake_there = a == 1 || b == 1, awake_here = a == 0 || b == 0;
        bool asleep_there = a == 3 || b == 3;
        bool expected = awake_there || (asleep_there && !awake_here);
        CHECK_EQ(sp__pool_is_elsewhere(pool), expected, "states %d, %d", a, b);
    }
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
    sp_pool_free(pool);
}
#endif

static void statistics_add_up(void)
{
    enum { N = 100 };
    static struct job jobs[N];
    sp_pool *pool = new_pool(2);
    sp_pool_stats stats;
    for (int i = 0; i < N; i++) {
        jobs[i] = (struct job){.runs = 0};
        sp_task_init(&jobs[i].task, run, NULL);
        CHECK_EQ(sp_submit(pool, &jobs[i].task), SP_OK);
    }
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    sp_pool_get_stats(pool, &stats);
    CHECK_EQ(stats.submitted, N);
    CHECK_EQ(stats.executed, N);
    CHECK_EQ(stats.injected, N);
    CHECK(stats.stolen <= N);
    CHECK_EQ(stats.loops, 0);
    sp_pool_free(pool);
}

int main(void)
{
    RUN(a_pool_has_the_workers_it_was_asked_for);
    RUN(too_many_workers_are_refused);
    RUN(nonsense_is_refused);
    RUN(each_pinned_worker_has_one_cpu_and_all_are_used);
    RUN(a_real_time_policy_is_had_or_refused);
    RUN(without_permission_the_policy_is_refused);
    RUN(any_allocation_may_fail);
#ifdef CAN_WRAP
    RUN(any_thread_may_be_refused);
#endif
    RUN(without_memory_a_worker_is_not_pinned_and_works);
    RUN(a_pool_with_fewer_threads_than_wanted_works);
    RUN(a_submitted_task_runs_and_is_released);
    RUN(a_batch_is_queued_as_a_whole_or_not_at_all);
    RUN(no_tasks_at_all_are_accepted);
    RUN(a_task_cancelled_in_the_queue_never_runs);
    RUN(a_worker_runs_the_task_it_waits_for);
    RUN(a_wait_for_the_workers_may_end_before_they_do);
    RUN(drain_runs_what_is_queued);
    RUN(abandon_cancels_what_is_queued_although_the_worker_is_busy);
    RUN(abandon_after_drain_cancels_what_is_left);
    RUN(drain_after_abandon_stays_abandoned);
    RUN(a_closed_pool_refuses_and_nothing_happens);
    RUN(a_worker_cannot_wait_for_itself);
    RUN(a_worker_may_abandon_what_is_queued);
    RUN(many_may_shut_down_at_once);
    RUN(workers_stay_until_the_last_task_ends);
#ifdef __linux__
    RUN(a_waiter_spins_if_a_worker_is_on_another_cpu);
#endif
    RUN(statistics_add_up);
    return 0;
}
