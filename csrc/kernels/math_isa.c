/* Compiled once per instruction set; see isa.h. */
#include <math.h>

#include "kernels/isa.h"
#include "kernels/vector_math.h"

typedef vf64 (*vector_fn)(vf64 x);
typedef double (*scalar_fn)(double x);

/* Vectors that are evaluated before their arguments are looked at again. */
enum { BLOCK = 16 * LANES_F64 };

/* f is right for |x| <= limit; for all others
 * there is `fallback`. Without one, f is right for all. */
ALWAYS_INLINE void map_block(const double *x, double *y, vector_fn f, double limit,
                             scalar_fn fallback)
{
    vf64 in[BLOCK / LANES_F64];
    vi64 is_beyond = {0};
    memcpy(in, x, sizeof in);
    for (int k = 0; k < BLOCK / LANES_F64; k++) {
        if (fallback)
            is_beyond |= ~((in[k] <= limit) & (in[k] >= -limit));
        store_f64(y + k * LANES_F64, f(in[k]));
    }
    if (!fallback || !any_lane(is_beyond))
        return;
    for (int i = 0; i < BLOCK; i++) {
        double argument = in[i / LANES_F64][i % LANES_F64];
        if (!(fabs(argument) <= limit))
            y[i] = fallback(argument);
    }
}

/* Whole blocks, and the rest through a block of our own: every argument goes
 * through the same code, wherever it stands. */
ALWAYS_INLINE void map_array(const double *x, double *y, size_t n, vector_fn f,
                             double limit, scalar_fn fallback)
{
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK)
        map_block(x + i, y + i, f, limit, fallback);
    if (i < n) {
        double rest[BLOCK] = {0};
        memcpy(rest, x + i, (n - i) * sizeof *x);
        map_block(rest, rest, f, limit, fallback);
        memcpy(y + i, rest, (n - i) * sizeof *y);
    }
}

static void map_cos(const double *x, double *y, size_t n)
{
    map_array(x, y, n, vector_cos, SP__TRIG_LIMIT, cos);
}

static void map_sin(const double *x, double *y, size_t n)
{
    map_array(x, y, n, vector_sin, SP__TRIG_LIMIT, sin);
}

static void map_exp(const double *x, double *y, size_t n)
{
    map_array(x, y, n, vector_exp, 0, NULL);
}

static void map_log(const double *x, double *y, size_t n)
{
    map_array(x, y, n, vector_log, 0, NULL);
}

static void map_sqrt(const double *x, double *y, size_t n)
{
    map_array(x, y, n, sqrt_f64, 0, NULL);
}

/* Four vectors at a time: Horner's rule is one long chain of dependent steps. */
enum { GROUP = 4 };

static void map_polynomial(const double *c, size_t n_c, const double *x, double *y,
                           size_t n)
{
    for (size_t i = 0; i < n; i += GROUP * LANES_F64) {
        size_t m = n - i < GROUP * LANES_F64 ? n - i : GROUP * LANES_F64;
        vf64 in[GROUP] = {{0}};
        vf64 p[GROUP];
        memcpy(in, x + i, m * sizeof *x);
        for (int k = 0; k < GROUP; k++)
            p[k] = splat_f64(c[n_c - 1]);
        for (size_t j = n_c - 1; j-- > 0;) {
            for (int k = 0; k < GROUP; k++)
                p[k] = p[k] * in[k] + c[j];
        }
        memcpy(y + i, p, m * sizeof *y);
    }
}

const struct sp__math_table SP__ISA_NAME(sp__math) = {
    .map =
        {
            [SP_MATH_COS] = map_cos,
            [SP_MATH_SIN] = map_sin,
            [SP_MATH_EXP] = map_exp,
            [SP_MATH_LOG] = map_log,
            [SP_MATH_SQRT] = map_sqrt,
        },
    .polynomial = map_polynomial,
};
