/*
 * dispatch.h - the tables of the instruction set in use.
 */
#ifndef SP_KERNELS_DISPATCH_H
#define SP_KERNELS_DISPATCH_H

#include "kernels/isa.h"

struct sp__kernels {
    const char *isa;   /* as sp_isa() returns it */
    const char *level; /* as STEALPOOL_CPU names it */
    const struct sp__math_table *math;
    const struct sp__integrate_table *integrate;
    const struct sp__gaussian_table *gaussian;
    const struct sp__gray_table *gray;
};

/** The tables in use; resolved at the first call. Thread-safe. */
const struct sp__kernels *sp__kernels(void);

/**
 * Tests and benchmarks: use the instruction set that `level` names ("baseline",
 * "v3", "v4") from now on. Not while a kernel runs.
 * @return SP_OK; SP_EINVAL when it was not built or the processor lacks it.
 */
sp_status sp__kernels_use(const char *level);

#endif /* SP_KERNELS_DISPATCH_H */
