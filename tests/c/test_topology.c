/* base/topology.h, on machines that are made of files. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/topology.h"
#include "check.h"

static char root[] = "/tmp/stealpool-topology-XXXXXX";

static void write_file(const char *path, int number)
{
    FILE *file = fopen(path, "w");
    CHECK(file, "%s", path);
    fprintf(file, "%d\n", number);
    fclose(file);
}

static void make_folders(char *path)
{
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
}

static void add_cpu(int cpu, int package, int core)
{
    char path[256];
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/topology/core_id",
             root, cpu);
    make_folders(path);
    write_file(path, core);
    snprintf(path, sizeof path,
             "%s/sys/devices/system/cpu/cpu%d/topology/physical_package_id", root, cpu);
    write_file(path, package);
}

static void check_order(bool spread, uint32_t n, const uint32_t *cpus,
                        const uint32_t *wanted)
{
    uint32_t sorted[16];
    memcpy(sorted, cpus, n * sizeof *cpus);
    sp__topology_sort(root, sorted, n, spread);
    for (uint32_t i = 0; i < n; i++)
        CHECK_EQ(sorted[i], wanted[i], "at %u", i);
}

/* As Linux counts: two packages of two cores of two threads; first all cores. */
static void make_big_machine(void)
{
    for (int cpu = 0; cpu < 8; cpu++)
        add_cpu(cpu, cpu % 4 / 2, cpu % 2);
}

static void compact_fills_a_core_then_a_package(void)
{
    check_order(false, 8, (uint32_t[]){0, 1, 2, 3, 4, 5, 6, 7},
                (uint32_t[]){0, 4, 1, 5, 2, 6, 3, 7});
}

static void spread_takes_packages_in_turn_and_siblings_last(void)
{
    check_order(true, 8, (uint32_t[]){0, 1, 2, 3, 4, 5, 6, 7},
                (uint32_t[]){0, 2, 1, 3, 4, 6, 5, 7});
}

static void only_the_cpus_that_are_given_count(void)
{
    check_order(true, 4, (uint32_t[]){1, 5, 6, 2}, (uint32_t[]){1, 2, 5, 6});
    check_order(false, 3, (uint32_t[]){7, 5, 1}, (uint32_t[]){1, 5, 7});
    check_order(true, 1, (uint32_t[]){3}, (uint32_t[]){3});
}

static void unknown_cpus_are_cores_of_their_own(void)
{
    check_order(true, 3, (uint32_t[]){12, 11, 10}, (uint32_t[]){10, 11, 12});
    check_order(false, 3, (uint32_t[]){12, 11, 10}, (uint32_t[]){10, 11, 12});
}

/* Negative, or no number: as if the file were not there. */
static void nonsense_is_as_good_as_nothing(void)
{
    char path[256];
    for (int cpu = 20; cpu < 23; cpu++)
        add_cpu(cpu, -1, cpu == 21 ? -1 : 22 - cpu);
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu22/topology/core_id",
             root);
    FILE *file = fopen(path, "w");
    CHECK(file);
    fputs("none\n", file);
    fclose(file);
    check_order(false, 3, (uint32_t[]){22, 21, 20}, (uint32_t[]){20, 21, 22});
}

static void without_memory_or_a_root_any_order_will_do(void)
{
    uint32_t cpus[] = {5, 1, 7};
    if (sp__alloc_fail_at(0, false))
        sp__topology_sort(root, cpus, 3, true);
    sp__alloc_fail_at(-1, false);
    CHECK_EQ(cpus[0] + cpus[1] + cpus[2], 13);
    static char long_root[5000];
    memset(long_root, 'x', sizeof long_root - 1);
    sp__topology_sort(long_root, cpus, 3, false);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(cpus[i], ((uint32_t[]){1, 5, 7})[i]);
}

int main(void)
{
    CHECK(mkdtemp(root));
    make_big_machine();
    RUN(compact_fills_a_core_then_a_package);
    RUN(spread_takes_packages_in_turn_and_siblings_last);
    RUN(only_the_cpus_that_are_given_count);
    RUN(unknown_cpus_are_cores_of_their_own);
    RUN(nonsense_is_as_good_as_nothing);
    RUN(without_memory_or_a_root_any_order_will_do);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}
