/*
 * Whatever fails: every allocation and every thread in turn, once and for good; every
 * sleep that ends for no reason, or by a signal; a clock that leaps by an hour.
 *
 * A small program uses all of the library, and copes with what it is refused. After it,
 * whatever happened: what was accepted ran once or was cancelled, what was refused did
 * not run (I1, I3, I8); each ended once, with its result (I2); who was to be told was told
 * once (I4); nobody waits for ever (I5); nothing runs later (I6); memory, threads and file
 * descriptors are back (I7). What completing and cancelling need is there since the
 * submit, so they are not among what may fail.
 */
#include <errno.h>
#include <unistd.h>

#include "base/memory.h"
#include "check.h"
#include "stealpool.h"
#include "threads.h"

#ifdef CAN_WRAP

/* -------------------------------------------------------------------- faults */

enum kind { NONE, MEMORY, THREADS, WAKE_UPS, SIGNALS, CLOCK };

#define HOUR_NS ((int64_t)3600 * 1000000000)

static struct {
    enum kind kind;
    bool for_good;
    _Atomic(int64_t) countdown;
    _Atomic(uint32_t) struck;
    _Atomic(int64_t) ahead_ns;
    _Atomic(int64_t) blocks; /* of memory that are in use */
} fault;

static bool strikes(enum kind kind)
{
    if (kind != fault.kind)
        return false;
    int64_t left = fetch_add_seq_cst(&fault.countdown, (int64_t)-1);
    if (left > 0 || (left < 0 && !fault.for_good))
        return false;
    fetch_add_relaxed(&fault.struck, 1u);
    return true;
}

static void *counted(void *memory)
{
    if (memory)
        fetch_add_relaxed(&fault.blocks, (int64_t)1);
    return memory;
}

void *__real_sp__alloc(size_t size);
void *__wrap_sp__alloc(size_t size);
void *__wrap_sp__alloc(size_t size)
{
    return strikes(MEMORY) ? NULL : counted(__real_sp__alloc(size));
}

void *__real_sp__alloc_sparse(size_t size);
void *__wrap_sp__alloc_sparse(size_t size);
void *__wrap_sp__alloc_sparse(size_t size)
{
    return strikes(MEMORY) ? NULL : counted(__real_sp__alloc_sparse(size));
}

void __real_sp__free(void *memory);
void __wrap_sp__free(void *memory);
void __wrap_sp__free(void *memory)
{
    if (memory)
        fetch_add_relaxed(&fault.blocks, (int64_t)-1);
    __real_sp__free(memory);
}

void __real_sp__free_sparse(void *memory);
void __wrap_sp__free_sparse(void *memory);
void __wrap_sp__free_sparse(void *memory)
{
    if (memory)
        fetch_add_relaxed(&fault.blocks, (int64_t)-1);
    __real_sp__free_sparse(memory);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*begin)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*begin)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*begin)(void *), void *arg)
{
    return strikes(THREADS) ? EPERM : __real_pthread_create(thread, attr, begin, arg);
}

enum sp__os_wake_reason __real_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns);
enum sp__os_wake_reason __wrap_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns);
enum sp__os_wake_reason __wrap_sp__os_wait(_Atomic(uint32_t) *word, uint32_t expected,
                                           int64_t deadline_ns)
{
    bool wakes = strikes(WAKE_UPS), interrupts = strikes(SIGNALS);
    if (wakes || interrupts) {
        sp__os_yield(); /* who does not sleep lets others go first */
        return wakes ? SP__OS_WOKEN : SP__OS_INTERRUPTED;
    }
    if (deadline_ns != SP__OS_NO_DEADLINE) {
        deadline_ns -= load_relaxed(&fault.ahead_ns);
        deadline_ns = deadline_ns < 0 ? 0 : deadline_ns; /* leapt over */
    }
    return __real_sp__os_wait(word, expected, deadline_ns);
}

/* So that loops see the leaps. */
void __wrap_sp__os_lap_learn(void);
void __wrap_sp__os_lap_learn(void)
{
}

int64_t __real_sp__os_now_ns(void);
int64_t __wrap_sp__os_now_ns(void);
int64_t __wrap_sp__os_now_ns(void)
{
    if (strikes(CLOCK))
        fetch_add_relaxed(&fault.ahead_ns, HOUR_NS);
    return __real_sp__os_now_ns() + load_relaxed(&fault.ahead_ns);
}

/* ------------------------------------------------------------------- the program */

enum { TASKS = 12, CALLS = 8, INDICES = 64, LARGE = 1000 };

struct job {
    sp_task task;
    struct life *life;
    struct job *child;
    bool blocks;
    sp_status accepted; /* what sp_submit() said */
    uint32_t result;    /* plain */
    uint32_t told;      /* times that it came out of the queue */
    sp_status armed;
    _Atomic(uint32_t) runs;
    _Atomic(uint32_t) releases;
};

struct life {
    sp_pool *pool;
    sp_completion *queue;
    sp_group group;
    sp_group errands; /* without a token */
    sp_token token;
    struct job jobs[TASKS], children[TASKS];
    _Atomic(uint32_t) calls; /* of spawned tasks */
    _Atomic(uint32_t) hits[INDICES];
    _Atomic(uint32_t) is_over;
};

static void release(sp_task *task)
{
    fetch_add_seq_cst(&((struct job *)task)->releases, 1u);
}

static void submit(struct job *job)
{
    job->accepted = sp_submit(job->life->pool, &job->task);
    CHECK(job->accepted == SP_OK || job->accepted == SP_ECLOSED);
}

static void run(sp_task *task)
{
    struct job *job = (struct job *)task;
    CHECK_EQ(load_seq_cst(&job->life->is_over), 0);
    fetch_add_seq_cst(&job->runs, 1u);
    job->result = 42;
    if (job->blocks) {
        sp_blocking_begin();
        sp__os_yield();
        sp_blocking_end();
    }
    if (job->child)
        submit(job->child);
}

static void init_job(struct life *life, struct job *job, struct job *child)
{
    job->life = life;
    job->child = child;
    job->accepted = SP_ECLOSED;
    sp_task_init(&job->task, run, release);
    sp_group_add(&life->group, &job->task);
    job->armed = life->queue ? sp_task_notify(&job->task, 0, life->queue) : SP_EBUSY;
}

static void call(void *arg)
{
    fetch_add_seq_cst(&(*(struct life **)arg)->calls, 1u);
}

/* Small arguments lie in the pool's memory, large ones are allocated. */
static uint32_t spawn_all(struct life *life)
{
    static char large[LARGE];
    uint32_t accepted = 0;
    memcpy(large, &life, sizeof life);
    for (int i = 0; i < CALLS; i++) {
        bool is_large = i % 2;
        sp_status status = sp_spawn(life->pool, &life->errands, call,
                                    is_large ? (void *)large : (void *)&life,
                                    is_large ? sizeof large : sizeof life);
        CHECK(status == SP_OK || status == SP_ENOMEM);
        accepted += status == SP_OK;
    }
    return accepted;
}

static int hit(intptr_t begin, intptr_t end, void *user)
{
    for (intptr_t i = begin; i < end; i++)
        fetch_add_relaxed(&((struct life *)user)->hits[i], 1u);
    return 0;
}

static int add_up(intptr_t begin, intptr_t end, void *acc, void *user)
{
    (void)user;
    for (intptr_t i = begin; i < end; i++)
        *(int64_t *)acc += i;
    return 0;
}

static void add(void *into, const void *from, void *user)
{
    (void)user;
    *(int64_t *)into += *(const int64_t *)from;
}

static void loop(struct life *life)
{
    sp_loop_options each = {.schedule = SP_DYNAMIC};
    CHECK_EQ(sp_parallel_for(life->pool, 0, INDICES, 0, hit, life), 0);
    CHECK_EQ(sp_parallel_for_with(life->pool, 0, INDICES, &each, hit, life), 0);
    for (int i = 0; i < INDICES; i++)
        CHECK_EQ(load_relaxed(&life->hits[i]), 2, "index %d", i);
    union {
        int64_t sum;
        char bytes[LARGE];
    } result = {0};
    int code = sp_parallel_reduce(life->pool, 0, 100, 1, add_up, add, &result,
                                  sizeof result, NULL);
    CHECK(code == 0 || code == SP_ENOMEM, "%d", code);
    if (code == 0)
        CHECK_EQ(result.sum, 4950);
}

struct node {
    sp_frame frame;
    int depth;
    uint32_t leaves;
};

static int grow(sp_worker *worker, sp_frame *frame)
{
    struct node *self = (struct node *)frame;
    if (self->depth == 0) {
        self->leaves++;
        return sp_fail(7, "a leaf");
    }
    struct node one = {.depth = self->depth - 1}, two = {.depth = self->depth - 1};
    sp_fork(worker, &one.frame, grow);
    CHECK_EQ(grow(worker, &two.frame), 7);
    CHECK_EQ(sp_join(worker, &one.frame), 7);
    self->leaves += one.leaves + two.leaves;
    return 7; /* with the words of the last one, unless there was no memory for them */
}

static void fork_and_join(struct life *life)
{
    struct node root = {.depth = 6};
    CHECK_EQ(sp_run(life->pool, &root.frame, grow), 7);
    CHECK_EQ(root.leaves, 64);
    const char *words = sp_take_failure();
    CHECK(*words == 0 || strcmp(words, "a leaf") == 0, "%s", words);
}

static void resize(sp_pool *pool)
{
    for (uint32_t wanted = 3; wanted == 3 || wanted == 1; wanted -= 2) {
        sp_status status = sp_pool_resize(pool, wanted);
        CHECK(status == SP_OK || status == SP_ETHREAD, "%d", status);
        uint32_t workers = sp_pool_workers(pool);
        /* Also when only who stands in for a blocked one was refused. */
        CHECK(workers >= 1 && workers <= wanted, "%u of %u", workers, wanted);
        CHECK(status != SP_OK || workers == wanted, "%u of %u", workers, wanted);
    }
}

static void drain(struct life *life)
{
    sp_ticket *ticket = life->queue ? sp_completion_drain(life->queue) : NULL;
    while (ticket) {
        struct job *job = (struct job *)sp_ticket_task(ticket);
        ticket = sp_ticket_next(ticket);
        job->told++;
        sp_task_unref(&job->task);
    }
}

static void check_job(struct job *job, sp_status cancelled)
{
    sp_phase phase = sp_task_phase(&job->task);
    uint32_t runs = load_seq_cst(&job->runs);
    bool was_accepted = job->accepted == SP_OK;
    if (was_accepted)
        CHECK(phase == SP_DONE || phase == SP_CANCELLED, "phase %d", (int)phase);
    else
        CHECK(runs == 0 && phase == SP_PENDING, "phase %d", (int)phase);
    CHECK_EQ(runs, phase == SP_DONE);
    if (cancelled == SP_OK)
        CHECK_EQ(runs, 0);
    if (phase == SP_DONE)
        CHECK_EQ(job->result, 42);
    if (!was_accepted && job->armed == SP_OK)
        CHECK_EQ(sp_task_unnotify(&job->task, 0), SP_OK);
    CHECK_EQ(job->told, was_accepted && job->armed == SP_OK);
    CHECK_EQ(load_seq_cst(&job->releases), 0);
    sp_task_unref(&job->task);
    CHECK_EQ(load_seq_cst(&job->releases), 1);
}

static void use(struct life *life, bool abandons)
{
    int fd;
    sp_status cancelled[TASKS];
    sp_status status = sp_completion_create_fd(&life->queue, &fd);
    CHECK(status == SP_OK || status == SP_ENOMEM);
    sp_token_init(&life->token, NULL);
    sp_group_init(&life->group);
    sp_group_set_token(&life->group, &life->token);
    sp_group_init(&life->errands);
    for (int i = 0; i < TASKS; i++) {
        init_job(life, &life->jobs[i], i % 3 ? NULL : &life->children[i]);
        life->jobs[i].blocks = i % 4 == 1;
        sp_task_set_priority(&life->jobs[i].task, (sp_priority)(i % 3 - 1));
        if (i % 3 == 0)
            init_job(life, &life->children[i], NULL);
        submit(&life->jobs[i]);
    }
    uint32_t spawned = spawn_all(life);
    for (int i = 0; i < TASKS; i++)
        cancelled[i] = i % 5 ? SP_EBUSY : sp_task_cancel(&life->jobs[i].task);
    loop(life);
    fork_and_join(life);
    resize(life->pool);
    while ((status = sp_task_wait(&life->jobs[1].task, -1, 0)) == SP_EINTR)
        ;
    CHECK_EQ(status, SP_OK);
    sp_token_cancel(&life->token);

    CHECK_EQ(sp_pool_shutdown(life->pool, abandons ? SP_ABANDON : SP_DRAIN), SP_OK);
    store_seq_cst(&life->is_over, 1u);
    drain(life);
    uint32_t unsubmitted = 0;
    for (int i = 0; i < TASKS; i++) {
        check_job(&life->jobs[i], cancelled[i]);
        if (life->jobs[i].child) {
            /* One whose parent never ran was not submitted, nor refused. */
            unsubmitted += load_seq_cst(&life->jobs[i].runs) == 0;
            check_job(&life->children[i], SP_EBUSY);
        }
    }
    CHECK_EQ(sp_group_unfinished(&life->group), unsubmitted);
    CHECK_EQ(sp_group_unfinished(&life->errands), 0);
    uint32_t calls = load_seq_cst(&life->calls);
    CHECK(abandons ? calls <= spawned : calls == spawned, "%u of %u", calls, spawned);
    if (life->queue)
        sp_completion_free(life->queue);
    sp_pool_free(life->pool);
}

static void live(bool abandons)
{
    static struct life life;
    memset(&life, 0, sizeof life);
    sp_pool_options options = {.workers = 2, .max_workers = 3, .pin = SP_PIN_SPREAD};
    sp_status status = sp_pool_create(&life.pool, &options);
    CHECK_EQ(life.pool != NULL, status == SP_OK);
    if (status == SP_OK)
        use(&life, abandons);
    else
        CHECK(status == SP_ENOMEM || status == SP_ETHREAD, "%d", status);
}

/* ------------------------------------------------------------------ in its turn */

/* Entries of a folder of /proc/self; 0 where there is none. */
/* Returns how often something failed. */
static uint32_t live_with(enum kind kind, int64_t n, bool for_good)
{
    uint32_t threads = count_entries("/proc/self/task");
    uint32_t files = count_entries("/proc/self/fd");
    store_seq_cst(&fault.blocks, (int64_t)0);
    store_seq_cst(&fault.struck, 0u);
    store_seq_cst(&fault.countdown, n);
    fault.for_good = for_good;
    fault.kind = kind;
    live(n % 2);
    fault.kind = NONE;
    CHECK_EQ(load_seq_cst(&fault.blocks), 0, "fault %d, the %jd-th", (int)kind,
             (intmax_t)n);
    CHECK_EQ(count_entries("/proc/self/fd"), files);
    while (count_entries("/proc/self/task") > threads)
        sp__os_yield(); /* one that was joined may be seen for a moment */
    return load_seq_cst(&fault.struck);
}

/* One after the other, until there is none that has not failed. */
static void fail_in_turn(enum kind kind)
{
    for (int for_good = 0; for_good < 2; for_good++) {
        int64_t n = 0;
        while (live_with(kind, n, for_good) > 0)
            n++;
        CHECK(n > 2, "only %jd can fail", (intmax_t)n);
    }
}

/* How many there are depends on the schedule. */
static void fail_among(enum kind kind, long n)
{
    uint32_t struck = 0;
    for (int for_good = 0; for_good < 2; for_good++)
        for (long i = 0; i < n; i++)
            struck += live_with(kind, i, for_good);
    CHECK(struck > 0);
}

static void nothing_fails(void)
{
    for (int i = 0; i < 2; i++)
        CHECK_EQ(live_with(NONE, i, false), 0);
}

static void every_allocation_may_fail(void)
{
    fail_in_turn(MEMORY);
}

static void every_thread_may_be_refused(void)
{
    fail_in_turn(THREADS);
}

static void every_sleep_may_end_for_no_reason(void)
{
    fail_among(WAKE_UPS, check_rounds(30));
}

static void every_sleep_may_be_interrupted(void)
{
    fail_among(SIGNALS, check_rounds(30));
}

static void the_clock_may_leap_at_every_look(void)
{
    fail_among(CLOCK, check_rounds(60));
}

int main(void)
{
    live(false); /* what the system makes along with a first thread stays */
    RUN(nothing_fails);
    RUN(every_allocation_may_fail);
    RUN(every_thread_may_be_refused);
    RUN(every_sleep_may_end_for_no_reason);
    RUN(every_sleep_may_be_interrupted);
    RUN(the_clock_may_leap_at_every_look);
    return 0;
}

#else

int main(void)
{
    return CHECK_SKIPPED;
}

#endif
