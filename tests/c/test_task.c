/* Tasks by themselves: sched/task.h, and what stealpool.h promises of sp_task. */
#include "check.h"
#include "sched/task.h"
#include "threads.h"

struct job {
    sp_task task;
    unsigned runs;
    unsigned releases;
    bool saw_stop;
};

static struct job *job_of(sp_task *task)
{
    return (struct job *)task;
}

static void run(sp_task *task)
{
    CHECK_EQ(sp_task_phase(task), SP_RUNNING);
    job_of(task)->runs++;
}

static void release(sp_task *task)
{
    job_of(task)->releases++;
}

static struct job new_job(void)
{
    return (struct job){.runs = 0};
}

static sp_ticket *only_ticket(sp_completion *queue)
{
    sp_ticket *ticket = sp_completion_drain(queue);
    CHECK(ticket && !sp_ticket_next(ticket));
    CHECK(sp_completion_is_empty(queue));
    return ticket;
}

/* ------------------------------------------------------------ running, ending */

static void a_new_task_is_pending(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, release);
    CHECK_EQ(sp_task_phase(&job.task), SP_PENDING);
    CHECK_EQ(sp_task_wait(&job.task, 0, 0), SP_ETIMEDOUT);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
    CHECK_EQ(job.runs, 0);
}

static void a_task_runs_once(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, release);
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK_EQ(sp_task_phase(&job.task), SP_DONE);
    CHECK_EQ(sp_task_run(&job.task), SP_EDONE);
    CHECK_EQ(sp_task_wait(&job.task, -1, 0), SP_OK);
    CHECK_EQ(job.runs, 1);
    CHECK_EQ(job.releases, 0);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
}

static void a_cancelled_task_never_runs(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, release);
    CHECK_EQ(sp_task_cancel(&job.task), SP_OK);
    CHECK_EQ(sp_task_phase(&job.task), SP_CANCELLED);
    CHECK_EQ(sp_task_cancel(&job.task), SP_EDONE);
    CHECK_EQ(sp_task_run(&job.task), SP_EDONE);
    CHECK_EQ(sp_task_wait(&job.task, -1, 0), SP_ECANCELLED);
    sp__task_enqueue(&job.task);
    CHECK(!sp__task_execute(&job.task, NULL, NULL));
    CHECK_EQ(job.runs, 0);
    CHECK_EQ(job.releases, 0);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
}

static void a_task_that_was_claimed_ends_when_told(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, release);
    CHECK(sp__task_claim(&job.task));
    CHECK(!sp__task_claim(&job.task));
    CHECK_EQ(sp_task_phase(&job.task), SP_RUNNING);
    sp__task_complete(&job.task);
    CHECK_EQ(sp_task_phase(&job.task), SP_DONE);
    CHECK_EQ(job.runs, 0);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
}

static void running_a_queued_task_drops_the_queues_reference(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, release);
    sp__task_enqueue(&job.task);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 0);
    CHECK(sp__task_execute(&job.task, NULL, NULL));
    CHECK_EQ(job.runs, 1);
    CHECK_EQ(job.releases, 1);
}

static void a_task_needs_no_release_function(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, NULL);
    sp__task_enqueue(&job.task);
    sp_task_ref(&job.task);
    sp_task_unref(&job.task);
    sp_task_unref(&job.task);
    CHECK(sp__task_execute(&job.task, NULL, NULL));
    CHECK_EQ(job.runs, 1);
}

static void a_task_that_is_thrown_away_is_cancelled_if_it_was_pending(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, release);
    sp__task_enqueue(&job.task);
    sp__task_throw_away(&job.task);
    CHECK_EQ(sp_task_phase(&job.task), SP_CANCELLED);
    CHECK_EQ(job.releases, 0);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
}

/* ----------------------------------------------------------------- stopping */

static void cancel_and_look(sp_task *task)
{
    CHECK(!sp_cancelled());
    CHECK(sp__task_current() == task);
    CHECK_EQ(sp_task_cancel(task), SP_EBUSY);
    CHECK_EQ(sp_task_phase(task), SP_RUNNING);
    job_of(task)->saw_stop = sp_cancelled();
}

static void a_running_task_is_asked_to_stop(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, cancel_and_look, release);
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK(job.saw_stop);
    CHECK(!sp_cancelled());
    CHECK(!sp__task_current());
    CHECK_EQ(sp_task_phase(&job.task), SP_DONE);
    CHECK_EQ(sp_task_cancel(&job.task), SP_EDONE);
    sp_task_unref(&job.task);
}

static void throw_away_and_look(sp_task *task)
{
    sp__task_throw_away(task);
    job_of(task)->saw_stop = sp_cancelled();
}

static void throwing_away_a_task_that_runs_does_not_stop_it(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, throw_away_and_look, release);
    sp__task_enqueue(&job.task);
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK(!job.saw_stop);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
}

static struct job inner_job;

static void run_inner(sp_task *task)
{
    sp_task_cancel(task);
    sp_task_init(&inner_job.task, cancel_and_look, NULL);
    CHECK_EQ(sp_task_run(&inner_job.task), SP_OK);
    CHECK(sp__task_current() == task);
    job_of(task)->saw_stop = sp_cancelled();
}

static void an_inner_task_has_a_stop_flag_of_its_own(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run_inner, NULL);
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK(job.saw_stop);
    CHECK(inner_job.saw_stop);
}

/* ------------------------------------------------------------------ waiting */

static void wait_or_end(unsigned index, void *arg)
{
    struct job *job = arg;
    if (index > 0) {
        sp_status status = sp_task_wait(&job->task, -1, index == 1 ? 1000 : 0);
        while (status == SP_EINTR)
            status = sp_task_wait(&job->task, -1, 0);
        CHECK_EQ(status, job->runs ? SP_OK : SP_ECANCELLED);
        return;
    }
    /* Two of three sleep, or are about to. */
    while (!(load_seq_cst(&job->task.state) & SP__TASK_WAITER))
        sp__os_yield();
    if (job->saw_stop)
        CHECK_EQ(sp_task_cancel(&job->task), SP_OK);
    else
        CHECK_EQ(sp_task_run(&job->task), SP_OK);
}

static void waiters_wake_up_when_it_ends(void)
{
    for (long round = check_rounds(50); round > 0; round--) {
        struct job job = {.saw_stop = round % 2};
        sp_task_init(&job.task, run, NULL);
        run_together(4, wait_or_end, &job);
    }
}

static void a_wait_times_out(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, NULL);
    int64_t before = sp__os_now_ns();
    sp_status status = sp_task_wait(&job.task, 2000000, 0);
    CHECK(status == SP_ETIMEDOUT || status == SP_EINTR, "%d", status);
    CHECK_EQ(sp_task_wait(&job.task, 2000000, INT64_MAX), SP_ETIMEDOUT);
    CHECK(sp__os_now_ns() - before >= 2000000);
    CHECK_EQ(sp_task_phase(&job.task), SP_PENDING);
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK_EQ(sp_task_wait(&job.task, 0, INT64_MAX), SP_OK);
}

/* Deadlines are in nanoseconds; a spin that is longer than the wait is cut. */
static void a_spin_ends_with_the_wait(void)
{
    static const int64_t spins[] = {1000, 1000000, 1000000000000000};
    for (int i = 0; i < 3; i++) {
        struct job job = new_job();
        sp_task_init(&job.task, run, NULL);
        sp_status status = sp_task_wait(&job.task, 1000000, spins[i]);
        CHECK(status == SP_ETIMEDOUT || status == SP_EINTR, "%d", status);
    }
}

#ifdef CAN_WRAP
/* What happens while somebody sleeps on a task, if it is not NULL, and how he wakes. */
static sp_task *ends_asleep;
static enum sp__os_wake_reason reason;

enum sp__os_wake_reason __real_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns);
enum sp__os_wake_reason __wrap_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns);
enum sp__os_wake_reason __wrap_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns)
{
    if (!ends_asleep)
        return __real_sp__os_wait(word, expected, deadline_ns);
    sp_task *task = ends_asleep;
    ends_asleep = NULL;
    if (job_of(task)->saw_stop)
        CHECK_EQ(sp_task_cancel(task), SP_OK);
    else
        CHECK_EQ(sp_task_run(task), SP_OK);
    return reason;
}

static void an_end_that_comes_with_a_timeout_or_signal_is_told(void)
{
    static const enum sp__os_wake_reason reasons[] = {SP__OS_TIMED_OUT,
                                                      SP__OS_INTERRUPTED, SP__OS_WOKEN};
    for (int i = 0; i < 6; i++) {
        struct job job = {.saw_stop = i % 2};
        sp_task_init(&job.task, run, NULL);
        ends_asleep = &job.task;
        reason = reasons[i / 2];
        sp_status wanted = job.saw_stop ? SP_ECANCELLED : SP_OK;
        CHECK_EQ(sp_task_wait(&job.task, 1000000, 0), wanted, "%d", i);
    }
}
#endif

static void wait_spinning(unsigned index, void *arg)
{
    struct job *job = arg;
    if (index == 0)
        CHECK_EQ(sp_task_wait(&job->task, -1, INT64_MAX), SP_OK);
    else
        CHECK_EQ(sp_task_run(&job->task), SP_OK);
}

static void one_may_spin_for_ever(void)
{
    struct job job = new_job();
    sp_task_init(&job.task, run, NULL);
    run_together(2, wait_spinning, &job);
    CHECK_EQ(job.runs, 1);
}

/* ------------------------------------------------------------------ tickets */

static void a_task_reports_to_two_queues(void)
{
    struct job job = new_job();
    sp_completion *queues[SP_TICKETS];
    sp_task_init(&job.task, run, release);
    for (unsigned i = 0; i < SP_TICKETS; i++) {
        CHECK_EQ(sp_completion_create(&queues[i], NULL, NULL), SP_OK);
        CHECK_EQ(sp_task_notify(&job.task, i, queues[i]), SP_OK);
        CHECK_EQ(sp_task_notify(&job.task, i, queues[0]), SP_EBUSY);
    }
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    sp_task_unref(&job.task);
    for (unsigned i = 0; i < SP_TICKETS; i++) {
        CHECK_EQ(job.releases, 0);
        sp_ticket *ticket = only_ticket(queues[i]);
        CHECK(sp_ticket_task(ticket) == &job.task);
        sp_task_unref(sp_ticket_task(ticket));
        sp_completion_free(queues[i]);
    }
    CHECK_EQ(job.releases, 1);
}

static void a_cancelled_task_reports_too(void)
{
    struct job job = new_job();
    sp_completion *queue;
    CHECK_EQ(sp_completion_create(&queue, NULL, NULL), SP_OK);
    sp_task_init(&job.task, run, release);
    CHECK_EQ(sp_task_notify(&job.task, 1, queue), SP_OK);
    CHECK_EQ(sp_task_cancel(&job.task), SP_OK);
    CHECK_EQ(sp_task_unnotify(&job.task, 1), SP_EDONE);
    CHECK(sp_ticket_task(only_ticket(queue)) == &job.task);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 0);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
    sp_completion_free(queue);
}

static void a_ticket_can_be_taken_back(void)
{
    struct job job = new_job();
    sp_completion *queue;
    CHECK_EQ(sp_completion_create(&queue, NULL, NULL), SP_OK);
    sp_task_init(&job.task, run, release);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sp_task_notify(&job.task, 0, queue), SP_OK);
        CHECK_EQ(sp_task_unnotify(&job.task, 0), SP_OK);
    }
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK(sp_completion_is_empty(queue));
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
    sp_completion_free(queue);
}

static void a_task_that_has_ended_takes_no_ticket(void)
{
    struct job job = new_job();
    sp_completion *queue;
    CHECK_EQ(sp_completion_create(&queue, NULL, NULL), SP_OK);
    sp_task_init(&job.task, run, release);
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK_EQ(sp_task_notify(&job.task, 0, queue), SP_EDONE);
    CHECK(sp_completion_is_empty(queue));
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
    sp_completion_free(queue);
}

/* --------------------------------------------------------------------- looking up */

static struct sp__look look;
static int looks;

static void look_up(void *arg)
{
    looks++;
    CHECK(arg == &looks);
    CHECK(look.next_ns > sp__os_now_ns(), "a look within a look");
    sp__task_look();
}

static void a_thread_looks_up_when_it_is_due(void)
{
    look = (struct sp__look){.look = look_up, .arg = &looks};
    CHECK(!sp__task_set_look(&look));
    sp__task_look();
    CHECK(!sp_cancelled());
    CHECK_EQ(looks, 0);
    CHECK(look.next_ns > sp__os_now_ns());
    for (int i = 1; i <= 2; i++) {
        look.next_ns = 1;
        if (i == 1)
            sp__task_look();
        else
            sp_cancelled();
        sp__task_look();
        CHECK_EQ(looks, i);
    }
    CHECK(sp__task_set_look(NULL) == &look);
    look.next_ns = 1;
    sp__task_look();
    CHECK_EQ(looks, 2);
}

int main(void)
{
    RUN(a_new_task_is_pending);
    RUN(a_task_runs_once);
    RUN(a_cancelled_task_never_runs);
    RUN(a_task_that_was_claimed_ends_when_told);
    RUN(running_a_queued_task_drops_the_queues_reference);
    RUN(a_task_needs_no_release_function);
    RUN(a_task_that_is_thrown_away_is_cancelled_if_it_was_pending);
    RUN(a_running_task_is_asked_to_stop);
    RUN(throwing_away_a_task_that_runs_does_not_stop_it);
    RUN(an_inner_task_has_a_stop_flag_of_its_own);
    RUN(waiters_wake_up_when_it_ends);
    RUN(a_wait_times_out);
    RUN(a_spin_ends_with_the_wait);
#ifdef CAN_WRAP
    RUN(an_end_that_comes_with_a_timeout_or_signal_is_told);
#endif
    RUN(one_may_spin_for_ever);
    RUN(a_task_reports_to_two_queues);
    RUN(a_cancelled_task_reports_too);
    RUN(a_ticket_can_be_taken_back);
    RUN(a_task_that_has_ended_takes_no_ticket);
    RUN(a_thread_looks_up_when_it_is_due);
    return 0;
}
