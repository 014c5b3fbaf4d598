#include "bell.h"

#include <stdbool.h>

#include "base/os.h"

static void ring(struct sp_bell *bell, uint32_t how)
{
    /* release (B1): what has happened. */
    if (!(fetch_or_acq_rel(&bell->rung, how) & how))
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
