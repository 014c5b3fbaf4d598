/* array_loop.h: every element once, whatever the shape and the strides. */
#include "kernels/array_loop.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "stealpool.h"

static int n_calls;

/* out = 10 * a + b, like the loop of a ufunc of two arguments. */
static void add(char **args, const intptr_t *dims, const intptr_t *steps, void *data)
{
    n_calls++;
    for (intptr_t i = 0; i < dims[0]; i++) {
        double a = *(double *)(args[0] + i * steps[0]);
        double b = *(double *)(args[1] + i * steps[1]);
        *(double *)(args[2] + i * steps[2]) = *(double *)data * a + b;
    }
    args[0] = args[1] = args[2] = NULL; /* some loops do */
}

/* out = the sum of a's core dimension (n), times the number of the core's own (m). */
static void sum_core(char **args, const intptr_t *dims, const intptr_t *steps,
                     void *data)
{
    (void)data;
    for (intptr_t i = 0; i < dims[0]; i++) {
        double sum = 0;
        for (intptr_t k = 0; k < dims[1]; k++)
            sum += *(double *)(args[0] + i * steps[0] + k * steps[2]);
        *(double *)(args[1] + i * steps[1]) = sum * (double)dims[2];
    }
}

enum { MOST = 4096 };
static double a[MOST], b[MOST], out[MOST];
static double ten = 10.0;

static struct sp__array_loop *new_loop(sp__loop_fn function, int32_t operands,
                                       int32_t axes, int32_t dims, int32_t core_steps)
{
    size_t size = sp__array_loop_size((size_t)operands, (size_t)axes, (size_t)dims,
                                      (size_t)core_steps);
    struct sp__array_loop *loop = calloc(1, size);
    CHECK(loop);
    loop->function = function;
    loop->data = &ten;
    loop->n_operands = operands;
    loop->n_axes = axes;
    loop->n_core_dims = dims;
    loop->n_core_steps = core_steps;
    return loop;
}

/* C-contiguous arrays of that shape. */
static struct sp__array_loop *adding(int32_t axes, const intptr_t *shape)
{
    struct sp__array_loop *loop = new_loop(add, 3, axes, 0, 0);
    double *operands[] = {a, b, out};
    for (int i = 0; i < MOST; i++) {
        a[i] = i;
        b[i] = 0.5;
        out[i] = -1;
    }
    for (int i = 0; i < 3; i++)
        loop->words[i] = (intptr_t)operands[i];
    for (int32_t i = 0; i < axes; i++)
        loop->words[3 + i] = shape[i];
    for (int32_t i = 0; i < 3; i++) {
        intptr_t stride = sizeof(double);
        for (int32_t axis = axes - 1; axis >= 0; axis--) {
            loop->words[3 + axes + i * axes + axis] = stride;
            stride *= shape[axis];
        }
    }
    n_calls = 0;
    return loop;
}

static void check_out(intptr_t begin, intptr_t end)
{
    for (intptr_t i = 0; i < MOST; i++) {
        double expected = i >= begin && i < end ? 10.0 * (double)i + 0.5 : -1;
        CHECK_EQ(out[i], expected, "element %ld", (long)i);
    }
}

static void any_shape_is_done_once(void)
{
    static const intptr_t shapes[][4] = {
        {1, 1, 1, 1}, {7, 1, 1, 1}, {3, 4, 5, 6}, {2, 1, 9, 1}, {1, 8, 1, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int32_t axes = 1; axes <= 4; axes++) {
            intptr_t n = 1;
            for (int32_t axis = 0; axis < axes; axis++)
                n *= shapes[i][axis];
            struct sp__array_loop *loop = adding(axes, shapes[i]);
            CHECK_EQ(sp__array_loop_run(0, shapes[i][0], loop), 0);
            check_out(0, n);
            free(loop);
        }
}

static void pieces_of_the_first_axis_are_done_alone(void)
{
    const intptr_t shape[] = {10, 3, 2};
    struct sp__array_loop *loop = adding(3, shape);
    CHECK_EQ(sp__array_loop_run(4, 7, loop), 0);
    check_out(24, 42);
    CHECK_EQ(sp__array_loop_run(0, 4, loop), 0);
    CHECK_EQ(sp__array_loop_run(7, 10, loop), 0);
    check_out(0, 60);
    CHECK_EQ(sp__array_loop_run(5, 5, loop), 0);
    free(loop);
}

static void an_empty_axis_means_no_call(void)
{
    const intptr_t shape[] = {3, 0, 2};
    struct sp__array_loop *loop = adding(3, shape);
    CHECK_EQ(sp__array_loop_run(0, 3, loop), 0);
    CHECK_EQ(n_calls, 0);
    free(loop);
}

static void contiguous_axes_become_one(void)
{
    const intptr_t shape[] = {10, 3, 1, 2};
    struct sp__array_loop *loop = adding(4, shape);
    sp__array_loop_coalesce(loop, 0);
    CHECK_EQ(loop->n_axes, 1);
    CHECK_EQ(sp__array_loop_run(0, 60, loop), 0);
    CHECK_EQ(n_calls, 1);
    check_out(0, 60);
    free(loop);

    loop = adding(4, shape);
    sp__array_loop_coalesce(loop, 1); /* the first is kept, to be cut */
    CHECK_EQ(loop->n_axes, 2);
    CHECK_EQ(sp__array_loop_run(2, 10, loop), 0);
    check_out(12, 60);
    free(loop);
}

static void broadcast_axes_are_kept_apart(void)
{
    const intptr_t shape[] = {4, 5};
    struct sp__array_loop *loop = adding(2, shape);
    loop->words[3 + 2 + 0] = 0; /* a has one row, again and again */
    sp__array_loop_coalesce(loop, 0);
    CHECK_EQ(loop->n_axes, 2);
    CHECK_EQ(sp__array_loop_run(0, 4, loop), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(out[i], 10.0 * (i % 5) + 0.5);
    free(loop);
}

static void core_dimensions_are_passed_on(void)
{
    /* (n),(m stands for nothing)->(): a of shape (6, 4), read backwards. */
    struct sp__array_loop *loop = new_loop(sum_core, 2, 1, 2, 1);
    for (int i = 0; i < 24; i++)
        a[i] = i;
    intptr_t words[] = {
        (intptr_t)(a + 3),  (intptr_t)out, 6, 4, 100, -(intptr_t)sizeof(double),
        4 * sizeof(double), sizeof(double)};
    memcpy(loop->words, words, sizeof words);
    CHECK_EQ(sp__array_loop_run(0, 6, loop), 0);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(out[i], 100.0 * (16 * i + 6));
    free(loop);
}

static void run_in_task(sp_task *task)
{
    const intptr_t shape[] = {MOST};
    struct sp__array_loop *loop = adding(1, shape);
    CHECK_EQ(sp_task_cancel(task), SP_EBUSY); /* running: asked to stop */
    CHECK_EQ(sp__array_loop_run(0, MOST, loop), SP_ECANCELLED);
    CHECK_EQ(n_calls, 0);
    free(loop);
}

static void a_loop_stops_when_asked_to(void)
{
    sp_task task;
    sp_task_init(&task, run_in_task, NULL);
    CHECK_EQ(sp_task_run(&task), SP_OK);
}

int main(void)
{
    RUN(any_shape_is_done_once);
    RUN(pieces_of_the_first_axis_are_done_alone);
    RUN(an_empty_axis_means_no_call);
    RUN(contiguous_axes_become_one);
    RUN(broadcast_axes_are_kept_apart);
    RUN(core_dimensions_are_passed_on);
    RUN(a_loop_stops_when_asked_to);
    return 0;
}
