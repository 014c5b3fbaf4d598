/* Compiled once per instruction set; see isa.h. */
#include "kernels/gaussian.h"
#include "kernels/isa.h"
#include "kernels/simd.h"

/* Vectors side by side in registers, each with a chain of additions of its own.
 * Along y it takes four registers, as there are two rows. */
enum {
    ACROSS_X = 4,
    ACROSS_Y = SP__VECTOR_BYTES == 64 ? 4 : 2,
    STEP_X = ACROSS_X * LANES_F32,
    STEP_Y = ACROSS_Y * LANES_F32,
};

/* What differs between the sample types. */
struct samples {
    int is_float;
    ptrdiff_t size;
    void (*widen)(const char *from, float *to, ptrdiff_t n);
    void (*narrow)(const float *from, char *to, ptrdiff_t n);
};

ALWAYS_INLINE void widen_u8(const char *from, float *to, ptrdiff_t n)
{
    const uint8_t *samples = (const uint8_t *)from;
    for (ptrdiff_t i = 0; i < n; i++)
        to[i] = samples[i];
}

ALWAYS_INLINE void narrow_u8(const float *from, char *to, ptrdiff_t n)
{
    /* Means of samples are in 0 ... 255 but for rounding: adding 0.5 and cutting
     * off the fraction rounds them. */
    uint8_t *samples = (uint8_t *)to;
    for (ptrdiff_t i = 0; i < n; i++) {
        float mean = from[i] < 255.0f ? from[i] : 255.0f;
        samples[i] = (uint8_t)(int32_t)(mean + 0.5f);
    }
}

ALWAYS_INLINE void widen_f32(const char *from, float *to, ptrdiff_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

ALWAYS_INLINE void narrow_f32(const float *from, char *to, ptrdiff_t n)
{
    memcpy(to, from, (size_t)n * sizeof *from);
}

static const struct samples u8 = {0, sizeof(uint8_t), widen_u8, narrow_u8};
static const struct samples f32 = {1, sizeof(float), widen_f32, narrow_f32};

/* One tile on its way. The ring holds rows filtered along x; row y of the image
 * is in slot (y - first_row) % ring_rows. */
struct work {
    const struct sp__gaussian_plan *plan;
    const struct sp__tile *tile;
    ptrdiff_t n;        /* samples in a row of the tile */
    const float **rows; /* those around a pair of rows of dst */
    float *padded;      /* a row of src, on its way into the ring */
    float *upper;       /* a pair of rows of dst, on their way out */
    float *lower;
    float *ring;
    ptrdiff_t ring_rows;
    ptrdiff_t first_row;
};

static float *ring_row(const struct work *work, ptrdiff_t y)
{
    ptrdiff_t slot = (y - work->first_row) % work->ring_rows;
    return work->ring + slot * work->plan->row_floats;
}

/* Set *to to pixels begin ... end-1, all of them left or right of the row. */
ALWAYS_INLINE float *pad(const struct sp__gaussian_plan *plan, const char *row,
                         ptrdiff_t begin, ptrdiff_t end, float *to, struct samples type)
{
    ptrdiff_t channels = plan->src.channels;
    for (ptrdiff_t x = begin; x < end; x++, to += channels) {
        ptrdiff_t from = sp__border_index(x, plan->src.width, plan->border);
        for (ptrdiff_t c = 0; c < channels; c++) {
            to[c] = plan->cval;
            if (from >= 0)
                type.widen(row + (from * channels + c) * type.size, to + c, 1);
        }
    }
    return to;
}

/* The part of a row that a tile looks at, as floats: its first sample that is
 * in the tile. In place, if nothing has to be converted or added. */
ALWAYS_INLINE const float *load_row(const struct work *work, const char *row,
                                    struct samples type)
{
    const struct sp__gaussian_plan *plan = work->plan;
    ptrdiff_t channels = plan->src.channels;
    ptrdiff_t begin = work->tile->x0 - plan->radius_x;
    ptrdiff_t end = work->tile->x1 + plan->radius_x;
    if (type.is_float && begin >= 0 && end <= plan->src.width && work->n % STEP_X == 0)
        return (const float *)(const void *)row + work->tile->x0 * channels;

    ptrdiff_t inside = begin > 0 ? begin : 0;
    ptrdiff_t outside = end < plan->src.width ? end : plan->src.width;

    float *to = pad(plan, row, begin, inside, work->padded, type);
    type.widen(row + inside * channels * type.size, to, (outside - inside) * channels);
    pad(plan, row, outside, end, to + (outside - inside) * channels, type);
    return work->padded + plan->radius_x * channels;
}

/* The row whose first sample in the tile is *from, filtered along x. Reads and
 * writes whole steps. */
static void filter_along_x(const struct work *work, const float *from, float *to)
{
    const struct sp__gaussian_plan *plan = work->plan;
    ptrdiff_t channels = plan->src.channels;
    const float *w = plan->weights_x;

    for (ptrdiff_t x = 0; x < work->n; x += STEP_X) {
        vf32 sum[ACROSS_X];
        for (int k = 0; k < ACROSS_X; k++)
            sum[k] = load_f32(from + x + k * LANES_F32) * w[0];
        for (ptrdiff_t j = 1; j <= plan->radius_x; j++) {
            const float *left = from + x - j * channels;
            const float *right = from + x + j * channels;
            for (int k = 0; k < ACROSS_X; k++)
                sum[k] +=
                    (load_f32(left + k * LANES_F32) + load_f32(right + k * LANES_F32)) *
                    w[j];
        }
        for (int k = 0; k < ACROSS_X; k++)
            store_f32(to + x + k * LANES_F32, sum[k]);
    }
}

/* Filter row y of the image along x and put it into the ring. */
ALWAYS_INLINE void enter_row(const struct work *work, ptrdiff_t y, struct samples type)
{
    const struct sp__gaussian_plan *plan = work->plan;
    float *to = ring_row(work, y);
    ptrdiff_t from = sp__border_index(y, plan->src.height, plan->border);
    if (from < 0) { /* a row of constants, which no filter changes */
        for (ptrdiff_t i = 0; i < plan->row_floats; i++)
            to[i] = plan->cval;
        return;
    }
    const char *row = (const char *)plan->src.data + from * plan->src.stride;
    filter_along_x(work, load_row(work, row, type), to);
}

/*
 * Two adjacent rows, filtered along y: upper is for the rows around rows[r],
 * lower for those around rows[r + 1]. At distance j the upper one needs rows
 * r-j and r+j, the lower one r+1-j and r+1+j: two of the four were loaded for
 * distance j-1. Reads and writes whole steps.
 */
static void filter_along_y(const struct work *work, float *upper, float *lower)
{
    const float *const *rows = work->rows;
    const float *w = work->plan->weights_y;
    ptrdiff_t r = work->plan->radius_y;

    for (ptrdiff_t x = 0; x < work->n; x += STEP_Y) {
        vf32 above[ACROSS_Y], below[ACROSS_Y], up[ACROSS_Y], low[ACROSS_Y];
        for (int k = 0; k < ACROSS_Y; k++) {
            above[k] = load_f32(rows[r] + x + k * LANES_F32);
            below[k] = load_f32(rows[r + 1] + x + k * LANES_F32);
            up[k] = above[k] * w[0];
            low[k] = below[k] * w[0];
        }
        for (ptrdiff_t j = 1; j <= r; j++) {
            for (int k = 0; k < ACROSS_Y; k++) {
                vf32 next_above = load_f32(rows[r - j] + x + k * LANES_F32);
                vf32 next_below = load_f32(rows[r + 1 + j] + x + k * LANES_F32);
                up[k] += (next_above + below[k]) * w[j];
                low[k] += (above[k] + next_below) * w[j];
                above[k] = next_above;
                below[k] = next_below;
            }
        }
        for (int k = 0; k < ACROSS_Y; k++) {
            store_f32(upper + x + k * LANES_F32, up[k]);
            store_f32(lower + x + k * LANES_F32, low[k]);
        }
    }
}

/* Rows y and, when it is in the tile, y + 1 of dst, from work->rows. */
ALWAYS_INLINE void leave_rows(const struct work *work, ptrdiff_t y, struct samples type)
{
    const sp_image *dst = &work->plan->dst;
    int has_lower = y + 1 < work->tile->y1;
    char *to = (char *)dst->data + y * dst->stride +
               work->tile->x0 * dst->channels * type.size;

    if (type.is_float && has_lower && work->n % STEP_Y == 0) {
        filter_along_y(work, (float *)(void *)to, (float *)(void *)(to + dst->stride));
        return;
    }
    filter_along_y(work, work->upper, work->lower);
    type.narrow(work->upper, to, work->n);
    if (has_lower)
        type.narrow(work->lower, to + dst->stride, work->n);
}

ALWAYS_INLINE void compute_tile(const struct sp__gaussian_plan *plan,
                                const struct sp__tile *tile, void *scratch,
                                struct samples type)
{
    ptrdiff_t r = plan->radius_y;
    struct work work = {
        .plan = plan,
        .tile = tile,
        .n = (tile->x1 - tile->x0) * plan->src.channels,
        .ring_rows = 2 * r + 2,
        .first_row = tile->y0 - r,
    };
    work.ring = scratch;
    work.upper = work.ring + work.ring_rows * plan->row_floats;
    work.lower = work.upper + plan->row_floats;
    work.padded = work.lower + plan->row_floats;
    work.rows = (const float **)(void *)(work.padded + plan->padded_floats);

    ptrdiff_t next = work.first_row;
    for (ptrdiff_t y = tile->y0; y < tile->y1; y += 2) {
        for (; next <= y + 1 + r; next++)
            enter_row(&work, next, type);
        for (ptrdiff_t j = 0; j < work.ring_rows; j++)
            work.rows[j] = ring_row(&work, y - r + j);
        leave_rows(&work, y, type);
    }
}

static void tile_u8(const struct sp__gaussian_plan *plan, const struct sp__tile *tile,
                    void *scratch)
{
    compute_tile(plan, tile, scratch, u8);
}

static void tile_f32(const struct sp__gaussian_plan *plan, const struct sp__tile *tile,
                     void *scratch)
{
    compute_tile(plan, tile, scratch, f32);
}

const struct sp__gaussian_table SP__ISA_NAME(sp__gaussian) = {
    .tile_u8 = tile_u8,
    .tile_f32 = tile_f32,
};
