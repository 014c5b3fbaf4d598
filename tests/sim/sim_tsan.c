/*
 * What the compiler calls at every access to memory, with -fsanitize=thread; the
 * functions are ours, not ThreadSanitizer's. So each atomic operation comes here,
 * with its order, and each plain one, and the sources have no hooks.
 *
 * The interface is documented in LLVM's sanitizer/tsan_interface_atomic.h.
 */
#include <string.h>

#include "base/memory.h"
#include "sim_core.h"

#define SITE ((uintptr_t)__builtin_return_address(0))

#define PLAIN(size)                                 \
    void __tsan_read##size(void *p)                 \
    {                                               \
        sim_plain((uintptr_t)p, size, false, SITE); \
    }                                               \
    void __tsan_write##size(void *p)                \
    {                                               \
        sim_plain((uintptr_t)p, size, true, SITE);  \
    }                                               \
    void __tsan_unaligned_read##size(void *p)       \
    {                                               \
        sim_plain((uintptr_t)p, size, false, SITE); \
    }                                               \
    void __tsan_unaligned_write##size(void *p)      \
    {                                               \
        sim_plain((uintptr_t)p, size, true, SITE);  \
    }
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *p, size_t size)
{
    sim_plain((uintptr_t)p, size, false, SITE);
}

void __tsan_write_range(void *p, size_t size)
{
    sim_plain((uintptr_t)p, size, true, SITE);
}

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void)
{
}

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    sim_fail("a fence: the simulator knows none, and the sources have none");
}

#define ATOMIC(bits)                                                                 \
    uint##bits##_t __tsan_atomic##bits##_load(const void *p, int order)              \
    {                                                                                \
        return (uint##bits##_t)sim_load((uintptr_t)p, bits / 8, order, SITE);        \
    }                                                                                \
    void __tsan_atomic##bits##_store(void *p, uint##bits##_t v, int order)           \
    {                                                                                \
        sim_store((uintptr_t)p, bits / 8, v, order, SITE);                           \
    }                                                                                \
    bool __tsan_atomic##bits##_compare_exchange_strong(                              \
        void *p, uint##bits##_t *expected, uint##bits##_t v, int order, int failure) \
    {                                                                                \
        uint64_t old = *expected;                                                    \
        bool swapped =                                                               \
            sim_cas((uintptr_t)p, bits / 8, &old, v, order, failure, false, SITE);   \
        *expected = (uint##bits##_t)old;                                             \
        return swapped;                                                              \
    }                                                                                \
    bool __tsan_atomic##bits##_compare_exchange_weak(                                \
        void *p, uint##bits##_t *expected, uint##bits##_t v, int order, int failure) \
    {                                                                                \
        uint64_t old = *expected;                                                    \
        bool swapped =                                                               \
            sim_cas((uintptr_t)p, bits / 8, &old, v, order, failure, true, SITE);    \
        *expected = (uint##bits##_t)old;                                             \
        return swapped;                                                              \
    }

#define RMW(bits, name, kind)                                                         \
    uint##bits##_t __tsan_atomic##bits##_##name(void *p, uint##bits##_t v, int order) \
    {                                                                                 \
        return (uint##bits##_t)sim_rmw((uintptr_t)p, bits / 8, kind, v, order, SITE); \
    }

#define ALL(bits)                     \
    ATOMIC(bits)                      \
    RMW(bits, exchange, RMW_EXCHANGE) \
    RMW(bits, fetch_add, RMW_ADD)     \
    RMW(bits, fetch_sub, RMW_SUB)     \
    RMW(bits, fetch_and, RMW_AND)     \
    RMW(bits, fetch_or, RMW_OR)       \
    RMW(bits, fetch_xor, RMW_XOR)
ALL(8)
ALL(16)
ALL(32)
ALL(64)

/* sim_libc.h */
void *sim_memset(void *to, int byte, size_t n)
{
    sim_plain((uintptr_t)to, n, true, SITE);
    return memset(to, byte, n);
}

void *sim_memcpy(void *to, const void *from, size_t n)
{
    sim_plain((uintptr_t)from, n, false, SITE);
    sim_plain((uintptr_t)to, n, true, SITE);
    return memcpy(to, from, n);
}

char *sim_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = sp__alloc(n);
    return copy ? sim_memcpy(copy, text, n) : NULL;
}
