/*
 * failure.h - a kernel's last words; sp_fail() and sp_take_failure() are in
 * stealpool.h.
 */
#ifndef SP_SCHED_FAILURE_H
#define SP_SCHED_FAILURE_H

/* The longest text that is kept, with its final 0. */
#define SP__FAILURE_BYTES 256

#endif /* SP_SCHED_FAILURE_H */
