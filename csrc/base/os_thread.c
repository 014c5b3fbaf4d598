/* The part of os.h that Linux and the other POSIX systems share. */
#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/os.h"

#define NAME_BYTES 16          /* the kernel's limit, with the final 0 */
#define STACK_BYTES (8u << 20) /* musl would give 128 KiB */
#define START_ATTEMPTS 4

_Static_assert(sizeof(pthread_t) <= sizeof(unsigned long),
               "pthread_t does not fit into struct sp__os_thread");

int64_t sp__os_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void sp__os_yield(void)
{
    sched_yield();
}

struct start {
    sp__os_thread_fn run;
    void *arg;
    char name[NAME_BYTES];
};

static void *run_thread(void *arg)
{
    struct start start = *(struct start *)arg;
    sp__free(arg);
#ifdef __linux__
    pthread_setname_np(pthread_self(), start.name);
#endif
    start.run(start.arg);
    return NULL;
}

static int create(pthread_t *ret_thread, struct start *start)
{
    pthread_attr_t attr;
    int error = pthread_attr_init(&attr);
    if (error)
        return error;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (int attempt = 0; attempt < START_ATTEMPTS; attempt++) {
        error = pthread_create(ret_thread, &attr, run_thread, start);
        if (error != EAGAIN)
            break;
        /* Threads that just ended may not have been counted out yet. */
        struct timespec pause = {.tv_nsec = 1000000L << attempt};
        nanosleep(&pause, NULL);
    }
    pthread_attr_destroy(&attr);
    return error;
}

bool sp__os_thread_start(struct sp__os_thread *ret_thread, sp__os_thread_fn run,
                         void *arg, const char *name)
{
    struct start *start = sp__alloc(sizeof *start);
    if (!start)
        return false;
    start->run = run;
    start->arg = arg;
    snprintf(start->name, sizeof start->name, "%s", name);

    /* A signal must reach a thread of the host's: its handler, and whoever
     * waits for EINTR there, are not ours. The new thread inherits the mask.
     * But a thread that crashes must reach the host's handler, which says where:
     * blocked, such a signal ends the process without a word. */
    static const int of_a_crash[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof of_a_crash / sizeof *of_a_crash; i++)
        sigdelset(&all, of_a_crash[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = create(&thread, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (error) {
        sp__free(start);
        return false;
    }
    ret_thread->handle = (unsigned long)thread;
    return true;
}

void sp__os_thread_join(struct sp__os_thread *thread)
{
    if (pthread_join((pthread_t)thread->handle, NULL) != 0) {
        fprintf(stderr, "stealpool: a worker thread cannot be joined\n");
        abort();
    }
}

static void (*tell_child)(void);
static void (*tell_before)(void);
static void (*tell_parent)(void);

static void after_fork_in_child(void)
{
    sp__os_after_fork();
    tell_child();
}

static void register_at_fork(void)
{
    pthread_atfork(tell_before, tell_parent, after_fork_in_child);
}

void sp__os_at_fork(void (*before)(void), void (*in_parent)(void),
                    void (*in_child)(void))
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    if (!tell_child) {
        tell_before = before;
        tell_parent = in_parent;
        tell_child = in_child;
        register_at_fork();
    }
    pthread_mutex_unlock(&mutex);
}

uint32_t sp__os_current_cpu(void)
{
#ifdef __linux__
    int cpu = sched_getcpu(); /* from memory that the kernel keeps up to date */
    if (cpu >= 0)
        return (uint32_t)cpu;
#endif
    return 0;
}

void sp__os_leave_cpu(uint32_t cpu)
{
#ifdef __linux__
    cpu_set_t all, others;
    /* Fails for more CPUs than fit; then we stay. */
    if (cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    others = all;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all);
#else
    (void)cpu;
#endif
}

#ifdef __linux__
/* The calling thread's mask, to be freed with CPU_FREE(); NULL when unknown. The
 * kernel's mask may be larger than cpu_set_t: double until it fits. */
static cpu_set_t *affinity_mask(int *ret_bits)
{
    for (int bits = 1024; bits <= 1 << 20; bits *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)bits);
        if (!set)
            break;
        if (sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)bits), set) == 0) {
            *ret_bits = bits;
            return set;
        }
        CPU_FREE(set);
        if (errno != EINVAL)
            break;
    }
    return NULL;
}
#endif

uint32_t sp__os_list_cpus(uint32_t *ret_cpus, uint32_t max)
{
    uint32_t n = 0;
#ifdef __linux__
    int bits;
    cpu_set_t *set = affinity_mask(&bits);
    if (!set)
        return 0;
    for (int cpu = 0; cpu < bits; cpu++)
        if (CPU_ISSET_S((size_t)cpu, CPU_ALLOC_SIZE((size_t)bits), set) && n < max)
            ret_cpus[n++] = (uint32_t)cpu;
    CPU_FREE(set);
#else
    (void)ret_cpus;
    (void)max;
#endif
    return n;
}

uint32_t sp__os_affinity_cpus(void)
{
#ifdef __linux__
    int bits;
    cpu_set_t *set = affinity_mask(&bits);
    if (set) {
        int count = CPU_COUNT_S(CPU_ALLOC_SIZE((size_t)bits), set);
        CPU_FREE(set);
        return (uint32_t)count;
    }
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 1 ? (uint32_t)online : 1;
}

bool sp__os_thread_pin(struct sp__os_thread *thread, uint32_t cpu)
{
#ifdef __linux__
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    if (!set)
        return false;
    size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
    CPU_ZERO_S(bytes, set);
    CPU_SET_S(cpu, bytes, set);
    int error = pthread_setaffinity_np((pthread_t)thread->handle, bytes, set);
    CPU_FREE(set);
    return error == 0;
#else
    (void)thread;
    (void)cpu;
    return false;
#endif
}

static int policy_number(enum sp__os_policy policy)
{
    return policy == SP__OS_FIFO ? SCHED_FIFO : SCHED_RR;
}

void sp__os_priorities(enum sp__os_policy policy, int *ret_least, int *ret_most)
{
    *ret_least = sched_get_priority_min(policy_number(policy));
    *ret_most = sched_get_priority_max(policy_number(policy));
}

bool sp__os_thread_hurry(struct sp__os_thread *thread, enum sp__os_policy policy,
                         int priority)
{
    struct sched_param param = {.sched_priority = priority};
    return pthread_setschedparam((pthread_t)thread->handle, policy_number(policy),
                                 &param) == 0;
}

#ifdef SP_CHAOS
#include "base/random.h"

void sp__chaos(void)
{
    static _Thread_local uint64_t state;
    if (!state)
        state = (uint64_t)sp__os_now_ns() ^ (uint64_t)(uintptr_t)&state ^ 1;
    uint64_t dice = sp__random_next(&state) >> 32;
    if (dice % 64 == 0)
        sched_yield();
    else if (dice % 8 == 1)
        sp__os_pause();
}
#endif
