/*
 * What a task and a loop cost, without Python. Prints nanoseconds, the least of
 * several rounds.
 *
 *     bench_pool [WORKERS]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "stealpool.h"

enum { TASKS = 20000, TRIPS = 5000, LOOPS = 5000, ROUNDS = 9 };

static sp_pool *pool;
static sp_task tasks[TASKS];
static sp_task *handles[TASKS];

static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void run_nothing(sp_task *task)
{
    (void)task;
}

static void init_tasks(void)
{
    for (int i = 0; i < TASKS; i++) {
        sp_task_init(&tasks[i], run_nothing, NULL);
        handles[i] = &tasks[i];
    }
}

static void wait_for_tasks(void)
{
    for (int i = TASKS - 1; i >= 0; i--)
        sp_task_wait(&tasks[i], -1, 0);
}

static double submit_many(void)
{
    init_tasks();
    double start = now_ns();
    sp_submit_many(pool, handles, TASKS);
    wait_for_tasks();
    return (now_ns() - start) / TASKS;
}

static double submit_each(void)
{
    init_tasks();
    double start = now_ns();
    for (int i = 0; i < TASKS; i++)
        sp_submit(pool, &tasks[i]);
    wait_for_tasks();
    return (now_ns() - start) / TASKS;
}

static double round_trips(void)
{
    init_tasks();
    double start = now_ns();
    for (int i = 0; i < TRIPS; i++) {
        sp_submit(pool, &tasks[i]);
        sp_task_wait(&tasks[i], -1, 20000);
    }
    return (now_ns() - start) / TRIPS;
}

static int do_nothing(intptr_t begin, intptr_t end, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        __asm__ volatile("" ::"r"(i));
    return 0;
}

static double empty_loops(void)
{
    double start = now_ns();
    for (int i = 0; i < LOOPS; i++)
        sp_parallel_for(pool, 0, 64, 0, do_nothing, NULL);
    return (now_ns() - start) / LOOPS;
}

static void report(const char *what, double (*measure)(void))
{
    double best = measure();
    for (int round = 1; round < ROUNDS; round++) {
        double ns = measure();
        best = ns < best ? ns : best;
    }
    printf("%-36s %10.1f ns\n", what, best);
}

int main(int argc, char **argv)
{
    sp_pool_options options = {.workers = argc > 1 ? (uint32_t)atoi(argv[1]) : 0};
    sp_status status = sp_pool_create(&pool, &options);
    if (status != SP_OK) {
        fprintf(stderr, "no pool: %s\n", sp_status_text(status));
        return 1;
    }
    printf("%u workers\n", sp_pool_workers(pool));
    report("submit_many and wait, a task", submit_many);
    report("submit and wait, a task", submit_each);
    report("round trip, spinning 20 us", round_trips);
    report("empty parallel_for(64)", empty_loops);
    sp_pool_free(pool);
    return 0;
}
