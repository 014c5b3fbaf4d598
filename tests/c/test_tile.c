/* sp_parallel_tiles(): tiles cover the image once, and see their surroundings. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "check.h"
#include "kernels/image.h"
#include "stealpool.h"
#include "stealpool_kernels.h"

enum { HEIGHT = 37, WIDTH = 53, CHANNELS = 2, SIZE = HEIGHT * WIDTH * CHANNELS };

static uint16_t source[SIZE];
static int32_t result[SIZE];

static sp_view source_view(void)
{
    return (sp_view){source, WIDTH * CHANNELS * sizeof source[0], HEIGHT, WIDTH,
                     CHANNELS};
}

static sp_view result_view(void)
{
    return (sp_view){result, WIDTH * CHANNELS * sizeof result[0], HEIGHT, WIDTH,
                     CHANNELS};
}

static sp_tiling tiling_of(ptrdiff_t halo_y, ptrdiff_t halo_x, sp_border border)
{
    return (sp_tiling){.halo_y = halo_y,
                       .halo_x = halo_x,
                       .border = border,
                       .src_item = sizeof source[0],
                       .dst_item = sizeof result[0]};
}

struct halo {
    ptrdiff_t y, x;
};

/* A weighted sum of the neighbours, in which each place counts differently; added,
 * so that a pixel that is done twice shows. */
static int weigh(const sp_view *src, sp_view *dst, const sp_rect *tile, void *user)
{
    const struct halo *halo = user;
    if (src->height != tile->height + 2 * halo->y ||
        src->width != tile->width + 2 * halo->x || dst->height != tile->height ||
        dst->width != tile->width)
        return sp_fail(1, "the views do not fit the tile");
    for (ptrdiff_t y = 0; y < dst->height; y++)
        for (ptrdiff_t x = 0; x < dst->width; x++)
            for (ptrdiff_t c = 0; c < CHANNELS; c++) {
                int32_t sum = 0;
                for (ptrdiff_t j = 0; j <= 2 * halo->y; j++)
                    for (ptrdiff_t i = 0; i <= 2 * halo->x; i++) {
                        const uint16_t *row =
                            (const uint16_t *)((const char *)src->data +
                                               (y + j) * src->stride);
                        sum += (int32_t)(1 + 3 * j + i) * row[(x + i) * CHANNELS + c];
                    }
                int32_t *to = (int32_t *)((char *)dst->data + y * dst->stride);
                to[x * CHANNELS + c] += sum;
            }
    return 0;
}

static int32_t expected_at(ptrdiff_t y, ptrdiff_t x, ptrdiff_t c, struct halo halo,
                           sp_border border, uint16_t fill)
{
    int32_t sum = 0;
    for (ptrdiff_t j = 0; j <= 2 * halo.y; j++)
        for (ptrdiff_t i = 0; i <= 2 * halo.x; i++) {
            ptrdiff_t from_y = sp__border_index(y + j - halo.y, HEIGHT, border);
            ptrdiff_t from_x = sp__border_index(x + i - halo.x, WIDTH, border);
            int32_t value = from_y < 0 || from_x < 0
                                ? fill
                                : source[(from_y * WIDTH + from_x) * CHANNELS + c];
            sum += (int32_t)(1 + 3 * j + i) * value;
        }
    return sum;
}

static void check_tiling(sp_pool *pool, sp_tiling tiling, uint16_t fill)
{
    sp_view src = source_view(), dst = result_view();
    struct halo halo = {tiling.halo_y, tiling.halo_x};
    memset(result, 0, sizeof result);
    CHECK_EQ(sp_parallel_tiles(pool, &src, &dst, &tiling, weigh, &halo), 0);
    for (ptrdiff_t y = 0; y < HEIGHT; y++)
        for (ptrdiff_t x = 0; x < WIDTH; x++)
            for (ptrdiff_t c = 0; c < CHANNELS; c++)
                CHECK_EQ(result[(y * WIDTH + x) * CHANNELS + c],
                         expected_at(y, x, c, halo, tiling.border, fill),
                         "(%ld, %ld, %ld), halo %ld, %ld, border %d", (long)y, (long)x,
                         (long)c, (long)halo.y, (long)halo.x, (int)tiling.border);
}

static void fill_source(void)
{
    for (int i = 0; i < SIZE; i++)
        source[i] = (uint16_t)(i * 7919u % 251u);
}

static void every_border_is_right_at_any_halo(void)
{
    fill_source();
    for (sp_border border = SP_BORDER_REFLECT; border <= SP_BORDER_WRAP; border++)
        for (ptrdiff_t halo_y = 0; halo_y <= 2; halo_y++)
            for (ptrdiff_t halo_x = 0; halo_x <= 2; halo_x += 2)
                check_tiling(NULL, tiling_of(halo_y, halo_x, border), 0);
}

static void results_do_not_depend_on_the_tiles(void)
{
    fill_source();
    for (ptrdiff_t height = 1; height <= HEIGHT + 5; height += 7)
        for (ptrdiff_t width = 1; width <= WIDTH + 5; width += 11) {
            sp_tiling tiling = tiling_of(1, 1, SP_BORDER_MIRROR);
            tiling.tile_height = height;
            tiling.tile_width = width;
            check_tiling(NULL, tiling, 0);
        }
}

static void tiles_are_shared_among_threads(void)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = 3};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    fill_source();
    for (int i = 0; i < 20; i++) {
        sp_tiling tiling = tiling_of(2, 2, SP_BORDER_REFLECT);
        tiling.tile_height = tiling.tile_width = 3 + i % 5;
        check_tiling(pool, tiling, 0);
    }
    sp_pool_free(pool);
}

static void the_constant_is_the_callers(void)
{
    fill_source();
    sp_tiling tiling = tiling_of(2, 2, SP_BORDER_CONSTANT);
    uint16_t fill = 999;
    tiling.fill = &fill;
    check_tiling(NULL, tiling, fill);
}

static void a_halo_may_be_larger_than_the_image(void)
{
    uint16_t two[2] = {3, 5};
    int32_t to[2] = {0};
    sp_view src = {two, sizeof two, 1, 1, 2}, dst = {to, sizeof to, 1, 1, 2};
    sp_tiling tiling = tiling_of(4, 4, SP_BORDER_NEAREST);
    struct halo halo = {4, 4};
    CHECK_EQ(sp_parallel_tiles(NULL, &src, &dst, &tiling, weigh, &halo), 0);
    int32_t weights = 0;
    for (int j = 0; j < 9; j++)
        for (int i = 0; i < 9; i++)
            weights += 1 + 3 * j + i;
    CHECK_EQ(to[0], 3 * weights);
    CHECK_EQ(to[1], 5 * weights);
}

static void an_empty_image_has_no_tiles(void)
{
    sp_view src = source_view(), dst = result_view();
    src.height = dst.height = 0;
    sp_tiling tiling = tiling_of(1, 1, SP_BORDER_WRAP);
    struct halo wrong = {9, 9}; /* a call would fail */
    CHECK_EQ(sp_parallel_tiles(NULL, &src, &dst, &tiling, weigh, &wrong), 0);
}

static void a_tile_that_fails_ends_the_job_with_its_words(void)
{
    sp_view src = source_view(), dst = result_view();
    sp_tiling tiling = tiling_of(1, 1, SP_BORDER_WRAP);
    struct halo wrong = {2, 2};
    CHECK_EQ(sp_parallel_tiles(NULL, &src, &dst, &tiling, weigh, &wrong), 1);
    CHECK(!strcmp(sp_take_failure(), "the views do not fit the tile"));
}

static void without_memory_for_a_halo_the_job_ends(void)
{
    sp_view src = source_view(), dst = result_view();
    sp_tiling tiling = tiling_of(1, 1, SP_BORDER_WRAP);
    struct halo halo = {1, 1};
    if (!sp__alloc_fail_at(0, true))
        return;
    int code = sp_parallel_tiles(NULL, &src, &dst, &tiling, weigh, &halo);
    sp__alloc_fail_at(-1, false);
    CHECK_EQ(code, SP_ENOMEM);
    CHECK(!strcmp(sp_take_failure(), "no memory for a tile and its halo"));
    CHECK_EQ(sp_parallel_tiles(NULL, &src, &dst, &tiling, weigh, &halo), 0);
}

static int tile_code(sp_view src, sp_view dst, sp_tiling tiling)
{
    struct halo halo = {tiling.halo_y, tiling.halo_x};
    return sp_parallel_tiles(NULL, &src, &dst, &tiling, weigh, &halo);
}

static void what_is_out_of_range_is_refused(void)
{
    sp_view src = source_view(), dst = result_view(), other = dst;
    other.width--;
    sp_tiling good = tiling_of(1, 1, SP_BORDER_WRAP), bad = good;
    CHECK_EQ(tile_code(src, dst, good), 0);
    CHECK_EQ(tile_code(src, other, good), SP_EINVAL);
    bad.halo_y = -1;
    CHECK_EQ(tile_code(src, dst, bad), SP_EINVAL);
    bad = good;
    bad.tile_width = SP_MAX_HALO + 1;
    CHECK_EQ(tile_code(src, dst, bad), SP_EINVAL);
    bad = good;
    bad.border = (sp_border)9;
    CHECK_EQ(tile_code(src, dst, bad), SP_EINVAL);
    bad = good;
    bad.src_item = 0;
    CHECK_EQ(tile_code(src, dst, bad), SP_EINVAL);
    CHECK_EQ(sp_parallel_tiles(NULL, &src, &dst, NULL, weigh, NULL), SP_EINVAL);
}

int main(void)
{
    RUN(every_border_is_right_at_any_halo);
    RUN(results_do_not_depend_on_the_tiles);
    RUN(tiles_are_shared_among_threads);
    RUN(the_constant_is_the_callers);
    RUN(a_halo_may_be_larger_than_the_image);
    RUN(an_empty_image_has_no_tiles);
    RUN(a_tile_that_fails_ends_the_job_with_its_words);
    RUN(without_memory_for_a_halo_the_job_ends);
    RUN(what_is_out_of_range_is_refused);
    return 0;
}
