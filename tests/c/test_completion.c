/* Completion queues, by themselves. */
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

#include "base/memory.h"
#include "check.h"
#include "sched/completion.h"
#include "threads.h"

#define N 5

static void nothing(sp_task *task)
{
    (void)task;
}

struct bell {
    sp_completion *queue;
    unsigned rung;
    bool was_empty; /* at the last ring */
    sp_task tasks[N];
};

static void ring(void *user)
{
    struct bell *bell = user;
    bell->rung++;
    bell->was_empty = sp_completion_is_empty(bell->queue);
}

static void begin(struct bell *bell)
{
    *bell = (struct bell){.rung = 0};
    CHECK_EQ(sp_completion_create(&bell->queue, ring, bell), SP_OK);
    for (int i = 0; i < N; i++) {
        sp_task_init(&bell->tasks[i], nothing, NULL);
        CHECK_EQ(sp_task_notify(&bell->tasks[i], i % SP_TICKETS, bell->queue), SP_OK);
    }
}

static void end_tasks(struct bell *bell, int first, int last)
{
    for (int i = first; i <= last; i++)
        CHECK_EQ(sp_task_run(&bell->tasks[i]), SP_OK);
}

/* Drain, and check that it gives the tasks from `first` to `last`. */
static void check_drain(struct bell *bell, int first, int last)
{
    sp_ticket *ticket = sp_completion_drain(bell->queue);
    for (int i = first; i <= last; i++) {
        CHECK(ticket, "task %d", i);
        CHECK(sp_ticket_task(ticket) == &bell->tasks[i], "task %d", i);
        sp_ticket *next = sp_ticket_next(ticket);
        sp_task_unref(sp_ticket_task(ticket));
        ticket = next;
    }
    CHECK(!ticket);
    CHECK(sp_completion_is_empty(bell->queue));
}

static void a_new_queue_is_empty(void)
{
    sp_completion *queue;
    CHECK_EQ(sp_completion_create(&queue, NULL, NULL), SP_OK);
    CHECK(sp_completion_is_empty(queue));
    CHECK(!sp_completion_drain(queue));
    for (int i = 0; i < 2; i++) { /* the second finds what the first has left */
        CHECK_EQ(sp_completion_wait(queue, 0), SP_ETIMEDOUT);
        CHECK(sp_completion_is_empty(queue));
    }
    CHECK(!sp_completion_drain(queue));
    sp_completion_free(queue);
}

static void drain_gives_the_oldest_first(void)
{
    struct bell bell;
    begin(&bell);
    end_tasks(&bell, 0, N - 1);
    check_drain(&bell, 0, N - 1);
    sp_completion_free(bell.queue);
}

static void the_bell_rings_when_the_queue_was_empty(void)
{
    struct bell bell;
    begin(&bell);
    CHECK_EQ(bell.rung, 0);
    end_tasks(&bell, 0, 0);
    CHECK_EQ(bell.rung, 1);
    CHECK(!bell.was_empty);
    end_tasks(&bell, 1, 2);
    CHECK_EQ(bell.rung, 1);
    check_drain(&bell, 0, 2);
    check_drain(&bell, 0, -1);
    end_tasks(&bell, 3, N - 1);
    CHECK_EQ(bell.rung, 2);
    check_drain(&bell, 3, N - 1);
    sp_completion_free(bell.queue);
}

static void a_timed_out_wait_changes_nothing(void)
{
    struct bell bell;
    begin(&bell);
    for (int i = 0; i < N; i++) {
        sp_status status = sp_completion_wait(bell.queue, 1000000);
        CHECK(status == SP_ETIMEDOUT || status == SP_EINTR, "%d", status);
        CHECK(sp_completion_is_empty(bell.queue));
        end_tasks(&bell, i, i);
        CHECK_EQ(bell.rung, i + 1);
        CHECK_EQ(sp_completion_wait(bell.queue, 0), SP_OK);
        CHECK_EQ(sp_completion_wait(bell.queue, -1), SP_OK);
        check_drain(&bell, i, i);
    }
    sp_completion_free(bell.queue);
}

static void consume_or_produce(unsigned index, void *arg)
{
    struct bell *bell = arg;
    if (index > 0) {
        end_tasks(bell, (int)index - 1, (int)index - 1);
        return;
    }
    for (int seen = 0; seen < 3;) {
        sp_status status;
        while ((status = sp_completion_wait(bell->queue, -1)) == SP_EINTR)
            ;
        CHECK_EQ(status, SP_OK);
        sp_ticket *ticket = sp_completion_drain(bell->queue);
        CHECK(ticket);
        for (; ticket; ticket = sp_ticket_next(ticket))
            seen++;
    }
}

static void a_sleeping_consumer_is_woken(void)
{
    for (long round = check_rounds(100); round > 0; round--) {
        struct bell bell = {.rung = 0};
        CHECK_EQ(sp_completion_create(&bell.queue, NULL, NULL), SP_OK);
        for (int i = 0; i < 3; i++) {
            sp_task_init(&bell.tasks[i], nothing, NULL);
            CHECK_EQ(sp_task_notify(&bell.tasks[i], 0, bell.queue), SP_OK);
        }
        run_together(4, consume_or_produce, &bell);
        sp_completion_free(bell.queue);
    }
}

/* --------------------------------------------------------- a file descriptor */

static bool is_readable(int fd)
{
    struct pollfd event = {.fd = fd, .events = POLLIN};
    CHECK(poll(&event, 1, 0) >= 0);
    return event.revents & POLLIN;
}

static void the_descriptor_is_readable_while_there_is_something_to_take(void)
{
    struct bell bell = {.rung = 0};
    int fd = -1;
    CHECK_EQ(sp_completion_create_fd(&bell.queue, &fd), SP_OK);
    for (int i = 0; i < N; i++) {
        sp_task_init(&bell.tasks[i], nothing, NULL);
        CHECK_EQ(sp_task_notify(&bell.tasks[i], 0, bell.queue), SP_OK);
    }
    for (int round = 0; round < 2; round++) {
        CHECK(!is_readable(fd));
        CHECK(!sp_completion_drain(bell.queue));
        end_tasks(&bell, 2 * round, 2 * round + 1);
        CHECK(is_readable(fd));
        CHECK(is_readable(fd));
        check_drain(&bell, 2 * round, 2 * round + 1);
        CHECK(!is_readable(fd));
    }
    end_tasks(&bell, 4, 4);
    check_drain(&bell, 4, 4);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    sp_completion_free(bell.queue);
    CHECK(fcntl(fd, F_GETFD) < 0); /* closed */
}

static void without_descriptors_there_is_no_such_queue(void)
{
    sp_completion *queue = NULL;
    struct rlimit before, none;
    int fd = -1;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(sp_completion_create_fd(&queue, &fd), SP_EFILES);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK(!queue);
    CHECK_EQ(fd, -1);
    if (!sp__alloc_fail_at(0, false))
        return;
    CHECK_EQ(sp_completion_create_fd(&queue, &fd), SP_ENOMEM);
}

static void without_memory_there_is_no_queue(void)
{
    sp_completion *queue = NULL;
    sp_completion_free(NULL);
    if (!sp__alloc_fail_at(0, false))
        return;
    CHECK_EQ(sp_completion_create(&queue, ring, NULL), SP_ENOMEM);
    CHECK(!queue);
}

int main(void)
{
    RUN(a_new_queue_is_empty);
    RUN(drain_gives_the_oldest_first);
    RUN(the_bell_rings_when_the_queue_was_empty);
    RUN(a_timed_out_wait_changes_nothing);
    RUN(a_sleeping_consumer_is_woken);
    RUN(the_descriptor_is_readable_while_there_is_something_to_take);
    RUN(without_descriptors_there_is_no_such_queue);
    RUN(without_memory_there_is_no_queue);
    return 0;
}
