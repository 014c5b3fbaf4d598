/*
 * What a Python lane's queues cost, without Python: nanoseconds of CPU time of all threads
 * together for each call, which a busy machine changes little, and those that passed; and
 * how many times in a thousand calls a lock made a thread leave the CPU. One queue, as
 * with a GIL, beside a queue for each thread, as without; in turn. Of CPU time the least of
 * all rounds and the median, of the others the median.
 *
 *     bench_lane [THREADS...]
 *     TURNS=10 bench_lane 8      calls of some 20 ns
 *
 * Calls compute for some 200 ns, or TURNS turns. "nested": each submits the next. "bulk":
 * one thread submits all. "many": as many threads submit as there are to run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "lane.h"

enum { CALLS = 100000, MOST = 64, ROUNDS = 21 };
enum load { NESTED, BULK, MANY };

static struct sp_lane lane;
static struct sp_call calls[CALLS];
static uint32_t n_threads, n_each, turns = 150;
static enum load load;
static _Atomic(uint32_t) started;
static struct sp__os_thread threads[MOST];
static _Atomic(uint64_t) yields, checksum;

void __real_sp__os_yield(void);
void __wrap_sp__os_yield(void);

void __wrap_sp__os_yield(void)
{
    fetch_add_relaxed(&yields, 1u);
    __real_sp__os_yield();
}

static uint64_t compute(uint64_t x)
{
    for (uint32_t i = 0; i < turns; i++) /* each needs the one before it */
        x = x * 6364136223846793005u + (x >> 33) + 1;
    return x;
}

static void run_lane(void *unused);

static void put(uint32_t i)
{
    if (sp_lane_put(&lane, &calls[i], SP_LANE_NORMAL) == SP_LANE_NOTHING)
        return;
    uint32_t n = fetch_add_relaxed(&started, 1u);
    if (!sp__os_thread_start(&threads[n], run_lane, NULL, "lane"))
        abort();
}

static void run_lane(void *unused)
{
    struct sp_seat seat = {0};
    uint64_t sum = 0;
    (void)unused;
    sp_lane_enter(&lane);
    sp_lane_sit(&lane, &seat);
    for (;;) {
        struct sp_call *call = sp_lane_take(&lane, &seat);
        if (call) {
            uint32_t i = (uint32_t)(call - calls);
            sum += compute(i);
            if (load == NESTED && (i + 1) % n_each)
                put(i + 1);
        } else if (sp_lane_is_over(&lane)) {
            break;
        } else {
            sp_lane_wait(&lane, &seat);
        }
    }
    sp_lane_leave(&lane, &seat);
    fetch_add_relaxed(&checksum, sum);
}

static void submit(void *first)
{
    uint32_t begin = (uint32_t)((struct sp_call *)first - calls);
    for (uint32_t i = begin; i < begin + n_each; i++)
        put(i);
}

static double cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

enum { CPU_NS, NS, YIELDS, FIGURES };

static void run_once(bool is_parallel, double *ret)
{
    struct sp__os_thread submitters[MOST];
    memset(&lane, 0, sizeof lane);
    memset(calls, 0, sizeof calls);
    store_relaxed(&started, 0);
    store_relaxed(&yields, 0);
    store_relaxed(&checksum, 0);
    sp_lane_init(&lane, n_threads, is_parallel);
    n_each = load == BULK ? CALLS : CALLS / n_threads;
    uint32_t n = CALLS / n_each;
    double begin_cpu = cpu_ns();
    int64_t begin = sp__os_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        if (load == NESTED)
            put(i * n_each);
        else if (!sp__os_thread_start(&submitters[i], submit, &calls[i * n_each],
                                      "sub"))
            abort();
    }
    for (uint32_t i = 0; load != NESTED && i < n; i++)
        sp__os_thread_join(&submitters[i]);
    while (load == NESTED && load_relaxed(&started) < n_threads)
        sp__os_pause();
    /* Nobody waits for the calls: a lane that is closed runs all that it has. */
    sp_lane_close(&lane);
    for (uint32_t i = 0; i < load_relaxed(&started); i++)
        sp__os_thread_join(&threads[i]);
    ret[CPU_NS] = (cpu_ns() - begin_cpu) / (n * n_each);
    ret[NS] = (double)(sp__os_now_ns() - begin) / (n * n_each);
    ret[YIELDS] = (double)load_relaxed(&yields) * 1000 / (n * n_each);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The `nth` smallest. */
static double nth(int n, double found[ROUNDS][FIGURES], int which)
{
    double values[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        values[i] = found[i][which];
    qsort(values, ROUNDS, sizeof(double), compare);
    return values[n];
}

static void measure(const char *name)
{
    double found[2][ROUNDS][FIGURES];
    uint64_t sums[2] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        for (int own = 0; own < 2; own++) {
            run_once(own, found[own][round]);
            sums[own] = load_relaxed(&checksum);
        }
        if (sums[0] != sums[1])
            abort();
    }
    printf("%-6s %2u threads", name, n_threads);
    for (int own = 0; own < 2; own++)
        printf("   %s %4.0f, %4.0f ns of CPU, %4.0f passed, %5.2f yields",
               own ? "own queues" : "one queue", nth(0, found[own], CPU_NS),
               nth(ROUNDS / 2, found[own], CPU_NS), nth(ROUNDS / 2, found[own], NS),
               nth(ROUNDS / 2, found[own], YIELDS));
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *some[] = {"2", "4", "8"};
    int n = argc > 1 ? argc - 1 : 3;
    if (getenv("TURNS"))
        turns = (uint32_t)strtoul(getenv("TURNS"), NULL, 10);
    for (int i = 0; i < n; i++) {
        n_threads = (uint32_t)strtoul(argc > 1 ? argv[1 + i] : some[i], NULL, 10);
        if (n_threads < 1 || n_threads > MOST)
            return 2;
        load = NESTED, measure("nested");
        load = BULK, measure("bulk");
        load = MANY, measure("many");
    }
    return 0;
}
