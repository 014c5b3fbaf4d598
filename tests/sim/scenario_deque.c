/* sched/deque.h: one owner, two thieves, four slots. */
#include "base/memory.h"
#include "check.h"
#include "sched/deque.h"
#include "sim.h"

#define TASKS 6

struct item {
    sp_task task;
    uint32_t payload; /* plain: written by the owner, read by who takes the task */
};

static struct {
    struct sp__deque deque;
    struct item items[TASKS];
    uint32_t taken[3][TASKS]; /* each thread's own */
} box;

static void take(uint32_t thread, sp_task *task)
{
    struct item *item = (struct item *)task;
    CHECK(item >= box.items && item < box.items + TASKS);
    CHECK_EQ(item->payload, (item - box.items) + 7);
    box.taken[thread][item - box.items]++;
}

static bool steal(uint32_t thread)
{
    sp_task *task;
    enum sp__steal_result result = sp__deque_steal(&box.deque, &task);
    if (result == SP__STEAL_TAKEN)
        take(thread, task);
    return result == SP__STEAL_TAKEN;
}

static void steal_twice(void *thread)
{
    steal((uint32_t)(uintptr_t)thread);
    steal((uint32_t)(uintptr_t)thread);
}

static void pop(void)
{
    sp_task *task = sp__deque_pop(&box.deque);
    if (task)
        take(0, task);
}

static void push(uint32_t i)
{
    box.items[i].payload = i + 7;
    if (!sp__deque_push(&box.deque, &box.items[i].task))
        take(0, &box.items[i].task); /* full */
}

static void each_was_taken_once(void)
{
    while (steal(0))
        ;
    pop();
    CHECK(sp__deque_is_empty(&box.deque));
    for (uint32_t i = 0; i < TASKS; i++)
        CHECK_EQ(box.taken[0][i] + box.taken[1][i] + box.taken[2][i], 1, "task %u", i);
}

/* Full, then popped to nothing, then again; the indices begin anywhere. */
SCENARIO(a_deque_gives_each_task_once, .share = 120)
{
    static const int64_t starts[] = {0, 3, INT64_MAX / 2};
    sp__deque_init(&box.deque, starts[sim_choose(3)]);
    push(0);
    unsigned first = sim_spawn(steal_twice, (void *)1);
    unsigned second = sim_spawn(steal_twice, (void *)2);
    push(1);
    pop();
    push(2);
    push(3);
    pop();
    pop();
    push(4);
    push(5);
    pop();
    sim_join(first);
    sim_join(second);
    each_was_taken_once();
}

/* A slot is written anew only when its thief is done with it. */
SCENARIO(a_slot_is_not_reused_under_a_thief, .share = 80)
{
    sp__deque_init(&box.deque, 0);
    push(0);
    push(1);
    push(2);
    unsigned first = sim_spawn(steal_twice, (void *)1);
    push(3);
    unsigned second = sim_spawn(steal_twice, (void *)2);
    push(4);
    push(5);
    sim_join(first);
    sim_join(second);
    each_was_taken_once();
}

/* The last task: the owner and two thieves want it. */
static void steal_once(void *thread)
{
    steal((uint32_t)(uintptr_t)thread);
}

SCENARIO(the_last_task_goes_to_one, .share = 80)
{
    sp__deque_init(&box.deque, 0);
    push(0);
    unsigned first = sim_spawn(steal_once, (void *)1);
    unsigned second = sim_spawn(steal_once, (void *)2);
    pop();
    for (uint32_t i = 1; i < TASKS; i++) {
        push(i);
        pop();
    }
    sim_join(first);
    sim_join(second);
    each_was_taken_once();
}
