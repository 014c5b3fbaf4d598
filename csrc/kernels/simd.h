/*
 * simd.h - vectors as wide as the instruction set's registers.
 *
 * Included only by translation units that are compiled once per instruction
 * set. Everything here is static: a vector never crosses the border of a
 * function that is not inlined, as its ABI would depend on the compiler flags.
 * The width follows the instruction set: a type wider than a register is split
 * by GCC, badly so where integers are compared.
 */
#ifndef SP_KERNELS_SIMD_H
#define SP_KERNELS_SIMD_H

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define SP__VECTOR_BYTES 64
#elif defined(__AVX2__)
#define SP__VECTOR_BYTES 32
#else
#define SP__VECTOR_BYTES 16
#endif

typedef double vf64 __attribute__((vector_size(SP__VECTOR_BYTES)));
typedef int64_t vi64 __attribute__((vector_size(SP__VECTOR_BYTES)));
typedef uint64_t vu64 __attribute__((vector_size(SP__VECTOR_BYTES)));
typedef float vf32 __attribute__((vector_size(SP__VECTOR_BYTES)));
typedef int32_t vi32 __attribute__((vector_size(SP__VECTOR_BYTES)));
typedef uint8_t vu8 __attribute__((vector_size(SP__VECTOR_BYTES / 4)));

enum {
    LANES_F64 = SP__VECTOR_BYTES / 8,
    LANES_F32 = SP__VECTOR_BYTES / 4,
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Unaligned loads and stores. Not a vector type with a smaller alignment: that
 * makes GCC 12 keep accumulators in memory. */
ALWAYS_INLINE vf64 load_f64(const double *p)
{
    vf64 v;
    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE void store_f64(double *p, vf64 v)
{
    memcpy(p, &v, sizeof v);
}

ALWAYS_INLINE vf32 load_f32(const float *p)
{
    vf32 v;
    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE void store_f32(float *p, vf32 v)
{
    memcpy(p, &v, sizeof v);
}

ALWAYS_INLINE vf64 splat_f64(double x)
{
    return x - (vf64){0};
}

/* 0.0, 1.0, 2.0, ... */
ALWAYS_INLINE vf64 iota_f64(void)
{
    vf64 v;
    for (int lane = 0; lane < LANES_F64; lane++)
        v[lane] = lane;
    return v;
}

/* Per lane: mask ? yes : no. The mask's lanes are all ones or all zeros. */
ALWAYS_INLINE vf64 select_f64(vi64 mask, vf64 yes, vf64 no)
{
    return (vf64)((mask & (vi64)yes) | (~mask & (vi64)no));
}

ALWAYS_INLINE int any_lane(vi64 mask)
{
    int64_t any = 0;
    for (int lane = 0; lane < LANES_F64; lane++)
        any |= mask[lane];
    return any != 0;
}

/* z - x * y, rounded once where HAS_FMA: unlike the contraction of expressions,
 * not at the mercy of the optimizer. */
#if defined(__AVX512F__)
#define HAS_FMA 1
ALWAYS_INLINE vf64 subtract_product(vf64 z, vf64 x, vf64 y)
{
    return (vf64)_mm512_fnmadd_pd((__m512d)x, (__m512d)y, (__m512d)z);
}
#elif defined(__AVX2__) && defined(__FMA__)
#define HAS_FMA 1
ALWAYS_INLINE vf64 subtract_product(vf64 z, vf64 x, vf64 y)
{
    return (vf64)_mm256_fnmadd_pd((__m256d)x, (__m256d)y, (__m256d)z);
}
#elif defined(__aarch64__)
#define HAS_FMA 1
ALWAYS_INLINE vf64 subtract_product(vf64 z, vf64 x, vf64 y)
{
    return (vf64)vfmsq_f64((float64x2_t)z, (float64x2_t)x, (float64x2_t)y);
}
#else
#define HAS_FMA 0
ALWAYS_INLINE vf64 subtract_product(vf64 z, vf64 x, vf64 y)
{
    return z - x * y;
}
#endif

ALWAYS_INLINE vf64 sqrt_f64(vf64 x)
{
#if defined(__AVX512F__)
    return (vf64)_mm512_sqrt_pd((__m512d)x);
#elif defined(__AVX2__)
    return (vf64)_mm256_sqrt_pd((__m256d)x);
#else
    for (int lane = 0; lane < LANES_F64; lane++)
        x[lane] = __builtin_sqrt(x[lane]);
    return x;
#endif
}

#endif /* SP_KERNELS_SIMD_H */
