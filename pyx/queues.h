/*
 * queues.h - the queues of a lane whose threads run callables in parallel.
 *
 * One queue would be what they wait for. So there is an entrance, and a queue for each
 * thread (SP_LANE_QUEUES at most; further threads share). A call goes to the queue of the
 * thread that submits it, if that is one of the lane's; from elsewhere, or with another
 * priority than SP_LANE_NORMAL, to the entrance. A thread takes
 *
 *      1. from the entrance, if a high call is there,
 *      2. from its own queue,
 *      3. from the entrance, but for low calls,
 *      4. from another thread's queue, and takes half of it along to its own,
 *      5. from the entrance, whatever is there.
 *
 * Where threads are seen to fight for the entrance, who had to wait for it takes his share
 * of what is there along, and does not come back for a while. To take along is to move to
 * the own queue, SP_LANE_PATIENCE calls at most, counting the one that is run.
 *
 * A call in a thread's queue is anybody's. It is in some queue until it is taken, and one
 * that is moved is so under the locks of both (calls.h). But who looks at one queue after
 * the other may miss it, if it is moved behind his back: who has moved calls must look
 * for threads that went idle meanwhile, as if he had put them there (Q3).
 *
 * Nobody is forgotten. After SP_LANE_PATIENCE calls in a row from threads' queues a thread
 * takes one from the entrance, of whatever priority. And every SP_LANE_PATIENCEth time it
 * looks first at a thread's queue, each in turn.
 *
 * Priorities. The entrance has all three, with ageing (calls.h); the threads' queues have
 * normal calls only. So a high call waits for no other but those whose turn has come, and
 * a low one is taken when there is nothing else, or in its turn.
 *
 * Order. With one thread, calls of one priority that come from elsewhere are run in the
 * order in which they came, and so are those that come from the thread. With more
 * threads, calls from elsewhere are taken from the entrance in their order; those that a
 * thread has taken along, or has submitted, wait until it is done with what it runs, or
 * another one finds nothing else to do: later ones may overtake them.
 *
 * With a GIL only the entrance is used, without its lock: lane.c does that.
 */
#ifndef SP_PYX_QUEUES_H
#define SP_PYX_QUEUES_H

#include "calls.h"

#define SP_LANE_QUEUES 16

struct sp_queues {
    _Atomic(uint32_t) used; /* threads' queues in use; grows */
    uint32_t sharers;       /* threads that had to share one */
    char apart[56];
    struct sp_calls entrance;
    struct sp_calls threads[SP_LANE_QUEUES];
};

/** What a thread remembers. Zeroed memory: it has no queue. */
struct sp_taker {
    uint32_t place;     /* of its queue */
    uint32_t takes;     /* so far */
    uint32_t elsewhere; /* the last ones in a row that were not from the entrance */
    bool has_moved;     /* sp_queues_take() has taken calls along */
};

/** In zeroed memory. */
void sp_queues_init(struct sp_queues *queues);

/** Give a new thread a queue. One thread calls this at a time. */
void sp_queues_join(struct sp_queues *queues, struct sp_taker *taker);

/** Queue a call; `place` is that of the calling thread's queue, or 0. */
void sp_queues_put(struct sp_queues *queues, uint32_t place, struct sp_call *call,
                   uint32_t priority);

/** The next call, for a thread that joined. NULL: it has seen none. */
struct sp_call *sp_queues_take(struct sp_queues *queues, struct sp_taker *taker);

/** The next call, for anybody. NULL: each queue was empty when it was looked at, after
 * whatever the caller has stored seq-cst (Q3). */
struct sp_call *sp_queues_pop(struct sp_queues *queues);

/** Take this one out, wherever it is. False: it is in no queue. */
bool sp_queues_remove(struct sp_queues *queues, struct sp_call *call);

/** All queues looked empty; calls may be on their way between them. */
bool sp_queues_look_empty(struct sp_queues *queues);

/** How many calls are queued: all locks are held for a moment, so it is exact. */
uint32_t sp_queues_count(struct sp_queues *queues);

#endif /* SP_PYX_QUEUES_H */
