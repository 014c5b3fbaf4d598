#include "kernels/call.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "sp__call() is written for the System V x86-64 and AAPCS64 conventions"
#endif

/* In the words of each form, integers come first, then floats, then the stack. */
#define FEW_INTEGERS 2
#define FEW_FLOATS 2

bool sp__call_lay_out(const uint8_t *classes, unsigned n, enum sp__call_class result,
                      struct sp__call_shape *ret_shape, uint8_t *ret_words)
{
    unsigned integers = 0, floats = 0;
    if (n > SP__CALL_MAX)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (classes[i] == SP__CALL_REAL)
            floats++;
        else
            integers++;
    }
    unsigned beyond =
        (integers > SP__CALL_INTEGERS ? integers - SP__CALL_INTEGERS : 0) +
        (floats > SP__CALL_FLOATS ? floats - SP__CALL_FLOATS : 0);
    if (beyond > SP__CALL_STACK)
        return false;

    struct sp__call_shape shape = {.result = (uint8_t)result};
    unsigned integer_words = SP__CALL_INTEGERS, float_words = SP__CALL_FLOATS;
    if (integers == 0 && floats > 0 && floats <= FEW_FLOATS) {
        shape.form = SP__CALL_FEW_REALS;
        integer_words = 0;
        float_words = floats;
    } else if (floats == 0 && integers <= FEW_INTEGERS) {
        shape.form = SP__CALL_FEW_INTEGERS;
        integer_words = integers > 0 ? integers : 1;
        float_words = 0;
    } else if (integers <= FEW_INTEGERS && floats <= FEW_FLOATS) {
        shape.form = SP__CALL_FEW;
        integer_words = FEW_INTEGERS;
        float_words = FEW_FLOATS;
    } else {
        shape.form = beyond ? SP__CALL_ALL : SP__CALL_REGISTERS;
    }
    unsigned next_integer = 0, next_float = integer_words;
    unsigned next_stack = integer_words + float_words;
    for (unsigned i = 0; i < n; i++) {
        if (classes[i] == SP__CALL_REAL)
            ret_words[i] =
                (uint8_t)(next_float < integer_words + float_words ? next_float++
                                                                   : next_stack++);
        else
            ret_words[i] =
                (uint8_t)(next_integer < integer_words ? next_integer++ : next_stack++);
    }
    shape.words = (uint8_t)(integer_words + float_words +
                            (shape.form == SP__CALL_ALL ? SP__CALL_STACK : 0));
    *ret_shape = shape;
    return true;
}

#define FEW_TYPES int64_t, int64_t, double, double
#define FEW_WORDS(w) (w)[0].integer, (w)[1].integer, (w)[2].real, (w)[3].real

#define TWO_INTEGERS int64_t, int64_t
#define TWO_REALS double, double
#define FOUR_INTEGERS int64_t, int64_t, int64_t, int64_t
#define FOUR_REALS double, double, double, double
#define FOUR(w, field) (w)[0].field, (w)[1].field, (w)[2].field, (w)[3].field
#define EIGHT(w, field) FOUR(w, field), FOUR((w) + 4, field)

#if SP__CALL_INTEGERS == 8
#define INTEGER_TYPES FOUR_INTEGERS, FOUR_INTEGERS
#define INTEGER_WORDS(w) EIGHT(w, integer)
#else
#define INTEGER_TYPES FOUR_INTEGERS, int64_t, int64_t
#define INTEGER_WORDS(w) FOUR(w, integer), (w)[4].integer, (w)[5].integer
#endif

#define REGISTER_TYPES INTEGER_TYPES, FOUR_REALS, FOUR_REALS
#define REGISTER_WORDS(w) INTEGER_WORDS(w), EIGHT((w) + SP__CALL_INTEGERS, real)

/* With all registers taken, integers go to the stack as they stand. That a callee
 * may take some of them for doubles does not matter: they are copied bit by bit. */
#if SP__CALL_STACK > 0
#define ALL_TYPES \
    REGISTER_TYPES, FOUR_INTEGERS, FOUR_INTEGERS, FOUR_INTEGERS, FOUR_INTEGERS
#define STACK_WORDS(w) EIGHT(w, integer), EIGHT((w) + 8, integer)
#define ALL_WORDS(w) \
    REGISTER_WORDS(w), STACK_WORDS((w) + SP__CALL_INTEGERS + SP__CALL_FLOATS)
#else
#define ALL_TYPES REGISTER_TYPES
#define ALL_WORDS(w) REGISTER_WORDS(w)
#endif

#define CALL(types, words)                                       \
    do {                                                         \
        union sp__word value;                                    \
        if (result == SP__CALL_REAL)                             \
            value.real = ((double (*)(types))function)words;     \
        else                                                     \
            value.integer = ((int64_t (*)(types))function)words; \
        return value;                                            \
    } while (0)

/* The last word stands for one that is not there, which nobody reads. */
static union sp__word call_few_reals(sp__callee_fn function, enum sp__call_class result,
                                     const union sp__word *words, unsigned n)
{
    double first = words[0].real, last = words[n - 1].real;
    CALL(TWO_REALS, (first, last));
}

static union sp__word call_few_integers(sp__callee_fn function,
                                        enum sp__call_class result,
                                        const union sp__word *words, unsigned n)
{
    int64_t first = words[0].integer, last = words[n - 1].integer;
    CALL(TWO_INTEGERS, (first, last));
}

static union sp__word call_few(sp__callee_fn function, enum sp__call_class result,
                               const union sp__word *words)
{
    CALL(FEW_TYPES, (FEW_WORDS(words)));
}

static union sp__word call_registers(sp__callee_fn function, enum sp__call_class result,
                                     const union sp__word *words)
{
    CALL(REGISTER_TYPES, (REGISTER_WORDS(words)));
}

static union sp__word call_all(sp__callee_fn function, enum sp__call_class result,
                               const union sp__word *words)
{
    CALL(ALL_TYPES, (ALL_WORDS(words)));
}

union sp__word sp__call(sp__callee_fn function, struct sp__call_shape shape,
                        const union sp__word *words)
{
    enum sp__call_class result = (enum sp__call_class)shape.result;
    switch ((enum sp__call_form)shape.form) {
    case SP__CALL_FEW_REALS:
        return call_few_reals(function, result, words, shape.words);
    case SP__CALL_FEW_INTEGERS:
        return call_few_integers(function, result, words, shape.words);
    case SP__CALL_FEW:
        return call_few(function, result, words);
    case SP__CALL_REGISTERS:
        return call_registers(function, result, words);
    default:
        return call_all(function, result, words);
    }
}
