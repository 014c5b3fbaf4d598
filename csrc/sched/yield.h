/*
 * yield.h - giving the CPU away, for as long as it comes back at once.
 *
 * With a worker and the thread that waits for its task on one CPU, each keeps the other
 * from going on. Asleep, each has to be woken by the other: four system calls and two
 * switches of threads for a task. Yielding, neither sleeps: two system calls and the
 * same two switches.
 *
 * But whoever yields stands behind all other threads that wait for this CPU, those of
 * other programs too, and they may take a time slice each: milliseconds. A thread that
 * is woken is served sooner. So the time that a yield takes is looked at: after one
 * that was long there is none for many times as long, and yielding in vain costs a
 * fiftieth of the time at most, on whatever machine.
 */
#ifndef SP_SCHED_YIELD_H
#define SP_SCHED_YIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"

/** One for all threads that take turns on a CPU. In zeroed memory they may yield. */
struct sp__yield {
    _Atomic(int64_t) not_before; /* in ns; a hint, so relaxed */
};

/**
 * Let those run who wait for this CPU, from any thread. Then look for what one waits
 * for, and do so a second time at most: a yield that changed nothing found nobody here
 * who could.
 *
 * @return False, and nothing happened: that was dear lately. Sleep.
 */
bool sp__yield(struct sp__yield *yield);

#endif /* SP_SCHED_YIELD_H */
