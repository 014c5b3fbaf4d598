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

/* Link tasks[first] ... tasks[last], oldest first, as push() wants them. */
static bool push(struct sp__injector *injector, int first, int last)
{
    for (int i = last; i > first; i--)
        tasks[i].next = &tasks[i - 1];
    return sp__injector_push(injector, &tasks[last], &tasks[first]);
}

/* Take up to `max` and check that they are those from `first`. */
static int take(struct sp__injector *injector, int first, uint32_t max)
{
    sp_task *taken[N];
    uint32_t n = 12345;
    switch (sp__injector_take(injector, taken, max, &n)) {
    case SP__INJECT_TAKEN:
        CHECK(n >= 1 && n <= max);
        for (uint32_t i = 0; i < n; i++)
            CHECK(taken[i] == &tasks[first + (int)i], "%u of %u", i, n);
        return (int)n;
    case SP__INJECT_NONE:
        CHECK_EQ(n, 12345, "written without a task");
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
    CHECK_EQ(take(injector, 3, N), 7);
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
        CHECK_EQ(load_relaxed(&injector->stashed), i ? 5 - i : 0);
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
    tasks[1].next = &tasks[0];
    sp__injector_spill(injector, &tasks[1], &tasks[0]);
    CHECK(sp__injector_is_closed(injector));
    CHECK(!sp__injector_is_empty(injector));
    CHECK_EQ(take(injector, 0, N), 2);
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
    return 0;
}
