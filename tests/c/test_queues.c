/* The queues of a lane whose threads run in parallel, by one thread that plays all. */
#include "base/os.h"
#include "check.h"
#include "queues.h"

enum { HIGH = SP_LANE_HIGH, NORMAL = SP_LANE_NORMAL, LOW = SP_LANE_LOW };
enum { MANY = 8 * SP_LANE_PATIENCE, OUTSIDE = 0 };

static struct sp_queues queues;
static struct sp_taker a, b;
static struct sp_call calls[MANY];

/* With two threads. */
static void begin(void)
{
    memset(&queues, 0, sizeof queues);
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    memset(calls, 0, sizeof calls);
    sp_queues_init(&queues);
    sp_queues_join(&queues, &a);
    sp_queues_join(&queues, &b);
}

static void put(int from, int to, uint32_t place)
{
    for (int i = from; i < to; i++)
        sp_queues_put(&queues, place, &calls[i], NORMAL);
}

static int take(struct sp_taker *taker)
{
    struct sp_call *call = sp_queues_take(&queues, taker);
    return call ? (int)(call - calls) : -1;
}

static uint32_t queued_at(struct sp_taker *taker)
{
    return queues.threads[taker->place - 2].queued;
}

/* ------------------------------------------------------------------- order */

static void calls_from_elsewhere_are_taken_in_their_order(void)
{
    begin();
    put(0, MANY, OUTSIDE);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(take(i % 3 ? &a : &b), i);
    CHECK_EQ(take(&a), -1);
}

static void calls_of_a_thread_are_taken_in_their_order(void)
{
    begin();
    put(0, MANY, a.place);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(take(&a), i);
}

static void a_thread_takes_its_own_calls_first(void)
{
    begin();
    put(0, 1, OUTSIDE);
    put(1, 2, b.place);
    put(2, 3, a.place);
    CHECK_EQ(take(&a), 2);
    CHECK_EQ(take(&a), 0);
    CHECK_EQ(take(&a), 1);
}

/* -------------------------------------------------------------- taking along */

static void a_thief_takes_half_along(void)
{
    begin();
    put(0, 9, a.place);
    CHECK_EQ(take(&b), 0);
    CHECK(b.has_moved);
    CHECK_EQ(queued_at(&b), 4);
    CHECK_EQ(queued_at(&a), 4);
    for (int i = 1; i < 5; i++) {
        CHECK_EQ(take(&b), i);
        CHECK(!b.has_moved);
        CHECK_EQ(take(&a), i + 4);
    }
    CHECK_EQ(sp_queues_count(&queues), 0);
}

static void a_thief_takes_no_more_than_the_patience_has(void)
{
    begin();
    put(0, MANY, a.place);
    CHECK_EQ(take(&b), 0);
    CHECK_EQ(queued_at(&b), SP_LANE_PATIENCE - 1);
    CHECK_EQ(queued_at(&a), MANY - SP_LANE_PATIENCE);
}

static void the_last_call_is_stolen_alone(void)
{
    begin();
    put(0, 1, a.place);
    CHECK_EQ(take(&b), 0);
    CHECK(!b.has_moved);
}

static struct sp_calls *held; /* by another thread, until somebody waits for it */

#ifdef CAN_WRAP
void __wrap_sp__os_yield(void);

void __wrap_sp__os_yield(void)
{
    CHECK(held, "nobody has the lock");
    sp_calls_unlock(held);
    held = NULL;
}

static void hold(struct sp_calls *which)
{
    held = which;
    CHECK(sp_calls_try_lock(held));
}
#endif

static void who_had_to_wait_at_the_entrance_takes_his_share_along(void)
{
#ifdef CAN_WRAP
    begin();
    put(0, 8, OUTSIDE);
    CHECK_EQ(take(&a), 0);
    CHECK(!a.has_moved);
    hold(&queues.entrance);
    CHECK_EQ(take(&a), 1);
    CHECK(a.has_moved);
    CHECK_EQ(queued_at(&a), 3); /* half of six, for there are two threads */
    for (int i = 2; i < 5; i++)
        CHECK_EQ(take(&a), i);
    for (int i = 5; i < 8; i++)
        CHECK_EQ(take(&b), i);
    put(0, MANY, OUTSIDE);
    hold(&queues.entrance);
    CHECK_EQ(take(&a), 0);
    CHECK_EQ(queued_at(&a), SP_LANE_PATIENCE - 1);
#endif
}

static void the_only_thread_takes_nothing_along(void)
{
#ifdef CAN_WRAP
    begin();
    store_relaxed(&queues.used, 1);
    put(0, 8, OUTSIDE);
    hold(&queues.entrance);
    CHECK_EQ(take(&a), 0);
    CHECK(!a.has_moved);
#endif
}

static void what_is_taken_along_never_waits_behind_others(void)
{
#ifdef CAN_WRAP
    begin();
    put(0, 8, OUTSIDE);
    sp_queues_put(&queues, OUTSIDE, &calls[20], HIGH);
    put(8, 10, a.place);
    hold(&queues.entrance);
    CHECK_EQ(take(&a), 20);
    CHECK(!a.has_moved);
    CHECK_EQ(queued_at(&a), 2);
#endif
}

/* ---------------------------------------------------------------- priorities */

static void a_high_call_comes_before_those_of_the_own_queue(void)
{
    begin();
    put(0, 3, a.place);
    sp_queues_put(&queues, a.place, &calls[3], HIGH);
    CHECK_EQ(take(&a), 3);
    CHECK_EQ(take(&a), 0);
    sp_queues_put(&queues, b.place, &calls[4], HIGH);
    CHECK_EQ(take(&a), 4);
}

static void a_low_call_comes_after_those_of_other_threads(void)
{
    begin();
    sp_queues_put(&queues, a.place, &calls[0], LOW);
    put(1, 2, OUTSIDE);
    put(2, 3, b.place);
    put(3, 4, a.place);
    CHECK_EQ(take(&a), 3);
    CHECK_EQ(take(&a), 1);
    CHECK_EQ(take(&a), 2);
    CHECK_EQ(take(&a), 0);
}

/* How many calls of the taker come before `call`, if there is always one. */
static int ahead_of(int call, struct sp_taker *taker, uint32_t place, uint32_t priority)
{
    for (int n = 0; n < MANY; n++) {
        sp_queues_put(&queues, place, &calls[1], priority);
        int taken = take(taker);
        if (taken == call)
            return n;
        CHECK_EQ(taken, 1);
        sp_queues_remove(&queues, &calls[1]);
    }
    return MANY;
}

static void a_low_call_has_its_turn_beside_a_thread_that_feeds_itself(void)
{
    begin();
    sp_queues_put(&queues, OUTSIDE, &calls[0], LOW);
    CHECK_EQ(ahead_of(0, &a, a.place, NORMAL), SP_LANE_PATIENCE);
}

static void a_low_call_has_its_turn_beside_calls_that_are_taken_along(void)
{
    begin();
    sp_queues_put(&queues, OUTSIDE, &calls[0], LOW);
    CHECK_EQ(ahead_of(0, &a, b.place, NORMAL), SP_LANE_PATIENCE);
}

static void a_call_of_a_busy_thread_has_its_turn_beside_an_endless_entrance(void)
{
    begin();
    put(0, 1, b.place);
    CHECK(ahead_of(0, &a, OUTSIDE, NORMAL) < 2 * SP_LANE_PATIENCE);
}

static void an_own_call_has_its_turn_beside_endless_high_ones(void)
{
    begin();
    put(0, 1, a.place);
    CHECK(ahead_of(0, &a, OUTSIDE, HIGH) < 2 * SP_LANE_PATIENCE);
    begin();
    put(0, 1, b.place);
    CHECK(ahead_of(0, &a, OUTSIDE, HIGH) < 2 * SP_LANE_PATIENCE);
}

/* ------------------------------------------------------------- for anybody */

static void a_call_is_removed_wherever_it_is(void)
{
    begin();
    put(0, 8, a.place);
    CHECK_EQ(take(&b), 0); /* and takes 1, 2 and 3 along */
    put(8, 9, OUTSIDE);
    for (int i = 1; i < 9; i++) {
        CHECK(sp_queues_remove(&queues, &calls[i]), "call %d", i);
        CHECK(!sp_queues_remove(&queues, &calls[i]), "call %d", i);
    }
    CHECK(!sp_queues_remove(&queues, &calls[0]), "it was taken");
    CHECK(sp_queues_look_empty(&queues));
}

static void anybody_takes_the_highest_of_all_queues(void)
{
    begin();
    sp_queues_put(&queues, OUTSIDE, &calls[0], LOW);
    put(1, 2, b.place);
    sp_queues_put(&queues, OUTSIDE, &calls[2], HIGH);
    CHECK_EQ(sp_queues_count(&queues), 3);
    for (int i = 2; i >= 0; i--) {
        CHECK(!sp_queues_look_empty(&queues));
        CHECK(sp_queues_pop(&queues) == &calls[i], "call %d", i);
    }
    CHECK(!sp_queues_pop(&queues));
    CHECK(sp_queues_look_empty(&queues));
    CHECK_EQ(sp_queues_count(&queues), 0);
}

static void many_threads_share_queues(void)
{
    struct sp_taker takers[2 * SP_LANE_QUEUES + 1] = {{0}};
    memset(&queues, 0, sizeof queues);
    sp_queues_init(&queues);
    for (int i = 0; i <= 2 * SP_LANE_QUEUES; i++) {
        sp_queues_join(&queues, &takers[i]);
        CHECK_EQ(takers[i].place, 2u + (unsigned)i % SP_LANE_QUEUES);
    }
    for (int i = 0; i <= 2 * SP_LANE_QUEUES; i++) {
        put(i, i + 1, takers[i].place);
        CHECK_EQ(take(&takers[(i + 5) % SP_LANE_QUEUES]), i);
    }
}

int main(void)
{
    RUN(calls_from_elsewhere_are_taken_in_their_order);
    RUN(calls_of_a_thread_are_taken_in_their_order);
    RUN(a_thread_takes_its_own_calls_first);
    RUN(a_thief_takes_half_along);
    RUN(a_thief_takes_no_more_than_the_patience_has);
    RUN(the_last_call_is_stolen_alone);
    RUN(who_had_to_wait_at_the_entrance_takes_his_share_along);
    RUN(the_only_thread_takes_nothing_along);
    RUN(what_is_taken_along_never_waits_behind_others);
    RUN(a_high_call_comes_before_those_of_the_own_queue);
    RUN(a_low_call_comes_after_those_of_other_threads);
    RUN(a_low_call_has_its_turn_beside_a_thread_that_feeds_itself);
    RUN(a_low_call_has_its_turn_beside_calls_that_are_taken_along);
    RUN(a_call_of_a_busy_thread_has_its_turn_beside_an_endless_entrance);
    RUN(an_own_call_has_its_turn_beside_endless_high_ones);
    RUN(a_call_is_removed_wherever_it_is);
    RUN(anybody_takes_the_highest_of_all_queues);
    RUN(many_threads_share_queues);
    return 0;
}
