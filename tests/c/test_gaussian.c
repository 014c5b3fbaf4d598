#include <math.h>

#include "base/memory.h"
#include "check.h"
#include "kernels/dispatch.h"
#include "kernels/image.h"

enum { MAX_SAMPLES = 64 * 1024 };

static float src_f32[MAX_SAMPLES], dst_f32[MAX_SAMPLES];
static uint8_t src_u8[MAX_SAMPLES], dst_u8[MAX_SAMPLES];
static double along_x[MAX_SAMPLES], expected[MAX_SAMPLES];

static void fill_sources(void)
{
    uint32_t state = 1;
    for (int i = 0; i < MAX_SAMPLES; i++) {
        state = state * 1664525u + 1013904223u;
        src_u8[i] = (uint8_t)(state >> 24);
        src_f32[i] = src_u8[i];
    }
}

/* One axis, from the definition. The axis has n places `step` samples apart. */
static double weighted_mean(const double *at, ptrdiff_t i, ptrdiff_t n, ptrdiff_t step,
                            double sigma, ptrdiff_t radius, const sp_gaussian *options)
{
    double sum = 0, total = 0;
    for (ptrdiff_t j = -radius; j <= radius; j++) {
        ptrdiff_t from = sp__border_index(i + j, n, options->border);
        double weight = sigma > 0 ? exp(-0.5 * (double)(j * j) / (sigma * sigma)) : 1;
        sum += weight * (from < 0 ? options->cval : at[(from - i) * step]);
        total += weight;
    }
    return sum / total;
}

static ptrdiff_t radius_of(double sigma, int64_t radius, double truncate)
{
    if (sigma == 0)
        return 0;
    return radius >= 0 ? (ptrdiff_t)radius : (ptrdiff_t)(truncate * sigma + 0.5);
}

static void filter_by_definition(sp_image shape, const sp_gaussian *options)
{
    static double source[MAX_SAMPLES];
    ptrdiff_t row = shape.width * shape.channels, n = shape.height * row;
    ptrdiff_t ry = radius_of(options->sigma_y, options->radius_y, options->truncate);
    ptrdiff_t rx = radius_of(options->sigma_x, options->radius_x, options->truncate);
    for (ptrdiff_t i = 0; i < n; i++)
        source[i] = src_u8[i];
    for (ptrdiff_t i = 0; i < n; i++)
        along_x[i] = weighted_mean(source + i, i % row / shape.channels, shape.width,
                                   shape.channels, options->sigma_x, rx, options);
    for (ptrdiff_t i = 0; i < n; i++)
        expected[i] = weighted_mean(along_x + i, i / row, shape.height, row,
                                    options->sigma_y, ry, options);
}

static sp_image image_of(void *data, sp_image shape, ptrdiff_t sample_size)
{
    shape.data = data;
    shape.stride = shape.width * shape.channels * sample_size;
    return shape;
}

static void check_filter(ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
                         const sp_gaussian *options)
{
    sp_image shape = {NULL, 0, height, width, channels};
    sp_image from_f32 = image_of(src_f32, shape, 4),
             to_f32 = image_of(dst_f32, shape, 4);
    sp_image from_u8 = image_of(src_u8, shape, 1), to_u8 = image_of(dst_u8, shape, 1);
    ptrdiff_t n = height * width * channels;
    CHECK(n < MAX_SAMPLES);

    filter_by_definition(shape, options);
    dst_u8[n] = 99;
    dst_f32[n] = 99;
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &from_f32, &to_f32, options), SP_OK);
    CHECK_EQ(sp_gaussian_filter_u8(NULL, &from_u8, &to_u8, options), SP_OK);
    CHECK_EQ(dst_u8[n], 99);
    CHECK(dst_f32[n] == 99);
    for (ptrdiff_t i = 0; i < n; i++) {
        CHECK(fabs(dst_f32[i] - expected[i]) <= 1.5e-4,
              "%s: sample %td of %td x %td x %td, border %d: %g, not %g", sp_isa(), i,
              height, width, channels, (int)options->border, dst_f32[i], expected[i]);
        CHECK(fabs(dst_u8[i] - expected[i]) <= 0.5002,
              "%s: sample %td of %td x %td x %td, border %d: %d, not %g", sp_isa(), i,
              height, width, channels, (int)options->border, dst_u8[i], expected[i]);
    }
}

static const ptrdiff_t shapes[][3] = {
    {1, 1, 1},   {1, 9, 1},    {9, 1, 1},   {3, 3, 1},  {2, 5, 3},
    {17, 40, 1}, {40, 131, 3}, {19, 33, 4}, {4, 3, 70}, {140, 70, 1},
};

static void images_of_all_shapes_and_borders_follow_the_definition(void)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int border = SP_BORDER_REFLECT; border <= SP_BORDER_WRAP; border++) {
            sp_gaussian options = SP_GAUSSIAN(1.2);
            options.border = (sp_border)border;
            options.cval = 41;
            check_filter(shapes[i][0], shapes[i][1], shapes[i][2], &options);
            options.sigma_y = 4; /* radius 16: larger than most of the shapes */
            check_filter(shapes[i][0], shapes[i][1], shapes[i][2], &options);
        }
    }
}

static void wide_images_are_put_together_from_tiles(void)
{
    sp_gaussian options = SP_GAUSSIAN(2.0);
    check_filter(9, 5003, 1, &options);
    check_filter(9, 2100, 3, &options);
    check_filter(501, 130, 1, &options);
}

static void each_axis_has_its_own_sigma_and_radius(void)
{
    sp_gaussian options = SP_GAUSSIAN(0.0);
    check_filter(20, 30, 1, &options);
    options.sigma_x = 1.5;
    check_filter(20, 30, 1, &options);
    options.sigma_y = 3;
    options.sigma_x = 0;
    check_filter(20, 30, 1, &options);
    options.radius_y = 2;
    options.sigma_x = 2;
    options.radius_x = 0;
    check_filter(20, 30, 1, &options);
    options.radius_x = 9;
    check_filter(20, 30, 1, &options);
    options.truncate = 0;
    options.radius_y = -1;
    check_filter(20, 30, 1, &options);
}

static void a_constant_image_stays_as_it_is(void)
{
    static uint8_t white[64 * 64], out[64 * 64];
    memset(white, 255, sizeof white);
    sp_image from = {white, 64, 64, 64, 1}, to = {out, 64, 64, 64, 1};
    for (double sigma = 0; sigma < 20; sigma += 0.7) {
        sp_gaussian options = SP_GAUSSIAN(sigma);
        CHECK_EQ(sp_gaussian_filter_u8(NULL, &from, &to, &options), SP_OK);
        CHECK(memcmp(white, out, sizeof out) == 0, "sigma %g", sigma);
    }
}

static void strides_may_be_wide_or_negative(void)
{
    enum { H = 21, W = 33, GAP = 7 };
    static float dense[H * W], flipped[H * (W + GAP)];
    sp_gaussian options = SP_GAUSSIAN(1.0);
    sp_image from = {src_f32, W * 4, H, W, 1}, to = {dense, W * 4, H, W, 1};
    sp_image gaps = {flipped + (H - 1) * (W + GAP), -(W + GAP) * 4, H, W, 1};
    for (int i = 0; i < H * (W + GAP); i++)
        flipped[i] = -1;
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &from, &to, &options), SP_OK);
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &from, &gaps, &options), SP_OK);
    for (int y = 0; y < H; y++) {
        const float *row = flipped + (H - 1 - y) * (W + GAP);
        CHECK(memcmp(row, dense + y * W, W * 4) == 0, "row %d", y);
        for (int x = W; x < W + GAP; x++)
            CHECK(row[x] == -1, "the gap of row %d was written", y);
    }
}

static void the_number_of_threads_changes_no_bit(void)
{
    enum { H = 300, W = 200 };
    static float alone[H * W], together[H * W];
    sp_gaussian options = SP_GAUSSIAN(3.0);
    sp_image from = {src_f32, W * 4, H, W, 1};
    sp_image one = {alone, W * 4, H, W, 1}, other = {together, W * 4, H, W, 1};
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &from, &one, &options), SP_OK);
    for (uint32_t workers = 1; workers <= 4; workers++) {
        sp_pool *pool;
        sp_pool_options pool_options = {.workers = workers};
        CHECK_EQ(sp_pool_create(&pool, &pool_options), SP_OK);
        memset(together, 0, sizeof together);
        CHECK_EQ(sp_gaussian_filter_f32(pool, &from, &other, &options), SP_OK);
        CHECK(memcmp(alone, together, sizeof alone) == 0, "%u workers", workers);
        sp_pool_free(pool);
    }
}

static int filter_with(sp_gaussian options)
{
    sp_image from = {src_f32, 40, 10, 10, 1}, to = {dst_f32, 40, 10, 10, 1};
    return sp_gaussian_filter_f32(NULL, &from, &to, &options);
}

static void wrong_options_are_refused(void)
{
    const sp_gaussian good = SP_GAUSSIAN(1.0);
    sp_gaussian bad = good;
    CHECK_EQ(filter_with(good), SP_OK);
    bad.sigma_x = -1;
    CHECK_EQ(filter_with(bad), SP_EINVAL);
    bad.sigma_x = NAN;
    CHECK_EQ(filter_with(bad), SP_EINVAL);
    bad.sigma_x = INFINITY;
    CHECK_EQ(filter_with(bad), SP_EINVAL);
    bad = good;
    bad.truncate = -1;
    CHECK_EQ(filter_with(bad), SP_EINVAL);
    bad.truncate = 1e9;
    CHECK_EQ(filter_with(bad), SP_EINVAL);
    bad = good;
    bad.radius_y = SP_MAX_RADIUS + 1;
    CHECK_EQ(filter_with(bad), SP_EINVAL);
    bad = good;
    bad.border = (sp_border)5;
    CHECK_EQ(filter_with(bad), SP_EINVAL);
}

static void the_constant_of_a_u8_image_is_a_u8(void)
{
    static const double refused[] = {-1, 255.5, NAN, INFINITY};
    sp_image from = {src_u8, 10, 10, 10, 1}, to = {dst_u8, 10, 10, 10, 1};
    sp_gaussian options = SP_GAUSSIAN(1.0);
    options.border = SP_BORDER_CONSTANT;
    options.cval = 255;
    CHECK_EQ(sp_gaussian_filter_u8(NULL, &from, &to, &options), SP_OK);
    for (int i = 0; i < 4; i++) {
        options.cval = refused[i];
        CHECK_EQ(sp_gaussian_filter_u8(NULL, &from, &to, &options), SP_EINVAL);
    }
    CHECK_EQ(filter_with(options), SP_OK);
}

static void wrong_images_are_refused_and_empty_ones_are_not(void)
{
    sp_gaussian options = SP_GAUSSIAN(1.0);
    sp_image from = {src_f32, 40, 10, 10, 1}, to = {dst_f32, 40, 10, 10, 1};
    sp_image other_shape = {dst_f32, 40, 9, 10, 1};
    sp_image overlapping = {src_f32 + 99, 40, 10, 10, 1};
    sp_image empty = {NULL, 0, 0, 10, 1};
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &from, &other_shape, &options), SP_EINVAL);
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &from, &overlapping, &options), SP_EINVAL);
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &from, &from, &options), SP_EINVAL);
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &from, &to, NULL), SP_EINVAL);
    CHECK_EQ(sp_gaussian_filter_f32(NULL, NULL, &to, &options), SP_EINVAL);
    CHECK_EQ(sp_gaussian_filter_f32(NULL, &empty, &empty, &options), SP_OK);
}

#ifndef NDEBUG
static void a_failed_allocation_is_reported(void)
{
    for (int n = 0; n < 2; n++) { /* the weights, the first tile */
        sp__alloc_fail_at(n, 1);
        CHECK_EQ(filter_with((sp_gaussian)SP_GAUSSIAN(1.0)), SP_ENOMEM);
    }
    sp__alloc_fail_at(-1, 0);
    CHECK_EQ(filter_with((sp_gaussian)SP_GAUSSIAN(1.0)), SP_OK);
}
#endif

int main(void)
{
    static const char *const levels[] = {"baseline", "v3", "v4"};
    fill_sources();
    for (int i = 0; i < 3; i++) {
        if (sp__kernels_use(levels[i]) != SP_OK)
            continue;
        printf("%s\n", sp_isa());
        RUN(images_of_all_shapes_and_borders_follow_the_definition);
        RUN(wide_images_are_put_together_from_tiles);
        RUN(each_axis_has_its_own_sigma_and_radius);
        RUN(a_constant_image_stays_as_it_is);
        RUN(strides_may_be_wide_or_negative);
        RUN(the_number_of_threads_changes_no_bit);
    }
    RUN(wrong_options_are_refused);
    RUN(the_constant_of_a_u8_image_is_a_u8);
    RUN(wrong_images_are_refused_and_empty_ones_are_not);
#ifndef NDEBUG
    RUN(a_failed_allocation_is_reported);
#endif
    return 0;
}
