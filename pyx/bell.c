#include "bell.h"

#include "base/counters.h"
#include "base/os.h"

#define RUNG (SP_BELL_LAZY | SP_BELL_URGENT)

void sp_bell_init(struct sp_bell *bell)
{
    store_relaxed(&bell->rung, 0u);
    store_relaxed(&bell->calls, SP_FIRST_COUNT);
}

static void ring(struct sp_bell *bell, uint32_t how)
{
    /* release (B1): what has happened. Kept acq_rel: the other side changes the same
     * word, and reads the newest. */
    uint32_t before = fetch_or_acq_rel(&bell->rung, how);
    if (before & how)
        return;
    if (before & SP_BELL_AWAY)
        sp_bell_call_deputy(bell);
    else
        sp__os_wake_all(&bell->rung);
}

void sp_bell_ring_lazily(void *bell)
{
    ring(bell, SP_BELL_LAZY);
}

void sp_bell_ring_urgently(void *bell)
{
    ring(bell, SP_BELL_URGENT);
}

void sp_bell_wait(struct sp_bell *bell, int64_t patience_ns, int64_t alarm_ns)
{
    int64_t deadline_ns = alarm_ns;
    bool is_patient = false;
    uint32_t rung;
    while (!((rung = load_relaxed(&bell->rung)) & SP_BELL_URGENT)) {
        if (rung && !is_patient) {
            is_patient = true;
            int64_t end_ns = sp__os_deadline(patience_ns);
            deadline_ns = end_ns < alarm_ns ? end_ns : alarm_ns;
        }
        if (sp__os_wait(&bell->rung, rung, deadline_ns) == SP__OS_TIMED_OUT)
            break;
    }
    /* acquire (B1). Cleared before the caller looks, so no ring is lost. */
    exchange_acquire(&bell->rung, 0u);
}

/* ------------------------------------------------------------------ the deputy */

void sp_bell_call_deputy(struct sp_bell *bell)
{
    /* release (B2): that the listener is away, what was rung, or a reason to end. */
    fetch_add_release(&bell->calls, 1u);
    sp__os_wake_all(&bell->calls);
}

void sp_bell_leave(struct sp_bell *bell, int64_t alarm_ns)
{
    uint32_t before = fetch_or_relaxed(&bell->rung, SP_BELL_AWAY);
    if (before & RUNG || alarm_ns != SP_BELL_NO_ALARM)
        sp_bell_call_deputy(bell);
}

void sp_bell_return(struct sp_bell *bell)
{
    fetch_and_relaxed(&bell->rung, ~SP_BELL_AWAY);
}

bool sp_bell_is_away(const struct sp_bell *bell)
{
    return load_relaxed(&bell->rung) & SP_BELL_AWAY;
}

bool sp_bell_stand_in(struct sp_bell *bell, uint32_t *calls, int64_t patience_ns,
                      int64_t alarm_ns)
{
    int64_t deadline_ns = SP__OS_NO_DEADLINE;
    uint32_t rung = load_relaxed(&bell->rung);
    if (rung & SP_BELL_AWAY) {
        deadline_ns = alarm_ns;
        if (rung & SP_BELL_LAZY) {
            int64_t end_ns = sp__os_deadline(patience_ns);
            deadline_ns = end_ns < alarm_ns ? end_ns : alarm_ns;
        }
    }
    /* Of what changes after this look, a call tells, and he does not sleep (B2). */
    if (!(rung & SP_BELL_AWAY) || !(rung & SP_BELL_URGENT))
        sp__os_wait(&bell->calls, *calls, deadline_ns);
    *calls = load_acquire(&bell->calls); /* (B2) */
    /* acquire (B1): what it was rung for. Cleared only while the listener is away, who
     * would sleep on otherwise, and before the caller looks, so no ring is lost. */
    rung = load_relaxed(&bell->rung);
    while (rung & SP_BELL_AWAY)
        if (cas_weak_acquire(&bell->rung, &rung, SP_BELL_AWAY))
            return true;
    return false;
}
