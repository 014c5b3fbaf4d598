/* Compiled once per instruction set; see isa.h. */
#include "kernels/isa.h"

/* The weights of BT.601 in 15 bits, as OpenCV rounds them; their sum is 2^15. */
enum { RED = 9798, GREEN = 19235, BLUE = 3735, SHIFT = 15 };

static inline __attribute__((always_inline)) void
gray_u8(const uint8_t *restrict src, uint8_t *restrict dst, size_t n, size_t channels)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *rgb = src + i * channels;
        int sum = rgb[0] * RED + rgb[1] * GREEN + rgb[2] * BLUE;
        dst[i] = (uint8_t)((sum + (1 << (SHIFT - 1))) >> SHIFT);
    }
}

static inline __attribute__((always_inline)) void
gray_f32(const float *restrict src, float *restrict dst, size_t n, size_t channels)
{
    for (size_t i = 0; i < n; i++) {
        const float *rgb = src + i * channels;
        dst[i] = rgb[0] * 0.299f + rgb[1] * 0.587f + rgb[2] * 0.114f;
    }
}

static void row_u8(const uint8_t *src, uint8_t *dst, size_t n, int channels)
{
    if (channels == 3)
        gray_u8(src, dst, n, 3);
    else
        gray_u8(src, dst, n, 4);
}

static void row_f32(const float *src, float *dst, size_t n, int channels)
{
    if (channels == 3)
        gray_f32(src, dst, n, 3);
    else
        gray_f32(src, dst, n, 4);
}

const struct sp__gray_table SP__ISA_NAME(sp__gray) = {
    .row_u8 = row_u8,
    .row_f32 = row_f32,
};
