/* call.h: arguments reach a C function whatever their order and number. */
#include "kernels/call.h"

#include "check.h"

/* Arguments of one kind are told apart by their place: digits of a number. */

static double mixed(int64_t a, double b, int64_t c, double d)
{
    return (double)a + 10 * b + 100 * (double)c + 1000 * d;
}

static double real_first(double a, double b, int64_t c)
{
    return a + 10 * b + 100 * (double)c;
}

static int64_t twelve_integers(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e,
                               int64_t f, int64_t g, int64_t h, int64_t i, int64_t j,
                               int64_t k, int64_t l)
{
    const int64_t all[] = {a, b, c, d, e, f, g, h, i, j, k, l};
    int64_t number = 0;
    for (int n = 0; n < 12; n++)
        number = 10 * number + all[n];
    return number;
}

static double eight_reals_among_integers(int64_t a, double s, int64_t b, double t,
                                         double u, double v, int64_t c, double w,
                                         double x, double y, double z, int64_t d,
                                         int64_t e, int64_t f, int64_t g)
{
    const double all[] = {s, t, u, v, w, x, y, z};
    double number = 0;
    for (int n = 0; n < 8; n++)
        number = 10 * number + all[n];
    return number + 1e8 * (double)(a + b + c + d + e + f + g);
}

static float half(float x)
{
    return x / 2;
}

static void store(double *to, double value)
{
    *to = value;
}

static struct sp__call_shape shape_of(unsigned integers, unsigned floats,
                                      enum sp__call_result result)
{
    struct sp__call_shape shape = sp__call_round_up(integers, floats, result);
    CHECK(shape.integers >= integers && shape.floats >= floats);
    return shape;
}

static void integers_and_reals_may_alternate(void)
{
    struct sp__call_shape shape = shape_of(2, 2, SP__RESULT_REAL);
    union sp__word words[SP__CALL_MAX_INTEGERS + SP__CALL_MAX_FLOATS] = {{0}};
    words[0].integer = 1;
    words[1].integer = 3;
    words[shape.integers].real = 2;
    words[shape.integers + 1].real = 4;
    CHECK_EQ(sp__call((sp__callee_fn)mixed, shape, words).real, 4321);
}

static void reals_may_come_first(void)
{
    struct sp__call_shape shape = shape_of(1, 2, SP__RESULT_REAL);
    union sp__word words[SP__CALL_MAX_INTEGERS + SP__CALL_MAX_FLOATS] = {{0}};
    words[0].integer = 3;
    words[shape.integers].real = 1;
    words[shape.integers + 1].real = 2;
    CHECK_EQ(sp__call((sp__callee_fn)real_first, shape, words).real, 321);
}

static void integers_beyond_the_registers_arrive_in_order(void)
{
    struct sp__call_shape shape = shape_of(12, 0, SP__RESULT_INTEGER);
    union sp__word words[SP__CALL_MAX_INTEGERS + SP__CALL_MAX_FLOATS] = {{0}};
    for (int n = 0; n < 12; n++)
        words[n].integer = (n + 1) % 10;
    CHECK_EQ(sp__call((sp__callee_fn)twelve_integers, shape, words).integer,
             123456789012);
}

static void eight_reals_and_seven_integers_arrive(void)
{
    struct sp__call_shape shape = shape_of(7, 8, SP__RESULT_REAL);
    union sp__word words[SP__CALL_MAX_INTEGERS + SP__CALL_MAX_FLOATS] = {{0}};
    for (int n = 0; n < 7; n++)
        words[n].integer = 1;
    for (int n = 0; n < 8; n++)
        words[shape.integers + n].real = n + 1;
    CHECK_EQ(sp__call((sp__callee_fn)eight_reals_among_integers, shape, words).real,
             712345678);
}

static void a_float_travels_in_the_low_half(void)
{
    struct sp__call_shape shape = shape_of(0, 1, SP__RESULT_REAL);
    union sp__word words[SP__CALL_MAX_INTEGERS + SP__CALL_MAX_FLOATS] = {{0}};
    words[shape.integers].real32 = 3.0f;
    CHECK(sp__call((sp__callee_fn)half, shape, words).real32 == 1.5f);
}

static void a_pointer_is_an_integer(void)
{
    struct sp__call_shape shape = shape_of(1, 1, SP__RESULT_INTEGER);
    union sp__word words[SP__CALL_MAX_INTEGERS + SP__CALL_MAX_FLOATS] = {{0}};
    double to = 0;
    words[0].pointer = &to;
    words[shape.integers].real = 7;
    sp__call((sp__callee_fn)store, shape, words);
    CHECK_EQ(to, 7);
}

static void few_arguments_make_a_small_call(void)
{
    struct sp__call_shape few = shape_of(1, 1, SP__RESULT_REAL);
    struct sp__call_shape many = shape_of(3, 1, SP__RESULT_REAL);
    CHECK(few.integers + few.floats < many.integers + many.floats);
}

int main(void)
{
    RUN(integers_and_reals_may_alternate);
    RUN(reals_may_come_first);
    RUN(integers_beyond_the_registers_arrive_in_order);
    RUN(eight_reals_and_seven_integers_arrive);
    RUN(a_float_travels_in_the_low_half);
    RUN(a_pointer_is_an_integer);
    RUN(few_arguments_make_a_small_call);
    return 0;
}
