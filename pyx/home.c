#include "home.h"

#include "base/os.h"
#include "cell.h"
#include "sched/group.h"

/* -------------------------------------------------------------- life of one */

void sp_home_init(struct sp_home *home)
{
    sp_group_init(&home->group);
    home->born_ns = sp__os_now_ns();
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
    bool is_over = !home->cells;
    unlock(home);
    return is_over;
}

/* ------------------------------------------------------------------ due times */

/* Milliseconds since the home was made, modulo 2^32: cells have no room for more. A
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

/* Rounded up, and not one of the two values that say something else. */
static uint32_t due_ms_from(const struct sp_home *home, int64_t now_ns)
{
    uint32_t due_ms = ms_since_birth(home, now_ns) + home->timeout_ms + 1;
    while (due_ms == SP_CELL_NOT_DUE || due_ms == SP_CELL_TIMED_OUT)
        due_ms++;
    return due_ms;
}

/* With the lock held. */
static int64_t next_due_ns(const struct sp_home *home, int64_t now_ns)
{
    if (!home->next_due)
        return INT64_MAX;
    uint32_t due_ms = load_relaxed(&home->next_due->due_ms);
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
static void list_cell(struct sp_cell *cell, struct sp_home *home)
{
    cell->home = home;
    cell->after = home->cells;
    if (cell->after)
        cell->after->before = cell;
    home->cells = cell;
}

void sp_cells_join(struct sp_cell *const *cells, size_t n, struct sp_home *home)
{
    uint32_t due_ms = SP_CELL_NOT_DUE;
    if (home->timeout_ms > 0)
        due_ms = due_ms_from(home, sp__os_now_ns());
    sp__group_enter(&home->group, (uint32_t)n);
    lock(home);
    sp_token *token = home->canceller ? &home->canceller->token : NULL;
    for (size_t i = 0; i < n; i++) {
        cells[i]->task.group = &home->group;
        cells[i]->task.token = token;
        cells[i]->task.priority = home->priority;
        store_relaxed(&cells[i]->due_ms, due_ms);
        list_cell(cells[i], home);
    }
    if (due_ms != SP_CELL_NOT_DUE && !home->next_due)
        home->next_due = cells[0];
    unlock(home);
}

void sp_cell_join_late(struct sp_cell *cell, struct sp_home *home)
{
    lock(home);
    list_cell(cell, home);
    unlock(home);
}

void *sp_cell_settle(struct sp_cell *cell)
{
    struct sp_home *home = cell->home;
    void *keep = exchange_acquire(&cell->keep, NULL);
    if (!keep || !home) /* settled before, when the home may be gone; or never joined */
        return keep;
    if (home->is_stale) /* the lock's holder may not be in this process */
        return keep;
    lock(home);
    if (home->next_due == cell)
        home->next_due = cell->before;
    if (cell->before)
        cell->before->after = cell->after;
    else
        home->cells = cell->after;
    if (cell->after)
        cell->after->before = cell->before;
    unlock(home);
    return keep;
}

/* --------------------------------------------------------------- cancelling */

/* Cancelling takes no lock and calls no Python, so it may be done while the list is
 * held. A cell's reference is its list's: settling needs the lock, too. */

void sp_home_cancel(struct sp_home *home, bool running)
{
    sp_phase last = running ? SP_RUNNING : SP_PENDING;
    lock(home);
    for (struct sp_cell *cell = home->cells; cell; cell = cell->after)
        if (sp_task_phase(&cell->task) <= last)
            sp_cell_cancel(cell);
    unlock(home);
}

int64_t sp_home_expire(struct sp_home *home, int64_t now_ns)
{
    lock(home);
    uint32_t now_ms = ms_since_birth(home, now_ns);
    struct sp_cell *cell;
    while ((cell = home->next_due) && has_passed(load_relaxed(&cell->due_ms), now_ms)) {
        if (sp_task_phase(&cell->task) <= SP_RUNNING) {
            /* Before the change of the task's state that lets the reader of the
             * outcome look (T1, T3). */
            store_relaxed(&cell->due_ms, SP_CELL_TIMED_OUT);
            sp_cell_cancel(cell);
        }
        home->next_due = cell->before;
    }
    int64_t due_ns = next_due_ns(home, now_ns);
    unlock(home);
    return due_ns;
}
