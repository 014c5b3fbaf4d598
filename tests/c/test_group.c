/* sched/group.h, and what stealpool.h promises of groups. */
#include "check.h"
#include "sched/group.h"
#include "sched/task.h"
#include "threads.h"

static void nothing(sp_task *task)
{
    (void)task;
}

static void an_empty_group_is_not_waited_for(void)
{
    sp_group group;
    sp_group_init(&group);
    CHECK_EQ(sp_group_unfinished(&group), 0);
    CHECK_EQ(sp_group_wait(&group, -1), SP_OK);
    CHECK_EQ(sp_group_wait(&group, 0), SP_OK);
}

static void tasks_are_counted_in_and_out(void)
{
    sp_group group;
    sp_task tasks[3];
    sp_group_init(&group);
    for (int i = 0; i < 3; i++) {
        sp_task_init(&tasks[i], nothing, NULL);
        sp_group_add(&group, &tasks[i]);
        CHECK_EQ(sp_group_unfinished(&group), i + 1);
    }
    CHECK_EQ(sp_task_run(&tasks[0]), SP_OK);
    CHECK_EQ(sp_group_unfinished(&group), 2);
    CHECK_EQ(sp_task_cancel(&tasks[1]), SP_OK);
    CHECK_EQ(sp_group_unfinished(&group), 1);
    CHECK_EQ(sp_group_wait(&group, 0), SP_ETIMEDOUT);
    sp__task_enqueue(&tasks[2]);
    CHECK(sp__task_execute(&tasks[2], NULL, NULL));
    CHECK_EQ(sp_group_unfinished(&group), 0);
    CHECK_EQ(sp_group_wait(&group, 0), SP_OK);
}

static void a_group_serves_again_after_a_wait(void)
{
    sp_group group;
    sp_task task;
    sp_group_init(&group);
    for (int i = 0; i < 3; i++) {
        sp_task_init(&task, nothing, NULL);
        sp_group_add(&group, &task);
        sp_status status = sp_group_wait(&group, 1000000);
        CHECK(status == SP_ETIMEDOUT || status == SP_EINTR, "%d", status);
        CHECK_EQ(sp_group_unfinished(&group), 1);
        CHECK_EQ(sp_task_run(&task), SP_OK);
        CHECK_EQ(sp_group_unfinished(&group), 0);
        CHECK_EQ(sp_group_wait(&group, -1), SP_OK);
    }
}

#ifdef CAN_WRAP
/* What happens while somebody sleeps on a group, if it is not NULL, and how he wakes. */
static sp_group *ends_asleep;
static enum sp__os_wake_reason reason;
static int64_t deadline;

enum sp__os_wake_reason __real_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns);
enum sp__os_wake_reason __wrap_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns);
enum sp__os_wake_reason __wrap_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns)
{
    if (!ends_asleep)
        return __real_sp__os_wait(word, expected, deadline_ns);
    sp__group_leave(ends_asleep, 1);
    ends_asleep = NULL;
    deadline = deadline_ns;
    return reason;
}

/* Each of three sleeps ends for another reason, the last one because all is done. */
static void an_end_that_comes_with_a_timeout_or_signal_is_told(void)
{
    static const enum sp__os_wake_reason reasons[] = {SP__OS_TIMED_OUT,
                                                      SP__OS_INTERRUPTED, SP__OS_WOKEN};
    for (int i = 0; i < 3; i++) {
        sp_group group;
        sp_group_init(&group);
        sp__group_enter(&group, 1);
        ends_asleep = &group;
        reason = reasons[i];
        CHECK_EQ(sp_group_wait(&group, 1000000), SP_OK, "%d", i);
    }
}

static void a_sleep_that_ends_for_no_reason_goes_on(void)
{
    sp_group group;
    sp_group_init(&group);
    sp__group_enter(&group, 2);
    ends_asleep = &group;
    reason = SP__OS_WOKEN;
    sp_status status = sp_group_wait(&group, 1000000);
    CHECK(status == SP_ETIMEDOUT || status == SP_EINTR, "%d", status);
    CHECK_EQ(sp_group_unfinished(&group), 1);
}

static void the_longest_timeout_means_for_ever(void)
{
    sp_group group;
    sp_group_init(&group);
    sp__group_enter(&group, 1);
    ends_asleep = &group;
    reason = SP__OS_WOKEN;
    CHECK_EQ(sp_group_wait(&group, INT64_MAX), SP_OK);
    CHECK_EQ(deadline, SP__OS_NO_DEADLINE);
}
#endif

struct crowd {
    sp_group group;
    sp_task tasks[2];
    unsigned written[2];
};

static void write(sp_task *task)
{
    struct crowd *crowd = (struct crowd *)(void *)task->group;
    crowd->written[task - crowd->tasks] = 1;
}

/* 0 and 1 finish a task each, the others wait. */
static void finish_or_wait(unsigned index, void *arg)
{
    struct crowd *crowd = arg;
    if (index < 2) {
        while (!(load_seq_cst(&crowd->group.unfinished) & SP__GROUP_WAITER))
            sp__os_yield();
        CHECK_EQ(sp_task_run(&crowd->tasks[index]), SP_OK);
        return;
    }
    sp_status status;
    while ((status = sp_group_wait(&crowd->group, -1)) == SP_EINTR)
        ;
    CHECK_EQ(status, SP_OK);
    CHECK_EQ(crowd->written[0] + crowd->written[1], 2);
}

static void all_waiters_see_what_all_tasks_wrote(void)
{
    for (long round = check_rounds(100); round > 0; round--) {
        struct crowd crowd = {.written = {0}};
        sp_group_init(&crowd.group);
        for (int i = 0; i < 2; i++) {
            sp_task_init(&crowd.tasks[i], write, NULL);
            sp_group_add(&crowd.group, &crowd.tasks[i]);
        }
        run_together(4, finish_or_wait, &crowd);
    }
}

int main(void)
{
    RUN(an_empty_group_is_not_waited_for);
    RUN(tasks_are_counted_in_and_out);
    RUN(a_group_serves_again_after_a_wait);
#ifdef CAN_WRAP
    RUN(an_end_that_comes_with_a_timeout_or_signal_is_told);
    RUN(a_sleep_that_ends_for_no_reason_goes_on);
    RUN(the_longest_timeout_means_for_ever);
#endif
    RUN(all_waiters_see_what_all_tasks_wrote);
    return 0;
}
