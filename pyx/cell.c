#define _POSIX_C_SOURCE 200809L

#include "cell.h"

#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "fpu.h"
#include "sched/pool.h"
#include "sched/task.h"

#define YIELDS_PER_WAIT 2

/* ------------------------------------------------------------------ making */

static void free_cell(sp_task *task)
{
    struct sp_cell *cell = sp_cell_of(task);
    struct sp_block *block = sp_cell_block(cell);
    if (cell->error)
        free(cell->words[0].pointer);
    /* acq_rel (K1): the last one to drop sees what all others did before. */
    uint32_t old = fetch_sub_acq_rel(&block->counts, (uint16_t)SP_BLOCK_CELL);
    if (old % SP_BLOCK_UNSETTLED == SP_BLOCK_CELL)
        sp_block_free(block);
}

static void call(struct sp_cell *cell, const struct sp_callee *callee)
{
    cell->words[0] = sp__call(callee->function, callee->shape, cell->words);
    if (callee->returns_status)
        cell->error = (int32_t)cell->words[0].integer;
}

static void run_kernel(struct sp_cell *cell)
{
    const struct sp_block *block = sp_cell_block(cell);
    uint64_t mode = sp_fpu_mode();
    sp_take_failure(); /* of a kernel that failed in words only */
    if (block->kind == SP_PLAN)
        cell->error = block->plan(sp_cell_plan(cell), cell->words);
    else
        call(cell, block->callee);
    sp_fpu_restore(mode);
    if (cell->error) {
        const char *words = sp_take_failure();
        /* Without memory the code alone has to do. */
        cell->words[0].pointer = *words ? strdup(words) : NULL;
    }
}

/* The home's token, if it has one, is the task's from here on, and not before: a worker
 * that finds a task's token cancelled ends the task without running it, and nobody would
 * count it. False: the token is cancelled. */
static bool may_run(struct sp_cell *cell, const struct sp_home *home)
{
    if (!home || sp_likely(!home->canceller))
        return true;
    cell->task.token = &home->canceller->token;
    if (!sp_token_is_cancelled(cell->task.token))
        return true;
    cell->error = SP_ECANCELLED;
    cell->words[0].pointer = NULL; /* no words about it */
    return false;
}

static void run_cell(sp_task *task)
{
    struct sp_cell *cell = sp_cell_of(task);
    /* Only a cell that has joined has a home that is settled. */
    struct sp_home *home = task->group ? sp_cell_block(cell)->home : NULL;
    if (may_run(cell, home))
        run_kernel(cell);
    if (!home)
        return;
    if (cell->error && home->cancels_on_error && !sp_cell_was_cancelled(cell))
        sp_canceller_cancel(home->canceller);
    sp_home_count_ended(home, SP_NATIVE_LANE);
}

void sp_cell_init(struct sp_cell *cell, struct sp_block *block)
{
    memset((void *)cell, 0, sizeof *cell);
    sp_task_init(&cell->task, run_cell, free_cell);
    sp_cell_set_block(cell, block);
}

static struct sp_cell *only_cell(struct sp_block *block)
{
    return block ? sp_block_cell(block, 0) : NULL;
}

struct sp_cell *sp_cell_for_call(struct sp_callee *callee)
{
    return only_cell(sp_block_for_call(callee));
}

struct sp_cell *sp_cell_for_plan(sp_plan_fn plan, size_t size)
{
    return only_cell(sp_block_for_plan(plan, size));
}

struct sp_cell *sp_cell_for_callable(void)
{
    return only_cell(sp_block_for_callable());
}

void sp_cell_run_inline(struct sp_cell *cell)
{
    sp_task_run(&cell->task);
}

bool sp_cell_claim(struct sp_cell *cell)
{
    return sp__task_claim(&cell->task);
}

void sp_cell_finish(struct sp_cell *cell)
{
    sp__task_complete(&cell->task);
}

sp_status sp_cell_cancel(struct sp_cell *cell)
{
    sp_status status = sp_task_cancel(&cell->task);
    /* What joined late was not counted. */
    if (status == SP_OK && cell->task.group)
        sp_home_count_ended(sp_cell_home(cell), sp_cell_lane(cell));
    return status;
}

bool sp_cell_was_cancelled(const struct sp_cell *cell)
{
    if (sp_task_phase(&cell->task) == SP_CANCELLED)
        return true;
    return cell->error == SP_ECANCELLED && sp__task_is_stopped(&cell->task);
}

/* ----------------------------------------------------------------- waiting */

bool sp_cell_spin(struct sp_cell *cell, const sp_pool *pool, int64_t spin_ns)
{
    if (!sp__pool_is_elsewhere(pool))
        return false;
    int64_t until = sp__os_now_ns() + spin_ns;
    do {
        if (sp_task_phase(&cell->task) >= SP_DONE)
            return true;
        sp__os_pause();
    } while (sp__os_now_ns() < until);
    return false;
}

void sp_cell_yield(struct sp_cell *cell, sp_pool *pool)
{
    if (sp__pool_is_elsewhere(pool))
        return;
    for (int i = 0; i < YIELDS_PER_WAIT; i++)
        if (sp_task_phase(&cell->task) >= SP_DONE || !sp__yield(&pool->yield))
            return;
}

sp_status sp_cells_wait(struct sp_cell *const *cells, size_t n, int64_t timeout_ns)
{
    int64_t deadline_ns = sp__os_deadline(timeout_ns);
    for (size_t i = n; i > 0; i--) {
        sp_task *task = &cells[i - 1]->task;
        if (sp_task_phase(task) >= SP_DONE)
            continue;
        int64_t left_ns = -1;
        if (deadline_ns != SP__OS_NO_DEADLINE) {
            left_ns = deadline_ns - sp__os_now_ns();
            if (left_ns < 0)
                left_ns = 0;
        }
        sp_status status = sp_task_wait(task, left_ns, 0);
        if (status == SP_ETIMEDOUT || status == SP_EINTR)
            return status;
    }
    return SP_OK;
}
