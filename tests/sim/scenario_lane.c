/* A Python lane's queue and seats, pyx/lane.c, and the drainer's bell, pyx/bell.c. */
#include "lane.h"

#include "base/os.h"
#include "bell.h"
#include "check.h"
#include "sim.h"

enum { CALLS = 3, THREADS = 2 };

static struct {
    struct sp_lane lane;
    struct sp_call calls[CALLS];
    uint32_t arguments[CALLS]; /* plain: the lane makes them visible */
    _Atomic(uint32_t) times[CALLS];
    unsigned threads[THREADS];
    _Atomic(uint32_t) started;
    bool one_may_leave;
    _Atomic(uint32_t) has_left;
    struct sp_bell bell;
    _Atomic(uint32_t) happened;
    _Atomic(uint32_t) heard; /* of what has happened, by the deputy */
    _Atomic(uint32_t) is_over;
} box;

/* A thread may end although it was called; there is another one. */
static bool leaves(void)
{
    return box.one_may_leave && load_relaxed(&box.started) == THREADS &&
           sim_choose(2) && !exchange_acq_rel(&box.has_left, 1u);
}

static void take_all(void *unused)
{
    struct sp_seat seat = {0};
    (void)unused;
    sp_lane_sit(&box.lane, &seat);
    for (;;) {
        struct sp_call *call = sp_lane_take(&box.lane, &seat);
        if (call) {
            CHECK_EQ(box.arguments[call - box.calls], 42);
            fetch_add_relaxed(&box.times[call - box.calls], 1u);
        } else if (sp_lane_is_over(&box.lane)) {
            break;
        } else {
            sp_lane_wait(&box.lane, &seat);
            if (leaves())
                break;
        }
    }
    sp_lane_leave(&box.lane, &seat);
}

static void put(uint32_t i)
{
    box.arguments[i] = 42;
    if (sp_lane_put(&box.lane, &box.calls[i], i) == SP_LANE_NOTHING)
        return;
    if (sim_choose(4) == 0) { /* no thread could be started */
        sp_lane_thread_failed(&box.lane);
        return;
    }
    uint32_t n = fetch_add_relaxed(&box.started, 1u);
    CHECK(n < THREADS);
    box.threads[n] = sim_spawn(take_all, NULL);
}

static void put_one(void *unused)
{
    (void)unused;
    put(0);
}

/* By a thread, or by somebody who wants it back, or it is left, for lack of threads. */
static void check_calls(bool has_removed)
{
    uint32_t left = 0;
    while (sp_lane_take_any(&box.lane))
        left++;
    CHECK(left == 0 || load_relaxed(&box.started) == 0, "%u are left", left);
    uint32_t n = left + has_removed;
    for (int i = 0; i < CALLS; i++) {
        CHECK(load_relaxed(&box.times[i]) <= 1);
        n += load_relaxed(&box.times[i]);
    }
    CHECK_EQ(n, CALLS);
}

SCENARIO(each_call_of_a_lane_is_taken_once, .share = 60)
{
    sp_lane_init(&box.lane, THREADS, sim_choose(2));
    unsigned other = sim_spawn(put_one, NULL);
    put(1);
    put(2);
    bool has_removed = sp_lane_remove(&box.lane, &box.calls[2]);
    sim_join(other);
    sp_lane_close(&box.lane);
    for (uint32_t i = 0; i < load_relaxed(&box.started); i++)
        sim_join(box.threads[i]);
    check_calls(has_removed);
    CHECK_EQ(box.lane.available, 0);
    CHECK_EQ(box.lane.called, 0);
    CHECK(!box.lane.idle);
}

/* Without a close that calls everybody: each is called for what was queued. */
SCENARIO(a_queued_call_has_a_thread_on_its_way, .share = 60)
{
    sp_lane_init(&box.lane, THREADS, sim_choose(2));
    box.one_may_leave = true;
    for (uint32_t i = 0; i < CALLS; i++) {
        put(i);
        if (load_relaxed(&box.started) == 0)
            continue;
        while (i == 1 && load_relaxed(&box.times[i]) == 0)
            sp__os_yield();
    }
    while (load_relaxed(&box.started) > 0 && load_relaxed(&box.times[2]) == 0)
        sp__os_yield();
    sp_lane_close(&box.lane);
    for (uint32_t i = 0; i < load_relaxed(&box.started); i++)
        sim_join(box.threads[i]);
    check_calls(false);
}

/* ---------------------------------------------------------------------- bell */

static void ring(void *how)
{
    fetch_add_relaxed(&box.happened, 1u);
    if (how)
        sp_bell_ring_urgently(&box.bell);
    else
        sp_bell_ring_lazily(&box.bell);
}

SCENARIO(a_ring_is_not_lost, .share = 30)
{
    unsigned threads[] = {sim_spawn(ring, NULL),
                          sim_spawn(ring, sim_choose(2) ? &box : NULL)};
    while (load_relaxed(&box.happened) < 2)
        sp_bell_wait(&box.bell, 1000, SP__OS_NO_DEADLINE);
    sim_join(threads[0]);
    sim_join(threads[1]);
}

static void ring_three_times(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++)
        ring(sim_choose(2) ? &box : NULL);
}

static void stand_in(void *unused)
{
    uint32_t calls = 0;
    (void)unused;
    while (!load_relaxed(&box.is_over)) {
        if (!sp_bell_stand_in(&box.bell, &calls, 1000, SP__OS_NO_DEADLINE))
            continue;
        store_release(&box.heard, load_relaxed(&box.happened));
        sp__os_wake_all(&box.heard);
    }
}

static void listen_until(uint32_t happened)
{
    while (load_relaxed(&box.happened) < happened)
        sp_bell_wait(&box.bell, 1000, SP__OS_NO_DEADLINE);
}

/* As the drainer, who goes away into a callback that waits for what the second ring is
 * about. */
SCENARIO(a_ring_is_heard_by_the_listener_or_by_his_deputy, .share = 30)
{
    unsigned threads[] = {sim_spawn(ring_three_times, NULL), sim_spawn(stand_in, NULL)};
    uint32_t heard, by_deputy;
    listen_until(1);
    heard = load_relaxed(&box.happened);
    sp_bell_leave(&box.bell, SP_BELL_NO_ALARM);
    CHECK(sp_bell_is_away(&box.bell));
    while (heard < 2 && (by_deputy = load_acquire(&box.heard)) < 2)
        sp__os_wait(&box.heard, by_deputy, SP__OS_NO_DEADLINE);
    sp_bell_return(&box.bell);
    sim_join(threads[0]);
    store_relaxed(&box.is_over, 1u);
    sp_bell_call_deputy(&box.bell);
    sim_join(threads[1]);
    if (heard < 3 && load_relaxed(&box.heard) < 3)
        sp_bell_wait(&box.bell, 1000, SP__OS_NO_DEADLINE);
}

SCENARIO(a_ring_waits_for_a_listener_without_a_deputy, .share = 10)
{
    unsigned thread = sim_spawn(ring_three_times, NULL);
    listen_until(1);
    sp_bell_leave(&box.bell, SP_BELL_NO_ALARM);
    sp_bell_return(&box.bell);
    listen_until(3);
    sim_join(thread);
}
