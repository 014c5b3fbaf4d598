/*
 * vector_math.h - cos, sin, exp, log of a vector of doubles.
 *
 * Compiled once per instruction set, with contraction to fused multiply-add
 * where there is one. The error bounds are in stealpool_kernels.h.
 *
 * The polynomials are minimax in relative error, made with a Remez exchange in
 * 240 bits. Beside each: what it approximates, where, and its largest error.
 * tests/c/test_math.c checks what comes out.
 */
#ifndef SP_KERNELS_VECTOR_MATH_H
#define SP_KERNELS_VECTOR_MATH_H

#include "kernels/simd.h"

/* Adding this rounds a double below 2^51 to the nearest integer, and leaves
 * that integer, in two's complement, in the low bits. */
#define ROUNDER 0x1.8p52

#define SIGN_BIT INT64_MIN

/* pi in three parts. Without fused multiply-add the first two are short, so
 * that their products with q, up to 2^15 in halves, are exact. All are positive,
 * so that -0 - 0 pi stays -0. */
#if HAS_FMA
#define PI_1 0x1.921fb54442d18p+1
#define PI_2 0x1.1a62633145c06p-53
#define PI_3 0x1.c1cd129024e08p-106
#else
#define PI_1 0x1.921fb54400000p+1
#define PI_2 0x1.0b4611a600000p-33
#define PI_3 0x1.3198a2e037073p-68
#endif
#define INVERSE_PI 0x1.45f306dc9c883p-2

/* sin(r) for |r| <= pi/2. (sin(r)/r - 1) / r^2 as a polynomial of r^2, to
 * 2^-61.6 relative to sin(r). One polynomial for the whole half period and a
 * flip of sign cost less than a sine and a cosine on a quarter of it. */
ALWAYS_INLINE vf64 sin_half_period(vf64 r)
{
    vf64 z = r * r;
    vf64 p = splat_f64(0x1.8829a2ff70af4p-49);
    p = p * z - 0x1.ae431d98db6b2p-41;
    p = p * z + 0x1.6123cb290454fp-33;
    p = p * z - 0x1.ae6454cb574e1p-26;
    p = p * z + 0x1.71de3a5287c76p-19;
    p = p * z - 0x1.a01a01a0148bcp-13;
    p = p * z + 0x1.11111111110c1p-7;
    p = p * z - 0x1.5555555555555p-3;
    return r + r * (z * p);
}

ALWAYS_INLINE vf64 flip_if_odd(vf64 x, vu64 n)
{
    return (vf64)((vu64)x ^ (n << 63));
}

/* x - q pi, rounded once. The first difference is exact, as it cancels. The
 * second is rounded; where that is not negligible, its error goes into the
 * third term. */
ALWAYS_INLINE vf64 subtract_pi(vf64 x, vf64 q)
{
    vf64 r1 = subtract_product(x, q, splat_f64(PI_1));
    vf64 r2 = subtract_product(r1, q, splat_f64(PI_2));
    if (HAS_FMA)
        return r2 - q * PI_3;
    vf64 error = (r1 - r2) - q * PI_2;
    return r2 - (q * PI_3 - error);
}

/* |x| <= SP__TRIG_LIMIT, or the result is meaningless, but for NaN. */
ALWAYS_INLINE vf64 vector_sin(vf64 x)
{
    vf64 t = x * INVERSE_PI + ROUNDER;
    vf64 r = subtract_pi(x, t - ROUNDER);
    /* The sign of r is right for zero too, where the sum has lost it. */
    vi64 s = (vi64)sin_half_period(r) | ((vi64)r & SIGN_BIT);
    return flip_if_odd((vf64)s, (vu64)t);
}

/* As vector_sin(): with q = n + 1/2, cos(x) = sin(x - q pi) (-1)^(n + 1). */
ALWAYS_INLINE vf64 vector_cos(vf64 x)
{
    vf64 t = (x * INVERSE_PI - 0.5) + ROUNDER;
    vf64 r = subtract_pi(x, (t - ROUNDER) + 0.5);
    return flip_if_odd(sin_half_period(r), ~(vu64)t);
}

/* exp(x) = 2^n exp(r), |r| <= ln(2)/2. (exp(r) - 1 - r) / r^2 to 2^-57.9
 * relative to exp(r). 2^n in two factors, so that it neither overflows nor
 * rounds twice in the subnormals. */
ALWAYS_INLINE vf64 vector_exp(vf64 x)
{
    x = select_f64(x > 710.0, splat_f64(710.0), x);
    x = select_f64(x < -746.0, splat_f64(-746.0), x);
    vf64 t = x * 0x1.71547652b82fep+0 + ROUNDER;
    vf64 n = t - ROUNDER;
    vf64 r = x - n * 0x1.62e42fefa3800p-1;
    r = r - n * 0x1.ef35793c76730p-45;

    vf64 p = splat_f64(0x1.ad7f6bf641388p-26);
    p = p * r + 0x1.28ad72d2ab74fp-22;
    p = p * r + 0x1.71df255414fafp-19;
    p = p * r + 0x1.a0199a0c60520p-16;
    p = p * r + 0x1.a01a012a56eaep-13;
    p = p * r + 0x1.6c16c1842a146p-10;
    p = p * r + 0x1.1111111127be7p-7;
    p = p * r + 0x1.555555555087cp-5;
    p = p * r + 0x1.55555555554fap-3;
    p = p * r + 0x1.000000000000ap-1;
    p = (p * (r * r) + r) + 1.0;

    vf64 half = n * 0.5 + ROUNDER;
    vu64 scale_1 = ((vu64)half + 1023) << 52;
    vu64 scale_2 = ((vu64)t - (vu64)half + 1023) << 52;
    return p * (vf64)scale_1 * (vf64)scale_2;
}

/* log(x) = e ln(2) + log(m), sqrt(1/2) <= m < sqrt(2). With f = m - 1 and
 * s = f / (2 + f): log(m) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + R)), where
 * R = 2 atanh(s)/s - 2 is a polynomial of s^2, to 2^-59.5. */
ALWAYS_INLINE vf64 log_of_positive(vf64 x)
{
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcd;
    vi64 is_tiny = x < 0x1p-1022;
    vf64 bias =
        select_f64(is_tiny, splat_f64(0x1p52 + 1023 + 54), splat_f64(0x1p52 + 1023));
    x = select_f64(is_tiny, x * 0x1p54, x);

    vu64 bits = (vu64)x + (0x3ff0000000000000 - sqrt_half);
    vf64 e = (vf64)((bits >> 52) | 0x4330000000000000) - bias;
    vf64 f = (vf64)((bits & 0x000fffffffffffff) + sqrt_half) - 1.0;

    vf64 s = f / (2.0 + f);
    vf64 z = s * s;
    vf64 p = splat_f64(0x1.2f03b6a1b2ef4p-3);
    p = p * z + 0x1.39a1e7df41a52p-3;
    p = p * z + 0x1.74663d0d0e983p-3;
    p = p * z + 0x1.c71c5212f867ap-3;
    p = p * z + 0x1.24924941e4979p-2;
    p = p * z + 0x1.999999997fea9p-2;
    p = p * z + 0x1.5555555555592p-1;
    vf64 half_square = 0.5 * f * f;
    vf64 low = s * (half_square + z * p) + e * 0x1.ef35793c76730p-45;
    return e * 0x1.62e42fefa3800p-1 - ((half_square - low) - f);
}

ALWAYS_INLINE vf64 vector_log(vf64 x)
{
    vf64 y = log_of_positive(x);
    y = select_f64(x < __builtin_inf(), y, x);
    y = select_f64(x == 0.0, splat_f64(-__builtin_inf()), y);
    return select_f64(x < 0.0, splat_f64(__builtin_nan("")), y);
}

#endif /* SP_KERNELS_VECTOR_MATH_H */
