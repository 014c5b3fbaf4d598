/* sp_parallel_reduce() */
#include <limits.h>

#include "base/atomics.h"
#include "base/memory.h"
#include "check.h"
#include "stealpool.h"

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

static int add_numbers(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        *(int64_t *)acc += i;
    return 0;
}

static void add_int(void *into, const void *from, void *user)
{
    (void)user;
    *(int64_t *)into += *(const int64_t *)from;
}

static void sums_are_exact(void)
{
    static const intptr_t sizes[] = {1, 2, 100, 1023, 1024, 1025, 100000};
    static const intptr_t grains[] = {0, 1, 7, 1000, INTPTR_MAX};
    sp_pool *pools[] = {NULL, new_pool(1), new_pool(3)};
    for (int p = 0; p < 3; p++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                int64_t sum = 0;
                intptr_t n = sizes[s];
                CHECK_EQ(sp_parallel_reduce(pools[p], -n, n + 1, grains[g], add_numbers,
                                            add_int, &sum, sizeof sum, NULL),
                         0);
                CHECK_EQ(sum, 0);
                CHECK_EQ(sp_parallel_reduce(pools[p], 0, n, grains[g], add_numbers,
                                            add_int, &sum, sizeof sum, NULL),
                         0);
                CHECK_EQ(sum, (int64_t)n * (n - 1) / 2);
            }
    sp_pool_free(pools[1]);
    sp_pool_free(pools[2]);
}

static int add_inverses(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        *(double *)acc += 1.0 / (double)(i + 1);
    return 0;
}

static void add_double(void *into, const void *from, void *user)
{
    (void)user;
    *(double *)into += *(const double *)from;
}

static double harmonic(sp_pool *pool, intptr_t n, intptr_t grain)
{
    double sum = 0;
    CHECK_EQ(sp_parallel_reduce(pool, 0, n, grain, add_inverses, add_double, &sum,
                                sizeof sum, NULL),
             0);
    return sum;
}

static void the_result_does_not_depend_on_the_number_of_threads(void)
{
    for (intptr_t grain = 0; grain < 300; grain += 99) {
        double alone = harmonic(NULL, 200000, grain);
        for (uint32_t workers = 1; workers <= 4; workers++) {
            sp_pool *pool = new_pool(workers);
            for (int i = 0; i < 5; i++) {
                double sum = harmonic(pool, 200000, grain);
                CHECK(memcmp(&sum, &alone, sizeof sum) == 0, "%a, not %a", sum, alone);
            }
            sp_pool_free(pool);
        }
    }
}

/* A range as its own accumulator: it can only be combined with its neighbour. */
struct span {
    intptr_t begin;
    intptr_t end;
    _Atomic(int) *pieces;
};

static int span_of(intptr_t begin, intptr_t end, void *acc, void *user)
{
    struct span *span = acc;
    CHECK(span->begin == span->end);
    span->begin = begin;
    span->end = end;
    fetch_add_relaxed((_Atomic(int) *)user, 1);
    return 0;
}

static void join_spans(void *into, const void *from, void *user)
{
    struct span *left = into;
    const struct span *right = from;
    (void)user;
    if (left->begin == left->end)
        left->begin = right->begin;
    else
        CHECK_EQ(left->end, right->begin);
    left->end = right->end;
}

static void pieces_are_combined_from_left_to_right(void)
{
    sp_pool *pool = new_pool(3);
    static const intptr_t grains[] = {0, 1, 50, 5000};
    for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
        _Atomic(int) pieces = 0;
        struct span span = {0};
        CHECK_EQ(sp_parallel_reduce(pool, -5000, 5000, grains[g], span_of, join_spans,
                                    &span, sizeof span, &pieces),
                 0);
        CHECK_EQ(span.begin, -5000);
        CHECK_EQ(span.end, 5000);
        int n = load_relaxed(&pieces);
        CHECK(n <= SP_REDUCE_PIECES);
        if (grains[g])
            CHECK(n <= 10000 / grains[g]);
    }
    sp_pool_free(pool);
}

static void a_range_may_lie_anywhere(void)
{
    static const intptr_t begins[] = {INTPTR_MIN, INTPTR_MIN + 7, -1,
                                      INTPTR_MAX - 3000};
    sp_pool *pool = new_pool(2);
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        _Atomic(int) pieces = 0;
        struct span span = {0};
        intptr_t end = begins[i] + 3000;
        CHECK_EQ(sp_parallel_reduce(pool, begins[i], end, 0, span_of, join_spans, &span,
                                    sizeof span, &pieces),
                 0);
        CHECK_EQ(span.begin, begins[i]);
        CHECK_EQ(span.end, end);
    }
    sp_pool_free(pool);
}

static void an_empty_range_gives_the_neutral_element(void)
{
    int64_t sum = 42;
    CHECK_EQ(
        sp_parallel_reduce(NULL, 3, 3, 0, add_numbers, add_int, &sum, sizeof sum, NULL),
        0);
    CHECK_EQ(sum, 42);
}

static void impossible_arguments_are_refused(void)
{
    int64_t sum = 0;
    CHECK_EQ(sp_parallel_reduce(NULL, 0, 3, -1, add_numbers, add_int, &sum, sizeof sum,
                                NULL),
             SP_EINVAL);
    CHECK_EQ(sp_parallel_reduce(NULL, -2, INTPTR_MAX, 0, add_numbers, add_int, &sum,
                                sizeof sum, NULL),
             SP_EINVAL);
    CHECK_EQ(sp_parallel_reduce(NULL, 0, 3, 0, add_numbers, add_int, &sum, SIZE_MAX / 8,
                                NULL),
             SP_EINVAL);
    CHECK_EQ(sum, 0);
}

static int fail_at_7(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)acc;
    (void)user;
    return begin <= 7 && 7 < end ? 77 : 0;
}

static void an_error_comes_back(void)
{
    int64_t sum = 0;
    sp_pool *pool = new_pool(2);
    CHECK_EQ(
        sp_parallel_reduce(pool, 0, 100, 0, fail_at_7, add_int, &sum, sizeof sum, NULL),
        77);
    sp_pool_free(pool);
}

static int touch_all(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)user;
    memset(acc, (int)(end - begin), 1000);
    return 0;
}

static void ignore(void *into, const void *from, void *user)
{
    (void)into;
    (void)from;
    (void)user;
}

static void large_accumulators_are_allocated(void)
{
    char result[1000] = {0};
    CHECK_EQ(sp_parallel_reduce(NULL, 0, 100, 0, touch_all, ignore, result,
                                sizeof result, NULL),
             0);
    if (!sp__alloc_fail_at(0, false))
        return;
    CHECK_EQ(sp_parallel_reduce(NULL, 0, 100, 0, touch_all, ignore, result,
                                sizeof result, NULL),
             SP_ENOMEM);
}

int main(void)
{
    RUN(sums_are_exact);
    RUN(the_result_does_not_depend_on_the_number_of_threads);
    RUN(pieces_are_combined_from_left_to_right);
    RUN(a_range_may_lie_anywhere);
    RUN(an_empty_range_gives_the_neutral_element);
    RUN(impossible_arguments_are_refused);
    RUN(an_error_comes_back);
    RUN(large_accumulators_are_allocated);
    return 0;
}
