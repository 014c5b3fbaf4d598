/* How fast the processor's counter runs. */
#include "base/os.h"

_Atomic(uint64_t) sp__os_lap_rate;

/* What lies between two moments: long enough for a small error, too short to matter. */
#define APART_NS 20000
#define FAR_APART_NS 200000

/* The clock's look must be this much shorter, or it says too little about the counter:
 * the thread was interrupted, or reading the counter is dear, as in some virtual
 * machines. */
#define EXACT 32

uint64_t sp__os_rate_of(const struct sp__os_moment *from,
                        const struct sp__os_moment *to)
{
    int64_t ns = to->ns - from->ns;
    uint64_t ticks = to->before - from->before;
    uint64_t looks = (from->after - from->before) + (to->after - to->before);
    if (ns < APART_NS || ns > FAR_APART_NS || looks >= ticks / EXACT)
        return 0;
    return ((uint64_t)ns << 32) / ticks;
}

#ifdef __x86_64__
#include <cpuid.h>
#include <stdbool.h>

#define ATTEMPTS 5

/* The counter's speed depends on nothing, and is the same in all cores. */
static bool runs_evenly(void)
{
    unsigned a, b, c, d = 0;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && d & 1u << 8;
}

static struct sp__os_moment look(void)
{
    struct sp__os_moment moment;
    moment.before = sp__os_ticks();
    moment.ns = sp__os_now_ns();
    moment.after = sp__os_ticks();
    return moment;
}

void sp__os_lap_learn(void)
{
    if (load_relaxed(&sp__os_lap_rate) || !runs_evenly())
        return;
    look(); /* the first one takes longer */
    for (int i = 0; i < ATTEMPTS; i++) {
        struct sp__os_moment from = look(), to;
        do
            to = look();
        while (to.ns - from.ns < APART_NS);
        uint64_t rate = sp__os_rate_of(&from, &to);
        if (rate) {
            store_relaxed(&sp__os_lap_rate, rate);
            return;
        }
    }
}
#else
void sp__os_lap_learn(void)
{
}
#endif
