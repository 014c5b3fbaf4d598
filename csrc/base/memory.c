#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomics.h"
#include "base/compiler.h"

#ifndef NDEBUG
/* Allocations until one fails; negative: none will. */
static _Atomic(int64_t) countdown = -1;
static _Atomic(bool) stays_broken;

static bool fails_now(void)
{
    int64_t left = load_relaxed(&countdown);
    while (left >= 0) {
        int64_t next = left > 0 ? left - 1 : (load_relaxed(&stays_broken) ? 0 : -1);
        if (cas_weak_relaxed(&countdown, &left, next))
            return left == 0;
    }
    return false;
}

bool sp__alloc_fail_at(int64_t n, bool for_good)
{
    store_relaxed(&stays_broken, for_good);
    store_relaxed(&countdown, n);
    return true;
}
#else
static bool fails_now(void)
{
    return false;
}

bool sp__alloc_fail_at(int64_t n, bool for_good)
{
    (void)n;
    (void)for_good;
    return false;
}
#endif

void *sp__alloc(size_t size)
{
    if (size > SIZE_MAX - SP_CACHE_LINE || fails_now())
        return NULL;
    size_t rounded = (size + SP_CACHE_LINE - 1) & ~(size_t)(SP_CACHE_LINE - 1);
    void *memory = aligned_alloc(SP_CACHE_LINE, rounded ? rounded : SP_CACHE_LINE);
    if (memory)
        memset(memory, 0, rounded);
    return memory;
}

void sp__free(void *memory)
{
    free(memory);
}

/* The C library takes large blocks fresh from the system, and does not clear what is
 * zero already; but it does not align them to lines. Before ours is where theirs is. */
void *sp__alloc_sparse(size_t size)
{
    if (size > SIZE_MAX - SP_CACHE_LINE || fails_now())
        return NULL;
    char *block = calloc(1, size + SP_CACHE_LINE);
    if (!block)
        return NULL;
    uintptr_t aligned =
        ((uintptr_t)block + SP_CACHE_LINE) & ~(uintptr_t)(SP_CACHE_LINE - 1);
    ((void **)aligned)[-1] = block;
    return (void *)aligned;
}

void sp__free_sparse(void *memory)
{
    if (memory)
        free(((void **)memory)[-1]);
}
