/*
 * atomics.h - atomic operations, named by their order.
 *
 * The only file that includes <stdatomic.h>. With the order in the name,
 * `grep release` is an audit. There are no fences: data is published by ordered
 * stores and read-modify-writes, which race detectors understand; where a store
 * must come before a later load of something else, both are seq-cst operations
 * and say so. Pairs are tagged (D1, S2, ...): csrc/sched/README.md lists them.
 *
 * A chaos build (-DSP_CHAOS) yields or pauses at random before every operation
 * and so reaches interleavings that a quiet machine never shows.
 */
#ifndef SP_BASE_ATOMICS_H
#define SP_BASE_ATOMICS_H

#include <stdatomic.h>

#ifdef SP_CHAOS
void sp__chaos(void);
#else
#define sp__chaos() ((void)0)
#endif

#define load_relaxed(p) (sp__chaos(), atomic_load_explicit((p), memory_order_relaxed))
#define load_acquire(p) (sp__chaos(), atomic_load_explicit((p), memory_order_acquire))
#define load_seq_cst(p) (sp__chaos(), atomic_load_explicit((p), memory_order_seq_cst))

#define store_relaxed(p, v) \
    (sp__chaos(), atomic_store_explicit((p), (v), memory_order_relaxed))
#define store_release(p, v) \
    (sp__chaos(), atomic_store_explicit((p), (v), memory_order_release))
#define store_seq_cst(p, v) \
    (sp__chaos(), atomic_store_explicit((p), (v), memory_order_seq_cst))

#define exchange_acquire(p, v) \
    (sp__chaos(), atomic_exchange_explicit((p), (v), memory_order_acquire))
#define exchange_release(p, v) \
    (sp__chaos(), atomic_exchange_explicit((p), (v), memory_order_release))
#define exchange_acq_rel(p, v) \
    (sp__chaos(), atomic_exchange_explicit((p), (v), memory_order_acq_rel))

#define fetch_add_relaxed(p, v) \
    (sp__chaos(), atomic_fetch_add_explicit((p), (v), memory_order_relaxed))
#define fetch_add_release(p, v) \
    (sp__chaos(), atomic_fetch_add_explicit((p), (v), memory_order_release))
#define fetch_add_acq_rel(p, v) \
    (sp__chaos(), atomic_fetch_add_explicit((p), (v), memory_order_acq_rel))
#define fetch_add_seq_cst(p, v) \
    (sp__chaos(), atomic_fetch_add_explicit((p), (v), memory_order_seq_cst))
#define fetch_sub_relaxed(p, v) \
    (sp__chaos(), atomic_fetch_sub_explicit((p), (v), memory_order_relaxed))
#define fetch_sub_acq_rel(p, v) \
    (sp__chaos(), atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel))
#define fetch_sub_release(p, v) \
    (sp__chaos(), atomic_fetch_sub_explicit((p), (v), memory_order_release))
#define fetch_sub_seq_cst(p, v) \
    (sp__chaos(), atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst))
#define fetch_or_relaxed(p, v) \
    (sp__chaos(), atomic_fetch_or_explicit((p), (v), memory_order_relaxed))
#define fetch_or_acquire(p, v) \
    (sp__chaos(), atomic_fetch_or_explicit((p), (v), memory_order_acquire))
#define fetch_or_release(p, v) \
    (sp__chaos(), atomic_fetch_or_explicit((p), (v), memory_order_release))
#define fetch_or_acq_rel(p, v) \
    (sp__chaos(), atomic_fetch_or_explicit((p), (v), memory_order_acq_rel))
#define fetch_or_seq_cst(p, v) \
    (sp__chaos(), atomic_fetch_or_explicit((p), (v), memory_order_seq_cst))
#define fetch_and_relaxed(p, v) \
    (sp__chaos(), atomic_fetch_and_explicit((p), (v), memory_order_relaxed))
#define fetch_and_acquire(p, v) \
    (sp__chaos(), atomic_fetch_and_explicit((p), (v), memory_order_acquire))
#define fetch_and_acq_rel(p, v) \
    (sp__chaos(), atomic_fetch_and_explicit((p), (v), memory_order_acq_rel))
#define fetch_and_seq_cst(p, v) \
    (sp__chaos(), atomic_fetch_and_explicit((p), (v), memory_order_seq_cst))

/* Compare-exchange: on failure `*expected` is what was found, read relaxed
 * (acquire for the acq_rel form, whose loser looks at what the winner wrote).
 * The weak forms may fail for no reason and belong in a loop. */
#define cas_weak_relaxed(p, expected, v)                                               \
    (sp__chaos(),                                                                      \
     atomic_compare_exchange_weak_explicit((p), (expected), (v), memory_order_relaxed, \
                                           memory_order_relaxed))
#define cas_weak_acquire(p, expected, v)                                               \
    (sp__chaos(),                                                                      \
     atomic_compare_exchange_weak_explicit((p), (expected), (v), memory_order_acquire, \
                                           memory_order_relaxed))
#define cas_weak_release(p, expected, v)                                               \
    (sp__chaos(),                                                                      \
     atomic_compare_exchange_weak_explicit((p), (expected), (v), memory_order_release, \
                                           memory_order_relaxed))
#define cas_weak_acq_rel(p, expected, v)                                               \
    (sp__chaos(),                                                                      \
     atomic_compare_exchange_weak_explicit((p), (expected), (v), memory_order_acq_rel, \
                                           memory_order_acquire))
#define cas_weak_seq_cst(p, expected, v)                                               \
    (sp__chaos(),                                                                      \
     atomic_compare_exchange_weak_explicit((p), (expected), (v), memory_order_seq_cst, \
                                           memory_order_relaxed))
#define cas_relaxed(p, expected, v)                                             \
    (sp__chaos(), atomic_compare_exchange_strong_explicit((p), (expected), (v), \
                                                          memory_order_relaxed, \
                                                          memory_order_relaxed))
#define cas_acquire(p, expected, v)                                             \
    (sp__chaos(), atomic_compare_exchange_strong_explicit((p), (expected), (v), \
                                                          memory_order_acquire, \
                                                          memory_order_relaxed))
#define cas_seq_cst(p, expected, v)                                             \
    (sp__chaos(), atomic_compare_exchange_strong_explicit((p), (expected), (v), \
                                                          memory_order_seq_cst, \
                                                          memory_order_relaxed))

#endif /* SP_BASE_ATOMICS_H */
