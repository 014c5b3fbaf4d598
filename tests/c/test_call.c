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

/* Nine doubles, of which one goes to the stack, between integers that do, too. */
static double stack_in_order(int64_t a, double r, int64_t b, double s, int64_t c,
                             double t, int64_t d, double u, int64_t e, double v,
                             int64_t f, double w, int64_t g, double x, int64_t h,
                             double y, int64_t i, float z, int8_t j, double last)
{
    const double all[] = {(double)a, r, (double)b, s,   (double)c, t, (double)d, u,
                          (double)e, v, (double)f, w,   (double)g, x, (double)h, y,
                          (double)i, z, (double)j, last};
    double number = 0;
    for (int n = 0; n < 20; n++)
        number += (n + 1) * all[n];
    return number;
}

struct call {
    struct sp__call_shape shape;
    uint8_t at[SP__CALL_MAX];
    union sp__word words[SP__CALL_MAX];
};

/* `classes` has a letter for each argument: i for integers and pointers, r for
 * floating-point numbers. */
static struct call call_of(const char *classes, enum sp__call_class result)
{
    struct call call = {.words = {{0}}};
    uint8_t codes[SP__CALL_MAX + 1] = {0};
    unsigned n = 0;
    for (; classes[n]; n++)
        codes[n] = classes[n] == 'r' ? SP__CALL_REAL : SP__CALL_INTEGER;
    CHECK(sp__call_lay_out(codes, n, result, &call.shape, call.at));
    for (unsigned i = 0; i < n; i++) {
        CHECK(call.at[i] < call.shape.words);
        for (unsigned k = 0; k < i; k++)
            CHECK(call.at[i] != call.at[k]);
    }
    return call;
}

static union sp__word *word(struct call *call, int argument)
{
    return &call->words[call->at[argument]];
}

static void integers_and_reals_may_alternate(void)
{
    struct call call = call_of("irir", SP__CALL_REAL);
    word(&call, 0)->integer = 1;
    word(&call, 1)->real = 2;
    word(&call, 2)->integer = 3;
    word(&call, 3)->real = 4;
    CHECK_EQ(sp__call((sp__callee_fn)mixed, call.shape, call.words).real, 4321);
}

static void reals_may_come_first(void)
{
    struct call call = call_of("rri", SP__CALL_REAL);
    word(&call, 0)->real = 1;
    word(&call, 1)->real = 2;
    word(&call, 2)->integer = 3;
    CHECK_EQ(sp__call((sp__callee_fn)real_first, call.shape, call.words).real, 321);
}

static void integers_beyond_the_registers_arrive_in_order(void)
{
    struct call call = call_of("iiiiiiiiiiii", SP__CALL_INTEGER);
    for (int n = 0; n < 12; n++)
        word(&call, n)->integer = (n + 1) % 10;
    CHECK_EQ(sp__call((sp__callee_fn)twelve_integers, call.shape, call.words).integer,
             123456789012);
}

static void eight_reals_and_seven_integers_arrive(void)
{
    const char *order = "irirrrirrrriiii";
    struct call call = call_of(order, SP__CALL_REAL);
    int reals = 0;
    for (int n = 0; n < 15; n++) {
        if (order[n] == 'r')
            word(&call, n)->real = ++reals;
        else
            word(&call, n)->integer = 1;
    }
    CHECK_EQ(sp__call((sp__callee_fn)eight_reals_among_integers, call.shape, call.words)
                 .real,
             712345678);
}

static void both_kinds_beyond_the_registers_share_the_stack(void)
{
    if (SP__CALL_STACK == 0)
        return;
    const char *kinds = "iriririririririririr";
    struct call call = call_of(kinds, SP__CALL_REAL);
    double expected = 0;
    for (int n = 0; n < 20; n++) {
        double value = n % 2 ? n + 0.5 : -n;
        if (n == 17) {
            value = 1.25;
            word(&call, n)->real32 = 1.25f;
        } else if (kinds[n] == 'r') {
            word(&call, n)->real = value;
        } else {
            word(&call, n)->integer = (int64_t)value;
        }
        expected += (n + 1) * value;
    }
    CHECK_EQ(sp__call((sp__callee_fn)stack_in_order, call.shape, call.words).real,
             expected);
}

static void a_float_travels_in_the_low_half(void)
{
    struct call call = call_of("r", SP__CALL_REAL);
    word(&call, 0)->real32 = 3.0f;
    CHECK(sp__call((sp__callee_fn)half, call.shape, call.words).real32 == 1.5f);
}

static void a_pointer_is_an_integer(void)
{
    struct call call = call_of("ir", SP__CALL_INTEGER);
    double to = 0;
    word(&call, 0)->pointer = &to;
    word(&call, 1)->real = 7;
    sp__call((sp__callee_fn)store, call.shape, call.words);
    CHECK_EQ(to, 7);
}

static void few_arguments_make_a_small_call(void)
{
    struct call few = call_of("ir", SP__CALL_REAL);
    struct call more = call_of("iiir", SP__CALL_REAL);
    struct call all = call_of("rrrrrrrrr", SP__CALL_REAL);
    CHECK(few.shape.words < more.shape.words);
    CHECK(more.shape.words < all.shape.words);
}

static void more_than_the_stack_holds_is_refused(void)
{
    uint8_t classes[SP__CALL_MAX + 1] = {0}, words[SP__CALL_MAX + 1];
    struct sp__call_shape shape;
    const unsigned most = SP__CALL_INTEGERS + SP__CALL_STACK;
    CHECK(sp__call_lay_out(classes, most, SP__CALL_REAL, &shape, words));
    CHECK(!sp__call_lay_out(classes, most + 1, SP__CALL_REAL, &shape, words));
    for (unsigned i = 0; i < SP__CALL_FLOATS; i++)
        classes[i] = SP__CALL_REAL;
    CHECK(sp__call_lay_out(classes, SP__CALL_MAX, SP__CALL_REAL, &shape, words));
    CHECK(!sp__call_lay_out(classes, SP__CALL_MAX + 1, SP__CALL_REAL, &shape, words));
}

int main(void)
{
    RUN(integers_and_reals_may_alternate);
    RUN(reals_may_come_first);
    RUN(integers_beyond_the_registers_arrive_in_order);
    RUN(eight_reals_and_seven_integers_arrive);
    RUN(both_kinds_beyond_the_registers_share_the_stack);
    RUN(a_float_travels_in_the_low_half);
    RUN(a_pointer_is_an_integer);
    RUN(few_arguments_make_a_small_call);
    RUN(more_than_the_stack_holds_is_refused);
    return 0;
}
