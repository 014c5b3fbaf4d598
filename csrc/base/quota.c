#define _GNU_SOURCE

#include "base/quota.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "stealpool.h"

#define LINE_BYTES (2 * PATH_MAX)

/* Where this process's cgroup with the cpu controller is. */
struct cgroup {
    bool is_v1;
    char path[PATH_MAX];       /* of the cgroup, within its hierarchy */
    char mount[PATH_MAX];      /* where the hierarchy is mounted */
    char mount_root[PATH_MAX]; /* which of its cgroups is mounted there */
};

static FILE *open_under(const char *root, const char *path)
{
    char full[2 * PATH_MAX];
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
        return NULL;
    return fopen(full, "re");
}

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += n)
        if ((at == list || at[-1] == ',') && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

static bool copy_path(char *to, const char *from)
{
    size_t n = strlen(from);
    if (n >= PATH_MAX)
        return false;
    memcpy(to, from, n + 1);
    return true;
}

/* Lines read "hierarchy:controllers:path"; v2 is "0::path". */
static bool find_path(const char *root, struct cgroup *group)
{
    FILE *file = open_under(root, "/proc/self/cgroup");
    char line[LINE_BYTES];
    bool found = false;

    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        controllers++;
        bool is_v1 = has_word(controllers, "cpu");
        if (is_v1 || (!found && *controllers == '\0')) {
            found = copy_path(group->path, path);
            group->is_v1 = is_v1;
        }
        if (is_v1)
            break;
    }
    if (file)
        fclose(file);
    return found;
}

/* mountinfo: "id parent major:minor root mountpoint options ... - type source
 * superoptions" (proc(5)). */
static bool find_mount(const char *root, struct cgroup *group)
{
    FILE *file = open_under(root, "/proc/self/mountinfo");
    char line[LINE_BYTES];
    bool found = false;

    while (file && !found && fgets(line, sizeof line, file)) {
        char type[32], super[512];
        char *tail = strstr(line, " - ");
        if (!tail || sscanf(tail, " - %31s %*s %511s", type, super) != 2)
            continue;
        bool fits = group->is_v1 ? !strcmp(type, "cgroup") && has_word(super, "cpu")
                                 : !strcmp(type, "cgroup2");
        char *save = NULL;
        char *field = strtok_r(line, " ", &save);
        for (int skip = 0; skip < 3; skip++)
            field = strtok_r(NULL, " ", &save); /* the tail alone has four */
        char *mountpoint = strtok_r(NULL, " ", &save);
        if (fits && mountpoint)
            found = copy_path(group->mount_root, field) &&
                    copy_path(group->mount, mountpoint);
    }
    if (file)
        fclose(file);
    return found;
}

static bool read_number(const char *root, const char *folder, const char *name,
                        long long *ret_number)
{
    char path[2 * PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    FILE *file = open_under(root, path);
    bool ok = file && fscanf(file, "%lld", ret_number) == 1;
    if (file)
        fclose(file);
    return ok;
}

static bool read_v2(const char *root, const char *folder, long long *ret_quota,
                    long long *ret_period)
{
    char path[2 * PATH_MAX];
    if (snprintf(path, sizeof path, "%s/cpu.max", folder) >= (int)sizeof path)
        return false;
    FILE *file = open_under(root, path);
    /* "max 100000" has no number in front, and no quota. */
    bool ok = file && fscanf(file, "%lld %lld", ret_quota, ret_period) == 2;
    if (file)
        fclose(file);
    return ok;
}

/* CPUs allowed by the cgroup in `folder` itself; 0 = any. */
static uint32_t folder_cpus(const char *root, const char *folder, bool is_v1)
{
    long long quota = -1, period = 0;
    bool ok = is_v1 ? read_number(root, folder, "cpu.cfs_quota_us", &quota) &&
                          read_number(root, folder, "cpu.cfs_period_us", &period)
                    : read_v2(root, folder, &quota, &period);
    if (!ok || quota <= 0 || period <= 0)
        return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > UINT32_MAX ? 0 : (uint32_t)cpus;
}

uint32_t sp__quota_cpus(const char *root)
{
    struct cgroup group;
    if (!find_path(root, &group) || !find_mount(root, &group))
        return 0;

    /* A container sees its own cgroup mounted at the root of the hierarchy. */
    const char *below = group.path;
    size_t n = strlen(group.mount_root);
    if (n > 1 && !strncmp(below, group.mount_root, n) &&
        (below[n] == '/' || below[n] == '\0'))
        below += n;
    else if (n > 1)
        below = "";

    char folder[2 * PATH_MAX];
    snprintf(folder, sizeof folder, "%s%s", group.mount, below);
    size_t stop = strlen(group.mount);
    uint32_t least = 0;
    for (;;) {
        uint32_t cpus = folder_cpus(root, folder, group.is_v1);
        if (cpus && (!least || cpus < least))
            least = cpus;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < stop)
            return least;
        *slash = '\0';
    }
}

uint32_t sp_cpu_quota(void)
{
    return sp__quota_cpus("");
}

uint32_t sp_usable_cpus(void)
{
    uint32_t cpus = sp__os_affinity_cpus();
    uint32_t quota = sp_cpu_quota();
    return quota && quota < cpus ? quota : cpus;
}
