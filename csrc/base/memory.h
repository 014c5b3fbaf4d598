/*
 * memory.h - allocation, in one place, so that a test can make it fail.
 */
#ifndef SP_BASE_MEMORY_H
#define SP_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Zeroed memory of at least `size` bytes, aligned to SP_CACHE_LINE; NULL when
 * there is none. Free with sp__free(). Thread-safe.
 */
void *sp__alloc(size_t size);

/** The same for much memory of which little may be used: what is not touched costs
 * nothing. Free with sp__free_sparse(). */
void *sp__alloc_sparse(size_t size);
void sp__free_sparse(void *memory);

/** Free what sp__alloc() returned. NULL is allowed. */
void sp__free(void *memory);

/**
 * Tests: let the n-th allocation from now (0 = the next) and, when `for_good`,
 * all after it fail. A negative n ends that. Does nothing in release builds, and
 * returns false.
 */
bool sp__alloc_fail_at(int64_t n, bool for_good);

#endif /* SP_BASE_MEMORY_H */
