/*
 * base/os.h for the simulator: a kernel with one futex table, one clock and no
 * time of its own. It wakes for no reason, interrupts, refuses threads and lets
 * the clock jump, as far as the seed asks for it.
 */
#include <string.h>

#include "sim_core.h"

enum sp__os_wake_reason sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                    int64_t deadline_ns)
{
    struct thread *me = sim->current;
    me->last_site = (uintptr_t)__builtin_return_address(0);
    sim_step();
    if (sim_kernel_load((uintptr_t)word) != expected)
        return SP__OS_WOKEN;
    if (deadline_ns <= sim->now_ns)
        return SP__OS_TIMED_OUT;
    if (sim->traces)
        sim_trace("sleeps", NULL, 0, 0, 0);
    me->word = (uintptr_t)word;
    me->deadline_ns = deadline_ns;
    sim_block(ASLEEP);
    return me->reason;
}

static void wake_some(uintptr_t word, uint32_t n)
{
    sim_step();
    if (sim->traces)
        sim_trace("wakes", NULL, 0, 0, 0);
    sim_kernel_wake(word);
    while (n-- > 0) {
        struct thread *asleep[MAX_THREADS];
        uint32_t found = 0;
        for (uint32_t i = 0; i < sim->n_threads; i++)
            if (sim->threads[i].state == ASLEEP && sim->threads[i].word == word)
                asleep[found++] = &sim->threads[i];
        if (found == 0)
            return;
        struct thread *thread = asleep[sim_decide(found)];
        thread->state = RUNNABLE;
        thread->word = 0;
        thread->reason = SP__OS_WOKEN;
        sim->must_pick = true;
    }
}

void sp__os_wake_one(_Atomic(uint32_t) *word)
{
    wake_some((uintptr_t)word, 1);
}

void sp__os_wake_all(_Atomic(uint32_t) *word)
{
    wake_some((uintptr_t)word, MAX_THREADS);
}

int64_t sp__os_now_ns(void)
{
    sim->now_ns += sim->tick_ns * (1 + sim->steps - sim->now_step);
    sim->now_step = sim->steps;
    if (sim->strategy != DFS && (sim_random() & 255) == 0)
        sim->now_ns += 1000000000; /* as after a suspended virtual machine */
    return sim->now_ns;
}

void sp__os_lap_learn(void)
{
}

void sp__os_yield(void)
{
    sim_yield();
}

void sp__os_pause(void)
{
    sim_yield();
}

bool sp__os_thread_start(struct sp__os_thread *ret_thread, sp__os_thread_fn run,
                         void *arg, const char *name)
{
    (void)name;
    int64_t n = sim->n_thread_starts++;
    sim_step();
    if (sim->fail_thread >= 0 &&
        (n == sim->fail_thread || (n > sim->fail_thread && sim->fails_for_good)))
        return false;
    ret_thread->handle = sim_new_thread(run, arg, "worker")->id;
    return true;
}

void sp__os_thread_join(struct sp__os_thread *thread)
{
    struct thread *other = &sim->threads[thread->handle];
    sim_step();
    if (other->joined)
        sim_fail("thread %u is joined for the second time", other->id);
    other->joined = true;
    if (other->state != FINISHED) {
        sim->current->joins = other;
        sim_block(JOINING);
    }
    sim_view_join(sim->current->view, other->view, sim_view_used());
}

uint32_t sp__os_current_cpu(void)
{
    return sim->current->id % 2;
}

void sp__os_leave_cpu(uint32_t cpu)
{
    (void)cpu;
}

/* One worker has to take turns with the main thread. */
uint32_t sp__os_affinity_cpus(void)
{
    return sim->current->id == 2 ? 1 : 2;
}

/* base/quota.c reads files. */
uint32_t sp_usable_cpus(void)
{
    return 2;
}

uint32_t sp_cpu_quota(void)
{
    return 0;
}

uint32_t sp__os_list_cpus(uint32_t *ret_cpus, uint32_t max)
{
    (void)ret_cpus;
    (void)max;
    return 0;
}

bool sp__os_thread_pin(struct sp__os_thread *thread, uint32_t cpu)
{
    (void)thread;
    (void)cpu;
    return false;
}

void sp__os_priorities(enum sp__os_policy policy, int *ret_least, int *ret_most)
{
    (void)policy;
    *ret_least = *ret_most = 1;
}

bool sp__os_thread_hurry(struct sp__os_thread *thread, enum sp__os_policy policy,
                         int priority)
{
    (void)thread;
    (void)policy;
    (void)priority;
    return false;
}

/* Nobody polls here. */
bool sp__os_bell_create(struct sp__os_bell *ret_bell)
{
    (void)ret_bell;
    return false;
}

void sp__os_bell_destroy(struct sp__os_bell *bell)
{
    (void)bell;
}

void sp__os_bell_ring(const struct sp__os_bell *bell)
{
    (void)bell;
}

void sp__os_bell_clear(const struct sp__os_bell *bell)
{
    (void)bell;
}

/* base/topology.c reads files, too. */
void sp__topology_sort(const char *root, uint32_t *cpus, uint32_t n, bool spread)
{
    (void)root;
    (void)cpus;
    (void)n;
    (void)spread;
}

void sp__os_at_fork(void (*before)(void), void (*in_parent)(void),
                    void (*in_child)(void))
{
    (void)before;
    (void)in_parent;
    (void)in_child;
}
