/*
 * sp_parallel_reduce(): pieces that depend on the range alone, each with an
 * accumulator of its own, combined from left to right when all are done.
 */
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "stealpool.h"

/* Accumulators of different pieces do not share a cache line. */
#define ACC_ALIGN 64

/* Few small accumulators need no allocation. */
#define STACK_BYTES 2048

struct reduction {
    intptr_t begin;
    intptr_t end;
    intptr_t piece; /* indices of a piece, but for the last */
    sp_reduce_fn body;
    void *user;
    char *accs;
    size_t stride;
};

static int reduce_pieces(intptr_t first, intptr_t last, void *user)
{
    const struct reduction *r = user;
    for (intptr_t i = first; i < last; i++) {
        intptr_t begin = r->begin + i * r->piece;
        intptr_t end = r->end - begin > r->piece ? begin + r->piece : r->end;
        int code = r->body(begin, end, r->accs + (size_t)i * r->stride, r->user);
        if (code != 0)
            return code;
    }
    return 0;
}

static int run(sp_pool *pool, struct reduction *r, intptr_t pieces,
               sp_combine_fn combine, void *result, size_t size)
{
    for (intptr_t i = 0; i < pieces; i++)
        memcpy(r->accs + (size_t)i * r->stride, result, size);
    int code = sp_parallel_for(pool, 0, pieces, 0, reduce_pieces, r);
    for (intptr_t i = 0; code == 0 && i < pieces; i++)
        combine(result, r->accs + (size_t)i * r->stride, r->user);
    return code;
}

int sp_parallel_reduce(sp_pool *pool, intptr_t begin, intptr_t end, intptr_t grain,
                       sp_reduce_fn body, sp_combine_fn combine, void *result,
                       size_t size, void *user)
{
    if (grain < 0 || (begin < 0 && end > INTPTR_MAX + begin) ||
        size > SIZE_MAX / SP_REDUCE_PIECES - ACC_ALIGN)
        return SP_EINVAL;
    if (begin >= end)
        return 0;

    intptr_t n = end - begin;
    intptr_t piece = n / SP_REDUCE_PIECES + (n % SP_REDUCE_PIECES != 0);
    if (piece < grain)
        piece = grain;
    intptr_t pieces = n / piece + (n % piece != 0);

    _Alignas(ACC_ALIGN) char on_stack[STACK_BYTES];
    struct reduction r = {.begin = begin,
                          .end = end,
                          .piece = piece,
                          .body = body,
                          .user = user,
                          .stride = (size + ACC_ALIGN - 1) / ACC_ALIGN * ACC_ALIGN};
    size_t bytes = (size_t)pieces * r.stride;
    r.accs = bytes <= sizeof on_stack ? on_stack : sp__alloc(bytes);
    if (!r.accs)
        return SP_ENOMEM;
    int code = run(pool, &r, pieces, combine, result, size);
    if (r.accs != on_stack)
        sp__free(r.accs);
    return code;
}
