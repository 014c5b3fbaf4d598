/*
 * os.h - the whole contract with the operating system.
 *
 * One file implements it per system: os_linux.c on futexes, os_posix.c on a
 * table of mutexes and condition variables (built and tested on Linux too).
 * Nothing above this file includes a system header for threads, clocks or CPUs.
 */
#ifndef SP_BASE_OS_H
#define SP_BASE_OS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"

/* ------------------------------------------------------ wait on an address */

enum sp__os_wake_reason {
    SP__OS_WOKEN,       /* woken, or the word differs, or for no reason at all */
    SP__OS_TIMED_OUT,   /* the deadline has passed */
    SP__OS_INTERRUPTED, /* a signal handler ran in this thread */
};

#define SP__OS_NO_DEADLINE INT64_MAX

/**
 * Sleep while `*word == expected`, until woken or until `deadline_ns` on the
 * clock of sp__os_now_ns(). The comparison and falling asleep are one step
 * with respect to sp__os_wake_*() on the same word. Callers loop.
 */
enum sp__os_wake_reason sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                    int64_t deadline_ns);

/**
 * Wake one / all of those asleep on `word`. The word may belong to memory that
 * was freed: only its address is used, and a stranger who waits on it by then
 * wakes for no reason, which he expects. (So one may publish "done", after
 * which the owner may free the word, and wake him then.)
 */
void sp__os_wake_one(_Atomic(uint32_t) *word);
void sp__os_wake_all(_Atomic(uint32_t) *word);

/* ------------------------------------------------------------------- time */

/** Monotonic nanoseconds; never INT64_MAX. */
int64_t sp__os_now_ns(void);

/** now + timeout; SP__OS_NO_DEADLINE for a negative or overflowing timeout. */
static inline int64_t sp__os_deadline(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return SP__OS_NO_DEADLINE;
    int64_t now = sp__os_now_ns();
    return timeout_ns > INT64_MAX - 1 - now ? SP__OS_NO_DEADLINE : now + timeout_ns;
}

/*
 * Laps: how long something takes that takes microseconds, in one thread. The processor's
 * own counter says so for half of what the clock costs, and without waiting until all is
 * done that was begun before: so a lap may end some ten nanoseconds early. Where there is
 * no such counter, or nobody has asked yet how fast it runs, it is the clock.
 */

/* Nanoseconds a tick, times 2^32; 0: not known. */
extern _Atomic(uint64_t) sp__os_lap_rate;

/** Find out how fast the counter runs, once: that takes 20 microseconds. */
void sp__os_lap_learn(void);

/* Both clocks at one moment; the counter before and after the clock. */
struct sp__os_moment {
    uint64_t before, after;
    int64_t ns;
};

/** The rate between two moments; 0 if they are unfit to say. */
uint64_t sp__os_rate_of(const struct sp__os_moment *from,
                        const struct sp__os_moment *to);

static inline uint64_t sp__os_ticks(void)
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

/** What a thread asks for once for all the laps that it compares. */
static inline uint64_t sp__os_lap_clock(void)
{
#ifdef SP_SIM
    return 0;
#else
    return load_relaxed(&sp__os_lap_rate);
#endif
}

/** Nanoseconds since some time, by sp__os_lap_clock()'s `clock`. */
static inline int64_t sp__os_lap_ns(uint64_t clock)
{
    if (sp_unlikely(clock == 0))
        return sp__os_now_ns();
    /* ticks * clock / 2^32, without the bits that do not fit: laps are differences. */
    uint64_t ticks = sp__os_ticks();
    return (int64_t)((ticks >> 32) * clock + ((ticks & UINT32_MAX) * clock >> 32));
}

/** Tell the processor that this is a spin loop. */
#ifdef SP_SIM
void sp__os_pause(void); /* tests/sim: let others go first */
#else
static inline void sp__os_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}
#endif

/** Let another thread of this CPU run, if there is one. */
void sp__os_yield(void);

/* ------------------------------------------------------------------- bells */

/* A file descriptor that can be polled: readable when it was rung. */
struct sp__os_bell {
    int fd;       /* to poll */
    int ring_end; /* the same, or the other end of a pipe */
};

/** Make a bell, non-blocking, closed on exec. False when the system refuses. */
bool sp__os_bell_create(struct sp__os_bell *ret_bell);
void sp__os_bell_destroy(struct sp__os_bell *bell);

/** Make it readable. Never blocks. */
void sp__os_bell_ring(const struct sp__os_bell *bell);

/** Make it unreadable, until it is rung again. Never blocks. */
void sp__os_bell_clear(const struct sp__os_bell *bell);

/* ---------------------------------------------------------------- threads */

struct sp__os_thread {
    unsigned long handle;
};

typedef void (*sp__os_thread_fn)(void *arg);

/**
 * Start a thread with all signals blocked but those of a crash, called `name` (cut to 15
 * characters). Tries again for a moment when the system is short of threads.
 * Returns false when it refuses.
 */
bool sp__os_thread_start(struct sp__os_thread *ret_thread, sp__os_thread_fn run,
                         void *arg, const char *name);

/** Let it run on this CPU only. False when the system refuses, or cannot. */
bool sp__os_thread_pin(struct sp__os_thread *thread, uint32_t cpu);

enum sp__os_policy { SP__OS_FIFO = 1, SP__OS_RR };

/** The least and the greatest priority that a real-time policy has. */
void sp__os_priorities(enum sp__os_policy policy, int *ret_least, int *ret_most);

/** Give it a real-time policy. False when the process has no permission. */
bool sp__os_thread_hurry(struct sp__os_thread *thread, enum sp__os_policy policy,
                         int priority);

/** Once a process: be told of forks. `in_child` runs when this file's own things are in
 * order again. Repeated calls do nothing. */
void sp__os_at_fork(void (*before)(void), void (*in_parent)(void),
                    void (*in_child)(void));

/** Called in the child by the above: each system's own part. */
void sp__os_after_fork(void);

/** Wait until the thread has ended. Once. */
void sp__os_thread_join(struct sp__os_thread *thread);

/* ------------------------------------------------------------------- CPUs */

/** The CPU on which the calling thread runs, as of now; cheap. */
uint32_t sp__os_current_cpu(void);

/**
 * Move the calling thread off `cpu`, if it is there and may run elsewhere. For a thread
 * that finds itself on the CPU of the one it wants to work beside: some systems leave
 * it there as long as it sleeps often. Its affinity stays as it was.
 */
void sp__os_leave_cpu(uint32_t cpu);

/** CPUs in this thread's affinity mask; at least 1. */
uint32_t sp__os_affinity_cpus(void);

/** Their numbers, in order, at most `max`. Returns how many; 0 when unknown. */
uint32_t sp__os_list_cpus(uint32_t *ret_cpus, uint32_t max);

#endif /* SP_BASE_OS_H */
