/* base/memory.h: zeroed, aligned, and able to fail when told. */
#include "base/compiler.h"
#include "base/memory.h"
#include "check.h"
#include "threads.h"

#ifdef CAN_WRAP
/* The C library's heap, when it has nothing left. */
static bool heap_is_empty;

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return heap_is_empty ? NULL : __real_aligned_alloc(alignment, size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    return heap_is_empty ? NULL : __real_calloc(n, size);
}
#endif

static bool fails(void)
{
    void *memory = sp__alloc(1);
    bool failed = !memory;
    sp__free(memory);
    return failed;
}

static void memory_is_zeroed_and_aligned(void)
{
    static const size_t sizes[] = {0, 1, 127, 128, 129, 4096, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *memory = sp__alloc(sizes[i]);
        CHECK(memory);
        CHECK_EQ((uintptr_t)memory % SP_CACHE_LINE, 0, "size %zu", sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++)
            CHECK_EQ(memory[at], 0, "byte %zu of %zu", at, sizes[i]);
        memset(memory, 0xff, sizes[i]);
        sp__free(memory);
    }
}

static void too_much_is_refused(void)
{
    CHECK(!sp__alloc(SIZE_MAX));
    CHECK(!sp__alloc(SIZE_MAX - SP_CACHE_LINE + 1));
    CHECK(!sp__alloc_sparse(SIZE_MAX));
    CHECK(!sp__alloc_sparse(SIZE_MAX - SP_CACHE_LINE + 1));
    sp__free(NULL);
    sp__free_sparse(NULL);
}

static void sparse_memory_is_zeroed_and_aligned_too(void)
{
    char *memory = sp__alloc_sparse(1 << 20);
    CHECK(memory);
    CHECK_EQ((uintptr_t)memory % SP_CACHE_LINE, 0);
    for (size_t at = 0; at < 1 << 20; at += 1000)
        CHECK_EQ(memory[at], 0, "byte %zu", at);
    memset(memory, 0xff, 1 << 20);
    sp__free_sparse(memory);
}

static void an_empty_heap_gives_nothing(void)
{
#ifdef CAN_WRAP
    heap_is_empty = true;
    void *memory = sp__alloc(1);
    void *sparse = sp__alloc_sparse(1);
    heap_is_empty = false;
    CHECK(!memory && !sparse);
#endif
}

static void the_nth_allocation_fails_once(void)
{
    for (int n = 0; n < 4; n++) {
        if (!sp__alloc_fail_at(n, false))
            return;
        for (int i = 0; i < 6; i++)
            CHECK_EQ(fails(), i == n, "allocation %d of %d", i, n);
    }
    sp__alloc_fail_at(-1, false);
}

static void the_nth_allocation_and_all_after_it_fail(void)
{
    if (!sp__alloc_fail_at(2, true))
        return;
    for (int i = 0; i < 6; i++)
        CHECK_EQ(fails(), i >= 2, "allocation %d", i);
    sp__alloc_fail_at(-1, false);
    CHECK(!fails());
}

struct sharers {
    _Atomic(uint32_t) failures;
    _Atomic(uint32_t) arrived;
};

static void allocate_ten(unsigned index, void *arg)
{
    struct sharers *sharers = arg;
    (void)index;
    meet(&sharers->arrived, 3);
    for (int i = 0; i < 10; i++)
        if (fails())
            fetch_add_relaxed(&sharers->failures, 1u);
}

static void of_allocations_of_several_threads_one_fails(void)
{
    for (long round = check_rounds(300); round > 0; round--) {
        struct sharers sharers = {0};
        if (!sp__alloc_fail_at(round % 30, false))
            return;
        run_together(3, allocate_ten, &sharers);
        CHECK_EQ(load_relaxed(&sharers.failures), 1);
    }
}

int main(void)
{
    RUN(memory_is_zeroed_and_aligned);
    RUN(sparse_memory_is_zeroed_and_aligned_too);
    RUN(too_much_is_refused);
    RUN(an_empty_heap_gives_nothing);
    RUN(the_nth_allocation_fails_once);
    RUN(the_nth_allocation_and_all_after_it_fail);
    RUN(of_allocations_of_several_threads_one_fails);
    return 0;
}
