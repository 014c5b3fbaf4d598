/* What is folded in which order, and that cuts change nothing. */
#include <fenv.h>

#include "check.h"
#include "kernels/grid.h"

#define MOST 20000

static intptr_t longest_call;
static bool is_cut_inside_a_block;

/* out = 3 * out + in: what is folded out of order differs. */
static int chain(void *context, char *const *data, const intptr_t *lengths,
                 const intptr_t *strides, void *aux)
{
    (void)context, (void)aux;
    longest_call = lengths[0] > longest_call ? lengths[0] : longest_call;
    for (intptr_t i = 0; i < lengths[0]; i++) {
        uint64_t a, b;
        memcpy(&a, data[0] + i * strides[0], sizeof a);
        memcpy(&b, data[1] + i * strides[1], sizeof b);
        a = 3 * a + b;
        memcpy(data[2] + i * strides[2], &a, sizeof a);
    }
    return 0;
}

/* out = in + 1, in blocks that begin at multiples of SP__GRID_BLOCK from `aux`. */
static int add_one(void *context, char *const *data, const intptr_t *lengths,
                   const intptr_t *strides, void *aux)
{
    (void)context;
    intptr_t offset = (data[0] - (char *)aux) / (intptr_t)sizeof(uint64_t);
    if (offset % SP__GRID_BLOCK)
        is_cut_inside_a_block = true;
    for (intptr_t i = 0; i < lengths[0]; i++)
        *(uint64_t *)(void *)(data[1] + i * strides[1]) =
            *(uint64_t *)(void *)(data[0] + i * strides[0]) + 1;
    return 0;
}

static uint64_t in[MOST];
static uint64_t out[MOST];
static uint64_t expected[MOST];

static void fill_in(void)
{
    for (intptr_t i = 0; i < MOST; i++) {
        in[i] = (uint64_t)i * 2654435761u % 1000;
        out[i] = expected[i] = 77;
    }
}

/* All indices, cut at random places, the pieces in random order. */
static void run_in_pieces(const struct sp__grid *grid, unsigned seed)
{
    intptr_t n = sp__grid_indices(grid);
    intptr_t middle = n ? (intptr_t)(seed * 7919u % (unsigned)n) : 0;
    CHECK_EQ(sp__grid_run(grid, middle, n), 0);
    CHECK_EQ(sp__grid_run(grid, 0, middle / 2), 0);
    CHECK_EQ(sp__grid_run(grid, middle / 2, middle), 0);
}

static struct sp__grid grid_of(sp__grid_loop loop, int n_args)
{
    struct sp__grid grid = {.loop = loop, .n_args = n_args, .mask = -1};
    grid.n_copied = n_args;
    grid.inner_is_free = true;
    grid.block = SP__GRID_BLOCK;
    grid.most_blocks = 2;
    grid.item_size = sizeof(uint64_t);
    return grid;
}

static struct sp__grid_dim dim(intptr_t length, intptr_t a, intptr_t b, intptr_t c)
{
    return (struct sp__grid_dim){length, {8 * a, 8 * b, 8 * c}};
}

static void a_map_reaches_every_point_once(void)
{
    for (unsigned seed = 0; seed < 50; seed++) {
        struct sp__grid grid = grid_of(add_one, 2);
        fill_in();
        grid.aux = grid.data[0] = (char *)in;
        grid.data[1] = (char *)out;
        grid.inner = dim(3000, 1, 2, 0);
        grid.n_free = 1;
        grid.free[0] = dim(3, 3 * SP__GRID_BLOCK, 6000, 0);
        CHECK_EQ(sp__grid_indices(&grid), 9);
        CHECK_EQ(sp__grid_points(&grid), 9000);
        run_in_pieces(&grid, seed);
        for (intptr_t j = 0; j < 3; j++)
            for (intptr_t i = 0; i < 3000; i++)
                expected[j * 6000 + 2 * i] = in[j * 3 * SP__GRID_BLOCK + i] + 1;
        CHECK(memcmp(out, expected, sizeof out) == 0, "seed %u", seed);
        CHECK(!is_cut_inside_a_block);
    }
}

/* Reduce a[p][q][r] over p and, if `inner`, over r, in the order of NumPy. */
static void fold_is_in_order(bool inner, enum sp__grid_start start)
{
    enum { P = 4, Q = 5, R = 900 };
    for (unsigned seed = 0; seed < 20; seed++) {
        struct sp__grid grid = grid_of(chain, 3);
        fill_in();
        grid.data[0] = grid.data[2] = (char *)out;
        grid.data[1] = (char *)in;
        grid.inner_is_free = !inner;
        grid.inner = inner ? dim(R, 0, 1, 0) : dim(R, 1, 1, 1);
        grid.n_free = 1;
        grid.free[0] = inner ? dim(Q, 1, R, 1) : dim(Q, R, R, R);
        grid.n_fold = 1;
        grid.fold[0] = dim(P, 0, Q * R, 0);
        grid.start = start;
        grid.initial[0] = 5;
        longest_call = 0;
        run_in_pieces(&grid, seed);
        CHECK(!inner || longest_call >= R - 1);

        for (intptr_t q = 0; q < Q; q++)
            for (intptr_t p = 0; p < P; p++)
                for (intptr_t r = 0; r < R; r++) {
                    uint64_t *to = &expected[inner ? q : q * R + r];
                    uint64_t a = in[(p * Q + q) * R + r];
                    bool is_first = p == 0 && (!inner || r == 0);
                    uint64_t before = is_first ? 5 : *to;
                    *to = is_first && start == SP__GRID_COPY ? a : 3 * before + a;
                }
        CHECK(memcmp(out, expected, sizeof out) == 0, "seed %u", seed);
    }
}

static void folds_are_in_order_whatever_is_folded(void)
{
    fold_is_in_order(false, SP__GRID_FILL);
    fold_is_in_order(false, SP__GRID_COPY);
    fold_is_in_order(true, SP__GRID_FILL);
    fold_is_in_order(true, SP__GRID_COPY);
}

static void a_scan_keeps_every_step(void)
{
    struct sp__grid grid = grid_of(chain, 3);
    fill_in();
    grid.data[0] = grid.data[2] = (char *)out;
    grid.data[1] = (char *)in;
    grid.inner_is_free = false;
    grid.inner = dim(6, 10, 10, 10);
    grid.n_free = 1;
    grid.free[0] = dim(10, 1, 1, 1);
    grid.start = SP__GRID_SCAN;
    run_in_pieces(&grid, 3);
    for (intptr_t i = 0; i < 60; i++)
        expected[i] = i < 10 ? in[i] : 3 * expected[i - 10] + in[i];
    CHECK(memcmp(out, expected, sizeof out) == 0);
}

static void a_mask_leaves_elements_alone(void)
{
    static char mask[MOST];
    struct sp__grid grid = grid_of(add_one, 2);
    fill_in();
    grid.aux = grid.data[0] = (char *)in;
    grid.data[1] = (char *)out;
    grid.data[2] = mask;
    grid.mask = 2;
    grid.n_copied = 3;
    grid.inner = (struct sp__grid_dim){5000, {8, 8, 1}};
    for (intptr_t i = 0; i < 5000; i++) {
        mask[i] = in[i] % 3 == 0;
        expected[i] = mask[i] ? in[i] + 1 : 77;
    }
    run_in_pieces(&grid, 1);
    CHECK(memcmp(out, expected, sizeof out) == 0);
}

/* What a generalised ufunc's loop gets. */
static int look_at_core(void *context, char *const *data, const intptr_t *lengths,
                        const intptr_t *strides, void *aux)
{
    (void)context, (void)data, (void)aux;
    CHECK_EQ(lengths[1], 4);
    CHECK_EQ(lengths[2], 5);
    CHECK_EQ(strides[0], 8);
    CHECK_EQ(strides[2], 16);
    CHECK_EQ(strides[3], 24);
    return 42;
}

static void core_dimensions_follow_and_a_failure_ends_it(void)
{
    struct sp__grid grid = grid_of(look_at_core, 2);
    grid.inner = dim(3, 1, 1, 0);
    grid.n_core_dims = 2;
    grid.core_dims[0] = 4;
    grid.core_dims[1] = 5;
    grid.n_core_strides = 2;
    grid.core_strides[0] = 16;
    grid.core_strides[1] = 24;
    CHECK_EQ(sp__grid_run(&grid, 0, 1), 42);
}

static void exceptions_are_noted_and_the_environment_is_restored(void)
{
    struct sp__grid_fp fp;
    volatile double zero = 0.0;
    feclearexcept(FE_ALL_EXCEPT);
    feraiseexcept(FE_INVALID);
    fesetround(FE_UPWARD);
    sp__grid_fp_init(&fp);
    fesetround(FE_TONEAREST);
    fenv_t before = sp__grid_fp_enter(&fp);
    CHECK_EQ(fegetround(), FE_UPWARD);
    volatile double result = 1.0 / zero;
    (void)result;
    sp__grid_fp_leave(&fp, &before);
    CHECK_EQ(fegetround(), FE_TONEAREST);
    CHECK_EQ(fetestexcept(FE_INVALID | FE_DIVBYZERO), FE_INVALID);
    CHECK_EQ(fp.raised & (FE_INVALID | FE_DIVBYZERO), FE_DIVBYZERO);
}

int main(void)
{
    RUN(a_map_reaches_every_point_once);
    RUN(folds_are_in_order_whatever_is_folded);
    RUN(a_scan_keeps_every_step);
    RUN(a_mask_leaves_elements_alone);
    RUN(core_dimensions_follow_and_a_failure_ends_it);
    RUN(exceptions_are_noted_and_the_environment_is_restored);
    return 0;
}
