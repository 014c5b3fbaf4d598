/*
 * widen.h - a ufunc's loop, run on numbers that are converted on the way.
 *
 * For reductions of small numbers to large ones, such as a sum of int32 in
 * int64. The numbers are converted in blocks, and the loop is called once for
 * each; it sees them as an array without gaps.
 */
#ifndef SP_PYX_WIDEN_H
#define SP_PYX_WIDEN_H

#include <stdint.h>
#include <string.h>

enum { WIDE_BLOCK = 1024 };

typedef void (*widen_fn)(const char *from, intptr_t stride, void *to, intptr_t n);

typedef struct {
    int (*loop)(void *, char *const *, const intptr_t *, const intptr_t *, void *);
    void *context;
    widen_fn widen;
} widening;

#define WIDEN_TO(from_name, from_type, value, to_name, to_type)                  \
    static void widen_##from_name##_##to_name(const char *from, intptr_t stride, \
                                              void *to, intptr_t n)              \
    {                                                                            \
        for (intptr_t i = 0; i < n; i++) {                                       \
            from_type x;                                                         \
            memcpy(&x, from + i * stride, sizeof x);                             \
            ((to_type *)to)[i] = (to_type)(value);                               \
        }                                                                        \
    }
#define WIDEN(from_name, from_type, value)              \
    WIDEN_TO(from_name, from_type, value, i8, int64_t)  \
    WIDEN_TO(from_name, from_type, value, u8, uint64_t) \
    WIDEN_TO(from_name, from_type, value, f8, double)

#define NARROW_TYPES(X)    \
    X(b1, uint8_t, x != 0) \
    X(i1, int8_t, x)       \
    X(u1, uint8_t, x)      \
    X(i2, int16_t, x)      \
    X(u2, uint16_t, x)     \
    X(i4, int32_t, x)      \
    X(u4, uint32_t, x)     \
    X(i8, int64_t, x)      \
    X(u8, uint64_t, x)     \
    X(f4, float, x)

NARROW_TYPES(WIDEN)

/* Of types as numpy.dtype.str has them, without the order of bytes; or NULL. */
static widen_fn widen_of(const char *from, const char *to)
{
#define IF_IS(from_name, from_type, value)                      \
    if (strcmp(from, #from_name) == 0)                          \
        return strcmp(to, "i8") == 0   ? widen_##from_name##_i8 \
               : strcmp(to, "u8") == 0 ? widen_##from_name##_u8 \
               : strcmp(to, "f8") == 0 ? widen_##from_name##_f8 \
                                       : 0;
    NARROW_TYPES(IF_IS)
    return 0;
}

/* The loop of a reduction, (out, in, out). */
static int run_widening(void *context, char *const *data, const intptr_t *lengths,
                        const intptr_t *strides, void *aux)
{
    const widening *w = context;
    intptr_t steps[3] = {strides[0], 8, strides[2]};
    _Alignas(64) char wide[8 * WIDE_BLOCK];
    for (intptr_t done = 0; done < lengths[0];) {
        intptr_t n = lengths[0] - done < WIDE_BLOCK ? lengths[0] - done : WIDE_BLOCK;
        char *args[3] = {data[0] + done * strides[0], wide,
                         data[2] + done * strides[2]};
        w->widen(data[1] + done * strides[1], strides[1], wide, n);
        int code = w->loop(w->context, args, &n, steps, aux);
        if (code != 0)
            return code;
        done += n;
    }
    return 0;
}

#endif /* SP_PYX_WIDEN_H */
