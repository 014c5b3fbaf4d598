/* Tokens, and what stealpool.h promises of them. */
#include "base/lock.h"
#include "base/memory.h"
#include "check.h"
#include "sched/task.h"
#include "sched/token.h"
#include "threads.h"

/* ------------------------------------------------------------------ the tree */

static void a_cancelled_token_cancels_what_is_below_and_nothing_else(void)
{
    /*      0
     *    1   2
     *   3 4   5
     *      6      */
    static const int parents[] = {-1, 0, 0, 1, 1, 2, 4};
    enum { N = sizeof parents / sizeof *parents };
    for (int cancelled = 0; cancelled < N; cancelled++) {
        sp_token tokens[N];
        for (int i = 0; i < N; i++)
            sp_token_init(&tokens[i], parents[i] < 0 ? NULL : &tokens[parents[i]]);
        sp_token_cancel(&tokens[cancelled]);
        for (int i = 0; i < N; i++) {
            int above = i;
            while (above >= 0 && above != cancelled)
                above = parents[above];
            CHECK_EQ(sp_token_is_cancelled(&tokens[i]), above == cancelled,
                     "%d below %d", i, cancelled);
            CHECK_EQ(*sp_token_address(&tokens[i]), above == cancelled);
        }
        sp_token_cancel(&tokens[0]);
        sp_token_cancel(&tokens[0]);
        for (int i = N - 1; i >= 0; i--) {
            CHECK(sp_token_is_cancelled(&tokens[i]), "%d", i);
            sp_token_end(&tokens[i]);
        }
    }
}

static void a_token_below_a_cancelled_one_begins_cancelled(void)
{
    sp_token parent, child;
    sp_token_init(&parent, NULL);
    sp_token_cancel(&parent);
    sp_token_init(&child, &parent);
    CHECK(sp_token_is_cancelled(&child));
    sp_token_end(&child);
    CHECK(!sp__token_is_cancelled(NULL));
}

static void a_token_that_ended_is_not_written_to(void)
{
    sp_token parent, children[3];
    for (int gone = 0; gone < 3; gone++) {
        sp_token_init(&parent, NULL);
        for (int i = 0; i < 3; i++)
            sp_token_init(&children[i], &parent);
        sp_token_end(&children[gone]);
        memset(&children[gone], 0, sizeof children[gone]);
        sp_token_cancel(&parent);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(sp_token_is_cancelled(&children[i]), i != gone);
        for (int i = 0; i < 3; i++)
            if (i != gone)
                sp_token_end(&children[i]);
    }
}

struct forest {
    sp_token root;
    _Atomic(uint32_t) after_cancel;
};

/* 0 cancels the root; the others make and end tokens below it. */
static void plant_or_cancel(unsigned index, void *arg)
{
    struct forest *forest = arg;
    if (index == 0) {
        sp_token_cancel(&forest->root);
        store_seq_cst(&forest->after_cancel, 1u);
        return;
    }
    for (int i = 0; i < 100; i++) {
        sp_token child, grandchild;
        bool was_cancelled = load_seq_cst(&forest->after_cancel);
        sp_token_init(&child, &forest->root);
        sp_token_init(&grandchild, &child);
        if (was_cancelled)
            CHECK(sp_token_is_cancelled(&grandchild));
        if (sp_token_is_cancelled(&grandchild) && !sp_token_is_cancelled(&child))
            CHECK(sp_token_is_cancelled(&forest->root));
        sp_token_end(&grandchild);
        sp_token_end(&child);
    }
}

static void trees_may_grow_while_they_are_cancelled(void)
{
    for (long round = check_rounds(100); round > 0; round--) {
        struct forest forest = {.after_cancel = 0};
        sp_token_init(&forest.root, NULL);
        run_together(4, plant_or_cancel, &forest);
        CHECK(sp_token_is_cancelled(&forest.root));
        CHECK(!forest.root.child);
    }
}

/* -------------------------------------------------------------------- the lock */

struct counted {
    struct sp__lock lock;
    unsigned n; /* under the lock */
};

static void count_under_lock(unsigned index, void *arg)
{
    struct counted *counted = arg;
    (void)index;
    for (int i = 0; i < 1000; i++) {
        sp__lock_take(&counted->lock);
        unsigned n = counted->n;
        if (i % 50 == 0)
            sp__os_yield();
        counted->n = n + 1;
        sp__lock_give(&counted->lock);
    }
}

static void a_lock_keeps_others_out_and_wakes_those_who_wait(void)
{
    struct counted counted = {.n = 0};
    run_together(4, count_under_lock, &counted);
    CHECK_EQ(counted.n, 4000);
    CHECK_EQ(load_relaxed(&counted.lock.word), 0);
}

/* ------------------------------------------------------------------------ tasks */

struct job {
    sp_task task;
    sp_token *seen;
    _Atomic(uint32_t) begun;
    unsigned runs;
    unsigned releases;
    int code;
};

static void run(sp_task *task)
{
    ((struct job *)task)->runs++;
    ((struct job *)task)->seen = sp_current_token();
}

static void release(sp_task *task)
{
    ((struct job *)task)->releases++;
}

static void a_task_whose_token_is_cancelled_is_cancelled_instead_of_run(void)
{
    sp_token token;
    sp_group group;
    sp_completion *queue;
    struct job job = {.runs = 0};
    sp_token_init(&token, NULL);
    sp_group_init(&group);
    sp_group_set_token(&group, &token);
    CHECK_EQ(sp_completion_create(&queue, NULL, NULL), SP_OK);
    sp_task_init(&job.task, run, release);
    sp_group_add(&group, &job.task);
    CHECK_EQ(sp_task_notify(&job.task, 0, queue), SP_OK);
    sp_token_cancel(&token);
    CHECK_EQ(sp_task_phase(&job.task), SP_PENDING);

    sp__task_enqueue(&job.task);
    CHECK(!sp__task_execute(&job.task, NULL, NULL));
    CHECK_EQ(job.runs, 0);
    CHECK_EQ(sp_task_phase(&job.task), SP_CANCELLED);
    CHECK_EQ(sp_group_unfinished(&group), 0);
    CHECK_EQ(sp_task_wait(&job.task, -1, 0), SP_ECANCELLED);
    sp_ticket *ticket = sp_completion_drain(queue);
    CHECK(ticket && sp_ticket_task(ticket) == &job.task);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 0);
    sp_task_unref(&job.task);
    CHECK_EQ(job.releases, 1);
    sp_completion_free(queue);
}

static void who_runs_it_himself_is_told_so(void)
{
    sp_token token;
    struct job job = {.runs = 0};
    sp_token_init(&token, NULL);
    sp_token_cancel(&token);
    sp_task_init(&job.task, run, NULL);
    sp_task_set_token(&job.task, &token);
    CHECK_EQ(sp_task_run(&job.task), SP_ECANCELLED);
    CHECK_EQ(sp_task_run(&job.task), SP_EDONE);
    CHECK_EQ(job.runs, 0);
    CHECK_EQ(sp_task_phase(&job.task), SP_CANCELLED);
}

static void a_token_may_be_taken_back_and_a_group_keeps_it(void)
{
    sp_token token;
    sp_group group;
    struct job job = {.runs = 0};
    sp_token_init(&token, NULL);
    sp_task_init(&job.task, run, NULL);
    sp_task_set_token(&job.task, &token);
    sp_group_init(&group);
    sp_group_add(&group, &job.task); /* which has no token */
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK(job.seen == &token);
    CHECK(!sp_current_token());

    sp_task_init(&job.task, run, NULL);
    sp_task_set_token(&job.task, &token);
    sp_task_set_token(&job.task, NULL);
    sp_token_cancel(&token);
    CHECK_EQ(sp_task_run(&job.task), SP_OK);
    CHECK(!job.seen);
    CHECK_EQ(job.runs, 2);
}

/* ------------------------------------------------------------------- in a pool */

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

static void wait_until_told(sp_task *task)
{
    struct job *job = (struct job *)task;
    const int *address = sp_token_address(sp_current_token());
    store_seq_cst(&job->begun, 1u);
    while (!sp_cancelled())
        sp__os_yield();
    job->code = load_relaxed((const _Atomic(int) *)address);
}

static int wait_in_piece(intptr_t begin, intptr_t end, void *user)
{
    struct job *job = user;
    (void)begin;
    (void)end;
    store_seq_cst(&job->begun, 1u);
    while (!sp_cancelled())
        sp__os_yield();
    return 0;
}

static void loop_until_told(sp_task *task)
{
    struct job *job = (struct job *)task;
    job->code = sp_parallel_for(NULL, 0, 1000, 1, wait_in_piece, job);
}

static void what_runs_sees_it_and_what_is_queued_never_runs(void)
{
    enum { QUEUED = 50 };
    static struct job running[2], queued[QUEUED];
    sp_pool *pool = new_pool(2);
    sp_token root, token;
    sp_group group;
    sp_token_init(&root, NULL);
    sp_token_init(&token, &root);
    sp_group_init(&group);
    sp_group_set_token(&group, &token);
    for (int i = 0; i < 2; i++) {
        running[i] = (struct job){.code = -1};
        sp_task_init(&running[i].task, i ? loop_until_told : wait_until_told, NULL);
        sp_group_add(&group, &running[i].task);
        CHECK_EQ(sp_submit(pool, &running[i].task), SP_OK);
        await(&running[i].begun, 1);
    }
    for (int i = 0; i < QUEUED; i++) {
        queued[i] = (struct job){.runs = 0};
        sp_task_init(&queued[i].task, run, release);
        sp_task_set_priority(&queued[i].task, SP_PRIORITY_HIGH - i % 3);
        sp_group_add(&group, &queued[i].task);
        CHECK_EQ(sp_submit(pool, &queued[i].task), SP_OK);
        sp_task_unref(&queued[i].task);
    }
    sp_token_cancel(&root);
    wait_for_group(&group);
    CHECK_EQ(running[0].code, 1);
    CHECK_EQ(running[1].code, SP_ECANCELLED);
    sp_pool_free(pool);
    for (int i = 0; i < QUEUED; i++) {
        CHECK_EQ(queued[i].runs, 0, "%d", i);
        CHECK_EQ(queued[i].releases, 1, "%d", i);
    }
    sp_token_end(&token);
}

int main(void)
{
    RUN(a_cancelled_token_cancels_what_is_below_and_nothing_else);
    RUN(a_token_below_a_cancelled_one_begins_cancelled);
    RUN(a_token_that_ended_is_not_written_to);
    RUN(trees_may_grow_while_they_are_cancelled);
    RUN(a_lock_keeps_others_out_and_wakes_those_who_wait);
    RUN(a_task_whose_token_is_cancelled_is_cancelled_instead_of_run);
    RUN(who_runs_it_himself_is_told_so);
    RUN(a_token_may_be_taken_back_and_a_group_keeps_it);
    RUN(what_runs_sees_it_and_what_is_queued_never_runs);
    return 0;
}
