#include "sched/token.h"

#include <assert.h>
#include <stddef.h>

#include "base/lock.h"

_Static_assert(sizeof(_Atomic(int)) == sizeof(int) &&
                   _Alignof(_Atomic(int)) == _Alignof(int),
               "a kernel could not read a token's flag as an int");

/* Guards `parent`, `child`, `before` and `after` of all tokens. */
static struct sp__lock tree;

void sp_token_init(sp_token *token, sp_token *parent)
{
    *token = (sp_token){.parent = parent};
    if (!parent)
        return;
    sp__lock_take(&tree);
    store_relaxed(&token->is_cancelled, load_relaxed(&parent->is_cancelled));
    token->after = parent->child;
    if (parent->child)
        parent->child->before = token;
    parent->child = token;
    sp__lock_give(&tree);
}

void sp_token_end(sp_token *token)
{
    assert(!token->child);
    if (!token->parent)
        return;
    sp__lock_take(&tree);
    if (token->before)
        token->before->after = token->after;
    else
        token->parent->child = token->after;
    if (token->after)
        token->after->before = token->before;
    sp__lock_give(&tree);
    token->parent = NULL;
}

/* Under the lock: the token after `token` in the tree below `root`, parents first.
 * What lies below a token is left out if it was cancelled before. */
static sp_token *next_below(const sp_token *root, sp_token *token, bool go_down)
{
    if (go_down && token->child)
        return token->child;
    while (token != root && !token->after)
        token = token->parent;
    return token == root ? NULL : token->after;
}

void sp_token_cancel(sp_token *token)
{
    sp__lock_take(&tree);
    for (sp_token *each = token; each;) {
        bool is_new = !load_relaxed(&each->is_cancelled);
        store_relaxed(&each->is_cancelled, 1);
        each = next_below(token, each, is_new);
    }
    sp__lock_give(&tree);
}

int sp_token_is_cancelled(const sp_token *token)
{
    return sp__token_is_cancelled(token);
}

const int *sp_token_address(const sp_token *token)
{
    return (const int *)&token->is_cancelled;
}

void sp__tokens_lock(void)
{
    sp__lock_take(&tree);
}

void sp__tokens_unlock(void)
{
    sp__lock_give(&tree);
}

void sp__tokens_reset(void)
{
    sp__lock_reset(&tree);
}
