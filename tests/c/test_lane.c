/* A Python lane's queue and seats, without Python. */
#include "base/os.h"
#include "check.h"
#include "lane.h"
#include "threads.h"

enum { HIGH = SP_LANE_HIGH, NORMAL = SP_LANE_NORMAL, LOW = SP_LANE_LOW };

static struct sp_lane lane;

static void begin(uint32_t threads)
{
    memset(&lane, 0, sizeof lane);
    sp_lane_init(&lane, threads, false);
}

/* A thread that has come because it was asked for. */
static void sit(struct sp_seat *seat)
{
    memset(seat, 0, sizeof *seat);
    sp_lane_sit(&lane, seat);
}

static enum sp_lane_need put(struct sp_call *call)
{
    memset(call, 0, sizeof *call);
    return sp_lane_put(&lane, call, NORMAL);
}

/* ------------------------------------------------------------ the queues */

static void calls_of_one_priority_come_in_order(void)
{
    struct sp_call calls[5];
    begin(1);
    for (int i = 0; i < 5; i++)
        put(&calls[i]);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sp_lane_queued(&lane), (uint32_t)(5 - i));
        CHECK(sp_lane_take_any(&lane) == &calls[i], "call %d", i);
    }
    CHECK(!sp_lane_take_any(&lane));
    CHECK_EQ(sp_lane_queued(&lane), 0);
}

static void a_higher_priority_comes_first(void)
{
    struct sp_call calls[3] = {{0}};
    begin(1);
    sp_lane_put(&lane, &calls[LOW], LOW);
    sp_lane_put(&lane, &calls[NORMAL], NORMAL);
    sp_lane_put(&lane, &calls[HIGH], HIGH);
    for (int i = HIGH; i <= LOW; i++)
        CHECK(sp_lane_take_any(&lane) == &calls[i], "priority %d", i);
}

static void a_call_that_is_passed_over_comes_in_the_end(void)
{
    struct sp_call low = {0}, normal = {0}, high[4 * SP_LANE_PATIENCE] = {{0}};
    int n = 0, low_at = -1, normal_at = -1;
    begin(1);
    sp_lane_put(&lane, &low, LOW);
    sp_lane_put(&lane, &normal, NORMAL);
    for (int i = 0; i < 4 * SP_LANE_PATIENCE; i++)
        sp_lane_put(&lane, &high[i], HIGH);
    for (struct sp_call *call; (call = sp_lane_take_any(&lane)); n++) {
        if (call == &low)
            low_at = n;
        if (call == &normal)
            normal_at = n;
    }
    CHECK_EQ(n, 4 * SP_LANE_PATIENCE + 2);
    CHECK_EQ(low_at, SP_LANE_PATIENCE);
    CHECK_EQ(normal_at, SP_LANE_PATIENCE + 1);
}

static void low_calls_get_their_share_for_ever(void)
{
    struct sp_call low[8] = {{0}}, high = {0};
    int served = 0;
    begin(1);
    for (int i = 0; i < 8; i++)
        sp_lane_put(&lane, &low[i], LOW);
    for (int i = 0; i < 8 * (SP_LANE_PATIENCE + 1); i++) {
        if (!load_relaxed(&high.place))
            sp_lane_put(&lane, &high, HIGH);
        served += sp_lane_take_any(&lane) != &high;
    }
    CHECK_EQ(served, 8);
}

static void a_removed_call_is_not_taken(void)
{
    struct sp_call calls[3];
    begin(1);
    for (int order = 0; order < 3; order++) {
        for (int i = 0; i < 3; i++)
            put(&calls[i]);
        CHECK(sp_lane_remove(&lane, &calls[order]));
        CHECK(!sp_lane_remove(&lane, &calls[order]));
        for (int i = 0; i < 3; i++) {
            if (i != order)
                CHECK(sp_lane_take_any(&lane) == &calls[i], "call %d", i);
        }
        CHECK(!sp_lane_take_any(&lane));
    }
}

/* ---------------------------------------------------------- who is called */

static void a_thread_is_asked_for_when_none_will_come(void)
{
    struct sp_call calls[4];
    struct sp_seat seat;
    begin(2);
    CHECK_EQ(put(&calls[0]), SP_LANE_THREAD);
    sit(&seat);
    CHECK(sp_lane_take(&lane, &seat) == &calls[0]);
    CHECK(!sp_lane_take(&lane, &seat)); /* has run it, and is idle */
    CHECK_EQ(put(&calls[1]), SP_LANE_NOTHING);
    CHECK_EQ(put(&calls[2]), SP_LANE_THREAD);
    CHECK_EQ(put(&calls[3]), SP_LANE_NOTHING, "two threads are all there are");
    sp_lane_leave(&lane, &seat);
}

static void a_thread_inside_a_callable_is_not_counted_on(void)
{
    struct sp_call calls[2];
    struct sp_seat seat;
    begin(2);
    put(&calls[0]);
    sit(&seat);
    CHECK(sp_lane_take(&lane, &seat) == &calls[0]);
    CHECK_EQ(put(&calls[1]), SP_LANE_THREAD);
    sp_lane_leave(&lane, &seat);
}

static void a_thread_that_failed_to_start_is_asked_for_again(void)
{
    struct sp_call calls[2];
    begin(1);
    CHECK_EQ(put(&calls[0]), SP_LANE_THREAD);
    CHECK_EQ(put(&calls[1]), SP_LANE_NOTHING);
    sp_lane_thread_failed(&lane);
    CHECK(sp_lane_remove(&lane, &calls[1]));
    CHECK_EQ(put(&calls[1]), SP_LANE_THREAD);
}

/* Makes `n` idle threads. */
static void make_idle(struct sp_seat *seats, int n)
{
    struct sp_call calls[8];
    for (int i = 0; i < n; i++) {
        CHECK_EQ(put(&calls[i]), SP_LANE_THREAD);
        sit(&seats[i]);
        CHECK(sp_lane_take(&lane, &seats[i]) == &calls[i]);
    }
    for (int i = 0; i < n; i++)
        CHECK(!sp_lane_take(&lane, &seats[i]));
    CHECK_EQ(sp_lane_idle_threads(&lane), (uint32_t)n);
}

static void one_thread_is_called_for_many_calls(void)
{
    struct sp_seat seats[3];
    struct sp_call calls[3];
    begin(3);
    make_idle(seats, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(put(&calls[i]), SP_LANE_NOTHING);
    CHECK_EQ(sp_lane_idle_threads(&lane), 2);
    CHECK(seats[2].is_called, "the last one to go idle");
}

static void who_takes_a_call_and_leaves_others_calls_the_next(void)
{
    struct sp_seat seats[3];
    struct sp_call calls[3];
    begin(3);
    make_idle(seats, 3);
    for (int i = 0; i < 3; i++)
        put(&calls[i]);
    CHECK(sp_lane_take(&lane, &seats[2]) == &calls[0]);
    CHECK_EQ(sp_lane_idle_threads(&lane), 1);
    CHECK(seats[1].is_called);
    CHECK(sp_lane_take(&lane, &seats[2]) == &calls[1]); /* before the called one */
    CHECK_EQ(sp_lane_idle_threads(&lane), 1);
    CHECK(sp_lane_take(&lane, &seats[1]) == &calls[2]);
    CHECK_EQ(sp_lane_idle_threads(&lane), 1, "nothing is left");
}

static void each_call_calls_a_thread_while_they_come_late(void)
{
    struct sp_seat seats[3];
    struct sp_call calls[6];
    begin(3);
    make_idle(seats, 3);
    put(&calls[0]);
    put(&calls[1]);
    CHECK_EQ(sp_lane_idle_threads(&lane), 2, "one is on its way");
    seats[2].is_late = true; /* another thread had the GIL, and would not leave it */
    CHECK(sp_lane_take(&lane, &seats[2]) == &calls[0]);
    CHECK(sp_lane_take(&lane, &seats[2]) == &calls[1]);
    put(&calls[2]);
    CHECK_EQ(sp_lane_idle_threads(&lane), 0, "seats[1] was called for calls[1]");
    CHECK(!seats[1].is_late);
    CHECK(sp_lane_take(&lane, &seats[1]) == &calls[2]); /* in time */
    CHECK(!sp_lane_take(&lane, &seats[1]));
    CHECK(!sp_lane_take(&lane, &seats[0]));
    put(&calls[3]);
    put(&calls[4]);
    CHECK_EQ(sp_lane_idle_threads(&lane), 1);
}

static void a_closed_lane_is_over_when_it_is_empty(void)
{
    struct sp_seat seats[2];
    struct sp_call call;
    begin(2);
    make_idle(seats, 2);
    put(&call);
    sp_lane_close(&lane);
    CHECK(!sp_lane_is_over(&lane));
    CHECK_EQ(sp_lane_idle_threads(&lane), 0);
    sp_lane_wait(&lane, &seats[0]); /* returns: it was called */
    CHECK(sp_lane_take(&lane, &seats[0]) == &call);
    CHECK(!sp_lane_take(&lane, &seats[0]));
    CHECK(sp_lane_is_over(&lane));
}

/* ----------------------------------------------------------- without a GIL */

/* Two threads in seats[0] and seats[1], each with a call to run. */
static void begin_at_work(struct sp_seat *seats, struct sp_call *calls)
{
    begin(2);
    lane.is_parallel = true;
    sp_lane_enter(&lane);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(put(&calls[i]), SP_LANE_THREAD);
        sit(&seats[i]); /* from now on we submit as this one */
        CHECK(sp_lane_take(&lane, &seats[i]) == &calls[i]);
    }
}

static void end(struct sp_seat *seats)
{
    for (int i = 0; i < 2; i++)
        sp_lane_leave(&lane, &seats[i]);
    sp_lane_enter(NULL);
    CHECK_EQ(sp_lane_queued(&lane), 0);
    CHECK_EQ(lane.available, 0);
    CHECK_EQ(lane.called, 0);
    CHECK_EQ(lane.idle_threads, 0);
}

static void without_a_gil_each_call_calls_a_thread(void)
{
    struct sp_seat seats[2];
    struct sp_call calls[2];
    begin_at_work(seats, calls);
    CHECK(!sp_lane_take(&lane, &seats[0]));
    CHECK(!sp_lane_take(&lane, &seats[1]));
    CHECK_EQ(put(&calls[0]), SP_LANE_NOTHING);
    CHECK_EQ(sp_lane_idle_threads(&lane), 1);
    CHECK_EQ(put(&calls[1]), SP_LANE_NOTHING);
    CHECK_EQ(sp_lane_idle_threads(&lane), 0);
    CHECK(sp_lane_take(&lane, &seats[0]));
    CHECK(sp_lane_take(&lane, &seats[1]));
    end(seats);
}

static void a_call_behind_one_that_blocks_is_anybodys(void)
{
    struct sp_seat seats[2];
    struct sp_call calls[4];
    begin_at_work(seats, calls);
    CHECK_EQ(put(&calls[2]), SP_LANE_NOTHING); /* by seats[1], which goes on */
    CHECK_EQ(put(&calls[3]), SP_LANE_NOTHING);
    CHECK(sp_lane_take(&lane, &seats[0]) == &calls[2]);
    CHECK(!seats[0].is_available, "it did not have to go idle");
    CHECK(sp_lane_take(&lane, &seats[0]) == &calls[3]);
    CHECK(!sp_lane_take(&lane, &seats[0]));
    CHECK_EQ(put(&calls[2]), SP_LANE_NOTHING);
    CHECK(seats[0].is_called);
    CHECK(sp_lane_take(&lane, &seats[0]) == &calls[2]);
    end(seats);
}

static void a_thread_that_ends_leaves_its_calls_to_others(void)
{
    struct sp_seat seats[2];
    struct sp_call calls[4];
    begin_at_work(seats, calls);
    CHECK_EQ(put(&calls[2]), SP_LANE_NOTHING);
    CHECK_EQ(put(&calls[3]), SP_LANE_NOTHING);
    sp_lane_leave(&lane, &seats[1]);
    CHECK(sp_lane_remove(&lane, &calls[3]));
    CHECK(sp_lane_take(&lane, &seats[0]) == &calls[2]);
    CHECK(!sp_lane_take(&lane, &seats[0]));
    end(seats);
}

static void a_thread_that_is_called_and_ends_has_another_one_called(void)
{
    struct sp_seat seats[2];
    struct sp_call calls[2];
    begin_at_work(seats, calls);
    CHECK(!sp_lane_take(&lane, &seats[0]));
    CHECK(!sp_lane_take(&lane, &seats[1]));
    CHECK_EQ(put(&calls[0]), SP_LANE_NOTHING);
    CHECK(seats[1].is_called);
    sp_lane_leave(&lane, &seats[1]);
    CHECK(seats[0].is_called);
    CHECK(sp_lane_take(&lane, &seats[0]) == &calls[0]);
    end(seats);
}

static void who_submits_from_elsewhere_is_no_thread_of_the_lane(void)
{
    struct sp_seat seats[2];
    struct sp_call calls[4];
    begin_at_work(seats, calls);
    CHECK_EQ(put(&calls[2]), SP_LANE_NOTHING);
    sp_lane_enter(NULL);
    CHECK_EQ(put(&calls[3]), SP_LANE_NOTHING);
    CHECK_EQ(lane.queues.entrance.queued, 1);
    CHECK(sp_lane_take(&lane, &seats[1]) == &calls[2]);
    CHECK(sp_lane_take(&lane, &seats[1]) == &calls[3]);
    end(seats);
}

static void who_ends_in_a_closed_lane_calls_the_next(void)
{
    struct sp_seat seats[2];
    struct sp_call calls[2];
    begin_at_work(seats, calls);
    sp_lane_close(&lane);
    CHECK(!sp_lane_take(&lane, &seats[0])); /* it has missed a call, and waits */
    CHECK(!sp_lane_take(&lane, &seats[1]));
    CHECK(sp_lane_is_over(&lane));
    sp_lane_leave(&lane, &seats[1]);
    sp_lane_wait(&lane, &seats[0]);
    CHECK(sp_lane_is_over(&lane));
    end(seats);
}

/* ------------------------------------------------------------- in parallel */

#define THREADS 4
#define SUBMITTERS 3
#define CALLS 20000

static struct sp_call many[2 * SUBMITTERS * CALLS];
static _Atomic(uint32_t) taken[2 * SUBMITTERS * CALLS];
static _Atomic(uint32_t) started;

static struct sp__os_thread takers[THREADS];
static void take_all(void *arg);

static void submit(struct sp_call *call, uint32_t priority)
{
    if (sp_lane_put(&lane, call, priority) == SP_LANE_THREAD) {
        uint32_t n = fetch_add_relaxed(&started, 1u);
        CHECK(sp__os_thread_start(&takers[n], take_all, NULL, "taker"));
    }
}

/* Callables from elsewhere submit one each, and every other one takes it back. */
static void run_call(struct sp_call *call)
{
    struct sp_call *next = call + SUBMITTERS * CALLS;
    fetch_add_relaxed(&taken[call - many], 1u);
    if (call >= many + SUBMITTERS * CALLS)
        return;
    submit(next, NORMAL);
    if ((call - many) % 2 && sp_lane_remove(&lane, next))
        fetch_add_relaxed(&taken[next - many], 1u);
}

static void take_all(void *arg)
{
    struct sp_seat seat = {0};
    (void)arg;
    sp_lane_enter(&lane);
    sp_lane_sit(&lane, &seat);
    for (;;) {
        struct sp_call *call = sp_lane_take(&lane, &seat);
        if (call)
            run_call(call);
        else if (sp_lane_is_over(&lane))
            break;
        else
            sp_lane_wait(&lane, &seat);
    }
    sp_lane_leave(&lane, &seat);
}

static void submit_all(void *arg)
{
    struct sp_call *calls = arg;
    for (int i = 0; i < CALLS; i++) {
        submit(&calls[i], (uint32_t)i % 3);
        if (i % 64 == 0)
            sp__os_yield(); /* let the queue run empty, so that threads sleep */
    }
}

static void each_call_is_taken_once(void)
{
    for (long round = 0; round < check_rounds(5); round++) {
        struct sp__os_thread submitters[SUBMITTERS];
        begin(THREADS);
        lane.is_parallel = round % 2;
        memset(many, 0, sizeof many);
        memset(taken, 0, sizeof taken);
        store_relaxed(&started, 0);
        for (int i = 0; i < SUBMITTERS; i++)
            CHECK(sp__os_thread_start(&submitters[i], submit_all, &many[i * CALLS],
                                      "submitter"));
        for (int i = 0; i < SUBMITTERS; i++)
            sp__os_thread_join(&submitters[i]);
        sp_lane_close(&lane);
        for (uint32_t i = 0; i < load_relaxed(&started); i++)
            sp__os_thread_join(&takers[i]);
        for (int i = 0; i < 2 * SUBMITTERS * CALLS; i++)
            CHECK_EQ(load_relaxed(&taken[i]), 1, "call %d", i);
        CHECK_EQ(sp_lane_queued(&lane), 0);
        CHECK_EQ(lane.available, 0);
        CHECK_EQ(lane.called, 0);
    }
}

int main(void)
{
    RUN(calls_of_one_priority_come_in_order);
    RUN(a_higher_priority_comes_first);
    RUN(a_call_that_is_passed_over_comes_in_the_end);
    RUN(low_calls_get_their_share_for_ever);
    RUN(a_removed_call_is_not_taken);
    RUN(a_thread_is_asked_for_when_none_will_come);
    RUN(a_thread_inside_a_callable_is_not_counted_on);
    RUN(a_thread_that_failed_to_start_is_asked_for_again);
    RUN(one_thread_is_called_for_many_calls);
    RUN(who_takes_a_call_and_leaves_others_calls_the_next);
    RUN(each_call_calls_a_thread_while_they_come_late);
    RUN(a_closed_lane_is_over_when_it_is_empty);
    RUN(without_a_gil_each_call_calls_a_thread);
    RUN(a_call_behind_one_that_blocks_is_anybodys);
    RUN(a_thread_that_ends_leaves_its_calls_to_others);
    RUN(a_thread_that_is_called_and_ends_has_another_one_called);
    RUN(who_submits_from_elsewhere_is_no_thread_of_the_lane);
    RUN(who_ends_in_a_closed_lane_calls_the_next);
    RUN(each_call_is_taken_once);
    return 0;
}
