/*
 * fpu.h - how this thread rounds, and what it does with denormals.
 *
 * A kernel that wants zeros for denormals (`_mm_setcsr()`, `-ffast-math` in a library's
 * constructor) or another rounding changes the thread it runs on. The next kernel there
 * must not inherit that: whoever runs one takes the mode before and restores it after.
 * Both together cost some nanoseconds, for the mode is written only if it was changed.
 * Flags of exceptions are not part of it: they stay raised, as everywhere.
 *
 * Knows x86 with SSE2 and 64-bit ARM; elsewhere it does nothing. Of x87, which computes
 * only `long double` here, nothing is restored.
 */
#ifndef SP_PYX_FPU_H
#define SP_PYX_FPU_H

#include <stdint.h>

/** The mode of the calling thread. */
static inline uint64_t sp_fpu_mode(void)
{
#if defined(__SSE2__)
    return __builtin_ia32_stmxcsr() & ~UINT32_C(0x3f); /* without the flags */
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
#else
    return 0;
#endif
}

/** Make it so again. */
static inline void sp_fpu_restore(uint64_t mode)
{
    if (sp_fpu_mode() == mode)
        return;
#if defined(__SSE2__)
    __builtin_ia32_ldmxcsr((uint32_t)mode |
                           (__builtin_ia32_stmxcsr() & UINT32_C(0x3f)));
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#endif
}

#endif /* SP_PYX_FPU_H */
