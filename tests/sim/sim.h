/*
 * sim.h - what a scenario needs; README.md says what a simulation is.
 *
 *     SCENARIO(every_task_runs_once, .share = 10)
 *     {
 *         struct sim_thread *other = sim_spawn(submit_some, &box);
 *         ...
 *         sim_join(other);
 *         CHECK_EQ(box.runs, 3);
 *     }
 *
 * The body runs as thread 0, again and again, each time from the same bytes of
 * static memory. It must end with all threads joined and all memory freed, and do
 * the same when the same decisions are made: no clock, no address in a decision.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_scenario {
    const char *name;
    void (*run)(void);
    unsigned share;     /* of a run's schedules; 0 counts as 1 */
    bool fails_memory;  /* an allocation may fail */
    bool fails_threads; /* a thread may not start */
    unsigned keeps;     /* blocks of memory that a list of the library may keep */
    bool is_litmus;     /* about the simulator itself */
    bool must_fail;     /* a failure must be found */
    uint64_t outcomes;  /* a bit for each sim_outcome() that must be found; no other
                            may be. 0: there are none */
    struct sim_scenario *next;
};

void sim_register(struct sim_scenario *scenario);

#define SCENARIO(claim, ...)                                        \
    static void claim(void);                                        \
    __attribute__((constructor)) static void register_##claim(void) \
    {                                                               \
        static struct sim_scenario scenario = {                     \
            .name = #claim, .run = (claim), __VA_ARGS__};           \
        sim_register(&scenario);                                    \
    }                                                               \
    static void claim(void)

/** Start a thread that is none of the library's. It never fails to start. */
unsigned sim_spawn(void (*run)(void *), void *arg);

/** Wait until it has ended. */
void sim_join(unsigned thread);

/** A number below `n`, from the seed; all of them in turn when searching. */
uint32_t sim_choose(uint32_t n);

/** Let no more faults happen: what follows must succeed. */
void sim_no_more_faults(void);

/** How many allocations, and thread starts, the schedule has made. */
uint32_t sim_allocations(void);

/** What came out, below 64; all together are compared with `outcomes`. */
void sim_outcome(uint32_t outcome);

#endif /* SIM_H */
