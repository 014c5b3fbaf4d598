#include "sched/staff.h"

#include <stdio.h>

#include "base/memory.h"
#include "base/topology.h"
#include "sched/fork.h"
#include "sched/group.h"
#include "sched/pool.h"

#define DEFAULT_KEEPALIVE_NS 50000
#define DEFAULT_MOST 64
#define DEFAULT_SPARE 32
#define NAME_BYTES 32

/* A dormant worker costs its thread's memory; starting one costs some 50 microseconds. */
#define DORMANT_NS 1000000000

/* ----------------------------------------------------------------- starting */

static int64_t keepalive_of(const sp_pool_options *options, uint32_t workers)
{
    if (options->keepalive_us)
        return (int64_t)options->keepalive_us * 1000;
    /* One who searches on the only CPU keeps the work from being made. */
    uint32_t cpus = sp_usable_cpus();
    return cpus < 2 || workers > cpus ? 0 : DEFAULT_KEEPALIVE_NS;
}

static uint32_t spare_of(const sp_pool_options *options)
{
    if (options->max_blocked == SP_NEVER)
        return 0;
    return options->max_blocked ? options->max_blocked : DEFAULT_SPARE;
}

void sp__staff_init(sp_pool *pool, const sp_pool_options *options, uint32_t workers)
{
    struct sp__staff *staff = &pool->staff;
    uint32_t most = options->max_workers ? options->max_workers : DEFAULT_MOST;
    uint32_t spare = spare_of(options);
    staff->spare = spare;
    staff->most = most > workers ? most : workers;
    staff->capacity =
        spare > SP_MAX_WORKERS - staff->most ? SP_MAX_WORKERS : staff->most + spare;
    staff->keepalive_ns = keepalive_of(options, workers);
    staff->learns_keepalive = options->keepalive_us == 0 && staff->keepalive_ns > 0;
    staff->pin = options->pin;
    staff->policy = options->policy;
    staff->priority = options->priority;
    snprintf(staff->name, sizeof staff->name, "%.10s",
             options->name ? options->name : "stealpool");
    store_relaxed(&staff->wanted, workers);
    store_relaxed(&staff->due, workers);
}

/* The CPU of the worker at a place; false when it is not pinned. */
static bool cpu_of(const struct sp__staff *staff, uint32_t index, uint32_t *ret_cpu)
{
    uint32_t max = sp__os_affinity_cpus();
    uint32_t *cpus = staff->pin ? sp__alloc(max * sizeof *cpus) : NULL;
    uint32_t n = cpus ? sp__os_list_cpus(cpus, max) : 0;
    if (n > 0) {
        sp__topology_sort("", cpus, n, staff->pin == SP_PIN_SPREAD);
        *ret_cpu = cpus[index % n];
    }
    sp__free(cpus);
    return n > 0;
}

/* Under the lock. */
static void set_presence(struct sp__staff *staff, struct sp__worker *worker,
                         enum sp__presence presence)
{
    staff->present += presence == SP__PRESENT;
    staff->present -= worker->presence == SP__PRESENT;
    worker->presence = presence;
}

static sp_status place(const struct sp__staff *staff, struct sp__worker *worker)
{
    uint32_t cpu;
    if (cpu_of(staff, worker->index, &cpu))
        sp__os_thread_pin(&worker->thread, cpu);
    if (staff->policy &&
        !sp__os_thread_hurry(&worker->thread, (enum sp__os_policy)staff->policy,
                             (int)staff->priority))
        return SP_EPERM;
    return SP_OK;
}

/* Under the lock: start the worker of a place that is absent, or has left. */
static sp_status start(sp_pool *pool, uint32_t index)
{
    struct sp__staff *staff = &pool->staff;
    struct sp__worker *worker = &pool->workers[index];
    char name[NAME_BYTES];
    if (worker->presence == SP__LEFT)
        sp__os_thread_join(&worker->thread);
    set_presence(staff, worker, SP__ABSENT);
    if (index >= load_relaxed(&staff->places)) {
        sp__worker_init(worker, pool, index, staff->keepalive_ns);
        /* seq-cst (S7): before the worker pushes anything. */
        store_seq_cst(&staff->places, index + 1);
    }
    fetch_add_relaxed(&pool->running, 1u);
    sp__pool_worker_wakes(pool);
    snprintf(name, sizeof name, "%s-%u", staff->name, index);
    if (!sp__os_thread_start(&worker->thread, sp__worker_run, worker, name)) {
        sp__pool_worker_sleeps(pool);
        /* relaxed: it continues the releases of those who have ended (X1). */
        if (fetch_sub_relaxed(&pool->running, 1u) == 1)
            sp__os_wake_all(&pool->running);
        return SP_ETHREAD;
    }
    set_presence(staff, worker, SP__PRESENT);
    return place(staff, worker);
}

/* Under the lock: whoever is due and not there is started or called back. */
static sp_status fill(sp_pool *pool)
{
    uint32_t due = load_relaxed(&pool->staff.due);
    for (uint32_t i = 0; i < due; i++) {
        struct sp__worker *worker = &pool->workers[i];
        if (worker->presence == SP__DORMANT) {
            set_presence(&pool->staff, worker, SP__PRESENT);
            store_relaxed(&worker->is_called, 1u); /* he takes the lock next */
            sp__os_wake_one(&worker->is_called);
        } else if (worker->presence != SP__PRESENT) {
            sp_status status = start(pool, i);
            if (status != SP_OK)
                return status;
        }
    }
    return SP_OK;
}

static uint32_t count_present(const sp_pool *pool)
{
    uint32_t n = 0;
    while (n < pool->staff.capacity && pool->workers[n].presence == SP__PRESENT)
        n++;
    return n;
}

/* Under the lock: so many workers that as many as are wanted are not blocked. */
static uint32_t count_due(const sp_pool *pool)
{
    const struct sp__staff *staff = &pool->staff;
    uint32_t wanted = load_relaxed(&staff->wanted);
    uint32_t due = wanted, missing = 0, stand_ins = 0;
    for (uint32_t i = 0; i < wanted && staff->blocked > 0; i++)
        missing += pool->workers[i].is_blocked;
    while (missing > 0 && stand_ins < staff->spare && due < staff->capacity) {
        const struct sp__worker *worker = &pool->workers[due++];
        missing -= !worker->is_blocked;
        stand_ins += !worker->is_surplus;
    }
    return due;
}

/* Under the lock. */
static void set_due(sp_pool *pool)
{
    /* seq-cst (S6): before a look at `sleepers`. Kept: who announces his sleep after
     * that reads `sleepers` as it was left there, and sees this. */
    store_seq_cst(&pool->staff.due, count_due(pool));
}

/* Under the lock: as many as are wanted, or as we can get. */
static sp_status fill_wanted(sp_pool *pool)
{
    struct sp__staff *staff = &pool->staff;
    sp_status status = fill(pool);
    if (status == SP_ETHREAD) {
        uint32_t n = count_present(pool);
        if (n < load_relaxed(&staff->wanted)) {
            store_relaxed(&staff->wanted, n);
            set_due(pool);
        }
    }
    return status;
}

sp_status sp__staff_start(sp_pool *pool)
{
    struct sp__staff *staff = &pool->staff;
    sp__lock_take(&staff->lock);
    sp_status status = fill_wanted(pool);
    if (status == SP_ETHREAD && load_relaxed(&staff->wanted) > 0)
        status = SP_OK; /* fewer than wanted */
    sp__lock_give(&staff->lock);
    return status;
}

/* ----------------------------------------------------------------- resizing */

uint32_t sp_pool_workers(const sp_pool *pool)
{
    return load_relaxed(&pool->staff.wanted);
}

sp_status sp_pool_resize(sp_pool *pool, uint32_t workers)
{
    struct sp__staff *staff = &pool->staff;
    if (workers == 0)
        workers = sp_usable_cpus();
    if (workers > staff->most)
        return SP_EINVAL;
    sp__fork_check(pool);
    sp__lock_take(&staff->lock);
    sp_status status = SP_ECLOSED;
    if (!sp__injector_is_closed(&pool->injector)) {
        for (uint32_t i = workers; i < load_relaxed(&staff->wanted); i++)
            pool->workers[i].is_surplus = pool->workers[i].is_blocked;
        for (uint32_t i = 0; i < workers; i++)
            pool->workers[i].is_surplus = false;
        store_relaxed(&staff->wanted, workers);
        set_due(pool);
        sp__idle_resize(&pool->idle, workers);
        status = fill_wanted(pool);
    }
    sp__lock_give(&staff->lock);
    if (status == SP_ECLOSED)
        return status;
    /* Those who are too many see it; and if a thread was refused while all others
     * fell asleep in a pool that was closed, one of them has to notice. */
    sp__pool_is_over(pool);
    sp__idle_notify_all(&pool->idle);
    return status;
}

/* ------------------------------------------------------------------- stuck */

/* Under the lock: what is in the deques, of those who sleep, goes where all look. */
static void empty_deques(sp_pool *pool)
{
    struct sp__batch batch = {.newest = NULL};
    for (uint32_t i = 0; i < load_relaxed(&pool->staff.places); i++) {
        enum sp__steal_result result;
        sp_task *task;
        while ((result = sp__deque_steal(&pool->workers[i].deque, &task)) !=
               SP__STEAL_EMPTY)
            if (result == SP__STEAL_TAKEN)
                sp__batch_add(&batch, task);
    }
    if (batch.newest)
        sp__injector_spill(&pool->injector, &batch);
}

/* Under the lock. A group is there as long as its waiter has not risen. */
static void ask_waiters(sp_pool *pool)
{
    for (uint32_t i = 0; i < load_relaxed(&pool->staff.places); i++) {
        sp_group *group = pool->workers[i].waits_for;
        if (!group)
            continue;
        /* release (G2): what is in the injector. */
        fetch_or_release(&group->unfinished, SP__GROUP_LOOK);
        sp__os_wake_all(&group->unfinished);
    }
}

/* Under the lock, after a change of `asleep` or `present`. */
static void look_if_stuck(sp_pool *pool)
{
    struct sp__staff *staff = &pool->staff;
    bool is_stuck = staff->waiting > 0 && staff->asleep == staff->present;
    /* seq-cst (S8): before the waiters' looks at the injector. */
    if (is_stuck != load_relaxed(&pool->idle.is_stuck))
        store_seq_cst(&pool->idle.is_stuck, (uint32_t)is_stuck);
    if (!is_stuck)
        return;
    empty_deques(pool);
    ask_waiters(pool);
}

/* ----------------------------------------------------------- stepping back */

/* Wait for the call. Under the lock on entry; not on return. False: it did not come. */
static bool be_dormant(struct sp__worker *worker)
{
    struct sp__staff *staff = &worker->pool->staff;
    int64_t until = sp__os_deadline(DORMANT_NS);
    set_presence(staff, worker, SP__DORMANT);
    look_if_stuck(worker->pool);
    store_relaxed(&worker->is_called, 0u);
    sp__lock_give(&staff->lock);

    while (!load_relaxed(&worker->is_called))
        if (sp__os_wait(&worker->is_called, 0, until) == SP__OS_TIMED_OUT)
            break;

    sp__lock_take(&staff->lock);
    bool is_called = worker->presence == SP__PRESENT;
    if (!is_called)
        set_presence(staff, worker, SP__LEFT);
    sp__lock_give(&staff->lock);
    return is_called;
}

bool sp__staff_step_back(struct sp__worker *worker)
{
    sp_pool *pool = worker->pool;
    sp__worker_hand_over(worker);
    sp__pool_worker_sleeps(pool);
    /* We may have been the last one awake. */
    if (sp__pool_is_over(pool))
        return false;

    bool stays = true;
    sp__lock_take(&pool->staff.lock);
    if (worker->index < load_relaxed(&pool->staff.due)) {
        sp__lock_give(&pool->staff.lock);
    } else if (sp__injector_is_closed(&pool->injector)) {
        set_presence(&pool->staff, worker, SP__LEFT);
        look_if_stuck(pool);
        sp__lock_give(&pool->staff.lock);
        return false;
    } else {
        stays = be_dormant(worker);
    }
    if (stays)
        sp__pool_worker_wakes(pool);
    return stays;
}

void sp__staff_dismiss(sp_pool *pool)
{
    /* Whoever takes the lock after us sees the closed bit: no worker becomes dormant
     * then, and none is added from outside. */
    sp__lock_take(&pool->staff.lock);
    for (uint32_t i = 0; i < load_relaxed(&pool->staff.places); i++) {
        struct sp__worker *worker = &pool->workers[i];
        if (worker->presence == SP__DORMANT) {
            set_presence(&pool->staff, worker, SP__PRESENT);
            store_relaxed(&worker->is_called, 1u);
            sp__os_wake_one(&worker->is_called);
        }
    }
    sp__lock_give(&pool->staff.lock);
}

void sp__staff_join(sp_pool *pool)
{
    sp__lock_take(&pool->staff.lock);
    for (uint32_t i = 0; i < load_relaxed(&pool->staff.places); i++) {
        struct sp__worker *worker = &pool->workers[i];
        if (worker->presence != SP__ABSENT)
            sp__os_thread_join(&worker->thread);
        set_presence(&pool->staff, worker, SP__ABSENT);
    }
    sp__lock_give(&pool->staff.lock);
}

/* ---------------------------------------------------------------- sleeping */

void sp__staff_rouse(sp_pool *pool)
{
    sp__lock_take(&pool->staff.lock);
    look_if_stuck(pool);
    sp__lock_give(&pool->staff.lock);
}

void sp__staff_falls_asleep(struct sp__worker *worker, sp_group *group, bool is_blocked)
{
    sp_pool *pool = worker->pool;
    struct sp__staff *staff = &pool->staff;
    sp__lock_take(&staff->lock);
    worker->waits_for = group;
    staff->waiting += group != NULL;
    if (is_blocked && worker->blocking++ == 0) {
        worker->is_blocked = true;
        staff->blocked++;
        set_due(pool);
        fill(pool); /* if a thread is refused, there is one less */
    }
    if (worker->sleeping++ == 0)
        staff->asleep++;
    look_if_stuck(pool);
    sp__lock_give(&staff->lock);
}

void sp__staff_rises(struct sp__worker *worker, bool is_blocked)
{
    sp_pool *pool = worker->pool;
    struct sp__staff *staff = &pool->staff;
    sp__lock_take(&staff->lock);
    staff->waiting -= worker->waits_for != NULL;
    worker->waits_for = NULL;
    if (is_blocked && --worker->blocking == 0) {
        worker->is_blocked = worker->is_surplus = false;
        staff->blocked--;
        set_due(pool);
    }
    if (--worker->sleeping == 0)
        staff->asleep--;
    look_if_stuck(pool);
    sp__lock_give(&staff->lock);
}

void sp_blocking_begin(void)
{
    struct sp__worker *worker = sp__worker_current();
    if (!worker)
        return;
    if (worker->blocking > 0)
        worker->blocking++;
    else
        sp__staff_falls_asleep(worker, NULL, true);
}

void sp_blocking_end(void)
{
    struct sp__worker *worker = sp__worker_current();
    if (!worker)
        return;
    if (worker->blocking > 1)
        worker->blocking--;
    else
        sp__staff_rises(worker, true);
}
