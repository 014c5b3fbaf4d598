/*
 * Little CPU time: one CPU, a fifth of one, or one for eight threads.
 *
 * What spins for another thread keeps that one from running, what is woken comes late,
 * and who was preempted holds whatever he holds for long. Everything has to end all the
 * same; that it takes its time is no failure.
 *
 * Without the turn of the oldest in find_task() the last test never ends.
 */
#define _GNU_SOURCE

#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "check.h"
#include "sched/pool.h"
#include "stealpool.h"
#include "threads.h"

static sp_pool *new_pool(uint32_t workers)
{
    sp_pool *pool;
    sp_pool_options options = {.workers = workers};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    return pool;
}

/* ------------------------------------------------------------ what has to end */

struct item {
    sp_task task;
    _Atomic(uint32_t) *runs;
};

static void count(sp_task *task)
{
    fetch_add_seq_cst(((struct item *)task)->runs, 1u);
}

static int add_indices(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        *(int64_t *)acc += i;
    return 0;
}

static void add(void *into, const void *from, void *user)
{
    (void)user;
    *(int64_t *)into += *(const int64_t *)from;
}

struct load {
    sp_pool *pool;
    long rounds;
};

/* Round trips, batches and loops, from outside. */
static void use(unsigned index, void *arg)
{
    enum { BATCH = 20 };
    struct load *load = arg;
    for (long round = 0; round < load->rounds; round++) {
        _Atomic(uint32_t) runs = 0;
        struct item items[BATCH];
        sp_task *tasks[BATCH];
        size_t n = round % 2 ? BATCH : 1;
        for (size_t i = 0; i < n; i++) {
            items[i].runs = &runs;
            tasks[i] = &items[i].task;
            sp_task_init(tasks[i], count, NULL);
            sp_task_set_priority(tasks[i], SP_PRIORITY_HIGH - (int)(i + index) % 3);
        }
        CHECK_EQ(sp_submit_many(load->pool, tasks, n), SP_OK);
        for (size_t i = 0; i < n; i++)
            while (sp_task_wait(tasks[i], -1, round % 3 * 10000) == SP_EINTR)
                ;
        CHECK_EQ(load_seq_cst(&runs), n);
        if (round % 5 == 0) {
            int64_t sum = 0;
            CHECK_EQ(sp_parallel_reduce(load->pool, 0, 100000, 0, add_indices, add,
                                        &sum, sizeof sum, NULL),
                     0);
            CHECK_EQ(sum, (int64_t)100000 * 99999 / 2);
        }
    }
}

static void use_from(unsigned threads, uint32_t workers, long rounds)
{
    struct load load = {.pool = new_pool(workers), .rounds = rounds};
    run_together(threads, use, &load);
    sp_pool_free(load.pool);
}

/* ------------------------------------------------------------------- one CPU */

static void all_works_on_one_cpu(void)
{
    cpu_set_t before, one;
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    int first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(sp_usable_cpus(), 1);
    for (uint32_t workers = 1; workers <= 8; workers *= 2)
        use_from(3, workers, check_rounds(100));
    sp_pool *pool = new_pool(0);
    CHECK_EQ(sp_pool_workers(pool), 1);
    CHECK_EQ(pool->staff.keepalive_ns, 0); /* searching would keep the work away */
    sp_pool_free(pool);
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

static void all_works_with_eight_workers_a_cpu(void)
{
    use_from(8, 8 * sp_usable_cpus(), check_rounds(60));
}

/* ----------------------------------------------------------------- starvation */

struct mill {
    sp_pool *pool;
    _Atomic(uint32_t) may_end;
    _Atomic(uint32_t) ended;
};

struct grain {
    sp_task task;
    struct mill *mill;
};

static void free_grain(sp_task *task)
{
    sp__free(task);
}

static void feed(struct mill *mill);

static void grind(sp_task *task)
{
    struct mill *mill = ((struct grain *)task)->mill;
    if (load_seq_cst(&mill->may_end))
        fetch_add_seq_cst(&mill->ended, 1u);
    else
        feed(mill);
}

static void feed(struct mill *mill)
{
    struct grain *grain = sp__alloc(sizeof *grain);
    grain->mill = mill;
    sp_task_init(&grain->task, grind, free_grain);
    CHECK_EQ(sp_submit(mill->pool, &grain->task), SP_OK);
    sp_task_unref(&grain->task);
}

static void who_submits_from_outside_is_served_though_all_workers_feed_themselves(void)
{
    struct load load = {.pool = new_pool(2), .rounds = check_rounds(100)};
    struct mill mill = {.pool = load.pool};
    for (int i = 0; i < 4; i++)
        feed(&mill);
    run_together(4, use, &load);
    store_seq_cst(&mill.may_end, 1u);
    await(&mill.ended, 4);
    sp_pool_free(load.pool);
}

/* ------------------------------------------------------------ a fifth of a CPU */

static bool write_to(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file)
        return false;
    bool ok = fputs(text, file) >= 0;
    return fclose(file) == 0 && ok;
}

/* Into a new cgroup with the quota; false when we may not. */
static bool enter_quota(const char *folder, bool is_v1)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (mkdir(folder, 0755) != 0)
        return false;
    bool ok = is_v1 ? write_to(folder, "cpu.cfs_period_us", "100000") &&
                          write_to(folder, "cpu.cfs_quota_us", "20000")
                    : write_to(folder, "cpu.max", "20000 100000");
    return ok && write_to(folder, "cgroup.procs", pid);
}

static int work_in_quota(const char *folder, bool is_v1)
{
    if (!enter_quota(folder, is_v1))
        return CHECK_SKIPPED;
    CHECK_EQ(sp_cpu_quota(), 1);
    CHECK_EQ(sp_usable_cpus(), 1);
    use_from(3, 1, check_rounds(20));
    use_from(2, 4, check_rounds(20));
    sp_pool *pool = new_pool(2);
    CHECK_EQ(pool->staff.keepalive_ns, 0);
    sp_pool_free(pool);
    return 0;
}

static void all_works_with_a_fifth_of_a_cpu(void)
{
    static const char *const roots[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup"};
    for (int i = 0; i < 2; i++) {
        char folder[128];
        snprintf(folder, sizeof folder, "%s/stealpool-test-%d", roots[i],
                 (int)getpid());
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            leave_child(work_in_quota(folder, i == 0));
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        rmdir(folder);
        CHECK(WIFEXITED(status), "status %x", (unsigned)status);
        CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == CHECK_SKIPPED);
        if (WEXITSTATUS(status) == 0)
            return;
    }
    printf("  (not allowed to make a cgroup)\n");
}

int main(void)
{
    RUN(all_works_with_a_fifth_of_a_cpu); /* first: it forks */
    RUN(all_works_on_one_cpu);
    RUN(all_works_with_eight_workers_a_cpu);
    RUN(who_submits_from_outside_is_served_though_all_workers_feed_themselves);
    return 0;
}
