#include "kernels/call.h"

#include <assert.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "sp__call() is written for the System V x86-64 and AAPCS64 conventions"
#endif

#define FEW_INTEGERS 2
#define FEW_FLOATS 2

struct sp__call_shape sp__call_round_up(unsigned integers, unsigned floats,
                                        enum sp__call_result result)
{
    assert(integers <= SP__CALL_MAX_INTEGERS && floats <= SP__CALL_MAX_FLOATS);
    struct sp__call_shape shape = {.result = (uint8_t)result};
    if (integers <= FEW_INTEGERS && floats <= FEW_FLOATS) {
        shape.integers = FEW_INTEGERS;
        shape.floats = FEW_FLOATS;
    } else {
        shape.integers = SP__CALL_MAX_INTEGERS;
        shape.floats = SP__CALL_MAX_FLOATS;
    }
    return shape;
}

#define FEW_TYPES int64_t, int64_t, double, double
#define FEW_WORDS(w) (w)[0].integer, (w)[1].integer, (w)[2].real, (w)[3].real

/* The integers beyond the last register come after everything else. */
#define ALL_TYPES                                                                   \
    int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double, double, double,   \
        double, double, double, double, double, int64_t, int64_t, int64_t, int64_t, \
        int64_t, int64_t
#define ALL_WORDS(w)                                                                \
    (w)[0].integer, (w)[1].integer, (w)[2].integer, (w)[3].integer, (w)[4].integer, \
        (w)[5].integer, (w)[12].real, (w)[13].real, (w)[14].real, (w)[15].real,     \
        (w)[16].real, (w)[17].real, (w)[18].real, (w)[19].real, (w)[6].integer,     \
        (w)[7].integer, (w)[8].integer, (w)[9].integer, (w)[10].integer,            \
        (w)[11].integer

static union sp__word call_few(sp__callee_fn function, enum sp__call_result result,
                               const union sp__word *words)
{
    union sp__word value;
    if (result == SP__RESULT_REAL)
        value.real = ((double (*)(FEW_TYPES))function)(FEW_WORDS(words));
    else
        value.integer = ((int64_t (*)(FEW_TYPES))function)(FEW_WORDS(words));
    return value;
}

static union sp__word call_all(sp__callee_fn function, enum sp__call_result result,
                               const union sp__word *words)
{
    union sp__word value;
    if (result == SP__RESULT_REAL)
        value.real = ((double (*)(ALL_TYPES))function)(ALL_WORDS(words));
    else
        value.integer = ((int64_t (*)(ALL_TYPES))function)(ALL_WORDS(words));
    return value;
}

union sp__word sp__call(sp__callee_fn function, struct sp__call_shape shape,
                        const union sp__word *words)
{
    enum sp__call_result result = (enum sp__call_result)shape.result;
    return shape.integers == FEW_INTEGERS ? call_few(function, result, words)
                                          : call_all(function, result, words);
}
