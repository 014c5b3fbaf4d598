/*
 * The memory: C11 atomics after RC11, one thread at a time.
 *
 * Each atomic object has its modification order, of which the last HISTORY
 * writes are kept. Each thread has a view: for each object the oldest write that
 * it may still read. A relaxed load may read any write from there on; reading,
 * or writing, moves the view on (coherence). A release store takes the writer's
 * view along in its message; an acquire load that reads the message, or one that
 * a chain of read-modify-writes made of it, joins it into its own (happens
 * before). The first part of a view is a vector clock, by which plain accesses
 * are checked for races.
 *
 * Seq-cst: the order S is the order in which the accesses are made here. A
 * seq-cst load reads nothing older than what a seq-cst access wrote or read
 * before. With happens-before and the modification order going along with S,
 * that is RC11's condition on seq-cst accesses.
 *
 * What this leaves out of RC11: a write is always the newest of its object when
 * it is made (so no 2+2W with both first writes last), and no load reads from a
 * write that is made later, which RC11 forbids as well. There are no fences, and
 * a program that uses one is refused.
 */
#include <string.h>

#include "sim_core.h"

static bool acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_CONSUME ||
           order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL ||
           order == __ATOMIC_SEQ_CST;
}

/* ------------------------------------------------------------------ views */

size_t sim_view_used(void)
{
    return MAX_THREADS + ((sim->n_locations + 7) & ~7u);
}

void sim_view_join(stamp *restrict view, const stamp *restrict other, size_t n)
{
    for (size_t i = 0; i < n; i++)
        view[i] = view[i] > other[i] ? view[i] : other[i];
}

#define RELEASED_BYTES ((size_t)256 << 20)

/* Room for a view, until the schedule ends. */
static stamp *new_view(size_t n)
{
    stamp *view = sim->released + sim->released_used;
    sim->released_used += (n + 31) & ~(size_t)31;
    if (sim->released_used > RELEASED_BYTES / sizeof(stamp))
        sim_fail("the simulator's memory for views is full");
    return view;
}

static stamp *my_view(void)
{
    return sim->current->view;
}

/* After the view went somewhere: what comes later is later. */
static void tick(void)
{
    my_view()[sim->current->id]++;
}

static stamp *view_of(struct location *location)
{
    return &my_view()[MAX_THREADS + (location - sim->locations)];
}

static bool is_before_me(unsigned thread, stamp time)
{
    return time <= my_view()[thread];
}

/* ------------------------------------------------------------------ cells */

#define CELLS (LINE_BYTES / 4) /* of a line */
_Static_assert(CELLS == 32, "a bit for each");

static struct cell *cell_in(struct region *region, uintptr_t address)
{
    uintptr_t i = (address - region->begin) / 4;
    struct line *line = &region->lines[i / CELLS];
    if (line->schedule != sim->schedule)
        *line = (struct line){.schedule = sim->schedule};
    uint32_t bit = (uint32_t)1 << i % CELLS;
    if (!(line->used & bit)) {
        line->used |= bit;
        region->cells[i] = (struct cell){0};
    }
    return &region->cells[i];
}

static bool is_in(const struct region *region, uintptr_t address)
{
    return address >= region->begin && address < region->end;
}

static struct cell *cell_of(uintptr_t address)
{
    if (is_in(&sim->block, address))
        return cell_in(&sim->block, address);
    if (is_in(&sim->data, address))
        return cell_in(&sim->data, address);
    return NULL; /* thread-local, constant, or not ours */
}

static void check_live(uintptr_t address, uintptr_t site)
{
    uintptr_t offset = address - sim->block.begin;
    if (offset < HEAP_BYTES && sim->line_states[offset / LINE_BYTES] != LINE_LIVE) {
        sim->current->last_site = site;
        sim_fail("use of memory that is %s",
                 sim->line_states[offset / LINE_BYTES] == LINE_FREED ? "freed"
                                                                     : "not allocated");
    }
}

static _Noreturn void race(const char *what, unsigned other, const char *what_other,
                           uintptr_t address, uintptr_t site)
{
    sim->current->last_site = site;
    sim_fail("data race: %s at %#zx, and thread %u %s there; neither comes first", what,
             (size_t)address, other, what_other);
}

/* A plain access next to atomic ones: all of them must come before. */
static void check_against_atomic(struct location *location, bool writes,
                                 uintptr_t address, uintptr_t site)
{
    const char *what = writes ? "plain write" : "plain read";
    for (unsigned i = 0; i < sim->n_threads; i++) {
        if (!is_before_me(i, location->writes[i]))
            race(what, i, "wrote atomically", address, site);
        if (writes && !is_before_me(i, location->reads[i]))
            race(what, i, "read atomically", address, site);
    }
}

static void plain_in_atomic(struct location *location, bool writes, uintptr_t address,
                            uintptr_t site)
{
    check_against_atomic(location, writes, address, site);
    if (!writes)
        return;
    /* One more write, whose value will be in memory when we return. */
    if (!location->history[location->newest % HISTORY].is_plain) {
        location->oldest = ++location->newest;
        location->history[location->newest % HISTORY] =
            (struct message){.is_plain = true};
    }
    *view_of(location) = location->newest;
}

/* All plain accesses that this one conflicts with must come before. */
static void check_against_plain(const struct uses *uses, bool writes, const char *what,
                                uintptr_t address, uintptr_t site)
{
    unsigned me = sim->current->id;
    if (uses->is_written && uses->writer != me &&
        !is_before_me(uses->writer, uses->write_time))
        race(what, uses->writer, "wrote", address, site);
    if (!writes)
        return;
    for (uint32_t left = uses->readers & ~(1u << me); left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);
        if (!is_before_me(i, uses->read_times[i]))
            race(what, i, "read", address, site);
    }
}

static void use(struct uses *uses, bool writes, uintptr_t address, uintptr_t site)
{
    unsigned me = sim->current->id;
    check_against_plain(uses, writes, writes ? "plain write" : "plain read", address,
                        site);
    if (writes) {
        uses->writer = (uint8_t)me;
        uses->write_time = my_view()[me];
        uses->is_written = true;
        uses->readers = 0;
    } else {
        uses->readers |= (uint8_t)(1u << me);
        uses->read_times[me] = my_view()[me];
    }
}

/* The four bytes of a cell, told apart from now on. */
static struct uses *bytes_of(struct cell *cell)
{
    if (!cell->bytes) {
        if (sim->n_bytes == MAX_BYTES)
            sim_fail("more than %d objects smaller than four bytes", MAX_BYTES);
        for (int i = 0; i < 4; i++)
            sim->bytes[sim->n_bytes][i] = cell->uses;
        cell->bytes = (uint16_t)++sim->n_bytes;
    }
    return sim->bytes[cell->bytes - 1];
}

/* Which of the four bytes at `cell` belong to an object. */
static unsigned mask_in(uintptr_t cell, uintptr_t address, size_t size)
{
    unsigned mask = 15;
    if (cell < address)
        mask &= 15u << (address - cell);
    if (address + size - cell < 4)
        mask &= 15u >> (4 - (address + size - cell));
    return mask;
}

static void plain_in_cell(struct cell *cell, unsigned mask, bool writes,
                          uintptr_t address, uintptr_t site)
{
    if (mask == 15 && !cell->bytes) {
        use(&cell->uses, writes, address, site);
    } else {
        struct uses *bytes = bytes_of(cell);
        for (unsigned i = 0; i < 4; i++)
            if (mask >> i & 1)
                use(&bytes[i], writes, address + i, site);
    }
    for (uint16_t at = cell->location; at;) {
        struct location *location = &sim->locations[at - 1];
        if (mask_in(address, location->address, location->size) & mask)
            plain_in_atomic(location, writes, address, site);
        at = location->next;
    }
}

void sim_plain(uintptr_t address, size_t size, bool writes, uintptr_t site)
{
    if (!sim->is_running)
        return;
    struct region *region = is_in(&sim->block, address)  ? &sim->block
                            : is_in(&sim->data, address) ? &sim->data
                                                         : NULL;
    if (!region)
        return;
    if (region == &sim->data && sim->is_counter[(address - sim->data.begin) / 8])
        return;
    check_live(address, site);
    uintptr_t end = address + size;
    for (uintptr_t at = address & ~(uintptr_t)3; at < end; at += 4)
        plain_in_cell(cell_in(region, at), mask_in(at, address, size), writes, at,
                      site);
}

/* A block is whole lines. To free it is to write to all of it that was used. */
void sim_check_free(uintptr_t block, size_t size, uintptr_t site)
{
    for (uintptr_t at = block; at < block + size; at += LINE_BYTES) {
        uintptr_t i = (at - sim->block.begin) / 4;
        const struct line *line = &sim->block.lines[i / CELLS];
        if (line->schedule != sim->schedule)
            continue;
        for (uint32_t used = line->used; used; used &= used - 1) {
            unsigned n = (unsigned)__builtin_ctz(used);
            plain_in_cell(&sim->block.cells[i + n], 15, true, at + 4 * n, site);
        }
    }
}

/* -------------------------------------------------------------- locations */

static uint64_t memory_at(uintptr_t address, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)address, size); /* little-endian */
    return value;
}

static void atomic_in_cell(struct cell *cell, unsigned mask, bool writes,
                           uintptr_t address, uintptr_t site)
{
    const char *what = writes ? "atomic write" : "atomic access";
    if (!cell->bytes) {
        check_against_plain(&cell->uses, writes, what, address, site);
        return;
    }
    for (unsigned i = 0; i < 4; i++)
        if (mask >> i & 1)
            check_against_plain(&sim->bytes[cell->bytes - 1][i], writes, what,
                                address + i, site);
}

/* Those of a cell's objects that a new one leaves there. */
static uint16_t without(uint16_t first, uintptr_t address, unsigned size)
{
    uint16_t left = 0;
    while (first) {
        struct location *location = &sim->locations[first - 1];
        uint16_t next = location->next;
        if (location->address + location->size <= address ||
            address + size <= location->address) {
            location->next = left;
            left = first;
        }
        first = next;
    }
    return left;
}

static struct location *new_location(uintptr_t address, unsigned size)
{
    if (sim->n_locations == MAX_LOCATIONS)
        sim_fail("more than %d atomic objects", MAX_LOCATIONS);
    struct location *location = &sim->locations[sim->n_locations++];
    memset(location, 0, offsetof(struct location, history));
    location->address = address;
    location->size = (uint8_t)size;
    location->oldest = location->newest = 1;
    location->history[1] = (struct message){.is_plain = true};
    for (uintptr_t at = address & ~(uintptr_t)3; at < address + size; at += 4) {
        struct cell *cell = cell_of(at);
        location->next = without(cell->location, address, size);
        cell->location = (uint16_t)sim->n_locations;
    }
    return location;
}

/* An atomic object in a cell; NULL: it is new. */
static struct location *find(const struct cell *cell, uintptr_t address, unsigned size)
{
    for (uint16_t at = cell->location; at;) {
        struct location *location = &sim->locations[at - 1];
        if (location->address == address && location->size == size)
            return location;
        at = location->next;
    }
    return NULL;
}

/* NULL for memory that nobody can share; accesses are then plain ones. */
static struct location *location_of(uintptr_t address, unsigned size, bool writes,
                                    uintptr_t site)
{
    if (!sim->is_running)
        return NULL;
    struct cell *cell = cell_of(address);
    if (!cell)
        return NULL;
    check_live(address, site);
    sim->current->last_site = site;
    uintptr_t begin = address & ~(uintptr_t)3;
    atomic_in_cell(cell, mask_in(begin, address, size), writes, begin, site);
    if (size == 8)
        atomic_in_cell(cell_of(address + 4), 15, writes, address + 4, site);
    struct location *location = find(cell, address, size);
    if (!location)
        location = new_location(address, size);
    struct message *newest = &location->history[location->newest % HISTORY];
    if (newest->is_plain)
        *newest = (struct message){.value = memory_at(address, size)};
    unsigned me = sim->current->id;
    if (writes)
        location->writes[me] = my_view()[me];
    else
        location->reads[me] = my_view()[me];
    return location;
}

static struct message *message_at(struct location *location, stamp at)
{
    return &location->history[at % HISTORY];
}

static void take_view(const struct message *message)
{
    if (message->released)
        sim_view_join(my_view(), message->released, message->n_released);
}

/* The oldest write that may be read. */
static stamp oldest_readable(struct location *location, int order)
{
    stamp oldest = *view_of(location);
    if (oldest < location->oldest)
        oldest = location->oldest;
    if (order == __ATOMIC_SEQ_CST && oldest < location->sc)
        oldest = location->sc;
    return oldest;
}

/* How many writes ago is the one that is read, of `n` that may be? */
static stamp staleness(stamp n)
{
    if (n <= 1 || sim->stale_left == 0)
        return 0;
    if (sim->strategy == DFS) {
        uint32_t chosen = sim_decide((uint32_t)n);
        sim->stale_left -= chosen > 0;
        return (stamp)chosen;
    }
    if (sim_random() & sim->stale_mask)
        return 0;
    sim->stale_left--;
    return (stamp)(sim_random() % (uint64_t)n);
}

static uint64_t read_at(struct location *location, stamp at, int order)
{
    struct message *message = message_at(location, at);
    if (sim->traces)
        sim_trace("reads", location, message->value, order, location->newest - at);
    *view_of(location) = at;
    if (order == __ATOMIC_SEQ_CST && location->sc < at)
        location->sc = at;
    if (acquires(order))
        take_view(message);
    return message->value;
}

static void append(struct location *location, uint64_t value, int order,
                   const struct message *before)
{
    stamp at = ++location->newest;
    if (sim->traces)
        sim_trace("writes", location, value, order, 0);
    if (location->newest - location->oldest >= HISTORY)
        location->oldest = (stamp)(location->newest - HISTORY + 1);
    *view_of(location) = at;
    if (order == __ATOMIC_SEQ_CST)
        location->sc = at;

    struct message message = {.value = value};
    if (releases(order)) {
        size_t n = sim_view_used();
        stamp *view = new_view(n);
        memcpy(view, my_view(), n * sizeof *view);
        if (before && before->released)
            sim_view_join(view, before->released, before->n_released);
        message.released = view;
        message.n_released = (uint16_t)n;
        tick();
    } else if (before) {
        message.released = before->released; /* the release sequence goes on */
        message.n_released = before->n_released;
    }
    *message_at(location, at) = message;
    memcpy((void *)location->address, &value, location->size);
    sim_wrote();
}

/* --------------------------------------------------------------- operations */

static uint64_t mask_of(unsigned size)
{
    return size == 8 ? UINT64_MAX : ((uint64_t)1 << 8 * size) - 1;
}

static void note_site(uintptr_t site, char kind, int order)
{
    for (uint32_t i = 0; i < sim->n_sites; i++)
        if (sim->sites[i].site == site)
            return;
    if (sim->n_sites < sizeof sim->sites / sizeof *sim->sites) {
        sim->sites[sim->n_sites].site = site;
        sim->sites[sim->n_sites].kind = kind;
        sim->sites[sim->n_sites++].order = order;
    }
}

/* The order of this access: the source's, unless it is to be weakened. */
static int order_of(uintptr_t site, char kind, int order)
{
    if (sim->lists_sites)
        note_site(site, kind, order);
    for (uint32_t i = 0; i < sim->n_weakened; i++)
        if (sim->weakened[i].site == site)
            return sim->weakened[i].order;
    return order;
}

uint64_t sim_load(uintptr_t address, unsigned size, int order, uintptr_t site)
{
    order = order_of(site, 'l', order);
    sim_step();
    struct location *location = location_of(address, size, false, site);
    if (!location)
        return memory_at(address, size);
    stamp oldest = oldest_readable(location, order);
    stamp at =
        (stamp)(location->newest - staleness((stamp)(location->newest - oldest + 1)));
    return read_at(location, at, order);
}

void sim_store(uintptr_t address, unsigned size, uint64_t value, int order,
               uintptr_t site)
{
    order = order_of(site, 's', order);
    sim_step();
    struct location *location = location_of(address, size, true, site);
    if (location)
        append(location, value, order, NULL);
    else
        memcpy((void *)address, &value, size);
}

static uint64_t apply(enum sim_rmw kind, uint64_t old, uint64_t operand)
{
    switch (kind) {
    case RMW_EXCHANGE:
        return operand;
    case RMW_ADD:
        return old + operand;
    case RMW_SUB:
        return old - operand;
    case RMW_AND:
        return old & operand;
    case RMW_OR:
        return old | operand;
    case RMW_XOR:
        break;
    }
    return old ^ operand;
}

uint64_t sim_rmw(uintptr_t address, unsigned size, enum sim_rmw kind, uint64_t operand,
                 int order, uintptr_t site)
{
    order = order_of(site, 'r', order);
    sim_step();
    struct location *location = location_of(address, size, true, site);
    if (!location) {
        uint64_t old = memory_at(address, size);
        uint64_t value = apply(kind, old, operand);
        memcpy((void *)address, &value, size);
        return old;
    }
    struct message before = *message_at(location, location->newest);
    uint64_t old = read_at(location, location->newest, order);
    append(location, apply(kind, old, operand) & mask_of(size), order, &before);
    return old;
}

/*
 * A compare-exchange that fails is a load, of any readable value but the expected
 * one, be that the newest. It may not fail only when there is no such value.
 */
static bool fail_to_swap(struct location *location, uint64_t *expected, bool fits,
                         int order)
{
    stamp oldest = oldest_readable(location, order);
    stamp candidates[HISTORY + 1];
    stamp n = 0;
    if (fits)
        candidates[n++] = -1;
    for (stamp at = location->newest; at >= oldest; at--)
        if (message_at(location, at)->value != *expected)
            candidates[n++] = at;
    stamp chosen = candidates[staleness(n)];
    if (chosen < 0)
        return false;
    *expected = read_at(location, chosen, order);
    return true;
}

bool sim_cas(uintptr_t address, unsigned size, uint64_t *expected, uint64_t desired,
             int order, int failure_order, bool is_weak, uintptr_t site)
{
    int weakened = order_of(site, 'r', order);
    if (weakened != order && !acquires(weakened))
        failure_order = __ATOMIC_RELAXED;
    order = weakened;
    sim_step();
    struct location *location = location_of(address, size, true, site);
    if (!location) {
        uint64_t old = memory_at(address, size);
        if (old == *expected)
            memcpy((void *)address, &desired, size);
        bool swapped = old == *expected;
        *expected = old;
        return swapped;
    }
    struct message before = *message_at(location, location->newest);
    if (fail_to_swap(location, expected, before.value == *expected, failure_order))
        return false;
    if (is_weak && sim->spurious_left > 0 && (sim_random() & 15) == 0) {
        sim->spurious_left--;
        return false;
    }
    read_at(location, location->newest, order);
    append(location, desired & mask_of(size), order, &before);
    return true;
}

/* ------------------------------------------------------------------ kernel */

/* The word's location, and where in it the word is. */
static struct location *futex(uintptr_t word, unsigned *ret_shift)
{
    struct cell *cell = cell_of(word);
    if (!cell || !cell->location)
        return NULL;
    struct location *location = &sim->locations[cell->location - 1];
    *ret_shift = (unsigned)(word - location->address) * 8;
    return location;
}

/*
 * The kernel's own look at a word before it lets somebody sleep: not older than
 * what those knew who made a wake-up call before, for it looks under a lock that
 * they took as well. It tells the caller nothing (no acquire).
 */
uint32_t sim_kernel_load(uintptr_t word)
{
    unsigned shift;
    check_live(word, sim->current->last_site);
    struct location *location = futex(word, &shift);
    if (!location)
        return (uint32_t)memory_at(word, 4);
    stamp oldest = oldest_readable(location, __ATOMIC_RELAXED);
    if (oldest < location->woken)
        oldest = location->woken;
    stamp at =
        (stamp)(location->newest - staleness((stamp)(location->newest - oldest + 1)));
    const struct message *message = message_at(location, at);
    uint64_t value = message->is_plain ? memory_at(location->address, location->size)
                                       : message->value;
    return (uint32_t)(value >> shift);
}

void sim_kernel_wake(uintptr_t word)
{
    unsigned shift;
    struct location *location = futex(word, &shift);
    if (location && location->woken < *view_of(location))
        location->woken = *view_of(location);
}

void sim_memory_reset(void)
{
    sim->n_locations = 0;
    sim->n_bytes = 0;
    sim->released_used = 0;
}
