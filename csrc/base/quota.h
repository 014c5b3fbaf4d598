/*
 * quota.h - how many CPUs' worth of time this process's cgroups allow it.
 *
 * Containers limit CPU time, not the number of CPUs one sees: a pool of 64
 * threads under a quota of 2 CPUs is stopped for most of every period.
 */
#ifndef SP_BASE_QUOTA_H
#define SP_BASE_QUOTA_H

#include <stdint.h>

/**
 * The smallest quota/period of the process's cgroup and all its ancestors, in
 * CPUs, rounded up; 0 when none is set or it cannot be read.
 *
 * `root` stands before every path that is read: "" for the real system, a
 * folder with a made-up /proc and /sys for a test. Reads
 * <root>/proc/self/cgroup and <root>/proc/self/mountinfo; a v1 cpu controller
 * wins over v2, as the kernel has it.
 */
uint32_t sp__quota_cpus(const char *root);

#endif /* SP_BASE_QUOTA_H */
