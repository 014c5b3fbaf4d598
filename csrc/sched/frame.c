#include "sched/frame.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/counters.h"
#include "base/memory.h"
#include "base/os.h"
#include "sched/failure.h"
#include "sched/pool.h"
#include "sched/task.h"
#include "sched/worker.h"

_Static_assert(SP_FRAME_CAPACITY >= 2 && SP_FRAME_CAPACITY <= 0xffff,
               "top and split must fit into 16 bits");

/* States of a slot. RUNNING + i: worker i has it. */
enum { SHOWN, DONE, RUNNING };

#define TURN ((uint64_t)1 << 32)

#define PAUSES_PER_LOOK 16

/* How long an outside thread spins for its root. */
#define ROOT_SPIN_NS 20000

static uint32_t top_of(uint64_t shown)
{
    return (uint32_t)(shown & 0xffff);
}

static uint32_t split_of(uint64_t shown)
{
    return (uint32_t)(shown >> 16 & 0xffff);
}

static uint64_t with_split(uint64_t shown, uint32_t split)
{
    return (shown & ~(uint64_t)0xffff0000) | (uint64_t)split << 16;
}

static struct sp__frames *frames_of(sp_worker *worker)
{
    return sp_container_of(worker, struct sp__frames, open);
}

static struct sp__worker *worker_of(struct sp__frames *frames)
{
    return sp_container_of(frames, struct sp__worker, frames);
}

void sp__frames_init(struct sp__frames *frames)
{
    /* `limit` is 0: nothing is shown, so the first fork shows. In the child of a fork
     * there may have been frames, of threads that are gone. */
    frames->open = (sp_worker){.forked = frames->forked};
    frames->named = 0;
    uint64_t turn = load_relaxed(&frames->shown) & ~(TURN - 1);
    if (turn == 0) {
        turn = SP_FIRST_COUNT * TURN;
        store_relaxed(&frames->bell, SP_FIRST_COUNT);
    }
    store_relaxed(&frames->shown, turn);
    store_relaxed(&frames->watchers, 0u);
}

/* ---------------------------------------------------------------- showing */

/* Wake those who wait for a frame that `frames`' worker runs. After a publication:
 * of DONE, or of more frames. */
static void ring(struct sp__frames *frames)
{
    /* seq-cst (W1): after the publication; they count in, then look. */
    if (sp_likely(load_seq_cst(&frames->watchers) == 0))
        return;
    /* Kept: the other side changes the same word, and reads the newest. */
    fetch_add_seq_cst(&frames->bell, 1u);
    sp__os_wake_all(&frames->bell);
}

/* Ask the owner to show more. In the owner: at the next fork. */
static void ask(struct sp__frames *frames)
{
    /* seq-cst (F5): after the last shown frame was taken. Kept: without it the owner
     * shows later, and is helped less; no frame is lost. */
    store_seq_cst(&frames->open.limit, 0u);
}

static uint32_t count_forked(const struct sp__frames *frames)
{
    return frames->open.n < SP_FRAME_CAPACITY ? frames->open.n : SP_FRAME_CAPACITY;
}

uint32_t sp__frames_name(struct sp__frames *frames)
{
    uint32_t n = count_forked(frames);
    uint32_t named = frames->named;
    uint32_t first = frames->open.split > named ? frames->open.split : named;
    for (uint32_t i = first; i < n; i++)
        frames->slots[i].task = sp__task_current();
    frames->named = n;
    return named;
}

void sp__frames_unname(struct sp__frames *frames, uint32_t named)
{
    frames->named = named;
}

/* Show the older half of the private frames, all when somebody is idle. */
static void show(struct sp__frames *frames)
{
    struct sp__idle *idle = &worker_of(frames)->pool->idle;
    uint32_t n = count_forked(frames);
    uint32_t first = frames->open.split;
    bool is_wanted = sp__idle_has_idle(idle);

    if (!is_wanted)
        /* seq-cst (F5): before the look at what is shown. A thief who takes the
         * last one after that asks after that, too. Kept: as in ask(). */
        store_seq_cst(&frames->open.limit, SP_FRAME_CAPACITY);
    /* seq-cst (F5): see above. Kept: as in ask(). */
    uint64_t shown = load_seq_cst(&frames->shown);
    if (top_of(shown) < split_of(shown) && !is_wanted)
        return;
    if (first >= n) {
        ask(frames); /* the next fork shows itself */
        return;
    }
    uint32_t split = is_wanted ? n : first + (n - first + 1) / 2;
    for (uint32_t i = first; i < split; i++) {
        struct sp__frame_slot *slot = &frames->slots[i];
        slot->frame = frames->forked[i];
        if (i >= frames->named)
            slot->task = sp__task_current();
        store_relaxed(&slot->state, SHOWN);
    }
    frames->open.split = split;
    /* release (F1): the slots, to their thieves. seq-cst (S5): the load of
     * `searching` that follows in sp__idle_notify() must not come first. Kept: without
     * it somebody sleeps who could have helped; the owner runs the frames itself. */
    while (!cas_weak_seq_cst(&frames->shown, &shown, with_split(shown, split)))
        ;
    sp__idle_notify(idle);
    ring(frames);
}

void sp__fork_slowly(sp_worker *worker, sp_frame *frame)
{
    if (!worker->forked)
        return; /* no pool: a plain call */
    struct sp__frames *frames = frames_of(worker);
    if (worker->n <= SP_FRAME_CAPACITY)
        frames->forked[worker->n - 1] = frame;
    show(frames);
}

/* --------------------------------------------------------------- stealing */

static struct sp__frame_slot *steal(struct sp__frames *victim, uint64_t shown)
{
    struct sp__frame_slot *slot = &victim->slots[top_of(shown)];
    if (top_of(shown) + 1 == split_of(shown))
        ask(victim);
    return slot;
}

struct sp__frame_slot *sp__frames_steal(struct sp__frames *victim)
{
    uint64_t shown = load_relaxed(&victim->shown);
    while (top_of(shown) < split_of(shown))
        /* acquire (F1): the slot. */
        if (cas_weak_acquire(&victim->shown, &shown, shown + 1))
            return steal(victim, shown);
    return NULL;
}

/*
 * Worker that waits for `slot`, which `thief` runs: take a frame that the thief has
 * forked since.
 *
 * The frame that is taken belongs to `slot` if the thief still ran `slot` when it
 * was shown. So: read the word, see that `slot` is not done, take it if the word is
 * the same. Whatever the thief begins after `slot` changes `turn`, and then we fail.
 * (After 2^32 of them it would be the same again.)
 */
static struct sp__frame_slot *steal_back(struct sp__frames *thief,
                                         struct sp__frame_slot *slot)
{
    /* acquire (F3): a frame that the thief showed after `slot` was done comes with
     * DONE. seq-cst (W1): when counted in as watcher. Kept, here and below: the thief
     * would have to begin anew within a few steps; no scenario is that long. */
    uint64_t shown = load_seq_cst(&thief->shown);
    if (top_of(shown) >= split_of(shown) || load_relaxed(&slot->state) == DONE)
        return NULL;
    /* acquire (F1). Strong: failing for no reason would send us to sleep. Kept: see
     * above. */
    if (!cas_seq_cst(&thief->shown, &shown, shown + 1))
        return NULL;
    return steal(thief, shown);
}

/* What this worker forks from here on is part of something new. */
static void begin_turn(struct sp__frames *frames)
{
    fetch_add_relaxed(&frames->shown, TURN);
}

/* The words of a failed frame go to the thread that joins it. */
static char *copy_words(const char *words)
{
    size_t bytes = strlen(words) + 1;
    char *copy = bytes > 1 ? sp__alloc(bytes) : NULL;
    return copy ? memcpy(copy, words, bytes) : NULL;
}

void sp__frames_run(struct sp__worker *thief, struct sp__frame_slot *slot)
{
    sp_frame *frame = slot->frame;
    begin_turn(&thief->frames);
    /* release (F3): the new turn, to the owner who steals back. Kept: no scenario is
     * long enough for the owner to take a frame of another turn. */
    store_release(&slot->state, RUNNING + thief->index);
    sp_task *outer = sp__task_set_current(slot->task);
    int code = frame->run(&thief->frames.open, frame);
    sp__task_set_current(outer);
    slot->code = code;
    slot->words = code == 0 ? NULL : copy_words(sp_take_failure());
    /* release (F2): all that the frame did. seq-cst (W1): before the look at
     * `watchers`. The slot may be used anew from here on. */
    store_seq_cst(&slot->state, DONE);
    ring(&thief->frames);
}

/* ---------------------------------------------------------------- joining */

/* Nobody stands in, for the thief works. */
static void sleep_until_bell(struct sp__worker *worker, struct sp__frames *thief,
                             uint32_t heard)
{
    sp__staff_falls_asleep(worker, NULL, false);
    sp__os_wait(&thief->bell, heard, SP__OS_NO_DEADLINE);
    sp__staff_rises(worker, false);
}

/* Sleep until the thief of `slot` is done or shows something. */
static void watch(struct sp__worker *worker, struct sp__frames *thief,
                  struct sp__frame_slot *slot)
{
    /* seq-cst (W1): count in, read the bell, then look. */
    fetch_add_seq_cst(&thief->watchers, 1u);
    /* Kept: an old bell does not let it sleep. */
    uint32_t heard = load_seq_cst(&thief->bell);
    if (load_seq_cst(&slot->state) != DONE && !sp__frames_are_shown(thief))
        sleep_until_bell(worker, thief, heard);
    /* Kept: the other side reads this word only to see whether to ring. */
    fetch_sub_seq_cst(&thief->watchers, 1u);
}

/* Wait for a stolen frame, and meanwhile do what it waits for itself. */
static void wait_for(struct sp__worker *worker, struct sp__frame_slot *slot)
{
    int64_t until = 0;
    for (;;) {
        /* acquire (F2): what the frame did; (F3): the thief's turn. */
        uint32_t state = load_acquire(&slot->state);
        if (state == DONE)
            return;
        struct sp__frame_slot *stolen = NULL;
        struct sp__frames *thief = NULL;
        if (state >= RUNNING) {
            thief = &worker->pool->workers[state - RUNNING].frames;
            stolen = steal_back(thief, slot);
        }
        if (stolen) {
            sp__worker_count_frame(worker);
            sp__frames_run(worker, stolen);
            until = 0;
            continue;
        }
        for (int i = 0; i < PAUSES_PER_LOOK; i++)
            sp__os_pause();
        int64_t now = sp__os_now_ns();
        if (until == 0)
            until = now + worker->keepalive_ns;
        if (now < until)
            continue;
        if (thief)
            watch(worker, thief, slot);
        else
            sp__os_yield(); /* it has won the frame, and says so next */
    }
}

static int join_stolen(struct sp__frames *frames, uint32_t index)
{
    struct sp__frame_slot *slot = &frames->slots[index];
    wait_for(worker_of(frames), slot);
    int code = slot->code;
    if (slot->words) {
        sp_fail(code, slot->words);
        sp__free(slot->words);
    }
    frames->open.n = index;
    frames->open.split = index;
    /* Nothing is shown, so no thief changes the word meanwhile. The next frame
     * at this index is a new one. */
    uint64_t shown = load_relaxed(&frames->shown);
    store_relaxed(&frames->shown, with_split(shown, index) - (top_of(shown) - index));
    ask(frames);
    return code;
}

int sp__join_slowly(sp_worker *worker, sp_frame *frame)
{
    uint32_t index = worker->n - 1;
    if (index >= worker->split) { /* asked to show older ones first */
        worker->n = index;
        if (worker->forked)
            show(frames_of(worker));
        return frame->run(worker, frame);
    }
    struct sp__frames *frames = frames_of(worker);
    uint64_t shown = load_relaxed(&frames->shown);
    while (top_of(shown) <= index) {
        uint32_t top = top_of(shown);
        uint32_t split = top + (index - top + 1) / 2;
        /* relaxed: the slots that come back are our own. */
        if (!cas_weak_relaxed(&frames->shown, &shown, with_split(shown, split)))
            continue;
        worker->n = index;
        worker->split = split;
        if (split == top)
            ask(frames);
        return frame->run(worker, frame);
    }
    return join_stolen(frames, index);
}

/* ------------------------------------------------------------------- roots */

struct root {
    sp_task task;
    sp_frame *frame;
    _Atomic(uint32_t) is_free; /* nobody has the task any more (F4) */
    int code;
    char words[SP__FAILURE_BYTES];
};

static int run_here(struct sp__worker *worker, sp_frame *frame)
{
    begin_turn(&worker->frames);
    return frame->run(&worker->frames.open, frame);
}

static void run_root(sp_task *task)
{
    struct root *root = sp_container_of(task, struct root, task);
    root->code = run_here(sp__worker_current(), root->frame);
    if (root->code != 0)
        strcpy(root->words, sp_take_failure());
}

static void release_root(sp_task *task)
{
    struct root *root = sp_container_of(task, struct root, task);
    /* release (F4): the last access but by address. */
    store_release(&root->is_free, 1u);
    sp__os_wake_all(&root->is_free);
}

static int run_on_worker(sp_pool *pool, sp_frame *frame)
{
    struct root root = {.frame = frame, .code = SP_ECANCELLED};
    sp_task_init(&root.task, run_root, release_root);
    sp_status status = sp_submit(pool, &root.task);
    if (status == SP_OK)
        do
            status = sp_task_wait(&root.task, -1,
                                  sp__pool_is_elsewhere(pool) ? ROOT_SPIN_NS : 0);
        while (status == SP_EINTR);
    else
        root.code = status;
    sp_task_unref(&root.task);
    /* acquire (F4). A task that was cancelled may still lie in a queue. */
    while (!load_acquire(&root.is_free))
        sp__os_wait(&root.is_free, 0, SP__OS_NO_DEADLINE);
    return root.words[0] ? sp_fail(root.code, root.words) : root.code;
}

int sp_run(sp_pool *pool, sp_frame *frame, sp_frame_fn run)
{
    struct sp__worker *worker = sp__worker_current();
    frame->run = run;
    if (worker)
        return run_here(worker, frame);
    if (pool)
        return run_on_worker(pool, frame);
    sp_worker alone = {0};
    return run(&alone, frame);
}
