/* base/memory.h: zeroed, aligned, and able to fail when told. */
#include "base/compiler.h"
#include "base/memory.h"
#include "check.h"

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
    sp__free(NULL);
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

int main(void)
{
    RUN(memory_is_zeroed_and_aligned);
    RUN(too_much_is_refused);
    RUN(the_nth_allocation_fails_once);
    RUN(the_nth_allocation_and_all_after_it_fail);
    return 0;
}
