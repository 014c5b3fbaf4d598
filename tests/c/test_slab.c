#include "sched/slab.h"

#include <string.h>

#include "base/memory.h"
#include "check.h"
#include "threads.h"

enum { MANY = 1000 };

static struct sp__slab *new_slab(void)
{
    struct sp__slab *slab = sp__alloc(sizeof *slab);
    CHECK(slab);
    return slab;
}

static void free_slab(struct sp__slab *slab)
{
    sp__slab_destroy(slab);
    sp__free(slab);
}

static void cells_do_not_overlap(void)
{
    static struct sp__cell *cells[MANY];
    struct sp__slab *slab = new_slab();
    for (int i = 0; i < MANY; i++) {
        cells[i] = sp__slab_alloc(slab);
        CHECK(sp__cell_home(cells[i])->slab == slab);
        CHECK((uintptr_t)sp__cell_arg(cells[i]) % 16 == 0);
        memset(sp__cell_arg(cells[i]), i, SP_SPAWN_BYTES);
    }
    for (int i = 0; i < MANY; i++) {
        const unsigned char *arg = sp__cell_arg(cells[i]);
        for (int k = 0; k < SP_SPAWN_BYTES; k++)
            CHECK_EQ(arg[k], (unsigned char)i);
    }
    free_slab(slab);
}

static void cells_lie_in_the_order_in_which_they_are_given_out(void)
{
    struct sp__slab *slab = new_slab();
    struct sp__cell *first = sp__slab_alloc(slab);
    for (int i = 1; i < SP_SLAB_BLOCK_CELLS; i++)
        CHECK(sp__slab_alloc(slab) == first + i);
    free_slab(slab);
}

static void a_block_is_given_out_again_when_all_its_cells_are_back(void)
{
    struct sp__slab *slab = new_slab();
    struct sp__freed freed = {0};
    struct sp__cell *cells[2 * SP_SLAB_BLOCK_CELLS];
    for (int i = 0; i < 2 * SP_SLAB_BLOCK_CELLS; i++)
        cells[i] = sp__slab_alloc(slab);
    for (int i = 1; i < 2 * SP_SLAB_BLOCK_CELLS; i++)
        sp__cell_free(&freed, cells[i]);
    sp__freed_tell(&freed);
    CHECK(sp__slab_alloc(slab) == cells[SP_SLAB_BLOCK_CELLS]);
    for (int i = 1; i < SP_SLAB_BLOCK_CELLS; i++)
        sp__slab_alloc(slab);
    sp__cell_free(&freed, cells[0]);
    sp__freed_tell(&freed);
    CHECK(sp__slab_alloc(slab) == cells[0]);
    free_slab(slab);
}

static void cells_come_back_before_more_memory_is_taken(void)
{
    struct sp__slab *slabs[] = {new_slab(), new_slab()};
    struct sp__freed freed[2] = {0};
    for (int round = 0; round < 20; round++) {
        struct sp__cell *cells[32 * SP_SLAB_BLOCK_CELLS];
        int n = 32 * SP_SLAB_BLOCK_CELLS;
        for (int i = 0; i < n; i++)
            CHECK((cells[i] = sp__slab_alloc(slabs[i % 2])) != NULL);
        for (int i = 0; i < n; i++)
            sp__cell_free(&freed[i / 3 % 2], cells[i]);
        sp__freed_tell(&freed[0]);
        sp__freed_tell(&freed[1]);
        sp__alloc_fail_at(round == 0 ? -1 : 0, true); /* from now on no more */
    }
    sp__alloc_fail_at(-1, false);
    free_slab(slabs[0]);
    free_slab(slabs[1]);
}

static void without_memory_there_is_no_cell(void)
{
    struct sp__slab *slab = new_slab();
    if (sp__alloc_fail_at(0, false))
        CHECK(!sp__slab_alloc(slab));
    CHECK(sp__slab_alloc(slab) != NULL);
    free_slab(slab);
}

static void a_locked_slab_is_somebody_s(void)
{
    struct sp__slab *slab = new_slab();
    CHECK(sp__slab_try_lock(slab));
    CHECK(!sp__slab_try_lock(slab));
    sp__slab_unlock(slab);
    while (!sp__slab_try_lock(slab))
        ; /* weak */
    free_slab(slab);
}

int main(void)
{
    RUN(cells_do_not_overlap);
    RUN(cells_lie_in_the_order_in_which_they_are_given_out);
    RUN(a_block_is_given_out_again_when_all_its_cells_are_back);
    RUN(cells_come_back_before_more_memory_is_taken);
    RUN(without_memory_there_is_no_cell);
    RUN(a_locked_slab_is_somebody_s);
    return 0;
}
