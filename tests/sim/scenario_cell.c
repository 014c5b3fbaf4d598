/* What lies behind Futures, pyx/cell.c: blocks of cells, homes, cancellers. */
#include "cell.h"

#include "base/memory.h"
#include "base/os.h"
#include "check.h"
#include "latch.h"
#include "sim.h"

static struct {
    struct sp_callee callee;
    struct sp_home *home;
    struct sp_block *block;
    uint64_t results[2]; /* plain: the order of ends makes them visible */
    uint32_t n_kept;     /* plain, too: by the last one to be settled */
} box;

/* The kernel. */
static int64_t work(uint64_t *ret_result)
{
    *ret_result += 42;
    return 0;
}

/* On the heap, so that a touch after its end is noticed. */
static void set_up(void)
{
    uint8_t class = SP__CALL_INTEGER, word;
    box.callee.function = (sp__callee_fn)work;
    CHECK(sp__call_lay_out(&class, 1, SP__CALL_INTEGER, &box.callee.shape, &word));
    box.home = sp__alloc(sizeof *box.home);
    sp_home_init(box.home);
}

/* Two calls; queued, that is in the hands of the threads to come. */
static void make_calls(void)
{
    box.block = sp_block_for_calls(&box.callee, 2, box.home);
    CHECK(box.block);
    box.block->keep = &box;
    for (unsigned i = 0; i < 2; i++)
        sp_block_cell(box.block, i)->words[0].pointer = &box.results[i];
}

static void join(void)
{
    sp_blocks_join(&box.block, 1, box.home);
}

/* Its Future is gone. Who gets what the block kept sees what all its calls did. */
static void let_go(struct sp_cell *cell)
{
    void *keep = sp_cell_let_go(cell);
    if (!keep)
        return;
    CHECK(keep == &box);
    for (int i = 0; i < 2; i++)
        CHECK(box.results[i] == 0 || box.results[i] == 42);
    CHECK_EQ(++box.n_kept, 1);
}

static void until_it_has_ended(struct sp_cell *cell)
{
    sp_status status;
    while ((status = sp_cells_wait(&cell, 1, -1)) == SP_EINTR)
        ;
    CHECK_EQ(status, SP_OK);
}

static void run(void *cell)
{
    sp__task_execute(&((struct sp_cell *)cell)->task, NULL, NULL);
}

static void run_and_let_go(void *cell)
{
    run(cell);
    let_go(cell);
}

/* Nobody will use the home again, although threads that did may not have ended. */
static void tear_down(void)
{
    while (!sp_home_is_over(box.home))
        sp__os_yield();
    sp_home_destroy(box.home);
    sp__free(box.home);
}

SCENARIO(the_last_call_settled_gives_back_what_all_kept, .share = 60)
{
    set_up();
    make_calls();
    join();
    struct sp_cell *cells[] = {sp_block_cell(box.block, 0),
                               sp_block_cell(box.block, 1)};
    unsigned threads[] = {sim_spawn(run_and_let_go, cells[0]),
                          sim_spawn(run_and_let_go, cells[1])};
    tear_down();
    sim_join(threads[0]);
    sim_join(threads[1]);
    CHECK_EQ(box.n_kept, 1);
    CHECK_EQ(box.results[0] + box.results[1], 84);
}

/* Somebody who has a reference of his own, and may be the first to see the end. */
static void hold_and_settle(void *arg)
{
    struct sp_cell *cell = arg;
    while (!sp_cell_has_result(cell))
        sp__os_yield();
    CHECK_EQ(box.results[1], 42);
    if (sp_cell_settle(cell))
        CHECK_EQ(++box.n_kept, 1);
    sp_task_unref(&cell->task);
}

/* One of the two is shared with somebody who has a reference of his own. */
static void share_one(void (*other)(void *cell))
{
    set_up();
    make_calls();
    join();
    struct sp_cell *cells[] = {sp_block_cell(box.block, 0),
                               sp_block_cell(box.block, 1)};
    sp_task_ref(&cells[1]->task);
    unsigned threads[] = {sim_spawn(run_and_let_go, cells[0]), sim_spawn(run, cells[1]),
                          sim_spawn(other, cells[1])};
    until_it_has_ended(cells[1]);
    let_go(cells[1]);
    for (int i = 0; i < 3; i++)
        sim_join(threads[i]);
    CHECK_EQ(box.n_kept, 1);
    tear_down();
}

SCENARIO(a_block_is_freed_with_its_last_call, .share = 60)
{
    share_one(hold_and_settle);
}

/* Somebody who has a reference for a moment, and leaves the rest to others. */
static void look_and_drop(void *arg)
{
    struct sp_cell *cell = arg;
    while (!sp_cell_has_result(cell))
        sp__os_yield();
    CHECK_EQ(cell->error, 0);
    sp_task_unref(&cell->task);
}

/* T2, K1: whoever lets it go alone passes on what the other one did with it. */
SCENARIO(a_call_that_another_had_may_be_let_go_alone, .share = 60)
{
    share_one(look_and_drop);
}

/* ---------------------------------------------------------------- cancelling */

/* A worker that takes both from the queue. */
static void run_both(void *cells)
{
    run(((struct sp_cell **)cells)[0]);
    run(((struct sp_cell **)cells)[1]);
}

/* By somebody, with a token, or because their time has passed. */
static void cancel_home(void *unused)
{
    (void)unused;
    switch (sim_choose(3)) {
    case 0:
        sp_home_cancel(box.home, sim_choose(2));
        break;
    case 1:
        sp_canceller_cancel(box.home->canceller);
        break;
    default:
        sp_home_expire(box.home, box.home->born_ns + 5000000);
    }
}

static void check_end(const struct sp_cell *cell, uint64_t result)
{
    CHECK_EQ(result, sp_cell_was_cancelled(cell) ? 0 : 42);
}

SCENARIO(calls_of_a_home_run_or_are_cancelled, .share = 60)
{
    struct sp_canceller *token = sp_canceller_create(NULL);
    set_up();
    sp_canceller_attach(token, box.home);
    box.home->timeout_ms = 1;
    make_calls();
    struct sp_cell *cells[] = {sp_block_cell(box.block, 0),
                               sp_block_cell(box.block, 1)};
    unsigned canceller = sim_spawn(cancel_home, NULL);
    join();
    unsigned worker = sim_spawn(run_both, cells);
    for (unsigned i = 0; i < 2; i++) {
        until_it_has_ended(cells[i]);
        check_end(cells[i], box.results[i]);
        let_go(cells[i]);
    }
    sim_join(canceller);
    sim_join(worker);
    CHECK_EQ(box.n_kept, 1);
    CHECK_EQ(sp_home_ended(box.home), 2);
    tear_down();
    sp_canceller_unref(token);
}

static void cancel_tree(void *canceller)
{
    sp_canceller_cancel(canceller);
    sp_canceller_unref(canceller);
}

/* The home goes while somebody cancels what is above it. */
SCENARIO(a_canceller_reaches_homes_that_come_and_go, .share = 60)
{
    struct sp_canceller *above = sp_canceller_create(NULL);
    struct sp_canceller *canceller = sp_canceller_create(above);
    set_up();
    unsigned other = sim_spawn(cancel_tree, above);
    sp_canceller_attach(canceller, box.home);
    make_calls();
    join();
    struct sp_cell *cells[] = {sp_block_cell(box.block, 0),
                               sp_block_cell(box.block, 1)};
    unsigned worker = sim_spawn(run_both, cells);
    for (unsigned i = 0; i < 2; i++) {
        until_it_has_ended(cells[i]);
        check_end(cells[i], box.results[i]);
        let_go(cells[i]);
    }
    CHECK_EQ(box.n_kept, 1);
    tear_down();
    cancel_tree(canceller);
    sim_join(other);
    sim_join(worker);
}

/* ------------------------------------------------------------ memory that is kept */

static void make_and_free(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct sp_block *block =
            sp_block_for_calls(&box.callee, SP_BLOCK_MOST, box.home);
        CHECK(block);
        block->keep = block;
        sp_block_cell(block, SP_BLOCK_MOST - 1)->words[0].pointer = block;
        CHECK(block->keep == block);
        sp_block_free(block);
    }
}

SCENARIO(a_kept_block_has_one_user, .share = 30, .keeps = 4)
{
    set_up();
    unsigned other = sim_spawn(make_and_free, NULL);
    make_and_free(NULL);
    sim_join(other);
    tear_down();
}

/* --------------------------------------------------------------------- latch */

static struct sp_latch latch;

static void announce(void *unused)
{
    (void)unused;
    box.results[0] = 42;
    sp_latch_set(&latch);
}

SCENARIO(who_sees_a_latch_up_sees_what_it_announces, .share = 5)
{
    unsigned other = sim_spawn(announce, NULL);
    while (!sp_latch_is_set(&latch))
        sp__os_yield();
    CHECK_EQ(box.results[0], 42);
    sim_join(other);
}
