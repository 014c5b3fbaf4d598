/*
 * topology.h - the order in which to use CPUs. See topology.c.
 */
#ifndef SP_BASE_TOPOLOGY_H
#define SP_BASE_TOPOLOGY_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Sort `n` CPU numbers by how workers that are pinned one by one should use them.
 * Compact: those that share most first, so that few workers share caches. Spread: one
 * of each core first, packages in turn, so that few workers share as little as they can.
 *
 * `root` is where /sys/devices/system/cpu is looked for: "" but in tests. A CPU of which
 * nothing is known is a core of its own.
 */
void sp__topology_sort(const char *root, uint32_t *cpus, uint32_t n, bool spread);

#endif /* SP_BASE_TOPOLOGY_H */
