#include "gate.h"

#include "base/os.h"

static uint32_t calls(uint32_t inside)
{
    return inside & SP_GATE_MOST;
}

/* Held for a few instructions. */
static void lock(struct sp_gate *gate)
{
    uint32_t unlocked = 0;
    /* acquire (A2): the ears. */
    while (!cas_weak_acquire(&gate->lock, &unlocked, 1)) {
        unlocked = 0;
        sp__os_yield();
    }
}

static void unlock(struct sp_gate *gate)
{
    store_release(&gate->lock, 0); /* (A2) */
}

/* Tell all who sleep, and all who listen. */
static void tell(struct sp_gate *gate)
{
    sp__os_wake_all(&gate->inside);
    lock(gate);
    struct sp_ear *ear = gate->ears;
    gate->ears = NULL;
    unlock(gate);
    while (ear) {
        struct sp_ear *next = ear->next;
        ear->hear(ear);
        ear = next;
    }
}

void sp_gate_init(struct sp_gate *gate, uint32_t workers, uint32_t capacity)
{
    *gate = (struct sp_gate){
        .limit = workers + capacity,
        .low = workers + capacity / 2,
    };
}

/* Relaxed: a count of places, which says nothing of the calls. */

uint32_t sp_gate_enter(struct sp_gate *gate, uint32_t least, uint32_t most)
{
    uint32_t inside = load_relaxed(&gate->inside);
    uint32_t n;
    do {
        uint32_t room = calls(inside) < gate->limit ? gate->limit - calls(inside) : 0;
        n = most < room ? most : room;
        if (n < least)
            return 0;
    } while (!cas_weak_relaxed(&gate->inside, &inside, inside + n));
    return n;
}

void sp_gate_enter_anyway(struct sp_gate *gate)
{
    fetch_add_relaxed(&gate->inside, 1u);
}

void sp_gate_leave(struct sp_gate *gate, uint32_t n)
{
    uint32_t inside = load_relaxed(&gate->inside);
    uint32_t next;
    do {
        next = inside - n;
        if (calls(next) <= gate->low)
            next &= ~SP_GATE_WAITER;
    } while (!cas_weak_relaxed(&gate->inside, &inside, next));
    if ((inside ^ next) & SP_GATE_WAITER)
        tell(gate);
}

uint32_t sp_gate_turn(struct sp_gate *gate)
{
    /* acquire (A1): the reason for which all were woken. */
    return load_acquire(&gate->inside) & SP_GATE_WAKE;
}

sp_status sp_gate_wait(struct sp_gate *gate, uint32_t turn, int64_t timeout_ns)
{
    int64_t deadline_ns = sp__os_deadline(timeout_ns);
    uint32_t inside = load_relaxed(&gate->inside);
    while (calls(inside) > gate->low && (inside & SP_GATE_WAKE) == turn) {
        uint32_t waiting = inside | SP_GATE_WAITER;
        if (!cas_weak_relaxed(&gate->inside, &inside, waiting))
            continue;
        switch (sp__os_wait(&gate->inside, waiting, deadline_ns)) {
        case SP__OS_WOKEN:
            break;
        case SP__OS_TIMED_OUT:
            return SP_ETIMEDOUT;
        case SP__OS_INTERRUPTED:
            return SP_EINTR;
        }
        inside = load_relaxed(&gate->inside);
    }
    return SP_OK;
}

void sp_gate_wake(struct sp_gate *gate)
{
    uint32_t inside = load_relaxed(&gate->inside);
    /* release (A1). */
    while (!cas_weak_release(&gate->inside, &inside, inside ^ SP_GATE_WAKE))
        ;
    tell(gate);
}

bool sp_gate_listen(struct sp_gate *gate, uint32_t turn, struct sp_ear *ear)
{
    bool must_wait = false;
    /* Locked before the flag is set: who clears it, and then takes the list, finds the
     * ear in it. */
    lock(gate);
    uint32_t inside = load_relaxed(&gate->inside);
    while (calls(inside) > gate->low && (inside & SP_GATE_WAKE) == turn) {
        if (!cas_weak_relaxed(&gate->inside, &inside, inside | SP_GATE_WAITER))
            continue;
        ear->next = gate->ears;
        gate->ears = ear;
        must_wait = true;
        break;
    }
    unlock(gate);
    return must_wait;
}

bool sp_gate_unlisten(struct sp_gate *gate, const struct sp_ear *ear)
{
    lock(gate);
    struct sp_ear **link = &gate->ears;
    while (*link && *link != ear)
        link = &(*link)->next;
    bool is_listed = *link != NULL;
    if (is_listed)
        *link = ear->next;
    unlock(gate);
    return is_listed;
}

uint32_t sp_gate_inside(struct sp_gate *gate)
{
    return calls(load_relaxed(&gate->inside));
}
