#include "kernels/dispatch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define BASELINE_ISA "x86-64"
#elif defined(__aarch64__)
#define BASELINE_ISA "aarch64"
#else
#define BASELINE_ISA "generic"
#endif

#define TABLES(isa_name, short_name)           \
    {.isa = isa_name,                          \
     .level = #short_name,                     \
     .math = &sp__math_##short_name,           \
     .integrate = &sp__integrate_##short_name, \
     .gaussian = &sp__gaussian_##short_name,   \
     .gray = &sp__gray_##short_name}

/* From the lowest to the highest; each includes the ones before it. */
static const struct sp__kernels built[] = {
    TABLES(BASELINE_ISA, baseline),
#if defined(__x86_64__)
    TABLES("x86-64-v3", v3),
    TABLES("x86-64-v4", v4),
#endif
};

enum { N_BUILT = sizeof built / sizeof built[0] };

static const struct sp__kernels *in_use;
static pthread_once_t resolved = PTHREAD_ONCE_INIT;

/* How many of `built` the processor can run. The features are asked for one by
 * one, as older compilers do not know the names of the levels; the compiler's
 * test includes that the system saves the registers. */
static int count_supported(void)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2"))
        return 1;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return 2;
#endif
    return N_BUILT;
}

/* The supported tables of that name, or NULL. */
static const struct sp__kernels *find_level(const char *level)
{
    for (int i = 0; i < count_supported(); i++) {
        if (strcmp(built[i].level, level) == 0)
            return &built[i];
    }
    return NULL;
}

static void resolve(void)
{
    const char *wish = getenv("STEALPOOL_CPU");
    in_use = wish ? find_level(wish) : NULL;
    if (!in_use)
        in_use = &built[count_supported() - 1];
}

const struct sp__kernels *sp__kernels(void)
{
    pthread_once(&resolved, resolve);
    return in_use;
}

sp_status sp__kernels_use(const char *level)
{
    const struct sp__kernels *found = find_level(level);
    if (!found)
        return SP_EINVAL;
    pthread_once(&resolved, resolve);
    in_use = found;
    return SP_OK;
}

const char *sp_isa(void)
{
    return sp__kernels()->isa;
}
