/*
 * The program: which scenarios, which seeds; and the report of a failure.
 *
 *     sim --list
 *     sim [--schedules N] [--base SEED] [--seconds S] [scenario ...]
 *     sim --seed SEED [--trace] scenario
 *     sim --search PREEMPTIONS [--stale N] [--schedules N] [scenario ...]
 *     sim --litmus | --outcomes ...
 *     sim --sites ... | --weaken=SITE=ORDER ...
 *
 * Ends with 0; with 1 for a failure, after a report with the seed; with 2 when it
 * was called wrongly.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim_core.h"

extern char __data_start[], _end[], __executable_start[];

#define SIGNAL_STACK_BYTES ((size_t)1 << 16)

static struct sim_scenario *scenarios;

void sim_register(struct sim_scenario *scenario)
{
    struct sim_scenario **at = &scenarios;
    while (*at && strcmp((*at)->name, scenario->name) < 0)
        at = &(*at)->next;
    scenario->next = *at;
    *at = scenario;
}

/* ------------------------------------------------------------------ report */

static void print_site(uintptr_t site)
{
    char command[512];
    char exe[256];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0 || !site)
        return;
    exe[n] = '\0';
    fflush(stderr);
    snprintf(command, sizeof command, "addr2line -pfise '%s' %#zx 1>&2 || true", exe,
             (size_t)(site - 1 - sim->image_base));
    if (system(command)) {
    }
}

static void print_thread(const struct thread *thread)
{
    static const char *const states[] = {"unused", "can run", "sleeps", "joins",
                                         "has ended"};
    fprintf(stderr, "  thread %u (%s) %s", thread->id, thread->name,
            states[thread->state]);
    if (thread->state == ASLEEP)
        fprintf(stderr, " on %#zx", (size_t)thread->word);
    if (thread->state == JOINING)
        fprintf(stderr, " thread %u", thread->joins->id);
    fprintf(stderr, "%s, last at ", thread == sim->current ? ", current" : "");
    if (thread->last_site)
        print_site(thread->last_site);
    else
        fprintf(stderr, "its start\n");
}

static _Noreturn void report(void)
{
    sim->is_running = false;
    for (uint32_t i = 0; i < sim->n_threads; i++)
        print_thread(&sim->threads[i]);
    fprintf(stderr, "  scenario %s, %s, schedule %u of this run, step %u\n",
            sim->scenario_name,
            sim->strategy == DFS   ? "search"
            : sim->strategy == PCT ? "priorities"
                                   : "random walk",
            sim->schedule, sim->steps);
    if (sim->strategy != DFS)
        fprintf(stderr, "  again: sim --seed %" PRIu64 " --trace %s\n", sim->seed,
                sim->scenario_name);
    fflush(stderr);
    _exit(1);
}

void sim_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("sim: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    report();
}

static void on_signal(int number)
{
    signal(SIGSEGV, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    if (!sim->is_running)
        raise(number);
    fprintf(stderr, "sim: %s\n", number == SIGABRT ? "a check failed" : "a crash");
    report();
}

void sim_trace(const char *what, const struct location *location, uint64_t value,
               int order, int old_by)
{
    static const char *const orders[] = {"relaxed", "consume", "acquire",
                                         "release", "acq_rel", "seq_cst"};
    const struct thread *me = sim->current;
    fprintf(stderr, "%5u thread %u %-6s", sim->steps, me->id, what);
    if (location)
        fprintf(stderr, " #%-3td %#-16" PRIx64 " %s", location - sim->locations, value,
                orders[order]);
    if (old_by)
        fprintf(stderr, ", %d writes ago", old_by);
    fputs("  at ", stderr);
    print_site(me->last_site);
}

/* ---------------------------------------------------------------- scenarios */

unsigned sim_spawn(void (*run)(void *), void *arg)
{
    sim_step();
    return sim_new_thread(run, arg, "outside")->id;
}

void sim_join(unsigned thread)
{
    struct sp__os_thread handle = {.handle = thread};
    sp__os_thread_join(&handle);
}

uint32_t sim_choose(uint32_t n)
{
    return sim_decide(n);
}

void sim_no_more_faults(void)
{
    sim->fail_allocation = -1;
    sim->fail_thread = -1;
}

uint32_t sim_allocations(void)
{
    return sim->n_allocations;
}

void sim_outcome(uint32_t outcome)
{
    if (outcome >= MAX_OUTCOMES)
        sim_fail("outcome %u, of at most %d", outcome, MAX_OUTCOMES);
    sim->outcomes[outcome]++;
}

/* -------------------------------------------------------------------- set up */

static void *map(void *address, size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (address)
        flags |= MAP_FIXED_NOREPLACE;
    void *memory = mmap(address, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) {
        perror("sim: mmap");
        exit(2);
    }
    return memory;
}

static int find_tls(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS) {
            sim->tls_begin = (uintptr_t)info->dlpi_tls_data;
            sim->tls_bytes = info->dlpi_phdr[i].p_memsz;
        }
    return 1; /* the program itself comes first */
}

static struct region new_region(uintptr_t begin, uintptr_t end)
{
    size_t lines = (end - begin) / LINE_BYTES + 1;
    struct cell *cells = map(NULL, lines * (LINE_BYTES / 4) * sizeof(struct cell));
    return (struct region){begin, end, cells, map(NULL, lines * sizeof(struct line))};
}

/* Before all other constructors, whose accesses come by as well. */
__attribute__((constructor(101))) static void set_up(void)
{
    map((void *)SIM_ADDRESS, sizeof(struct simulation));
    map((void *)BLOCK_ADDRESS, BLOCK_BYTES);
    sim->image_base = (uintptr_t)__executable_start;
    sim->block = new_region(BLOCK_ADDRESS, BLOCK_ADDRESS + BLOCK_BYTES);
    uintptr_t data = ((uintptr_t)__data_start + 7) & ~(uintptr_t)7;
    sim->data = new_region(data, (uintptr_t)_end);
    sim->is_counter = map(NULL, (sim->data.end - sim->data.begin) / 8 + 1);
    sim->line_states = map(NULL, HEAP_BYTES / LINE_BYTES + 1);
    sim->released = map(NULL, (size_t)256 << 20);
    dl_iterate_phdr(find_tls, NULL);
    if (sim->tls_bytes > TLS_BYTES) {
        fprintf(stderr, "sim: %zu bytes of thread-local state, more than %d\n",
                sim->tls_bytes, TLS_BYTES);
        exit(2);
    }
    sim->first_tls = map(NULL, TLS_BYTES);
    memcpy(sim->first_tls, (void *)sim->tls_begin, sim->tls_bytes);

    stack_t stack = {.ss_sp = map(NULL, SIGNAL_STACK_BYTES),
                     .ss_size = SIGNAL_STACK_BYTES};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
}

/* In a build that counts coverage: the counters, which no schedule puts back. */
static void keep_counters(void)
{
    char command[512];
    char exe[256];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    snprintf(command, sizeof command, "nm -nS '%s' | grep ' b __gcov'", exe);
    FILE *list = popen(command, "r");
    size_t address, size;
    while (list && fscanf(list, "%zx %zx %*c %*s", &address, &size) == 2) {
        if (sim->n_counters == sizeof sim->counters / sizeof *sim->counters)
            break;
        address += sim->image_base;
        if (address < sim->data.begin)
            continue; /* a function */
        sim->counters[sim->n_counters].begin = address;
        sim->counters[sim->n_counters++].end = address + size;
        memset(sim->is_counter + (address - sim->data.begin) / 8, 1, (size + 7) / 8);
    }
    if (list)
        pclose(list);
}

extern void __gcov_init(void) __attribute__((weak));

/* From here on nothing static may change but by the schedules. */
static void keep_first_data(void)
{
    size_t bytes = sim->data.end - sim->data.begin;
    sim->first_data = map(NULL, bytes);
    memcpy(sim->first_data, (void *)sim->data.begin, bytes);
    if (__gcov_init)
        keep_counters();
}

/* --------------------------------------------------------------------- runs */

struct options {
    uint64_t schedules;
    uint64_t base;
    double seconds;
    int preemptions; /* search with so many; -1: random */
    int stale;
    bool prints_outcomes;
    bool litmus;
    int n_names;
    char **names;
};

static double seconds_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static bool is_wanted(const struct options *options, const struct sim_scenario *one)
{
    for (int i = 0; i < options->n_names; i++)
        if (strcmp(options->names[i], one->name) == 0)
            return true;
    return options->n_names == 0 && one->is_litmus == options->litmus;
}

static unsigned share_of(const struct sim_scenario *scenario)
{
    return scenario->share ? scenario->share : 1;
}

static void prepare_search(const struct options *options)
{
    sim->strategy = DFS;
    sim->stale_left = (uint32_t)options->stale;
    sim->preemptions_left = (uint32_t)options->preemptions;
    sim->spurious_left = 0;
    sim->fail_allocation = -1;
    sim->fail_thread = -1;
    sim->trail_used = 0;
}

/* Returns how many schedules were made; negative when the search is complete. */
static int64_t run(const struct options *options, const struct sim_scenario *scenario,
                   uint64_t schedules, double seconds)
{
    double end = seconds_now() + seconds;
    sim->scenario = scenario->run;
    sim->scenario_name = scenario->name;
    sim->may_fail_allocation = scenario->fails_memory;
    sim->may_fail_thread = scenario->fails_threads;
    sim->may_keep = scenario->keeps;
    sim->trail_fixed = 0;
    memset(sim->outcomes, 0, sizeof sim->outcomes);
    for (uint64_t i = 0; i < schedules; i++) {
        sim->seed = options->base + i;
        if (options->preemptions >= 0)
            prepare_search(options);
        sim_run_schedule();
        if (options->preemptions >= 0 && !sim_next_dfs())
            return -(int64_t)(i + 1);
        if (seconds > 0 && i % 256 == 255 && seconds_now() > end)
            return (int64_t)(i + 1);
    }
    return (int64_t)schedules;
}

/* In a process of its own, for a failure ends it. */
static void must_fail(const struct options *options, const struct sim_scenario *one,
                      uint64_t schedules)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        run(options, one, schedules, 0);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 1)
        sim_fail("%s: no failure was found, and there is one", one->name);
    printf("%-52s %9s\n", one->name, "fails");
}

static void check_outcomes(const struct options *options,
                           const struct sim_scenario *scenario)
{
    uint64_t found = 0;
    for (int i = 0; i < MAX_OUTCOMES; i++) {
        if (sim->outcomes[i])
            found |= (uint64_t)1 << i;
        if (options->prints_outcomes && sim->outcomes[i])
            printf("    outcome %d: %" PRIu64 "\n", i, sim->outcomes[i]);
    }
    if (found != scenario->outcomes)
        sim_fail("outcomes %#" PRIx64 ", which should be %#" PRIx64, found,
                 scenario->outcomes);
}

static void run_all(const struct options *options)
{
    unsigned shares = 0;
    unsigned searched = 0;
    unsigned n_complete = 0;
    uint64_t sum = 0;
    double start = seconds_now();
    for (struct sim_scenario *s = scenarios; s; s = s->next)
        if (is_wanted(options, s))
            shares += share_of(s);
    for (struct sim_scenario *s = scenarios; s; s = s->next) {
        if (!is_wanted(options, s))
            continue;
        double part = (double)share_of(s) / shares;
        uint64_t schedules = (uint64_t)((double)options->schedules * part + 0.5);
        if (s->must_fail) {
            must_fail(options, s, schedules ? schedules : 1);
            continue;
        }
        uint64_t steps = sim->total_steps;
        double before = seconds_now();
        int64_t n = run(options, s, schedules ? schedules : 1, options->seconds * part);
        double spent = seconds_now() - before;
        bool complete = n < 0;
        uint64_t made = (uint64_t)(complete ? -n : n);
        sum += made;
        searched += options->preemptions >= 0;
        n_complete += complete;
        printf("%-52s %9" PRIu64 " schedules %6.1f steps %7.2f us%s\n", s->name, made,
               (double)(sim->total_steps - steps) / (double)made,
               spent * 1e6 / (double)made, complete ? "  all" : "");
        if (options->schedules > 1)
            check_outcomes(options, s);
    }
    printf("%" PRIu64 " schedules, %" PRIu64 " steps, %.1f s, no failure", sum,
           sim->total_steps, seconds_now() - start);
    if (searched)
        printf(", %u of %u searched to the end", n_complete, searched);
    printf("\n");
    for (uint32_t i = 0; i < sim->n_sites; i++)
        printf("site %#zx %c %d\n", (size_t)(sim->sites[i].site - sim->image_base),
               sim->sites[i].kind, sim->sites[i].order);
}

static _Noreturn void usage(const char *what)
{
    fprintf(stderr, "sim: %s; see the head of tests/sim/sim_main.c\n", what);
    exit(2);
}

static void weaken(const char *text)
{
    char *end;
    uintptr_t site = strtoull(text, &end, 0);
    if (*end != '=' || sim->n_weakened == MAX_WEAKENED)
        usage("--weaken=SITE=ORDER");
    sim->weakened[sim->n_weakened].site = site + sim->image_base;
    sim->weakened[sim->n_weakened++].order = atoi(end + 1);
}

static const char *value_of(char **args, int *i)
{
    if (!args[*i + 1])
        usage("an option lacks its value");
    return args[++*i];
}

static void parse(struct options *options, char **args)
{
    for (int i = 1; args[i]; i++) {
        const char *arg = args[i];
        if (strcmp(arg, "--list") == 0) {
            for (struct sim_scenario *s = scenarios; s; s = s->next)
                printf("%s%s\n", s->is_litmus ? "litmus " : "", s->name);
            exit(0);
        } else if (strcmp(arg, "--schedules") == 0)
            options->schedules = strtoull(value_of(args, &i), NULL, 0);
        else if (strcmp(arg, "--base") == 0)
            options->base = strtoull(value_of(args, &i), NULL, 0);
        else if (strcmp(arg, "--seconds") == 0)
            options->seconds = strtod(value_of(args, &i), NULL);
        else if (strcmp(arg, "--seed") == 0) {
            options->base = strtoull(value_of(args, &i), NULL, 0);
            options->schedules = 1;
        } else if (strcmp(arg, "--search") == 0)
            options->preemptions = atoi(value_of(args, &i));
        else if (strcmp(arg, "--stale") == 0)
            options->stale = atoi(value_of(args, &i));
        else if (strcmp(arg, "--trace") == 0)
            sim->traces = true;
        else if (strcmp(arg, "--sites") == 0)
            sim->lists_sites = true;
        else if (strcmp(arg, "--outcomes") == 0)
            options->prints_outcomes = true;
        else if (strcmp(arg, "--litmus") == 0)
            options->litmus = true;
        else if (strncmp(arg, "--weaken=", 9) == 0)
            weaken(arg + 9);
        else if (arg[0] == '-')
            usage(arg);
        else
            options->names[options->n_names++] = args[i];
    }
}

static void check_names(const struct options *options)
{
    for (int i = 0; i < options->n_names; i++) {
        struct sim_scenario *s = scenarios;
        while (s && strcmp(s->name, options->names[i]) != 0)
            s = s->next;
        if (!s)
            usage(options->names[i]);
    }
}

int main(int n_args, char **args)
{
    struct options options = {
        .schedules = 100000, .base = 1, .preemptions = -1, .stale = 2};
    options.names = calloc((size_t)n_args + 1, sizeof *options.names);
    parse(&options, args);
    check_names(&options);
    setvbuf(stdout, NULL, _IOLBF, 0);
    keep_first_data();
    run_all(&options);
    return 0;
}
