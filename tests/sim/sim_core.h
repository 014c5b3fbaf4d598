/*
 * sim_core.h - the simulator's own state. Scenarios include sim.h instead.
 *
 * One struct, in memory of its own: the data segment of the program then holds
 * nothing but the library under test and the scenarios, and is put back to its
 * first bytes before every schedule.
 */
#ifndef SIM_CORE_H
#define SIM_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/os.h"
#include "sim.h"

#define MAX_THREADS 8
#define MAX_LOCATIONS 2040
#define VIEW_SIZE (MAX_THREADS + MAX_LOCATIONS)
#define HISTORY 8 /* a power of two */
#define MAX_WEAKENED 64
#define MAX_TRAIL 4096
#define TLS_BYTES 4096
#define MAX_OUTCOMES 64
#define MAX_BYTES 4096

/* The block that holds the heap and the stacks, always at the same address. */
#define BLOCK_ADDRESS 0x100000000000u
#define HEAP_BYTES ((size_t)4 << 20)
#define STACK_BYTES ((size_t)128 << 10)
#define BLOCK_BYTES (HEAP_BYTES + MAX_THREADS * STACK_BYTES)
#define LINE_BYTES 128

/* A place in one location's modification order, or a thread's own time. */
typedef int16_t stamp;
#define MAX_STEPS 30000

/* What was written to a location. */
struct message {
    uint64_t value;
    const stamp *released; /* the view that comes with it; NULL = none */
    uint16_t n_released;
    bool is_plain; /* by a plain store: the value is in memory, not here */
};

/* An atomic object, from its first use in the schedule. */
struct location {
    uintptr_t address;
    uint8_t size;
    uint16_t next; /* + 1; in the same cell, smaller than it */
    stamp oldest;  /* of those in `history` that may still be read */
    stamp newest;
    stamp sc;    /* the newest that a seq-cst access wrote or read */
    stamp woken; /* the newest that somebody knew who made a wake-up call */
    stamp reads[MAX_THREADS]; /* each thread's time at its last read */
    stamp writes[MAX_THREADS];
    struct message history[HISTORY];
};

/* Who used a piece of memory by plain accesses, since it was written last. */
struct uses {
    stamp write_time;
    uint8_t writer;
    bool is_written;
    uint8_t readers; /* a bit a thread */
    stamp read_times[MAX_THREADS];
};

/* Four bytes of memory. */
struct cell {
    struct uses uses;     /* of all of them, unless they are told apart */
    uint16_t bytes;       /* + 1, in `sim->bytes`; 0 = they are not */
    uint16_t location;    /* + 1; the first atomic object that has a part in it */
    uint16_t reserved[3]; /* two to a cache line */
};
_Static_assert(sizeof(struct cell) == 32, "two to a cache line");

/* Which cells of LINE_BYTES of memory were used, each a bit; others are not valid. */
struct line {
    uint32_t schedule; /* in which they were */
    uint32_t used;
};

enum thread_state { UNUSED, RUNNABLE, ASLEEP, JOINING, FINISHED };

struct thread {
    void *stack_pointer; /* while another one runs */
    enum thread_state state;
    unsigned id;
    void (*run)(void *);
    void *arg;
    const char *name;
    bool yields; /* let others go first, until one of them has written */
    bool paused; /* since its last operation */
    bool joined;
    int priority;
    uint32_t last_step; /* when it ran last */
    uintptr_t word;     /* asleep on it */
    struct thread *joins;
    int64_t deadline_ns;
    enum sp__os_wake_reason reason;
    uintptr_t last_site;
    /* The rest is not zeroed for each schedule. */
    _Alignas(64) unsigned char tls[TLS_BYTES];
    size_t view_used;                   /* the rest is 0 */
    _Alignas(64) stamp view[VIEW_SIZE]; /* times of threads, then stamps */
};

enum strategy { WALK, PCT, DFS };

struct decision {
    uint16_t taken;
    uint16_t of;
};

struct region {
    uintptr_t begin;
    uintptr_t end;
    struct cell *cells;
    struct line *lines;
};

struct simulation {
    /* The schedule. */
    bool is_running;
    uint32_t schedule; /* its number in this process, from 1 */
    uint64_t seed;
    uint64_t random;
    enum strategy strategy;
    uint32_t steps;
    uint32_t steps_in_a_row;
    uint32_t switch_mask;  /* WALK: switch when random & mask is 0 */
    uint32_t change_range; /* PCT: change points are within so many steps */
    uint32_t change_at[8];
    uint32_t n_changes;
    int lowest_priority;
    int highest_priority;
    bool must_pick;
    uint32_t stale_mask;    /* read an old value when random & mask is 0 */
    uint32_t stale_left;    /* how often one may still be read */
    uint32_t spurious_left; /* wake-ups for no reason, and failures of weak CAS */
    uint32_t preemptions_left;
    int64_t now_ns; /* at step `now_step` */
    uint32_t now_step;
    int64_t tick_ns;

    /* Faults of the schedule. */
    int32_t fail_allocation; /* the n-th from now; negative: none */
    bool fails_for_good;
    int32_t fail_thread;
    bool may_fail_allocation; /* faults that the seed may bring */
    bool may_fail_thread;
    uint32_t may_keep; /* blocks of memory, at the end */
    uint32_t n_allocations;
    uint32_t n_thread_starts;

    /* Threads. */
    struct thread *current;
    struct thread threads[MAX_THREADS];
    uint32_t n_threads;
    void *outside; /* stack pointer of the program around the schedule */
    void (*scenario)(void);

    /* Memory. */
    uint32_t n_locations;
    struct location locations[MAX_LOCATIONS];
    uint32_t n_bytes;
    struct uses bytes[MAX_BYTES][4]; /* of cells that are not used as a whole */
    stamp *released;                 /* from here the views of messages are cut */
    size_t released_used;
    struct region block;
    struct region data;
    unsigned char *line_states; /* of the heap */
    size_t heap_used;
    uint32_t live_blocks;
    uintptr_t tls_begin;
    size_t tls_bytes;
    unsigned char *first_tls;
    unsigned char *first_data;
    unsigned char *is_counter; /* of each 8 bytes of `data` */
    uint32_t n_counters;       /* in coverage builds: what is not put back, ascending */
    struct {
        uintptr_t begin;
        uintptr_t end;
    } counters[4096];

    /* DFS. */
    struct decision trail[MAX_TRAIL];
    uint32_t trail_used;
    uint32_t trail_fixed; /* taken over from the schedule before */

    /* Options. */
    bool traces;
    bool lists_sites;
    const char *scenario_name;
    uintptr_t image_base;
    uint32_t n_weakened;
    struct {
        uintptr_t site;
        int order;
    } weakened[MAX_WEAKENED];
    uint32_t n_sites;
    struct {
        uintptr_t site;
        char kind; /* l, s, r (read-modify-write) */
        int order;
    } sites[4096];
    uint64_t total_steps;
    uint64_t outcomes[MAX_OUTCOMES];
};

/* At an address that the compiler knows. */
#define SIM_ADDRESS 0x0f0000000000u
#define sim ((struct simulation *)SIM_ADDRESS)

/* sim_main.c: report and end the program. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line of --trace: the current thread's last site did `what`. */
void sim_trace(const char *what, const struct location *location, uint64_t value,
               int order, int old_by);

/* sim_schedule.c */
uint64_t sim_random(void);
uint32_t sim_decide(uint32_t n);
void sim_step(void);
void sim_yield(void);
void sim_block(enum thread_state state);
void sim_wrote(void);
struct thread *sim_new_thread(void (*run)(void *), void *arg, const char *name);
void sim_run_schedule(void);
bool sim_next_dfs(void);

/* sim_switch.c */
void sim_switch(void **ret_stack_pointer, void *stack_pointer);
void *sim_new_stack(void *top, void (*entry)(void));

/* sim_memory.c */
void sim_memory_reset(void);
size_t sim_view_used(void);
void sim_plain(uintptr_t address, size_t size, bool writes, uintptr_t site);
uint64_t sim_load(uintptr_t address, unsigned size, int order, uintptr_t site);
void sim_store(uintptr_t address, unsigned size, uint64_t value, int order,
               uintptr_t site);
enum sim_rmw { RMW_EXCHANGE, RMW_ADD, RMW_SUB, RMW_AND, RMW_OR, RMW_XOR };
uint64_t sim_rmw(uintptr_t address, unsigned size, enum sim_rmw kind, uint64_t operand,
                 int order, uintptr_t site);
bool sim_cas(uintptr_t address, unsigned size, uint64_t *expected, uint64_t desired,
             int order, int failure_order, bool is_weak, uintptr_t site);
uint32_t sim_kernel_load(uintptr_t word);
void sim_kernel_wake(uintptr_t word);
void sim_view_join(stamp *view, const stamp *other, size_t n);
void sim_check_free(uintptr_t block, size_t size, uintptr_t site);

/* sim_heap.c */
void sim_heap_reset(void);
enum line_state { LINE_UNUSED, LINE_LIVE, LINE_FREED };

#endif /* SIM_CORE_H */
