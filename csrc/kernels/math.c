#include "kernels/dispatch.h"

int sp_math_array(sp_math fn, const double *x, double *y, size_t n)
{
    if ((unsigned)fn >= SP_MATH_COUNT)
        return SP_EINVAL;
    sp__kernels()->math->map[fn](x, y, n);
    return SP_OK;
}

int sp_polynomial_array(const double *c, size_t n_c, const double *x, double *y,
                        size_t n)
{
    if (n_c < 1 || n_c > SP_MAX_COEFFICIENTS)
        return SP_EINVAL;
    sp__kernels()->math->polynomial(c, n_c, x, y, n);
    return SP_OK;
}
