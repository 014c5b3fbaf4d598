/* One task's state word: claim, cancel, wait, notify, unref, all at once. */
#include "base/memory.h"
#include "base/os.h"
#include "check.h"
#include "sched/group.h"
#include "sched/task.h"
#include "sim.h"
#include "stealpool.h"

/* On the heap, so that a touch after the last reference is noticed. */
struct job {
    sp_task task;
    uint32_t result;   /* plain: T1 makes it visible */
    uint32_t released; /* set before it is freed */
};

static struct {
    struct job *job;
    sp_completion *queue;
    _Atomic(uint32_t) runs;
    _Atomic(uint32_t) releases;
    _Atomic(uint32_t) rings;
    bool cancelled;
    uint32_t why; /* plain: written before the task is cancelled */
    sp_group group;
} box;

static void run(sp_task *task)
{
    struct job *job = (struct job *)task;
    fetch_add_relaxed(&box.runs, 1u);
    job->result = 42;
}

static void release(sp_task *task)
{
    fetch_add_relaxed(&box.releases, 1u);
    sp__free(task);
}

static struct job *new_job(void)
{
    struct job *job = sp__alloc(sizeof *job);
    CHECK(job);
    sp_task_init(&job->task, run, release);
    return job;
}

/* What a worker does with it. */
static void execute(void *unused)
{
    (void)unused;
    sp__task_execute(&box.job->task, NULL, NULL);
}

static void cancel(void *unused)
{
    (void)unused;
    box.why = 7;
    box.cancelled = sp_task_cancel(&box.job->task) == SP_OK;
    sp_task_unref(&box.job->task);
}

static sp_status wait_for(sp_task *task)
{
    sp_status status;
    do
        status = sp_task_wait(task, -1, 0);
    while (status == SP_EINTR);
    return status;
}

static void wait(void *unused)
{
    (void)unused;
    sp_status status = wait_for(&box.job->task);
    CHECK(status == SP_OK || status == SP_ECANCELLED);
    if (status == SP_OK)
        CHECK_EQ(box.job->result, 42);
    else
        CHECK_EQ(box.why, 7);
    sp_task_unref(&box.job->task);
}

SCENARIO(a_task_runs_or_is_cancelled, .share = 60)
{
    box.job = new_job();
    sp_task *task = &box.job->task;
    sp__task_enqueue(task);
    sp_task_ref(task);
    sp_task_ref(task);
    unsigned threads[] = {sim_spawn(execute, NULL), sim_spawn(cancel, NULL),
                          sim_spawn(wait, NULL)};
    sp_task_unref(task);
    for (int i = 0; i < 3; i++)
        sim_join(threads[i]);
    CHECK_EQ(load_relaxed(&box.releases), 1);
    CHECK_EQ(load_relaxed(&box.runs) + box.cancelled, 1);
}

/* A task on the waiter's stack is gone once he has seen its end. */
static void execute_on_stack(void *task)
{
    sp__task_execute(task, NULL, NULL);
}

SCENARIO(a_task_on_a_stack_is_not_touched_after_its_end, .share = 40)
{
    for (int i = 0; i < 2; i++) {
        struct job job = {.result = 0};
        sp_task_init(&job.task, run, NULL);
        sp__task_enqueue(&job.task);
        unsigned worker = sim_spawn(execute_on_stack, &job.task);
        sp_status status = wait_for(&job.task);
        CHECK_EQ(status, SP_OK);
        CHECK_EQ(job.result, 42);
        memset(&job, 0xee, sizeof job);
        sim_join(worker);
    }
}

/* Nobody need be told when the last reference is dropped. */
SCENARIO(a_task_without_release_just_ends, .share = 5)
{
    struct job job = {.result = 0};
    sp_task_init(&job.task, run, NULL);
    sp__task_enqueue(&job.task);
    unsigned worker = sim_spawn(execute_on_stack, &job.task);
    sp_task_unref(&job.task);
    sim_join(worker);
    CHECK_EQ(job.result, 42);
}

/* The owner takes it back while a worker may have it. */
static void run_it(void *unused)
{
    (void)unused;
    sp_task_run(&box.job->task);
    sp_task_unref(&box.job->task);
}

SCENARIO(a_task_is_run_by_one_of_two_who_want_to, .share = 40)
{
    box.job = new_job();
    sp_task_ref(&box.job->task);
    sp__task_enqueue(&box.job->task);
    unsigned threads[] = {sim_spawn(run_it, NULL), sim_spawn(execute, NULL)};
    CHECK_EQ(wait_for(&box.job->task), SP_OK);
    CHECK_EQ(box.job->result, 42);
    sp_task_unref(&box.job->task);
    sim_join(threads[0]);
    sim_join(threads[1]);
    CHECK_EQ(load_relaxed(&box.runs), 1);
    CHECK_EQ(load_relaxed(&box.releases), 1);
}

/* A wait may end early, and be repeated. */
SCENARIO(a_wait_that_timed_out_can_be_repeated, .share = 20)
{
    box.job = new_job();
    sp__task_enqueue(&box.job->task);
    unsigned worker = sim_spawn(execute, NULL);
    sp_status status;
    while ((status = sp_task_wait(&box.job->task, 5000, 100)) != SP_OK)
        CHECK(status == SP_ETIMEDOUT || status == SP_EINTR);
    CHECK_EQ(box.job->result, 42);
    sp_task_unref(&box.job->task);
    sim_join(worker);
    CHECK_EQ(load_relaxed(&box.releases), 1);
}

/* ------------------------------------------------------- completion queues */

static void ring(void *user)
{
    CHECK(user == &box);
    fetch_add_relaxed(&box.rings, 1u);
}

static uint32_t drain(void)
{
    uint32_t n = 0;
    sp_ticket *ticket = sp_completion_drain(box.queue);
    while (ticket) {
        sp_ticket *next = sp_ticket_next(ticket);
        struct job *job = (struct job *)sp_ticket_task(ticket);
        if (sp_task_phase(&job->task) == SP_DONE)
            CHECK_EQ(job->result, 42);
        sp_task_unref(&job->task);
        ticket = next;
        n++;
    }
    return n;
}

static void execute_given(void *arg)
{
    sp__task_execute(arg, NULL, NULL);
}

SCENARIO(two_ends_come_through_a_queue_to_a_sleeper, .share = 60)
{
    CHECK_EQ(sp_completion_create(&box.queue, NULL, NULL), SP_OK);
    unsigned threads[2];
    uint32_t wanted = 0;
    for (int i = 0; i < 2; i++) {
        sp_task *task = &new_job()->task;
        sp__task_enqueue(task);
        CHECK_EQ(sp_task_notify(task, i % SP_TICKETS, box.queue), SP_OK);
        wanted++;
        threads[i] = sim_spawn(execute_given, task);
        sp_task_unref(task);
    }
    while (wanted > 0) {
        sp_status status = sp_completion_wait(box.queue, -1);
        CHECK(status == SP_OK || status == SP_EINTR);
        uint32_t n = drain();
        CHECK(status == SP_EINTR || n > 0);
        wanted -= n;
    }
    sim_join(threads[0]);
    sim_join(threads[1]);
    CHECK_EQ(load_relaxed(&box.releases), 2);
    CHECK(sp_completion_is_empty(box.queue));
    sp_completion_free(box.queue);
}

/* notify and unnotify against the end: delivered once, or not at all. */
SCENARIO(a_ticket_is_delivered_once_or_taken_back, .share = 60)
{
    CHECK_EQ(sp_completion_create(&box.queue, ring, &box), SP_OK);
    box.job = new_job();
    sp_task *task = &box.job->task;
    sp__task_enqueue(task);
    unsigned worker = sim_spawn(execute, NULL);
    uint32_t armed = sp_task_notify(task, 0, box.queue) == SP_OK;
    uint32_t second = sp_task_notify(task, 1, box.queue) == SP_OK;
    if (second && sp_task_unnotify(task, 1) == SP_OK)
        second = 0;
    sim_join(worker);
    CHECK_EQ(sp_task_phase(task), SP_DONE);
    CHECK_EQ(sp_task_notify(task, 0, box.queue), SP_EDONE);
    CHECK_EQ(drain(), armed + second);
    uint32_t rings = load_relaxed(&box.rings);
    CHECK(rings <= armed + second && (rings > 0) == (armed + second > 0));
    sp_task_unref(task);
    CHECK_EQ(load_relaxed(&box.releases), 1);
    sp_completion_free(box.queue);
}

/* The same when somebody else cancels the task: he finds the queue. */
SCENARIO(a_cancelled_tasks_ticket_is_delivered_once, .share = 40)
{
    CHECK_EQ(sp_completion_create(&box.queue, ring, &box), SP_OK);
    box.job = new_job();
    sp_task *task = &box.job->task;
    sp_task_ref(task);
    unsigned other = sim_spawn(cancel, NULL);
    uint32_t armed = sp_task_notify(task, 0, box.queue) == SP_OK;
    sim_join(other);
    CHECK(box.cancelled);
    CHECK_EQ(drain(), armed);
    CHECK_EQ(load_relaxed(&box.rings), armed);
    sp_task_unref(task);
    CHECK_EQ(load_relaxed(&box.releases), 1);
    sp_completion_free(box.queue);
}

/* The bell rings when the queue was empty; each drain is then rung for again. */
static struct {
    _Atomic(uint32_t) rung;
} bell;

static void ring_bell(void *user)
{
    (void)user;
    store_release(&bell.rung, 1u);
    sp__os_wake_all(&bell.rung);
}

SCENARIO(a_bell_rings_for_every_batch, .share = 40)
{
    CHECK_EQ(sp_completion_create(&box.queue, ring_bell, NULL), SP_OK);
    unsigned threads[2];
    sp_group_init(&box.group);
    for (int i = 0; i < 2; i++) {
        sp_task *task = &new_job()->task;
        sp_group_add(&box.group, task);
        sp__task_enqueue(task);
        CHECK_EQ(sp_task_notify(task, 0, box.queue), SP_OK);
        threads[i] = sim_spawn(execute_given, task);
        sp_task_unref(task);
    }
    for (uint32_t wanted = 2; wanted > 0;) {
        while (load_acquire(&bell.rung) == 0)
            sp__os_wait(&bell.rung, 0, SP__OS_NO_DEADLINE);
        exchange_acq_rel(&bell.rung, 0u);
        wanted -= drain();
    }
    sp_status status;
    while ((status = sp_group_wait(&box.group, -1)) == SP_EINTR)
        ;
    CHECK_EQ(status, SP_OK);
    sim_join(threads[0]);
    sim_join(threads[1]);
    sp_completion_free(box.queue);
}

/* ------------------------------------------------------------------ groups */

/* A timed wait says "timed out" only if it is not over. */
SCENARIO(a_timed_wait_for_all_ends, .share = 20)
{
    struct job job = {.result = 0};
    CHECK_EQ(sp_completion_create(&box.queue, NULL, NULL), SP_OK);
    sp_group_init(&box.group);
    sp_task_init(&job.task, run, NULL);
    sp_group_add(&box.group, &job.task);
    sp__task_enqueue(&job.task);
    CHECK_EQ(sp_task_notify(&job.task, 0, box.queue), SP_OK);
    unsigned worker = sim_spawn(execute_given, &job.task);
    sp_status status;
    while ((status = sp_completion_wait(box.queue, 300)) != SP_OK)
        CHECK(status == SP_ETIMEDOUT || status == SP_EINTR);
    CHECK_EQ(drain(), 1);
    while ((status = sp_group_wait(&box.group, 300)) != SP_OK)
        CHECK(status == SP_ETIMEDOUT || status == SP_EINTR);
    CHECK_EQ(job.result, 42);
    sim_join(worker);
    sp_completion_free(box.queue);
}

/* Whoever waits for a group sees what all its tasks wrote, and may free it. */
SCENARIO(a_group_is_gone_when_its_last_task_has_left, .share = 60)
{
    sp_group *group = sp__alloc(sizeof *group);
    struct job jobs[2] = {{.result = 0}};
    unsigned threads[2];
    sp_group_init(group);
    for (int i = 0; i < 2; i++) {
        sp_task_init(&jobs[i].task, run, NULL);
        sp_group_add(group, &jobs[i].task);
        sp__task_enqueue(&jobs[i].task);
    }
    threads[0] = sim_spawn(execute_given, &jobs[0].task);
    bool is_cancelled = sim_choose(2);
    if (is_cancelled)
        CHECK_EQ(sp_task_cancel(&jobs[1].task), SP_OK);
    else
        sp_task_run(&jobs[1].task);
    sp_status status;
    while ((status = sp_group_wait(group, -1)) != SP_OK)
        CHECK_EQ(status, SP_EINTR);
    CHECK_EQ(sp_group_unfinished(group), 0);
    CHECK_EQ(jobs[0].result, 42);
    sp__free(group);
    memset(jobs, 0xee, sizeof jobs);
    sim_join(threads[0]);
}
