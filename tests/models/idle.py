"""Explore every interleaving of the idle and the shutdown protocol.

The model follows csrc/sched/{idle,worker,injector,pool}.c step by step: one step of a
process here is one atomic operation there. Submitters, workers and one closer share

    inbox, stash, lock   the injector; moving from inbox to stash takes several steps
    deque                one a worker
    searching            how many workers search, or are being woken
    bit, token           of a worker: its bit in `sleepers`, its parker's token
    awake, over          see "Shutdown" in pool.c

All operations are sequentially consistent. (In the sources, those that need not be are
weaker: rc11.py.) A variant leaves out one
ingredient; where that is seq-cst, the store lies in a buffer for any time before others
see it. A state in which nothing can move any more is bad if

    a task is queued although a worker sleeps, or has left      (lost wake-up), or
    a worker sleeps that is one too many, or
    the pool was closed, no task runs, and a worker is still there   (hangs).

With `blocks`, a task that was begun never ends: then the same condition says that k
workers can run k tasks at once, even during shutdown (work conservation). With `peeks`,
it may, and workers look for a high task before they take one of their own: that moves
what is in the inbox to the stash, although there may be nothing for them.

Which worker a waker finds is left open, so workers are interchangeable: states are
stored with their processes sorted.

    python tests/models/idle.py        prints a table, exits 1 if it is not as it should
"""

import sys
import time
from typing import NamedTuple


class Worker(NamedTuple):
    pc: str = "scan"
    then: str = ""  # where to go on after notify
    searches: bool = False  # counts in `searching`
    hand: int = 0  # tasks on their way from queue to queue
    deque: int = 0
    bit: bool = False  # in `sleepers`
    buffered: bool = False  # ... but still in the store buffer
    claimed: bool = False  # a waker has taken the bit and not yet come
    token: bool = False  # NOTIFIED
    calm: bool = False  # nobody woke up since this worker looked at `awake`
    due: bool = True  # not one too many
    leaves: bool = False  # steps back for that reason


class Submitter(NamedTuple):
    pc: str = "publish"
    left: int = 0
    buffered: int = 0


class Shared(NamedTuple):
    inbox: int = 0
    stash: int = 0
    locked: bool = False
    searching: int = 0
    awake: int = 0
    children: int = 0  # tasks that running tasks will still submit
    closed: bool = False
    over: bool = False
    closer: str = "done"
    surplus: int = 0  # workers that the resizer will send away
    resizer: str = "resize"


class State(NamedTuple):
    workers: tuple
    submitters: tuple
    shared: Shared


# What a notifier is about to do; `then` says where it continues.
NOTIFY = ("notify", "claim", "count", "unpark")


class Model:
    def __init__(self, variant, blocks, batch, peeks=False):
        self.variant = variant
        self.blocks = blocks
        self.peeks = peeks
        self.batch = batch  # tasks that a worker takes from the stash at once

    def lacks(self, variant):
        return self.variant == variant

    # ------------------------------------------------------------- notify

    def notify(self, state, pc, put, end):
        """The steps of sp__idle_notify(). `put(pc, state)` moves the notifier on,
        `end(state)` after the last step. With "all", of sp__idle_notify_all()."""
        everyone = pc.endswith("*")
        step = pc.rstrip("*")
        mark = "*" if everyone else ""
        if step == "notify":
            if state.shared.searching and not everyone:
                yield end(state)
            else:
                yield put("claim" + mark, state)
        elif step == "claim":
            asleep = {w for w in state.workers if w.bit and not w.buffered}
            if not asleep:
                yield end(state)
            for worker in asleep:
                claimed = worker._replace(bit=False, claimed=True)
                yield put("count" + mark, replace(state, worker, claimed))
        elif step == "count":
            shared = state.shared._replace(searching=state.shared.searching + 1)
            yield put("unpark" + mark, state._replace(shared=shared))
        elif step == "unpark":
            for worker in {w for w in state.workers if w.claimed}:
                woken = replace(
                    state, worker, worker._replace(claimed=False, token=True)
                )
                yield put("claim*", woken) if everyone else end(woken)

    def notify_by(self, state, me):
        """The same for worker `me`, which is left out while the others change."""

        def put(pc, new):
            return add(new, me._replace(pc=pc))

        def end(new):
            return add(new, me._replace(pc=me.then, then=""))

        yield from self.notify(without(state, me), me.pc, put, end)

    # ---------------------------------------------------------- submitters

    def submit(self, state, me):
        def with_me(new, **changes):
            rest = list(state.submitters)
            rest.remove(me)
            rest.append(me._replace(**changes))
            return new._replace(submitters=tuple(sorted(rest)))

        shared = state.shared
        if me.buffered:
            yield with_me(
                state._replace(shared=shared._replace(inbox=shared.inbox + 1)),
                buffered=me.buffered - 1,
            )
        if me.pc == "publish" and me.left:
            if shared.closed:
                yield with_me(state, left=me.left - 1)  # refused
            elif self.lacks("publishes late"):
                yield with_me(
                    state, pc="notify", left=me.left - 1, buffered=me.buffered + 1
                )
            else:
                pushed = state._replace(shared=shared._replace(inbox=shared.inbox + 1))
                yield with_me(pushed, pc="notify", left=me.left - 1)
        elif me.pc in NOTIFY:
            yield from self.notify(
                state,
                me.pc,
                lambda pc, new: with_me(new, pc=pc),
                lambda new: with_me(new, pc="publish"),
            )

    def close(self, state):
        shared = state.shared

        def put(pc, new):
            return new._replace(shared=new.shared._replace(closer=pc))

        if shared.closer == "close":
            yield put("claim*", state._replace(shared=shared._replace(closed=True)))
        elif shared.closer != "done":
            yield from self.notify(
                state, shared.closer, put, lambda new: put("done", new)
            )

    def resize(self, state):
        shared = state.shared

        def put(pc, new):
            return new._replace(shared=new.shared._replace(resizer=pc))

        if shared.resizer != "resize":
            yield from self.notify(
                state, shared.resizer, put, lambda new: put("resize", new)
            )
        elif shared.surplus:
            fewer = state._replace(shared=shared._replace(surplus=shared.surplus - 1))
            for worker in {w for w in state.workers if w.due and w.pc != "gone"}:
                yield put("claim*", replace(fewer, worker, worker._replace(due=False)))

    # -------------------------------------------------------------- workers

    def work(self, state, me):
        shared = state.shared
        rest = without(state, me)

        def go(pc, then="", shared=shared, **changes):
            new = me._replace(pc=pc, then=then, **changes)
            return add(rest._replace(shared=shared), new)

        if me.buffered:
            yield go(me.pc, me.then, buffered=False)
        if me.pc.rstrip("*") in NOTIFY:
            yield from self.notify_by(state, me)
        else:
            yield from getattr(self, me.pc.replace(" ", "_"))(state, me, go)

    def scan(self, state, me, go):
        shared = state.shared
        if not me.due:
            yield go("hand over")
            return
        if me.deque:
            yield go("found", deque=me.deque - 1)
        if (shared.inbox or shared.stash) and not shared.locked:
            yield go("locked", shared=shared._replace(locked=True))
            if self.peeks and me.deque and shared.inbox:
                yield go("peek", shared=shared._replace(locked=True))
        for victim in {w for w in without(state, me).workers if w.deque}:
            stolen = replace(state, victim, victim._replace(deque=victim.deque - 1))
            yield replace(stolen, me, me._replace(pc="found"))
        # Looks take time, a steal may be lost, a lock be taken: any search can
        # end with nothing. The cap on searchers lets it stay out of the count.
        if me.deque == 0:
            yield go("sleep")
            if not me.searches:
                counted = shared._replace(searching=shared.searching + 1)
                yield go("sleep", shared=counted, searches=True)

    # injector_take(): the inbox into the hand, then into the stash, then a batch
    # out of it; then the rest of the batch into the own deque.

    def locked(self, state, me, go):
        shared = state.shared
        yield go("emptied", shared=shared._replace(inbox=0), hand=shared.inbox)

    def emptied(self, state, me, go):
        shared = state.shared
        stash = shared.stash + me.hand
        yield go("stashed", shared=shared._replace(stash=stash), hand=0)

    def stashed(self, state, me, go):
        shared = state.shared
        n = min(self.batch, shared.stash)
        left = shared._replace(stash=shared.stash - n, locked=False)
        yield go("took" if n else "scan", shared=left, hand=n)

    def took(self, state, me, go):
        shared = state.shared
        more = me.hand > 1 or shared.inbox or shared.stash
        moved = {"deque": me.deque + me.hand - 1, "hand": 0}
        if more and not self.lacks("moves silently"):
            yield go("notify", "found", **moved)
        else:
            yield go("found", **moved)

    # The same for the high lane alone, which turns out to be empty.

    def peek(self, state, me, go):
        shared = state.shared
        yield go("peeked", shared=shared._replace(inbox=0), hand=shared.inbox)

    def peeked(self, state, me, go):
        shared = state.shared
        stash = shared.stash + me.hand
        pc = ("scan",) if self.lacks("sorts silently") else ("notify", "scan")
        yield go(*pc, shared=shared._replace(stash=stash, locked=False), hand=0)

    def found(self, state, me, go):
        shared = state.shared
        if not me.searches:
            yield go("run")
            return
        was_last = shared.searching == 1
        counted = shared._replace(searching=shared.searching - 1)
        chains = was_last and not self.lacks("no chain")
        yield go("chain" if chains else "run", shared=counted, searches=False)

    def chain(self, state, me, go):
        shared = state.shared
        has_work = shared.inbox or shared.stash or any(w.deque for w in state.workers)
        yield go("notify", "run") if has_work else go("run")

    def run(self, state, me, go):
        shared = state.shared
        yield go("blocked" if self.blocks else "scan")
        if self.peeks:
            yield go("scan")
        if shared.children and not shared.closed:
            fewer = shared._replace(children=shared.children - 1)
            if self.lacks("pushes late"):
                yield go("notify", "late", shared=fewer)
            else:
                yield go("notify", "run", shared=fewer, deque=me.deque + 1)

    def late(self, state, me, go):
        yield go("run", deque=me.deque + 1)

    def blocked(self, state, me, go):
        return iter(())

    # sp__staff_step_back(): `found` and `chain` as if it had found work

    def hand_over(self, state, me, go):
        shared = state.shared._replace(inbox=state.shared.inbox + me.deque)
        if me.searches:
            was_last = shared.searching == 1
            shared = shared._replace(searching=shared.searching - 1)
            has_work = shared.inbox or shared.stash
            has_work = has_work or any(w.deque for w in without(state, me).workers)
            wakes = me.deque or (was_last and has_work)
        else:
            wakes = me.deque
        if self.lacks("hands over silently"):
            wakes = False
        pc = ("notify", "step back") if wakes else ("step back",)
        yield go(*pc, shared=shared, deque=0, searches=False, leaves=True)

    def step_back(self, state, me, go):
        shared = state.shared._replace(awake=state.shared.awake - 1)
        silent = self.lacks("steps back silently")
        yield go("dormant" if silent else "over", shared=shared)

    def dormant(self, state, me, go):
        return iter(())

    # --------------------------------------------------------------- asleep

    def sleep(self, state, me, go):
        shared = state.shared._replace(awake=state.shared.awake - 1)
        yield go("announce", shared=shared)

    def announce(self, state, me, go):
        after = "count out" if me.searches else "over"
        yield go(after, bit=True, buffered=self.lacks("announces late"))

    def count_out(self, state, me, go):
        shared = state.shared
        counted = shared._replace(searching=shared.searching - 1)
        yield go("over", shared=counted, searches=False)

    # pool_is_over()

    def over(self, state, me, go):
        shared = state.shared
        if self.lacks("parks when closed"):
            yield go("look")
        elif shared.over:
            yield go("gone")
        elif self.lacks("leaves early"):
            yield go("over look" if shared.closed else "look")
        elif shared.awake or not shared.closed:
            yield go("look")
        else:
            yield go("over look", calm=True)

    def over_look(self, state, me, go):
        shared = state.shared
        yield go("look" if shared.inbox or shared.stash else "over look 2")

    def over_look_2(self, state, me, go):
        has_work = any(w.deque for w in state.workers)
        yield go("look") if has_work else go("over again")

    def over_again(self, state, me, go):
        if self.lacks("leaves early"):
            yield go("gone")
        elif me.calm or self.lacks("looks at awake once"):
            over = state.shared._replace(over=True)
            yield go("claim*", "gone", shared=over)
        else:
            yield go("look")

    def gone(self, state, me, go):
        return iter(())

    def look(self, state, me, go):
        shared = state.shared
        if me.leaves:
            yield go("dormant", calm=False)
        elif not me.due and not self.lacks("parks although not due"):
            yield go("withdraw", calm=False)
        elif self.lacks("no second look"):
            yield go("park", calm=False)
        else:
            has_work = shared.inbox or shared.stash
            yield go("withdraw" if has_work else "look 2", calm=False)

    def look_2(self, state, me, go):
        has_work = any(w.deque for w in state.workers)
        yield go("withdraw" if has_work else "park")

    def withdraw(self, state, me, go):
        shared = state.shared
        if me.bit or self.lacks("withdraws blindly"):
            counted = shared._replace(searching=shared.searching + 1)
            yield go("wake", shared=counted, searches=True, bit=False, buffered=False)
        else:
            yield go("park")

    def park(self, state, me, go):
        if me.token:
            yield go("wake", token=False, searches=True)

    def wake(self, state, me, go):
        shared = state.shared._replace(awake=state.shared.awake + 1)
        new = add(
            without(state, me)._replace(shared=shared),
            me._replace(pc="scan", calm=False),
        )
        workers = sorted(w._replace(calm=False) for w in new.workers)
        yield new._replace(workers=tuple(workers))

    # -------------------------------------------------------------- explore

    def successors(self, state):
        for worker in set(state.workers):
            yield from self.work(state, worker)
        for submitter in set(state.submitters):
            yield from self.submit(state, submitter)
        yield from self.close(state)
        yield from self.resize(state)

    def is_bad(self, state):
        """Of a state that has no successors."""
        queued = state.shared.inbox + state.shared.stash
        queued += sum(worker.deque + worker.hand for worker in state.workers)
        if any(w.pc == "park" and not w.due for w in state.workers):
            return True
        idle = [w for w in state.workers if w.pc in ("park", "gone")]
        if queued and idle:
            return True
        blocked = [w for w in state.workers if w.pc == "blocked"]
        stays = [w for w in state.workers if w.pc == "park"]
        return bool(state.shared.closed and stays and not blocked)

    def explore(self, start, limit):
        """Returns the number of states, and the path to a bad one or None."""
        came_from = {start: None}
        front = [start]
        while front:
            next_front = []
            for state in front:
                new = set(self.successors(state))
                if not (new - {state}) and self.is_bad(state):
                    return len(came_from), path_to(state, came_from)
                for successor in new:
                    if successor not in came_from:
                        came_from[successor] = state
                        next_front.append(successor)
            if len(came_from) > limit:
                raise SystemExit(f"more than {limit} states; make the case smaller")
            front = next_front
        return len(came_from), None


def without(state, worker):
    workers = list(state.workers)
    workers.remove(worker)
    return state._replace(workers=tuple(workers))


def add(state, worker):
    return state._replace(workers=tuple(sorted((*state.workers, worker))))


def replace(state, old, new):
    return add(without(state, old), new)


def path_to(state, came_from):
    path = []
    while state is not None:
        path.append(state)
        state = came_from[state]
    return path[::-1]


class Case(NamedTuple):
    submitters: int
    tasks: int  # of each submitter
    workers: int
    children: int = 0
    closes: bool = False
    blocks: bool = False
    batch: int = 1
    peeks: bool = False
    surplus: int = 0

    def start(self):
        return State(
            workers=(Worker(),) * self.workers,
            submitters=(Submitter(left=self.tasks),) * self.submitters,
            shared=Shared(
                awake=self.workers,
                children=self.children,
                closer="close" if self.closes else "done",
                surplus=self.surplus,
            ),
        )

    def __str__(self):
        words = [f"{self.submitters} x {self.tasks} tasks, {self.workers} workers"]
        words += [f"{self.children} children"] * bool(self.children)
        words += ["tasks block"] * self.blocks + ["closed"] * self.closes
        words += [f"batches of {self.batch}"] * (self.batch > 1)
        words += ["peeks"] * self.peeks
        words += [f"{self.surplus} too many"] * (self.surplus > 0)
        return ", ".join(words)


CASES = [
    Case(1, 2, 2),
    Case(2, 1, 2),
    Case(1, 2, 2, children=1),
    Case(2, 1, 2, blocks=True),
    Case(1, 2, 2, blocks=True, batch=2),
    Case(1, 1, 2, children=1, blocks=True),
    Case(1, 3, 3, blocks=True),
    Case(1, 1, 2, closes=True),
    Case(2, 1, 2, closes=True),
    Case(1, 2, 2, closes=True, blocks=True, batch=2),
    Case(1, 2, 3, closes=True, blocks=True, batch=2),
    Case(2, 1, 2, children=1, blocks=True, peeks=True),
    Case(2, 1, 2, children=1, closes=True, peeks=True),
    Case(1, 2, 2, surplus=1),
    Case(1, 1, 2, children=1, surplus=1),
    Case(1, 1, 2, surplus=1, closes=True),
    Case(1, 2, 2, blocks=True, batch=2, surplus=1),
]

# What is left out, and a small case in which that goes wrong.
VARIANTS = {
    # parks right after announcing its sleep
    "no second look": Case(1, 2, 2),
    # the last searcher that finds work does not wake another
    "no chain": Case(2, 1, 2, blocks=True),
    # the submitter's push is no seq-cst operation
    "publishes late": Case(1, 2, 2),
    # a worker's push to its deque is no seq-cst operation
    "pushes late": Case(1, 1, 2, children=1, blocks=True),
    # setting the bit is no seq-cst operation
    "announces late": Case(1, 2, 2),
    # does not look whether a waker was faster
    "withdraws blindly": Case(1, 2, 2, children=1),
    # who moves tasks between queues does not notify
    "moves silently": Case(2, 1, 2, blocks=True),
    # who moves tasks from the inbox to the stash, and takes none, does not notify
    "sorts silently": Case(2, 1, 2, children=1, blocks=True, peeks=True),
    # a worker that steps back does not notify for what it leaves
    "hands over silently": Case(1, 1, 2, children=1, surplus=1),
    # ... does not look whether the pool is over
    "steps back silently": Case(1, 1, 2, surplus=1, closes=True),
    # the last look before sleep is not also one at `due`
    "parks although not due": Case(1, 1, 2, surplus=1),
    # a worker ends when the pool is closed and it sees no task
    "leaves early": Case(1, 2, 2, closes=True, blocks=True, batch=2),
    # does not compare `awake` before and after the look
    "looks at awake once": Case(2, 1, 2, closes=True),
    # does not look for the end after announcing its sleep
    "parks when closed": Case(1, 1, 2, closes=True),
}


def check(variant, case, limit=2_000_000):
    """Returns the number of states, and the path to a bad one or None."""
    model = Model(variant, case.blocks, case.batch, case.peeks)
    return model.explore(case.start(), limit)


def report(name, case, expect_bad, verbose):
    begin = time.perf_counter()
    states, path = check(None if name == "full protocol" else name, case)
    seconds = time.perf_counter() - begin
    result = f"fails after {len(path) - 1} steps" if path else "holds"
    wrong = bool(path) != expect_bad
    print(
        f"{name:20} {states:7} states {seconds:5.1f} s  {case}: {result}",
        "  <-- WRONG" if wrong else "",
        flush=True,
    )
    if path and (verbose or wrong):
        for state in path:
            print(*state.workers, *state.submitters, state.shared, "", sep="\n    ")
    return wrong


def main(verbose=False):
    """Returns how many results are not as they should be."""
    wrong = sum(report("full protocol", case, False, verbose) for case in CASES)
    return wrong + sum(
        report(name, case, True, verbose) for name, case in VARIANTS.items()
    )


if __name__ == "__main__":
    sys.exit(1 if main("-v" in sys.argv[1:]) else 0)
