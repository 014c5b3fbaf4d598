/* base/quota.h, on made-up /proc and /sys folders. */
#define _GNU_SOURCE

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "base/quota.h"
#include "check.h"
#include "stealpool.h"

/* A folder that stands for "/", with what a test has put there. */
static char root[PATH_MAX / 4];
static char made[32][PATH_MAX];
static int n_made;

static void note(const char *path)
{
    CHECK(n_made < 32);
    snprintf(made[n_made++], PATH_MAX, "%s", path);
}

static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(full, 0700) == 0)
            note(full);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    CHECK(file, "%s", full);
    fputs(text, file);
    fclose(file);
    note(full);
}

static void begin(void)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/quota-XXXXXX", temporary ? temporary : "/tmp");
    CHECK(mkdtemp(root));
    n_made = 0;
}

static void end(void)
{
    while (n_made > 0)
        remove(made[--n_made]);
    CHECK_EQ(rmdir(root), 0, "%s", root);
}

#define V2_MOUNT                             \
    "22 26 0:20 / /proc rw - proc proc rw\n" \
    "31 26 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT                                                        \
    "30 26 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n" \
    "31 26 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"

static void put_v2(const char *path)
{
    put("/proc/self/cgroup", path);
    put("/proc/self/mountinfo", V2_MOUNT);
}

static void v2_quota_is_rounded_up(void)
{
    static const struct {
        const char *text;
        uint32_t cpus;
    } cases[] = {
        {"200000 100000\n", 2}, {"150000 100000\n", 2},
        {"100001 100000\n", 2}, {"100000 100000\n", 1},
        {"1000 100000\n", 1},   {"max 100000\n", 0},
        {"max\n", 0},           {"", 0},
        {"200000\n", 0},        {"0 100000\n", 0},
        {"200000 0\n", 0},      {"9000000000000000 1\n", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        put_v2("0::/a\n");
        put("/sys/fs/cgroup/a/cpu.max", cases[i].text);
        CHECK_EQ(sp__quota_cpus(root), cases[i].cpus, "\"%s\"", cases[i].text);
        end();
    }
}

static void the_tightest_ancestor_counts(void)
{
    begin();
    put_v2("0::/a/b/c\n");
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "200000 100000\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "700000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 2);
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 1);
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 1);
    end();
}

static void nothing_outside_the_mount_counts(void)
{
    begin();
    put_v2("0::/\n");
    put("/sys/fs/cpu.max", "100000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 0);
    put("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 4);
    end();
}

static void v1_reads_quota_and_period(void)
{
    begin();
    put("/proc/self/cgroup", "4:cpuset:/x\n3:cpu,cpuacct:/a\n1:name=systemd:/\n");
    put("/proc/self/mountinfo", V1_MOUNT);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    CHECK_EQ(sp__quota_cpus(root), 0, "without a period");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(sp__quota_cpus(root), 3);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
    CHECK_EQ(sp__quota_cpus(root), 0);
    end();
}

static void a_v1_cpu_controller_wins_over_v2(void)
{
    begin();
    put("/proc/self/cgroup", "0::/a\n3:cpuacct,cpu:/a\n");
    put("/proc/self/mountinfo", V2_MOUNT V1_MOUNT);
    put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "500000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(sp__quota_cpus(root), 5);
    end();
}

static void cpuset_is_not_the_cpu_controller(void)
{
    begin();
    put("/proc/self/cgroup", "4:cpuset:/a\n3:cpuacct:/a\n");
    put("/proc/self/mountinfo", V1_MOUNT);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(sp__quota_cpus(root), 0);
    end();
}

static void a_container_sees_its_cgroup_as_the_root(void)
{
    begin();
    put("/proc/self/cgroup", "0::/docker/abc/inner\n");
    put("/proc/self/mountinfo",
        "31 26 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
    put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    put("/sys/fs/cgroup/inner/cpu.max", "600000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 3);
    end();
}

static void a_mount_of_another_cgroup_counts_as_it_is(void)
{
    begin();
    put("/proc/self/cgroup", "0::/docker/abcdef\n");
    put("/proc/self/mountinfo",
        "31 26 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
    put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 3);
    end();
}

static void what_cannot_be_read_limits_nothing(void)
{
    begin();
    CHECK_EQ(sp__quota_cpus(root), 0, "no /proc");
    put("/proc/self/cgroup", "0::/a\n");
    CHECK_EQ(sp__quota_cpus(root), 0, "no mountinfo");
    put("/proc/self/mountinfo", "22 26 0:20 / /proc rw - proc proc rw\n");
    CHECK_EQ(sp__quota_cpus(root), 0, "no cgroup mount");
    put("/proc/self/mountinfo", V2_MOUNT);
    CHECK_EQ(sp__quota_cpus(root), 0, "no cpu.max");
    put("/proc/self/mountinfo", "nonsense\n - \n31 - cgroup2 x y\n\n");
    put("/proc/self/cgroup", "nonsense\n:\n::\n");
    CHECK_EQ(sp__quota_cpus(root), 0, "nonsense");
    end();
}

static void a_line_without_a_mountpoint_is_skipped(void)
{
    begin();
    put("/proc/self/cgroup", "0::/a\n");
    put("/proc/self/mountinfo", " - cgroup2 x y\n" V2_MOUNT);
    put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 1);
    end();
}

static void a_controller_is_a_whole_word(void)
{
    static const char *const lists[] = {"xcpu", "cpux", "cpuset,xcpu", "cpux,xcpu,"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        begin();
        char line[100];
        snprintf(line, sizeof line, "3:%s:/a\n", lists[i]);
        put("/proc/self/cgroup", line);
        put("/proc/self/mountinfo", V1_MOUNT);
        CHECK_EQ(sp__quota_cpus(root), 0, "%s", lists[i]);
        end();
    }
}

/* The first line with nothing between the colons is v2's; a named hierarchy is not. */
static void of_two_v2_lines_the_first_counts(void)
{
    begin();
    put_v2("0::/a\n0::/b\n1:name=systemd:/b\n");
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    put("/sys/fs/cgroup/b/cpu.max", "100000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 3);
    end();
}

static void a_number_that_is_none_limits_nothing(void)
{
    begin();
    put("/proc/self/cgroup", "3:cpu,cpuacct:/a\n");
    put("/proc/self/mountinfo", V1_MOUNT);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "many\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(sp__quota_cpus(root), 0);
    end();
}

/* Our own cgroup is the mounted one, or lies beside it. */
static void the_mounted_cgroup_may_be_our_own(void)
{
    static const struct {
        const char *path;
        uint32_t cpus;
    } cases[] = {{"0::/docker/abc\n", 3}, {"0::/docker/xyz/inner\n", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        put("/proc/self/cgroup", cases[i].path);
        put("/proc/self/mountinfo",
            "31 26 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
        put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
        put("/sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
        CHECK_EQ(sp__quota_cpus(root), cases[i].cpus, "%s", cases[i].path);
        end();
    }
}

static void a_path_that_is_too_long_limits_nothing(void)
{
    static char text[3 * PATH_MAX];
    char name[PATH_MAX + 10];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    begin();
    snprintf(text, sizeof text, "0::/%s\n", name); /* a cgroup's */
    put_v2(text);
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    CHECK_EQ(sp__quota_cpus(root), 0);
    put("/proc/self/cgroup", "0::/a\n");
    snprintf(text, sizeof text, "31 26 0:27 / /%s rw - cgroup2 x y\n", name);
    put("/proc/self/mountinfo", text); /* a mount's */
    CHECK_EQ(sp__quota_cpus(root), 0);
    snprintf(text, sizeof text, "31 26 0:27 /%s /a rw - cgroup2 x y\n", name);
    put("/proc/self/mountinfo", text); /* its root's */
    CHECK_EQ(sp__quota_cpus(root), 0);

    /* Each fits, but not both together. */
    name[PATH_MAX - 2] = '\0';
    snprintf(text, sizeof text, "0::/%s\n", name);
    put("/proc/self/cgroup", text);
    snprintf(text, sizeof text, "31 26 0:27 / /%s rw - cgroup2 x y\n", name);
    put("/proc/self/mountinfo", text);
    CHECK_EQ(sp__quota_cpus(root), 0);
    snprintf(text, sizeof text, "3:cpu:/%s\n", name);
    put("/proc/self/cgroup", text);
    snprintf(text, sizeof text, "31 26 0:27 / /%s rw - cgroup x cpu\n", name);
    put("/proc/self/mountinfo", text);
    CHECK_EQ(sp__quota_cpus(root), 0);
    end();

    static char long_root[3 * PATH_MAX];
    memset(long_root, 'x', sizeof long_root - 1);
    CHECK_EQ(sp__quota_cpus(long_root), 0);
}

static void the_real_files_give_an_answer(void)
{
    uint32_t affinity = sp__os_affinity_cpus();
    uint32_t quota = sp_cpu_quota();
    uint32_t usable = sp_usable_cpus();
    CHECK(usable >= 1);
    CHECK_EQ(usable, quota && quota < affinity ? quota : affinity);
}

int main(void)
{
    RUN(v2_quota_is_rounded_up);
    RUN(the_tightest_ancestor_counts);
    RUN(nothing_outside_the_mount_counts);
    RUN(v1_reads_quota_and_period);
    RUN(a_v1_cpu_controller_wins_over_v2);
    RUN(cpuset_is_not_the_cpu_controller);
    RUN(a_container_sees_its_cgroup_as_the_root);
    RUN(a_mount_of_another_cgroup_counts_as_it_is);
    RUN(what_cannot_be_read_limits_nothing);
    RUN(a_line_without_a_mountpoint_is_skipped);
    RUN(a_controller_is_a_whole_word);
    RUN(of_two_v2_lines_the_first_counts);
    RUN(a_number_that_is_none_limits_nothing);
    RUN(the_mounted_cgroup_may_be_our_own);
    RUN(a_path_that_is_too_long_limits_nothing);
    RUN(the_real_files_give_an_answer);
    return 0;
}
