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

/* ------------------------------------------------------- crates and groups */

/* tasks[first] ... tasks[last], as one entry. */
static void spill_crate(struct sp__injector *injector, int first, int last)
{
    struct sp__batch batch = {.newest = NULL};
    struct sp__crate *crate = sp__crate_new(N);
    CHECK(crate);
    for (int i = first; i <= last; i++)
        crate->tasks[crate->end++] = &tasks[i];
    sp__batch_add(&batch, &crate->entry);
    sp__injector_spill(injector, &batch);
}

static void a_crate_is_unpacked_in_its_turn(void)
{
    struct sp__injector *injector = new_injector();
    push(injector, 0, 1);
    spill_crate(injector, 2, 5);
    spill_crate(injector, 6, 6);
    push(injector, 7, 8);
    CHECK_EQ(take(injector, 0, 3), 3);
    CHECK_EQ(load_relaxed(&injector->n_normal), 6);
    CHECK_EQ(take(injector, 3, 1), 1);
    CHECK_EQ(take(injector, 4, N), 5);
    CHECK(sp__injector_is_empty(injector));
    CHECK_EQ(load_relaxed(&injector->n_normal), 0);
    spill_crate(injector, 9, 9);
    CHECK_EQ(take(injector, 9, N), 1);
    sp__free(injector);
}

static sp_group groups[2];

static void set_groups(const char *letters)
{
    for (int i = 0; i < N; i++)
        tasks[i].group = letters[i] == '.' ? NULL : &groups[letters[i] - 'a'];
}

/* Those of a group, by their numbers. */
static void check_taken_of(struct sp__injector *injector, int group, uint32_t max,
                           const char *numbers)
{
    sp_task *taken[N];
    uint32_t n = 0, arrivals = 0;
    enum sp__inject_result result =
        sp__injector_take_of(injector, &groups[group], taken, max, &n, &arrivals);
    CHECK_EQ(result == SP__INJECT_TAKEN, *numbers != 0);
    CHECK_EQ(n, strlen(numbers));
    for (uint32_t i = 0; i < n; i++)
        CHECK(taken[i] == &tasks[numbers[i] - '0'], "%u", i);
    if (result != SP__INJECT_TAKEN)
        CHECK(!sp__injector_has_arrivals(injector, arrivals));
}

static void those_of_a_group_are_taken_from_among_others(void)
{
    for (int way = 0; way < 4; way++) {
        struct sp__injector *injector = new_injector();
        set_groups(".a.aab.ab.");
        for (int i = 0; i < N; i += 5)
            if (way & (i ? 1 : 2))
                spill_crate(injector, i, i + 4);
            else
                push(injector, i, i + 4);
        CHECK(sp__injector_has_arrivals(injector, sp__injector_arrivals(injector)));
        check_taken_of(injector, 0, 2, "13");
        check_taken_of(injector, 0, N, "47");
        check_taken_of(injector, 0, N, "");
        check_taken_of(injector, 1, 1, "5");
        CHECK_EQ(load_relaxed(&injector->n_normal), 5);
        sp_task *taken[N];
        uint32_t n = 0;
        CHECK_EQ(sp__injector_take(injector, SP__LANE_ALL, taken, 3, &n),
                 SP__INJECT_TAKEN);
        CHECK(n == 3 && taken[0] == &tasks[0] && taken[1] == &tasks[2] &&
              taken[2] == &tasks[6]);
        check_taken_of(injector, 1, N, "8");
        check_taken_of(injector, 1, N, "");
        CHECK_EQ(take(injector, 9, N), 1);
        CHECK(sp__injector_is_empty(injector));
        set_groups("..........");
        sp__free(injector);
    }
}

/* The place up to which a group was looked for is the last one, or is taken. */
static void what_comes_later_is_looked_at_from_where_it_was_left(void)
{
    struct sp__injector *injector = new_injector();
    set_groups("..a.a..a.a");
    push(injector, 0, 1);
    check_taken_of(injector, 0, N, "");
    push(injector, 2, 3);
    check_taken_of(injector, 0, N, "2");
    CHECK_EQ(take(injector, 0, 2), 2);
    CHECK_EQ(take(injector, 3, 1), 1);
    CHECK(sp__injector_is_empty(injector));
    push(injector, 4, 4);
    check_taken_of(injector, 0, N, "4");
    CHECK(sp__injector_is_empty(injector));
    spill_crate(injector, 5, 6);
    check_taken_of(injector, 0, N, "");
    push(injector, 7, 7);
    check_taken_of(injector, 0, N, "7");
    CHECK_EQ(take(injector, 5, 1), 1);
    push(injector, 9, 9);
    check_taken_of(injector, 0, N, "9");
    CHECK_EQ(take(injector, 6, N), 1);
    CHECK(sp__injector_is_empty(injector));
    set_groups("..........");
    sp__free(injector);
}

static void a_high_task_of_another_group_stays_urgent(void)
{
    struct sp__injector *injector = new_injector();
    mix_priorities();
    set_groups("..a.......");
    push(injector, 0, 2);
    check_taken_of(injector, 0, N, "2");
    CHECK(sp__injector_is_urgent(injector));
    set_groups("..........");
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
    RUN(a_crate_is_unpacked_in_its_turn);
    RUN(those_of_a_group_are_taken_from_among_others);
    RUN(what_comes_later_is_looked_at_from_where_it_was_left);
    RUN(a_high_task_of_another_group_stays_urgent);
    return 0;
}
