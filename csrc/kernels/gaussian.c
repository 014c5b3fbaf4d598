#include "kernels/gaussian.h"

#include <math.h>

#include "base/memory.h"
#include "kernels/dispatch.h"

/* The ring of a tile is small enough for the caches, unless that makes it too
 * narrow. */
enum { RING_BYTES = 64 * 1024, MIN_TILE_SAMPLES = 256, MAX_TILE_SAMPLES = 4096 };

/* A tile is this many radii high: so much less is computed twice. */
enum { MIN_TILE_HEIGHT = 64, TILE_HEIGHT_RADII = 16 };

/* A cache line of samples. */
enum { LINE_FLOATS = 16 };

struct blur {
    struct sp__gaussian_plan plan;
    void (*tile)(const struct sp__gaussian_plan *, const struct sp__tile *, void *);
};

static ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

static ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b)
{
    return a < b ? a : b;
}

static ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b)
{
    return a > b ? a : b;
}

/* The radius along one axis, or -1 when an option is out of range. */
static ptrdiff_t radius_of(double sigma, int64_t radius, double truncate)
{
    if (!(sigma >= 0) || !isfinite(sigma))
        return -1;
    if (sigma == 0)
        return 0;
    if (radius < 0) {
        double reach = truncate * sigma + 0.5;
        if (!(truncate >= 0) || !(reach <= SP_MAX_RADIUS))
            return -1;
        radius = (int64_t)reach;
    }
    return radius <= SP_MAX_RADIUS ? (ptrdiff_t)radius : -1;
}

static double bell(double x)
{
    return exp(-0.5 * x * x);
}

/* weights[j] for the distances 0 ... radius. */
static void set_weights(float *weights, double sigma, ptrdiff_t radius)
{
    double total = 1;
    for (ptrdiff_t j = 1; j <= radius; j++)
        total += 2 * bell((double)j / sigma);
    double rest = 1;
    for (ptrdiff_t j = 1; j <= radius; j++) {
        weights[j] = (float)(bell((double)j / sigma) / total);
        rest -= 2 * (double)weights[j];
    }
    weights[0] = (float)rest; /* rounding moved nothing out of the sum */
}

/* Cut the image into tiles, and lay out the memory of one. */
static void set_tiles(struct sp__gaussian_plan *plan)
{
    ptrdiff_t ring_rows = 2 * plan->radius_y + 2;
    ptrdiff_t channels = plan->src.channels;
    ptrdiff_t samples = RING_BYTES / (ptrdiff_t)sizeof(float) / ring_rows;
    samples = larger(MIN_TILE_SAMPLES, smaller(samples, MAX_TILE_SAMPLES));

    /* Whole steps, but for the last tile of a row. */
    ptrdiff_t width = round_up(larger(samples / channels, 1), SP__ROW_ALIGN);
    plan->tile_width = smaller(width, plan->src.width);
    plan->tile_height = larger(MIN_TILE_HEIGHT, TILE_HEIGHT_RADII * plan->radius_y);
    plan->tile_height = smaller(plan->tile_height, plan->src.height);
    plan->tiles_across = (plan->src.width + width - 1) / width;

    /* Odd numbers of cache lines: rows 4096 bytes apart would share a set. */
    plan->row_floats =
        round_up(plan->tile_width * channels, SP__ROW_ALIGN) + LINE_FLOATS;
    plan->padded_floats = plan->row_floats + 2 * plan->radius_x * channels;
    plan->padded_floats = round_up(plan->padded_floats, LINE_FLOATS);
    ptrdiff_t floats = (ring_rows + 2) * plan->row_floats + plan->padded_floats;
    plan->scratch_size =
        (size_t)floats * sizeof(float) + (size_t)ring_rows * sizeof(float *);
}

static int compute_tiles(intptr_t begin, intptr_t end, void *user)
{
    const struct blur *blur = user;
    const struct sp__gaussian_plan *plan = &blur->plan;
    void *scratch = sp__alloc(plan->scratch_size);
    if (!scratch)
        return SP_ENOMEM;
    for (intptr_t i = begin; i < end; i++) {
        ptrdiff_t y = i / plan->tiles_across * plan->tile_height;
        ptrdiff_t x = i % plan->tiles_across * plan->tile_width;
        struct sp__tile tile = {
            .y0 = y,
            .y1 = smaller(y + plan->tile_height, plan->dst.height),
            .x0 = x,
            .x1 = smaller(x + plan->tile_width, plan->dst.width),
        };
        blur->tile(plan, &tile, scratch);
    }
    sp__free(scratch);
    return 0;
}

/* A constant must be a possible sample. */
static int is_border_valid(const sp_gaussian *options, size_t sample_size)
{
    if (options->border == SP_BORDER_CONSTANT && sample_size == sizeof(uint8_t))
        return options->cval >= 0 && options->cval <= 255;
    return (unsigned)options->border <= SP_BORDER_WRAP;
}

static int is_valid(const sp_image *src, const sp_image *dst,
                    const sp_gaussian *options, size_t sample_size)
{
    return src && dst && options && is_border_valid(options, sample_size) &&
           sp__image_is_valid(src, sample_size) &&
           sp__image_is_valid(dst, sample_size) && src->height == dst->height &&
           src->width == dst->width && src->channels == dst->channels &&
           !sp__images_overlap(src, dst, sample_size);
}

static int filter(sp_pool *pool, struct blur *blur, const sp_gaussian *options)
{
    struct sp__gaussian_plan *plan = &blur->plan;
    size_t n_y = (size_t)plan->radius_y + 1;
    size_t n_x = (size_t)plan->radius_x + 1;
    float *weights = sp__alloc((n_y + n_x) * sizeof *weights);
    if (!weights)
        return SP_ENOMEM;
    set_weights(weights, options->sigma_y, plan->radius_y);
    set_weights(weights + n_y, options->sigma_x, plan->radius_x);
    plan->weights_y = weights;
    plan->weights_x = weights + n_y;
    set_tiles(plan);

    ptrdiff_t tiles_down =
        (plan->dst.height + plan->tile_height - 1) / plan->tile_height;
    int code = sp_parallel_for(pool, 0, tiles_down * plan->tiles_across, 1,
                               compute_tiles, blur);
    sp__free(weights);
    return code;
}

static int check_and_filter(sp_pool *pool, const sp_image *src, const sp_image *dst,
                            const sp_gaussian *options, size_t sample_size)
{
    if (!is_valid(src, dst, options, sample_size))
        return SP_EINVAL;
    const struct sp__gaussian_table *table = sp__kernels()->gaussian;
    struct blur blur = {
        .plan =
            {
                .src = *src,
                .dst = *dst,
                .radius_y =
                    radius_of(options->sigma_y, options->radius_y, options->truncate),
                .radius_x =
                    radius_of(options->sigma_x, options->radius_x, options->truncate),
                .border = options->border,
                .cval = (float)options->cval,
            },
        .tile = sample_size == 1 ? table->tile_u8 : table->tile_f32,
    };
    if (blur.plan.radius_y < 0 || blur.plan.radius_x < 0)
        return SP_EINVAL;
    if (sp__image_is_empty(src))
        return SP_OK;
    return filter(pool, &blur, options);
}

int sp_gaussian_filter_u8(sp_pool *pool, const sp_image *src, const sp_image *dst,
                          const sp_gaussian *options)
{
    return check_and_filter(pool, src, dst, options, sizeof(uint8_t));
}

int sp_gaussian_filter_f32(sp_pool *pool, const sp_image *src, const sp_image *dst,
                           const sp_gaussian *options)
{
    return check_and_filter(pool, src, dst, options, sizeof(float));
}
