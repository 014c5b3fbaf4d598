/*
 * compiler.h - what we ask of the compiler, under names of our own.
 */
#ifndef SP_BASE_COMPILER_H
#define SP_BASE_COMPILER_H

#include <stdint.h>

/* Two threads that write to places less than this far apart disturb each
 * other: a cache line, twice, because x86 fetches lines in pairs. */
#define SP_CACHE_LINE 128

#define SP_CACHE_ALIGNED _Alignas(SP_CACHE_LINE)

#define sp_likely(condition) __builtin_expect(!!(condition), 1)
#define sp_unlikely(condition) __builtin_expect(!!(condition), 0)

/* The struct of type `type` whose member `member` is at `pointer`. */
#define sp_container_of(pointer, type, member) \
    ((type *)((char *)(pointer) - offsetof(type, member)))

/* Ask for the line of `address`, which will be written to soon; any address will do. */
static inline void sp_prefetch(const void *address)
{
#ifdef __x86_64__
    /* Not __builtin_prefetch(), which forgets about the writing unless told which CPU. */
    __asm__ volatile("prefetchw %0" ::"m"(*(const char *)address));
#else
    __builtin_prefetch(address, 1);
#endif
}

#endif /* SP_BASE_COMPILER_H */
