#define _POSIX_C_SOURCE 200809L

#include "lane.h"

#include <stddef.h>

#include "base/counters.h"
#include "base/os.h"

/* Of a seat. */
enum { SPINS, SLEEPS, CALLED };

/* ------------------------------------------------------------------ the lock */

static void lock(struct sp_lane *lane)
{
    uint32_t unlocked = 0;
    /* acquire (Q1): the lane. */
    while (!cas_weak_acquire(&lane->lock, &unlocked, 1)) {
        unlocked = 0;
        sp__os_yield();
    }
}

static void unlock(struct sp_lane *lane)
{
    if (lane->is_parallel) {
        uint32_t reserve = lane->idle_threads + lane->vacant;
        if (reserve != load_relaxed(&lane->reserve))
            store_relaxed(&lane->reserve, reserve);
    }
    store_release(&lane->lock, 0); /* (Q1) */
}

/* ------------------------------------------------------------------ the calls */

static struct sp_calls *only_queue(struct sp_lane *lane)
{
    return &lane->queues.entrance;
}

static struct sp_call *pop(struct sp_lane *lane)
{
    return lane->is_parallel ? sp_queues_pop(&lane->queues)
                             : sp_calls_pop(only_queue(lane));
}

static bool has_calls(struct sp_lane *lane)
{
    return lane->is_parallel ? !sp_queues_look_empty(&lane->queues)
                             : only_queue(lane)->queued > 0;
}

static uint32_t count_calls(struct sp_lane *lane)
{
    return lane->is_parallel ? sp_queues_count(&lane->queues)
                             : only_queue(lane)->queued;
}

/* ---------------------------------------------------------------- the threads */

static bool is_called(struct sp_seat *seat)
{
    return load_acquire(&seat->word) == CALLED; /* acquire (Q2) */
}

/* With the lock held: the seat that shall come and look, or NULL. Its owner must be
 * rung after the lock was released. */
static struct sp_seat *call_one(struct sp_lane *lane)
{
    struct sp_seat *seat = lane->idle;
    if (!seat)
        return NULL;
    lane->idle = seat->next;
    lane->idle_threads--;
    seat->is_called = true;
    lane->called++;
    return seat;
}

static void ring(struct sp_seat *seat)
{
    if (!seat)
        return;
    /* acq_rel (Q2): whoever called has queued something. The thread may be gone right
     * after, see sp_lane_leave(); a sleeper is woken by address alone. Kept acq_rel: the
     * other side changes the same word, and reads the newest. */
    if (exchange_acq_rel(&seat->word, CALLED) == SLEEPS)
        sp__os_wake_all(&seat->word);
}

static void be_counted_out(struct sp_lane *lane, struct sp_seat *seat)
{
    if (seat->is_called)
        lane->called--;
    seat->is_called = false;
}

/* What runs in this thread. */
static _Thread_local struct {
    struct sp_lane *lane;
    uint32_t place; /* of its queue */
} current;

void sp_lane_init(struct sp_lane *lane, uint32_t threads, bool is_parallel)
{
    lane->vacant = threads;
    lane->is_parallel = is_parallel;
    store_relaxed(&lane->handoffs, SP_FIRST_COUNT);
    store_relaxed(&lane->reserve, threads);
    sp_queues_init(&lane->queues);
    store_relaxed(&lane->thread_spin.credit, 1u);
    store_relaxed(&lane->waiter_spin.credit, 1u);
}

enum sp_lane_need sp_lane_put(struct sp_lane *lane, struct sp_call *call,
                              uint32_t priority)
{
    enum sp_lane_need need = SP_LANE_NOTHING;
    struct sp_seat *seat = NULL;
    if (lane->is_parallel) {
        uint32_t place = current.lane == lane ? current.place : 0;
        sp_queues_put(&lane->queues, place, call, priority);
        if (load_seq_cst(&lane->reserve) == 0) /* (Q3) */
            return SP_LANE_NOTHING;
    }
    store_relaxed(&lane->caller_cpu, sp__os_current_cpu());
    lock(lane);
    if (!lane->is_parallel)
        sp_calls_append(only_queue(lane), call, priority);
    if (lane->called == 0 || lane->is_eager || lane->is_parallel)
        seat = call_one(lane);
    bool has_its_own = lane->is_parallel && seat;
    if (lane->vacant > 0 && !has_its_own && count_calls(lane) > lane->available) {
        lane->vacant--;
        lane->available++;
        need = SP_LANE_THREAD;
    }
    unlock(lane);
    ring(seat);
    return need;
}

void sp_lane_thread_failed(struct sp_lane *lane)
{
    lock(lane);
    lane->vacant++;
    lane->available--;
    unlock(lane);
}

bool sp_lane_remove(struct sp_lane *lane, struct sp_call *call)
{
    if (lane->is_parallel)
        return sp_queues_remove(&lane->queues, call);
    lock(lane);
    bool was_queued = load_relaxed(&call->place);
    if (was_queued)
        sp_calls_unlink(only_queue(lane), call);
    unlock(lane);
    return was_queued;
}

void sp_lane_sit(struct sp_lane *lane, struct sp_seat *seat)
{
    lock(lane);
    seat->is_available = true; /* counted in sp_lane_put() */
    sp_queues_join(&lane->queues, &seat->taker);
    unlock(lane);
    current.place = seat->taker.place;
}

void sp_lane_leave(struct sp_lane *lane, struct sp_seat *seat)
{
    struct sp_seat *next = NULL;
    lock(lane);
    for (struct sp_seat **at = &lane->idle; *at; at = &(*at)->next) {
        if (*at == seat) {
            *at = seat->next;
            lane->idle_threads--;
            break;
        }
    }
    if (seat->is_available)
        lane->available--;
    seat->is_available = false;
    bool was_called = seat->is_called;
    be_counted_out(lane, seat);
    /* If it is closed: who saw calls between two queues may have gone to sleep. */
    if (lane->is_closed || (lane->called == 0 && has_calls(lane)))
        next = call_one(lane);
    unlock(lane);
    ring(next);
    current.place = 0;
    /* Who called us rings after he has left the lock: the seat must be there. */
    while (was_called && !is_called(seat))
        sp__os_yield();
}

/* Without a GIL, and without the lane's lock: for a thread that is at work. */
static struct sp_call *take_at_work(struct sp_lane *lane, struct sp_seat *seat)
{
    struct sp_call *call = sp_queues_take(&lane->queues, &seat->taker);
    if (seat->taker.has_moved && load_seq_cst(&lane->reserve) > 0) { /* (Q3) */
        lock(lane);
        struct sp_seat *next = call_one(lane);
        unlock(lane);
        ring(next);
    }
    return call;
}

struct sp_call *sp_lane_take(struct sp_lane *lane, struct sp_seat *seat)
{
    struct sp_call *call = NULL;
    struct sp_seat *next = NULL;
    if (lane->is_parallel && !seat->is_available && (call = take_at_work(lane, seat)))
        return call;
    lock(lane);
    be_counted_out(lane, seat);
    if (seat->is_available)
        lane->is_eager = seat->is_late;
    if (lane->is_parallel) /* (Q3): as idle, before the last look */
        store_seq_cst(&lane->reserve, lane->idle_threads + lane->vacant + 1);
    call = pop(lane);
    if (call) {
        if (seat->is_available)
            lane->available--;
        seat->is_available = false;
        if (lane->called == 0 && lane->idle && has_calls(lane))
            next = call_one(lane);
    } else {
        if (!seat->is_available)
            lane->available++;
        seat->is_available = true;
        seat->next = lane->idle;
        seat->handoffs = load_relaxed(&lane->handoffs);
        store_relaxed(&seat->word, SPINS); /* ordered by the lock */
        lane->idle = seat;
        lane->idle_threads++;
    }
    unlock(lane);
    ring(next);
    return call;
}

struct sp_call *sp_lane_take_any(struct sp_lane *lane)
{
    struct sp_call *call;
    lock(lane);
    do
        call = pop(lane);
    while (!call && count_calls(lane) > 0); /* one was between two queues */
    unlock(lane);
    return call;
}

void sp_lane_enter(struct sp_lane *lane)
{
    current.lane = lane;
    current.place = 0; /* see sp_lane_sit() */
}

struct sp_lane *sp_lane_current(void)
{
    return current.lane;
}

void sp_lane_close(struct sp_lane *lane)
{
    lock(lane);
    lane->is_closed = true;
    struct sp_seat *seats = lane->idle;
    lane->idle = NULL;
    lane->idle_threads = 0;
    for (struct sp_seat *seat = seats; seat; seat = seat->next) {
        seat->is_called = true;
        lane->called++;
    }
    unlock(lane);
    while (seats) {
        struct sp_seat *next = seats->next; /* before its thread can go */
        ring(seats);
        seats = next;
    }
}

bool sp_lane_is_over(struct sp_lane *lane)
{
    lock(lane);
    bool is_over = lane->is_closed && count_calls(lane) == 0;
    unlock(lane);
    return is_over;
}

bool sp_lane_may_run_more(struct sp_lane *lane)
{
    lock(lane);
    bool may = lane->available > 0 || lane->vacant > 0;
    unlock(lane);
    return may;
}

uint32_t sp_lane_idle_threads(struct sp_lane *lane)
{
    lock(lane);
    uint32_t n = lane->idle_threads;
    unlock(lane);
    return n;
}

uint32_t sp_lane_queued(struct sp_lane *lane)
{
    lock(lane);
    uint32_t n = count_calls(lane);
    unlock(lane);
    return n;
}

/* ------------------------------------------------------------------- spinning */

/*
 * To wake a sleeping thread takes longer than a short call, so both sides look for a
 * moment before they sleep: the thread for the next call, the waiter for the end of
 * his. Only across CPUs, only without the GIL, and only while it pays: a side that has
 * spun in vain MAX_CREDIT times more often than not spins every RETRY_EVERYth time
 * only, and then for long enough to outlast the other one's waking up.
 */
#define SPIN_NS 20000
#define RETRY_NS 100000
#define RETRY_EVERY 32
#define MAX_CREDIT 8

/* How long a spinning thread that was called lets the caller go on with the GIL: it
 * may be about to wait, and so to leave it. */
#define GRACE_NS 4000

static int64_t budget(struct sp_spin *spin)
{
    if (load_relaxed(&spin->credit) > 0)
        return SPIN_NS;
    uint32_t refused = load_relaxed(&spin->refused) + 1;
    store_relaxed(&spin->refused, refused < RETRY_EVERY ? refused : 0);
    return refused < RETRY_EVERY ? 0 : RETRY_NS;
}

static void learn(struct sp_spin *spin, bool has_paid)
{
    uint32_t credit = load_relaxed(&spin->credit);
    if (has_paid)
        store_relaxed(&spin->credit, MAX_CREDIT);
    else if (credit > 0)
        store_relaxed(&spin->credit, credit - 1);
}

static bool spin_idle(struct sp_lane *lane, struct sp_seat *seat)
{
    int64_t ns = budget(&lane->thread_spin);
    if (ns == 0)
        return is_called(seat);
    int64_t until = sp__os_now_ns() + ns;
    bool was_called;
    do {
        for (int i = 0; i < 8 && !(was_called = is_called(seat)); i++)
            sp__os_pause();
    } while (!was_called && sp__os_now_ns() < until);
    learn(&lane->thread_spin, was_called);
    return was_called;
}

/* The caller may be about to wait for what he has queued. */
static void give_grace(struct sp_lane *lane, struct sp_seat *seat)
{
    int64_t until = sp__os_now_ns() + GRACE_NS;
    while (load_relaxed(&lane->handoffs) == seat->handoffs && sp__os_now_ns() < until)
        sp__os_pause();
}

void sp_lane_wait(struct sp_lane *lane, struct sp_seat *seat)
{
    uint32_t cpu = sp__os_current_cpu();
    store_relaxed(&lane->thread_cpu, cpu);
    /* Kept: one spins at a time; what it shares is atomic. */
    if (load_relaxed(&lane->caller_cpu) != cpu &&
        !exchange_acq_rel(&lane->has_spinner, 1)) {
        bool was_called = spin_idle(lane, seat);
        /* Kept: as above; one spins at a time. */
        store_release(&lane->has_spinner, 0);
        if (was_called) {
            if (!lane->is_parallel)
                give_grace(lane, seat);
            return;
        }
    }
    uint32_t word = SPINS;
    /* Kept: the other side changes the same word, and reads the newest. */
    cas_seq_cst(&seat->word, &word, SLEEPS);
    while (!is_called(seat)) /* also when he was called before he slept (Q2) */
        sp__os_wait(&seat->word, SLEEPS, SP__OS_NO_DEADLINE);
    cpu = sp__os_current_cpu();
    store_relaxed(&lane->thread_cpu, cpu);
    /* Woken on the caller's CPU, before he could leave the GIL to us: let him go on,
     * rather than wait for the GIL and be woken again. */
    if (!lane->is_parallel && load_relaxed(&lane->caller_cpu) == cpu &&
        load_relaxed(&lane->handoffs) == seat->handoffs)
        sp__os_yield();
}

void sp_lane_spin(struct sp_lane *lane, const sp_task *task)
{
    uint32_t cpu = sp__os_current_cpu();
    store_relaxed(&lane->caller_cpu, cpu);
    fetch_add_relaxed(&lane->handoffs, 1u);
    if (load_relaxed(&lane->thread_cpu) == cpu)
        return;
    int64_t ns = budget(&lane->waiter_spin);
    if (ns == 0)
        return;
    int64_t until = sp__os_now_ns() + ns;
    bool has_ended;
    do {
        for (int i = 0; i < 8 && !(has_ended = sp_task_phase(task) >= SP_DONE); i++)
            sp__os_pause();
    } while (!has_ended && sp__os_now_ns() < until);
    learn(&lane->waiter_spin, has_ended);
}
