/* sched/region.h */
#include "base/memory.h"
#include "check.h"
#include "sched/region.h"
#include "threads.h"

static struct sp__regions *new_regions(void)
{
    struct sp__regions *regions = sp__alloc(sizeof *regions);
    CHECK(regions);
    return regions;
}

/* Take a slot and open it; -1 when there is none. */
static int open_region(struct sp__regions *regions, sp__region_fn work, void *user)
{
    int slot = sp__region_take_slot(regions);
    if (slot >= 0)
        sp__region_open(regions, slot, work, user);
    return slot;
}

static void count(void *user)
{
    ++*(int *)user;
}

static void nobody_joins_before_or_after(void)
{
    struct sp__regions *regions = new_regions();
    int joined = 0;
    CHECK(!sp__region_is_open(regions));
    CHECK(!sp__region_join_any(regions));
    int slot = sp__region_take_slot(regions);
    CHECK(slot >= 0);
    CHECK(!sp__region_is_open(regions));
    CHECK(!sp__region_join_any(regions));
    sp__region_open(regions, slot, count, &joined);
    CHECK(sp__region_is_open(regions));
    CHECK(sp__region_join_any(regions));
    CHECK(sp__region_join_any(regions));
    CHECK_EQ(joined, 2);
    sp__region_close(regions, slot);
    CHECK(!sp__region_is_open(regions));
    CHECK(!sp__region_join_any(regions));
    CHECK_EQ(joined, 2);
    sp__free(regions);
}

static void nobody_joins_an_exhausted_region(void)
{
    struct sp__regions *regions = new_regions();
    int joined = 0;
    int slot = open_region(regions, count, &joined);
    sp__region_exhaust(regions, slot);
    sp__region_exhaust(regions, slot);
    CHECK(!sp__region_is_open(regions));
    CHECK(!sp__region_join_any(regions));
    sp__region_close(regions, slot);
    CHECK_EQ(joined, 0);
    sp__free(regions);
}

static void all_slots_can_be_taken_and_come_back(void)
{
    struct sp__regions *regions = new_regions();
    int joined = 0;
    for (int round = 0; round < 2; round++) {
        uint64_t slots = 0;
        for (int i = 0; i < SP__REGION_SLOTS; i++) {
            int slot = open_region(regions, count, &joined);
            CHECK(slot >= 0 && slot < SP__REGION_SLOTS);
            slots |= (uint64_t)1 << slot;
        }
        CHECK(slots == UINT64_MAX);
        CHECK_EQ(open_region(regions, count, &joined), -1);
        for (int i = 0; i < SP__REGION_SLOTS; i++)
            sp__region_close(regions, i);
    }
    CHECK_EQ(joined, 0);
    sp__free(regions);
}

static void an_exhausted_slot_stays_taken_until_closed(void)
{
    struct sp__regions *regions = new_regions();
    int joined = 0;
    int first = open_region(regions, count, &joined);
    sp__region_exhaust(regions, first);
    int second = open_region(regions, count, &joined);
    CHECK(first != second);
    sp__region_close(regions, first);
    sp__region_close(regions, second);
    sp__free(regions);
}

struct visit {
    struct sp__regions *regions;
    _Atomic(uint32_t) inside;
    unsigned left[2]; /* plain: close() must order them */
};

static _Thread_local unsigned my_index;

/* Stays in until the owner is waiting, asleep even. */
static void stay(void *user)
{
    struct visit *visit = user;
    fetch_add_seq_cst(&visit->inside, 1u);
    while (!(load_seq_cst(&visit->regions->slots[0].inside) & 0x80000000u))
        sp__os_yield();
    visit->left[my_index - 1] = 1;
}

static void own_or_join(unsigned index, void *arg)
{
    struct visit *visit = arg;
    my_index = index;
    if (index > 0) {
        while (!sp__region_join_any(visit->regions))
            sp__os_yield();
        return;
    }
    int slot = open_region(visit->regions, stay, visit);
    CHECK_EQ(slot, 0);
    await(&visit->inside, 2);
    sp__region_close(visit->regions, slot);
    CHECK_EQ(visit->left[0] + visit->left[1], 2);
}

static void close_waits_for_those_inside(void)
{
    struct sp__regions *regions = new_regions();
    for (long round = check_rounds(30); round > 0; round--) {
        struct visit visit = {.regions = regions};
        run_together(3, own_or_join, &visit);
        CHECK_EQ(load_seq_cst(&regions->slots[0].inside), 0);
    }
    sp__free(regions);
}

/* Each round lives on its owner's stack: a joiner that came too late would find
 * another one there. */
struct round {
    _Atomic(uint32_t) joined;
    bool is_open;
};

struct pass {
    struct sp__regions *regions;
    _Atomic(uint32_t) owners;
};

static void join_round(void *user)
{
    struct round *round = user;
    CHECK(round->is_open);
    fetch_add_relaxed(&round->joined, 1u);
}

static void open_and_close(struct pass *pass, long i)
{
    struct round round = {.is_open = true};
    int slot = open_region(pass->regions, join_round, &round);
    CHECK(slot >= 0);
    if (i % 4 == 0)
        await(&round.joined, 1);
    if (i % 2 == 0)
        sp__region_exhaust(pass->regions, slot);
    sp__region_close(pass->regions, slot);
    round.is_open = false;
}

static void own_or_pass_by(unsigned index, void *arg)
{
    struct pass *pass = arg;
    if (index < 2) {
        for (long i = check_rounds(1000); i > 0; i--)
            open_and_close(pass, i);
        fetch_sub_seq_cst(&pass->owners, 1u);
        return;
    }
    while (load_seq_cst(&pass->owners) > 0)
        if (!sp__region_join_any(pass->regions))
            sp__os_yield();
}

static void nobody_is_inside_after_close(void)
{
    struct pass pass = {.regions = new_regions(), .owners = 2};
    run_together(4, own_or_pass_by, &pass);
    sp__free(pass.regions);
}

int main(void)
{
    RUN(nobody_joins_before_or_after);
    RUN(nobody_joins_an_exhausted_region);
    RUN(all_slots_can_be_taken_and_come_back);
    RUN(an_exhausted_slot_stays_taken_until_closed);
    RUN(close_waits_for_those_inside);
    RUN(nobody_is_inside_after_close);
    return 0;
}
