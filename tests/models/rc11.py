"""Pairs of orders by themselves: every execution that C11 allows, for a few accesses.

The simulator is RC11 run step by step: a write is the newest of its object when it is
made, and nothing is read before it was written. C11 allows more. Where orders are
needed only for that, no scenario can show it, and a litmus test here does: threads of
some accesses, and what must not happen. All executions are enumerated (who reads from
whom, and the order of the writes of each object) and checked against the axioms:

    coherence    happens-before and the order of each object's writes agree
    atomicity    nothing comes between the two halves of a read-modify-write
    seq-cst      psc of "Repairing Sequential Consistency in C/C++11" (Lahav et al.,
                 PLDI 2017) has no cycle; that is weaker than the C11 of 2011
    races        two accesses, one a plain one, one a write, are ordered

Release sequences are those of C20: read-modify-writes only. RC11's axiom against
reading from thin air is left out, for C11 has none, and hardware reorders loads with
later stores.

Each access that stands for one of the sources names it. The test: as it is, the bad
outcome is impossible; with any such access one step weaker, it is possible.

    python tests/models/rc11.py        prints a table, exits 1 if it is not as it should
"""

import re
import sys
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PLAIN, RLX, ACQ, REL, ACQ_REL, SC = [
    "plain",
    "relaxed",
    "acquire",
    "release",
    "acq_rel",
    "seq_cst",
]
ACQUIRES, RELEASES = {ACQ, ACQ_REL, SC}, {REL, ACQ_REL, SC}
RANKS = {
    RLX: set(),
    ACQ: {"acquires"},
    REL: {"releases"},
    ACQ_REL: {"acquires", "releases"},
    SC: {"acquires", "releases", "in S"},
}
WEAKER = {
    ("R", SC): [ACQ],
    ("R", ACQ): [RLX],
    ("W", SC): [REL],
    ("W", REL): [RLX],
    ("U", SC): [ACQ_REL],
    ("U", ACQ_REL): [ACQ, REL],
    ("U", ACQ): [RLX],
    ("U", REL): [RLX],
}


class Access(NamedTuple):
    kind: str  # R, W; U: read-modify-write
    place: str
    order: str
    change: Callable  # of a write: old value -> new
    name: str = ""  # of what was read
    source: tuple = ()  # file, function, a part of the line: its order is needed


def load(place, order, name="", source=()):
    return Access("R", place, order, None, name, source)


def store(place, order, value, source=()):
    return Access("W", place, order, lambda old: value, "", source)


def update(place, order, change, name="", source=()):
    return Access("U", place, order, change, name, source)


class Litmus(NamedTuple):
    tag: str
    what: str
    start: dict
    threads: list
    is_bad: Callable  # of what was read, and of the last values


# ------------------------------------------------------------- relations
# Sets of pairs, as one set of bits for each first element.


def union(*relations):
    return [sum_bits(bits) for bits in zip(*relations, strict=True)]


def sum_bits(several):
    all_bits = 0
    for bits in several:
        all_bits |= bits
    return all_bits


def compose(first, second):
    return [
        sum_bits(second[j] for j in range(len(second)) if bits >> j & 1)
        for bits in first
    ]


def closure(relation):
    relation = list(relation)
    for k, through in enumerate(relation):
        for i, bits in enumerate(relation):
            if bits >> k & 1:
                relation[i] = bits | through | relation[k]
    return relation


def is_cyclic(relation):
    return any(bits >> i & 1 for i, bits in enumerate(closure(relation)))


def pairs(n, related):
    return [sum(1 << j for j in range(n) if related(i, j)) for i in range(n)]


# ------------------------------------------------------------- executions


class Program:
    """A litmus test's accesses, after one write of each object's first value."""

    def __init__(self, litmus, weakened=None):
        self.litmus = litmus
        self.events = [
            store(place, RLX, value) for place, value in litmus.start.items()
        ]
        self.thread = [None] * len(self.events)
        for number, thread in enumerate(litmus.threads):
            for i, access in enumerate(thread):
                if weakened and weakened[0] == (number, i):
                    access = access._replace(order=weakened[1])
                self.events.append(access)
                self.thread.append(number)
        n = self.n = len(self.events)
        events, thread = self.events, self.thread
        self.writes = {
            place: [
                i for i, e in enumerate(events) if e.place == place and e.kind in "WU"
            ]
            for place in litmus.start
        }
        self.reads = [i for i, e in enumerate(events) if e.kind in "RU"]
        self.sb = pairs(
            n,
            lambda i, j: (
                (thread[i] is None and thread[j] is not None)
                or (thread[i] is not None and thread[i] == thread[j] and i < j)
            ),
        )
        self.same = pairs(n, lambda i, j: events[i].place == events[j].place)
        self.sc = sum(1 << i for i, e in enumerate(events) if e.order == SC)

    def executions(self):
        choices = [
            [w for w in self.writes[self.events[r].place] if w != r] for r in self.reads
        ]
        places = list(self.writes)
        orders = [
            [(first, *rest) for rest in permutations(others)]
            for first, *others in self.writes.values()
        ]
        for sources in product(*choices):
            rf = dict(zip(self.reads, sources, strict=True))
            for several in product(*orders):
                yield rf, dict(zip(places, several, strict=True))

    def values(self, rf):
        """What each access reads and writes; None when that goes in a circle."""
        written = {}

        def value_of(i, seen):
            if i in seen:
                raise RecursionError
            if i not in written:
                e = self.events[i]
                old = value_of(rf[i], seen | {i}) if e.kind == "U" else None
                written[i] = e.change(old)
            return written[i]

        try:
            read = {r: value_of(w, frozenset()) for r, w in rf.items()}
            for several in self.writes.values():
                for w in several:
                    value_of(w, frozenset())
        except RecursionError:
            return None
        return read, written

    def happens_before(self, rf):
        """sb, and from a release to an acquire that reads from it, or from a chain of
        read-modify-writes that began with it."""
        sw = [0] * self.n
        for r, source in rf.items():
            if self.events[r].order not in ACQUIRES:
                continue
            while True:
                if self.events[source].order in RELEASES:
                    sw[source] |= 1 << r
                if self.events[source].kind != "U":
                    break
                source = rf[source]
        return closure(union(self.sb, sw))

    def is_consistent(self, rf, mo, hb):
        n = self.n
        position = {w: at for several in mo.values() for at, w in enumerate(several)}
        for u, source in rf.items():
            if self.events[u].kind == "U" and position[u] != position[source] + 1:
                return False
        same = self.same

        def is_same(i, j):
            return i != j and same[i] >> j & 1

        m = pairs(
            n,
            lambda i, j: (
                is_same(i, j)
                and i in position
                and j in position
                and position[i] < position[j]
            ),
        )
        rb = pairs(
            n,
            lambda i, j: (
                is_same(i, j)
                and i in rf
                and j in position
                and position[rf[i]] < position[j]
            ),
        )
        reads_from = pairs(n, lambda i, j: rf.get(j) == i)
        eco = closure(union(reads_from, m, rb))
        loops = union(hb, compose(hb, eco))
        if any(bits >> i & 1 for i, bits in enumerate(loops)):
            return False
        elsewhere = [bits & ~s for bits, s in zip(self.sb, same, strict=True)]
        scb = union(
            self.sb,
            compose(compose(elsewhere, hb), elsewhere),
            [bits & s for bits, s in zip(hb, same, strict=True)],
            m,
            rb,
        )
        psc = [bits & self.sc if self.sc >> i & 1 else 0 for i, bits in enumerate(scb)]
        return not is_cyclic(psc)

    def has_race(self, hb):
        for i, a in enumerate(self.events):
            for j, b in enumerate(self.events[:i]):
                if (
                    a.place == b.place
                    and PLAIN in {a.order, b.order}
                    and {a.kind, b.kind} != {"R"}
                    and not (hb[i] >> j & 1 or hb[j] >> i & 1)
                ):
                    return True
        return False

    def may_be_bad(self):
        for rf, mo in self.executions():
            values = self.values(rf)
            if not values:
                continue
            read, written = values
            names = {self.events[r].name: value for r, value in read.items()}
            last = {place: written[several[-1]] for place, several in mo.items()}
            if not self.litmus.is_bad(names, last):
                continue
            hb = self.happens_before(rf)
            if not self.is_consistent(rf, mo, hb):
                continue
            # A plain access is bad only if it races.
            plain = any(e.order == PLAIN for e in self.events)
            if not plain or self.has_race(hb):
                return True
        return False


# ------------------------------------------------------------------ the tests

IDLE, POOL, INJECTOR = "idle.c", "pool.c", "injector.c"
EMPTY, PARKED, NOTIFIED, STALE = 0, 1, 2, 3


def to(value):
    return lambda old: value


def plus(n):
    return lambda old: old + n


LITMUS = [
    Litmus(
        "P1",
        "a woken worker counts itself out after the waker has counted it in",
        {"searching": 0, "token": PARKED},
        [
            [
                update("searching", RLX, plus(1)),
                update("token", REL, to(NOTIFIED), source=(IDLE, "unpark", "exchange")),
            ],
            [
                load("token", ACQ, "token", (IDLE, "sp__idle_park", "load_acquire")),
                update("searching", SC, plus(-1), "before"),
            ],
        ],
        lambda r, last: r["token"] == NOTIFIED and r["before"] == 0,
    ),
    Litmus(
        "P2",
        "a sleeper's bed is made before the waker comes",
        {"token": STALE, "sleepers": 0},
        [
            [
                store("token", RLX, EMPTY),
                update("sleepers", SC, to(1)),
            ],
            [
                update(
                    "sleepers", ACQ, to(0), "bit", (IDLE, "wake_in_word", "cas_weak")
                ),
                update("token", REL, to(NOTIFIED), "before"),
            ],
        ],
        lambda r, last: r["bit"] == 1 and r["before"] == STALE,
    ),
    Litmus(
        "S1",
        "a submitter sees a sleeper, or is seen",
        {"inbox": 0, "sleepers": 0},
        [
            [
                update("inbox", SC, to(1), source=(INJECTOR, "push", "cas_weak")),
                load("sleepers", SC, "sleepers", (IDLE, "wake_in_word", "load_seq")),
            ],
            [
                update(
                    "sleepers",
                    SC,
                    to(1),
                    source=(IDLE, "sp__idle_announce", "fetch_or"),
                ),
                load(
                    "inbox", SC, "inbox", (INJECTOR, "sp__injector_is_empty", "inbox")
                ),
            ],
        ],
        lambda r, last: r["inbox"] == 0 and r["sleepers"] == 0,
    ),
    Litmus(
        "S1",
        "a mover sees a sleeper, or what it has put into the stash is seen",
        {"inbox": 1, "stashed": 0, "sleepers": 0},
        [
            [
                update("inbox", ACQ_REL, to(0)),
                store("stashed", SC, 1, (INJECTOR, "empty_inbox", "store_seq")),
                load("sleepers", SC, "sleepers"),
            ],
            [
                update("sleepers", SC, to(1)),
                load("inbox", SC, "inbox"),
                load("stashed", SC, "stashed", (INJECTOR, "is_empty", "stashed")),
            ],
        ],
        lambda r, last: r["sleepers"] == 0 and r["inbox"] == 0 and r["stashed"] == 0,
    ),
    Litmus(
        "S1",
        "a searcher that a submitter relies on looks later",
        {"inbox": 0, "searching": 0, "sleepers": 0},
        [
            [
                update("inbox", SC, to(1)),
                load("searching", SC, "searching", (IDLE, "sp__idle_notify", "load")),
                load("sleepers", SC, "sleepers"),
            ],
            [
                update("searching", RLX, plus(1)),
                update("sleepers", SC, to(1)),
                update(
                    "searching",
                    SC,
                    plus(-1),
                    source=(IDLE, "sp__idle_announce", "fetch_sub"),
                ),
                load("inbox", SC, "inbox"),
            ],
        ],
        lambda r, last: r["inbox"] == 0 and (r["searching"] == 1 or r["sleepers"] == 0),
    ),
    Litmus(
        "S1",
        "a searcher that has found work, and is relied on, looks again",
        {"inbox": 0, "searching": 0},
        [
            [
                update("inbox", SC, to(1)),
                load("searching", SC, "searching"),
            ],
            [
                update("searching", RLX, plus(1)),
                update(
                    "searching",
                    SC,
                    plus(-1),
                    source=(IDLE, "sp__idle_end_search", "fetch_sub"),
                ),
                load("inbox", SC, "inbox"),
            ],
        ],
        lambda r, last: r["inbox"] == 0 and r["searching"] == 1,
    ),
    Litmus(
        "S1",
        "a worker that takes back its bit looks after a submitter who saw neither",
        {"inbox": 0, "searching": 0, "sleepers": 1},
        [
            [
                update("inbox", SC, to(1)),
                load("searching", SC, "searching"),
                load("sleepers", SC, "sleepers"),
            ],
            [
                update("sleepers", RLX, to(0)),
                update("searching", RLX, plus(1)),
                update("searching", SC, plus(15)),  # it ends: not as it began
                load("inbox", SC, "inbox"),
            ],
        ],
        lambda r, last: r["inbox"] == 0 and r["searching"] == 0 and r["sleepers"] == 0,
    ),
    Litmus(
        "S7",
        "a worker at a new place is seen, or sees the sleeper",
        {"places": 1, "bottom": 0, "sleepers": 0},
        [
            [
                store("places", SC, 2, (("staff.c", "start", "places"))),
                store("bottom", SC, 1),
                load("sleepers", SC, "sleepers"),
            ],
            [
                update("sleepers", SC, to(1)),
                load("places", SC, "places", ("pool.h", "sp__pool_places", "load")),
            ],
        ],
        lambda r, last: r["sleepers"] == 0 and r["places"] == 1,
    ),
    Litmus(
        "X2",
        "who sees all asleep sees what they left in the queues",
        {"bottom": 0, "awake": 1},
        [
            [
                store("bottom", SC, 1),
                update(
                    "awake",
                    REL,
                    plus(-1),
                    source=(POOL, "sp__pool_worker_sleeps", "fetch_sub"),
                ),
            ],
            [
                load("awake", ACQ, "awake", (POOL, "sp__pool_is_over", "awake = load")),
                load("bottom", SC, "bottom"),
            ],
        ],
        lambda r, last: r["awake"] == 0 and r["bottom"] == 0,
    ),
    Litmus(
        "X2",
        "who sees the stash empty sees that its last taker is awake",
        {"stashed": 1, "awake": 0},
        [
            [
                update("awake", RLX, plus(1)),
                store("stashed", REL, 0, (INJECTOR, "take_from_lane", "stashed")),
            ],
            [
                load("stashed", SC, "stashed"),
                load("awake", RLX, "awake"),
            ],
        ],
        lambda r, last: r["stashed"] == 0 and r["awake"] == 0,
    ),
    Litmus(
        "X2",
        "who sees the inbox empty sees that its taker is awake",
        {"inbox": 1, "awake": 0},
        [
            [
                update("awake", RLX, plus(1)),
                update(
                    "inbox", REL, to(0), source=(INJECTOR, "empty_inbox", "fetch_and")
                ),
            ],
            [
                load("inbox", SC, "inbox"),
                load("awake", RLX, "awake"),
            ],
        ],
        lambda r, last: r["inbox"] == 0 and r["awake"] == 0,
    ),
    Litmus(
        "J3",
        "a hint that is set after it was cleared stays",
        {"inbox": 0, "urgent": 1},
        [
            [
                store("urgent", RLX, 0),
                update(
                    "inbox", REL, plus(1), source=(INJECTOR, "empty_inbox", "fetch_and")
                ),
            ],
            [
                update("inbox", ACQ, plus(1), "inbox"),
                store("urgent", RLX, 2),
            ],
        ],
        lambda r, last: r["inbox"] == 1 and last["urgent"] == 0,
    ),
    Litmus(
        "M3",
        "who tells a block of its last cell knows that all others are done with theirs",
        {"back": 0, "cell": 0},
        [
            [
                store("cell", PLAIN, 1),
                update("back", REL, plus(1), source=("slab.c", "tell", "fetch_add")),
            ],
            [
                update("back", ACQ, plus(1), "back", ("slab.c", "tell", "fetch_add")),
                store("cell", PLAIN, 2),
            ],
        ],
        lambda r, last: r["back"] == 1,
    ),
    Litmus(
        "M1",
        "a block that is given out again is nobody else's",
        {"returned": 0, "cell": 0},
        [
            [
                store("cell", PLAIN, 1),
                update("returned", REL, to(1), source=("slab.c", "tell", "cas_weak")),
            ],
            [
                update(
                    "returned",
                    ACQ,
                    to(0),
                    "returned",
                    ("slab.c", "begin_block", "exchange"),
                ),
                store("cell", PLAIN, 2),
            ],
        ],
        lambda r, last: r["returned"] == 1,
    ),
    Litmus(
        "Y1",
        "who need not renew a pool sees it as it was renewed",
        {"count": 0, "pool": 0},
        [
            [
                store("pool", PLAIN, 1),
                store("count", REL, 1, ("fork.c", "sp__fork_renew", "fork_count, sp")),
            ],
            [
                load("count", ACQ, "count", ("fork.h", "sp__fork_check", "load")),
                load("pool", PLAIN, "pool"),
            ],
        ],
        lambda r, last: r["count"] == 1,
    ),
    Litmus(
        "D3",
        "a slot is not written before the thief has read it",
        {"top": 0, "slot": 1},
        [
            [
                load("slot", RLX, "slot"),
                update("top", SC, plus(1)),
            ],
            [
                load(
                    "top", ACQ, "top", ("deque.c", "sp__deque_push_all", "load_acquire")
                ),
                store("slot", RLX, 2),
            ],
        ],
        lambda r, last: r["top"] == 1 and r["slot"] == 2,
    ),
]


# What is known of C11, so that the axioms above are tested as well.


def store_buffering(store_order, load_order):
    return [
        [store("x", store_order, 1), load("y", load_order, "a")],
        [store("y", store_order, 1), load("x", load_order, "b")],
    ]


def message(store_order, load_order):
    return [
        [store("x", RLX, 1), store("y", store_order, 1)],
        [load("y", load_order, "a"), load("x", RLX, "b")],
    ]


def message_through(relay):
    return [
        [store("x", RLX, 1), store("y", REL, 1)],
        [relay],
        [load("y", ACQ, "a"), load("x", RLX, "b")],
    ]


def independent_reads(store_order, load_order):
    return [
        [store("x", store_order, 1)],
        [store("y", store_order, 1)],
        [load("x", load_order, "a"), load("y", load_order, "b")],
        [load("y", load_order, "c"), load("x", load_order, "d")],
    ]


def crossed_writes(order):
    return [
        [store("x", order, 1), store("y", order, 2)],
        [store("y", order, 1), store("x", order, 2)],
    ]


def neither(r, last):
    return r["a"] == 0 and r["b"] == 0


def flag_only(r, last):
    return r["a"] > 0 and r["b"] == 0


def disagree(r, last):
    return (r["a"], r["b"], r["c"], r["d"]) == (1, 0, 1, 0)


def both_first_last(r, last):
    return last["x"] == 1 and last["y"] == 1


KNOWN = [  # name, threads, outcome, is it allowed?
    ("store buffering, seq-cst", store_buffering(SC, SC), neither, False),
    ("store buffering, a release", store_buffering(REL, SC), neither, True),
    ("store buffering, an acquire", store_buffering(SC, ACQ), neither, True),
    ("message, release and acquire", message(REL, ACQ), flag_only, False),
    ("message, relaxed store", message(RLX, ACQ), flag_only, True),
    ("message, relaxed load", message(REL, RLX), flag_only, True),
    (
        "message through a read-modify-write",
        message_through(update("y", RLX, plus(1), "c")),
        lambda r, last: r["a"] == 2 and r["b"] == 0,
        False,
    ),
    (
        "message through a store",
        message_through(store("y", RLX, 2)),
        lambda r, last: r["a"] == 2 and r["b"] == 0,
        True,
    ),
    ("independent reads, seq-cst", independent_reads(SC, SC), disagree, False),
    ("independent reads, acquire", independent_reads(REL, ACQ), disagree, True),
    ("crossed writes, seq-cst", crossed_writes(SC), both_first_last, False),
    ("crossed writes, release", crossed_writes(REL), both_first_last, True),
    (
        "load buffering",
        [
            [load("x", RLX, "a"), store("y", RLX, 1)],
            [load("y", RLX, "b"), store("x", RLX, 1)],
        ],
        lambda r, last: r["a"] == 1 and r["b"] == 1,
        True,
    ),
    (
        "load buffering, acquire",
        [
            [load("x", ACQ, "a"), store("y", REL, 1)],
            [load("y", ACQ, "b"), store("x", REL, 1)],
        ],
        lambda r, last: r["a"] == 1 and r["b"] == 1,
        False,
    ),
    (
        "two reads go back",
        [[store("x", RLX, 1)], [load("x", RLX, "a"), load("x", RLX, "b")]],
        lambda r, last: r["a"] == 1 and r["b"] == 0,
        False,
    ),
    (
        "two count from the same number",
        [[update("x", RLX, plus(1), "a")], [update("x", RLX, plus(1), "b")]],
        lambda r, last: r["a"] == r["b"],
        False,
    ),
]


def known_and_wrong():
    for name, threads, outcome, is_allowed in KNOWN:
        litmus = Litmus("", name, {"x": 0, "y": 0}, threads, outcome)
        if Program(litmus).may_be_bad() != is_allowed:
            yield name


def possible_when_weaker(litmus):
    """Each access of the sources, one step weaker: is the bad outcome possible?"""
    for t, thread in enumerate(litmus.threads):
        for i, access in enumerate(thread):
            for order in WEAKER[access.kind, access.order] if access.source else []:
                program = Program(litmus, ((t, i), order))
                yield access, order, program.may_be_bad()


def needed():
    """(file, function, part of the line, order, weaker order) -> tag."""
    return {
        (*access.source, access.order, order): litmus.tag
        for litmus in LITMUS
        for access, order, is_possible in possible_when_weaker(litmus)
        if is_possible
    }


def is_at_most(mutant, has, weaker):
    """A mutant with that order lacks what `has` has, and `weaker` has not."""
    lost = RANKS[has] - RANKS[weaker]
    return not lost & RANKS[mutant]


def is_in_sources(source, order):
    """The sources have such an access, with an order that is at least that one."""
    file, _, part = source
    atleast = {SC: SC, ACQ_REL: f"{ACQ_REL}|{SC}"}.get(order, f"{order}|{ACQ_REL}|{SC}")
    for path in (ROOT / "csrc/sched").glob(file):
        for line in path.read_text().splitlines():
            if part in line and re.search(rf"_(?:{atleast})\(", line):
                return True
    return False


def main():
    failed = 0
    for name in known_and_wrong():
        print(f"{name}: NOT AS IS KNOWN OF C11")
        failed += 1
    for litmus in LITMUS:
        ok = not Program(litmus).may_be_bad()
        print(f"{litmus.tag:3} {litmus.what}: {'holds' if ok else 'DOES NOT HOLD'}")
        failed += not ok
        for access, order, is_possible in possible_when_weaker(litmus):
            there = is_in_sources(access.source, access.order)
            ok = is_possible and there
            word = "is needed" if is_possible else "IS NOT NEEDED"
            word += "" if there else ", BUT IS NOT IN THE SOURCES"
            file, function, _ = access.source
            print(f"      {file}: {function}: {access.order} -> {order}: {word}")
            failed += not ok
    print(f"{len(KNOWN)} litmus tests as known, {len(LITMUS)} of the sources")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
