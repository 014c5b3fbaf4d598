/*
 * The simulator itself, by the shapes that memory models are told apart with: each
 * outcome that RC11 allows is found, and none that it forbids; and by programs
 * with each kind of error that it is to find.
 *
 * Shapes after Alglave, Maranget, Tautschnig, "Herding cats", TOPLAS 2014. An
 * outcome is the number whose digits are what the loads returned.
 */
#include <stddef.h>

#include "base/atomics.h"
#include "base/memory.h"
#include "base/os.h"
#include "check.h"
#include "sim.h"

static _Atomic(uint32_t) x, y;
static uint32_t a, b, c, d;

static void run2(void (*first)(void *), void (*second)(void *))
{
    unsigned one = sim_spawn(first, NULL);
    unsigned two = sim_spawn(second, NULL);
    sim_join(one);
    sim_join(two);
}

static void run4(void (*first)(void *), void (*second)(void *), void (*third)(void *),
                 void (*fourth)(void *))
{
    unsigned threads[] = {sim_spawn(first, NULL), sim_spawn(second, NULL),
                          sim_spawn(third, NULL), sim_spawn(fourth, NULL)};
    for (int i = 0; i < 4; i++)
        sim_join(threads[i]);
}

#define THREAD(name, statements)   \
    static void name(void *unused) \
    {                              \
        (void)unused;              \
        statements                 \
    }

THREAD(x_relaxed, store_relaxed(&x, 1u);)
THREAD(y_relaxed, store_relaxed(&y, 1u);)
THREAD(x_release, store_release(&x, 1u);)
THREAD(x_seq_cst, store_seq_cst(&x, 1u);)
THREAD(y_seq_cst, store_seq_cst(&y, 1u);)

/* -------------------------------------- store buffering: store one, load other */

#define STORE_BUFFERING(name, store, load, allowed)          \
    THREAD(name##_1, store(&x, 1u); a = load(&y);)           \
    THREAD(name##_2, store(&y, 1u); b = load(&x);)           \
    SCENARIO(name, .is_litmus = true, .outcomes = (allowed)) \
    {                                                        \
        run2(name##_1, name##_2);                            \
        sim_outcome(2 * a + b);                              \
    }

STORE_BUFFERING(store_buffering_relaxed, store_relaxed, load_relaxed, 0xf)
STORE_BUFFERING(store_buffering_release_acquire, store_release, load_acquire, 0xf)
STORE_BUFFERING(store_buffering_seq_cst, store_seq_cst, load_seq_cst, 0xe)
STORE_BUFFERING(store_buffering_weak_loads, store_seq_cst, load_acquire, 0xf)
STORE_BUFFERING(store_buffering_weak_stores, store_release, load_seq_cst, 0xf)
STORE_BUFFERING(store_buffering_exchanges, exchange_acq_rel, load_acquire, 0xf)

/* --------------------------- message passing: data, flag against flag, data */

#define MESSAGE_PASSING(name, store, load, allowed)          \
    THREAD(name##_1, store_relaxed(&x, 1u); store(&y, 1u);)  \
    THREAD(name##_2, a = load(&y); b = load_relaxed(&x);)    \
    SCENARIO(name, .is_litmus = true, .outcomes = (allowed)) \
    {                                                        \
        run2(name##_1, name##_2);                            \
        sim_outcome(2 * a + b);                              \
    }

MESSAGE_PASSING(message_passing_relaxed, store_relaxed, load_relaxed, 0xf)
MESSAGE_PASSING(message_passing_relaxed_store, store_relaxed, load_acquire, 0xf)
MESSAGE_PASSING(message_passing_relaxed_load, store_release, load_relaxed, 0xf)
MESSAGE_PASSING(message_passing_release_acquire, store_release, load_acquire, 0xb)

/* The reader reads from a read-modify-write that continues the release. */
THREAD(pass_on, fetch_add_relaxed(&y, 1u);)
THREAD(send, store_relaxed(&x, 1u); store_release(&y, 1u);)
THREAD(receive, a = load_acquire(&y); b = load_relaxed(&x);)
THREAD(nothing, )
SCENARIO(a_release_sequence_goes_through_others_changes, .is_litmus = true,
         .outcomes = 0x2f)
{
    run4(send, pass_on, receive, nothing);
    sim_outcome(2 * a + b); /* not 2 0 */
}

/* ------------------------------------------ load buffering, which RC11 forbids */

THREAD(load_x_store_y, a = load_relaxed(&x); store_relaxed(&y, 1u);)
THREAD(load_y_store_x, b = load_relaxed(&y); store_relaxed(&x, 1u);)
SCENARIO(load_buffering, .is_litmus = true, .outcomes = 0x7)
{
    run2(load_x_store_y, load_y_store_x);
    sim_outcome(2 * a + b);
}

/* ------------------ independent reads of independent writes: the same order? */

THREAD(xy_acquire, a = load_acquire(&x); b = load_acquire(&y);)
THREAD(yx_acquire, c = load_acquire(&y); d = load_acquire(&x);)
THREAD(xy_seq_cst, a = load_seq_cst(&x); b = load_seq_cst(&y);)
THREAD(yx_seq_cst, c = load_seq_cst(&y); d = load_seq_cst(&x);)

SCENARIO(two_readers_may_disagree, .is_litmus = true, .outcomes = 0xffff)
{
    run4(x_relaxed, y_relaxed, xy_acquire, yx_acquire);
    sim_outcome(8 * a + 4 * b + 2 * c + d);
}

SCENARIO(two_seq_cst_readers_agree, .is_litmus = true, .outcomes = 0xfbff)
{
    run4(x_seq_cst, y_seq_cst, xy_seq_cst, yx_seq_cst);
    sim_outcome(8 * a + 4 * b + 2 * c + d); /* not 1 0 1 0 */
}

/* -------------------------------------------------- coherence and causality */

THREAD(write_twice, store_relaxed(&x, 1u); store_relaxed(&x, 2u);)
THREAD(read_twice, a = load_relaxed(&x); b = load_relaxed(&x);)
SCENARIO(a_location_does_not_go_back, .is_litmus = true,
         .outcomes = 0x7 | 0x6 << 3 | 0x4 << 6)
{
    run2(write_twice, read_twice);
    sim_outcome(3 * a + b);
}

THREAD(see_x_set_y, a = load_acquire(&x); store_release(&y, 1u);)
THREAD(see_y_look_at_x, b = load_acquire(&y); c = load_relaxed(&x);)
SCENARIO(what_came_first_for_one_did_for_all, .is_litmus = true, .outcomes = 0xbf)
{
    run4(x_release, see_x_set_y, see_y_look_at_x, nothing);
    sim_outcome(4 * a + 2 * b + c); /* not 1 1 0 */
}

static void swap_in(void *result)
{
    uint32_t zero = 0;
    *(uint32_t *)result = cas_seq_cst(&x, &zero, 1u);
}

SCENARIO(one_compare_exchange_wins, .is_litmus = true, .outcomes = 0x6)
{
    unsigned one = sim_spawn(swap_in, &a);
    unsigned two = sim_spawn(swap_in, &b);
    sim_join(one);
    sim_join(two);
    sim_outcome(2 * a + b);
}

/* ---------------------------------------------- errors that must be noticed */

#define ERROR(name) SCENARIO(name, .is_litmus = true, .must_fail = true)

THREAD(set_a, a = 1;)
ERROR(a_race_is_found)
{
    run2(set_a, set_a);
}

THREAD(publish_a_relaxed, a = 1; store_relaxed(&x, 1u);)
THREAD(use_a, if (load_acquire(&x)) b = a;)
ERROR(a_relaxed_publication_is_found)
{
    run2(publish_a_relaxed, use_a);
}

THREAD(touch_after, store_release(&x, 1u); a = 1;)
ERROR(a_touch_after_publication_is_found)
{
    run2(touch_after, use_a);
}

static uint32_t *block;
THREAD(free_block, sp__free(block); store_relaxed(&x, 1u);)
THREAD(use_block, if (load_relaxed(&x)) b = *block;)
ERROR(a_use_after_free_is_found)
{
    block = sp__alloc(sizeof *block);
    run2(free_block, use_block);
}

/* Of two bytes side by side, the second was written last. */
static uint8_t bytes[2];
THREAD(set_a_byte, bytes[0] = 1;)
THREAD(set_the_next, bytes[1] = 1;)
THREAD(read_a_byte, b = bytes[0];)
ERROR(a_race_beside_another_byte_is_found)
{
    unsigned one = sim_spawn(set_a_byte, NULL);
    sim_join(sim_spawn(set_the_next, NULL));
    sim_join(sim_spawn(read_a_byte, NULL));
    sim_join(one);
}

ERROR(a_second_free_is_found)
{
    block = sp__alloc(sizeof *block);
    sp__free(block);
    sp__free(block);
}

ERROR(a_leak_is_found)
{
    block = sp__alloc(sizeof *block);
}

THREAD(sleep_on_x,
       while (load_acquire(&x) == 0) sp__os_wait(&x, 0, SP__OS_NO_DEADLINE);)
THREAD(wake_first, sp__os_wake_all(&x); store_release(&x, 1u);)
ERROR(a_lost_wake_up_is_found)
{
    run2(sleep_on_x, wake_first);
}

THREAD(spin_on_x, while (load_acquire(&x) == 0) sp__os_pause();)
ERROR(a_livelock_is_found)
{
    run2(spin_on_x, nothing);
}

ERROR(a_thread_that_nobody_joins_is_found)
{
    sim_spawn(nothing, NULL);
}

ERROR(a_check_that_fails_is_found)
{
    run2(x_relaxed, nothing);
    CHECK_EQ(load_relaxed(&x), 2);
}

/* ------------------------------------------------------- and what is right */

THREAD(wake_after, store_release(&x, 1u); sp__os_wake_all(&x);)
SCENARIO(a_wake_up_after_the_change_is_not_lost, .is_litmus = true)
{
    run2(sleep_on_x, wake_after);
}

THREAD(publish_a, a = 1; store_release(&x, 1u);)
SCENARIO(a_publication_is_no_race, .is_litmus = true)
{
    run2(publish_a, use_a);
}

SCENARIO(bytes_side_by_side_are_two_objects, .is_litmus = true)
{
    run2(set_a_byte, set_the_next);
    CHECK_EQ(bytes[0] + bytes[1], 2);
}

/* Both read both in order; then one goes on with one byte, the other writes the other. */
static _Atomic(uint8_t) flags[2];
THREAD(hand_over, b = bytes[0]; store_release(&flags[0], 1); b = bytes[1];)
THREAD(take_over, if (load_acquire(&flags[0])) bytes[0] = 1;
       store_release(&flags[1], 1);)
SCENARIO(a_byte_is_handed_over_beside_one_that_is_read, .is_litmus = true)
{
    run2(hand_over, take_over);
}

static _Thread_local uint32_t mine;
THREAD(count_mine, CHECK_EQ(mine, 0); mine++; load_relaxed(&x); CHECK_EQ(mine, 1);)
SCENARIO(each_thread_has_its_own_thread_local_state, .is_litmus = true)
{
    run2(count_mine, count_mine);
    CHECK_EQ(mine, 0);
}

SCENARIO(a_spinning_thread_sees_the_write, .is_litmus = true)
{
    run2(spin_on_x, x_relaxed);
}
