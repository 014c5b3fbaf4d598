/*
 * integrate.h - the points of a rectangle rule, and compensated sums.
 */
#ifndef SP_KERNELS_INTEGRATE_H
#define SP_KERNELS_INTEGRATE_H

/* Point i is a + i * h. */
struct sp__points {
    double a;
    double h;
};

/* A sum and what was rounded off while it was formed. */
struct sp__sum {
    double sum;
    double rest; /* not a number once the sum is infinite */
};

/* Adding exactly: *sum becomes the rounded sum, the return value the error.
 * Knuth's two-sum, which needs no order between its operands. */
static inline double sp__two_sum(double *sum, double x)
{
    double s = *sum + x;
    double virtual_x = s - *sum;
    double error = (*sum - (s - virtual_x)) + (x - virtual_x);
    *sum = s;
    return error;
}

static inline void sp__sum_add(struct sp__sum *sum, double x)
{
    sum->rest += sp__two_sum(&sum->sum, x);
}

static inline void sp__sum_merge(struct sp__sum *into, const struct sp__sum *from)
{
    sp__sum_add(into, from->sum);
    into->rest += from->rest;
}

#endif /* SP_KERNELS_INTEGRATE_H */
