/* sched/injector.h: two who push, two who take, one who closes. */
#include "base/os.h"
#include "check.h"
#include "sched/injector.h"
#include "sim.h"

#define PER_THREAD 3

struct item {
    sp_task task;
    uint32_t producer;
    uint32_t number; /* plain: J1 makes it visible */
};

static struct {
    struct sp__injector injector;
    struct item items[2][PER_THREAD];
    bool accepted[2][PER_THREAD];
    uint32_t taken[2][PER_THREAD];
    bool mixes; /* priorities */
    _Atomic(uint32_t) takers;
} box;

static void push(uint32_t producer, uint32_t number, uint32_t n)
{
    static const int priorities[] = {SP_PRIORITY_NORMAL, SP_PRIORITY_HIGH,
                                     SP_PRIORITY_LOW};
    struct item *first = &box.items[producer][number];
    struct sp__batch batch = {0};
    for (uint32_t i = 0; i < n; i++) {
        first[i].producer = producer;
        first[i].number = number + i;
        first[i].task.priority = priorities[box.mixes ? sim_choose(3) : 0];
        sp__batch_add(&batch, &first[i].task);
    }
    bool accepted = sp__injector_push(&box.injector, &batch);
    for (uint32_t i = 0; i < n; i++)
        box.accepted[producer][number + i] = accepted;
}

static void produce(void *arg)
{
    uint32_t producer = (uint32_t)(uintptr_t)arg;
    push(producer, 0, 1);
    push(producer, 1, 2);
}

/* One taker at a time sees those of one lane in order of arrival. */
static uint32_t take(uint32_t max)
{
    sp_task *tasks[4];
    uint32_t n = 0;
    enum sp__inject_result result =
        sp__injector_take(&box.injector, SP__LANE_ALL, tasks, max, &n);
    if (result != SP__INJECT_TAKEN)
        return 0;
    CHECK(n >= 1 && n <= max);
    for (uint32_t i = 0; i < n; i++) {
        struct item *item = (struct item *)tasks[i];
        fetch_add_relaxed(&box.takers, 1u);
        box.taken[item->producer][item->number]++;
        for (uint32_t j = 0; j < i; j++) {
            struct item *earlier = (struct item *)tasks[j];
            CHECK(earlier->producer != item->producer ||
                  earlier->number < item->number);
        }
    }
    return n;
}

static void consume(void *unused)
{
    (void)unused;
    take(2);
    take(1);
    take(3);
}

static void take_the_rest(void)
{
    while (!sp__injector_is_empty(&box.injector))
        take(4);
}

static void each_accepted_was_taken_once(void)
{
    for (int producer = 0; producer < 2; producer++)
        for (int i = 0; i < PER_THREAD; i++)
            CHECK_EQ(box.taken[producer][i], box.accepted[producer][i]);
}

SCENARIO(an_injector_gives_each_task_once, .share = 80)
{
    box.mixes = sim_choose(2);
    unsigned threads[] = {sim_spawn(produce, (void *)0), sim_spawn(produce, (void *)1),
                          sim_spawn(consume, NULL)};
    consume(NULL);
    for (int i = 0; i < 3; i++)
        sim_join(threads[i]);
    take_the_rest();
    each_accepted_was_taken_once();
    CHECK_EQ(load_relaxed(&box.takers), 2 * PER_THREAD);
}

SCENARIO(a_closed_injector_has_accepted_or_refused, .share = 60)
{
    unsigned threads[] = {sim_spawn(produce, (void *)0), sim_spawn(consume, NULL)};
    sp__injector_close(&box.injector);
    CHECK(sp__injector_is_closed(&box.injector));
    push(1, 0, 1);
    CHECK(!box.accepted[1][0]);
    sim_join(threads[0]);
    sim_join(threads[1]);
    take_the_rest();
    each_accepted_was_taken_once();
}

/* First in, first out: one producer, and takers one after another. */
SCENARIO(an_injector_keeps_the_order, .share = 30)
{
    unsigned producer = sim_spawn(produce, (void *)0);
    uint32_t next = 0;
    while (next < PER_THREAD) {
        sp_task *task;
        uint32_t n;
        if (sp__injector_take(&box.injector, SP__LANE_ALL, &task, 1, &n) ==
            SP__INJECT_TAKEN) {
            CHECK_EQ(((struct item *)task)->number, next);
            next++;
        } else {
            sp__os_yield();
        }
    }
    sim_join(producer);
}
