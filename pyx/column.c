#include "column.h"

#include <string.h>

/* ------------------------------------------------------------------ formats */

static enum sp_number integer_of_size(intptr_t size, bool is_signed)
{
    switch (size) {
    case 1:
        return is_signed ? SP_INT8 : SP_UINT8;
    case 2:
        return is_signed ? SP_INT16 : SP_UINT16;
    case 4:
        return is_signed ? SP_INT32 : SP_UINT32;
    case 8:
        return is_signed ? SP_INT64 : SP_UINT64;
    default:
        return SP_NOT_A_NUMBER;
    }
}

static bool is_native_order(char order)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return order == '@' || order == '=' || order == '>' || order == '!';
#else
    return order == '@' || order == '=' || order == '<';
#endif
}

enum sp_number sp_number_of(const char *format, intptr_t size)
{
    if (!format)
        return size == 1 ? SP_UINT8 : SP_NOT_A_NUMBER;
    if (is_native_order(*format))
        format++;
    if (format[0] == '\0' || format[1] != '\0')
        return SP_NOT_A_NUMBER;
    if (format[0] == '?' && size == 1)
        return SP_BOOL;
    if (format[0] == 'f' && size == 4)
        return SP_FLOAT32;
    if (format[0] == 'd' && size == 8)
        return SP_FLOAT64;
    if (strchr("bhilqn", format[0]))
        return integer_of_size(size, true);
    if (strchr("BHILQN", format[0]))
        return integer_of_size(size, false);
    return SP_NOT_A_NUMBER;
}

/* ------------------------------------------------------------------ reading */

static const char *entry(const struct sp_column *column, size_t i)
{
    return column->data + (intptr_t)i * column->stride;
}

static double real_at(const char *at, enum sp_number type)
{
    if (type == SP_FLOAT32) {
        float value;
        memcpy(&value, at, sizeof value);
        return value;
    }
    double value;
    memcpy(&value, at, sizeof value);
    return value;
}

#define READ(ctype)                       \
    do {                                  \
        ctype value;                      \
        memcpy(&value, at, sizeof value); \
        return (int64_t)value;            \
    } while (0)

static int64_t integer_at(const char *at, enum sp_number type)
{
    switch (type) {
    case SP_BOOL:
        return *at != 0;
    case SP_INT8:
        READ(int8_t);
    case SP_UINT8:
        READ(uint8_t);
    case SP_INT16:
        READ(int16_t);
    case SP_UINT16:
        READ(uint16_t);
    case SP_INT32:
        READ(int32_t);
    case SP_UINT32:
        READ(uint32_t);
    default:
        READ(int64_t); /* or the bits of a uint64_t */
    }
}

double sp_column_real(const struct sp_column *column, size_t i)
{
    return real_at(entry(column, i), column->type);
}

int64_t sp_column_integer(const struct sp_column *column, size_t i)
{
    return integer_at(entry(column, i), column->type);
}

/* --------------------------------------------------------------- converting */

static double real_from(const char *at, enum sp_number type)
{
    if (sp_number_is_real(type))
        return real_at(at, type);
    if (type == SP_UINT64)
        return (double)(uint64_t)integer_at(at, type);
    return (double)integer_at(at, type);
}

/* From `least`, 0 or less, to `most`. */
struct range {
    int64_t least;
    uint64_t most;
};

static struct range range_of(enum sp_number type)
{
    static const struct range ranges[] = {
        [SP_BOOL] = {0, 1},
        [SP_INT8] = {INT8_MIN, INT8_MAX},
        [SP_UINT8] = {0, UINT8_MAX},
        [SP_INT16] = {INT16_MIN, INT16_MAX},
        [SP_UINT16] = {0, UINT16_MAX},
        [SP_INT32] = {INT32_MIN, INT32_MAX},
        [SP_UINT32] = {0, UINT32_MAX},
        [SP_INT64] = {INT64_MIN, INT64_MAX},
        [SP_UINT64] = {0, UINT64_MAX},
    };
    return ranges[type];
}

static bool is_in_range(int64_t value, bool is_unsigned, struct range range)
{
    if (value < 0 && !is_unsigned)
        return value >= range.least;
    return (uint64_t)value <= range.most;
}

static union sp__word *next(union sp__word *word, size_t step)
{
    return (union sp__word *)(void *)((char *)word + step);
}

size_t sp_column_convert(const struct sp_column *column, size_t begin, size_t n,
                         enum sp_number type, union sp__word *ret_words, size_t step)
{
    union sp__word *word = ret_words;
    const char *at = entry(column, begin);
    enum sp_number from = column->type;
    if (type == SP_FLOAT64) {
        for (size_t i = 0; i < n; i++, at += column->stride, word = next(word, step))
            word->real = real_from(at, from);
        return n;
    }
    if (type == SP_FLOAT32) {
        for (size_t i = 0; i < n; i++, at += column->stride, word = next(word, step)) {
            word->integer = 0;
            word->real32 = (float)real_from(at, from);
        }
        return n;
    }
    if (sp_number_is_real(from))
        return 0;
    struct range range = range_of(type);
    for (size_t i = 0; i < n; i++, at += column->stride, word = next(word, step)) {
        int64_t value = integer_at(at, from);
        if (!is_in_range(value, from == SP_UINT64, range))
            return i;
        word->integer = value;
    }
    return n;
}
