/*
 * stealpool_kernels.h - the kernels that come with the pool.
 *
 * This header is the manual. A function, type or constant that does not
 * appear here is not part of the API. It compiles alone, as C11 and as C++17.
 *
 *
 * What is here
 * ------------
 *   sp_math_array()            cos, sin, exp, log, sqrt of an array
 *   sp_polynomial_array()      a polynomial of an array
 *   sp_integrate()             the left rectangle rule
 *   sp_gaussian_filter_u8()    Gaussian blur, also _f32
 *   sp_rgb_to_gray_u8()        luma, also _f32
 *   sp_parallel_tiles()        any function of yours, on tiles of an image
 *   sp_isa()                   which instruction set they use
 *
 *
 * Rules that hold everywhere
 * --------------------------
 * - A kernel with a `pool` argument splits its work with sp_parallel_for() or
 *   sp_parallel_reduce(): the caller works too, and a kernel may be called
 *   from inside a task. With pool == NULL the caller does it all. A kernel
 *   without a `pool` argument runs in the caller; split it yourself.
 * - Results do not depend on the number of threads, nor on the pool, bit for
 *   bit. They may differ in the last bits between two instruction sets, as one
 *   has fused multiply-add and the other has not. A process uses one set.
 * - A kernel returns 0 (SP_OK), or one of the codes that its comment names.
 *   On an error the output is undefined, unless the comment says otherwise.
 *   Kernels that use a pool end with SP_ECANCELLED when the surrounding task
 *   was asked to stop.
 * - Arguments are only read, outputs only written, and neither is kept after
 *   the return. All functions may be called from any thread.
 */
#ifndef STEALPOOL_KERNELS_H
#define STEALPOOL_KERNELS_H

#include "stealpool.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef SP_BUILD_SHARED /* what is declared here is what the shared library exports */
#pragma GCC visibility push(default)
#endif

/* --------------------------------------------------------- instruction set */

/**
 * The instruction set that the kernels use: "x86-64-v4" (AVX-512),
 * "x86-64-v3" (AVX2 and FMA), "x86-64", "aarch64" or "generic". A static
 * string.
 *
 * Chosen once, at the first use of any kernel: the best that the processor
 * has. The environment variable STEALPOOL_CPU, one of "baseline", "v3" and
 * "v4", lowers the choice; it cannot raise it, and any other value is ignored.
 */
const char *sp_isa(void);

/* ------------------------------------------------------------- vector math */

/** A function of one double. */
typedef enum sp_math {
    SP_MATH_COS,
    SP_MATH_SIN,
    SP_MATH_EXP,
    SP_MATH_LOG,
    SP_MATH_SQRT
} sp_math;

#define SP_MATH_COUNT 5

/**
 * y[i] = fn(x[i]) for i = 0 ... n-1. `y` may be `x`; apart from that they must
 * not overlap.
 *
 * y[i] depends on x[i] alone: not on i, on n or on the neighbours. Errors, in
 * units in the last place of the exact result:
 *
 *   cos, sin   at most 2.0 for |x| <= 1e5; beyond, what the C library gives
 *   exp        at most 1.5
 *   log        at most 1.5
 *   sqrt       correctly rounded
 *
 * Infinities, NaN, signed zero, subnormal arguments and results, overflow and
 * underflow are treated as in the C library, except that errno is not set and
 * the floating-point exception flags are unspecified. The default rounding
 * mode is assumed.
 *
 * @return SP_OK; or SP_EINVAL when `fn` is not one of the above, and then
 *         nothing is written.
 */
int sp_math_array(sp_math fn, const double *x, double *y, size_t n);

/** Most coefficients that a polynomial may have: degree 63. */
#define SP_MAX_COEFFICIENTS 64

/**
 * y[i] = c[0] + c[1] x[i] + c[2] x[i]^2 + ..., by Horner's rule, for `n_c`
 * coefficients in ascending order. `y` may be `x`; apart from that they must
 * not overlap.
 *
 * @return SP_OK; or SP_EINVAL when n_c is 0 or above SP_MAX_COEFFICIENTS, and
 *         then nothing is written.
 */
int sp_polynomial_array(const double *c, size_t n_c, const double *x, double *y,
                        size_t n);

/* -------------------------------------------------------------- quadrature */

/** Which fields of an sp_integrand say what is integrated. */
typedef enum sp_integrand_kind {
    SP_INTEGRAND_MATH,       /* math */
    SP_INTEGRAND_POLYNOMIAL, /* coefficients, n_coefficients */
    SP_INTEGRAND_SCALAR,     /* scalar */
    SP_INTEGRAND_SCALAR_USER /* scalar_user, user */
} sp_integrand_kind;

/**
 * A function to integrate. Only the fields that `kind` names are read.
 *
 * The C functions are called from several threads at once, in no particular
 * order, and must not depend on one another. They should be pure: then the
 * result is reproducible.
 */
typedef struct sp_integrand {
    sp_integrand_kind kind;
    sp_math math;
    const double *coefficients; /* ascending, as in sp_polynomial_array() */
    size_t n_coefficients;
    double (*scalar)(double x);
    double (*scalar_user)(double x, void *user);
    void *user;
} sp_integrand;

/** Most points that sp_integrate() takes: every index is exact in a double. */
#define SP_MAX_POINTS (INT64_C(1) << 53)

/**
 * The left rectangle rule with n points:
 *
 *     h * (f(a) + f(a + h) + ... + f(a + (n - 1) h)),    h = (b - a) / n
 *
 * Each point is computed from its index, so nothing drifts. The sum is
 * compensated: its relative error is some 1e-15 times sum |f| / |sum f| on top
 * of the errors of f. It is formed in an order that depends on n alone. Also
 * right for a > b. With an infinite or NaN bound the result is NaN or
 * infinite, as the formula gives.
 *
 * @return SP_OK; or SP_EINVAL when n is not in 1 ... SP_MAX_POINTS, when
 *         `kind` or `math` is not one of the above, when the function pointer
 *         in use is NULL or the number of coefficients is out of range;
 *         SP_ENOMEM; SP_ECANCELLED. `ret_value` is written on SP_OK only.
 */
int sp_integrate(sp_pool *pool, const sp_integrand *f, double a, double b, int64_t n,
                 double *ret_value);

/* ------------------------------------------------------------------ images */

/**
 * An image in memory of the caller's: rows of width * channels samples, whose
 * channels are interleaved. The samples of a row are adjacent, the rows are
 * `stride` bytes apart. The stride may be negative (an image stored bottom up)
 * but not shorter than a row; samples must be aligned to their size.
 *
 * The dtype is in the name of the function that takes the image: uint8_t for
 * _u8, float for _f32. The samples of a source are only read.
 */
typedef struct sp_image {
    void *data; /* the first sample of the first row */
    ptrdiff_t stride;
    ptrdiff_t height;
    ptrdiff_t width;
    ptrdiff_t channels;
} sp_image;

/**
 * What lies beyond the edge of an image, for the row a b c d. The words are
 * those of scipy.ndimage.
 *
 * All modes are right for images smaller than the filter: the pattern repeats.
 */
typedef enum sp_border {
    SP_BORDER_REFLECT,  /* d c b a | a b c d | d c b a */
    SP_BORDER_MIRROR,   /*   d c b | a b c d | c b a   */
    SP_BORDER_NEAREST,  /* a a a a | a b c d | d d d d */
    SP_BORDER_CONSTANT, /* k k k k | a b c d | k k k k */
    SP_BORDER_WRAP      /* a b c d | a b c d | a b c d */
} sp_border;

/** What sp_gaussian_filter_*() needs to know. */
typedef struct sp_gaussian {
    double sigma_y;   /* standard deviation in pixels, >= 0; */
    double sigma_x;   /* 0 = no filtering along this axis */
    double truncate;  /* the filter ends at truncate * sigma, rounded */
    int64_t radius_y; /* or here; the filter has 2 * radius + 1 taps. */
    int64_t radius_x; /* Negative = use `truncate` */
    sp_border border;
    double cval; /* k of SP_BORDER_CONSTANT; for _u8 in 0 ... 255 */
} sp_gaussian;

/** The defaults of scipy.ndimage, for one sigma along both axes. */
#define SP_GAUSSIAN(sigma) {(sigma), (sigma), 4.0, -1, -1, SP_BORDER_REFLECT, 0.0}

/** Largest radius of a Gaussian filter. */
#define SP_MAX_RADIUS 65535

/**
 * Blur `src` into `dst` with a Gaussian; each channel on its own.
 *
 * The weights are those of scipy.ndimage.gaussian_filter(): exp(-x*x / (2
 * sigma^2)), normalised. The sums are formed in single precision along x, then
 * along y: for samples of 0 ... 255 they are within 2e-4 of the exact result up
 * to sigma 10, within 1e-3 up to sigma 2000. _u8 rounds them once, at the very
 * end, to the nearest integer. (scipy truncates after each axis.)
 *
 * `src` and `dst` have the same height, width and channels, any of which may
 * be 0, and must not overlap. Each thread at work takes memory for some 70 KB
 * of samples; for radii above 30, for 2 * radius_y + 4 rows of 256 samples.
 *
 * @return SP_OK; SP_EINVAL when a sigma, truncate, radius, border, cval, stride
 *         or shape is out of range, a pointer is NULL, or the images overlap,
 *         and then nothing is written; SP_ENOMEM; SP_ECANCELLED.
 */
int sp_gaussian_filter_u8(sp_pool *pool, const sp_image *src, const sp_image *dst,
                          const sp_gaussian *options);
int sp_gaussian_filter_f32(sp_pool *pool, const sp_image *src, const sp_image *dst,
                           const sp_gaussian *options);

/**
 * The luma of an image with channels R, G, B: 0.299 R + 0.587 G + 0.114 B, the
 * weights of BT.601, as OpenCV and Pillow have it. A fourth channel, alpha, is
 * ignored.
 *
 * _u8 gives exactly what cv2.cvtColor(src, COLOR_RGB2GRAY) gives: weights
 * rounded to 15 bits, the sum rounded to nearest.
 *
 * `src` has 3 or 4 channels, `dst` has 1, and the same height and width. They
 * must not overlap.
 *
 * @return as sp_gaussian_filter_u8(), without SP_ENOMEM.
 */
int sp_rgb_to_gray_u8(sp_pool *pool, const sp_image *src, const sp_image *dst);
int sp_rgb_to_gray_f32(sp_pool *pool, const sp_image *src, const sp_image *dst);

/* ------------------------------------------------------------- tile kernels */

/** A part of an image, as a tile kernel sees it: its samples are in place, its
 * rows are `stride` bytes apart. A structure of the same fields as sp_image. */
typedef sp_image sp_view;

/** Where a tile lies in the whole image: the pixels from row `y` and column
 * `x` on. */
typedef struct sp_rect {
    ptrdiff_t y;
    ptrdiff_t x;
    ptrdiff_t height;
    ptrdiff_t width;
} sp_rect;

/**
 * Computes one tile. `dst` is the tile in the destination, of the height and
 * width of `tile`. `src` is the same tile of the source *with its halo*: it has
 * halo_y more rows above and below, and halo_x more columns on either side, so
 * that the pixel at (y, x) of `dst` is computed from those at (y ... y + 2
 * halo_y, x ... x + 2 halo_x) of `src`. What would lie outside of the image is
 * there, too, as the border has it. `src` is only read.
 *
 * Called from several threads at once, for different tiles. Returns 0; any
 * other value ends the job (see sp_fail()).
 */
typedef int (*sp_tile_fn)(const sp_view *src, sp_view *dst, const sp_rect *tile,
                          void *user);

/** How sp_parallel_tiles() cuts. Zero-filled, but for the sizes of the items,
 * means: no halo, tiles of a size that the library chooses. */
typedef struct sp_tiling {
    ptrdiff_t halo_y;      /* rows that a pixel depends on, above and below it */
    ptrdiff_t halo_x;      /* columns */
    ptrdiff_t tile_height; /* 0 = chosen: some 16 KB */
    ptrdiff_t tile_width;  /* 0 = chosen */
    size_t src_item;       /* bytes of a sample of the source */
    size_t dst_item;       /* ... of the destination */
    sp_border border;      /* what lies outside of the source */
    const void *fill;      /* k of SP_BORDER_CONSTANT, one sample; NULL = zero bytes */
} sp_tiling;

/** Largest halo, and largest tile that can be asked for. */
#define SP_MAX_HALO 65535

/**
 * Call `body` on tiles that cover `dst` exactly once.
 *
 * `src` and `dst` have the same height and width, any of which may be 0; they
 * may have different numbers of channels and sizes of samples. With a halo they
 * must not overlap: a tile would be read after its neighbour was written. A
 * thread at work on tiles at the edge takes memory for one tile and its halo.
 *
 * @return 0; what the first tile that failed returned; SP_EINVAL when a halo,
 *         size, border, stride or shape is out of range, or a pointer is NULL,
 *         and then nothing is written; SP_ENOMEM; SP_ECANCELLED.
 */
int sp_parallel_tiles(sp_pool *pool, const sp_view *src, const sp_view *dst,
                      const sp_tiling *options, sp_tile_fn body, void *user);

#ifdef SP_BUILD_SHARED
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* STEALPOOL_KERNELS_H */
