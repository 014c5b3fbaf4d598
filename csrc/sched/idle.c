#include "sched/idle.h"

#include "base/memory.h"
#include "base/os.h"
#include "sched/pool.h"

enum token {
    EMPTY,    /* nobody sleeps here */
    PARKED,   /* the owner sleeps, or is about to */
    NOTIFIED, /* a waker has come */
};

static uint64_t bit_of(uint32_t worker)
{
    return (uint64_t)1 << (worker % 64);
}

sp_status sp__idle_init(struct sp__idle *idle, uint32_t places)
{
    idle->parkers = sp__alloc(places * sizeof *idle->parkers);
    if (!idle->parkers)
        return SP_ENOMEM;
    idle->words = (places + 63) / 64;
    idle->places = places;
    sp__idle_resize(idle, places);
    return SP_OK;
}

void sp__idle_resize(struct sp__idle *idle, uint32_t workers)
{
    store_relaxed(&idle->max_searching, workers <= 4 ? workers : workers / 2);
}

void sp__idle_reset(struct sp__idle *idle)
{
    store_relaxed(&idle->searching, 0u);
    store_relaxed(&idle->is_stuck, 0u);
    for (uint32_t word = 0; word < idle->words; word++)
        store_relaxed(&idle->sleepers[word], (uint64_t)0);
    for (uint32_t i = 0; i < idle->places; i++)
        store_relaxed(&idle->parkers[i].token, EMPTY);
}

void sp__idle_destroy(struct sp__idle *idle)
{
    sp__free(idle->parkers);
}

static void unpark(struct sp__parker *parker)
{
    store_relaxed(&parker->rung_on, sp__os_current_cpu());
    store_relaxed(&parker->rung_at, sp__os_now_ns());
    /* release (P1): the claim on the sleeper, so that he sees himself counted
     * as searching, to park(). */
    if (exchange_release(&parker->token, NOTIFIED) == PARKED)
        sp__os_wake_one(&parker->token);
}

/* `worker`'s bit was taken off: he counts as searching from now on. */
static void wake_claimed(struct sp__idle *idle, uint32_t worker)
{
    /* relaxed, as wherever `searching` grows: who relies on a searcher looks for the
     * step that ends his search, which is seq-cst, and after which he looks. */
    fetch_add_relaxed(&idle->searching, 1u);
    fetch_add_relaxed(&idle->woken, 1u);
    unpark(&idle->parkers[worker]);
}

/* Claim the lowest sleeper of a word and wake him. False: none sleeps there. */
static bool wake_in_word(struct sp__idle *idle, uint32_t word)
{
    /* seq-cst (S1, S2): after the submitter's publication. */
    uint64_t sleepers = load_seq_cst(&idle->sleepers[word]);
    while (sleepers) {
        uint32_t bit = (uint32_t)__builtin_ctzll(sleepers);
        /* acquire (P2): the sleeper's bed, made before he announced. */
        if (!cas_weak_acquire(&idle->sleepers[word], &sleepers,
                              sleepers & (sleepers - 1)))
            continue;
        wake_claimed(idle, word * 64 + bit);
        return true;
    }
    return false;
}

void sp__idle_notify(struct sp__idle *idle)
{
    /* seq-cst (S1, S2): a searcher that we count on here will look at the
     * queues after it has stopped searching, and so sees the publication. */
    if (load_seq_cst(&idle->searching) > 0)
        return;
    for (uint32_t word = 0; word < idle->words; word++)
        if (wake_in_word(idle, word))
            return;
    /* seq-cst (S8): after the publication. */
    if (sp_unlikely(load_seq_cst(&idle->is_stuck)))
        sp__staff_rouse(sp_container_of(idle, sp_pool, idle));
}

bool sp__idle_has_idle(const struct sp__idle *idle)
{
    if (load_relaxed(&idle->searching) > 0)
        return true;
    for (uint32_t word = 0; word < idle->words; word++)
        if (load_relaxed(&idle->sleepers[word]))
            return true;
    return false;
}

void sp__idle_notify_all(struct sp__idle *idle)
{
    /* Each once: one that falls asleep again has seen why it was woken (S4), and
     * must not keep us here. */
    for (uint32_t word = 0; word < idle->words; word++) {
        /* acquire (P2): their beds. release (S4, S6): why, to those who announce later.
         * Kept: they change the same word, and read the newest. */
        uint64_t sleepers = fetch_and_seq_cst(&idle->sleepers[word], (uint64_t)0);
        for (; sleepers; sleepers &= sleepers - 1)
            wake_claimed(idle, word * 64 + (uint32_t)__builtin_ctzll(sleepers));
    }
}

bool sp__idle_start_search(struct sp__idle *idle)
{
    uint32_t searching = load_relaxed(&idle->searching);
    while (searching < load_relaxed(&idle->max_searching))
        if (cas_weak_relaxed(&idle->searching, &searching, searching + 1))
            return true;
    return false;
}

bool sp__idle_end_search(struct sp__idle *idle)
{
    /* seq-cst (S1, S2): before the last searcher's look at the queues. */
    return fetch_sub_seq_cst(&idle->searching, 1u) == 1;
}

void sp__idle_announce(struct sp__idle *idle, uint32_t worker, bool is_searching)
{
    /* The bit first: in between, a submitter sees a searcher or a sleeper.
     * seq-cst (S1, S2): before the caller's last look at the queues. release (P2). */
    fetch_or_seq_cst(&idle->sleepers[worker / 64], bit_of(worker));
    if (is_searching)
        fetch_sub_seq_cst(&idle->searching, 1u);
}

bool sp__idle_withdraw(struct sp__idle *idle, uint32_t worker)
{
    uint64_t bit = bit_of(worker);
    /* relaxed: it says who was faster, and passes nothing on. */
    if (!(fetch_and_relaxed(&idle->sleepers[worker / 64], ~bit) & bit))
        return false;
    fetch_add_relaxed(&idle->searching, 1u);
    return true;
}

int64_t sp__idle_park(struct sp__idle *idle, uint32_t worker)
{
    struct sp__parker *parker = &idle->parkers[worker];
    _Atomic(uint32_t) *token = &parker->token;
    uint32_t empty = EMPTY;
    bool has_slept = false;
    (void)cas_relaxed(token, &empty, PARKED); /* fails if the waker was faster */
    /* acquire (P1), also in that case. Sleepers wake for no reason, too. */
    while (load_acquire(token) == PARKED) {
        sp__os_wait(token, PARKED, SP__OS_NO_DEADLINE);
        has_slept = true;
    }
    store_relaxed(token, EMPTY); /* (P2) */
    if (!has_slept || load_relaxed(&parker->rung_on) == sp__os_current_cpu())
        return -1;
    return sp__os_now_ns() - load_relaxed(&parker->rung_at);
}
