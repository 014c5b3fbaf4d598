#include "base/topology.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

struct cpu {
    uint32_t number;
    int64_t package;
    int64_t core; /* within its package */
    /* Counted from 0, among the CPUs that are sorted: */
    uint32_t sibling; /* of its core */
    uint32_t nth;     /* of its package's cores */
};

static int64_t read_number(const char *root, uint32_t cpu, const char *name,
                           int64_t if_unknown)
{
    char path[PATH_MAX];
    long long number;
    if (snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%u/topology/%s", root,
                 cpu, name) >= (int)sizeof path)
        return if_unknown;
    FILE *file = fopen(path, "re");
    if (!file)
        return if_unknown;
    bool ok = fscanf(file, "%lld", &number) == 1 && number >= 0;
    fclose(file);
    return ok ? number : if_unknown;
}

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_compact(const void *left, const void *right)
{
    const struct cpu *a = left, *b = right;
    int order = compare(a->package, b->package);
    if (order == 0)
        order = compare(a->core, b->core);
    return order ? order : compare(a->number, b->number);
}

static int compare_spread(const void *left, const void *right)
{
    const struct cpu *a = left, *b = right;
    int order = compare(a->sibling, b->sibling);
    if (order == 0)
        order = compare(a->nth, b->nth);
    return order ? order : compare_compact(left, right);
}

/* Of CPUs that are sorted compactly. */
static void count_within(struct cpu *cpus, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct cpu *cpu = &cpus[i], *last = cpu - 1;
        if (cpu->package != last->package)
            continue;
        bool same_core = cpu->core == last->core;
        cpu->sibling = same_core ? last->sibling + 1 : 0;
        cpu->nth = same_core ? last->nth : last->nth + 1;
    }
}

void sp__topology_sort(const char *root, uint32_t *cpus, uint32_t n, bool spread)
{
    struct cpu *table = sp__alloc(n * sizeof *table);
    if (!table)
        return; /* any order works */
    for (uint32_t i = 0; i < n; i++) {
        table[i].number = cpus[i];
        table[i].package = read_number(root, cpus[i], "physical_package_id", 0);
        table[i].core =
            read_number(root, cpus[i], "core_id", (int64_t)INT32_MAX + cpus[i]);
    }
    qsort(table, n, sizeof *table, compare_compact);
    if (spread) {
        count_within(table, n);
        qsort(table, n, sizeof *table, compare_spread);
    }
    for (uint32_t i = 0; i < n; i++)
        cpus[i] = table[i].number;
    sp__free(table);
}
