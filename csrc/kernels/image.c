#include "kernels/image.h"

#include <stdint.h>

/* The bytes that an image spans; size 0 when it is empty. */
struct span {
    uintptr_t begin;
    uintptr_t end;
};

static struct span span_of(const sp_image *image, size_t sample_size)
{
    uintptr_t first_row = (uintptr_t)image->data;
    struct span span = {first_row, first_row};
    if (sp__image_is_empty(image))
        return span;
    uintptr_t last_row = first_row + (uintptr_t)((image->height - 1) * image->stride);
    uintptr_t row_bytes = (uintptr_t)(image->width * image->channels) * sample_size;
    span.begin = first_row < last_row ? first_row : last_row;
    span.end = (first_row < last_row ? last_row : first_row) + row_bytes;
    return span;
}

int sp__image_is_valid(const sp_image *image, size_t sample_size)
{
    if (image->height < 0 || image->width < 0 || image->channels < 0)
        return 0;
    if (sp__image_is_empty(image))
        return 1;

    ptrdiff_t row_bytes, extent;
    if (!image->data || (uintptr_t)image->data % sample_size != 0 ||
        image->stride % (ptrdiff_t)sample_size != 0)
        return 0;
    if (__builtin_mul_overflow(image->width, image->channels, &row_bytes) ||
        __builtin_mul_overflow(row_bytes, (ptrdiff_t)sample_size, &row_bytes) ||
        __builtin_mul_overflow(image->height, image->stride, &extent))
        return 0;
    return image->height == 1 || image->stride >= row_bytes ||
           image->stride <= -row_bytes;
}

int sp__images_overlap(const sp_image *a, const sp_image *b, size_t sample_size)
{
    struct span one = span_of(a, sample_size);
    struct span other = span_of(b, sample_size);
    return one.begin < other.end && other.begin < one.end;
}

/* The remainder that is never negative. */
static ptrdiff_t modulo(ptrdiff_t i, ptrdiff_t n)
{
    ptrdiff_t rest = i % n;
    return rest < 0 ? rest + n : rest;
}

ptrdiff_t sp__border_index(ptrdiff_t i, ptrdiff_t n, sp_border border)
{
    if (i >= 0 && i < n)
        return i;
    switch (border) {
    case SP_BORDER_REFLECT:
        i = modulo(i, 2 * n);
        return i < n ? i : 2 * n - 1 - i;
    case SP_BORDER_MIRROR:
        if (n == 1)
            return 0;
        i = modulo(i, 2 * n - 2);
        return i < n ? i : 2 * n - 2 - i;
    case SP_BORDER_NEAREST:
        return i < 0 ? 0 : n - 1;
    case SP_BORDER_WRAP:
        return modulo(i, n);
    case SP_BORDER_CONSTANT:
        break;
    }
    return -1;
}
