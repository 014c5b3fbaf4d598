#include "canceller.h"

#include <stdlib.h>

#include "base/os.h"
#include "home.h"

static void lock(struct sp_canceller *canceller)
{
    uint32_t unlocked = 0;
    /* acquire (H2): the lists. */
    while (!cas_weak_acquire(&canceller->lock, &unlocked, 1)) {
        unlocked = 0;
        sp__os_yield();
    }
}

static void unlock(struct sp_canceller *canceller)
{
    store_release(&canceller->lock, 0); /* (H2) */
}

struct sp_canceller *sp_canceller_create(struct sp_canceller *parent)
{
    struct sp_canceller *canceller = calloc(1, sizeof *canceller);
    if (!canceller)
        return NULL;
    sp_token_init(&canceller->token, parent ? &parent->token : NULL);
    store_relaxed(&canceller->references, 1u);
    if (!parent)
        return canceller;
    fetch_add_relaxed(&parent->references, 1u);
    canceller->parent = parent;
    lock(parent);
    canceller->next_of_parent = parent->children;
    parent->children = canceller;
    unlock(parent);
    return canceller;
}

static void leave_parent(struct sp_canceller *canceller)
{
    struct sp_canceller *parent = canceller->parent;
    lock(parent);
    struct sp_canceller **link = &parent->children;
    while (*link && *link != canceller)
        link = &(*link)->next_of_parent;
    if (*link)
        *link = canceller->next_of_parent;
    unlock(parent);
    sp_canceller_unref(parent);
}

void sp_canceller_unref(struct sp_canceller *canceller)
{
    /* acq_rel (T2): the last one frees what the others have read. */
    if (!canceller || fetch_sub_acq_rel(&canceller->references, 1u) > 1)
        return;
    sp_token_end(&canceller->token);
    if (canceller->parent)
        leave_parent(canceller);
    free(canceller);
}

void sp_canceller_attach(struct sp_canceller *canceller, struct sp_home *home)
{
    fetch_add_relaxed(&canceller->references, 1u);
    home->canceller = canceller;
    lock(canceller);
    home->next_of_canceller = canceller->homes;
    canceller->homes = home;
    unlock(canceller);
}

void sp_canceller_detach(struct sp_home *home)
{
    struct sp_canceller *canceller = home->canceller;
    if (!canceller)
        return;
    lock(canceller);
    struct sp_home **link = &canceller->homes;
    while (*link && *link != home)
        link = &(*link)->next_of_canceller;
    if (*link)
        *link = home->next_of_canceller;
    unlock(canceller);
    home->canceller = NULL;
    sp_canceller_unref(canceller);
}

static void cancel_home(struct sp_home *home)
{
    sp_home_cancel(home, true);
    if (home->gates) {
        sp_gate_wake(&home->gates[SP_NATIVE_LANE]);
        sp_gate_wake(&home->gates[SP_PYTHON_LANE]);
    }
}

/* The tokens of all children are cancelled. */
static void cancel_homes(struct sp_canceller *canceller)
{
    lock(canceller);
    for (struct sp_home *home = canceller->homes; home; home = home->next_of_canceller)
        cancel_home(home);
    for (struct sp_canceller *child = canceller->children; child;
         child = child->next_of_parent)
        cancel_homes(child);
    unlock(canceller);
}

void sp_canceller_cancel(struct sp_canceller *canceller)
{
    /* A relaxed store: a request, with which nothing is published. Who joins a home
     * looks at it after taking that home's lock, which is taken here after setting it
     * (H1): either he sees it, or the task is found in the list. */
    sp_token_cancel(&canceller->token);
    cancel_homes(canceller);
}

bool sp_canceller_is_cancelled(const struct sp_canceller *canceller)
{
    return canceller && sp_token_is_cancelled(&canceller->token);
}

void sp_canceller_reset(struct sp_canceller *canceller)
{
    canceller->homes = NULL;
    store_relaxed(&canceller->lock, 0u);
}
