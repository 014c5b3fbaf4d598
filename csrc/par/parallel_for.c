/*
 * sp_parallel_for(): one loop, cut into pieces as it goes.
 *
 * The caller does the first pieces alone and times them; what is over soon is not
 * shared. Otherwise each thread that takes part has a range of its own, at first the
 * caller has all: it takes pieces from the front of its range, and who has nothing
 * left takes the back half of the largest range. So neighbouring indices stay
 * together, and a row that takes long delays nobody but the thread that has it.
 *
 * A piece takes some microseconds: its length follows the time that the last one took
 * in the same thread, so that neither a slow first index nor a steep slope matters.
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
#include "sched/worker.h"
#include "stealpool.h"

/* Less than this is not worth opening the loop for those already awake. */
#define WORTH_SHARING_NS 2500

/* Less than this is not worth a wake-up, which costs the waker some 10 and the
 * sleeper some 40 microseconds on virtual machines, where they are dearest. */
#define WORTH_WAKING_NS 60000

/* Loops that follow each other so soon are one piece of work in this respect. */
#define SAME_WORK_NS 500000

/* A piece: long enough to hide the cost of taking and timing it, short enough to end
 * together. Of a short loop, an eighth of a thread's part. */
#define PIECE_NS 4000
#define SHORTEST_PIECE_NS 400
#define PIECES_PER_THREAD 8

/* Of less than this, only a thread's first piece is timed. The others are, too, if the
 * first one took so many times what was expected. */
#define WORTH_TIMING_NS 32000
#define FAR_OFF 8

/* First pieces grow until they took this long together, so that the clock's own cost
 * and resolution do not matter; and faster until then. */
#define MEASURABLE_NS 80

/* Threads in one loop. */
#define MAX_SEATS 64

/* Ranges are counted in units, of so many at most. */
#define MAX_UNITS ((intptr_t)1 << 31)

/* What one thread has still to begin: begin: 32 | end: 32, in units. It changes by
 * compare-exchange; as no unit is begun twice, no value comes back. */
struct range {
    _Alignas(64) _Atomic(uint64_t) left;
};

struct loop {
    SP_CACHE_ALIGNED _Atomic(intptr_t) end; /* begin no piece here or later: n, or
                                               where the piece that failed began */
    _Atomic(uint32_t) error_lock;           /* guards the error (E1) */
    _Atomic(uint32_t) seats_taken;          /* of `seats`; the caller has the first */
    _Atomic(uint32_t) moves_begun;          /* halves taken, and */
    _Atomic(uint32_t) moves_ended;          /* put into their new range (R3) */
    int error;                              /* its code; 0 = none so far */
    char words[SP__FAILURE_BYTES];          /* what it said with sp_fail(), or "" */

    /* Constant while the region is open. */
    SP_CACHE_ALIGNED intptr_t begin;
    intptr_t n;
    intptr_t done;  /* by the caller, before the loop was shared */
    intptr_t unit;  /* indices of a unit, but for the last */
    uint32_t piece; /* units of a thread's first piece */
    uint32_t seats;
    uint64_t clock;   /* of sp__os_lap_ns() */
    int64_t piece_ns; /* what a piece should take; 0 = as long as the first */
    bool is_short;    /* not worth timing each piece */
    sp_range_fn body;
    void *user;
    sp_pool *pool;
    uint32_t cpu;  /* where the caller was when it let others in */
    int slot;      /* of the region; -1 = none */
    sp_task *task; /* the task that loops, whose stop flag counts; or NULL */
    struct range *ranges;
};

static uint64_t range_of(uint32_t begin, uint32_t end)
{
    return (uint64_t)begin << 32 | end;
}

static uint32_t length_of(uint64_t range)
{
    return (uint32_t)range - (uint32_t)(range >> 32);
}

static void record_error(struct loop *loop, intptr_t at, int code)
{
    uint32_t unlocked = 0;
    /* acquire (E1): the error so far. */
    while (!cas_weak_acquire(&loop->error_lock, &unlocked, 1)) {
        unlocked = 0;
        sp__os_yield();
    }
    const char *words = sp_take_failure();
    if (at < load_relaxed(&loop->end)) {
        loop->error = code;
        store_relaxed(&loop->end, at);
        strcpy(loop->words, words);
    }
    store_release(&loop->error_lock, 0); /* (E1) */
}

static void run_piece(struct loop *loop, intptr_t at, intptr_t n)
{
    int code = loop->body(loop->begin + at, loop->begin + at + n, loop->user);
    if (sp_unlikely(code != 0))
        record_error(loop, at, code);
}

static bool is_stopped(const struct loop *loop)
{
    return sp__task_is_stopped(loop->task);
}

/* After an error everything before it is still done, so that the lowest error is
 * told whoever is faster; what comes behind it is dropped. */
static void run_units(struct loop *loop, struct range *own, uint32_t first, uint32_t n)
{
    intptr_t at = loop->done + (intptr_t)first * loop->unit;
    intptr_t left = loop->n - at;
    if (sp_unlikely(at >= load_relaxed(&loop->end))) {
        store_relaxed(&own->left, 0u);
        return;
    }
    run_piece(loop, at,
              left / loop->unit < (intptr_t)n ? left : (intptr_t)n * loop->unit);
}

/* Take a piece of at most `piece` units from the front of the own range; towards its
 * end, shorter ones. Returns its length; 0 when nothing is left. */
static uint32_t take_piece(struct range *own, uint32_t piece, uint32_t *ret_first)
{
    /* relaxed: the indices are all that is shared through a range. */
    uint64_t left = load_relaxed(&own->left);
    while (length_of(left) > 0) {
        uint32_t n = length_of(left) / 4;
        n = n > piece ? piece : n <= piece / 4 ? piece / 4 + 1 : n;
        n = n > length_of(left) ? length_of(left) : n;
        if (!cas_weak_relaxed(&own->left, &left, left + ((uint64_t)n << 32)))
            continue;
        *ret_first = (uint32_t)(left >> 32);
        return n;
    }
    return 0;
}

/* Take the back half of the largest range. A half that is being moved is in no range:
 * who finds nothing leaves only if none was on its way since before he looked. */
static bool refill(struct loop *loop, struct range *own)
{
    for (;;) {
        /* acquire (R3): where the moves that have ended have put their halves. */
        uint32_t ended = load_acquire(&loop->moves_ended);
        struct range *victim = NULL;
        uint64_t most = 0;
        for (uint32_t i = 0; i < loop->seats; i++) {
            /* acquire (R3): a range from which a half is gone says that it was. */
            uint64_t left = load_acquire(&loop->ranges[i].left);
            if (length_of(left) > length_of(most)) {
                most = left;
                victim = &loop->ranges[i];
            }
        }
        if (!victim) {
            if (load_relaxed(&loop->moves_begun) == ended)
                return false;
            sp__os_yield();
            continue;
        }
        uint32_t end = (uint32_t)most;
        uint32_t middle = end - (length_of(most) + 1) / 2;
        uint64_t rest = range_of((uint32_t)(most >> 32), middle);
        fetch_add_relaxed(&loop->moves_begun, 1u);
        /* release (R3): the move has begun. */
        bool is_mine = cas_weak_release(&victim->left, &most, rest);
        if (is_mine) /* Its own range is empty, so nobody else changes it. */
            store_relaxed(&own->left, range_of(middle, end));
        /* release (R3): the half is in its range. */
        fetch_add_release(&loop->moves_ended, 1u);
        if (is_mine)
            return true;
    }
}

static uint32_t adapt(uint32_t piece, uint32_t n, int64_t spent, int64_t wanted)
{
    if (spent > 2 * wanted)
        return n > 1 ? n / 2 : 1;
    /* It is a quarter of a range at most, or one unit. */
    if (spent < wanted / 2 && n == piece)
        return 2 * piece;
    return piece;
}

/* Take and run pieces until none is left to begin. */
static void run_pieces(struct loop *loop, uint32_t seat)
{
    struct range *own = &loop->ranges[seat];
    uint32_t piece = loop->piece;
    bool is_timed = loop->piece_ns > 0;
    int64_t began = is_timed ? sp__os_lap_ns(loop->clock) : 0;
    uint32_t first;
    do {
        uint32_t n;
        while (!is_stopped(loop) && (n = take_piece(own, piece, &first)) > 0) {
            run_units(loop, own, first, n);
            if (seat == 0)
                sp__task_look();
            if (!is_timed)
                continue;
            int64_t now = sp__os_lap_ns(loop->clock);
            piece = adapt(piece, n, now - began, loop->piece_ns);
            is_timed = !loop->is_short || now - began > FAR_OFF * loop->piece_ns;
            began = now;
        }
    } while (!is_stopped(loop) && refill(loop, own));
    if (loop->slot >= 0)
        sp__region_exhaust(&loop->pool->regions, loop->slot);
}

/* A worker has joined. */
static void join_loop(void *user)
{
    struct loop *loop = user;
    uint32_t seat = fetch_add_relaxed(&loop->seats_taken, 1u);
    if (seat + 1 >= loop->seats)
        sp__region_exhaust(&loop->pool->regions, loop->slot);
    if (seat >= loop->seats)
        return;
    sp__worker_end_search(sp__worker_current());
    sp__worker_leave_cpu(loop->cpu);
    sp_task *outer = sp__task_set_current(loop->task);
    sp_take_failure(); /* of some other task that only said something */
    run_pieces(loop, seat);
    sp__task_set_current(outer);
}

/* Run the first pieces alone, each as long as all before, until it is known how long an
 * index takes and the rest is worth sharing. Returns an estimate of the time per index,
 * in nanoseconds. */
static double run_first(struct loop *loop, intptr_t grain)
{
    intptr_t done = 0;
    intptr_t piece = grain ? grain : 1;
    int64_t spent = 0;
    double index_ns = 0;
    int64_t start = sp__os_lap_ns(loop->clock);
    do {
        if (piece > loop->n - done)
            piece = loop->n - done;
        run_piece(loop, done, piece);
        done += piece;
        if (done == loop->n)
            break; /* how long that took matters no more */
        spent = sp__os_lap_ns(loop->clock) - start;
        index_ns = (double)spent / (double)done;
        piece = done;
        /* Few indices are often long ones. */
        if (spent < MEASURABLE_NS && loop->n >= 32 && done < loop->n / 4)
            piece = 4 * done;
    } while (!grain && !loop->error && !is_stopped(loop) &&
             (spent < MEASURABLE_NS ||
              index_ns * (double)(loop->n - done) < WORTH_SHARING_NS));
    loop->done = done;
    return index_ns;
}

static void cut_into_units(struct loop *loop, intptr_t grain)
{
    intptr_t n = loop->n - loop->done;
    loop->unit = n / MAX_UNITS + 1;
    if (loop->unit < grain)
        loop->unit = grain;
    uint32_t units = (uint32_t)(n / loop->unit + (n % loop->unit != 0));
    for (uint32_t i = 0; i < loop->seats; i++)
        store_relaxed(&loop->ranges[i].left, range_of(0, i == 0 ? units : 0));
}

static void choose_piece(struct loop *loop, double unit_ns, double rest_ns)
{
    double piece_ns = rest_ns / (PIECES_PER_THREAD * loop->seats);
    bool is_short = rest_ns < WORTH_TIMING_NS;
    if (is_short && loop->seats == 1)
        piece_ns = rest_ns; /* take_piece() makes four of it */
    piece_ns = piece_ns > PIECE_NS            ? PIECE_NS
               : piece_ns > SHORTEST_PIECE_NS ? piece_ns
                                              : SHORTEST_PIECE_NS;
    double units = unit_ns > 0 ? piece_ns / unit_ns : 1e9;
    loop->piece = units < 1 ? 1 : units < 1e9 ? (uint32_t)units : 1000000000;
    loop->piece_ns = (int64_t)piece_ns;
    loop->is_short = is_short;
}

/* Loops too short to wake anybody for, one after the other, are worth it together:
 * as much time is spent alone, at most, as the wake-up costs. */
static bool is_worth_waking(sp_pool *pool, double rest_ns)
{
    if (rest_ns >= WORTH_WAKING_NS)
        return true;
    int64_t now = sp__os_now_ns();
    int64_t last = load_relaxed(&pool->short_loop_at);
    uint32_t before =
        now - last < SAME_WORK_NS ? load_relaxed(&pool->short_loops_ns) : 0;
    uint32_t sum = before + (uint32_t)rest_ns;
    store_relaxed(&pool->short_loop_at, now);
    store_relaxed(&pool->short_loops_ns, sum < WORTH_WAKING_NS ? sum : 0);
    return sum >= WORTH_WAKING_NS;
}

/* Let others in, if that pays. */
static void open_loop(struct loop *loop, double rest_ns)
{
    sp_pool *pool = loop->pool;
    sp__fork_check(pool);
    bool is_awake = load_relaxed(&pool->idle.searching) > 0;
    bool wake = is_worth_waking(pool, rest_ns);
    if (!is_awake && !wake)
        return;
    loop->slot = sp__region_take_slot(&pool->regions);
    if (loop->slot < 0)
        return;
    loop->cpu = sp__os_current_cpu();
    store_relaxed(&pool->submit_cpu, loop->cpu);
    sp__region_open(&pool->regions, loop->slot, join_loop, loop);
    if (wake)
        sp__idle_notify(&pool->idle);
}

/* The threads that may take part: as many as the pool has workers, the caller among
 * them, but two at least. */
static uint32_t seats_of(const sp_pool *pool)
{
    if (!pool)
        return 1;
    uint32_t workers = load_relaxed(&pool->staff.due);
    return workers < 2 ? 2 : workers < MAX_SEATS ? workers : MAX_SEATS;
}

static void run_rest(struct loop *loop, const sp_loop_options *options, double index_ns)
{
    struct range ranges[MAX_SEATS];
    double rest_ns = index_ns * (double)(loop->n - loop->done);
    bool is_timed = options->schedule == SP_AUTO;

    loop->ranges = ranges;
    loop->seats = is_timed && rest_ns < WORTH_SHARING_NS ? 1 : seats_of(loop->pool);
    store_relaxed(&loop->seats_taken, 1);
    store_relaxed(&loop->moves_begun, 0);
    store_relaxed(&loop->moves_ended, 0);
    intptr_t grain = options->grain;
    if (options->schedule == SP_STATIC)
        grain = loop->n / loop->seats + (loop->n % loop->seats != 0);
    cut_into_units(loop, grain);
    loop->piece = 1;
    if (is_timed)
        choose_piece(loop, index_ns * (double)loop->unit, rest_ns);
    if (loop->seats > 1)
        open_loop(loop, is_timed ? rest_ns : WORTH_WAKING_NS);
    if (is_timed && loop->slot < 0) {
        loop->seats = 1;
        choose_piece(loop, index_ns * (double)loop->unit, rest_ns);
    }
    run_pieces(loop, 0);
    if (loop->slot >= 0)
        sp__region_close(&loop->pool->regions, loop->slot);
    for (uint32_t i = 0; i < loop->seats; i++)
        if (length_of(load_relaxed(&ranges[i].left)) > 0)
            return; /* stopped */
    loop->done = loop->n;
}

int sp_parallel_for_with(sp_pool *pool, intptr_t begin, intptr_t end,
                         const sp_loop_options *options, sp_range_fn body, void *user)
{
    if (options->grain < 0 || (unsigned)options->schedule > SP_DYNAMIC)
        return SP_EINVAL;
    if (begin >= end)
        return 0;
    if (begin < 0 && end > INTPTR_MAX + begin)
        return SP_EINVAL;

    struct loop loop;
    store_relaxed(&loop.error_lock, 0);
    loop.error = 0;
    loop.words[0] = '\0';
    loop.begin = begin;
    loop.n = end - begin;
    store_relaxed(&loop.end, loop.n);
    loop.done = 0;
    loop.clock = sp__os_lap_clock();
    loop.piece_ns = 0;
    loop.is_short = false;
    loop.body = body;
    loop.user = user;
    loop.pool = pool;
    loop.slot = -1;
    loop.task = sp__task_current();
    double index_ns = 0;
    if (options->schedule == SP_AUTO)
        index_ns = run_first(&loop, options->grain);
    if (loop.done < loop.n && !loop.error && !is_stopped(&loop))
        run_rest(&loop, options, index_ns);
    if (loop.error)
        return loop.words[0] ? sp_fail(loop.error, loop.words) : loop.error;
    return loop.done == loop.n ? 0 : SP_ECANCELLED;
}

int sp_parallel_for(sp_pool *pool, intptr_t begin, intptr_t end, intptr_t grain,
                    sp_range_fn body, void *user)
{
    sp_loop_options options = {.grain = grain};
    return sp_parallel_for_with(pool, begin, end, &options, body, user);
}

/* ------------------------------------------------------------ two dimensions */

struct tiles {
    intptr_t rows, columns;           /* of the whole */
    intptr_t tile_rows, tile_columns; /* of a tile */
    intptr_t across;                  /* tiles side by side */
    sp_range_2d_fn body;
    void *user;
};

static intptr_t at_most(intptr_t n, intptr_t limit)
{
    return n < limit ? n : limit;
}

static intptr_t ceil_of(intptr_t n, intptr_t divisor)
{
    return n / divisor + (n % divisor != 0);
}

static int run_tiles(intptr_t first, intptr_t last, void *user)
{
    const struct tiles *tiles = user;
    /* One division a piece, not a tile. */
    intptr_t row = first / tiles->across * tiles->tile_rows;
    intptr_t column = first % tiles->across * tiles->tile_columns;
    for (; first < last; first++) {
        int code =
            tiles->body(row, row + at_most(tiles->tile_rows, tiles->rows - row), column,
                        column + at_most(tiles->tile_columns, tiles->columns - column),
                        tiles->user);
        if (code != 0)
            return code;
        if (tiles->columns - column > tiles->tile_columns) {
            column += tiles->tile_columns;
        } else {
            column = 0;
            row += tiles->tile_rows;
        }
    }
    return 0;
}

/* Tiles that fit into a first-level cache: 4 Ki elements, wide rather than high. */
#define AUTO_COLUMNS 256
#define AUTO_ROWS 16

int sp_parallel_for_2d(sp_pool *pool, intptr_t rows, intptr_t columns,
                       intptr_t tile_rows, intptr_t tile_columns, sp_range_2d_fn body,
                       void *user)
{
    if (rows < 0 || columns < 0 || tile_rows < 0 || tile_columns < 0)
        return SP_EINVAL;
    if (rows == 0 || columns == 0)
        return 0;
    struct tiles tiles = {
        .rows = rows,
        .columns = columns,
        .tile_rows = at_most(tile_rows ? tile_rows : AUTO_ROWS, rows),
        .tile_columns = at_most(tile_columns ? tile_columns : AUTO_COLUMNS, columns),
        .body = body,
        .user = user};
    tiles.across = ceil_of(columns, tiles.tile_columns);
    intptr_t down = ceil_of(rows, tiles.tile_rows);
    if (down > INTPTR_MAX / tiles.across)
        return SP_EINVAL;
    return sp_parallel_for(pool, 0, down * tiles.across, 0, run_tiles, &tiles);
}
