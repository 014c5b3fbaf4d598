/*
 * check.h - all that a C test needs.
 *
 * A test is a program: main() runs static functions whose names are claims. The
 * first check that fails prints where and why, and aborts; so a debugger, or a
 * sanitizer, stops at the right place. Checks also work in release builds.
 *
 *     static void a_new_deque_is_empty(void)
 *     {
 *         CHECK(is_empty(&deque));
 *         CHECK_EQ(popped + stolen, 1, "seed %u", seed);
 *     }
 *
 *     int main(void)
 *     {
 *         RUN(a_new_deque_is_empty);
 *         return 0;
 *     }
 *
 * Words after the condition are optional: a printf format and its arguments.
 */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** What main() returns when the machine lacks what the test is about. */
#define CHECK_SKIPPED 77

/* The "" is the message of a check that was given none. */
#define CHECK(...) check_true(__FILE__, __LINE__, #__VA_ARGS__, __VA_ARGS__, "")
#define CHECK_EQ(actual, ...) \
    check_eq(__FILE__, __LINE__, #actual, (intmax_t)(actual), __VA_ARGS__, "")
#define CHECK_STR_EQ(actual, expected)                                         \
    check_true(__FILE__, __LINE__, #actual, strcmp((actual), (expected)) == 0, \
               "is \"%s\", not \"%s\"", (actual), (expected))
#define RUN(test) (printf("%s\n", #test), fflush(stdout), test())

/** How often to repeat: `rounds` times $STRESS, which is 1 unless set. */
static inline long check_rounds(long rounds)
{
    const char *factor = getenv("STRESS");
    double n = (double)rounds * (factor ? strtod(factor, NULL) : 1.0);
    return n < 1.0 ? 1 : (long)n;
}

/** Leave the child of a fork. It does nothing that the parent does at its exit, but
 * what it has counted for coverage counts. */
static inline _Noreturn void leave_child(int status)
{
#ifdef SP_COVERAGE
    extern void __gcov_dump(void);
    __gcov_dump();
#endif
#ifdef SP_MCDC
    extern int __llvm_profile_write_file(void);
    __llvm_profile_write_file();
#endif
    _Exit(status);
}

static inline void check_true(const char *file, int line, const char *claim, bool holds,
                              const char *message, ...)
{
    if (holds)
        return;
    va_list args;
    va_start(args, message);
    fprintf(stderr, "%s:%d: not true: %s: ", file, line, claim);
    vfprintf(stderr, message, args);
    fputc('\n', stderr);
    abort();
}

static inline void check_eq(const char *file, int line, const char *what,
                            intmax_t actual, intmax_t expected, const char *message,
                            ...)
{
    if (actual == expected)
        return;
    va_list args;
    va_start(args, message);
    fprintf(stderr, "%s:%d: %s is %jd, not %jd ", file, line, what, actual, expected);
    vfprintf(stderr, message, args);
    fputc('\n', stderr);
    abort();
}

#endif /* CHECK_H */
