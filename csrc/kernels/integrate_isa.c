/* Compiled once per instruction set; see isa.h. */
#include <math.h>

#include "kernels/integrate.h"
#include "kernels/isa.h"
#include "kernels/vector_math.h"

/*
 * How the sums are formed. Four accumulators take the values of a block, each
 * lane on its own: short sums, with little to round off. The blocks are added
 * up with compensation, lane by lane, and the lanes last. The order depends on
 * `begin` and `end` alone.
 */
enum {
    GROUP = 4,
    GROUP_POINTS = GROUP * LANES_F64,
    BLOCK_POINTS = 16 * GROUP_POINTS,
};

struct group {
    vf64 v[GROUP];
};

/* One block of points: where it begins and ends, as indices. */
struct block {
    double a;
    double h;
    double begin;
    double end;
};

/* Adds f(x) for the points of a block; at most BLOCK_POINTS. */
typedef vf64 (*block_fn)(const struct block *block, const void *user);

/* Sets y = f(x) for a group of points. */
typedef void (*group_fn)(struct group *y, const struct group *x, const void *user);

ALWAYS_INLINE void set_indices(struct group *index, double begin)
{
    for (int k = 0; k < GROUP; k++)
        index->v[k] = iota_f64() + (begin + k * LANES_F64);
}

ALWAYS_INLINE void set_points(struct group *x, const struct group *index,
                              const struct block *block)
{
    for (int k = 0; k < GROUP; k++)
        x->v[k] = block->a + index->v[k] * block->h;
}

ALWAYS_INLINE vf64 add_up(const struct group *g)
{
    return (g->v[0] + g->v[1]) + (g->v[2] + g->v[3]);
}

/* Points beyond the end are evaluated, but count as zero. */
ALWAYS_INLINE vf64 sum_block(const struct block *block, group_fn f, const void *user)
{
    struct group sum = {{{0}}};
    struct group index, x, y;
    set_indices(&index, block->begin);
    double i = block->begin;
    for (; i + GROUP_POINTS <= block->end; i += GROUP_POINTS) {
        set_points(&x, &index, block);
        f(&y, &x, user);
        for (int k = 0; k < GROUP; k++) {
            sum.v[k] += y.v[k];
            index.v[k] += GROUP_POINTS;
        }
    }
    if (i < block->end) {
        set_points(&x, &index, block);
        f(&y, &x, user);
        for (int k = 0; k < GROUP; k++)
            sum.v[k] += select_f64(index.v[k] < block->end, y.v[k], splat_f64(0));
    }
    return add_up(&sum);
}

ALWAYS_INLINE void sum_points(const struct sp__points *points, double begin, double end,
                              struct sp__sum *result, block_fn f, const void *user)
{
    vf64 sum = {0};
    vf64 rest = {0};
    for (double i = begin; i < end; i += BLOCK_POINTS) {
        struct block block = {points->a, points->h, i, fmin(i + BLOCK_POINTS, end)};
        vf64 x = f(&block, user);
        vf64 s = sum + x; /* sp__two_sum(), lane by lane */
        vf64 virtual_x = s - sum;
        rest += (sum - (s - virtual_x)) + (x - virtual_x);
        sum = s;
    }
    for (int lane = 0; lane < LANES_F64; lane++) {
        struct sp__sum part = {sum[lane], rest[lane]};
        sp__sum_merge(result, &part);
    }
}

/* ---------------------------------------------------------------- cos, sin */

/* Where a half period of a sine has its zero: at c + low, |low| <= ulp(c). */
struct zero {
    double high;
    double low;
};

static struct zero zero_at(double q)
{
    struct zero zero;
    zero.high = q * PI_1;
    if (HAS_FMA)
        zero.low = fma(q, PI_1, -zero.high) + q * PI_2;
    else
        zero.low = q * PI_2 + q * PI_3; /* and q * PI_1 is exact */
    return zero;
}

/* The half period that x is in, from one zero's left to its right. */
static double half_period(double x, double phase)
{
    return rint(x * INVERSE_PI - phase);
}

ALWAYS_INLINE void shifted_sin(struct group *y, const struct group *x, const void *user)
{
    const struct zero *zero = user;
    for (int k = 0; k < GROUP; k++)
        y->v[k] = sin_half_period((x->v[k] - zero->high) - zero->low);
}

ALWAYS_INLINE void group_cos(struct group *y, const struct group *x, const void *user)
{
    (void)user;
    for (int k = 0; k < GROUP; k++)
        y->v[k] = vector_cos(x->v[k]);
}

ALWAYS_INLINE void group_sin(struct group *y, const struct group *x, const void *user)
{
    (void)user;
    for (int k = 0; k < GROUP; k++)
        y->v[k] = vector_sin(x->v[k]);
}

/*
 * Where the points are dense, nearly every block lies in one half period. Then
 * the argument reduction is two subtractions and the sign is a matter of the
 * whole block: a fifth fewer multiplications. `phase` is 1/2 for cos, which is
 * a sine whose zeros are half a period further on, and 0 for sin.
 */
ALWAYS_INLINE vf64 sum_trig_block(const struct block *block, double phase, group_fn f)
{
    double first = half_period(block->a + block->begin * block->h, phase);
    double last = half_period(block->a + (block->end - 1) * block->h, phase);
    if (first != last)
        return sum_block(block, f, NULL);

    struct zero zero = zero_at(first + phase);
    vf64 sum = sum_block(block, shifted_sin, &zero);
    int falls = ((int)first & 1) != (phase != 0); /* cos falls at +pi/2 */
    return falls ? -sum : sum;
}

static vf64 sum_cos_block(const struct block *block, const void *user)
{
    (void)user;
    return sum_trig_block(block, 0.5, group_cos);
}

static vf64 sum_sin_block(const struct block *block, const void *user)
{
    (void)user;
    return sum_trig_block(block, 0.0, group_sin);
}

static void sum_cos(const struct sp__points *points, double begin, double end,
                    struct sp__sum *sum)
{
    sum_points(points, begin, end, sum, sum_cos_block, NULL);
}

static void sum_sin(const struct sp__points *points, double begin, double end,
                    struct sp__sum *sum)
{
    sum_points(points, begin, end, sum, sum_sin_block, NULL);
}

/* ----------------------------------------------------------- exp, log, sqrt */

ALWAYS_INLINE void group_exp(struct group *y, const struct group *x, const void *user)
{
    (void)user;
    for (int k = 0; k < GROUP; k++)
        y->v[k] = vector_exp(x->v[k]);
}

ALWAYS_INLINE void group_log(struct group *y, const struct group *x, const void *user)
{
    (void)user;
    for (int k = 0; k < GROUP; k++)
        y->v[k] = vector_log(x->v[k]);
}

ALWAYS_INLINE void group_sqrt(struct group *y, const struct group *x, const void *user)
{
    (void)user;
    for (int k = 0; k < GROUP; k++)
        y->v[k] = sqrt_f64(x->v[k]);
}

static vf64 sum_exp_block(const struct block *block, const void *user)
{
    return sum_block(block, group_exp, user);
}

static vf64 sum_log_block(const struct block *block, const void *user)
{
    return sum_block(block, group_log, user);
}

static vf64 sum_sqrt_block(const struct block *block, const void *user)
{
    return sum_block(block, group_sqrt, user);
}

static void sum_exp(const struct sp__points *points, double begin, double end,
                    struct sp__sum *sum)
{
    sum_points(points, begin, end, sum, sum_exp_block, NULL);
}

static void sum_log(const struct sp__points *points, double begin, double end,
                    struct sp__sum *sum)
{
    sum_points(points, begin, end, sum, sum_log_block, NULL);
}

static void sum_sqrt(const struct sp__points *points, double begin, double end,
                     struct sp__sum *sum)
{
    sum_points(points, begin, end, sum, sum_sqrt_block, NULL);
}

/* -------------------------------------------------------------- polynomials */

struct polynomial {
    const double *c;
    size_t n_c;
};

/* The vectors of a group take turns: Horner's rule is one long chain. */
ALWAYS_INLINE void group_horner(struct group *y, const struct group *x,
                                const void *user)
{
    const struct polynomial *p = user;
    struct group sum;
    for (int k = 0; k < GROUP; k++)
        sum.v[k] = splat_f64(p->c[p->n_c - 1]);
    for (size_t j = p->n_c - 1; j-- > 0;) {
        for (int k = 0; k < GROUP; k++)
            sum.v[k] = sum.v[k] * x->v[k] + p->c[j];
    }
    *y = sum;
}

static vf64 sum_polynomial_block(const struct block *block, const void *user)
{
    return sum_block(block, group_horner, user);
}

static void sum_polynomial(const struct sp__points *points, const double *c, size_t n_c,
                           double begin, double end, struct sp__sum *sum)
{
    struct polynomial p = {c, n_c};
    sum_points(points, begin, end, sum, sum_polynomial_block, &p);
}

const struct sp__integrate_table SP__ISA_NAME(sp__integrate) = {
    .math =
        {
            [SP_MATH_COS] = sum_cos,
            [SP_MATH_SIN] = sum_sin,
            [SP_MATH_EXP] = sum_exp,
            [SP_MATH_LOG] = sum_log,
            [SP_MATH_SQRT] = sum_sqrt,
        },
    .polynomial = sum_polynomial,
};
