#include "sched/yield.h"

#include "base/os.h"

/* What takes longer went to a stranger, or to a task long enough to sleep for. */
#define DEAR_NS 50000
#define PAUSE 50 /* times as long there is no other */

/* What is above was no time slice: the process was stopped. */
#define DEAREST_NS 100000000

bool sp__yield(struct sp__yield *yield)
{
    int64_t start = sp__os_now_ns();
    if (start < load_relaxed(&yield->not_before))
        return false;
    sp__os_yield();
    int64_t end = sp__os_now_ns();
    int64_t took = end - start < DEAREST_NS ? end - start : DEAREST_NS;
    if (took > DEAR_NS)
        store_relaxed(&yield->not_before, end + PAUSE * took);
    return true;
}
