/* sched/deque.h. What may run at the same time is in stress_steal.c. */
#include "base/memory.h"
#include "check.h"
#include "sched/deque.h"

#define CAPACITY SP_DEQUE_CAPACITY

static sp_task tasks[CAPACITY + 4];

static struct sp__deque *new_deque(int64_t start)
{
    struct sp__deque *deque = sp__alloc(sizeof *deque);
    CHECK(deque);
    sp__deque_init(deque, start);
    return deque;
}

static void fill(struct sp__deque *deque, int n)
{
    for (int i = 0; i < n; i++)
        CHECK(sp__deque_push(deque, &tasks[i]), "task %d", i);
}

static sp_task *steal(struct sp__deque *deque)
{
    sp_task *task = NULL;
    enum sp__steal_result result = sp__deque_steal(deque, &task);
    CHECK_EQ(result, task ? SP__STEAL_TAKEN : SP__STEAL_EMPTY);
    return task;
}

static void a_new_deque_is_empty(void)
{
    struct sp__deque *deque = new_deque(0);
    CHECK(sp__deque_is_empty(deque));
    CHECK(!sp__deque_pop(deque));
    CHECK(!steal(deque));
    CHECK(sp__deque_is_empty(deque));
    sp__free(deque);
}

static void the_owner_pops_the_newest(void)
{
    struct sp__deque *deque = new_deque(0);
    fill(deque, 3);
    CHECK(!sp__deque_is_empty(deque));
    for (int i = 2; i >= 0; i--)
        CHECK(sp__deque_pop(deque) == &tasks[i]);
    CHECK(!sp__deque_pop(deque));
    CHECK(sp__deque_is_empty(deque));
    sp__free(deque);
}

static void a_thief_steals_the_oldest(void)
{
    struct sp__deque *deque = new_deque(0);
    fill(deque, 3);
    for (int i = 0; i < 3; i++)
        CHECK(steal(deque) == &tasks[i]);
    CHECK(!steal(deque));
    CHECK(!sp__deque_pop(deque));
    sp__free(deque);
}

static void the_owner_takes_many_of_the_oldest(void)
{
    sp_task *taken[CAPACITY];
    struct sp__deque *deque = new_deque(CAPACITY - 1); /* across the end of the slots */
    CHECK_EQ(sp__deque_take_oldest(deque, taken, 2), 0);
    fill(deque, CAPACITY);
    CHECK_EQ(sp__deque_size(deque), CAPACITY);
    CHECK_EQ(sp__deque_take_oldest(deque, taken, CAPACITY - 1), CAPACITY - 1);
    for (int i = 0; i < CAPACITY - 1; i++)
        CHECK(taken[i] == &tasks[i]);
    CHECK_EQ(sp__deque_size(deque), 1);
    CHECK_EQ(sp__deque_take_oldest(deque, taken, CAPACITY), 1);
    CHECK(taken[0] == &tasks[CAPACITY - 1]);
    CHECK(!sp__deque_pop(deque));
    fill(deque, CAPACITY);
    sp__free(deque);
}

static void a_full_deque_refuses_and_keeps_what_it_has(void)
{
    struct sp__deque *deque = new_deque(0);
    fill(deque, CAPACITY);
    CHECK(!sp__deque_push(deque, &tasks[CAPACITY]));
    CHECK(!sp__deque_push(deque, &tasks[CAPACITY]));
    for (int i = CAPACITY - 1; i >= 0; i--)
        CHECK(sp__deque_pop(deque) == &tasks[i], "task %d", i);
    CHECK(!sp__deque_pop(deque));
    sp__free(deque);
}

static void a_stolen_slot_is_used_again(void)
{
    struct sp__deque *deque = new_deque(0);
    fill(deque, CAPACITY);
    CHECK(steal(deque) == &tasks[0]);
    CHECK(sp__deque_push(deque, &tasks[CAPACITY]));
    CHECK(!sp__deque_push(deque, &tasks[CAPACITY + 1]));
    for (int i = 1; i <= CAPACITY; i++)
        CHECK(steal(deque) == &tasks[i], "task %d", i);
    CHECK(!steal(deque));
    sp__free(deque);
}

static void both_ends_meet(void)
{
    struct sp__deque *deque = new_deque(0);
    fill(deque, 2);
    CHECK(steal(deque) == &tasks[0]);
    CHECK(sp__deque_pop(deque) == &tasks[1]);
    CHECK(!steal(deque));
    fill(deque, 2);
    CHECK(sp__deque_pop(deque) == &tasks[1]);
    CHECK(steal(deque) == &tasks[0]);
    CHECK(!sp__deque_pop(deque));
    sp__free(deque);
}

/* Any walk of pushes, pops and steals, compared with two plain indices. */
static void walk(int64_t start, int steps)
{
    struct sp__deque *deque = new_deque(start);
    int first = 0;
    int last = 0;
    unsigned dice = 12345;
    for (int i = 0; i < steps; i++) {
        dice = dice * 1103515245u + 12345u;
        switch ((dice >> 16) % 4) {
        case 0:
        case 1:
            CHECK_EQ(sp__deque_push(deque, &tasks[last % CAPACITY]),
                     last - first < CAPACITY);
            last += last - first < CAPACITY;
            break;
        case 2:
            CHECK(steal(deque) == (first < last ? &tasks[first % CAPACITY] : NULL));
            first += first < last;
            break;
        case 3:
            CHECK(sp__deque_pop(deque) ==
                  (first < last ? &tasks[(last - 1) % CAPACITY] : NULL));
            last -= first < last;
            break;
        }
        CHECK_EQ(sp__deque_is_empty(deque), first == last, "step %d", i);
    }
    sp__free(deque);
}

static void it_works_wherever_its_indices_begin(void)
{
    const int steps = 20 * CAPACITY;
    static const int64_t below[] = {0, 1, 2, 3, CAPACITY - 1, CAPACITY};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        walk(below[i], steps);
        walk(-below[i], steps); /* through 0, where signed and masked must agree */
        walk(UINT32_MAX - below[i], steps);
        walk(INT32_MAX - below[i], steps);
        walk(INT64_MAX - steps - below[i], steps);
        walk(INT64_MIN + 1 + below[i], steps);
    }
}

int main(void)
{
    RUN(a_new_deque_is_empty);
    RUN(the_owner_pops_the_newest);
    RUN(a_thief_steals_the_oldest);
    RUN(the_owner_takes_many_of_the_oldest);
    RUN(a_full_deque_refuses_and_keeps_what_it_has);
    RUN(a_stolen_slot_is_used_again);
    RUN(both_ends_meet);
    RUN(it_works_wherever_its_indices_begin);
    return 0;
}
