/*
 * lane.h - the calls of a Python lane, and its threads as far as C knows them.
 *
 * The threads are Python's own. Each has a seat here. It takes a call when it holds the
 * GIL and not before, so that a queued call belongs to whichever thread gets the GIL
 * next: a callable that blocks never holds up the one behind it. A thread that finds
 * nothing leaves the GIL and waits in sp_lane_wait(): it spins for a moment, then it
 * sleeps.
 *
 * Who is woken. A thread that was called and has not looked yet is on its way; while
 * there is one, no other is called, for short callables are run one after the other by
 * whoever has the GIL, and more threads would only fight for it. The thread that takes
 * a call and leaves others behind calls the next thread before it runs anything. So:
 *
 *      a call is queued and a thread is idle  =>  a thread is on its way
 *
 * Where callables are seen to release the GIL (a thread comes to look while another is
 * inside a callable), and where there is no GIL, each queued call calls a thread.
 *
 * With a GIL there is one queue, and calls of one priority are taken in the order in which
 * they were submitted (calls.h). Without, a thread has a queue of its own (queues.h has
 * what is promised then), and two threads at work need not meet. Only who goes idle, or
 * finds that others are or may be started, takes the lane's lock:
 *
 *      put     1 queue the call               idle    1 announce it: reserve
 *              2 reserve? call or start one           2 look at all queues
 *
 * One of the two sees the other (Q3). So that what is said above holds here, too: a thread
 * is idle only while each queued call has one that comes for it. A callable that blocks
 * does not hold up what is in its thread's queue.
 *
 * Priorities: the highest is served, but one that was passed over SP_LANE_PATIENCE times
 * in a row comes next.
 *
 * All functions but sp_lane_wait() and sp_lane_spin() may be called with the GIL held:
 * they hold spin locks for a few instructions (Q1) and never block. A queue's lock is
 * taken after the lane's. No Python.h here.
 */
#ifndef SP_PYX_LANE_H
#define SP_PYX_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "queues.h"
#include "stealpool.h"

/** Whether spinning has paid lately. */
struct sp_spin {
    _Atomic(uint32_t) credit;
    _Atomic(uint32_t) refused; /* times in a row */
};

/** A thread's place. Zeroed memory of the thread's own, for as long as it runs. */
struct sp_seat {
    _Atomic(uint32_t) word; /* enum in lane.c: spins, sleeps or called (Q2) */
    struct sp_seat *next;   /* idle for longer than this one */
    uint32_t handoffs;      /* of the lane, when the thread went idle */
    bool is_available;      /* counted in lane->available; else it runs callables */
    bool is_called;         /* counted in lane->called */
    bool is_late; /* got the GIL only when another thread had to give it away */
    struct sp_taker taker; /* the thread's own, without a GIL */
};

struct sp_lane {
    _Atomic(uint32_t) lock; /* of all that follows, up to `handoffs` (Q1) */
    uint32_t vacant;        /* threads that may still be started */
    uint32_t available;     /* threads that look for calls next, or were started */
    uint32_t called;        /* of these, how many are on their way */
    struct sp_seat *idle;   /* the last one to go idle is the first to be called */
    uint32_t idle_threads;
    bool is_closed;
    bool is_eager;              /* each submit calls a thread: the last one came late */
    bool is_parallel;           /* there is no GIL; never changes */
    struct sp_spin thread_spin; /* of the one thread that may spin */

    _Atomic(uint32_t) handoffs;    /* times a waiter has left the GIL to us */
    _Atomic(uint32_t) has_spinner; /* an idle thread spins */
    _Atomic(uint32_t) caller_cpu;  /* where a call was last submitted or awaited */
    _Atomic(uint32_t) thread_cpu;  /* where a thread of the lane was last seen */
    struct sp_spin waiter_spin;    /* of waiters; a lost update does no harm */

    char apart[60];            /* from what those at work read */
    _Atomic(uint32_t) reserve; /* without a GIL: idle threads, and vacant ones (Q3) */
    struct sp_queues queues; /* with a GIL: only the entrance, under the lane's lock */
};

/** What sp_lane_put() asks of its caller. */
enum sp_lane_need {
    SP_LANE_NOTHING,
    SP_LANE_THREAD, /* start one more thread; its seat is counted already */
};

/** A lane in zeroed memory, of up to `threads` threads. */
void sp_lane_init(struct sp_lane *lane, uint32_t threads, bool is_parallel);

/**
 * Queue a call, and see that a thread comes for it. The lane does not own it.
 * If SP_LANE_THREAD is returned, the caller starts a thread that sits down with
 * sp_lane_sit(), or says sp_lane_thread_failed().
 */
enum sp_lane_need sp_lane_put(struct sp_lane *lane, struct sp_call *call,
                              uint32_t priority);

/** The thread that was asked for does not come. */
void sp_lane_thread_failed(struct sp_lane *lane);

/** Take a call out, wherever it is. False: it is not queued. */
bool sp_lane_remove(struct sp_lane *lane, struct sp_call *call);

/** A started thread takes its seat. It was counted when it was asked for, but not as
 * one that is on its way: it may be long in coming. */
void sp_lane_sit(struct sp_lane *lane, struct sp_seat *seat);

/** The thread ends, for whatever reason. Its seat is idle no more, and nobody touches it
 * after this: if it was called, this waits until it has been rung. What is in its queue
 * is left to the others. */
void sp_lane_leave(struct sp_lane *lane, struct sp_seat *seat);

/**
 * The next call, for the thread of this seat. NULL: there is none, and the seat is
 * idle now; the thread must either sp_lane_wait() or sp_lane_leave().
 */
struct sp_call *sp_lane_take(struct sp_lane *lane, struct sp_seat *seat);

/** Any call, for one who does not run it. NULL: none is queued. */
struct sp_call *sp_lane_take_any(struct sp_lane *lane);

/** Without the GIL: return when the idle seat is called. */
void sp_lane_wait(struct sp_lane *lane, struct sp_seat *seat);

/**
 * Without the GIL, which the caller has just left: a thread of the lane will end this
 * task. Look at it for a moment, if that is likely to be enough.
 */
void sp_lane_spin(struct sp_lane *lane, const sp_task *task);

/** The calling thread runs the calls of this lane from now on. */
void sp_lane_enter(struct sp_lane *lane);

/** The lane whose calls the calling thread runs; NULL: it is not of any lane. */
struct sp_lane *sp_lane_current(void);

/** No more calls will come: threads that find the queue empty shall end. */
void sp_lane_close(struct sp_lane *lane);

/** For the thread of an idle seat: closed, and nothing is queued. */
bool sp_lane_is_over(struct sp_lane *lane);

/** A thread looks for a call next, or may be started; at this moment. */
bool sp_lane_may_run_more(struct sp_lane *lane);

/** Threads that wait for a call, at this moment; those on their way are not counted. */
uint32_t sp_lane_idle_threads(struct sp_lane *lane);

/** Calls that wait, at this moment. */
uint32_t sp_lane_queued(struct sp_lane *lane);

#endif /* SP_PYX_LANE_H */
