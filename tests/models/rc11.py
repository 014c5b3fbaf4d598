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
from itertools import permutations, product
from pathlib import Path

from litmus import ACQ, ACQ_REL, KNOWN, LITMUS, PLAIN, REL, RLX, SC, Litmus, store

ROOT = Path(__file__).resolve().parents[2]
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
