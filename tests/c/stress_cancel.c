/*
 * One task, and all at once: a worker that runs it, threads that cancel it or its token,
 * wait for it, run it themselves, ask to be notified and take that back.
 *
 * Whatever wins: it ends once, runs at most once, runs if and only if nobody was
 * told "cancelled", is reported if and only if the ticket was armed at its end,
 * leaves its group once, and is released once, by the last one.
 */
#include "base/memory.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

struct scene;

struct job {
    sp_task task;
    struct scene *scene;
    unsigned runs;  /* plain: whoever sees it done sees it */
    unsigned value; /* likewise */
};

/* What each thread was told. */
struct told {
    sp_status cancel;
    sp_status run;
    sp_status wait;
    sp_status notify;
    sp_status unnotify;
    bool cancelled_token;
};

#define ACTORS 4

struct scene {
    sp_pool *pool;
    sp_completion *queue;
    sp_group group;
    sp_token token;
    struct job *job;
    struct told told[ACTORS];
    uint64_t seed;
    sp_phase phase;
    unsigned runs;
    _Atomic(uint32_t) started;
    _Atomic(uint32_t) releases;
};

static void run(sp_task *task)
{
    struct job *job = (struct job *)task;
    job->runs++;
    fetch_add_seq_cst(&job->scene->started, 1u);
    for (int i = 0; i < 50 && !sp_cancelled(); i++)
        sp__os_pause();
    job->value = 42;
}

static void release(sp_task *task)
{
    struct job *job = (struct job *)task;
    job->scene->phase = sp_task_phase(task);
    job->scene->runs = job->runs;
    fetch_add_seq_cst(&job->scene->releases, 1u);
    memset(job, 0xa5, sizeof *job);
    sp__free(job);
}

static void wait_for_it(struct scene *scene, struct told *told)
{
    sp_task *task = &scene->job->task;
    while ((told->wait = sp_task_wait(task, -1, scene->seed % 3 * 500)) == SP_EINTR)
        ;
    if (told->wait == SP_OK)
        CHECK_EQ(scene->job->value, 42);
    else
        CHECK_EQ(scene->job->runs, 0);
}

/* Each has a reference, which it drops when it has done its part. */
static void act(unsigned index, void *arg)
{
    struct scene *scene = arg;
    struct told *told = &scene->told[index];
    sp_task *task = &scene->job->task;
    uint64_t random = scene->seed + index;
    for (uint32_t n = sp__random_below(&random, 400); n > 0; n--)
        sp__os_pause();
    switch (index) {
    case 0:
        if ((told->cancelled_token = sp__random_below(&random, 2)))
            sp_token_cancel(&scene->token);
        else
            told->cancel = sp_task_cancel(task);
        break;
    case 1:
        told->notify = sp_task_notify(task, 0, scene->queue);
        if (told->notify == SP_OK && sp__random_below(&random, 2))
            told->unnotify = sp_task_unnotify(task, 0);
        break;
    case 2:
        wait_for_it(scene, told);
        break;
    case 3:
        if (sp__random_below(&random, 2))
            told->cancel = sp_task_cancel(task);
        else
            told->run = sp_task_run(task);
        break;
    }
    sp_task_unref(task);
}

/* Not a status: nobody asked. */
#define UNASKED ((sp_status)1)

static void check_scene(struct scene *scene, bool was_reported)
{
    const struct told *told = scene->told;
    uintmax_t seed = scene->seed;
    int n_cancelled = (told[0].cancel == SP_OK) + (told[3].cancel == SP_OK);
    bool was_cancelled = n_cancelled > 0;
    if (told[0].cancelled_token && !was_cancelled)
        was_cancelled = scene->phase == SP_CANCELLED; /* or it had begun */

    CHECK_EQ(load_seq_cst(&scene->releases), 1, "seed %ju", seed);
    CHECK(n_cancelled <= 1, "seed %ju", seed);
    CHECK_EQ(scene->phase, was_cancelled ? SP_CANCELLED : SP_DONE, "seed %ju", seed);
    CHECK_EQ(scene->runs, !was_cancelled, "seed %ju", seed);
    CHECK_EQ(load_seq_cst(&scene->started), !was_cancelled, "seed %ju", seed);
    CHECK_EQ(told[2].wait, was_cancelled ? SP_ECANCELLED : SP_OK, "seed %ju", seed);
    if (told[3].run == SP_OK)
        CHECK(!was_cancelled, "seed %ju", seed);
    if (told[3].run == SP_ECANCELLED)
        CHECK(was_cancelled && told[0].cancelled_token, "seed %ju", seed);
    bool was_armed = told[1].notify == SP_OK && told[1].unnotify != SP_OK;
    CHECK_EQ(was_reported, was_armed, "seed %ju", seed);
}

static uint64_t seed;

static void play(sp_pool *pool, sp_completion *queue)
{
    struct scene scene = {.pool = pool, .queue = queue, .seed = ++seed};
    struct job *job = sp__alloc(sizeof *job);
    for (int i = 0; i < ACTORS; i++)
        scene.told[i] =
            (struct told){UNASKED, UNASKED, UNASKED, UNASKED, UNASKED, false};
    scene.job = job;
    job->scene = &scene;
    sp_group_init(&scene.group);
    sp_token_init(&scene.token, NULL);
    sp_task_init(&job->task, run, release);
    sp_group_add(&scene.group, &job->task);
    sp_task_set_token(&job->task, &scene.token);
    for (int i = 0; i < ACTORS; i++)
        sp_task_ref(&job->task);
    CHECK_EQ(sp_submit(pool, &job->task), SP_OK);
    sp_task_unref(&job->task);

    run_together(ACTORS, act, &scene);
    while (sp_group_wait(&scene.group, -1) == SP_EINTR)
        ;
    /* It has ended and been reported, if at all; the queue entry may linger. */
    sp_ticket *ticket = sp_completion_drain(queue);
    bool was_reported = ticket != NULL;
    if (ticket) {
        CHECK(!sp_ticket_next(ticket));
        CHECK(sp_ticket_task(ticket) == &job->task);
        sp_task_unref(sp_ticket_task(ticket));
    }
    await(&scene.releases, 1);
    check_scene(&scene, was_reported);
}

static void whatever_wins_the_task_ends_once(void)
{
    for (uint32_t workers = 1; workers <= 2; workers++) {
        sp_pool *pool;
        sp_completion *queue;
        sp_pool_options options = {.workers = workers};
        CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
        CHECK_EQ(sp_completion_create(&queue, NULL, NULL), SP_OK);
        for (long round = 0; round < check_rounds(600); round++)
            play(pool, queue);
        sp_pool_free(pool);
        sp_completion_free(queue);
    }
}

/* ------------------------------------------------------- tokens that go early */

/* A token, and tasks that have it. It goes when they have ended, although there may be
 * entries of theirs in queues: of those that were cancelled by themselves. */
struct troop {
    sp_pool *pool;
    sp_token *parent;
    uint64_t seed;
    _Atomic(uint32_t) runs;
};

struct member {
    sp_task task;
    struct troop *troop;
};

static void march(sp_task *task)
{
    fetch_add_seq_cst(&((struct member *)task)->troop->runs, 1u);
    if (sp_current_token())
        CHECK(sp_token_address(sp_current_token()) != NULL);
}

static void free_member(sp_task *task)
{
    memset(task, 0xa5, sizeof(struct member));
    sp__free(task);
}

#define MEMBERS 12

static void send_and_cancel(unsigned index, void *arg)
{
    struct troop *troop = arg;
    uint64_t random = troop->seed + index;
    for (long round = 0; round < check_rounds(300); round++) {
        sp_token *token = sp__alloc(sizeof *token);
        sp_token_init(token, troop->parent);
        sp_group group;
        sp_group_init(&group);
        sp_group_set_token(&group, token);
        struct member *members[MEMBERS];
        for (int i = 0; i < MEMBERS; i++) {
            members[i] = sp__alloc(sizeof *members[i]);
            members[i]->troop = troop;
            sp_task_init(&members[i]->task, march, free_member);
            sp_task_set_priority(&members[i]->task,
                                 (sp_priority)((int)sp__random_below(&random, 3) - 1));
            sp_group_add(&group, &members[i]->task);
            CHECK_EQ(sp_submit(troop->pool, &members[i]->task), SP_OK);
        }
        for (int i = 0; i < MEMBERS; i++) {
            if (sp__random_below(&random, 2))
                sp_task_cancel(&members[i]->task);
            sp_task_unref(&members[i]->task);
        }
        if (sp__random_below(&random, 3))
            sp_token_cancel(token);
        while (sp_group_wait(&group, -1) == SP_EINTR)
            ;
        sp_token_end(token);
        memset(token, 0xa5, sizeof *token);
        sp__free(token);
    }
}

static void a_token_may_go_once_its_tasks_have_ended(void)
{
    sp_token root;
    struct troop troop = {.parent = &root, .seed = ++seed};
    sp_pool_options options = {.workers = 2};
    CHECK_EQ(sp_pool_create(&troop.pool, &options), SP_OK);
    sp_token_init(&root, NULL);
    run_together(3, send_and_cancel, &troop);
    CHECK(!sp_token_is_cancelled(&root));
    CHECK(!root.child);
    sp_pool_free(troop.pool);
    printf("%u ran\n", load_seq_cst(&troop.runs));
}

/* ------------------------------------------------------- tasks on the stack */

struct local {
    sp_task task;
    unsigned value;
};

static void set(sp_task *task)
{
    ((struct local *)task)->value = 7;
}

/* The one who ends the task must not touch it after that. */
static void wait_on_the_stack(unsigned index, void *pool)
{
    (void)index;
    for (long round = 0; round < check_rounds(1500); round++) {
        struct local local = {.value = 0};
        sp_task_init(&local.task, set, NULL);
        CHECK_EQ(sp_submit(pool, &local.task), SP_OK);
        while (sp_task_wait(&local.task, -1, round % 2 * 2000) == SP_EINTR)
            ;
        CHECK_EQ(local.value, 7);
        memset(&local, 0xa5, sizeof local);
    }
}

static void a_task_on_the_stack_may_go_once_it_is_done(void)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = 2};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    run_together(3, wait_on_the_stack, pool);
    sp_pool_free(pool);
}

int main(void)
{
    seed = test_seed();
    RUN(whatever_wins_the_task_ends_once);
    RUN(a_token_may_go_once_its_tasks_have_ended);
    RUN(a_task_on_the_stack_may_go_once_it_is_done);
    return 0;
}
