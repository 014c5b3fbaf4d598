#include "home.h"

#include "base/counters.h"
#include "base/os.h"
#include "cell.h"
#include "sched/group.h"
#include "sched/task.h"

/* -------------------------------------------------------------- life of one */

void sp_home_init(struct sp_home *home)
{
    sp_group_init(&home->group);
    home->born_ns = sp__os_now_ns() - (int64_t)SP_FIRST_MS * 1000000;
    store_relaxed(&home->submitted, (uint64_t)SP_FIRST_COUNT);
    store_relaxed(&home->ended, (uint64_t)SP_FIRST_COUNT);
    store_relaxed(&home->attaches, (uint64_t)SP_FIRST_COUNT);
}

void sp_home_destroy(struct sp_home *home)
{
    sp_canceller_detach(home);
}

/* Held for a few instructions, or while all is cancelled; never while waiting. */
static void lock(struct sp_home *home)
{
    uint32_t unlocked = 0;
    /* acquire (H1): the list. */
    while (!cas_weak_acquire(&home->lock, &unlocked, 1)) {
        unlocked = 0;
        sp__os_yield();
    }
}

static void unlock(struct sp_home *home)
{
    store_release(&home->lock, 0); /* (H1) */
}

bool sp_home_is_over(struct sp_home *home)
{
    if (sp_group_unfinished(&home->group) > 0)
        return false;
    lock(home);
    bool is_over = !home->blocks;
    unlock(home);
    return is_over;
}

/* ------------------------------------------------------------------ due times */

/* Milliseconds since the home was made, modulo 2^32: blocks have no room for more. A
 * time limit is shorter than 2^31 ms, so of two due times that are compared the later
 * one is the greater by less than that. */
static uint32_t ms_since_birth(const struct sp_home *home, int64_t now_ns)
{
    return (uint32_t)((now_ns - home->born_ns) / 1000000);
}

static bool has_passed(uint32_t due_ms, uint32_t now_ms)
{
    return (int32_t)(now_ms - due_ms) >= 0;
}

/* Rounded up, and not the value that says something else. */
static uint32_t due_ms_from(const struct sp_home *home, int64_t now_ns)
{
    uint32_t due_ms = ms_since_birth(home, now_ns) + home->timeout_ms + 1;
    return due_ms == SP_NOT_DUE ? due_ms + 1 : due_ms;
}

/* With the lock held. */
static int64_t next_due_ns(const struct sp_home *home, int64_t now_ns)
{
    if (!home->next_due)
        return INT64_MAX;
    uint32_t due_ms = home->next_due->due_ms;
    int32_t left_ms = (int32_t)(due_ms - ms_since_birth(home, now_ns));
    return now_ns + (int64_t)left_ms * 1000000;
}

int64_t sp_home_next_due_ns(struct sp_home *home)
{
    lock(home);
    int64_t due_ns = next_due_ns(home, sp__os_now_ns());
    unlock(home);
    return due_ns;
}

/* ----------------------------------------------------------------- the list */

/* With the lock held. */
static void list_block(struct sp_block *block, struct sp_home *home)
{
    block->home = home;
    block->after = home->blocks;
    if (block->after)
        block->after->before = block;
    home->blocks = block;
}

/* With the lock held. */
static void unlist_block(struct sp_block *block, struct sp_home *home)
{
    if (home->next_due == block)
        home->next_due = block->before;
    if (block->before)
        block->before->after = block->after;
    else
        home->blocks = block->after;
    if (block->after)
        block->after->before = block->before;
}

/* When a task that joins now is due. */
static uint32_t due_ms_of(const struct sp_home *home)
{
    return home->timeout_ms > 0 ? due_ms_from(home, sp__os_now_ns()) : SP_NOT_DUE;
}

void sp_blocks_join(struct sp_block *const *blocks, size_t n, struct sp_home *home)
{
    uint32_t due_ms = due_ms_of(home);
    size_t n_tasks = 0;
    for (size_t i = 0; i < n; i++) {
        n_tasks += blocks[i]->n_cells;
        blocks[i]->due_ms = due_ms;
    }
    sp__group_enter(&home->group, (uint32_t)n_tasks);
    lock(home);
    for (size_t i = 0; i < n; i++)
        list_block(blocks[i], home);
    if (due_ms != SP_NOT_DUE && !home->next_due)
        home->next_due = blocks[0];
    unlock(home);
}

void sp_cell_join(struct sp_cell *cell, struct sp_home *home)
{
    struct sp_block *block = sp_cell_block(cell);
    sp_cell_set_home(cell, home);
    sp_blocks_join(&block, 1, home);
}

void sp_cell_join_late(struct sp_cell *cell, struct sp_home *home)
{
    struct sp_block *block = sp_cell_block(cell);
    block->due_ms = due_ms_of(home);
    lock(home);
    list_block(block, home);
    if (block->due_ms != SP_NOT_DUE && !home->next_due)
        home->next_due = block;
    unlock(home);
}

void sp_cell_join_inline(struct sp_cell *cell, struct sp_home *home)
{
    struct sp_block *block = sp_cell_block(cell);
    uint32_t due_ms = due_ms_of(home);
    if (home->canceller)
        cell->task.token = &home->canceller->token;
    block->due_ms = due_ms;
    lock(home);
    list_block(block, home);
    if (due_ms != SP_NOT_DUE && !home->next_due)
        home->next_due = block;
    unlock(home);
}

/* The last cell has been settled. */
static void *settle_block(struct sp_block *block)
{
    struct sp_home *home = block->home;
    if (home) {
        lock(home);
        unlist_block(block, home);
        unlock(home);
    }
    return block->keep;
}

void *sp_cell_settle(struct sp_cell *cell)
{
    struct sp_block *block = sp_cell_block(cell);
    /* Kept: K1's subtraction, which follows, orders it. */
    if (exchange_acquire(&cell->is_settled, 1))
        return NULL;
    /* acq_rel (K1): the last one to settle sees what all others did before. */
    uint32_t old = fetch_sub_acq_rel(&block->counts, (uint16_t)SP_BLOCK_UNSETTLED);
    return old / SP_BLOCK_UNSETTLED == 1 ? settle_block(block) : NULL;
}

void *sp_cell_let_go(struct sp_cell *cell)
{
    struct sp_block *block = sp_cell_block(cell);
    uint16_t counts = load_relaxed(&block->counts);
    /* The common case: not the last cell to be settled, and nobody else has it, nor can
     * come by it. */
    if (!cell->error && !load_relaxed(&cell->is_settled) &&
        sp__task_is_unshared(&cell->task))
        while (counts / SP_BLOCK_UNSETTLED > 1)
            /* acq_rel (K1): as in sp_cell_settle() and when a cell is freed. Kept: who is
             * not the last one to let go only publishes. */
            if (cas_weak_acq_rel(
                    &block->counts, &counts,
                    (uint16_t)(counts - SP_BLOCK_UNSETTLED - SP_BLOCK_CELL)))
                return NULL;
    void *keep = sp_cell_settle(cell);
    sp_task_unref(&cell->task);
    return keep;
}

/* --------------------------------------------------------------- cancelling */

/* Cancelling takes no lock and calls no Python, so it may be done while the list is
 * held. A block that is listed is there: settling the last cell needs the lock, too. A
 * cell of it may be free: then its task has ended, and so much is left of it. */

void sp_home_cancel(struct sp_home *home, bool running)
{
    sp_phase last = running ? SP_RUNNING : SP_PENDING;
    lock(home);
    for (struct sp_block *block = home->blocks; block; block = block->after)
        for (size_t k = 0; k < block->n_cells; k++) {
            struct sp_cell *cell = sp_block_cell(block, k);
            if (sp_task_phase(&cell->task) <= last)
                sp_cell_cancel(cell);
        }
    unlock(home);
}

/* ----------------------------------------------------------------- counting */

size_t sp_home_queued(struct sp_home *home)
{
    size_t n = 0;
    lock(home);
    for (struct sp_block *block = home->blocks; block; block = block->after)
        for (size_t k = 0; k < block->n_cells; k++)
            n += sp_task_phase(&sp_block_cell(block, k)->task) == SP_PENDING;
    unlock(home);
    return n;
}

static bool visit_block(struct sp_block *block, int (*visit)(void *keep, void *visitor),
                        void *visitor)
{
    for (size_t k = 0; k < block->n_cells; k++)
        if (sp_task_phase(&sp_block_cell(block, k)->task) == SP_RUNNING &&
            !visit(block->keep, visitor))
            return false;
    return true;
}

void sp_home_visit_running(struct sp_home *home,
                           int (*visit)(void *keep, void *visitor), void *visitor)
{
    lock(home);
    struct sp_block *block = home->blocks;
    while (block && visit_block(block, visit, visitor))
        block = block->after;
    unlock(home);
}

/* ----------------------------------------------------------------- expiring */

static void expire_block(struct sp_block *block)
{
    for (size_t k = 0; k < block->n_cells; k++) {
        struct sp_cell *cell = sp_block_cell(block, k);
        if (sp_task_phase(&cell->task) > SP_RUNNING)
            continue;
        /* Before the change of the task's state that lets the reader of the
         * outcome look (T1, T3). */
        store_relaxed(&cell->is_timed_out, 1);
        sp_cell_cancel(cell);
    }
}

int64_t sp_home_expire(struct sp_home *home, int64_t now_ns)
{
    lock(home);
    uint32_t now_ms = ms_since_birth(home, now_ns);
    struct sp_block *block;
    while ((block = home->next_due) && has_passed(block->due_ms, now_ms)) {
        expire_block(block);
        home->next_due = block->before;
    }
    int64_t due_ns = next_due_ns(home, now_ns);
    unlock(home);
    return due_ns;
}
