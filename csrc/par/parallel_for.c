/*
 * sp_parallel_for(): one loop, cut into pieces as it goes.
 *
 * The caller does the first piece alone and times it. What remains is handed
 * out through one index, `next`: who is free takes the next piece, an n-th of
 * what is left (guided self-scheduling, Polychronopoulos and Kuck 1987), but
 * not less than the grain. With an automatic grain, the first pieces double in
 * size until they can be timed, and from the time per index follows the grain.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "base/os.h"
#include "sched/failure.h"
#include "sched/fork.h"
#include "sched/pool.h"
#include "sched/region.h"
#include "sched/task.h"
#include "stealpool.h"

/* Less than this is not worth opening the loop for those already awake. */
#define WORTH_SHARING_NS 4000

/* Less than this is not worth a wake-up, which costs the waker some 10 and the
 * sleeper some 40 microseconds on virtual machines, where they are dearest. */
#define WORTH_WAKING_NS 60000

/* Automatic grain: long enough to hide the cost of taking it, short enough to
 * end together. */
#define PIECE_NS 10000

/* First pieces grow until they took this long, so that the clock's own cost
 * and resolution do not matter. */
#define MEASURABLE_NS 1000

#define PIECES_PER_THREAD 4

struct loop {
    SP_CACHE_ALIGNED _Atomic(intptr_t) next; /* indices begun; from 0 to n */
    _Atomic(uint32_t) stop;                  /* begin no new piece */
    _Atomic(uint32_t) error_lock;            /* guards the error (E1) */
    intptr_t error_at;                       /* where the piece that failed began */
    int error;                               /* its code; 0 = none so far */
    char words[SP__FAILURE_BYTES];           /* what it said with sp_fail(), or "" */

    /* Constant while the region is open. */
    SP_CACHE_ALIGNED intptr_t begin;
    intptr_t n;
    intptr_t grain;
    intptr_t share; /* a piece is at most 1/share of what remains */
    sp_range_fn body;
    void *user;
    sp_pool *pool;
    int slot;      /* of the region; -1 = none */
    sp_task *task; /* the task that loops, whose stop flag counts; or NULL */
};

static void record_error(struct loop *loop, intptr_t at, int code)
{
    uint32_t unlocked = 0;
    /* acquire (E1): the error so far. */
    while (!cas_weak_acquire(&loop->error_lock, &unlocked, 1)) {
        unlocked = 0;
        sp__os_yield();
    }
    const char *words = sp_take_failure();
    if (loop->error == 0 || at < loop->error_at) {
        loop->error = code;
        loop->error_at = at;
        strcpy(loop->words, words);
    }
    store_release(&loop->error_lock, 0); /* (E1) */
    store_relaxed(&loop->stop, 1u);
}

static void run_piece(struct loop *loop, intptr_t at, intptr_t n)
{
    int code = loop->body(loop->begin + at, loop->begin + at + n, loop->user);
    if (sp_unlikely(code != 0))
        record_error(loop, at, code);
}

static bool is_stopped(const struct loop *loop)
{
    return load_relaxed(&loop->stop) || sp__task_is_stopped(loop->task);
}

/* Take and run pieces until none is left to begin. */
static void run_pieces(struct loop *loop)
{
    /* relaxed: the indices are all that is shared through `next`. */
    intptr_t at = load_relaxed(&loop->next);
    while (at < loop->n && !is_stopped(loop)) {
        intptr_t left = loop->n - at;
        intptr_t piece = left / loop->share;
        if (piece < loop->grain)
            piece = loop->grain < left ? loop->grain : left;
        if (!cas_weak_relaxed(&loop->next, &at, at + piece))
            continue;
        run_piece(loop, at, piece);
        at = load_relaxed(&loop->next);
    }
    if (loop->slot >= 0)
        sp__region_exhaust(&loop->pool->regions, loop->slot);
}

/* A worker has joined. */
static void join_loop(void *user)
{
    struct loop *loop = user;
    sp_task *outer = sp__task_set_current(loop->task);
    sp_take_failure(); /* of some other task that only said something */
    run_pieces(loop);
    sp__task_set_current(outer);
}

/*
 * Run the first pieces alone. Returns an estimate of what the rest will take,
 * in nanoseconds; sets the grain if it was left to us.
 */
static double run_first(struct loop *loop, intptr_t grain)
{
    intptr_t done = 0;
    intptr_t piece = grain ? grain : 1;
    int64_t spent = 0;
    int64_t start = sp__os_now_ns();
    do {
        if (piece > loop->n - done)
            piece = loop->n - done;
        run_piece(loop, done, piece);
        done += piece;
        spent = sp__os_now_ns() - start;
        piece = done;
    } while (!grain && spent < MEASURABLE_NS && done < loop->n && !is_stopped(loop));

    double per_index = (double)spent / (double)done;
    double auto_grain = per_index > 0 ? PIECE_NS / per_index : (double)loop->n;
    loop->grain = grain;
    if (!grain)
        loop->grain = auto_grain < 1                 ? 1
                      : auto_grain < (double)loop->n ? (intptr_t)auto_grain
                                                     : loop->n;
    store_relaxed(&loop->next, done);
    return per_index * (double)(loop->n - done);
}

static void run_rest(struct loop *loop, double rest_ns)
{
    sp_pool *pool = loop->pool;
    /* Alone, too, a long loop goes in pieces: it asks between them whether to
     * stop. */
    if (rest_ns >= WORTH_SHARING_NS)
        loop->share = PIECES_PER_THREAD *
                      ((pool ? (intptr_t)load_relaxed(&pool->staff.due) : 0) + 1);
    if (pool && rest_ns >= WORTH_SHARING_NS) {
        sp__fork_check(pool);
        loop->slot = sp__region_take_slot(&pool->regions);
    }
    if (loop->slot >= 0) {
        sp__region_open(&pool->regions, loop->slot, join_loop, loop);
        if (rest_ns >= WORTH_WAKING_NS)
            sp__idle_notify(&pool->idle);
    }
    run_pieces(loop);
    if (loop->slot >= 0)
        sp__region_close(&pool->regions, loop->slot);
}

int sp_parallel_for(sp_pool *pool, intptr_t begin, intptr_t end, intptr_t grain,
                    sp_range_fn body, void *user)
{
    if (grain < 0)
        return SP_EINVAL;
    if (begin >= end)
        return 0;
    if (begin < 0 && end > INTPTR_MAX + begin)
        return SP_EINVAL;

    struct loop loop = {.begin = begin,
                        .n = end - begin,
                        .share = 1,
                        .body = body,
                        .user = user,
                        .pool = pool,
                        .slot = -1,
                        .task = sp__task_current()};
    double rest_ns = run_first(&loop, grain);
    if (load_relaxed(&loop.next) < loop.n && !is_stopped(&loop))
        run_rest(&loop, rest_ns);
    if (loop.error)
        return loop.words[0] ? sp_fail(loop.error, loop.words) : loop.error;
    bool is_complete = load_relaxed(&loop.next) >= loop.n;
    return is_complete ? 0 : SP_ECANCELLED;
}
