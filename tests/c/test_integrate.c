#include <math.h>

#include "check.h"
#include "kernels/dispatch.h"

#define PI 3.14159265358979323846

static const double square_plus_one[] = {1, 0, 1};

static double cosine_with_user(double x, void *user)
{
    return cos(x) * *(double *)user;
}

static double one = 1;

/* One integrand of each kind and function. */
static const sp_integrand integrands[] = {
    {.kind = SP_INTEGRAND_MATH, .math = SP_MATH_COS},
    {.kind = SP_INTEGRAND_MATH, .math = SP_MATH_SIN},
    {.kind = SP_INTEGRAND_MATH, .math = SP_MATH_EXP},
    {.kind = SP_INTEGRAND_MATH, .math = SP_MATH_LOG},
    {.kind = SP_INTEGRAND_MATH, .math = SP_MATH_SQRT},
    {.kind = SP_INTEGRAND_POLYNOMIAL,
     .coefficients = square_plus_one,
     .n_coefficients = 3},
    {.kind = SP_INTEGRAND_SCALAR, .scalar = cos},
    {.kind = SP_INTEGRAND_SCALAR_USER, .scalar_user = cosine_with_user, .user = &one},
};

enum { N_INTEGRANDS = sizeof integrands / sizeof integrands[0] };

static long double exact_value(const sp_integrand *f, long double x)
{
    long double (*const functions[])(long double) = {cosl, sinl, expl, logl, sqrtl};
    if (f->kind == SP_INTEGRAND_MATH)
        return functions[f->math](x);
    if (f->kind == SP_INTEGRAND_POLYNOMIAL)
        return 1 + x * x;
    return cosl(x);
}

static double integral(sp_pool *pool, const sp_integrand *f, double a, double b,
                       int64_t n)
{
    double value;
    CHECK_EQ(sp_integrate(pool, f, a, b, n, &value), SP_OK);
    return value;
}

static void check_sum(const sp_integrand *f, double a, double b, int64_t n)
{
    /* The points are rounded, so the terms are off by f' times half an ulp. */
    double h = (b - a) / (double)n;
    long double sum = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        long double term = exact_value(f, a + (double)i * h);
        sum += term;
        size += fabsl(term);
    }
    double slope = fmax(1, fmax(fabs(a), fabs(b)));
    double value = integral(NULL, f, a, b, n);
    double error = (double)fabsl(value - sum * h);
    double limit = (double)size * fabs(h) * 5e-16 * slope;
    CHECK(error <= limit, "%s: kind %d, %d: %.17g for %g ... %g, %jd points: off by %g",
          sp_isa(), (int)f->kind, (int)f->math, value, a, b, (intmax_t)n, error);
}

static void sums_are_right_for_any_number_of_points(void)
{
    static const int64_t sizes[] = {1,   2,   7,    8,    63,   511,
                                    512, 513, 8191, 8192, 8193, 50001};
    for (int k = 0; k < N_INTEGRANDS; k++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            check_sum(&integrands[k], 0.25, 3.5, sizes[i]);
            check_sum(&integrands[k], 3.5, 0.25, sizes[i]);
        }
    }
}

static void cos_and_sin_are_right_for_dense_sparse_and_distant_points(void)
{
    for (int k = 0; k < 2; k++) {
        check_sum(&integrands[k], -40, 40, 100000);
        check_sum(&integrands[k], -1000, 1000, 10000);
        check_sum(&integrands[k], 1e5 - 10, 1e5 + 10, 20000);
        check_sum(&integrands[k], 1e7, 1e7 + 1, 1000);
        check_sum(&integrands[k], -PI / 2, PI / 2, 4096);
    }
}

static void a_million_cosines_integrate_to_one(void)
{
    /* The left rule is h/2 too large, less h^2/12. */
    double h = PI / 2 / 1e6;
    double value = integral(NULL, &integrands[0], 0, PI / 2, 1000000);
    CHECK(fabs(value - (1 + h / 2 - h * h / 12)) <= 4e-16, "%.17g", value);
}

static void the_number_of_threads_changes_no_bit(void)
{
    for (uint32_t workers = 1; workers <= 4; workers++) {
        sp_pool *pool;
        sp_pool_options options = {.workers = workers};
        CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
        for (int k = 0; k < N_INTEGRANDS; k++) {
            for (int64_t n = 10000; n < 2000000; n *= 13) {
                double alone = integral(NULL, &integrands[k], 0.1, 7, n);
                double together = integral(pool, &integrands[k], 0.1, 7, n);
                CHECK(memcmp(&alone, &together, sizeof alone) == 0,
                      "%u workers, integrand %d, %jd points: %.17g and %.17g", workers,
                      k, (intmax_t)n, alone, together);
            }
        }
        sp_pool_free(pool);
    }
}

static void infinite_and_nan_come_out_as_the_formula_gives(void)
{
    CHECK(integral(NULL, &integrands[3], 0, 1, 10000) == -INFINITY); /* log(0) */
    CHECK(isnan(integral(NULL, &integrands[3], -1, 1, 10000)));
    CHECK(isnan(integral(NULL, &integrands[0], 0, INFINITY, 100)));
    CHECK(isnan(integral(NULL, &integrands[0], NAN, 1, 100)));
    CHECK(integral(NULL, &integrands[2], 0, 1e4, 20000) == INFINITY);
    CHECK(integral(NULL, &integrands[0], 2, 2, 100) == 0);
}

static void check_refused(const sp_integrand *f, int64_t n)
{
    double value = 7;
    CHECK_EQ(sp_integrate(NULL, f, 0, 1, n, &value), SP_EINVAL);
    CHECK(value == 7);
}

static void wrong_arguments_are_refused(void)
{
    double c[1] = {1};
    sp_integrand no_kind = {.kind = (sp_integrand_kind)9};
    sp_integrand no_math = {.kind = SP_INTEGRAND_MATH, .math = (sp_math)SP_MATH_COUNT};
    sp_integrand no_scalar = {.kind = SP_INTEGRAND_SCALAR};
    sp_integrand no_user = {.kind = SP_INTEGRAND_SCALAR_USER};
    sp_integrand nothing = {.kind = SP_INTEGRAND_POLYNOMIAL, .coefficients = c};
    sp_integrand too_many = {.kind = SP_INTEGRAND_POLYNOMIAL,
                             .coefficients = c,
                             .n_coefficients = SP_MAX_COEFFICIENTS + 1};
    check_refused(&integrands[0], 0);
    check_refused(&integrands[0], -1);
    check_refused(&integrands[0], SP_MAX_POINTS + 1);
    check_refused(NULL, 1);
    check_refused(&no_kind, 1);
    check_refused(&no_math, 1);
    check_refused(&no_scalar, 1);
    check_refused(&no_user, 1);
    check_refused(&nothing, 1);
    check_refused(&too_many, 1);
}

int main(void)
{
    static const char *const levels[] = {"baseline", "v3", "v4"};
    for (int i = 0; i < 3; i++) {
        if (sp__kernels_use(levels[i]) != SP_OK)
            continue;
        printf("%s\n", sp_isa());
        RUN(sums_are_right_for_any_number_of_points);
        RUN(cos_and_sin_are_right_for_dense_sparse_and_distant_points);
        RUN(a_million_cosines_integrate_to_one);
        RUN(the_number_of_threads_changes_no_bit);
        RUN(infinite_and_nan_come_out_as_the_formula_gives);
    }
    RUN(wrong_arguments_are_refused);
    return 0;
}
