#include "sched/region.h"

#include "base/os.h"
#include "sched/staff.h"
#include "sched/worker.h"

#define SPIN_NS 20000

/* In a slot's `inside`, above the count: the owner sleeps on the word. */
#define WAITER 0x80000000u

static uint64_t bit_of(int slot)
{
    return (uint64_t)1 << slot;
}

int sp__region_take_slot(struct sp__regions *regions)
{
    uint64_t taken = load_relaxed(&regions->taken);
    while (~taken) {
        int slot = __builtin_ctzll(~taken);
        /* acquire (R2): the slot is as its former owner left it. */
        if (cas_weak_acquire(&regions->taken, &taken, taken | bit_of(slot)))
            return slot;
    }
    return -1;
}

void sp__region_open(struct sp__regions *regions, int slot, sp__region_fn work,
                     void *user)
{
    regions->slots[slot].work = work;
    regions->slots[slot].user = user;
    /* release (R1): work and user, to those who join. seq-cst (S3): the load of
     * `searching` that follows in sp__idle_notify() must not come first. */
    fetch_or_seq_cst(&regions->open, bit_of(slot));
}

void sp__region_exhaust(struct sp__regions *regions, int slot)
{
    /* Kept: without it somebody looks in vain; close() is what must be seen. */
    if (load_relaxed(&regions->open) & bit_of(slot))
        fetch_and_seq_cst(&regions->open, ~bit_of(slot));
}

static void wait_until_empty(_Atomic(uint32_t) *inside)
{
    /* seq-cst (R1): after closing. Kept, here and below: the other side changes the
     * same word, and reads the newest. */
    if (load_seq_cst(inside) == 0)
        return;
    for (int64_t until = sp__os_now_ns() + SPIN_NS; sp__os_now_ns() < until;) {
        /* Kept: see above. */
        if (load_seq_cst(inside) == 0)
            return;
        sp__os_pause();
    }
    struct sp__worker *worker = sp__worker_current();
    uint32_t seen;
    if (worker)
        sp__staff_falls_asleep(worker, NULL, false);
    /* Kept: see above. */
    while ((seen = fetch_or_seq_cst(inside, WAITER)) & ~WAITER)
        sp__os_wait(inside, seen | WAITER, SP__OS_NO_DEADLINE);
    if (worker)
        sp__staff_rises(worker, false);
    /* Kept: see above. */
    fetch_and_seq_cst(inside, ~WAITER);
}

void sp__region_close(struct sp__regions *regions, int slot)
{
    /* seq-cst (R1): close, then look who is inside. Kept: where sp__region_exhaust()
     * has closed it, that was seq-cst. */
    fetch_and_seq_cst(&regions->open, ~bit_of(slot));
    wait_until_empty(&regions->slots[slot].inside);
    /* release (R2): the next owner may write to the slot. Kept: R2 asks for no more,
     * but all other changes of the word are seq-cst. */
    fetch_and_seq_cst(&regions->taken, ~bit_of(slot));
}

static bool join(struct sp__regions *regions, int slot)
{
    struct sp__region_slot *region = &regions->slots[slot];
    /* seq-cst (R1): count in, then look whether it is open. If it is, its
     * owner - maybe a later one than we thought - will wait for us. */
    fetch_add_seq_cst(&region->inside, 1u);
    bool is_open = load_seq_cst(&regions->open) & bit_of(slot);
    if (is_open)
        region->work(region->user);
    /* release (R1): what we did, to the owner who sees us gone. Kept: he changes the
     * same word, and reads the newest. */
    if (fetch_sub_seq_cst(&region->inside, 1u) == (WAITER | 1))
        sp__os_wake_all(&region->inside);
    return is_open;
}

bool sp__region_join_any(struct sp__regions *regions)
{
    /* Kept: without it somebody joins later; the owner does all that is left. */
    uint64_t open = load_seq_cst(&regions->open);
    for (; open; open &= open - 1)
        if (join(regions, __builtin_ctzll(open)))
            return true;
    return false;
}
