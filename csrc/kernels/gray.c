#include "kernels/dispatch.h"
#include "kernels/image.h"

/* Pixels that are worth handing to another thread. */
#define GRAIN_PIXELS 32768

struct conversion {
    const struct sp__gray_table *table;
    sp_image src;
    sp_image dst;
};

static const void *row_at(const sp_image *image, intptr_t y)
{
    return (const char *)image->data + y * image->stride;
}

static int convert_rows_u8(intptr_t begin, intptr_t end, void *user)
{
    const struct conversion *c = user;
    for (intptr_t y = begin; y < end; y++)
        c->table->row_u8(row_at(&c->src, y), (uint8_t *)c->dst.data + y * c->dst.stride,
                         (size_t)c->src.width, (int)c->src.channels);
    return 0;
}

static int convert_rows_f32(intptr_t begin, intptr_t end, void *user)
{
    const struct conversion *c = user;
    for (intptr_t y = begin; y < end; y++)
        c->table->row_f32(row_at(&c->src, y),
                          (void *)((char *)c->dst.data + y * c->dst.stride),
                          (size_t)c->src.width, (int)c->src.channels);
    return 0;
}

static int convert(sp_pool *pool, const sp_image *src, const sp_image *dst,
                   size_t sample_size, sp_range_fn rows)
{
    if (!src || !dst || !sp__image_is_valid(src, sample_size) ||
        !sp__image_is_valid(dst, sample_size))
        return SP_EINVAL;
    if ((src->channels != 3 && src->channels != 4) || dst->channels != 1 ||
        src->height != dst->height || src->width != dst->width ||
        sp__images_overlap(src, dst, sample_size))
        return SP_EINVAL;
    if (sp__image_is_empty(src))
        return SP_OK;

    struct conversion c = {sp__kernels()->gray, *src, *dst};
    intptr_t grain = GRAIN_PIXELS / src->width + 1;
    return sp_parallel_for(pool, 0, src->height, grain, rows, &c);
}

int sp_rgb_to_gray_u8(sp_pool *pool, const sp_image *src, const sp_image *dst)
{
    return convert(pool, src, dst, sizeof(uint8_t), convert_rows_u8);
}

int sp_rgb_to_gray_f32(sp_pool *pool, const sp_image *src, const sp_image *dst)
{
    return convert(pool, src, dst, sizeof(float), convert_rows_f32);
}
