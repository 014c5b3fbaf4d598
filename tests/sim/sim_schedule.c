/*
 * The schedule: which thread goes on, before every operation that others can see.
 *
 *   WALK  switches at random, more or less often
 *   PCT   the thread with the highest priority runs; at a few random points it
 *         loses its priority (Burckhardt et al., ASPLOS 2010)
 *   DFS   every decision in turn, with a bound on preemptions and on old values
 *
 * A thread that spins or yields lets others go first until one of them has
 * written something, so waiting loops end. When nobody can run, time passes up to
 * the next deadline; when there is none, that is a deadlock.
 */
#include <string.h>

#include "sim_core.h"

/* Steps in a row after which others are let go first; steps without one after which
 * a thread comes first. Whatever spins in between is not blamed for it. */
#define MONOPOLY 400
#define STARVATION 1000

uint64_t sim_random(void)
{
    uint64_t x = sim->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return sim->random = x;
}

/* --------------------------------------------------------------- decisions */

uint32_t sim_decide(uint32_t n)
{
    if (n <= 1)
        return 0;
    if (sim->strategy != DFS)
        return (uint32_t)((sim_random() >> 32) * n >> 32);
    uint32_t i = sim->trail_used++;
    if (i >= MAX_TRAIL)
        sim_fail("more than %d decisions", MAX_TRAIL);
    if (i >= sim->trail_fixed) {
        sim->trail[i] = (struct decision){.taken = 0, .of = (uint16_t)n};
        sim->trail_fixed = i + 1;
    }
    if (sim->trail[i].of != n)
        sim_fail("decision %u has %u ways, and had %u before: the scenario does not "
                 "repeat itself",
                 i, n, sim->trail[i].of);
    return sim->trail[i].taken;
}

bool sim_next_dfs(void)
{
    while (sim->trail_used > 0) {
        struct decision *last = &sim->trail[sim->trail_used - 1];
        if (last->taken + 1 < last->of) {
            last->taken++;
            sim->trail_fixed = sim->trail_used;
            return true;
        }
        sim->trail_used--;
    }
    return false;
}

/* ---------------------------------------------------------------- switching */

static void switch_to(struct thread *next)
{
    struct thread *before = sim->current;
    sim->steps_in_a_row = 0;
    if (next == before)
        return;
    if (sim->tls_bytes) {
        memcpy(before->tls, (void *)sim->tls_begin, sim->tls_bytes);
        memcpy((void *)sim->tls_begin, next->tls, sim->tls_bytes);
    }
    sim->current = next;
    sim_switch(&before->stack_pointer, next->stack_pointer);
}

/* Those who can run; without those who yield, if there are others. The current
 * thread comes first. */
static uint32_t candidates(struct thread **into)
{
    for (int even_yielding = 0; even_yielding < 2; even_yielding++) {
        uint32_t n = 0;
        if (sim->current->state == RUNNABLE && (even_yielding || !sim->current->yields))
            into[n++] = sim->current;
        for (uint32_t i = 0; i < sim->n_threads; i++) {
            struct thread *thread = &sim->threads[i];
            if (thread != sim->current && thread->state == RUNNABLE &&
                (even_yielding || !thread->yields))
                into[n++] = thread;
        }
        if (n > 0)
            return n;
        for (uint32_t i = 0; i < sim->n_threads; i++)
            sim->threads[i].yields = false;
    }
    return 0;
}

static void wake(struct thread *thread, enum sp__os_wake_reason reason)
{
    thread->state = RUNNABLE;
    thread->word = 0;
    thread->reason = reason;
    sim->must_pick = true;
}

/* Nobody can run: let time pass until somebody's deadline. */
static void pass_time(void)
{
    struct thread *first = NULL;
    for (uint32_t i = 0; i < sim->n_threads; i++) {
        struct thread *thread = &sim->threads[i];
        if (thread->state == ASLEEP && thread->deadline_ns != SP__OS_NO_DEADLINE &&
            (!first || thread->deadline_ns < first->deadline_ns))
            first = thread;
    }
    if (!first)
        sim_fail("deadlock: nobody can go on");
    if (sim->now_ns < first->deadline_ns)
        sim->now_ns = first->deadline_ns;
    wake(first, SP__OS_TIMED_OUT);
}

static bool is_change_point(void)
{
    for (uint32_t i = 0; i < sim->n_changes; i++)
        if (sim->change_at[i] == sim->steps)
            return true;
    return false;
}

static struct thread *pick(struct thread **from, uint32_t n)
{
    if (n == 1)
        return from[0];
    struct thread *best = from[0];
    switch (sim->strategy) {
    case WALK:
        return from[sim_decide(n)];
    case PCT:
        for (uint32_t i = 1; i < n; i++)
            if (from[i]->priority > best->priority)
                best = from[i];
        return best;
    case DFS:
        break;
    }
    bool preempts = from[0] == sim->current;
    if (preempts && sim->preemptions_left == 0)
        return from[0];
    best = from[sim_decide(n)];
    if (preempts && best != from[0])
        sim->preemptions_left--;
    return best;
}

static void reschedule(void)
{
    struct thread *from[MAX_THREADS];
    uint32_t n;
    while ((n = candidates(from)) == 0)
        pass_time();
    sim->must_pick = false;
    switch_to(pick(from, n));
}

/* Wake somebody for no reason; a deadline comes early. */
static void disturb(void)
{
    struct thread *asleep[MAX_THREADS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < sim->n_threads; i++)
        if (sim->threads[i].state == ASLEEP)
            asleep[n++] = &sim->threads[i];
    if (n == 0)
        return;
    sim->spurious_left--;
    struct thread *thread = asleep[sim_decide(n)];
    if (thread->deadline_ns != SP__OS_NO_DEADLINE && sim_decide(2)) {
        if (sim->now_ns < thread->deadline_ns)
            sim->now_ns = thread->deadline_ns;
        wake(thread, SP__OS_TIMED_OUT);
        return;
    }
    wake(thread, sim_decide(2) ? SP__OS_WOKEN : SP__OS_INTERRUPTED);
}

/* Priorities are unfair; computers are not. */
static void feed_the_starving(void)
{
    for (uint32_t i = 0; i < sim->n_threads; i++) {
        struct thread *thread = &sim->threads[i];
        if (thread->state == RUNNABLE && thread->last_step + STARVATION < sim->steps) {
            thread->priority = ++sim->highest_priority;
            thread->last_step = sim->steps;
            thread->yields = false;
            sim->must_pick = true;
        }
    }
}

void sim_step(void)
{
    if (!sim->is_running)
        return;
    if (++sim->steps > MAX_STEPS)
        sim_fail("livelock: %d steps, and no end", MAX_STEPS);
    struct thread *me = sim->current;
    me->paused = false;
    me->last_step = sim->steps;
    if (sim->steps % 256 == 0)
        feed_the_starving();
    bool must_pick = sim->must_pick;
    if (sim->strategy == WALK)
        must_pick |= (sim_random() >> 20 & sim->switch_mask) == 0;
    else if (sim->strategy == DFS)
        must_pick = true;
    else if (sim->n_changes && is_change_point()) {
        me->priority = --sim->lowest_priority;
        must_pick = true;
    }
    if (sim->spurious_left && sim->strategy != DFS && (sim_random() >> 40 & 127) == 0)
        disturb();
    if (++sim->steps_in_a_row > MONOPOLY) {
        me->priority = --sim->lowest_priority;
        me->yields = true;
        must_pick = true;
    }
    if (must_pick)
        reschedule();
}

void sim_yield(void)
{
    if (!sim->is_running || sim->current->paused)
        return;
    sim->current->yields = true;
    if (sim->strategy == PCT)
        sim->current->priority = --sim->lowest_priority;
    sim->must_pick = true;
    sim_step();
    sim->current->paused = true;
}

void sim_block(enum thread_state state)
{
    sim->current->state = state;
    reschedule();
}

void sim_wrote(void)
{
    for (uint32_t i = 0; i < sim->n_threads; i++)
        if (&sim->threads[i] != sim->current)
            sim->threads[i].yields = false;
}

/* ------------------------------------------------------------------ threads */

static void finish(void)
{
    struct thread *me = sim->current;
    for (uint32_t i = 0; i < sim->n_threads; i++)
        if (sim->threads[i].state == JOINING && sim->threads[i].joins == me)
            sim->threads[i].state = RUNNABLE;
    me->state = FINISHED;
    sim_wrote();
    if (me->id == 0) {
        void *unused;
        sim_switch(&unused, sim->outside);
    }
    sim->must_pick = true;
    reschedule();
    __builtin_unreachable();
}

static void enter(void)
{
    struct thread *me = sim->current;
    me->run(me->arg);
    finish();
}

struct thread *sim_new_thread(void (*run)(void *), void *arg, const char *name)
{
    if (sim->n_threads == MAX_THREADS)
        sim_fail("more than %d threads", MAX_THREADS);
    unsigned id = sim->n_threads++;
    struct thread *thread = &sim->threads[id];
    memset(thread, 0, offsetof(struct thread, tls));
    memcpy(thread->tls, sim->first_tls, sim->tls_bytes);
    memset(thread->view, 0, thread->view_used * sizeof(stamp));
    thread->id = id;
    thread->run = run;
    thread->arg = arg;
    thread->name = name;
    thread->state = RUNNABLE;
    thread->last_step = sim->steps;
    thread->priority = (int)(sim_random() & 0xffff);
    if (id > 0) {
        memcpy(thread->view, sim->current->view, sim_view_used() * sizeof(stamp));
        sim->current->view[sim->current->id]++;
    }
    thread->view[id] = 1;
    uintptr_t top = BLOCK_ADDRESS + HEAP_BYTES + (id + 1) * STACK_BYTES;
    thread->stack_pointer = sim_new_stack((void *)top, enter);
    sim->must_pick = true;
    return thread;
}

/* ----------------------------------------------------------------- schedule */

static void set_strategy(void)
{
    static const uint32_t ranges[] = {40, 160, 600, 2000};
    uint64_t dice = sim_random() >> 24;
    sim->strategy = dice % 8 < 5 ? WALK : PCT;
    sim->switch_mask = (1u << (1 + (dice >> 3) % 5)) - 1;
    sim->n_changes = 1 + (uint32_t)((dice >> 6) % 5);
    sim->change_range = ranges[(dice >> 10) % 4];
    for (uint32_t i = 0; i < sim->n_changes; i++)
        sim->change_at[i] = 1 + sim_decide(sim->change_range);
    /* A quarter of the schedules is sequentially consistent. */
    sim->stale_mask = (1u << (1 + (dice >> 12) % 3)) - 1;
    sim->stale_left = (dice >> 14) % 4 ? 1u << ((dice >> 16) % 8) : 0;
    sim->spurious_left = (dice >> 20) % 2 ? (uint32_t)((dice >> 21) % 8) : 0;
    sim->tick_ns = (int64_t)1 << (5 + (dice >> 24) % 12);
    sim->fail_allocation = -1;
    sim->fail_thread = -1;
    sim->fails_for_good = (dice >> 28) % 2;
    if (sim->may_fail_allocation && (dice >> 29) % 2)
        sim->fail_allocation = (int32_t)((dice >> 30) % 8);
    if (sim->may_fail_thread && (dice >> 33) % 2)
        sim->fail_thread = (int32_t)((dice >> 34) % 4);
}

static void start(void *unused)
{
    (void)unused;
    sim->scenario();
    if (sim->live_blocks > sim->may_keep)
        sim_fail("%u blocks of memory leak", sim->live_blocks);
    for (uint32_t i = 1; i < sim->n_threads; i++)
        if (sim->threads[i].state != FINISHED || !sim->threads[i].joined)
            sim_fail("thread %u is not joined", i);
}

static void put_back(uintptr_t begin, uintptr_t end)
{
    if (begin < end)
        memcpy((void *)begin, sim->first_data + (begin - sim->data.begin), end - begin);
}

static void put_back_data(void)
{
    uintptr_t at = sim->data.begin;
    for (uint32_t i = 0; i < sim->n_counters; i++) {
        if (sim->counters[i].begin < at)
            continue;
        put_back(at, sim->counters[i].begin);
        at = sim->counters[i].end;
    }
    put_back(at, sim->data.end);
}

/* One schedule of `sim->scenario`, by `sim->seed` or by the trail. */
void sim_run_schedule(void)
{
    sim->schedule++;
    sim->random = (sim->seed + 1) * 0x9e3779b97f4a7c15u;
    sim->random ^= sim->random >> 29;
    if (!sim->random)
        sim->random = 1;
    sim_random();
    sim->now_ns = 1000000;
    sim->now_step = 0;
    sim->tick_ns = 100;
    if (sim->strategy != DFS)
        set_strategy();
    sim->steps = 0;
    sim->steps_in_a_row = 0;
    sim->lowest_priority = 0;
    sim->highest_priority = 1 << 16;
    sim->trail_used = 0;
    sim->n_allocations = 0;
    sim->n_thread_starts = 0;
    sim->n_threads = 0;
    sim_memory_reset();
    sim_heap_reset();
    put_back_data();
    sim->current = sim_new_thread(start, NULL, "main");
    memcpy((void *)sim->tls_begin, sim->current->tls, sim->tls_bytes);
    sim->is_running = true;
    sim_switch(&sim->outside, sim->current->stack_pointer);
    sim->is_running = false;
    for (uint32_t i = 0; i < MAX_THREADS; i++)
        if (sim->threads[i].view_used < sim_view_used())
            sim->threads[i].view_used = sim_view_used();
    sim->total_steps += sim->steps;
}
