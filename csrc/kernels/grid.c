#include "kernels/grid.h"

#include <string.h>

#include "base/atomics.h"
#include "base/compiler.h"

/* One run: where it is, and what the loop gets beside the operands. */
struct run {
    const struct sp__grid *grid;
    intptr_t index[SP__GRID_DIMS];
    char *at[SP__GRID_ARGS];
    intptr_t lengths[1 + SP__GRID_CORE]; /* [0] is written for each call */
    intptr_t strides[SP__GRID_ARGS + SP__GRID_CORE];
};

static intptr_t blocks_of(const struct sp__grid *grid)
{
    if (!grid->inner_is_free)
        return 1;
    return (grid->inner.length + grid->block - 1) / grid->block;
}

static intptr_t product(const struct sp__grid_dim *dims, int n)
{
    intptr_t points = 1;
    for (int i = 0; i < n; i++)
        points *= dims[i].length;
    return points;
}

intptr_t sp__grid_indices(const struct sp__grid *grid)
{
    return blocks_of(grid) * product(grid->free, grid->n_free);
}

intptr_t sp__grid_points(const struct sp__grid *grid)
{
    return grid->inner.length * product(grid->free, grid->n_free) *
           product(grid->fold, grid->n_fold);
}

static void move(char **at, int n, const struct sp__grid_dim *dim, intptr_t steps)
{
    for (int i = 0; i < n; i++)
        at[i] += steps * dim->strides[i];
}

/* To the next point of some dimensions, the fastest first. False after the
 * last one: then `at` is at the first one again. */
static bool advance(char **at, intptr_t *index, int n_copied,
                    const struct sp__grid_dim *dims, int n)
{
    for (int i = 0; i < n; i++) {
        move(at, n_copied, &dims[i], 1);
        if (++index[i] < dims[i].length)
            return true;
        move(at, n_copied, &dims[i], -dims[i].length);
        index[i] = 0;
    }
    return false;
}

int sp__grid_masked(sp__grid_loop loop, void *context, void *aux, int n_args,
                    char *const *data, intptr_t length, const intptr_t *strides,
                    const char *mask, intptr_t mask_stride)
{
    intptr_t at = 0;
    while (at < length) {
        while (at < length && !mask[at * mask_stride])
            at++;
        intptr_t end = at;
        while (end < length && mask[end * mask_stride])
            end++;
        if (end == at)
            break;
        char *args[SP__GRID_ARGS];
        for (int i = 0; i < n_args; i++)
            args[i] = data[i] + at * strides[i];
        intptr_t n = end - at;
        int code = loop(context, args, &n, strides, aux);
        if (sp_unlikely(code != 0))
            return code;
        at = end;
    }
    return 0;
}

static int call(struct run *run, char *const *at, intptr_t length)
{
    const struct sp__grid *grid = run->grid;
    if (grid->mask >= 0)
        return sp__grid_masked(grid->loop, grid->context, grid->aux, grid->n_args, at,
                               length, run->strides, at[grid->mask],
                               grid->inner.strides[grid->mask]);
    char *args[SP__GRID_ARGS]; /* some loops move them */
    for (int i = 0; i < grid->n_args; i++)
        args[i] = at[i];
    run->lengths[0] = length;
    return grid->loop(grid->context, args, run->lengths, run->strides, grid->aux);
}

/* The first values of `length` results. */
static void start(const struct sp__grid *grid, char *const *at, intptr_t length)
{
    const intptr_t *strides = grid->inner.strides;
    bool is_fill = grid->start == SP__GRID_FILL;
    for (intptr_t i = 0; i < length; i++)
        memcpy(at[0] + i * strides[0], is_fill ? grid->initial : at[1] + i * strides[1],
               grid->item_size);
}

static int fold(struct run *run, intptr_t length)
{
    const struct sp__grid *grid = run->grid;
    intptr_t index[SP__GRID_DIMS] = {0};
    char *at[SP__GRID_ARGS];
    memcpy(at, run->at, sizeof at);
    start(grid, at, grid->inner_is_free ? length : 1);

    int code = 0;
    if (grid->start == SP__GRID_COPY || grid->start == SP__GRID_SCAN) {
        if (!grid->inner_is_free && length > 1) {
            char *rest[SP__GRID_ARGS];
            memcpy(rest, at, sizeof rest);
            rest[1] += grid->inner.strides[1];
            rest[2] += grid->inner.strides[2]; /* of a scan; otherwise by 0 */
            code = call(run, rest, length - 1);
        }
        if (!advance(at, index, grid->n_copied, grid->fold, grid->n_fold))
            return code;
    }
    while (code == 0) {
        code = call(run, at, length);
        if (!advance(at, index, grid->n_copied, grid->fold, grid->n_fold))
            break;
    }
    return code;
}

static void go_to(struct run *run, intptr_t point)
{
    const struct sp__grid *grid = run->grid;
    memcpy(run->at, grid->data, sizeof run->at);
    for (int i = 0; i < grid->n_free; i++) {
        run->index[i] = point % grid->free[i].length;
        point /= grid->free[i].length;
        move(run->at, grid->n_copied, &grid->free[i], run->index[i]);
    }
}

int sp__grid_run(const struct sp__grid *grid, intptr_t begin, intptr_t end)
{
    struct run run;
    intptr_t blocks = blocks_of(grid);
    intptr_t block = begin % blocks;
    bool is_map = grid->start == SP__GRID_AS_IS;
    run.grid = grid;
    memcpy(run.lengths + 1, grid->core_dims,
           (size_t)grid->n_core_dims * sizeof(intptr_t));
    memcpy(run.strides, grid->inner.strides, (size_t)grid->n_args * sizeof(intptr_t));
    memcpy(run.strides + grid->n_args, grid->core_strides,
           (size_t)grid->n_core_strides * sizeof(intptr_t));
    go_to(&run, begin / blocks);
    move(run.at, grid->n_copied, &grid->inner, block * grid->block);

    while (begin < end) {
        intptr_t n = 1;
        intptr_t length = grid->inner.length;
        if (grid->inner_is_free) {
            n = end - begin < grid->most_blocks ? end - begin : grid->most_blocks;
            n = n < blocks - block ? n : blocks - block;
            length -= block * grid->block;
            length = length < n * grid->block ? length : n * grid->block;
        }
        int code = is_map ? call(&run, run.at, length) : fold(&run, length);
        if (sp_unlikely(code != 0))
            return code;
        begin += n;
        if (!grid->inner_is_free) {
            advance(run.at, run.index, grid->n_copied, grid->free, grid->n_free);
            continue;
        }
        block += n;
        move(run.at, grid->n_copied, &grid->inner, n * grid->block);
        if (block == blocks) {
            move(run.at, grid->n_copied, &grid->inner, -blocks * grid->block);
            block = 0;
            advance(run.at, run.index, grid->n_copied, grid->free, grid->n_free);
        }
    }
    return 0;
}

/* --------------------------------------------------------- floating point */

void sp__grid_fp_init(struct sp__grid_fp *fp)
{
    fenv_t mine;
    fegetenv(&mine);
    feclearexcept(FE_ALL_EXCEPT);
    fegetenv(&fp->env);
    fesetenv(&mine);
    store_relaxed(&fp->raised, 0u);
}

fenv_t sp__grid_fp_enter(const struct sp__grid_fp *fp)
{
    fenv_t before;
    fegetenv(&before);
    fesetenv(&fp->env);
    return before;
}

void sp__grid_fp_leave(struct sp__grid_fp *fp, const fenv_t *before)
{
    uint32_t raised = (uint32_t)fetestexcept(FE_ALL_EXCEPT);
    fesetenv(before);
    /* relaxed: the loop's owner reads it after the loop (R1). */
    if (raised & ~load_relaxed(&fp->raised))
        fetch_or_relaxed(&fp->raised, raised);
}
