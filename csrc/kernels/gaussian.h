/*
 * gaussian.h - a Gaussian filter, checked and cut into tiles.
 *
 * A tile of dst is computed by one thread in one go. Its rows enter from the
 * top: each is padded with what lies left and right of the tile, filtered
 * along x and put into a ring of 2 * radius_y + 2 rows; as soon as the ring has
 * the neighbourhood of two rows of dst, these two are formed from it. What a
 * tile needs of its neighbours it computes again, so tiles are independent.
 */
#ifndef SP_KERNELS_GAUSSIAN_H
#define SP_KERNELS_GAUSSIAN_H

#include "kernels/image.h"

/* Rows of scratch memory are read and written up to a multiple of this many
 * floats: four of the widest vectors. */
#define SP__ROW_ALIGN 64

struct sp__gaussian_plan {
    sp_image src;
    sp_image dst;
    ptrdiff_t radius_y; /* in pixels, as all that follows */
    ptrdiff_t radius_x;
    const float *weights_y; /* weights[j] is for the distance j */
    const float *weights_x;
    sp_border border;
    float cval;
    ptrdiff_t tile_height;
    ptrdiff_t tile_width;
    ptrdiff_t tiles_across;
    /* The scratch memory of a tile: a ring of 2 * radius_y + 2 rows, two rows
     * more, a padded row, and a pointer to each row of the ring. */
    ptrdiff_t row_floats;
    ptrdiff_t padded_floats;
    size_t scratch_size;
};

/* Rows y0 ... y1-1, pixels x0 ... x1-1 of dst. Not empty. */
struct sp__tile {
    ptrdiff_t y0, y1;
    ptrdiff_t x0, x1;
};

#endif /* SP_KERNELS_GAUSSIAN_H */
