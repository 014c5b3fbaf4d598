"""What must not happen: litmus tests, of the sources and of C11 itself.

A litmus test is some threads of a few accesses, and the outcome that is bad. In those
of the sources (LITMUS) each access whose order is needed names the line that it stands
for. Those of C11 (KNOWN) have outcomes that are in the books. rc11.py decides them.
"""

from collections.abc import Callable
from typing import NamedTuple

PLAIN, RLX, ACQ, REL, ACQ_REL, SC = [
    "plain",
    "relaxed",
    "acquire",
    "release",
    "acq_rel",
    "seq_cst",
]


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


def to(value):
    return lambda old: value


def plus(n):
    return lambda old: old + n


# ------------------------------------------------------------------ of the sources

IDLE, POOL, INJECTOR = "idle.c", "pool.c", "injector.c"
EMPTY, PARKED, NOTIFIED, STALE = 0, 1, 2, 3

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
        "G2",
        "who is asked to look finds what is in the injector",
        {"inbox": 0, "word": 0},
        [
            [
                update("inbox", SC, to(1)),
                update(
                    "word", REL, to(1), source=("staff.c", "ask_waiters", "fetch_or")
                ),
            ],
            [
                update(
                    "word",
                    ACQ,
                    plus(0),
                    "word",
                    source=("help.c", "sleep_on_word", "fetch_or"),
                ),
                load("inbox", SC, "inbox"),
            ],
        ],
        lambda r, last: r["word"] == 1 and r["inbox"] == 0,
    ),
    Litmus(
        "G2",
        "and what was there when he was asked again, before he had looked",
        {"inbox": 0, "word": 1},
        [
            [
                update("inbox", SC, to(1)),
                update(
                    "word", REL, to(3), source=("staff.c", "ask_waiters", "fetch_or")
                ),
            ],
            [
                update("word", ACQ, plus(0), "word"),
                update(
                    "word",
                    ACQ,
                    to(0),
                    "cleared",
                    source=("help.c", "sleep_on_word", "fetch_and"),
                ),
                load("inbox", SC, "inbox"),
            ],
        ],
        lambda r, last: r["word"] == 1 and r["cleared"] == 3 and r["inbox"] == 0,
    ),
    Litmus(
        "S8",
        "who publishes sees that all are stuck, or they see the task",
        {"inbox": 0, "is_stuck": 0},
        [
            [
                update("inbox", SC, to(1), source=(INJECTOR, "push", "cas")),
                load("is_stuck", SC, "is_stuck", (IDLE, "sp__idle_notify", "is_stuck")),
            ],
            [
                store("is_stuck", SC, 1, ("staff.c", "look_if_stuck", "is_stuck")),
                load("inbox", SC, "inbox", (INJECTOR, "sp__injector_take_of", "inbox")),
            ],
        ],
        lambda r, last: r["is_stuck"] == 0 and r["inbox"] == 0,
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
                store("stashed", REL, 0, (INJECTOR, "account", "stashed")),
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
                    ("slab.c", "has_free", "exchange"),
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


# ------------------------------------------------------------------ of C11


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
