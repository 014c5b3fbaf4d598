/* sched/yield.h: giving the CPU away, for as long as it comes back at once. */
#include "base/os.h"
#include "check.h"
#include "sched/yield.h"

#ifdef CAN_WRAP
/* A clock that only a yield moves on. */
static int64_t now_ns = 1;
static int64_t takes_ns;
static int yields;

int64_t __wrap_sp__os_now_ns(void);
int64_t __wrap_sp__os_now_ns(void)
{
    return now_ns;
}

void __wrap_sp__os_yield(void);
void __wrap_sp__os_yield(void)
{
    now_ns += takes_ns;
    yields++;
}

static void a_yield_that_is_short_may_be_followed_by_others(void)
{
    struct sp__yield yield = {0};
    yields = 0;
    takes_ns = 50000;
    for (int i = 0; i < 100; i++)
        CHECK(sp__yield(&yield));
    CHECK_EQ(yields, 100);
}

static void after_a_dear_yield_there_is_none_for_fifty_times_as_long(void)
{
    struct sp__yield yield = {0};
    yields = 0;
    takes_ns = 3000000;
    CHECK(sp__yield(&yield));
    now_ns += 50 * takes_ns - 1;
    CHECK(!sp__yield(&yield));
    CHECK_EQ(yields, 1);
    now_ns += 1;
    CHECK(sp__yield(&yield));
    CHECK_EQ(yields, 2);
}

static void a_process_that_was_stopped_may_soon_yield_again(void)
{
    struct sp__yield yield = {0};
    takes_ns = INT64_C(3600000000000);
    CHECK(sp__yield(&yield));
    CHECK(!sp__yield(&yield));
    now_ns += INT64_C(5000000000);
    CHECK(sp__yield(&yield));
}

static void yielding_in_vain_costs_a_fiftieth_of_the_time(void)
{
    struct sp__yield yield = {0};
    int64_t start = now_ns, lost = 0;
    takes_ns = 4000000;
    for (int i = 0; i < 1000000; i++) {
        int64_t before = now_ns;
        if (sp__yield(&yield))
            lost += now_ns - before;
        now_ns += 5000; /* what else there is to do */
    }
    CHECK(lost > 0);
    CHECK((lost - takes_ns) * 50 <=
          now_ns - start); /* the last one has its pause yet */
}
#endif

int main(void)
{
#ifdef CAN_WRAP
    RUN(a_yield_that_is_short_may_be_followed_by_others);
    RUN(after_a_dear_yield_there_is_none_for_fifty_times_as_long);
    RUN(a_process_that_was_stopped_may_soon_yield_again);
    RUN(yielding_in_vain_costs_a_fiftieth_of_the_time);
#endif
    return 0;
}
