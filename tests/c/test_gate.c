/* A full queue's gate: who listens for room hears of it. */
#include "gate.h"

#include "check.h"
#include "threads.h"

enum { WORKERS = 1, CAPACITY = 4, LIMIT = WORKERS + CAPACITY };

static struct sp_gate gate;

struct listener {
    struct sp_ear ear; /* first: they convert */
    _Atomic(uint32_t) times;
};

static void hear(struct sp_ear *ear)
{
    fetch_add_acq_rel(&((struct listener *)(void *)ear)->times, 1u);
}

static uint32_t times(struct listener *listener)
{
    return load_acquire(&listener->times);
}

static bool listen(struct listener *listener)
{
    listener->ear.hear = hear;
    return sp_gate_listen(&gate, sp_gate_turn(&gate), &listener->ear);
}

static void fill(void)
{
    sp_gate_init(&gate, WORKERS, CAPACITY);
    CHECK_EQ(sp_gate_enter(&gate, 1, UINT32_MAX), LIMIT);
}

static void nobody_listens_at_a_gate_with_room(void)
{
    struct listener listener = {.ear = {0}};
    sp_gate_init(&gate, WORKERS, CAPACITY);
    CHECK(!listen(&listener));
    sp_gate_wake(&gate);
    CHECK_EQ(times(&listener), 0);
}

static void a_listener_hears_once_when_half_of_the_capacity_is_free(void)
{
    struct listener one = {.ear = {0}}, two = {.ear = {0}};
    fill();
    CHECK(listen(&one) && listen(&two));
    sp_gate_leave(&gate, CAPACITY / 2 - 1);
    CHECK_EQ(times(&one) + times(&two), 0);
    sp_gate_leave(&gate, 1);
    CHECK_EQ(times(&one), 1);
    CHECK_EQ(times(&two), 1);
    sp_gate_leave(&gate, 1);
    sp_gate_wake(&gate);
    CHECK_EQ(times(&one) + times(&two), 2);
}

static void a_listener_hears_of_a_wake_up(void)
{
    struct listener listener = {.ear = {0}};
    fill();
    CHECK(listen(&listener));
    sp_gate_wake(&gate);
    CHECK_EQ(times(&listener), 1);
}

static void a_wake_up_before_listening_is_not_lost(void)
{
    struct listener listener = {.ear = {.hear = hear}};
    fill();
    uint32_t turn = sp_gate_turn(&gate);
    sp_gate_wake(&gate);
    CHECK(!sp_gate_listen(&gate, turn, &listener.ear));
}

static void who_listens_no_more_hears_nothing(void)
{
    struct listener one = {.ear = {0}}, two = {.ear = {0}};
    fill();
    CHECK(listen(&one) && listen(&two));
    CHECK(sp_gate_unlisten(&gate, &one.ear));
    CHECK(!sp_gate_unlisten(&gate, &one.ear));
    sp_gate_leave(&gate, LIMIT);
    CHECK_EQ(times(&one), 0);
    CHECK_EQ(times(&two), 1);
}

/* ------------------------------------------------------------------ at once */

enum { THREADS = 4, CALLS = 2000 };

/* Submits as an event loop does: asks for room, and goes on when it has heard. Each
 * second one gives up now and then. */
static void submit(unsigned index, void *arg)
{
    bool gives_up = index % 2;
    (void)arg;
    for (int i = 0; i < CALLS; i++) {
        for (int tries = 0;; tries++) {
            struct listener listener = {.ear = {.hear = hear}};
            uint32_t turn = sp_gate_turn(&gate);
            if (sp_gate_enter(&gate, 1, 1))
                break;
            if (!sp_gate_listen(&gate, turn, &listener.ear))
                continue;
            if (gives_up && tries == 0 && sp_gate_unlisten(&gate, &listener.ear)) {
                CHECK_EQ(times(&listener), 0);
                continue;
            }
            while (times(&listener) == 0)
                sp__os_yield();
            CHECK_EQ(times(&listener), 1);
        }
        CHECK(sp_gate_inside(&gate) <= LIMIT);
        sp_gate_leave(&gate, 1);
    }
}

static void submitters_that_listen_all_get_in(void)
{
    for (long round = check_rounds(10); round > 0; round--) {
        sp_gate_init(&gate, 0, 1);
        run_together(THREADS, submit, NULL);
        CHECK_EQ(sp_gate_inside(&gate), 0);
        CHECK(!gate.ears);
    }
}

/* As a fork finds it, while another thread of the parent changes the list. */
static void a_gate_that_was_locked_at_a_fork_is_free_after_a_reset(void)
{
    struct listener listener = {.ear = {.hear = hear}};
    sp_gate_init(&gate, 0, 1);
    CHECK_EQ(sp_gate_enter(&gate, 1, 1), 1);
    CHECK(sp_gate_listen(&gate, sp_gate_turn(&gate), &listener.ear));
    store_seq_cst(&gate.lock, 1u);
    sp_gate_reset(&gate);
    sp_gate_leave(&gate, 1); /* or waits for ever */
    CHECK_EQ(times(&listener), 0);
}

int main(void)
{
    RUN(nobody_listens_at_a_gate_with_room);
    RUN(a_listener_hears_once_when_half_of_the_capacity_is_free);
    RUN(a_listener_hears_of_a_wake_up);
    RUN(a_wake_up_before_listening_is_not_lost);
    RUN(who_listens_no_more_hears_nothing);
    RUN(submitters_that_listen_all_get_in);
    RUN(a_gate_that_was_locked_at_a_fork_is_free_after_a_reset);
    return 0;
}
