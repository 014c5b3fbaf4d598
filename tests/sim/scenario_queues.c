/* A lane without a GIL: its threads' queues, pyx/queues.c, and who looks at them. */
#include "base/os.h"
#include "check.h"
#include "lane.h"
#include "sim.h"

enum { CALLS = 5, THREADS = 3, THIEF = 0, VICTIM = 1, OTHER = 2 };

static struct {
    struct sp_lane lane;
    struct sp_call calls[CALLS];
    struct sp_seat seats[THREADS];
    uint32_t arguments[CALLS]; /* plain: the queues make them visible */
    _Atomic(uint32_t) times[CALLS];
    _Atomic(uint32_t) taken_back;
    bool is_nested; /* calls[0] submits those that follow, but for the last */
    unsigned threads[THREADS];
    _Atomic(uint32_t) started;
} box;

static void count(struct sp_call *call)
{
    CHECK_EQ(box.arguments[call - box.calls], 42);
    fetch_add_relaxed(&box.times[call - box.calls], 1u);
}

static bool take_back(uint32_t i)
{
    bool is_here = sp_lane_remove(&box.lane, &box.calls[i]);
    if (is_here)
        fetch_add_relaxed(&box.taken_back, 1u);
    return is_here;
}

/* Each call was taken once, or taken back. */
static void check_calls(uint32_t n_calls)
{
    uint32_t n = load_relaxed(&box.taken_back);
    for (int i = 0; i < CALLS; i++) {
        CHECK(load_relaxed(&box.times[i]) <= 1);
        n += load_relaxed(&box.times[i]);
    }
    CHECK_EQ(n, n_calls);
    CHECK_EQ(sp_lane_queued(&box.lane), 0);
}

/* ------------------------------------------------- calls that are being moved */

/* Two threads at work, all calls in the queue of one of them, and one that has just been
 * started. */
static void begin_at_work(uint32_t n_calls)
{
    struct sp_call first = {0};
    sp_lane_init(&box.lane, THREADS, true);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(sp_lane_put(&box.lane, &first, SP_LANE_NORMAL), SP_LANE_THREAD);
        sp_lane_sit(&box.lane, &box.seats[i]);
        if (i == OTHER)
            CHECK(sp_lane_remove(&box.lane, &first));
        else
            CHECK(sp_lane_take(&box.lane, &box.seats[i]) == &first);
    }
    for (uint32_t i = 0; i < n_calls; i++) {
        box.arguments[i] = 42;
        sp_queues_put(&box.lane.queues, box.seats[VICTIM].taker.place, &box.calls[i],
                      SP_LANE_NORMAL);
    }
}

static void leave_all(void)
{
    for (int i = 0; i < THREADS; i++)
        sp_lane_leave(&box.lane, &box.seats[i]);
    CHECK_EQ(box.lane.available, 0);
    CHECK_EQ(box.lane.called, 0);
    CHECK_EQ(box.lane.idle_threads, 0);
}

/* Takes a call, which then blocks. */
static void take_one(void *arg)
{
    struct sp_seat *seat = arg;
    struct sp_call *call;
    while (!(call = sp_lane_take(&box.lane, seat))) {
        CHECK(!sp_lane_is_over(&box.lane), "but a call is there");
        sp_lane_wait(&box.lane, seat);
    }
    count(call);
}

/* Two threads' callables block; the third must find what one of them has taken along. It
 * may have gone idle before, and the lane may be closed. */
SCENARIO(a_callable_that_blocks_holds_up_none_that_was_taken_along, .share = 40)
{
    begin_at_work(3);
    if (sim_choose(2))
        sp_lane_close(&box.lane);
    unsigned thief = sim_spawn(take_one, &box.seats[THIEF]);
    unsigned other = sim_spawn(take_one, &box.seats[OTHER]);
    take_one(&box.seats[VICTIM]);
    sim_join(thief);
    sim_join(other);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(load_relaxed(&box.times[i]), 1);
    leave_all();
}

SCENARIO(a_call_that_comes_while_a_thread_goes_idle_is_taken, .share = 20)
{
    begin_at_work(0);
    unsigned other = sim_spawn(take_one, &box.seats[OTHER]);
    box.arguments[0] = 42;
    CHECK_EQ(sp_lane_put(&box.lane, &box.calls[0], sim_choose(SP_LANE_PRIORITIES)),
             SP_LANE_NOTHING);
    sim_join(other);
    leave_all();
}

static void take_if_any(void *arg)
{
    struct sp_call *call = sp_lane_take(&box.lane, arg);
    if (call)
        count(call);
}

SCENARIO(a_call_that_is_moved_is_found, .share = 30)
{
    begin_at_work(CALLS);
    unsigned thief = sim_spawn(take_if_any, &box.seats[THIEF]);
    CHECK(sp_lane_queued(&box.lane) >= CALLS - 1);
    CHECK(take_back(1 + sim_choose(CALLS - 1)));
    CHECK(take_back(0) || sp_lane_queued(&box.lane) == CALLS - 2);
    sim_join(thief);
    leave_all();
}

static unsigned taker, thief;

static void spawn_takers(void)
{
    thief = sim_spawn(take_if_any, &box.seats[THIEF]);
    taker = sim_spawn(take_if_any, &box.seats[VICTIM]);
}

static void end_takers(void)
{
    sim_join(thief);
    sim_join(taker);
    leave_all();
}

SCENARIO(a_lane_is_not_over_while_a_call_is_moved, .share = 20)
{
    begin_at_work(3);
    sp_lane_close(&box.lane);
    spawn_takers();
    CHECK(!sp_lane_is_over(&box.lane));
    end_takers();
}

static void run_to_the_end(void *arg)
{
    struct sp_call *call;
    for (;;) {
        if ((call = sp_lane_take(&box.lane, arg)))
            count(call);
        else if (sp_lane_is_over(&box.lane))
            break;
        else
            sp_lane_wait(&box.lane, arg);
    }
    sp_lane_leave(&box.lane, arg);
}

/* Who has missed a call that was moved waits, though nobody will submit another one. */
SCENARIO(all_threads_of_a_closed_lane_end, .share = 80)
{
    begin_at_work(3);
    sp_lane_close(&box.lane);
    thief = sim_spawn(run_to_the_end, &box.seats[THIEF]);
    unsigned other = sim_spawn(run_to_the_end, &box.seats[OTHER]);
    run_to_the_end(&box.seats[VICTIM]);
    sim_join(thief);
    sim_join(other);
    check_calls(3);
}

SCENARIO(nothing_is_left_when_all_is_cancelled, .share = 20)
{
    begin_at_work(3);
    spawn_takers();
    while (sp_lane_take_any(&box.lane))
        fetch_add_relaxed(&box.taken_back, 1u);
    end_takers();
    check_calls(3);
}

/* ----------------------------------------------------------- the lane's threads */

static void take_all(void *unused);

static void put(uint32_t i)
{
    box.arguments[i] = 42;
    if (sp_lane_put(&box.lane, &box.calls[i], SP_LANE_NORMAL) == SP_LANE_NOTHING)
        return;
    uint32_t n = fetch_add_relaxed(&box.started, 1u);
    CHECK(n < THREADS);
    box.threads[n] = sim_spawn(take_all, NULL);
}

static void put_those_between(void)
{
    for (uint32_t i = 1; i < CALLS - 1; i++)
        put(i);
    take_back(1 + sim_choose(CALLS - 2));
}

static void take_all(void *unused)
{
    struct sp_seat seat = {0};
    (void)unused;
    sp_lane_enter(&box.lane);
    sp_lane_sit(&box.lane, &seat);
    for (;;) {
        struct sp_call *call = sp_lane_take(&box.lane, &seat);
        if (call) {
            count(call);
            if (call == box.calls && box.is_nested)
                put_those_between();
        } else if (sp_lane_is_over(&box.lane)) {
            break;
        } else {
            sp_lane_wait(&box.lane, &seat);
        }
    }
    sp_lane_leave(&box.lane, &seat);
}

SCENARIO(threads_submit_steal_take_back_and_end, .share = 40)
{
    sp_lane_init(&box.lane, THREADS, true);
    box.is_nested = sim_choose(2);
    put(CALLS - 1);
    put(0);
    if (!box.is_nested)
        put_those_between();
    sp_lane_close(&box.lane);
    for (uint32_t i = 0; i < load_relaxed(&box.started); i++)
        sim_join(box.threads[i]);
    check_calls(CALLS);
    CHECK_EQ(box.lane.available, 0);
    CHECK_EQ(box.lane.called, 0);
    CHECK_EQ(box.lane.idle_threads, 0);
}
