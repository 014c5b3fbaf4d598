/* sched/idle.h. tests/models/idle.py explores the protocol as a whole. */
#include "base/memory.h"
#include "check.h"
#include "sched/idle.h"
#include "threads.h"

static struct sp__idle *new_idle(uint32_t workers)
{
    struct sp__idle *idle = sp__alloc(sizeof *idle);
    CHECK(idle);
    CHECK_EQ(sp__idle_init(idle, workers), SP_OK);
    return idle;
}

static void free_idle(struct sp__idle *idle)
{
    sp__idle_destroy(idle);
    sp__free(idle);
}

static uint32_t searching(struct sp__idle *idle)
{
    return load_seq_cst(&idle->searching);
}

static bool is_asleep(struct sp__idle *idle, uint32_t worker)
{
    return load_seq_cst(&idle->sleepers[worker / 64]) >> (worker % 64) & 1;
}

static uint64_t woken(struct sp__idle *idle)
{
    return load_relaxed(&idle->woken);
}

static void only_some_may_search(void)
{
    for (uint32_t workers = 1; workers < 20; workers++) {
        struct sp__idle *idle = new_idle(workers);
        uint32_t n = 0;
        while (sp__idle_start_search(idle))
            n++;
        CHECK(n >= 1 && n <= workers, "%u of %u", n, workers);
        CHECK_EQ(searching(idle), n);
        for (uint32_t i = n; i > 0; i--)
            CHECK_EQ(sp__idle_end_search(idle), i == 1, "the last one");
        free_idle(idle);
    }
}

static void announcing_counts_a_searcher_out(void)
{
    struct sp__idle *idle = new_idle(2);
    CHECK(sp__idle_start_search(idle));
    sp__idle_announce(idle, 1, /* is_searching= */ true);
    CHECK_EQ(searching(idle), 0);
    sp__idle_announce(idle, 0, /* is_searching= */ false);
    CHECK_EQ(searching(idle), 0);
    CHECK(is_asleep(idle, 0) && is_asleep(idle, 1));
    free_idle(idle);
}

static void one_who_withdraws_searches(void)
{
    struct sp__idle *idle = new_idle(2);
    sp__idle_announce(idle, 1, false);
    CHECK(sp__idle_withdraw(idle, 1));
    CHECK_EQ(searching(idle), 1);
    CHECK(!is_asleep(idle, 1));
    sp__idle_notify(idle);
    CHECK_EQ(woken(idle), 0);
    free_idle(idle);
}

static void notify_claims_one_sleeper_and_counts_it_as_searching(void)
{
    struct sp__idle *idle = new_idle(3);
    sp__idle_announce(idle, 0, false);
    sp__idle_announce(idle, 2, false);
    sp__idle_notify(idle);
    CHECK_EQ(is_asleep(idle, 0) + is_asleep(idle, 2), 1);
    CHECK_EQ(searching(idle), 1);
    CHECK_EQ(woken(idle), 1);
    free_idle(idle);
}

static void notify_wakes_nobody_while_one_searches(void)
{
    struct sp__idle *idle = new_idle(3);
    CHECK(sp__idle_start_search(idle));
    sp__idle_announce(idle, 1, false);
    sp__idle_notify(idle);
    CHECK(is_asleep(idle, 1));
    CHECK_EQ(woken(idle), 0);
    free_idle(idle);
}

static void notify_without_sleepers_does_nothing(void)
{
    struct sp__idle *idle = new_idle(3);
    sp__idle_notify(idle);
    sp__idle_notify_all(idle);
    CHECK_EQ(searching(idle), 0);
    CHECK_EQ(woken(idle), 0);
    free_idle(idle);
}

static void one_who_was_claimed_cannot_withdraw_and_does_not_sleep(void)
{
    struct sp__idle *idle = new_idle(1);
    for (int i = 0; i < 3; i++) {
        sp__idle_announce(idle, 0, i > 0);
        sp__idle_notify(idle);
        CHECK(!sp__idle_withdraw(idle, 0));
        CHECK_EQ(sp__idle_park(idle, 0), -1);
        CHECK_EQ(searching(idle), 1);
    }
    free_idle(idle);
}

struct bed {
    struct sp__idle *idle;
    uint32_t rung_on; /* instead of the waker's own CPU */
    int64_t took_ns;
};

static void sleep_or_ring(unsigned index, void *arg)
{
    struct bed *bed = arg;
    struct sp__parker *parker = &bed->idle->parkers[0];
    if (index == 0) {
        sp__idle_announce(bed->idle, 0, false);
        bed->took_ns = sp__idle_park(bed->idle, 0);
        return;
    }
    while (load_seq_cst(&parker->token) != 1) /* parked: see idle.c */
        sp__os_yield();
    store_relaxed(&parker->rung_on, bed->rung_on);
    store_relaxed(&parker->rung_at, sp__os_now_ns() - 1000000);
    CHECK_EQ(exchange_acq_rel(&parker->token, 2u), 1); /* notified */
    sp__os_wake_one(&parker->token);
}

static void a_sleeper_is_told_how_long_waking_took_across_cpus(void)
{
    for (int i = 0; i < 100; i++) {
        struct bed bed = {.idle = new_idle(1), .rung_on = UINT32_MAX};
        run_together(2, sleep_or_ring, &bed);
        /* It may have been in time to see the ring before it slept. */
        CHECK(bed.took_ns == -1 || bed.took_ns >= 1000000, "%lld",
              (long long)bed.took_ns);
        free_idle(bed.idle);
    }
}

static void notify_all_claims_everybody_in_every_word(void)
{
    const uint32_t workers = SP_MAX_WORKERS;
    struct sp__idle *idle = new_idle(workers);
    for (uint32_t i = 0; i < workers; i += 3)
        sp__idle_announce(idle, i, false);
    CHECK(sp__idle_start_search(idle));
    sp__idle_notify_all(idle);
    for (uint32_t i = 0; i < workers; i++)
        CHECK(!is_asleep(idle, i), "worker %u", i);
    CHECK_EQ(woken(idle), (workers + 2) / 3);
    CHECK_EQ(searching(idle), (workers + 2) / 3 + 1);
    free_idle(idle);
}

static void the_last_worker_can_be_woken(void)
{
    static const uint32_t sizes[] = {1, 63, 64, 65, 128, 129, SP_MAX_WORKERS};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sp__idle *idle = new_idle(sizes[i]);
        sp__idle_announce(idle, sizes[i] - 1, false);
        sp__idle_notify(idle);
        CHECK_EQ(woken(idle), 1, "of %u", sizes[i]);
        CHECK(!is_asleep(idle, sizes[i] - 1));
        free_idle(idle);
    }
}

static void sleep_or_wake(unsigned index, void *arg)
{
    struct sp__idle *idle = arg;
    if (index > 0) {
        sp__idle_announce(idle, index - 1, false);
        sp__idle_park(idle, index - 1);
        CHECK(!is_asleep(idle, index - 1));
        return;
    }
    while (woken(idle) < 3)
        sp__idle_notify_all(idle);
}

static void parked_workers_wake_up_when_claimed(void)
{
    for (long round = check_rounds(50); round > 0; round--) {
        struct sp__idle *idle = new_idle(3);
        run_together(4, sleep_or_wake, idle);
        CHECK_EQ(searching(idle), 3);
        free_idle(idle);
    }
}

static void without_memory_there_are_no_beds(void)
{
    struct sp__idle idle = {.words = 42};
    if (!sp__alloc_fail_at(0, false))
        return;
    CHECK_EQ(sp__idle_init(&idle, 2), SP_ENOMEM);
    sp__idle_destroy(&idle);
}

int main(void)
{
    RUN(only_some_may_search);
    RUN(announcing_counts_a_searcher_out);
    RUN(one_who_withdraws_searches);
    RUN(notify_claims_one_sleeper_and_counts_it_as_searching);
    RUN(notify_wakes_nobody_while_one_searches);
    RUN(notify_without_sleepers_does_nothing);
    RUN(one_who_was_claimed_cannot_withdraw_and_does_not_sleep);
    RUN(a_sleeper_is_told_how_long_waking_took_across_cpus);
    RUN(notify_all_claims_everybody_in_every_word);
    RUN(the_last_worker_can_be_woken);
    RUN(parked_workers_wake_up_when_claimed);
    RUN(without_memory_there_are_no_beds);
    return 0;
}
