/*
 * sp_parallel_tiles(): an image in tiles, each with its surroundings.
 *
 * A tile whose halo lies inside the image is read in place. For one at the edge,
 * the tile and its halo are first copied to scratch memory, where the border
 * stands for what is missing; so the kernel knows no edges.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/image.h"
#include "stealpool_kernels.h"

/* A tile of an automatic size: what fits into a first-level cache, with rows as
 * long as that allows. */
#define TILE_BYTES 16384
#define ROW_BYTES 4096

struct tiles {
    const sp_view *src;
    const sp_view *dst;
    const sp_tiling *options;
    sp_tile_fn body;
    void *user;
    ptrdiff_t height, width; /* of a tile that is not at the end */
    ptrdiff_t across;        /* tiles side by side */
    ptrdiff_t src_pixel;     /* bytes */
    ptrdiff_t dst_pixel;
};

static ptrdiff_t lesser(ptrdiff_t a, ptrdiff_t b)
{
    return a < b ? a : b;
}

static ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b)
{
    return a > b ? a : b;
}

static bool is_inside(const struct tiles *tiles, const sp_rect *tile)
{
    const sp_tiling *options = tiles->options;
    return tile->y >= options->halo_y && tile->x >= options->halo_x &&
           tile->y + tile->height + options->halo_y <= tiles->src->height &&
           tile->x + tile->width + options->halo_x <= tiles->src->width;
}

/* The constant where there is none to copy from: some value, or zero bytes. */
static void fill_pixel(const struct tiles *tiles, char *to)
{
    size_t item = tiles->options->src_item;
    for (ptrdiff_t c = 0; c < tiles->src->channels; c++, to += item) {
        if (tiles->options->fill)
            memcpy(to, tiles->options->fill, item);
        else
            memset(to, 0, item);
    }
}

static void copy_row(const struct tiles *tiles, char *to, ptrdiff_t y, ptrdiff_t x,
                     ptrdiff_t width)
{
    const sp_view *src = tiles->src;
    size_t pixel = (size_t)tiles->src_pixel;
    sp_border border = tiles->options->border;
    y = sp__border_index(y, src->height, border);
    const char *row = (const char *)src->data + y * src->stride;
    for (ptrdiff_t i = 0; i < width; i++, to += pixel) {
        ptrdiff_t from = y < 0 ? -1 : sp__border_index(x + i, src->width, border);
        if (from < 0)
            fill_pixel(tiles, to);
        else
            memcpy(to, row + from * tiles->src_pixel, pixel);
    }
}

static int run_tile(const struct tiles *tiles, const sp_rect *tile, char *scratch)
{
    const sp_tiling *options = tiles->options;
    sp_view src = *tiles->src, dst = *tiles->dst;
    src.height = tile->height + 2 * options->halo_y;
    src.width = tile->width + 2 * options->halo_x;
    dst.height = tile->height;
    dst.width = tile->width;
    dst.data = (char *)dst.data + tile->y * dst.stride + tile->x * tiles->dst_pixel;
    ptrdiff_t y = tile->y - options->halo_y, x = tile->x - options->halo_x;
    if (is_inside(tiles, tile)) {
        src.data = (char *)src.data + y * src.stride + x * tiles->src_pixel;
    } else {
        src.stride = src.width * tiles->src_pixel;
        src.data = scratch;
        for (ptrdiff_t i = 0; i < src.height; i++)
            copy_row(tiles, scratch + i * src.stride, y + i, x, src.width);
    }
    return tiles->body(&src, &dst, tile, tiles->user);
}

static sp_rect rect_of(const struct tiles *tiles, ptrdiff_t index)
{
    sp_rect tile = {.y = index / tiles->across * tiles->height,
                    .x = index % tiles->across * tiles->width};
    tile.height = lesser(tiles->height, tiles->src->height - tile.y);
    tile.width = lesser(tiles->width, tiles->src->width - tile.x);
    return tile;
}

static int run_tiles(intptr_t begin, intptr_t end, void *user)
{
    const struct tiles *tiles = user;
    char *scratch = NULL;
    int code = 0;
    for (intptr_t i = begin; i < end && code == 0; i++) {
        sp_rect tile = rect_of(tiles, i);
        if (!scratch && !is_inside(tiles, &tile)) {
            ptrdiff_t rows = tiles->height + 2 * tiles->options->halo_y;
            ptrdiff_t columns = tiles->width + 2 * tiles->options->halo_x;
            scratch = sp__alloc((size_t)(rows * columns * tiles->src_pixel));
            if (!scratch)
                return sp_fail(SP_ENOMEM, "no memory for a tile and its halo");
        }
        code = sp_cancelled() ? (int)SP_ECANCELLED : run_tile(tiles, &tile, scratch);
    }
    sp__free(scratch);
    return code;
}

static bool is_valid(const sp_view *src, const sp_view *dst, const sp_tiling *options)
{
    ptrdiff_t halos[] = {options->halo_y, options->halo_x, options->tile_height,
                         options->tile_width};
    for (int i = 0; i < 4; i++)
        if (halos[i] < 0 || halos[i] > SP_MAX_HALO)
            return false;
    return (unsigned)options->border <= SP_BORDER_WRAP && options->src_item > 0 &&
           options->dst_item > 0 && sp__image_is_valid(src, options->src_item) &&
           sp__image_is_valid(dst, options->dst_item) && src->height == dst->height &&
           src->width == dst->width;
}

int sp_parallel_tiles(sp_pool *pool, const sp_view *src, const sp_view *dst,
                      const sp_tiling *options, sp_tile_fn body, void *user)
{
    if (!src || !dst || !options || !body || !is_valid(src, dst, options))
        return SP_EINVAL;
    if (src->height == 0 || src->width == 0)
        return 0;
    struct tiles tiles = {.src = src,
                          .dst = dst,
                          .options = options,
                          .body = body,
                          .user = user,
                          .height = options->tile_height,
                          .width = options->tile_width,
                          .src_pixel = src->channels * (ptrdiff_t)options->src_item,
                          .dst_pixel = dst->channels * (ptrdiff_t)options->dst_item};
    ptrdiff_t pixel = larger(larger(tiles.src_pixel, tiles.dst_pixel), 1);
    if (tiles.width == 0)
        tiles.width = larger(larger(ROW_BYTES / pixel, 4 * options->halo_x), 16);
    tiles.width = lesser(tiles.width, src->width);
    if (tiles.height == 0)
        tiles.height =
            larger(larger(TILE_BYTES / (tiles.width * pixel), 4 * options->halo_y), 1);
    tiles.height = lesser(tiles.height, src->height);
    tiles.across = (src->width + tiles.width - 1) / tiles.width;
    ptrdiff_t down = (src->height + tiles.height - 1) / tiles.height;
    return sp_parallel_for(pool, 0, tiles.across * down, 0, run_tiles, &tiles);
}
