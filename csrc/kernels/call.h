/*
 * call.h - call a C function whose signature is known only at run time.
 *
 * On the calling conventions that we support (System V x86-64, AAPCS64), integer
 * and pointer arguments travel in one sequence of registers, floating-point
 * arguments in another, whatever their order in the signature; what finds its
 * sequence full goes to the stack, eight bytes each, in the order of the
 * signature. So the arguments are kept as three lists of 64-bit words, and a call
 * with all three filled serves every signature: registers and stack words that
 * the callee does not expect are ignored.
 *
 * A float argument is its bit pattern in the low half of a word, and so is a
 * float result. Narrow integers are extended to 64 bits by the caller.
 */
#ifndef SP_KERNELS_CALL_H
#define SP_KERNELS_CALL_H

#include <stdbool.h>
#include <stdint.h>

#if defined(__aarch64__)
#define SP__CALL_INTEGERS 8 /* registers for integers and pointers */
#else
#define SP__CALL_INTEGERS 6
#endif
#define SP__CALL_FLOATS 8 /* registers for floating-point values */

/* Words on the stack. Apple's variant of AAPCS64 packs narrow arguments there, so
 * that their types matter: registers only. */
#if defined(__APPLE__) && defined(__aarch64__)
#define SP__CALL_STACK 0
#else
#define SP__CALL_STACK 16
#endif

/* No signature has more parameters than that. */
#define SP__CALL_MAX (SP__CALL_INTEGERS + SP__CALL_FLOATS + SP__CALL_STACK)

typedef void (*sp__callee_fn)(void);

union sp__word {
    int64_t integer;
    double real;
    float real32; /* in the low half: both ABIs are little-endian here */
    void *pointer;
};

/* What kind of register an argument or a result travels in. */
enum sp__call_class { SP__CALL_INTEGER, SP__CALL_REAL };

/* Which words a call reads, from few to all. With few of one kind there are no words
 * for the other kind, and one word does if there is one argument, or none. */
enum sp__call_form {
    SP__CALL_FEW_INTEGERS,
    SP__CALL_FEW_REALS,
    SP__CALL_FEW,
    SP__CALL_REGISTERS,
    SP__CALL_ALL
};

/** How a signature is called. */
struct sp__call_shape {
    uint8_t form;   /* enum sp__call_form */
    uint8_t result; /* enum sp__call_class */
    uint8_t words;  /* the array passed to sp__call() must be that long */
};

/**
 * Lay `n` arguments of the given classes out: `ret_words[i]` is the index of the
 * word that argument `i` goes to. Words that no argument has are zero.
 *
 * False, and nothing is written, when there are more than SP__CALL_MAX, or more
 * than SP__CALL_STACK would go to the stack.
 */
bool sp__call_lay_out(const uint8_t *classes, unsigned n, enum sp__call_class result,
                      struct sp__call_shape *ret_shape, uint8_t *ret_words);

/** Call `function` with the words that `shape`, from sp__call_lay_out(), says. */
union sp__word sp__call(sp__callee_fn function, struct sp__call_shape shape,
                        const union sp__word *words);

#endif /* SP_KERNELS_CALL_H */
