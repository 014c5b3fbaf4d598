/*
 * isa.h - what is compiled once per instruction set, and under which names.
 *
 * Each file *_isa.c is compiled for every set, with SP__ISA defined to the
 * set's short name, and exports exactly one table, named after the set:
 *
 *     const struct sp__math_table SP__ISA_NAME(sp__math) = { ... };
 *
 * is sp__math_baseline, sp__math_v3 and sp__math_v4. dispatch.c chooses.
 */
#ifndef SP_KERNELS_ISA_H
#define SP_KERNELS_ISA_H

#include <stddef.h>
#include <stdint.h>

#include "stealpool_kernels.h"

#define SP__PASTE(name, isa) name##_##isa
#define SP__PASTE_EXPANDED(name, isa) SP__PASTE(name, isa)
#define SP__ISA_NAME(name) SP__PASTE_EXPANDED(name, SP__ISA)

/* Vector cos and sin are right for |x| up to here. */
#define SP__TRIG_LIMIT 1e5

struct sp__points;
struct sp__sum;
struct sp__gaussian_plan;
struct sp__tile;

/* math_isa.c; arguments as in the public functions, and checked. */
struct sp__math_table {
    void (*map[SP_MATH_COUNT])(const double *x, double *y, size_t n);
    void (*polynomial)(const double *c, size_t n_c, const double *x, double *y,
                       size_t n);
};

/* integrate_isa.c: add f(point i) for begin <= i < end to *sum. */
struct sp__integrate_table {
    /* For cos and sin, the points must be within +-SP__TRIG_LIMIT. */
    void (*math[SP_MATH_COUNT])(const struct sp__points *points, double begin,
                                double end, struct sp__sum *sum);
    void (*polynomial)(const struct sp__points *points, const double *c, size_t n_c,
                       double begin, double end, struct sp__sum *sum);
};

/* gaussian_isa.c: compute one tile of dst. `scratch` as sp__gaussian_plan says. */
struct sp__gaussian_table {
    void (*tile_u8)(const struct sp__gaussian_plan *plan, const struct sp__tile *tile,
                    void *scratch);
    void (*tile_f32)(const struct sp__gaussian_plan *plan, const struct sp__tile *tile,
                     void *scratch);
};

/* gray_isa.c: one row of n pixels with 3 or 4 channels. */
struct sp__gray_table {
    void (*row_u8)(const uint8_t *src, uint8_t *dst, size_t n, int channels);
    void (*row_f32)(const float *src, float *dst, size_t n, int channels);
};

#define SP__DECLARE_TABLES(isa)                                  \
    extern const struct sp__math_table sp__math_##isa;           \
    extern const struct sp__integrate_table sp__integrate_##isa; \
    extern const struct sp__gaussian_table sp__gaussian_##isa;   \
    extern const struct sp__gray_table sp__gray_##isa;

SP__DECLARE_TABLES(baseline)
#if defined(__x86_64__)
SP__DECLARE_TABLES(v3)
SP__DECLARE_TABLES(v4)
#endif

#endif /* SP_KERNELS_ISA_H */
