/*
 * token.h - asking for things to stop, by the tree; struct sp_token is in stealpool.h.
 *
 * Cancelling writes to every token below, so that one load answers "shall I stop?",
 * also for a kernel that knows an address and nothing else. The tree changes and is
 * walked under one lock of the process: tokens are made and cancelled some thousand
 * times a second, not a million.
 */
#ifndef SP_SCHED_TOKEN_H
#define SP_SCHED_TOKEN_H

#include <stdbool.h>

#include "base/atomics.h"
#include "stealpool.h"

/** NULL is never cancelled. relaxed: nothing is published with it. */
static inline bool sp__token_is_cancelled(const sp_token *token)
{
    return token && load_relaxed(&token->is_cancelled);
}

/** Around a fork: nobody changes the tree; in the child, it can be changed again. */
void sp__tokens_lock(void);
void sp__tokens_unlock(void);
void sp__tokens_reset(void);

#endif /* SP_SCHED_TOKEN_H */
