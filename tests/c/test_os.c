/* base/os.h: the contract, whichever file implements it. */
#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/os.h"
#include "check.h"
#include "threads.h"

#ifdef CAN_WRAP
/* What the system refuses. */
static struct {
    int threads;       /* so many times, with */
    int thread_error;  /* this */
    int asked;         /* for a thread */
    size_t mask_bytes; /* an affinity mask that has fewer */
    int affinity_error;
    bool memory; /* for a mask */
    bool moves;  /* to other CPUs */
} refused;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*run)(void *), void *arg)
{
    refused.asked++;
    if (refused.threads > 0 && refused.threads-- > 0)
        return refused.thread_error;
    return __real_pthread_create(thread, attr, run, arg);
}

int __real_sched_getaffinity(pid_t who, size_t bytes, cpu_set_t *ret_mask);
int __wrap_sched_getaffinity(pid_t who, size_t bytes, cpu_set_t *ret_mask);
int __wrap_sched_getaffinity(pid_t who, size_t bytes, cpu_set_t *ret_mask)
{
    if (refused.affinity_error || bytes < refused.mask_bytes) {
        errno = refused.affinity_error ? refused.affinity_error : EINVAL;
        return -1;
    }
    return __real_sched_getaffinity(who, bytes, ret_mask);
}

int __real_sched_setaffinity(pid_t who, size_t bytes, const cpu_set_t *mask);
int __wrap_sched_setaffinity(pid_t who, size_t bytes, const cpu_set_t *mask);
int __wrap_sched_setaffinity(pid_t who, size_t bytes, const cpu_set_t *mask)
{
    if (refused.moves) {
        errno = EPERM;
        return -1;
    }
    return __real_sched_setaffinity(who, bytes, mask);
}

/* What CPU_ALLOC() calls in glibc. */
cpu_set_t *__real___sched_cpualloc(size_t n);
cpu_set_t *__wrap___sched_cpualloc(size_t n);
cpu_set_t *__wrap___sched_cpualloc(size_t n)
{
    return refused.memory ? NULL : __real___sched_cpualloc(n);
}
#endif

/* ------------------------------------------------------------------ waiting */

static void a_wait_for_a_word_that_differs_returns_at_once(void)
{
    _Atomic(uint32_t) word = 1;
    CHECK_EQ(sp__os_wait(&word, 2, SP__OS_NO_DEADLINE), SP__OS_WOKEN);
}

static void a_wait_ends_at_its_deadline(void)
{
    _Atomic(uint32_t) word = 1;
    int64_t deadline = sp__os_deadline(2000000);
    enum sp__os_wake_reason reason;
    do
        reason = sp__os_wait(&word, 1, deadline);
    while (reason != SP__OS_TIMED_OUT);
    CHECK(sp__os_now_ns() >= deadline);
}

static void a_deadline_in_the_past_does_not_wait(void)
{
    _Atomic(uint32_t) word = 1;
    CHECK_EQ(sp__os_wait(&word, 1, sp__os_now_ns() - 1), SP__OS_TIMED_OUT);
    CHECK_EQ(sp__os_wait(&word, 1, 0), SP__OS_TIMED_OUT);
}

struct bed {
    _Atomic(uint32_t) word;
    _Atomic(uint32_t) up;
};

static void sleep_until_set(unsigned index, void *arg)
{
    struct bed *bed = arg;
    if (index == 0) {
        store_seq_cst(&bed->word, 1u);
        sp__os_wake_all(&bed->word);
        return;
    }
    while (load_acquire(&bed->word) == 0)
        sp__os_wait(&bed->word, 0, SP__OS_NO_DEADLINE);
    fetch_add_seq_cst(&bed->up, 1u);
}

static void wake_all_leaves_nobody_asleep(void)
{
    for (long round = check_rounds(50); round > 0; round--) {
        struct bed bed = {0};
        run_together(4, sleep_until_set, &bed);
        CHECK_EQ(load_seq_cst(&bed.up), 3);
    }
}

static void take_one_each(unsigned index, void *arg)
{
    _Atomic(uint32_t) *tokens = arg;
    if (index < 2) {
        fetch_add_seq_cst(tokens, 1u);
        sp__os_wake_one(tokens);
        return;
    }
    uint32_t have = load_acquire(tokens);
    for (;;) {
        if (have == 0) {
            sp__os_wait(tokens, 0, SP__OS_NO_DEADLINE);
            have = load_acquire(tokens);
        } else if (cas_weak_acq_rel(tokens, &have, have - 1)) {
            return;
        }
    }
}

static void wake_one_wakes_at_least_one(void)
{
    for (long round = check_rounds(50); round > 0; round--) {
        _Atomic(uint32_t) tokens = 0;
        run_together(4, take_one_each, &tokens);
        CHECK_EQ(load_seq_cst(&tokens), 0);
    }
}

static void waking_freed_memory_is_allowed(void)
{
    _Atomic(uint32_t) *word = sp__alloc(sizeof *word);
    sp__free(word);
    sp__os_wake_one(word);
    sp__os_wake_all(word);
}

struct signalled {
    _Atomic(uint32_t) word;
    _Atomic(uint32_t) is_interrupted;
    pthread_t sleeper;
    _Atomic(uint32_t) has_started;
};

static void ignore(int signal)
{
    (void)signal;
}

static void sleep_until_signalled(unsigned index, void *arg)
{
    struct signalled *s = arg;
    if (index == 0) {
        s->sleeper = pthread_self();
        store_seq_cst(&s->has_started, 1u);
        while (sp__os_wait(&s->word, 0, SP__OS_NO_DEADLINE) != SP__OS_INTERRUPTED)
            ;
        store_seq_cst(&s->is_interrupted, 1u);
        return;
    }
    await(&s->has_started, 1);
    while (!load_seq_cst(&s->is_interrupted)) {
        pthread_kill(s->sleeper, SIGUSR1);
        sp__os_yield();
    }
}

static void a_signal_interrupts_a_wait(void)
{
    struct sigaction action = {.sa_handler = ignore};
    struct signalled s = {.word = 0};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    run_together(2, sleep_until_signalled, &s);
}

/* --------------------------------------------------------------------- time */

static void time_does_not_go_back(void)
{
    int64_t before = sp__os_now_ns();
    for (int i = 0; i < 1000; i++) {
        int64_t now = sp__os_now_ns();
        CHECK(now >= before);
        before = now;
    }
}

/* Lap within clock, and clock within lap: whoever is interrupted in between. */
static void a_lap_is_as_long_as_the_clock_says(void)
{
    sp__os_lap_learn();
    uint64_t clock = sp__os_lap_clock();
    int64_t outer = sp__os_now_ns(), lap = sp__os_lap_ns(clock);
    int64_t inner = sp__os_now_ns(), inner_ns, lap_ns;
    do {
        inner_ns = sp__os_now_ns() - inner;
        lap_ns = sp__os_lap_ns(clock) - lap;
    } while (inner_ns < 1000000);
    int64_t outer_ns = sp__os_now_ns() - outer;
    CHECK(lap_ns > inner_ns - inner_ns / 16, "%lld of %lld", (long long)lap_ns,
          (long long)inner_ns);
    CHECK(lap_ns < outer_ns + outer_ns / 16, "%lld of %lld", (long long)lap_ns,
          (long long)outer_ns);
    sp__os_lap_learn();
    CHECK(clock == 0 || sp__os_lap_clock() == clock); /* known is known */
}

static void without_a_counter_laps_are_the_clocks(void)
{
    int64_t before = sp__os_now_ns(), lap = sp__os_lap_ns(0);
    CHECK(before <= lap && lap <= sp__os_now_ns());
}

static void a_rate_comes_from_moments_that_are_exact(void)
{
    struct sp__os_moment from = {1000, 1010, 500};
    struct sp__os_moment to = {51000, 51010, 20500}; /* 2.5 GHz */
    CHECK_EQ(sp__os_rate_of(&from, &to), ((uint64_t)20000 << 32) / 50000);
    to.after = to.before + 1600; /* interrupted */
    CHECK_EQ(sp__os_rate_of(&from, &to), 0);
    to.after = to.before;
    to.ns = from.ns + 19999; /* too near, */
    CHECK_EQ(sp__os_rate_of(&from, &to), 0);
    to.ns = from.ns + 200001; /* or too far */
    CHECK_EQ(sp__os_rate_of(&from, &to), 0);
    from.after = from.before;
    to = (struct sp__os_moment){from.before, from.before, 20500}; /* it stands */
    CHECK_EQ(sp__os_rate_of(&from, &to), 0);
}

static void long_timeouts_mean_for_ever(void)
{
    CHECK_EQ(sp__os_deadline(-1), SP__OS_NO_DEADLINE);
    CHECK_EQ(sp__os_deadline(INT64_MIN), SP__OS_NO_DEADLINE);
    CHECK_EQ(sp__os_deadline(INT64_MAX), SP__OS_NO_DEADLINE);
    int64_t now = sp__os_now_ns();
    CHECK(sp__os_deadline(0) >= now);
    CHECK(sp__os_deadline(1000) >= now + 1000);
}

/* ------------------------------------------------------------------ threads */

struct seen {
    char name[16];
    sigset_t blocked;
    uint32_t runs;
};

static void look_around(void *arg)
{
    struct seen *seen = arg;
    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
#ifdef __linux__
    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
#endif
    seen->runs++;
}

static void a_thread_has_its_name_and_blocks_signals(void)
{
    struct sp__os_thread thread;
    struct seen seen = {.runs = 0};
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK(sp__os_thread_start(&thread, look_around, &seen, "a-rather-long-name"));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    sp__os_thread_join(&thread);

    CHECK_EQ(seen.runs, 1);
    CHECK(sigismember(&seen.blocked, SIGINT) == 1);
    CHECK(sigismember(&seen.blocked, SIGUSR1) == 1);
    CHECK(sigismember(&seen.blocked, SIGSEGV) == 0);
    CHECK(sigismember(&before, SIGINT) == sigismember(&after, SIGINT));
#ifdef __linux__
    CHECK_STR_EQ(seen.name, "a-rather-long-n");
#endif
}

static void a_thread_without_memory_is_refused(void)
{
    struct sp__os_thread thread = {.handle = 42};
    struct seen seen = {.runs = 0};
    if (!sp__alloc_fail_at(0, false))
        return;
    CHECK(!sp__os_thread_start(&thread, look_around, &seen, "none"));
    CHECK_EQ(thread.handle, 42);
    CHECK_EQ(seen.runs, 0);
}

#ifdef CAN_WRAP
static void a_thread_that_is_refused_for_a_moment_starts_all_the_same(void)
{
    for (int times = 1; times <= 3; times++) {
        struct sp__os_thread thread;
        struct seen seen = {.runs = 0};
        refused.threads = times;
        refused.thread_error = EAGAIN;
        refused.asked = 0;
        CHECK(sp__os_thread_start(&thread, look_around, &seen, "late"), "%d", times);
        CHECK_EQ(refused.asked, times + 1);
        sp__os_thread_join(&thread);
        CHECK_EQ(seen.runs, 1);
    }
}

static void a_thread_that_is_refused_for_good_is_not_asked_for_for_ever(void)
{
    static const int errors[] = {EAGAIN, EPERM, ENOMEM};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct sp__os_thread thread = {.handle = 42};
        struct seen seen = {.runs = 0};
        sigset_t before, after;
        pthread_sigmask(SIG_SETMASK, NULL, &before);
        refused.threads = 1000;
        refused.thread_error = errors[i];
        refused.asked = 0;
        CHECK(!sp__os_thread_start(&thread, look_around, &seen, "never"));
        refused.threads = 0;
        CHECK(errors[i] == EAGAIN ? refused.asked < 10 : refused.asked == 1, "%d",
              refused.asked);
        pthread_sigmask(SIG_SETMASK, NULL, &after);
        CHECK_EQ(thread.handle, 42);
        CHECK_EQ(seen.runs, 0);
        CHECK(sigismember(&before, SIGINT) == sigismember(&after, SIGINT));
    }
}
#endif

static void the_affinity_mask_is_counted(void)
{
    CHECK(sp__os_affinity_cpus() >= 1);
#ifdef __linux__
    cpu_set_t all, one;
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    CHECK_EQ(sp__os_affinity_cpus(), CPU_COUNT(&all));
    int first = 0;
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(sp__os_affinity_cpus(), 1);
    CHECK_EQ(sched_setaffinity(0, sizeof all, &all), 0);
#endif
}

static void the_cpus_are_listed(void)
{
#ifdef __linux__
    uint32_t cpus[1024];
    cpu_set_t all;
    CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    uint32_t n = sp__os_list_cpus(cpus, 1024);
    CHECK_EQ(n, sp__os_affinity_cpus());
    for (uint32_t i = 0; i < n; i++)
        CHECK(CPU_ISSET(cpus[i], &all) && (i == 0 || cpus[i] > cpus[i - 1]), "%u", i);
    CHECK_EQ(sp__os_list_cpus(cpus, 1), 1);
#endif
}

#if defined(__GLIBC__) && defined(CAN_WRAP)
static void a_mask_of_a_great_many_cpus_is_read(void)
{
    uint32_t cpus[1024];
    uint32_t n = sp__os_affinity_cpus();
    for (size_t bytes = 129; bytes <= 1 << 17; bytes *= 4) {
        refused.mask_bytes = bytes;
        CHECK_EQ(sp__os_affinity_cpus(), n, "%zu", bytes);
        CHECK_EQ(sp__os_list_cpus(cpus, 1024), n, "%zu", bytes);
    }
    refused.mask_bytes = 0;
}

/* Then all CPUs that are there count, and none can be named. */
static void check_that_no_mask_is_had(void)
{
    uint32_t cpus[1024];
    CHECK_EQ(sp__os_list_cpus(cpus, 1024), 0);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    CHECK_EQ(sp__os_affinity_cpus(), online > 0 ? online : 1);
}

static void without_a_mask_all_cpus_count(void)
{
    refused.affinity_error = EPERM;
    check_that_no_mask_is_had();
    refused.affinity_error = EINVAL; /* for every length */
    check_that_no_mask_is_had();
    refused.affinity_error = 0;
    refused.memory = true;
    check_that_no_mask_is_had();
    struct sp__os_thread thread;
    struct seen seen = {.runs = 0};
    CHECK(sp__os_thread_start(&thread, look_around, &seen, "unpinned"));
    CHECK(!sp__os_thread_pin(&thread, 0));
    refused.memory = false;
    sp__os_thread_join(&thread);
}

static void who_cannot_leave_a_cpu_stays(void)
{
    cpu_set_t before, after;
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    sp__os_leave_cpu(CPU_SETSIZE);
    sp__os_leave_cpu(UINT32_MAX);
    refused.affinity_error = EINVAL;
    sp__os_leave_cpu(0);
    refused.affinity_error = 0;
    refused.moves = true;
    sp__os_leave_cpu(0);
    refused.moves = false;
    cpu_set_t one;
    CPU_ZERO(&one);
    int cpu = sched_getcpu();
    CPU_SET(cpu, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    sp__os_leave_cpu((uint32_t)cpu);
    CHECK_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    CHECK(CPU_EQUAL(&after, &one));
    CHECK_EQ(sched_setaffinity(0, sizeof before, &before), 0);
    sp__os_leave_cpu(0);
    CHECK_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    CHECK(CPU_EQUAL(&after, &before));
}
#endif

/* -------------------------------------------------------------------- bells */

static bool is_readable(int fd)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    CHECK(poll(&event, 1, 0) >= 0);
    return event.revents & POLLIN;
}

static void a_bell_is_readable_from_ring_to_clear(void)
{
    struct sp__os_bell bell;
    CHECK(sp__os_bell_create(&bell));
    for (int round = 0; round < 3; round++) {
        CHECK(!is_readable(bell.fd));
        sp__os_bell_clear(&bell); /* does not block */
        for (int i = 0; i < 100 * round + 1; i++)
            sp__os_bell_ring(&bell);
        CHECK(is_readable(bell.fd));
        sp__os_bell_clear(&bell);
    }
    CHECK(!is_readable(bell.fd));
    sp__os_bell_destroy(&bell);
}

static void a_bell_may_be_rung_for_ever(void)
{
    struct sp__os_bell bell;
    CHECK(sp__os_bell_create(&bell));
    for (int i = 0; i < 100000; i++) /* more than a pipe holds */
        sp__os_bell_ring(&bell);
    CHECK(is_readable(bell.fd));
    sp__os_bell_clear(&bell);
    CHECK(!is_readable(bell.fd));
    sp__os_bell_destroy(&bell);
}

int main(void)
{
    RUN(a_wait_for_a_word_that_differs_returns_at_once);
    RUN(a_wait_ends_at_its_deadline);
    RUN(a_deadline_in_the_past_does_not_wait);
    RUN(wake_all_leaves_nobody_asleep);
    RUN(wake_one_wakes_at_least_one);
    RUN(waking_freed_memory_is_allowed);
    RUN(a_signal_interrupts_a_wait);
    RUN(time_does_not_go_back);
    RUN(a_lap_is_as_long_as_the_clock_says);
    RUN(without_a_counter_laps_are_the_clocks);
    RUN(a_rate_comes_from_moments_that_are_exact);
    RUN(long_timeouts_mean_for_ever);
    RUN(a_thread_has_its_name_and_blocks_signals);
    RUN(a_thread_without_memory_is_refused);
#ifdef CAN_WRAP
    RUN(a_thread_that_is_refused_for_a_moment_starts_all_the_same);
    RUN(a_thread_that_is_refused_for_good_is_not_asked_for_for_ever);
#endif
    RUN(the_affinity_mask_is_counted);
    RUN(the_cpus_are_listed);
#if defined(__GLIBC__) && defined(CAN_WRAP)
    RUN(a_mask_of_a_great_many_cpus_is_read);
    RUN(without_a_mask_all_cpus_count);
    RUN(who_cannot_leave_a_cpu_stays);
#endif
    RUN(a_bell_is_readable_from_ring_to_clear);
    RUN(a_bell_may_be_rung_for_ever);
    return 0;
}
