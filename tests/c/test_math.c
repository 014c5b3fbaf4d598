#include <float.h>
#include <math.h>

#include "check.h"
#include "kernels/dispatch.h"

#define PI 3.14159265358979323846

/* The C library in more bits, as the truth. */
static long double exact(sp_math fn, double x)
{
    switch (fn) {
    case SP_MATH_COS:
        return cosl(x);
    case SP_MATH_SIN:
        return sinl(x);
    case SP_MATH_EXP:
        return expl(x);
    case SP_MATH_LOG:
        return logl(x);
    case SP_MATH_SQRT:
        return sqrtl(x);
    }
    return 0;
}

/* The distance to the truth in units in its last place. */
static double ulps(double y, long double truth)
{
    int exponent;
    frexpl(truth, &exponent);
    if (exponent < DBL_MIN_EXP)
        exponent = DBL_MIN_EXP;
    return (double)fabsl(((long double)y - truth) / ldexpl(1, exponent - DBL_MANT_DIG));
}

static double uniform(double low, double high)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return low + (high - low) * ((double)(state >> 11) * 0x1p-53);
}

enum { N = 4099 };

static void check_range(sp_math fn, double low, double high, double limit)
{
    double x[N], y[N];
    double worst = 0, worst_x = low;
    for (long round = 0; round < check_rounds(20); round++) {
        for (int i = 0; i < N; i++)
            x[i] = uniform(low, high);
        CHECK_EQ(sp_math_array(fn, x, y, N), SP_OK);
        for (int i = 0; i < N; i++) {
            double error = ulps(y[i], exact(fn, x[i]));
            if (!(error <= worst)) {
                worst = error;
                worst_x = x[i];
            }
        }
    }
    CHECK(worst <= limit, "%s: function %d in %g ... %g: %.3f ulp at %.17g", sp_isa(),
          (int)fn, low, high, worst, worst_x);
    printf("  function %d in %g ... %g: at most %.3f ulp\n", (int)fn, low, high, worst);
}

static void errors_are_within_the_promised_ulps(void)
{
    check_range(SP_MATH_COS, -3.2, 3.2, 2.0);
    check_range(SP_MATH_COS, -1e5, 1e5, 2.0);
    check_range(SP_MATH_COS, 1e5, 1e300, 2.0);
    check_range(SP_MATH_SIN, -3.2, 3.2, 2.0);
    check_range(SP_MATH_SIN, -1e-8, 1e-8, 2.0);
    check_range(SP_MATH_SIN, -1e5, 1e5, 2.0);
    check_range(SP_MATH_SIN, 1e5, 1e300, 2.0);
    check_range(SP_MATH_EXP, -1, 1, 1.5);
    check_range(SP_MATH_EXP, -708, 709.78, 1.5);
    check_range(SP_MATH_EXP, -745.2, -708, 1.5);
    check_range(SP_MATH_LOG, 0.5, 2, 1.5);
    check_range(SP_MATH_LOG, 1 - 1e-6, 1 + 1e-6, 1.5);
    check_range(SP_MATH_LOG, 0, 1e300, 1.5);
    check_range(SP_MATH_LOG, 0, 1e-307, 1.5);
    check_range(SP_MATH_SQRT, 0, 1e300, 0.5001);
    check_range(SP_MATH_SQRT, 0, 1e-307, 0.5001);
}

/* Where the result is next to zero, every bit of the reduction counts. */
static void zeros_of_cos_and_sin_are_right_to_the_last_bits(void)
{
    double worst = 0;
    for (int n = -63600; n <= 63600; n++) {
        double x = n * (PI / 2), y;
        sp_math fn = n & 1 ? SP_MATH_COS : SP_MATH_SIN;
        CHECK_EQ(sp_math_array(fn, &x, &y, 1), SP_OK);
        /* x87 has 64 bits of pi; the C library's double function has enough. */
        double truth = fn == SP_MATH_COS ? cos(x) : sin(x);
        worst = fmax(worst, ulps(y, truth));
    }
    CHECK(worst <= 2.0, "%s: %.3f ulp", sp_isa(), worst);
}

static int same(double a, double b)
{
    return isnan(a) ? isnan(b) : a == b && signbit(a) == signbit(b);
}

static void check_special(sp_math fn, double x, double expected)
{
    double y;
    CHECK_EQ(sp_math_array(fn, &x, &y, 1), SP_OK);
    CHECK(same(y, expected), "%s: function %d of %g is %g, not %g", sp_isa(), (int)fn,
          x, y, expected);
}

static void special_values_are_as_in_the_c_library(void)
{
    static const double values[] = {
        0.0,   -0.0,  INFINITY, -INFINITY, NAN,           -1.0, 709.79,
        710.0, 1e300, -746,     -1e300,    -DBL_MAX,      -2.5, -745.14,
        1.0,   1e5,   DBL_MAX,  -1e5,      -DBL_TRUE_MIN,
    };
    for (int fn = 0; fn < SP_MATH_COUNT; fn++) {
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
            double x = values[i];
            double truth = (double)exact((sp_math)fn, x);
            if (!isfinite(truth) || truth == 0)
                check_special((sp_math)fn, x, truth);
        }
    }
    check_special(SP_MATH_COS, 0.0, 1.0);
    check_special(SP_MATH_COS, -0.0, 1.0);
    check_special(SP_MATH_EXP, 0.0, 1.0);
    check_special(SP_MATH_EXP, -0.0, 1.0);
    check_special(SP_MATH_LOG, 1.0, 0.0);
    check_special(SP_MATH_SIN, DBL_TRUE_MIN, DBL_TRUE_MIN);
    check_special(SP_MATH_EXP, -745.13, DBL_TRUE_MIN);
    check_special(SP_MATH_LOG, DBL_TRUE_MIN, log(DBL_TRUE_MIN));
}

/* Among neighbours of all kinds, at every place, for every length, in place. */
static void a_result_depends_on_its_argument_alone(void)
{
    enum { LENGTH = 300 };
    static const double odd_ones[] = {NAN, INFINITY, 1e7, -0.0, 1e-310, -5};
    double x[LENGTH], y[LENGTH];
    for (int fn = 0; fn < SP_MATH_COUNT; fn++) {
        for (size_t n = 0; n <= LENGTH; n = n < 40 ? n + 1 : n + 37) {
            for (size_t i = 0; i < n; i++)
                x[i] = i % 7 == 3 ? odd_ones[i % 6] : uniform(0, 100);
            memcpy(y, x, sizeof y);
            CHECK_EQ(sp_math_array((sp_math)fn, y, y, n), SP_OK);
            for (size_t i = 0; i < n; i++) {
                double alone;
                CHECK_EQ(sp_math_array((sp_math)fn, &x[i], &alone, 1), SP_OK);
                CHECK(same(y[i], alone), "function %d, %zu of %zu", fn, i, n);
            }
        }
    }
}

static void nothing_is_written_beyond_the_end(void)
{
    double y[70];
    for (size_t n = 0; n < 69; n++) {
        double c[2] = {1, 2};
        for (int i = 0; i < 70; i++)
            y[i] = 7;
        CHECK_EQ(sp_math_array(SP_MATH_COS, y, y, n), SP_OK);
        CHECK_EQ(sp_polynomial_array(c, 2, y, y, n), SP_OK);
        for (size_t i = n; i < 70; i++)
            CHECK(y[i] == 7, "%zu of %zu", i, n);
    }
}

static void polynomials_follow_horner(void)
{
    double c[SP_MAX_COEFFICIENTS], x[77], y[77];
    for (int j = 0; j < SP_MAX_COEFFICIENTS; j++)
        c[j] = uniform(-1, 1);
    for (int i = 0; i < 77; i++)
        x[i] = uniform(-1, 1);
    for (size_t n_c = 1; n_c <= SP_MAX_COEFFICIENTS; n_c++) {
        CHECK_EQ(sp_polynomial_array(c, n_c, x, y, 77), SP_OK);
        for (int i = 0; i < 77; i++) {
            long double truth = 0, scale = 0;
            for (size_t j = n_c; j-- > 0;) {
                truth = truth * x[i] + c[j];
                scale = scale * fabsl(x[i]) + fabs(c[j]);
            }
            CHECK(fabsl(y[i] - truth) <= scale * 2e-16L * (long double)(n_c + 1),
                  "%zu coefficients at %g", n_c, x[i]);
        }
    }
}

static void wrong_arguments_are_refused(void)
{
    double c[SP_MAX_COEFFICIENTS + 1] = {0}, x = 1, y = 7;
    CHECK_EQ(sp_math_array((sp_math)SP_MATH_COUNT, &x, &y, 1), SP_EINVAL);
    CHECK_EQ(sp_polynomial_array(c, 0, &x, &y, 1), SP_EINVAL);
    CHECK_EQ(sp_polynomial_array(c, SP_MAX_COEFFICIENTS + 1, &x, &y, 1), SP_EINVAL);
    CHECK(y == 7);
}

int main(void)
{
    static const char *const levels[] = {"baseline", "v3", "v4"};
    for (int i = 0; i < 3; i++) {
        if (sp__kernels_use(levels[i]) != SP_OK)
            continue;
        printf("%s\n", sp_isa());
        RUN(errors_are_within_the_promised_ulps);
        RUN(zeros_of_cos_and_sin_are_right_to_the_last_bits);
        RUN(special_values_are_as_in_the_c_library);
        RUN(a_result_depends_on_its_argument_alone);
        RUN(nothing_is_written_beyond_the_end);
        RUN(polynomials_follow_horner);
        RUN(wrong_arguments_are_refused);
    }
    return 0;
}
