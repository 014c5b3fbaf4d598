/*
 * column.h - numbers from an array, as the arguments of many calls.
 *
 * A column is one parameter's numbers, one a call, wherever they lie: a whole
 * one-dimensional array, a column of a two-dimensional one, a field of a structured one.
 * They are converted as Python's numbers are, one by one: what is not exact or does not
 * fit is not converted but reported, so that the caller can say what is wrong with it.
 *
 *          from \ to     an integer        a float
 *          bool, int     if it is in range rounded to nearest
 *          float         never             rounded to nearest
 */
#ifndef SP_PYX_COLUMN_H
#define SP_PYX_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/call.h"

/** Types of numbers, in the order of kernel.pxi's enum Type. */
enum sp_number {
    SP_NOT_A_NUMBER, /* or not one that is known here */
    SP_BOOL,
    SP_INT8,
    SP_UINT8,
    SP_INT16,
    SP_UINT16,
    SP_INT32,
    SP_UINT32,
    SP_INT64,
    SP_UINT64,
    SP_FLOAT32,
    SP_FLOAT64
};

struct sp_column {
    const char *data;    /* of the first call; need not be aligned */
    intptr_t stride;     /* bytes from one call to the next; may be negative or 0 */
    enum sp_number type; /* of the numbers */
};

/** What a buffer of entries of `size` bytes in this format (struct module; NULL: bytes)
 * holds. Numbers in foreign byte order, and those that C has no type for, are unknown. */
enum sp_number sp_number_of(const char *format, intptr_t size);

static inline bool sp_number_is_real(enum sp_number type)
{
    return type >= SP_FLOAT32;
}

/** The number for call `i`, of a column of floats. */
double sp_column_real(const struct sp_column *column, size_t i);

/** The number for call `i`, of a column of integers; if it is SP_UINT64, its bits. */
int64_t sp_column_integer(const struct sp_column *column, size_t i);

/**
 * Write the numbers for the calls begin ... begin+n-1, as arguments of type `type`, to
 * `ret_words` and every `step` bytes after it.
 * @return how many; fewer than `n`: the next one does not fit.
 */
size_t sp_column_convert(const struct sp_column *column, size_t begin, size_t n,
                         enum sp_number type, union sp__word *ret_words, size_t step);

#endif /* SP_PYX_COLUMN_H */
