#include "watched.h"

#include <stdbool.h>

#include "base/os.h"
#include "fpu.h"

/* A call of the body: short enough for a finger on Ctrl-C, long enough that
 * looking at the clock costs nothing. */
#define CHUNK_NS 5000000

/* A piece of this part of a chunk is short. */
#define SHORT 8

/* Between two looks: a progress bar moves, and the GIL is hardly asked for. */
#define LOOK_NS 50000000

void sp_watched_begin(struct sp_watched *watched)
{
    watched->next_look_ns = sp__os_now_ns() + LOOK_NS;
    watched->unmeasured = 0;
    store_relaxed(&watched->chunk, 1);
    store_relaxed(&watched->done, 0);
}

static bool is_told_to_stop(struct sp_watched *watched, int64_t now_ns)
{
    if (sp_on_worker(NULL) || now_ns < watched->next_look_ns)
        return false;
    if (watched->look(watched->looker, sp_watched_done(watched)) != 0)
        return true;
    watched->next_look_ns = sp__os_now_ns() + LOOK_NS;
    return false;
}

/* Is a piece so short, as far as known, that it is not worth a look at the clock? Of
 * many in a row, the caller measures one now and then. */
static bool is_short(struct sp_watched *watched, intptr_t n)
{
    intptr_t most = load_relaxed(&watched->chunk) / SHORT;
    if (n > most)
        return false;
    if (sp_on_worker(NULL))
        return true;
    watched->unmeasured += n;
    if (watched->unmeasured <= most)
        return true;
    watched->unmeasured = 0;
    return false;
}

static int run_piece(struct sp_watched *watched, intptr_t begin, intptr_t end)
{
    if (is_short(watched, end - begin)) {
        int code = watched->body(begin, end, watched->user);
        fetch_add_relaxed(&watched->done, end - begin);
        return code;
    }
    int64_t start_ns = sp__os_now_ns();
    while (begin < end) {
        intptr_t n = load_relaxed(&watched->chunk);
        if (n < watched->grain)
            n = watched->grain;
        if (n > end - begin)
            n = end - begin;
        int code = watched->body(begin, begin + n, watched->user);
        if (code != 0)
            return code;
        begin += n;
        fetch_add_relaxed(&watched->done, n);
        int64_t now_ns = sp__os_now_ns();
        double spent_ns = (double)(now_ns - start_ns);
        start_ns = now_ns;
        double chunk = (double)n * CHUNK_NS / (spent_ns > 1 ? spent_ns : 1);
        if (chunk > (double)(INTPTR_MAX / 2))
            chunk = (double)(INTPTR_MAX / 2);
        store_relaxed(&watched->chunk, chunk < 1 ? 1 : (intptr_t)chunk);
        if (is_told_to_stop(watched, now_ns) || (begin < end && sp_cancelled()))
            return SP_ECANCELLED;
    }
    return 0;
}

int sp_watched_piece(intptr_t begin, intptr_t end, void *user)
{
    uint64_t mode = sp_fpu_mode();
    int code = run_piece(user, begin, end);
    sp_fpu_restore(mode);
    return code;
}

int sp_watched_reduce(intptr_t begin, intptr_t end, void *acc, void *user)
{
    struct sp_watched *watched = user;
    uint64_t mode = sp_fpu_mode();
    int code = watched->reduce_body(begin, end, acc, watched->user);
    sp_fpu_restore(mode);
    if (code != 0)
        return code;
    fetch_add_relaxed(&watched->done, end - begin);
    return is_told_to_stop(watched, sp__os_now_ns()) ? SP_ECANCELLED : 0;
}

void sp_watched_combine(void *into, const void *from, void *user)
{
    struct sp_watched *watched = user;
    watched->combine(into, from, watched->user);
}
