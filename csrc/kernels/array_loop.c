#include "kernels/array_loop.h"

#include <assert.h>
#include <stdbool.h>

#include "stealpool.h"

/* Steps between two looks at whether to stop: some 10 to 500 microseconds. */
#define CHUNK 16384

struct parts { /* of sp__array_loop.words */
    intptr_t *operands;
    intptr_t *sizes;
    intptr_t *core_dims;
    intptr_t *core_steps;
    intptr_t *strides;
};

static struct parts parts_of(struct sp__array_loop *loop)
{
    struct parts parts = {.operands = loop->words};
    parts.sizes = parts.operands + loop->n_operands;
    parts.core_dims = parts.sizes + loop->n_axes;
    parts.core_steps = parts.core_dims + loop->n_core_dims;
    parts.strides = parts.core_steps + loop->n_core_steps;
    return parts;
}

/* Can `axis` be left out, once the next one is as long as both? */
static bool are_one(const struct sp__array_loop *loop, const struct parts *parts,
                    int32_t axis)
{
    if (parts->sizes[axis] == 1)
        return true;
    for (int32_t i = 0; i < loop->n_operands; i++) {
        const intptr_t *strides = parts->strides + i * loop->n_axes;
        if (strides[axis] != strides[axis + 1] * parts->sizes[axis + 1])
            return false;
    }
    return true;
}

/* Lay the words out anew, without `axis`. */
static void remove_axis(struct sp__array_loop *loop, int32_t axis)
{
    struct parts from = parts_of(loop);
    int32_t n_axes = loop->n_axes;
    intptr_t *end = from.strides + loop->n_operands * n_axes;
    intptr_t *to = loop->words;
    for (intptr_t *word = loop->words; word < end; word++) {
        bool is_size = word == from.sizes + axis;
        bool is_stride = word >= from.strides && (word - from.strides) % n_axes == axis;
        if (!is_size && !is_stride)
            *to++ = *word;
    }
    loop->n_axes--;
}

void sp__array_loop_coalesce(struct sp__array_loop *loop, int32_t n_kept)
{
    for (int32_t axis = loop->n_axes - 2; axis >= n_kept; axis--) {
        struct parts parts = parts_of(loop);
        if (!are_one(loop, &parts, axis))
            continue;
        parts.sizes[axis + 1] *= parts.sizes[axis];
        remove_axis(loop, axis);
    }
}

/* Along the last axis, whose sizes[...] is `n`, from the operands in `args`. */
static int run_innermost(struct sp__array_loop *loop, const struct parts *parts,
                         char *const *args, intptr_t n)
{
    intptr_t dims[1 + SP__LOOP_MAX_AXES];
    intptr_t steps[SP__LOOP_MAX_OPERANDS + SP__LOOP_MAX_AXES];
    char *now[SP__LOOP_MAX_OPERANDS];
    for (int32_t i = 0; i < loop->n_core_dims; i++)
        dims[1 + i] = parts->core_dims[i];
    for (int32_t i = 0; i < loop->n_operands; i++)
        steps[i] = parts->strides[i * loop->n_axes + loop->n_axes - 1];
    for (int32_t i = 0; i < loop->n_core_steps; i++)
        steps[loop->n_operands + i] = parts->core_steps[i];
    intptr_t chunk = loop->n_core_dims ? 1 + CHUNK / 64 : CHUNK;
    for (intptr_t done = 0; done < n; done += chunk) {
        if (sp_cancelled())
            return SP_ECANCELLED;
        dims[0] = n - done < chunk ? n - done : chunk;
        for (int32_t i = 0; i < loop->n_operands; i++)
            now[i] = args[i] + done * steps[i]; /* some loops change their args */
        loop->function(now, dims, steps, loop->data);
    }
    return 0;
}

int sp__array_loop_run(intptr_t begin, intptr_t end, void *user)
{
    struct sp__array_loop *loop = user;
    assert(loop->n_axes >= 1 && loop->n_axes <= SP__LOOP_MAX_AXES &&
           loop->n_operands <= SP__LOOP_MAX_OPERANDS &&
           loop->n_core_dims <= SP__LOOP_MAX_AXES &&
           loop->n_core_steps <= SP__LOOP_MAX_AXES);
    struct parts parts = parts_of(loop);
    int32_t last = loop->n_axes - 1;
    intptr_t at[SP__LOOP_MAX_AXES] = {begin};
    char *args[SP__LOOP_MAX_OPERANDS];
    if (begin >= end)
        return 0;
    for (int32_t axis = 1; axis <= last; axis++)
        if (parts.sizes[axis] == 0)
            return 0;
    for (;;) {
        for (int32_t i = 0; i < loop->n_operands; i++) {
            const intptr_t *strides = parts.strides + i * loop->n_axes;
            args[i] = (char *)parts.operands[i];
            for (int32_t axis = 0; axis <= last; axis++)
                args[i] += at[axis] * strides[axis];
        }
        int code =
            run_innermost(loop, &parts, args, last ? parts.sizes[last] : end - begin);
        if (code != 0 || last == 0)
            return code;
        /* The next place of all axes but the last, the first being the slowest. */
        int32_t axis = last - 1;
        while (axis > 0 && at[axis] + 1 == parts.sizes[axis])
            at[axis--] = 0;
        if (++at[axis] == end && axis == 0)
            return 0;
    }
}
