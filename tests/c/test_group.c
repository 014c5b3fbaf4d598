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
    RUN(all_waiters_see_what_all_tasks_wrote);
    return 0;
}
