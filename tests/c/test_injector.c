/* sched/injector.h */
#include "base/memory.h"
#include "check.h"
#include "sched/injector.h"

#define N 10

static sp_task tasks[N];

static struct sp__injector *new_injector(void)
{
    struct sp__injector *injector = sp__alloc(sizeof *injector);
    CHECK(injector);
    return injector;
}

/* tasks[first] ... tasks[last], the oldest first. */
static struct sp__batch batch_of(int first, int last)
{
    struct sp__batch batch = {.newest = NULL};
    for (int i = first; i <= last; i++)
        sp__batch_add(&batch, &tasks[i]);
    return batch;
}

static bool push(struct sp__injector *injector, int first, int last)
{
    struct sp__batch batch = batch_of(first, last);
    return sp__injector_push(injector, &batch);
}

/* Take up to `max` and check that they are those from `first`. */
static int take(struct sp__injector *injector, int first, uint32_t max)
{
    sp_task *taken[N];
    uint32_t n = 12345;
    switch (sp__injector_take(injector, SP__LANE_ALL, taken, max, &n)) {
    case SP__INJECT_TAKEN:
        CHECK(n >= 1 && n <= max);
        for (uint32_t i = 0; i < n; i++)
            CHECK(taken[i] == &tasks[first + (int)i], "%u of %u", i, n);
        return (int)n;
    case SP__INJECT_NONE:
        CHECK_EQ(n, 12345, "written without a task");
        return 0;
    case SP__INJECT_MOVED:
        CHECK(!"tasks of other lanes, but all lanes were asked for");
        return 0;
    case SP__INJECT_MAYBE:
        return -1;
    }
    return -2;
}

static void a_new_injector_is_empty_and_open(void)
{
    struct sp__injector *injector = new_injector();
    CHECK(sp__injector_is_empty(injector));
    CHECK(!sp__injector_is_closed(injector));
    CHECK_EQ(take(injector, 0, N), 0);
    sp__free(injector);
}

static void the_first_in_is_the_first_out(void)
{
    struct sp__injector *injector = new_injector();
    for (int i = 0; i < 4; i++)
        CHECK(push(injector, i, i));
    CHECK_EQ(take(injector, 0, 1), 1);
    CHECK(push(injector, 4, 6));
    CHECK_EQ(take(injector, 1, 2), 2);
    CHECK(push(injector, 7, 9));
    CHECK(!sp__injector_is_empty(injector));
    CHECK_EQ(take(injector, 3, N), 1); /* the stash; the inbox is left alone */
    CHECK_EQ(take(injector, 4, N), 6);
    CHECK(sp__injector_is_empty(injector));
    CHECK_EQ(take(injector, 0, N), 0);
    sp__free(injector);
}

static void what_is_left_stays_in_the_stash(void)
{
    struct sp__injector *injector = new_injector();
    CHECK(push(injector, 0, 4));
    for (int i = 0; i < 5; i++) {
        CHECK(!sp__injector_is_empty(injector), "task %d", i);
        CHECK_EQ(load_relaxed(&injector->n_normal), i ? 5 - i : 0);
        CHECK_EQ(take(injector, i, 1), 1);
    }
    CHECK(sp__injector_is_empty(injector));
    CHECK(push(injector, 5, 6));
    CHECK_EQ(take(injector, 5, N), 2);
    sp__free(injector);
}

static void a_held_lock_means_maybe(void)
{
    struct sp__injector *injector = new_injector();
    CHECK(push(injector, 0, 0));
    store_relaxed(&injector->lock, 1u);
    CHECK_EQ(take(injector, 0, N), -1);
    CHECK(!sp__injector_is_empty(injector));
    CHECK(push(injector, 1, 1)); /* a submitter needs no lock */
    store_relaxed(&injector->lock, 0u);
    int n;
    while ((n = take(injector, 0, N)) < 0)
        ; /* a weak compare-exchange may fail for no reason */
    CHECK_EQ(n, 2);
    sp__free(injector);
}

static void a_closed_injector_refuses_but_gives(void)
{
    struct sp__injector *injector = new_injector();
    CHECK(push(injector, 0, 2));
    sp__injector_close(injector);
    sp__injector_close(injector);
    CHECK(sp__injector_is_closed(injector));
    CHECK(!sp__injector_is_empty(injector));
    CHECK(!push(injector, 3, 4));
    CHECK_EQ(take(injector, 0, 1), 1);
    CHECK(sp__injector_is_closed(injector));
    CHECK(!push(injector, 3, 4));
    CHECK_EQ(take(injector, 1, N), 2);
    CHECK(sp__injector_is_empty(injector));
    CHECK(sp__injector_is_closed(injector));
    sp__free(injector);
}

static void a_spill_is_taken_in_even_when_closed(void)
{
    struct sp__injector *injector = new_injector();
    sp__injector_close(injector);
    struct sp__batch batch = batch_of(0, 1);
    sp__injector_spill(injector, &batch);
    CHECK(sp__injector_is_closed(injector));
    CHECK(!sp__injector_is_empty(injector));
    CHECK_EQ(take(injector, 0, N), 2);
    sp__free(injector);
}

/* -------------------------------------------------------------------- lanes */

/* h0 n1 l2 h3 n4 l5 ... */
static void mix_priorities(void)
{
    for (int i = 0; i < N; i++)
        sp_task_set_priority(&tasks[i], SP_PRIORITY_HIGH - i % 3);
}

static void reset_priorities(void)
{
    for (int i = 0; i < N; i++)
        sp_task_set_priority(&tasks[i], SP_PRIORITY_NORMAL);
}

static void check_taken(struct sp__injector *injector, uint32_t lanes, uint32_t max,
                        const int *wanted, uint32_t n_wanted)
{
    sp_task *taken[N];
    uint32_t n = 0;
    CHECK_EQ(sp__injector_take(injector, lanes, taken, max, &n), SP__INJECT_TAKEN);
    CHECK_EQ(n, n_wanted, "from %d", wanted[0]);
    for (uint32_t i = 0; i < n; i++)
        CHECK_EQ(taken[i] - tasks, wanted[i], "%u of %u", i, n);
}

static void the_highest_lane_comes_first_and_each_is_in_order(void)
{
    struct sp__injector *injector = new_injector();
    mix_priorities();
    CHECK(push(injector, 0, 4));
    CHECK(push(injector, 5, N - 1));
    static const int order[] = {0, 3, 6, 9, 1, 4, 7, 2, 5, 8};
    for (int i = 0; i < 4; i++) /* one at a time, whatever is asked for */
        check_taken(injector, SP__LANE_ALL, N, &order[i], 1);
    CHECK(!sp__injector_is_urgent(injector));
    check_taken(injector, SP__LANE_ALL, N, &order[4], 3);
    for (int i = 7; i < N; i++)
        check_taken(injector, SP__LANE_ALL, N, &order[i], 1);
    CHECK(sp__injector_is_empty(injector));
    reset_priorities();
    sp__free(injector);
}

/* The inbox is left to its submitters only as long as the stash will do. */
static void what_comes_later_is_found_in_the_inbox_in_time(void)
{
    struct sp__injector *injector = new_injector();
    mix_priorities();
    CHECK(push(injector, 1, 2)); /* a normal, a low one */
    CHECK(push(injector, 4, 5));
    check_taken(injector, SP__LANE_ALL, 1, (int[]){1}, 1);
    CHECK(push(injector, 7, 7));
    CHECK(push(injector, 3, 3)); /* a high one, while the stash has a normal one */
    check_taken(injector, SP__LANE_ALL, 1, (int[]){3}, 1);
    check_taken(injector, SP__LANE_ALL, N, (int[]){4, 7}, 2);
    CHECK(push(injector, 8, 8)); /* a low one, as in the stash */
    CHECK(push(injector, 1, 1)); /* a normal one, while the stash has low ones */
    check_taken(injector, SP__LANE_ALL, N, (int[]){1}, 1);
    for (int i = 2; i < 9; i += 3)
        check_taken(injector, SP__LANE_ALL, N, &i, 1);
    CHECK(sp__injector_is_empty(injector));
    reset_priorities();
    sp__free(injector);
}

static void only_the_lanes_asked_for_are_taken(void)
{
    struct sp__injector *injector = new_injector();
    sp_task *taken[N];
    uint32_t n = 0;
    mix_priorities();
    CHECK(push(injector, 1, 2)); /* a normal, a low one */
    CHECK(!sp__injector_is_urgent(injector));
    CHECK_EQ(sp__injector_take(injector, SP__LANE_HIGH, taken, N, &n),
             SP__INJECT_MOVED);
    CHECK_EQ(sp__injector_take(injector, SP__LANE_HIGH, taken, N, &n), SP__INJECT_NONE);
    CHECK(!sp__injector_is_empty(injector));
    check_taken(injector, SP__LANE_LOW, N, (int[]){2}, 1);
    CHECK(!sp__injector_is_empty(injector));
    CHECK_EQ(sp__injector_take(injector, SP__LANE_LOW, taken, N, &n), SP__INJECT_NONE);
    check_taken(injector, SP__LANE_HIGH | SP__LANE_NORMAL, N, (int[]){1}, 1);
    CHECK(sp__injector_is_empty(injector));
    reset_priorities();
    sp__free(injector);
}

static void a_high_task_is_urgent_until_it_is_taken(void)
{
    struct sp__injector *injector = new_injector();
    sp_task *taken[N];
    uint32_t n = 0;
    mix_priorities();
    CHECK(push(injector, 1, 1));
    CHECK(!sp__injector_is_urgent(injector));
    CHECK(push(injector, 0, 0));
    CHECK(sp__injector_is_urgent(injector));
    check_taken(injector, SP__LANE_NORMAL, N, (int[]){1}, 1);
    CHECK(sp__injector_is_urgent(injector));
    check_taken(injector, SP__LANE_HIGH, N, (int[]){0}, 1);
    CHECK(!sp__injector_is_urgent(injector));
    /* A hint that came too late goes away at the next look. */
    store_relaxed(&injector->is_urgent, SP__LANE_HIGH);
    CHECK_EQ(sp__injector_take(injector, SP__LANE_HIGH, taken, N, &n), SP__INJECT_NONE);
    CHECK(!sp__injector_is_urgent(injector));
    reset_priorities();
    sp__free(injector);
}

static void tasks_of_all_lanes_are_refused_together(void)
{
    struct sp__injector *injector = new_injector();
    mix_priorities();
    sp__injector_close(injector);
    CHECK(!push(injector, 0, 2));
    CHECK(!sp__injector_is_urgent(injector));
    CHECK(sp__injector_is_empty(injector));
    reset_priorities();
    sp__free(injector);
}

int main(void)
{
    RUN(a_new_injector_is_empty_and_open);
    RUN(the_first_in_is_the_first_out);
    RUN(what_is_left_stays_in_the_stash);
    RUN(a_held_lock_means_maybe);
    RUN(a_closed_injector_refuses_but_gives);
    RUN(a_spill_is_taken_in_even_when_closed);
    RUN(the_highest_lane_comes_first_and_each_is_in_order);
    RUN(what_comes_later_is_found_in_the_inbox_in_time);
    RUN(only_the_lanes_asked_for_are_taken);
    RUN(a_high_task_is_urgent_until_it_is_taken);
    RUN(tasks_of_all_lanes_are_refused_together);
    return 0;
}
