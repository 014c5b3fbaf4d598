/* sp_parallel_for() */
#include <limits.h>

#include "base/memory.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

#ifdef CAN_WRAP
/* A clock of our own: it stands, or leaps at each look. */
static _Atomic(bool) is_ours;
static _Atomic(int64_t) leap_ns;
static _Atomic(int64_t) our_ns;

/* Laps are the clock's, too. */
void __wrap_sp__os_lap_learn(void);
void __wrap_sp__os_lap_learn(void)
{
}

int64_t __real_sp__os_now_ns(void);
int64_t __wrap_sp__os_now_ns(void);
int64_t __wrap_sp__os_now_ns(void)
{
    if (!load_relaxed(&is_ours))
        return __real_sp__os_now_ns();
    return fetch_add_relaxed(&our_ns, load_relaxed(&leap_ns));
}
#endif

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

/* Enough to be worth waking somebody for what remains. */
static void take_time(int64_t ns)
{
    for (int64_t until = sp__os_now_ns() + ns; sp__os_now_ns() < until;)
        sp__os_pause();
}

/* ----------------------------------------------------------------- coverage */

#define N 5000

struct cover {
    _Atomic(uint32_t) hits[N];
    intptr_t begin;
    intptr_t end;
    intptr_t grain;
    int64_t cost_ns; /* of one index */
    _Atomic(uint32_t) short_pieces;
};

static int hit(intptr_t begin, intptr_t end, void *user)
{
    struct cover *cover = user;
    CHECK(cover->begin <= begin && begin < end && end <= cover->end);
    if (end - begin < cover->grain)
        fetch_add_relaxed(&cover->short_pieces, 1u);
    for (intptr_t i = begin; i < end; i++)
        fetch_add_relaxed(&cover->hits[i - cover->begin], 1u);
    take_time(cover->cost_ns * (end - begin));
    return 0;
}

static void check_cover(sp_pool *pool, intptr_t begin, intptr_t n, intptr_t grain,
                        int64_t cost_ns)
{
    static struct cover cover;
    memset(&cover, 0, sizeof cover);
    cover.begin = begin;
    cover.end = begin + n;
    cover.grain = grain;
    cover.cost_ns = cost_ns;
    CHECK_EQ(sp_parallel_for(pool, begin, begin + n, grain, hit, &cover), 0);
    for (intptr_t i = 0; i < N; i++)
        CHECK_EQ(load_relaxed(&cover.hits[i]), i < n, "%jd of %jd, grain %jd",
                 (intmax_t)i, (intmax_t)n, (intmax_t)grain);
    CHECK(load_relaxed(&cover.short_pieces) <= 1);
}

static void every_index_is_done_once(void)
{
    static const intptr_t sizes[] = {1, 2, 3, 7, 64, 1000, N};
    static const intptr_t grains[] = {0, 1, 2, 3, 100, N - 1, N, N + 1, INTPTR_MAX};
    static const int64_t costs[] = {0, 300};
    sp_pool *pools[] = {NULL, new_pool(1), new_pool(3)};
    for (size_t p = 0; p < 3; p++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++)
                for (size_t c = 0; c < 2; c++)
                    check_cover(pools[p], (intptr_t)s * 1000 - 3000, sizes[s],
                                grains[g], costs[c]);
    sp_pool_free(pools[1]);
    sp_pool_free(pools[2]);
}

#ifdef CAN_WRAP
/* From a clock that stands to one that leaps by an hour. */
static void whatever_the_clock_says_every_index_is_done_once(void)
{
    static const int64_t leaps[] = {0, 1, 40, 3000, 50000, 2000000, 3600000000000};
    static const intptr_t lengths[] = {1, 2, 31, 32, 33, 1000, N};
    store_relaxed(&is_ours, true);
    for (size_t i = 0; i < sizeof leaps / sizeof *leaps; i++) {
        store_relaxed(&leap_ns, leaps[i]);
        /* Workers would search for work for ever while the clock stands. */
        sp_pool_options options = {.workers = 2, .keepalive_us = 1};
        sp_pool *pool = NULL;
        if (leaps[i] > 0)
            CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            for (intptr_t grain = 0; grain < 6; grain += 5) {
                check_cover(NULL, 0, lengths[k], grain, 0);
                check_cover(pool, 0, lengths[k], grain, 0);
            }
        }
        sp_pool_free(pool);
    }
    store_relaxed(&is_ours, false);
}

/* The first piece is timed: what remains is worth a wake-up, or not. */
static void a_loop_wakes_somebody_if_it_is_long_enough(void)
{
    enum { WORKERS = 2 };
    for (int is_long = 0; is_long < 2; is_long++) {
        sp_pool *pool = new_pool(WORKERS);
        sp_pool_stats before, after;
        do {
            sp__os_yield();
            sp_pool_get_stats(pool, &before);
        } while (before.parked < WORKERS);
        store_relaxed(&leap_ns, is_long ? 2000000 : 1);
        store_relaxed(&is_ours, true);
        check_cover(pool, 0, 64, 1, 0);
        store_relaxed(&is_ours, false);
        sp_pool_get_stats(pool, &after);
        CHECK_EQ(after.woken > before.woken, is_long);
        sp_pool_free(pool);
    }
}

static int count_and_fail(intptr_t begin, intptr_t end, void *user)
{
    (void)end;
    CHECK_EQ(begin, 0);
    ++*(int *)user;
    return 7;
}

static void an_error_in_the_first_piece_is_the_end(void)
{
    int calls = 0;
    store_relaxed(&leap_ns, 0);
    store_relaxed(&is_ours, true);
    CHECK_EQ(sp_parallel_for(NULL, 0, 1000, 0, count_and_fail, &calls), 7);
    store_relaxed(&is_ours, false);
    CHECK_EQ(calls, 1);
}
#endif

static void a_range_may_lie_anywhere(void)
{
    sp_pool *pool = new_pool(2);
    check_cover(pool, INTPTR_MIN, 100, 0, 1000);
    check_cover(pool, INTPTR_MAX - 100, 100, 0, 1000);
    check_cover(pool, -50, 100, 7, 1000);
    sp_pool_free(pool);
}

static int count_indices(intptr_t begin, intptr_t end, void *user)
{
    fetch_add_relaxed((_Atomic(uint64_t) *)user, (uint64_t)(end - begin));
    return 0;
}

static void the_longest_range_is_done(void)
{
    _Atomic(uint64_t) n = 0;
    sp_pool *pool = new_pool(2);
    CHECK_EQ(sp_parallel_for(pool, 0, INTPTR_MAX, 0, count_indices, &n), 0);
    CHECK(load_relaxed(&n) == INTPTR_MAX);
    store_relaxed(&n, 0u);
    CHECK_EQ(sp_parallel_for(NULL, INTPTR_MIN + 1, 0, 0, count_indices, &n), 0);
    CHECK(load_relaxed(&n) == INTPTR_MAX);
    sp_pool_free(pool);
}

static int refuse(intptr_t begin, intptr_t end, void *user)
{
    (void)user;
    CHECK(false, "%jd..%jd", (intmax_t)begin, (intmax_t)end);
    return 1;
}

static void an_empty_range_is_done_at_once(void)
{
    CHECK_EQ(sp_parallel_for(NULL, 5, 5, 0, refuse, NULL), 0);
    CHECK_EQ(sp_parallel_for(NULL, 5, 4, 0, refuse, NULL), 0);
    CHECK_EQ(sp_parallel_for(NULL, INTPTR_MAX, INTPTR_MIN, 0, refuse, NULL), 0);
}

static void impossible_ranges_and_grains_are_refused(void)
{
    CHECK_EQ(sp_parallel_for(NULL, 0, 5, -1, refuse, NULL), SP_EINVAL);
    CHECK_EQ(sp_parallel_for(NULL, INTPTR_MIN, 1, 0, refuse, NULL), SP_EINVAL);
    CHECK_EQ(sp_parallel_for(NULL, -2, INTPTR_MAX, 0, refuse, NULL), SP_EINVAL);
}

/* ----------------------------------------------------------------- schedules */

static void every_schedule_does_every_index_once(void)
{
    static struct cover cover;
    sp_pool *pools[] = {NULL, new_pool(1), new_pool(4)};
    for (int p = 0; p < 3; p++)
        for (int schedule = SP_AUTO; schedule <= SP_DYNAMIC; schedule++)
            for (intptr_t grain = 0; grain < 4; grain++)
                for (intptr_t n = 1; n < 300; n += 23) {
                    sp_loop_options options = {.grain = grain,
                                               .schedule = (sp_schedule)schedule};
                    memset(&cover, 0, sizeof cover);
                    cover.end = n;
                    cover.cost_ns = n % 2 * 500;
                    CHECK_EQ(
                        sp_parallel_for_with(pools[p], 0, n, &options, hit, &cover), 0);
                    for (intptr_t i = 0; i < n; i++)
                        CHECK_EQ(load_relaxed(&cover.hits[i]), 1, "schedule %d",
                                 schedule);
                }
    sp_pool_free(pools[1]);
    sp_pool_free(pools[2]);
}

static int check_static_piece(intptr_t begin, intptr_t end, void *user)
{
    (void)user;
    CHECK_EQ(begin % 34, 0);
    CHECK_EQ(end, begin == 68 ? 100 : begin + 34);
    return 0;
}

static int check_dynamic_piece(intptr_t begin, intptr_t end, void *user)
{
    (void)user;
    CHECK_EQ(begin % 7, 0);
    CHECK_EQ(end, begin == 98 ? 100 : begin + 7);
    return 0;
}

static void a_static_loop_has_equal_parts_a_dynamic_one_exact_pieces(void)
{
    sp_pool *pool = new_pool(3);
    sp_loop_options parts = {.schedule = SP_STATIC};
    sp_loop_options pieces = {.schedule = SP_DYNAMIC, .grain = 7};
    for (long round = check_rounds(100); round > 0; round--) {
        CHECK_EQ(sp_parallel_for_with(pool, 0, 100, &parts, check_static_piece, NULL),
                 0);
        CHECK_EQ(sp_parallel_for_with(pool, 0, 100, &pieces, check_dynamic_piece, NULL),
                 0);
    }
    sp_pool_free(pool);
}

static void impossible_schedules_are_refused(void)
{
    sp_loop_options options = {.schedule = (sp_schedule)3};
    CHECK_EQ(sp_parallel_for_with(NULL, 0, 5, &options, refuse, NULL), SP_EINVAL);
    options.schedule = (sp_schedule)-1;
    CHECK_EQ(sp_parallel_for_with(NULL, 0, 5, &options, refuse, NULL), SP_EINVAL);
    options = (sp_loop_options){.grain = -1};
    CHECK_EQ(sp_parallel_for_with(NULL, 0, 5, &options, refuse, NULL), SP_EINVAL);
}

/* --------------------------------------------------------------------- tiles */

enum { ROWS = 37, COLUMNS = 53 };

struct plane {
    _Atomic(uint32_t) hits[ROWS][COLUMNS];
    intptr_t tile_rows, tile_columns;
};

static int hit_tile(intptr_t row_begin, intptr_t row_end, intptr_t column_begin,
                    intptr_t column_end, void *user)
{
    struct plane *plane = user;
    CHECK(0 <= row_begin && row_begin < row_end && row_end <= ROWS);
    CHECK(0 <= column_begin && column_begin < column_end && column_end <= COLUMNS);
    if (plane->tile_rows > 0)
        CHECK(row_end - row_begin <= plane->tile_rows);
    if (plane->tile_columns > 0)
        CHECK(column_end - column_begin <= plane->tile_columns);
    for (intptr_t row = row_begin; row < row_end; row++)
        for (intptr_t column = column_begin; column < column_end; column++)
            fetch_add_relaxed(&plane->hits[row][column], 1u);
    take_time(2000);
    return row_begin == 36 && plane->tile_rows == 1 ? sp_fail(9, "the last row") : 0;
}

static void tiles_cover_a_plane_once(void)
{
    static const intptr_t sizes[] = {0, 1, 2, 10, 37, 53, INTPTR_MAX};
    static struct plane plane;
    sp_pool *pool = new_pool(3);
    for (size_t r = 0; r < sizeof sizes / sizeof *sizes; r++)
        for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
            memset(&plane, 0, sizeof plane);
            plane.tile_rows = sizes[r];
            plane.tile_columns = sizes[c];
            int code = sp_parallel_for_2d(pool, ROWS, COLUMNS, sizes[r], sizes[c],
                                          hit_tile, &plane);
            CHECK_EQ(code, sizes[r] == 1 ? 9 : 0);
            for (int row = 0; code == 0 && row < ROWS; row++)
                for (int column = 0; column < COLUMNS; column++)
                    CHECK_EQ(load_relaxed(&plane.hits[row][column]), 1);
        }
    sp_pool_free(pool);
}

static int refuse_tile(intptr_t row_begin, intptr_t row_end, intptr_t column_begin,
                       intptr_t column_end, void *user)
{
    (void)row_end, (void)column_end, (void)user;
    CHECK(false, "%jd, %jd", (intmax_t)row_begin, (intmax_t)column_begin);
    return 1;
}

static void impossible_planes_are_refused_and_empty_ones_done(void)
{
    CHECK_EQ(sp_parallel_for_2d(NULL, -1, 5, 0, 0, refuse_tile, NULL), SP_EINVAL);
    CHECK_EQ(sp_parallel_for_2d(NULL, 5, -1, 0, 0, refuse_tile, NULL), SP_EINVAL);
    CHECK_EQ(sp_parallel_for_2d(NULL, 5, 5, -1, 0, refuse_tile, NULL), SP_EINVAL);
    CHECK_EQ(sp_parallel_for_2d(NULL, 5, 5, 0, -1, refuse_tile, NULL), SP_EINVAL);
    CHECK_EQ(sp_parallel_for_2d(NULL, INTPTR_MAX, 2, 1, 1, refuse_tile, NULL),
             SP_EINVAL);
    CHECK_EQ(sp_parallel_for_2d(NULL, 0, 5, 0, 0, refuse_tile, NULL), 0);
    CHECK_EQ(sp_parallel_for_2d(NULL, 5, 0, 0, 0, refuse_tile, NULL), 0);
}

/* ------------------------------------------------------------------- helping */

struct meeting {
    pthread_t caller;
    _Atomic(uint32_t) arrived;
    uint32_t wanted;
    bool caller_was_there;
};

/* The first piece takes time, the others wait for each other. */
static int meet_others(intptr_t begin, intptr_t end, void *user)
{
    struct meeting *meeting = user;
    if (begin == 0) {
        take_time(200000 * (end - begin));
        return 0;
    }
    if (pthread_equal(pthread_self(), meeting->caller))
        meeting->caller_was_there = true;
    meet(&meeting->arrived, meeting->wanted);
    return 0;
}

static void free_workers_and_the_caller_work_together(void)
{
    for (uint32_t workers = 1; workers <= 3; workers++) {
        sp_pool *pool = new_pool(workers);
        uint32_t threads = workers < 2 ? 2 : workers;
        struct meeting meeting = {.caller = pthread_self(), .wanted = threads};
        CHECK_EQ(sp_parallel_for(pool, 0, threads + 1, 1, meet_others, &meeting), 0);
        CHECK(meeting.caller_was_there);
        sp_pool_stats stats;
        CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
        sp_pool_get_stats(pool, &stats);
        CHECK(stats.loops >= threads - 1);
        CHECK_EQ(stats.submitted, 0);
        sp_pool_free(pool);
    }
}

struct crowd {
    _Atomic(uint32_t) inside;
    _Atomic(uint32_t) most;
};

static int count_crowd(intptr_t begin, intptr_t end, void *user)
{
    struct crowd *crowd = user;
    uint32_t inside = fetch_add_seq_cst(&crowd->inside, 1u) + 1;
    uint32_t most = load_relaxed(&crowd->most);
    while (inside > most && !cas_weak_relaxed(&crowd->most, &most, inside))
        ;
    take_time(3000 * (end - begin));
    fetch_sub_seq_cst(&crowd->inside, 1u);
    return 0;
}

static void no_more_threads_than_the_pool_has_workers_take_part(void)
{
    sp_pool *pool = new_pool(3);
    for (long round = check_rounds(100); round > 0; round--) {
        struct crowd crowd = {0};
        CHECK_EQ(sp_parallel_for(pool, 0, 200, 1, count_crowd, &crowd), 0);
        CHECK(load_relaxed(&crowd.most) <= 3);
    }
    sp_pool_free(pool);
}

struct busy {
    sp_task task;
    _Atomic(uint32_t) begun;
    _Atomic(uint32_t) may_end;
};

static void be_busy(sp_task *task)
{
    struct busy *busy = (struct busy *)task;
    store_seq_cst(&busy->begun, 1u);
    await(&busy->may_end, 1);
}

static void busy_workers_are_not_waited_for(void)
{
    struct busy busy = {.begun = 0};
    sp_pool *pool = new_pool(1);
    sp_task_init(&busy.task, be_busy, NULL);
    CHECK_EQ(sp_submit(pool, &busy.task), SP_OK);
    await(&busy.begun, 1);
    check_cover(pool, 0, 1000, 1, 1000);
    store_seq_cst(&busy.may_end, 1u);
    sp_pool_free(pool);
}

/* ------------------------------------------------------------------- errors */

struct fault {
    intptr_t from; /* indices from here on fail with their own number */
    _Atomic(uint32_t) pieces;
};

static int fail_from(intptr_t begin, intptr_t end, void *user)
{
    struct fault *fault = user;
    fetch_add_relaxed(&fault->pieces, 1u);
    take_time(500 * (end - begin));
    intptr_t first = begin < fault->from ? fault->from : begin;
    return first < end ? sp_fail((int)first + 1, "too far") : 0;
}

static void a_failed_piece_ends_the_loop_with_its_code(void)
{
    sp_pool *pools[] = {NULL, new_pool(3)};
    for (int p = 0; p < 2; p++) {
        for (intptr_t from = 0; from < 1000; from += 111) {
            struct fault fault = {.from = from};
            int code = sp_parallel_for(pools[p], 0, 1000, 1, fail_from, &fault);
            /* The lowest of all, as if one thread had gone through them. */
            CHECK_EQ(code, from + 1);
            if (from == 0)
                CHECK_EQ(load_relaxed(&fault.pieces), 1);
        }
    }
    sp_pool_free(pools[1]);
}

struct race {
    _Atomic(uint32_t) arrived;
};

static int fail_together(intptr_t begin, intptr_t end, void *user)
{
    struct race *race = user;
    if (begin == 0) {
        take_time(200000 * (end - begin));
        return 0;
    }
    meet(&race->arrived, 3);
    char words[16];
    snprintf(words, sizeof words, "at %d", (int)begin);
    return sp_fail((int)begin + 10, words);
}

static void of_several_errors_the_lowest_is_told_in_its_words(void)
{
    sp_pool *pool = new_pool(3);
    for (long round = check_rounds(30); round > 0; round--) {
        struct race race = {.arrived = 0};
        CHECK_EQ(sp_parallel_for(pool, 0, 4, 1, fail_together, &race), 11);
        const char *words = sp_take_failure();
        CHECK_STR_EQ(words, "at 1");
    }
    sp_pool_free(pool);
}

/* ---------------------------------------------------------------- cancelling */

struct stop {
    sp_task task;
    sp_pool *pool;
    intptr_t grain;
    _Atomic(uint32_t) pieces;
    _Atomic(uint32_t) stopped_pieces;
    int code;
};

static int stop_myself(intptr_t begin, intptr_t end, void *user)
{
    struct stop *stop = user;
    if (begin > 0)
        CHECK_EQ(sp_task_cancel(&stop->task), SP_EBUSY);
    take_time(20000 * (end - begin));
    fetch_add_relaxed(&stop->pieces, 1u);
    if (sp_cancelled())
        fetch_add_relaxed(&stop->stopped_pieces, 1u);
    return 0;
}

static void loop_inside(sp_task *task)
{
    struct stop *stop = (struct stop *)task;
    stop->code = sp_parallel_for(stop->pool, 0, 1000, stop->grain, stop_myself, stop);
}

static void cancelling_the_task_stops_its_loop(void)
{
    sp_pool *pool = new_pool(2);
    for (int i = 0; i < 4; i++) {
        struct stop stop = {.pool = i % 2 ? pool : NULL, .grain = i / 2};
        sp_task_init(&stop.task, loop_inside, NULL);
        CHECK_EQ(sp_submit(pool, &stop.task), SP_OK);
        wait_for_task(&stop.task);
        CHECK_EQ(stop.code, SP_ECANCELLED);
        CHECK(load_relaxed(&stop.pieces) < 100);
        CHECK(load_relaxed(&stop.stopped_pieces) >= 1);
    }
    sp_pool_free(pool);
}

static int stop_at_once(intptr_t begin, intptr_t end, void *user)
{
    struct stop *stop = user;
    (void)begin;
    (void)end;
    CHECK_EQ(sp_task_cancel(&stop->task), SP_EBUSY);
    fetch_add_relaxed(&stop->pieces, 1u);
    return 0;
}

static void loop_that_stops_at_once(sp_task *task)
{
    struct stop *stop = (struct stop *)task;
    stop->code = sp_parallel_for(stop->pool, 0, 1000, 0, stop_at_once, stop);
}

/* Which takes no time, so that its length alone would call for another one. */
static void a_loop_that_is_cancelled_in_its_first_piece_runs_no_other(void)
{
    sp_pool *pool = new_pool(2);
    struct stop stop = {.pool = pool};
    sp_task_init(&stop.task, loop_that_stops_at_once, NULL);
    CHECK_EQ(sp_submit(pool, &stop.task), SP_OK);
    wait_for_task(&stop.task);
    CHECK_EQ(stop.code, SP_ECANCELLED);
    CHECK_EQ(load_relaxed(&stop.pieces), 1);
    sp_pool_free(pool);
}

/* ------------------------------------------------------------------- nesting */

struct nest {
    sp_pool *pool;
    int depth;
    _Atomic(uint64_t) leaves;
    _Atomic(uint32_t) most_threads;
};

struct level {
    struct nest *nest;
    int depth;
};

static void note_threads(struct nest *nest)
{
    uint32_t most = load_relaxed(&nest->most_threads);
    uint32_t n = count_entries("/proc/self/task");
    while (n > most && !cas_weak_relaxed(&nest->most_threads, &most, n))
        continue;
}

static int descend(intptr_t begin, intptr_t end, void *user)
{
    struct level *level = user;
    struct level below = {.nest = level->nest, .depth = level->depth - 1};
    for (intptr_t i = begin; i < end; i++) {
        if (below.depth == 0) {
            fetch_add_relaxed(&level->nest->leaves, 1u);
            note_threads(level->nest);
        } else {
            CHECK_EQ(sp_parallel_for(level->nest->pool, 0, 8, 1, descend, &below), 0);
        }
    }
    return 0;
}

static void loops_nest_and_start_no_thread(void)
{
    sp_pool *pool = new_pool(3);
    uint32_t threads = count_entries("/proc/self/task");
    struct nest nest = {.pool = pool};
    struct level top = {.nest = &nest, .depth = 4};
    CHECK_EQ(sp_parallel_for(pool, 0, 8, 1, descend, &top), 0);
    CHECK_EQ(load_relaxed(&nest.leaves), 8 * 8 * 8 * 8);
    CHECK(load_relaxed(&nest.most_threads) <= threads);
    sp_pool_free(pool);
}

static int loop_again(intptr_t begin, intptr_t end, void *user)
{
    struct level *level = user;
    if (level->depth == 0) {
        take_time(20000 * (end - begin));
        fetch_add_relaxed(&level->nest->leaves, (uint64_t)(end - begin));
        return 0;
    }
    take_time(20000);
    struct level below = {.nest = level->nest, .depth = level->depth - 1};
    return begin == 3 ? sp_parallel_for(level->nest->pool, 0, 4, 1, loop_again, &below)
                      : 0;
}

static void deeper_than_there_are_slots_still_works(void)
{
    sp_pool *pool = new_pool(2);
    struct nest nest = {.pool = pool};
    struct level top = {.nest = &nest, .depth = 100};
    CHECK_EQ(sp_parallel_for(pool, 0, 4, 1, loop_again, &top), 0);
    CHECK_EQ(load_relaxed(&nest.leaves), 4);
    sp_pool_free(pool);
}

static void a_shut_down_pool_still_loops(void)
{
    sp_pool *pool = new_pool(2);
    CHECK_EQ(sp_pool_shutdown(pool, SP_DRAIN), SP_OK);
    check_cover(pool, 0, 1000, 1, 500);
    sp_pool_free(pool);
}

int main(void)
{
    RUN(every_index_is_done_once);
#ifdef CAN_WRAP
    RUN(whatever_the_clock_says_every_index_is_done_once);
    RUN(a_loop_wakes_somebody_if_it_is_long_enough);
    RUN(an_error_in_the_first_piece_is_the_end);
#endif
    RUN(a_range_may_lie_anywhere);
    RUN(the_longest_range_is_done);
    RUN(an_empty_range_is_done_at_once);
    RUN(impossible_ranges_and_grains_are_refused);
    RUN(every_schedule_does_every_index_once);
    RUN(a_static_loop_has_equal_parts_a_dynamic_one_exact_pieces);
    RUN(impossible_schedules_are_refused);
    RUN(tiles_cover_a_plane_once);
    RUN(impossible_planes_are_refused_and_empty_ones_done);
    RUN(free_workers_and_the_caller_work_together);
    RUN(no_more_threads_than_the_pool_has_workers_take_part);
    RUN(busy_workers_are_not_waited_for);
    RUN(a_failed_piece_ends_the_loop_with_its_code);
    RUN(of_several_errors_the_lowest_is_told_in_its_words);
    RUN(cancelling_the_task_stops_its_loop);
    RUN(a_loop_that_is_cancelled_in_its_first_piece_runs_no_other);
    RUN(loops_nest_and_start_no_thread);
    RUN(deeper_than_there_are_slots_still_works);
    RUN(a_shut_down_pool_still_loops);
    return 0;
}
