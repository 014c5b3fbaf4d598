/*
 * image.h - what all image kernels ask of their arguments, and borders.
 */
#ifndef SP_KERNELS_IMAGE_H
#define SP_KERNELS_IMAGE_H

#include "stealpool_kernels.h"

/**
 * Is `image` usable, with samples of that size? Its data may be NULL only when
 * it is empty.
 */
int sp__image_is_valid(const sp_image *image, size_t sample_size);

/** Does any byte from the first to the last sample belong to both images? */
int sp__images_overlap(const sp_image *a, const sp_image *b, size_t sample_size);

static inline int sp__image_is_empty(const sp_image *image)
{
    return image->height == 0 || image->width == 0 || image->channels == 0;
}

/**
 * Which of the pixels 0 ... n-1 stands at place i, a place inside or outside;
 * -1 for the constant. n > 0.
 */
ptrdiff_t sp__border_index(ptrdiff_t i, ptrdiff_t n, sp_border border);

#endif /* SP_KERNELS_IMAGE_H */
