/*
 * How fast the built-in kernels are, for each instruction set that the machine
 * has: nanoseconds per point, per element, per pixel; the best of many runs.
 *
 *     bench_kernels            one thread
 *     bench_kernels 2          a pool of one worker and the caller
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/dispatch.h"

#define HALF_PI 1.57079632679489661923

enum { POINTS = 500000, ELEMENTS = 8192, WIDTH = 1920, HEIGHT = 1080, RUNS = 30 };

struct bench {
    sp_pool *pool;
    double *x, *y;
    sp_image rgb, u8_in, u8_out, f32_in, f32_out;
    sp_math math;
    sp_gaussian gaussian;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double best_of_runs(void (*run)(struct bench *), struct bench *bench)
{
    double best = INFINITY;
    for (int i = 0; i < RUNS; i++) {
        double begin = seconds();
        run(bench);
        best = fmin(best, seconds() - begin);
    }
    return best;
}

static void print(const char *what, void (*run)(struct bench *), struct bench *bench,
                  double items)
{
    printf("  %-24s %8.3f ns\n", what, best_of_runs(run, bench) * 1e9 / items);
}

/* What a C programmer would write. */
static void integrate_with_a_loop(struct bench *bench)
{
    double h = HALF_PI / POINTS, sum = 0;
    for (int i = 0; i < POINTS; i++)
        sum += cos(i * h);
    bench->y[0] = sum * h;
}

static void integrate(struct bench *bench)
{
    sp_integrand f = {.kind = SP_INTEGRAND_MATH, .math = bench->math};
    sp_integrate(bench->pool, &f, 0, HALF_PI, POINTS, bench->y);
}

static void integrate_scalar(struct bench *bench)
{
    sp_integrand f = {.kind = SP_INTEGRAND_SCALAR, .scalar = cos};
    sp_integrate(bench->pool, &f, 0, HALF_PI, POINTS, bench->y);
}

static void map(struct bench *bench)
{
    sp_math_array(bench->math, bench->x, bench->y, ELEMENTS);
}

static void blur_u8(struct bench *bench)
{
    sp_gaussian_filter_u8(bench->pool, &bench->u8_in, &bench->u8_out, &bench->gaussian);
}

static void blur_f32(struct bench *bench)
{
    sp_gaussian_filter_f32(bench->pool, &bench->f32_in, &bench->f32_out,
                           &bench->gaussian);
}

static void gray(struct bench *bench)
{
    sp_rgb_to_gray_u8(bench->pool, &bench->rgb, &bench->u8_out);
}

static void run_all(struct bench *bench)
{
    static const char *const names[] = {"cos", "sin", "exp", "log", "sqrt"};
    static const double sigmas[] = {1, 2, 10};
    char what[40];
    for (int fn = 0; fn < SP_MATH_COUNT; fn++) {
        bench->math = (sp_math)fn;
        snprintf(what, sizeof what, "integrate %s", names[fn]);
        print(what, integrate, bench, POINTS);
        snprintf(what, sizeof what, "array %s", names[fn]);
        print(what, map, bench, ELEMENTS);
    }
    print("integrate scalar cos", integrate_scalar, bench, POINTS);
    for (int i = 0; i < 3; i++) {
        bench->gaussian = (sp_gaussian)SP_GAUSSIAN(sigmas[i]);
        snprintf(what, sizeof what, "gaussian u8, sigma %g", sigmas[i]);
        print(what, blur_u8, bench, (double)WIDTH * HEIGHT);
        snprintf(what, sizeof what, "gaussian f32, sigma %g", sigmas[i]);
        print(what, blur_f32, bench, (double)WIDTH * HEIGHT);
    }
    print("rgb to gray u8", gray, bench, (double)WIDTH * HEIGHT);
}

static sp_image new_image(ptrdiff_t channels, ptrdiff_t sample_size)
{
    ptrdiff_t stride = WIDTH * channels * sample_size;
    sp_image image = {malloc((size_t)(stride * HEIGHT)), stride, HEIGHT, WIDTH,
                      channels};
    if (!image.data)
        abort();
    for (ptrdiff_t i = 0; i < stride * HEIGHT; i++)
        ((unsigned char *)image.data)[i] = (unsigned char)(i * i >> 7 & 63);
    return image;
}

int main(int argc, char **argv)
{
    static const char *const levels[] = {"baseline", "v3", "v4"};
    static double x[ELEMENTS], y[ELEMENTS];
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    struct bench bench = {
        .x = x,
        .y = y,
        .rgb = new_image(3, 1),
        .u8_in = new_image(1, 1),
        .u8_out = new_image(1, 1),
        .f32_in = new_image(1, 4),
        .f32_out = new_image(1, 4),
    };
    sp_pool_options options = {.workers = (uint32_t)(threads - 1)};
    if (threads > 1 && sp_pool_create(&bench.pool, &options) != SP_OK)
        return 1;
    for (int i = 0; i < ELEMENTS; i++)
        x[i] = (double)i / 100;

    print("a loop with cos()", integrate_with_a_loop, &bench, POINTS);
    for (int i = 0; i < 3; i++) {
        if (sp__kernels_use(levels[i]) != SP_OK)
            continue;
        printf("%s\n", sp_isa());
        run_all(&bench);
    }
    sp_pool_free(bench.pool);
    free(bench.rgb.data);
    free(bench.u8_in.data);
    free(bench.u8_out.data);
    free(bench.f32_in.data);
    free(bench.f32_out.data);
    return 0;
}
