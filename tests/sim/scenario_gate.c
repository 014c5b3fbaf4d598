/* A full queue's gate, pyx/gate.c: who waits for room, and who listens for it. */
#include "gate.h"

#include "base/memory.h"
#include "base/os.h"
#include "check.h"
#include "room.h"
#include "sim.h"

enum { WORKERS = 1, CAPACITY = 1, LIMIT = WORKERS + CAPACITY };

static struct {
    struct sp_gate gate;
    _Atomic(uint32_t) is_closed;
    sp_completion *queue;
} box;

static void fill(void)
{
    sp_gate_init(&box.gate, WORKERS, CAPACITY);
    CHECK_EQ(sp_gate_enter(&box.gate, LIMIT, LIMIT), LIMIT);
}

static void leave(void *unused)
{
    (void)unused;
    sp_gate_leave(&box.gate, 1);
}

static void leave_twice(void *unused)
{
    leave(unused);
    leave(unused);
}

/* An executor is closed, or a token cancelled. */
static void close_it(void *unused)
{
    (void)unused;
    store_relaxed(&box.is_closed, 1u);
    sp_gate_wake(&box.gate);
}

/* ------------------------------------------------------------ those who sleep */

static void pass_twice(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        while (!sp_gate_enter(&box.gate, 1, 1)) {
            uint32_t turn = sp_gate_turn(&box.gate);
            sp_status status = sp_gate_wait(&box.gate, turn, -1);
            CHECK(status == SP_OK || status == SP_EINTR);
        }
        CHECK(sp_gate_inside(&box.gate) <= LIMIT);
        sp_gate_leave(&box.gate, 1);
    }
}

SCENARIO(a_full_gate_lets_everybody_in_at_last, .share = 30)
{
    fill();
    unsigned threads[] = {sim_spawn(pass_twice, NULL), sim_spawn(pass_twice, NULL)};
    leave_twice(NULL);
    sim_join(threads[0]);
    sim_join(threads[1]);
    CHECK_EQ(sp_gate_inside(&box.gate), 0);
}

/* Takes the turn, looks for a reason to go, waits: as a submitter does. */
static void wait_until_closed(void *unused)
{
    (void)unused;
    for (;;) {
        uint32_t turn = sp_gate_turn(&box.gate);
        if (load_relaxed(&box.is_closed))
            return;
        sp_gate_wait(&box.gate, turn, -1);
    }
}

SCENARIO(who_waits_at_a_gate_that_is_closed_is_woken, .share = 30)
{
    fill();
    unsigned threads[] = {sim_spawn(wait_until_closed, NULL),
                          sim_spawn(wait_until_closed, NULL)};
    close_it(NULL);
    sim_join(threads[0]);
    sim_join(threads[1]);
    CHECK_EQ(sp_gate_inside(&box.gate), LIMIT);
}

/* ----------------------------------------------------------- those who listen */

/* On the heap, so that a touch after it has heard is noticed. */
struct listener {
    struct sp_ear ear; /* first: they convert */
    _Atomic(uint32_t) has_heard;
};

static void hear(struct sp_ear *ear)
{
    struct listener *listener = (struct listener *)(void *)ear;
    CHECK_EQ(exchange_acq_rel(&listener->has_heard, 1u), 0);
    sp__os_wake_all(&listener->has_heard);
}

static void until_it_has_heard(struct listener *listener)
{
    while (!load_acquire(&listener->has_heard))
        sp__os_wait(&listener->has_heard, 0, SP__OS_NO_DEADLINE);
}

/* Enters when there is room; may give up. */
static void listen_for_room(void *unused)
{
    (void)unused;
    for (;;) {
        struct listener *listener = sp__alloc(sizeof *listener);
        bool gives_up = sim_choose(2);
        uint32_t turn = sp_gate_turn(&box.gate);
        bool is_in = sp_gate_enter(&box.gate, 1, 1);
        bool is_over = false;
        listener->ear.hear = hear;
        if (!is_in && sp_gate_listen(&box.gate, turn, &listener->ear)) {
            if (gives_up)
                is_over = sp_gate_unlisten(&box.gate, &listener->ear);
            if (!is_over)
                until_it_has_heard(listener);
        }
        sp__free(listener);
        if (is_in)
            sp_gate_leave(&box.gate, 1);
        if (is_in || is_over)
            return;
    }
}

SCENARIO(who_listens_for_room_hears_once_or_not_at_all, .share = 60)
{
    fill();
    unsigned threads[] = {sim_spawn(listen_for_room, NULL),
                          sim_spawn(listen_for_room, NULL), sim_spawn(close_it, NULL)};
    leave_twice(NULL);
    for (int i = 0; i < 3; i++)
        sim_join(threads[i]);
    CHECK(!box.gate.ears);
    CHECK_EQ(sp_gate_inside(&box.gate), 0);
}

static void listen_until_closed(void *unused)
{
    (void)unused;
    for (;;) {
        struct listener listener = {.ear = {.hear = hear}};
        uint32_t turn = sp_gate_turn(&box.gate);
        if (load_relaxed(&box.is_closed))
            return;
        if (sp_gate_listen(&box.gate, turn, &listener.ear))
            until_it_has_heard(&listener);
    }
}

SCENARIO(who_listens_at_a_gate_that_is_closed_hears, .share = 30)
{
    fill();
    unsigned threads[] = {sim_spawn(listen_until_closed, NULL),
                          sim_spawn(listen_until_closed, NULL)};
    close_it(NULL);
    sim_join(threads[0]);
    sim_join(threads[1]);
    CHECK(!box.gate.ears);
}

/* ----------------------------------------------- room, as the end of a task */

SCENARIO(room_ends_a_task_once, .share = 30, .fails_memory = true)
{
    fill();
    struct sp_cell *room = sp_room_create();
    if (!room)
        return;
    uint32_t turn = sp_gate_turn(&box.gate);
    unsigned threads[] = {sim_spawn(leave, NULL), sim_spawn(close_it, NULL)};
    if (sp_room_listen(room, &box.gate, turn)) {
        if (sim_choose(2)) {
            sp_room_unlisten(room, &box.gate);
        } else {
            sp_status status;
            while ((status = sp_task_wait(&room->task, -1, 0)) == SP_EINTR)
                ;
            CHECK_EQ(status, SP_ECANCELLED);
        }
    }
    sp_task_unref(&room->task);
    sim_join(threads[0]);
    sim_join(threads[1]);
    CHECK(!box.gate.ears);
}

/* As an event loop hears of it; and when it is closed before. */
static void take_the_ticket(struct sp_cell *room)
{
    sp_ticket *ticket;
    while (!(ticket = sp_completion_drain(box.queue)))
        sp_completion_wait(box.queue, -1);
    CHECK(sp_ticket_task(ticket) == &room->task);
    CHECK(!sp_ticket_next(ticket));
    CHECK_EQ(sp_task_phase(&room->task), SP_CANCELLED);
    sp_task_unref(&room->task);
}

SCENARIO(an_event_loop_gets_one_ticket_for_room, .share = 30)
{
    fill();
    CHECK_EQ(sp_completion_create(&box.queue, NULL, NULL), SP_OK);
    struct sp_cell *room = sp_room_create();
    uint32_t turn = sp_gate_turn(&box.gate);
    unsigned other = sim_spawn(leave_twice, NULL);
    if (sp_room_listen(room, &box.gate, turn)) {
        bool is_armed = sp_task_notify(&room->task, 0, box.queue) == SP_OK;
        if (sim_choose(2)) {
            sp_room_unlisten(room, &box.gate);
            if (is_armed && sp_task_unnotify(&room->task, 0) == SP_OK)
                is_armed = false;
        }
        if (is_armed)
            take_the_ticket(room);
    }
    sp_task_unref(&room->task);
    sim_join(other);
    CHECK(sp_completion_is_empty(box.queue));
    sp_completion_free(box.queue);
}
