/*
 * base/memory.h for the simulator: no block is used twice in a schedule, so any
 * use of one that was freed is noticed, and so is a block that is never freed.
 */
#include <string.h>

#include "base/compiler.h"
#include "base/memory.h"
#include "sim_core.h"

_Static_assert(LINE_BYTES == SP_CACHE_LINE, "blocks are aligned to lines");

void sim_heap_reset(void)
{
    memset(sim->line_states, LINE_UNUSED, sim->heap_used / LINE_BYTES);
    sim->heap_used = 0;
    sim->live_blocks = 0;
}

static bool fails_now(void)
{
    int64_t n = sim->n_allocations++;
    if (sim->fail_allocation < 0)
        return false;
    return n == sim->fail_allocation ||
           (n > sim->fail_allocation && sim->fails_for_good);
}

/* A line before each block holds its size. */
void *sp__alloc(size_t size)
{
    if (size > HEAP_BYTES || fails_now())
        return NULL;
    size_t bytes = (size + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
    if (bytes == 0)
        bytes = LINE_BYTES;
    if (sim->heap_used + LINE_BYTES + bytes > HEAP_BYTES)
        sim_fail("the simulator's heap is full");
    char *block = (char *)sim->block.begin + sim->heap_used;
    *(size_t *)(void *)block = bytes;
    memset(block + LINE_BYTES, 0, bytes);
    memset(sim->line_states + sim->heap_used / LINE_BYTES + 1, LINE_LIVE,
           bytes / LINE_BYTES);
    sim->heap_used += LINE_BYTES + bytes;
    sim->live_blocks++;
    return block + LINE_BYTES;
}

void sp__free(void *memory)
{
    if (!memory)
        return;
    uintptr_t site = (uintptr_t)__builtin_return_address(0);
    uintptr_t offset = (uintptr_t)memory - sim->block.begin;
    if (offset >= sim->heap_used || offset % LINE_BYTES ||
        sim->line_states[offset / LINE_BYTES] != LINE_LIVE ||
        sim->line_states[offset / LINE_BYTES - 1] != LINE_UNUSED) {
        sim->current->last_site = site;
        sim_fail("free() of what is no block, or of one for the second time");
    }
    size_t bytes = *(size_t *)(void *)((char *)memory - LINE_BYTES);
    sim_check_free((uintptr_t)memory, bytes, site);
    memset(sim->line_states + offset / LINE_BYTES, LINE_FREED, bytes / LINE_BYTES);
    sim->live_blocks--;
}

bool sp__alloc_fail_at(int64_t n, bool for_good)
{
    sim->n_allocations = 0;
    sim->fail_allocation = (int32_t)n;
    sim->fails_for_good = for_good;
    return true;
}

void *sp__alloc_sparse(size_t size)
{
    return sp__alloc(size);
}

void sp__free_sparse(void *memory)
{
    sp__free(memory);
}
