#include "sched/worker.h"

#include <assert.h>
#include <stddef.h>

#include "base/counters.h"
#include "base/random.h"
#include "sched/injector.h"
#include "sched/pool.h"
#include "sched/spawn.h"
#include "sched/task.h"

/* So often a worker takes what has waited longest, not what is newest. Prime, so
 * that it does not fall into step with a program's own period; Go and tokio use
 * it. */
#define OLDEST_FIRST_EVERY 61

/* Fits into an empty deque, so that the order is kept. */
#define INJECTOR_BATCH (SP_DEQUE_CAPACITY < 32 ? SP_DEQUE_CAPACITY : 32)

/* Moving to another CPU costs some 10 microseconds, and may be in vain. */
#define MOVE_EVERY_NS 2000000

#define LONG_SEARCH_EVERY 8

/* See sp__keepalive_after(). */
#define LEAST_KEEPALIVE_NS 2000
#define MOST_KEEPALIVE_NS 100000

/* Fewer tasks than this between two looks at the injector: see take_injected(). */
#define STREAM_BATCH 16
#define PAUSES_PER_STREAM_LOOK 16

/* A thief who steals two tasks within that time is given so many together. */
#define HANDED_OUT (SP_DEQUE_CAPACITY < 128 ? SP_DEQUE_CAPACITY / 2 : 128)
/* Fewer are linked: a crate costs an allocation. */
#define LEAST_IN_CRATE (SP_DEQUE_CAPACITY < 16 ? 2 : 8)
#define SOON_NS 5000
#define LOOKS_PER_GATHERING 32
#define LOOKS_FOR_ONE 8 /* in which he makes a task, be his lines far away */
#define PAUSES_PER_LOOK 8
#define YIELDS_PER_SEARCH 2
#define ASK_EVERY_NS 2000000 /* which CPUs are open to us: a system call */

static _Thread_local struct sp__worker *current;

struct sp__worker *sp__worker_current(void)
{
    return current;
}

void sp__worker_forget(void)
{
    current = NULL;
}

void sp__worker_init(struct sp__worker *worker, sp_pool *pool, uint32_t index,
                     int64_t keepalive_ns)
{
    worker->pool = pool;
    worker->index = index;
    worker->keepalive_ns = keepalive_ns;
    worker->search_ns = keepalive_ns;
    worker->random = index * 0x9e3779b97f4a7c15u + 1;
    sp__deque_init(&worker->deque, SP_FIRST_COUNT);
    sp__frames_init(&worker->frames);
    worker->freed = (struct sp__freed){0};
    worker->left = NULL;
    worker->n_left = 0;
}

/* A counter with one writer. */
static void count(_Atomic(uint64_t) *counter, uint64_t n)
{
    store_relaxed(counter, load_relaxed(counter) + n);
}

void sp__worker_count_frame(struct sp__worker *worker)
{
    count(&worker->frames_stolen, 1);
}

void sp__worker_leave_cpu(uint32_t cpu)
{
    assert(current);
    if (sp__os_current_cpu() != cpu)
        return;
    int64_t now = sp__os_now_ns();
    if (now - current->moved_at < MOVE_EVERY_NS)
        return;
    current->moved_at = now;
    sp__os_leave_cpu(cpu);
}

/* ---------------------------------------------------------------- pushing */

/* Move the oldest tasks of the deque to the injector, where all can get them. The owner
 * takes from the top like a thief, for the bottom is the newest. */
static void spill_some(struct sp__worker *worker, uint32_t most)
{
    uint32_t n = sp__deque_size(&worker->deque);
    if (n < most)
        most = n;
    struct sp__crate *crate = most < LEAST_IN_CRATE ? NULL : sp__crate_new(most);
    struct sp__batch batch = {.newest = NULL};
    if (crate) {
        crate->end = sp__deque_take_oldest(&worker->deque, crate->tasks, most);
        if (crate->end > 0)
            sp__batch_add(&batch, &crate->entry);
        else
            sp__crate_free(crate);
    } else {
        sp_task *task;
        for (uint32_t i = 0;
             i < most && sp__deque_take_oldest(&worker->deque, &task, 1) == 1; i++)
            sp__batch_add(&batch, task);
    }
    if (batch.newest)
        sp__injector_spill(&worker->pool->injector, &batch);
}

static void spill(struct sp__worker *worker)
{
    spill_some(worker, SP_DEQUE_CAPACITY / 2);
}

/* A thief has asked: see take_gathered(). */
static void hand_out(struct sp__worker *worker)
{
    uint32_t n = sp__deque_size(&worker->deque);
    if (n < HANDED_OUT)
        return;
    store_relaxed(&worker->is_asked, 0u);
    spill_some(worker, n - n / 4);
}

void sp__worker_push(struct sp__worker *worker, sp_task *const *tasks, size_t n)
{
    assert(worker == current);
    struct sp__batch special = {.newest = NULL};
    /* A task is not looked at again once others see it: it may be gone. */
    for (size_t i = 0; i < n; i++)
        if (sp_unlikely(tasks[i]->priority != SP_PRIORITY_NORMAL))
            sp__batch_add(&special, tasks[i]);
        else
            while (!sp__deque_push(&worker->deque, tasks[i]))
                spill(worker);
    if (sp_unlikely(special.newest))
        sp__injector_spill(&worker->pool->injector, &special);
    count(&worker->submitted, n);
    if (sp_unlikely(load_relaxed(&worker->is_asked)))
        hand_out(worker);
}

/* ---------------------------------------------------------------- finding */

/* Queue tasks from the injector, oldest first in `tasks`, so that pop() gives the
 * oldest. The deque is empty, so they fit. */
static void push_injected(struct sp__worker *worker, sp_task **tasks, uint32_t n)
{
    while (n > 0 && !sp__deque_push_all(&worker->deque, tasks, n))
        spill(worker);
}

void sp__worker_lay_open(struct sp__worker *worker)
{
    if (sp__deque_is_empty(&worker->deque))
        return;
    while (!sp__deque_is_empty(&worker->deque))
        spill(worker);
    sp__idle_notify(&worker->pool->idle);
}

sp_task *sp__worker_pop_of(struct sp__worker *worker, const sp_group *group)
{
    sp_task *task = sp__deque_pop(&worker->deque);
    if (!task || task->group == group)
        return task;
    push_injected(worker, &task, 1);
    sp__idle_notify(&worker->pool->idle);
    return NULL;
}

sp_task *sp__worker_take_of(struct sp__worker *worker, const sp_group *group,
                            uint32_t *ret_arrivals)
{
    sp_pool *pool = worker->pool;
    sp_task *batch[INJECTOR_BATCH];
    uint32_t most =
        load_relaxed(&pool->injector.n_normal) / load_relaxed(&pool->staff.due);
    uint32_t n = 0;
    enum sp__inject_result result;

    most = most < INJECTOR_BATCH ? most + 1 : INJECTOR_BATCH;
    while ((result = sp__injector_take_of(&pool->injector, group, batch, most, &n,
                                          ret_arrivals)) == SP__INJECT_MAYBE)
        sp__os_yield(); /* somebody else has its lock */
    if (result == SP__INJECT_TAKEN) {
        count(&worker->injected, n);
        push_injected(worker, batch + 1, n - 1);
    }
    if (result != SP__INJECT_NONE && (n > 1 || !sp__injector_is_empty(&pool->injector)))
        sp__idle_notify(&worker->pool->idle);
    return n > 0 ? batch[0] : NULL;
}

static sp_task *take_injected(struct sp__worker *worker, uint32_t lanes, uint32_t most)
{
    sp_pool *pool = worker->pool;
    sp_task *batch[INJECTOR_BATCH];
    uint32_t workers = load_relaxed(&pool->staff.due);
    uint32_t stashed = load_relaxed(&pool->injector.n_normal);
    /* Somebody submits short tasks one by one. Who looks after each of them takes the
     * inbox from the submitter each time; better let some gather. */
    if (stashed == 0 && worker->is_streaming &&
        worker->ticks - worker->taken_at < STREAM_BATCH)
        for (int i = 0; i < PAUSES_PER_STREAM_LOOK; i++)
            sp__os_pause();
    uint32_t share = stashed / workers + 1;
    uint32_t n = 0;

    if (share > most)
        share = most;
    if (workers == 1)
        share = 1; /* keeps the order, whatever find_task() takes first */
    switch (sp__injector_take(&pool->injector, lanes, batch, share, &n)) {
    case SP__INJECT_TAKEN:
        worker->is_streaming = true;
        worker->taken_at = worker->ticks;
        count(&worker->injected, n);
        push_injected(worker, batch + 1, n - 1);
        break;
    case SP__INJECT_MOVED:
        break;
    case SP__INJECT_NONE:
    case SP__INJECT_MAYBE:
        worker->is_streaming = false;
        return NULL;
    }
    /* While we moved the others nobody could see them, so somebody may have
     * gone to sleep: this is one more publication. */
    if (n > 1 || !sp__injector_is_empty(&pool->injector))
        sp__idle_notify(&pool->idle);
    return n > 0 ? batch[0] : NULL;
}

/* We have stolen. Twice within a short time, from one who has made tasks meanwhile? */
static void note_steal(struct sp__worker *worker, struct sp__worker *victim)
{
    int64_t now = sp__os_now_ns();
    uint64_t submitted = load_relaxed(&victim->submitted);
    worker->is_fed = worker->keepalive_ns > 0 && victim == worker->robbed &&
                     submitted != worker->robbed_of &&
                     now - worker->robbed_at < SOON_NS;
    worker->robbed = victim;
    worker->robbed_of = submitted;
    worker->robbed_at = now;
}

/* Who steals short tasks one by one from the worker that makes them has each line from
 * it, and it has each back. Ask for some together, and wait for about as long as it takes
 * to make them, while it does. */
static sp_task *take_gathered(struct sp__worker *worker)
{
    sp_pool *pool = worker->pool;
    struct sp__worker *victim = worker->robbed;
    if (!worker->is_fed)
        return NULL;
    sp__detached_tell(worker, NULL);
    uint64_t made = load_relaxed(&victim->submitted);
    if (!load_relaxed(&victim->is_asked))
        store_relaxed(&victim->is_asked, 1u);
    for (int i = 0; i < LOOKS_PER_GATHERING; i++) {
        for (int j = 0; j < PAUSES_PER_LOOK; j++)
            sp__os_pause();
        if (!sp__injector_is_empty(&pool->injector))
            return take_injected(worker, SP__LANE_HIGH | SP__LANE_NORMAL,
                                 INJECTOR_BATCH);
        if (i % LOOKS_FOR_ONE != LOOKS_FOR_ONE - 1)
            continue;
        uint64_t before = made;
        made = load_relaxed(&victim->submitted);
        if (made == before)
            break;
    }
    worker->is_fed = false;
    return NULL;
}

static sp_task *steal(struct sp__worker *worker)
{
    sp_pool *pool = worker->pool;
    uint32_t n = sp__pool_places(pool);
    uint32_t start = sp__random_below(&worker->random, n);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t victim = start + i < n ? start + i : start + i - n;
        enum sp__steal_result result = SP__STEAL_LOST;
        sp_task *task;
        if (victim == worker->index)
            continue;
        while (result == SP__STEAL_LOST)
            result = sp__deque_steal(&pool->workers[victim].deque, &task);
        if (result == SP__STEAL_TAKEN) {
            count(&worker->stolen, 1);
            note_steal(worker, &pool->workers[victim]);
            return task;
        }
    }
    return NULL;
}

/* What would wait for ever, were there always something more urgent: each kind in
 * its turn. Tasks that go on submitting tasks, and a stream of high ones, therefore
 * keep nobody waiting for ever. */
static sp_task *take_oldest(struct sp__worker *worker)
{
    sp_task *task;
    switch (worker->ticks / OLDEST_FIRST_EVERY % 4) {
    case 0:
        return take_injected(worker, SP__LANE_LOW, 1);
    case 1:
        return take_injected(worker, SP__LANE_NORMAL, 1); /* the deque may be full */
    case 2:
        return steal(worker);
    default:
        if (sp__deque_steal(&worker->deque, &task) == SP__STEAL_TAKEN)
            return task;
        return NULL;
    }
}

/* Own work first, for it is warm; then what came from outside; then others'. But what
 * is urgent comes before all that, and what can wait after it. */
static sp_task *find_task(struct sp__worker *worker)
{
    struct sp__injector *injector = &worker->pool->injector;
    sp_task *task;
    if (++worker->ticks % OLDEST_FIRST_EVERY == 0 &&
        (task = take_oldest(worker)) != NULL)
        return task;
    if (sp__injector_is_urgent(injector) &&
        (task = take_injected(worker, SP__LANE_HIGH, 1)) != NULL)
        return task;
    if ((task = sp__deque_pop(&worker->deque)) != NULL)
        return task;
    if ((task = take_injected(worker, SP__LANE_HIGH | SP__LANE_NORMAL,
                              INJECTOR_BATCH)) != NULL)
        return task;
    if ((task = take_gathered(worker)) != NULL)
        return task;
    if ((task = steal(worker)) != NULL)
        return task;
    if ((task = take_injected(worker, SP__LANE_LOW, 1)) != NULL)
        return task;
    if (!sp__injector_is_empty(&worker->pool->injector))
        sp__os_yield(); /* somebody else has its lock */
    return NULL;
}

/*
 * A task is about to end, and whoever waits for it to submit another one. With
 * nothing else to do, this worker is searching from now on, so that it need not be
 * woken: on one CPU that is a quarter of a round trip.
 */
static void search_before_end(void *arg)
{
    struct sp__worker *worker = arg;
    sp_pool *pool = worker->pool;
    count(&worker->executed, 1);
    assert(!worker->is_searching);
    if (sp__deque_is_empty(&worker->deque) && !sp__pool_has_work(pool))
        worker->is_searching = sp__idle_start_search(&pool->idle);
}

static void execute(struct sp__worker *worker, sp_task *task)
{
    /* seq-cst (X3): after what we took along with this one was published. Kept: see
     * sp_pool_close(). */
    if (sp_unlikely(load_seq_cst(&worker->pool->abandons)))
        sp__task_throw_away(task);
    else
        sp__task_execute(task, search_before_end, worker);
}

/* It is in a task, so it has nothing to say of idling. */
static void count_executed(void *arg)
{
    struct sp__worker *worker = arg;
    count(&worker->executed, 1);
}

void sp__worker_nest(struct sp__worker *worker, sp_task *task)
{
    /* Kept: as in execute(). */
    if (sp_unlikely(load_seq_cst(&worker->pool->abandons)))
        sp__task_throw_away(task);
    else
        sp__task_execute(task, count_executed, worker);
}

void sp__worker_end_search(struct sp__worker *worker)
{
    if (!worker->is_searching)
        return;
    worker->is_searching = false;
    if (sp__idle_end_search(&worker->pool->idle) && sp__pool_has_work(worker->pool))
        sp__idle_notify(&worker->pool->idle);
}

static bool join_region(struct sp__worker *worker)
{
    if (!sp__region_join_any(&worker->pool->regions))
        return false;
    count(&worker->joined, 1);
    return true;
}

/* Somebody's forked frame. Its owner may need it next: it is taken only if there is
 * nothing else to do, but then before anything that comes later. */
static bool steal_frame(struct sp__worker *worker)
{
    sp_pool *pool = worker->pool;
    uint32_t n = sp__pool_places(pool);
    uint32_t start = sp__random_below(&worker->random, n);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t victim = start + i < n ? start + i : start + i - n;
        struct sp__frame_slot *slot = sp__frames_steal(&pool->workers[victim].frames);
        if (!slot)
            continue;
        sp__worker_count_frame(worker);
        sp__worker_end_search(worker);
        sp__frames_run(worker, slot);
        return true;
    }
    return false;
}

/* Take up one piece of work, if there is any. A region's caller waits for it, a
 * task may wait a little longer: but only for one region. */
static bool work(struct sp__worker *worker)
{
    bool region_first = !worker->was_in_region && sp__deque_is_empty(&worker->deque);
    if (region_first && sp__region_is_open(&worker->pool->regions)) {
        sp__detached_tell(worker, NULL);
        worker->was_in_region = join_region(worker);
        if (worker->was_in_region)
            return true;
    }
    worker->was_in_region = false;
    sp_task *task = find_task(worker);
    if (worker->left)
        sp__detached_tell(worker,
                          task && sp__task_is_detached(task) ? task->group : NULL);
    if (!task)
        return (!region_first && join_region(worker)) || steal_frame(worker);
    sp__worker_end_search(worker);
    execute(worker, task);
    return true;
}

/* ------------------------------------------------------------------ idling */

/* No other CPU is open to this worker, so it is not woken on one either. And as long as
 * one yields, nobody else is woken; so where each has a CPU of its own, none may. */
static bool is_confined(struct sp__worker *worker)
{
    if (worker->pool->staff.pin)
        return false;
    int64_t now = sp__os_now_ns();
    if (now - worker->asked_at >= ASK_EVERY_NS) {
        worker->asked_at = now;
        worker->is_confined = sp__os_affinity_cpus() == 1;
    }
    return worker->is_confined;
}

/* The last submitter is on this CPU, and cannot go on while we look. */
static bool search_by_yielding(sp_pool *pool)
{
    for (int i = 0; i < YIELDS_PER_SEARCH; i++) {
        if (!sp__yield(&pool->yield))
            return false;
        if (sp__pool_has_work(pool))
            return true;
    }
    return false;
}

/* Search for a while. True when there seems to be work. Looks seldom, so as not
 * to take cache lines from those who are about to publish some. */
static bool search(struct sp__worker *worker)
{
    sp_pool *pool = worker->pool;
    uint32_t cpu = sp__os_current_cpu();
    store_relaxed(&worker->cpu, cpu);
    if (load_relaxed(&pool->submit_cpu) == cpu && !worker->is_fed)
        return is_confined(worker) && search_by_yielding(pool);
    if (worker->keepalive_ns == 0)
        return false;
    int64_t until = sp__os_now_ns() + worker->search_ns;
    do {
        if (sp__pool_has_work(pool))
            return true;
        for (int i = 0; i < PAUSES_PER_LOOK; i++)
            sp__os_pause();
    } while (sp__os_now_ns() < until);
    worker->is_fed = false;
    return false;
}

/*
 * Searching that led to nothing gets shorter: an idle pool costs nothing, a busy one
 * answers without a system call. Now and then a search is long all the same: when
 * both the worker and the one who waits for it sleep, each is woken too late to find
 * the other searching, and short searches would never find that out.
 */
static void adapt_search(struct sp__worker *worker, bool found)
{
    worker->fruitless = found ? 0 : worker->fruitless + 1;
    uint32_t halvings = worker->fruitless % LONG_SEARCH_EVERY;
    worker->search_ns = worker->keepalive_ns >> (halvings < 3 ? halvings : 3);
}

int64_t sp__keepalive_after(int64_t keepalive_ns, int64_t wake_ns)
{
    if (wake_ns < LEAST_KEEPALIVE_NS)
        wake_ns = LEAST_KEEPALIVE_NS;
    if (wake_ns > MOST_KEEPALIVE_NS)
        wake_ns = MOST_KEEPALIVE_NS;
    return keepalive_ns + (wake_ns - keepalive_ns) / 8;
}

static void learn_keepalive(struct sp__worker *worker, int64_t wake_ns)
{
    if (wake_ns >= 0 && worker->pool->staff.learns_keepalive)
        worker->keepalive_ns = sp__keepalive_after(worker->keepalive_ns, wake_ns);
}

void sp__worker_hand_over(struct sp__worker *worker)
{
    bool has_tasks = !sp__deque_is_empty(&worker->deque);
    sp__detached_tell(worker, NULL);
    sp__freed_tell(&worker->freed);
    while (!sp__deque_is_empty(&worker->deque))
        spill(worker);
    sp__worker_end_search(worker);
    if (has_tasks)
        sp__idle_notify(&worker->pool->idle);
}

/* Announce, look a last time, park. True: the worker is searching again. False:
 * the pool is over. */
static bool sleep_unless_work(struct sp__worker *worker)
{
    sp_pool *pool = worker->pool;
    sp__freed_tell(&worker->freed);
    sp__pool_worker_sleeps(pool);
    sp__idle_announce(&pool->idle, worker->index, worker->is_searching);
    if (sp__pool_is_over(pool))
        return false;
    bool stays_up =
        sp__pool_has_work(pool) || !sp__staff_is_due(&pool->staff, worker->index);
    if (!stays_up || !sp__idle_withdraw(&pool->idle, worker->index)) {
        count(&worker->parked, 1);
        uint32_t cpu = sp__os_current_cpu();
        store_relaxed(&worker->cpu, cpu | SP__ASLEEP);
        learn_keepalive(worker, sp__idle_park(&pool->idle, worker->index));
        store_relaxed(&worker->cpu, cpu);
    }
    worker->is_searching = true;
    sp__pool_worker_wakes(pool);
    return true;
}

void sp__worker_run(void *arg)
{
    struct sp__worker *worker = current = arg;
    sp_pool *pool = worker->pool;

    for (;;) {
        if (sp_unlikely(!sp__staff_is_due(&pool->staff, worker->index))) {
            if (sp__staff_step_back(worker))
                continue;
            break;
        }
        if (work(worker))
            continue;
        if (!worker->is_searching)
            worker->is_searching = sp__idle_start_search(&pool->idle);
        if (worker->is_searching) {
            bool found = search(worker);
            adapt_search(worker, found);
            if (found)
                continue;
        }
        if (!sleep_unless_work(worker))
            break;
    }
    current = NULL;
    /* release (X1): all that this worker did, to whoever waits for its end. Kept: see
     * sp__pool_wait(). */
    if (fetch_sub_acq_rel(&pool->running, 1u) == 1)
        sp__os_wake_all(&pool->running);
}
