/*
 * call.h - call a C function whose signature is known only at run time.
 *
 * On the calling conventions that we support (System V x86-64, AAPCS64), integer
 * and pointer arguments travel in one sequence of registers, floating-point
 * arguments in another, whatever their order in the signature. So the arguments
 * are kept as two lists of 64-bit words, and a call with both sequences filled
 * serves every signature; registers that the callee does not expect are ignored.
 * Integers beyond the registers go to the stack in order.
 *
 * A float argument is its bit pattern in the low half of a word, and so is a
 * float result. Narrow integers are extended to 64 bits by the caller.
 */
#ifndef SP_KERNELS_CALL_H
#define SP_KERNELS_CALL_H

#include <stdint.h>

#define SP__CALL_MAX_INTEGERS 12
#define SP__CALL_MAX_FLOATS 8

typedef void (*sp__callee_fn)(void);

union sp__word {
    int64_t integer;
    double real;
    float real32; /* in the low half: both ABIs are little-endian here */
    void *pointer;
};

/* What kind of register the result comes back in. */
enum sp__call_result { SP__RESULT_INTEGER, SP__RESULT_REAL };

/** How many words of each kind a call reads: the arrays passed to
 * sp__call() must be that long. */
struct sp__call_shape {
    uint8_t integers;
    uint8_t floats;
    uint8_t result; /* enum sp__call_result */
};

/** The smallest shape that a call can be made with and that holds as many. */
struct sp__call_shape sp__call_round_up(unsigned integers, unsigned floats,
                                        enum sp__call_result result);

/**
 * Call `function` with the words that `shape`, from sp__call_round_up(), says.
 * `floats` follow `integers` in `words`.
 */
union sp__word sp__call(sp__callee_fn function, struct sp__call_shape shape,
                        const union sp__word *words);

#endif /* SP_KERNELS_CALL_H */
