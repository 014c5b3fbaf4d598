/*
 * Completion queues under several producers: nothing is lost, nothing comes twice,
 * the consumer hears of it, and each task's results are visible to him.
 *
 * A doorbell that fails to ring, or a sleeper that is not woken, shows as a
 * program that hangs.
 */
#include <poll.h>

#include "base/memory.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

#define TASKS 400
#define QUEUES 2

struct result {
    sp_task task;
    uint64_t value; /* plain: drain() must order it */
    unsigned seen;
};

struct desk {
    sp_completion *queue;
    int fd;
    _Atomic(uint32_t) rung; /* times the bell rang and was not answered yet */
    _Atomic(uint32_t) rings;
    _Atomic(uint32_t) is_done;
};

struct office {
    sp_pool *pool;
    sp_group group;
    struct desk desks[QUEUES];
    struct result results[TASKS];
    enum way { BY_WAIT, BY_BELL, BY_FD } way; /* how consumers hear of it */
    uint64_t seed;
};

static void work(sp_task *task)
{
    struct result *result = (struct result *)task;
    result->value = (uintptr_t)result * 3;
}

static void ring(void *user)
{
    struct desk *desk = user;
    fetch_add_relaxed(&desk->rings, 1u);
    if (fetch_add_seq_cst(&desk->rung, 1u) == 0)
        sp__os_wake_all(&desk->rung);
}

/* Sleep until there is something; clear the bell before looking in. */
static void await_bell(struct office *office, struct desk *desk)
{
    if (office->way == BY_FD) {
        struct pollfd event = {.fd = desk->fd, .events = POLLIN};
        CHECK_EQ(poll(&event, 1, -1), 1);
        return;
    }
    if (office->way == BY_WAIT) {
        sp_status status;
        while ((status = sp_completion_wait(desk->queue, -1)) == SP_EINTR)
            ;
        CHECK_EQ(status, SP_OK);
        return;
    }
    while (load_seq_cst(&desk->rung) == 0)
        sp__os_wait(&desk->rung, 0, SP__OS_NO_DEADLINE);
    store_seq_cst(&desk->rung, 0u);
}

static void consume(struct office *office, struct desk *desk)
{
    for (uint32_t n = 0; n < TASKS;) {
        await_bell(office, desk);
        sp_ticket *ticket = sp_completion_drain(desk->queue);
        CHECK(ticket || office->way != BY_WAIT, "woken for nothing");
        while (ticket) {
            struct result *result = (struct result *)sp_ticket_task(ticket);
            ticket = sp_ticket_next(ticket);
            CHECK(result->value == (uintptr_t)result * 3);
            CHECK_EQ(sp_task_phase(&result->task), SP_DONE);
            if (desk == office->desks)
                result->seen++;
            sp_task_unref(&result->task);
            n++;
        }
    }
    CHECK(sp_completion_is_empty(desk->queue));
}

static void produce(struct office *office, unsigned index)
{
    uint64_t random = office->seed + index;
    for (unsigned i = index - QUEUES; i < TASKS; i += 2) {
        sp_task *task = &office->results[i].task;
        for (unsigned q = 0; q < QUEUES; q++)
            CHECK_EQ(sp_task_notify(task, q, office->desks[q].queue), SP_OK);
        if (i % 16)
            CHECK_EQ(sp_submit(office->pool, task), SP_OK);
        else
            CHECK_EQ(sp_task_run(task), SP_OK);
        for (uint32_t n = sp__random_below(&random, 300); n > 0; n--)
            sp__os_pause();
    }
}

static void act(unsigned index, void *arg)
{
    struct office *office = arg;
    if (index < QUEUES)
        consume(office, &office->desks[index]);
    else
        produce(office, index);
}

static uint64_t seed;

static void play(uint32_t workers, enum way way)
{
    struct office *office = sp__alloc(sizeof *office);
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&office->pool, &options), SP_OK);
    office->way = way;
    office->seed = ++seed;
    sp_group_init(&office->group);
    for (int i = 0; i < TASKS; i++) {
        sp_task_init(&office->results[i].task, work, NULL);
        sp_group_add(&office->group, &office->results[i].task);
    }
    for (int q = 0; q < QUEUES; q++) {
        struct desk *desk = &office->desks[q];
        sp_doorbell_fn bell = way == BY_BELL ? ring : NULL;
        CHECK_EQ(way == BY_FD ? sp_completion_create_fd(&desk->queue, &desk->fd)
                              : sp_completion_create(&desk->queue, bell, desk),
                 SP_OK);
    }

    run_together(QUEUES + 2, act, office);
    /* The queues are empty, so they may go; a bell may still ring, for a moment. */
    for (int q = 0; q < QUEUES; q++)
        sp_completion_free(office->desks[q].queue);
    while (sp_group_wait(&office->group, -1) == SP_EINTR)
        ;
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(office->results[i].seen, 1, "task %d, seed %ju", i, (uintmax_t)seed);
    for (int q = 0; way == BY_BELL && q < QUEUES; q++)
        CHECK(load_relaxed(&office->desks[q].rings) >= 1);
    sp_pool_free(office->pool);
    sp__free(office);
}

static void a_consumer_woken_by_its_bell_gets_every_task_once(void)
{
    for (long round = 0; round < check_rounds(40); round++)
        play(1 + (uint32_t)round % 3, BY_BELL);
}

static void a_consumer_asleep_on_the_queue_gets_every_task_once(void)
{
    for (long round = 0; round < check_rounds(40); round++)
        play(1 + (uint32_t)round % 3, BY_WAIT);
}

static void a_consumer_that_polls_a_descriptor_gets_every_task_once(void)
{
    for (long round = 0; round < check_rounds(40); round++)
        play(1 + (uint32_t)round % 3, BY_FD);
}

/* ------------------------------------------------------------------- lifetime */

struct order {
    sp_task task;
    sp_completion *queue;
};

static void nothing(sp_task *task)
{
    (void)task;
}

static void free_order(sp_task *task)
{
    sp__free(task);
}

/* The queue goes as soon as the one task is out of it, and the task with it,
 * while its worker is still busy with the rest of announcing its end. */
static void queue_and_task_may_go_as_soon_as_it_is_drained(void)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = 2};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    for (long round = 0; round < check_rounds(1500); round++) {
        struct order *order = sp__alloc(sizeof *order);
        int fd;
        CHECK_EQ(round % 5 < 2 ? sp_completion_create_fd(&order->queue, &fd)
                               : sp_completion_create(&order->queue, NULL, NULL),
                 SP_OK);
        sp_completion *queue = order->queue;
        sp_task_init(&order->task, nothing, free_order);
        CHECK_EQ(sp_task_notify(&order->task, round % 2, queue), SP_OK);
        CHECK_EQ(sp_submit(pool, &order->task), SP_OK);
        sp_task_unref(&order->task);
        sp_ticket *ticket;
        while ((ticket = sp_completion_drain(queue)) == NULL)
            if (round % 3)
                sp_completion_wait(queue, -1);
        CHECK(!sp_ticket_next(ticket));
        sp_task_unref(sp_ticket_task(ticket));
        sp_completion_free(queue);
    }
    sp_pool_free(pool);
}

int main(void)
{
    seed = test_seed();
    RUN(a_consumer_woken_by_its_bell_gets_every_task_once);
    RUN(a_consumer_asleep_on_the_queue_gets_every_task_once);
    RUN(a_consumer_that_polls_a_descriptor_gets_every_task_once);
    RUN(queue_and_task_may_go_as_soon_as_it_is_drained);
    return 0;
}
