#include "kernels/integrate.h"

#include <math.h>

#include "kernels/dispatch.h"

/* The unit of splitting for the functions we know: 4 to 60 microseconds. */
#define PIECE_POINTS 8192

/* Any other function may be slow, so that a few points are worth a thread. */
#define LEAST_PIECE_POINTS 8
#define PIECES_WANTED 256

/* Points that are evaluated at once where there is no fused kernel. */
enum { BUFFER_POINTS = 256 };

struct integral {
    const struct sp__kernels *kernels;
    const sp_integrand *f;
    struct sp__points points;
    int64_t n;
    int64_t piece_points;
};

static double point(const struct integral *integral, double i)
{
    return integral->points.a + i * integral->points.h;
}

/* Is the vector function right at all points from begin to end-1? They are
 * monotonic, so the ends tell. NaN: no. */
static int is_in_domain(const struct integral *integral, double begin, double end)
{
    sp_math math = integral->f->math;
    if (math != SP_MATH_COS && math != SP_MATH_SIN)
        return 1;
    return fabs(point(integral, begin)) <= SP__TRIG_LIMIT &&
           fabs(point(integral, end)) <= SP__TRIG_LIMIT;
}

static void sum_math(const struct integral *integral, double begin, double end,
                     struct sp__sum *sum)
{
    sp_math math = integral->f->math;
    if (is_in_domain(integral, begin, end)) {
        integral->kernels->integrate->math[math](&integral->points, begin, end, sum);
        return;
    }
    double x[BUFFER_POINTS];
    for (double i = begin; i < end; i += BUFFER_POINTS) {
        size_t n = (size_t)fmin(BUFFER_POINTS, end - i);
        for (size_t k = 0; k < n; k++)
            x[k] = point(integral, i + (double)k);
        integral->kernels->math->map[math](x, x, n);
        for (size_t k = 0; k < n; k++)
            sp__sum_add(sum, x[k]);
    }
}

static void sum_scalar(const struct integral *integral, double begin, double end,
                       struct sp__sum *sum)
{
    double (*f)(double) = integral->f->scalar;
    for (double i = begin; i < end; i++)
        sp__sum_add(sum, f(point(integral, i)));
}

static void sum_scalar_user(const struct integral *integral, double begin, double end,
                            struct sp__sum *sum)
{
    double (*f)(double, void *) = integral->f->scalar_user;
    void *user = integral->f->user;
    for (double i = begin; i < end; i++)
        sp__sum_add(sum, f(point(integral, i), user));
}

/* Add the points of the pieces begin ... end-1. */
static int sum_pieces(intptr_t begin, intptr_t end, void *acc, void *user)
{
    const struct integral *integral = user;
    const sp_integrand *f = integral->f;
    for (intptr_t piece = begin; piece < end; piece++) {
        struct sp__sum sum = {0, 0};
        if (sp_cancelled()) /* a loop's own piece may be minutes long */
            return SP_ECANCELLED;
        double from = (double)(piece * integral->piece_points);
        double to = fmin(from + (double)integral->piece_points, (double)integral->n);
        switch (f->kind) {
        case SP_INTEGRAND_MATH:
            sum_math(integral, from, to, &sum);
            break;
        case SP_INTEGRAND_POLYNOMIAL:
            integral->kernels->integrate->polynomial(&integral->points, f->coefficients,
                                                     f->n_coefficients, from, to, &sum);
            break;
        case SP_INTEGRAND_SCALAR:
            sum_scalar(integral, from, to, &sum);
            break;
        case SP_INTEGRAND_SCALAR_USER:
            sum_scalar_user(integral, from, to, &sum);
            break;
        }
        sp__sum_merge(acc, &sum);
    }
    return 0;
}

static void combine_sums(void *into, const void *from, void *user)
{
    (void)user;
    sp__sum_merge(into, from);
}

/* The places where a sum is cut depend on this alone. */
static int64_t choose_piece_points(const sp_integrand *f, int64_t n)
{
    if (f->kind == SP_INTEGRAND_MATH || f->kind == SP_INTEGRAND_POLYNOMIAL)
        return PIECE_POINTS;
    int64_t points = n / PIECES_WANTED;
    if (points < LEAST_PIECE_POINTS)
        return LEAST_PIECE_POINTS;
    return points < PIECE_POINTS ? points : PIECE_POINTS;
}

static int is_valid(const sp_integrand *f)
{
    switch (f->kind) {
    case SP_INTEGRAND_MATH:
        return (unsigned)f->math < SP_MATH_COUNT;
    case SP_INTEGRAND_POLYNOMIAL:
        return f->coefficients && f->n_coefficients >= 1 &&
               f->n_coefficients <= SP_MAX_COEFFICIENTS;
    case SP_INTEGRAND_SCALAR:
        return f->scalar != NULL;
    case SP_INTEGRAND_SCALAR_USER:
        return f->scalar_user != NULL;
    }
    return 0;
}

int sp_integrate(sp_pool *pool, const sp_integrand *f, double a, double b, int64_t n,
                 double *ret_value)
{
    if (!f || !is_valid(f) || n < 1 || n > SP_MAX_POINTS)
        return SP_EINVAL;

    struct integral integral = {
        .kernels = sp__kernels(),
        .f = f,
        .points = {a, (b - a) / (double)n},
        .n = n,
        .piece_points = choose_piece_points(f, n),
    };
    struct sp__sum sum = {0, 0};
    int64_t pieces = (n - 1) / integral.piece_points + 1;
    int code = sp_parallel_reduce(pool, 0, (intptr_t)pieces, 1, sum_pieces,
                                  combine_sums, &sum, sizeof sum, &integral);
    if (code != 0)
        return code;
    /* An infinite sum has no rest. */
    *ret_value = integral.points.h * (isfinite(sum.sum) ? sum.sum + sum.rest : sum.sum);
    return SP_OK;
}
