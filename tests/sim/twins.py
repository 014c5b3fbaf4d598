"""Errors that the simulator must find: each twin is the library with one of them.

    python tests/sim/twins.py build-c

A gate that was never red proves nothing. Each twin is made by one change of one source,
compiled and linked in a folder of its own, and run until the simulator fails, which
must happen within `SCHEDULES` schedules of all scenarios together.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import twins_binding

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = 400_000


@dataclass
class Twin:
    claim: str  # what is wrong with it
    file: str  # below csrc/, or pyx/...
    old: str  # must be there exactly once
    new: str


TWINS = [
    # -------------------------------------------------------------------- slab
    Twin(
        "a block is given out with a cell in use",
        "sched/slab.c",
        "+ n < SP_SLAB_BLOCK_CELLS)",
        "+ n < SP_SLAB_BLOCK_CELLS - 1)",
    ),
    Twin(
        "cells are counted relaxed",
        "sched/slab.c",
        "fetch_add_acq_rel(&block->back, n)",
        "fetch_add_relaxed(&block->back, n)",
    ),
    Twin(
        "a block comes back relaxed",
        "sched/slab.c",
        "cas_weak_release(&slab->returned, &newest, block)",
        "cas_weak_relaxed(&slab->returned, &newest, block)",
    ),
    Twin(
        "a slab is unlocked relaxed",
        "sched/slab.c",
        "store_release(&slab->lock, 0)",
        "store_relaxed(&slab->lock, 0)",
    ),
    # ------------------------------------------------------------------- deque
    Twin(
        "the last task is taken without asking the thieves",
        "sched/deque.c",
        "        if (!cas_seq_cst(&deque->top, &top, top + 1))\n"
        "            task = NULL;",
        "        store_seq_cst(&deque->top, top + 1);",
    ),
    Twin(
        "a push into a full deque overwrites the oldest task",
        "sched/deque.c",
        "        if (bottom + n - deque->top_seen > SP_DEQUE_CAPACITY)\n"
        "            return",
        "        if (bottom + n - deque->top_seen > SP_DEQUE_CAPACITY + 1)\n"
        "            return",
    ),
    Twin(
        "a push publishes before it writes the slot",
        "sched/deque.c",
        "    for (uint32_t i = 0; i < n; i++)\n        store_relaxed",
        "    store_seq_cst(&deque->bottom, bottom + n);\n"
        "    for (uint32_t i = 0; i < n; i++)\n        store_relaxed",
    ),
    Twin(
        "a push publishes relaxed",
        "sched/deque.c",
        "    store_seq_cst(&deque->bottom, bottom + n);",
        "    store_relaxed(&deque->bottom, bottom + n);",
    ),
    Twin(
        "a thief reads the slot after he has claimed it",
        "sched/deque.c",
        "    *ret_task = task;",
        "    *ret_task = load_relaxed(&deque->slots[top & SLOT_MASK]);",
    ),
    Twin(
        "a thief does not mind losing",
        "sched/deque.c",
        "        return SP__STEAL_LOST;",
        "        (void)0;",
    ),
    Twin(
        "a pop does not tell the thieves",
        "sched/deque.c",
        "    store_seq_cst(&deque->bottom, bottom);",
        "    store_relaxed(&deque->bottom, bottom);",
    ),
    # ---------------------------------------------------------------- injector
    Twin(
        "who empties the inbox opens it again",
        "sched/injector.c",
        "task_of(fetch_and_acq_rel(&injector->inbox, CLOSED))",
        "task_of(fetch_and_acq_rel(&injector->inbox, (uintptr_t)0))",
    ),
    Twin(
        "a closed injector still accepts",
        "sched/injector.c",
        "        if ((inbox & CLOSED) && !even_when_closed)",
        "        if ((inbox & CLOSED) && even_when_closed)",
    ),
    Twin(
        "two may hold the injector's lock",
        "sched/injector.c",
        "           cas_weak_acquire(&injector->lock, &unlocked, 1);",
        "           fetch_or_acq_rel(&injector->lock, unlocked + 1) <= 1;",
    ),
    Twin(
        "the injector's lock is given back relaxed",
        "sched/injector.c",
        "    store_release(&injector->lock, 0);",
        "    store_relaxed(&injector->lock, 0);",
    ),
    Twin(
        "what was appended is forgotten by the lane's end",
        "sched/injector.c",
        "    lane->newest = arrived->newest;",
        "    if (!lane->newest)\n        lane->newest = arrived->newest;",
    ),
    Twin(
        "the injector looks only at its inbox",
        "sched/injector.c",
        "           load_seq_cst(&injector->stashed) == 0;",
        "           true;",
    ),
    # -------------------------------------------------------------------- idle
    Twin(
        "a searcher is taken for two",
        "sched/idle.c",
        "return fetch_sub_seq_cst(&idle->searching, 1u) == 1;",
        "return fetch_sub_seq_cst(&idle->searching, 1u) == 2;",
    ),
    Twin(
        "who announces his sleep stays counted as searching",
        "sched/idle.c",
        "    if (is_searching)\n        fetch_sub_seq_cst(&idle->searching, 1u);",
        "    (void)is_searching;",
    ),
    Twin(
        "a sleeper does not announce himself",
        "sched/idle.c",
        "    fetch_or_seq_cst(&idle->sleepers[worker / 64], bit_of(worker));",
        "    (void)worker;",
    ),
    Twin(
        "a waker wakes before he writes the token",
        "sched/idle.c",
        "    if (exchange_release(&parker->token, NOTIFIED) == PARKED)\n"
        "        sp__os_wake_one(&parker->token);",
        "    sp__os_wake_one(&parker->token);\n"
        "    exchange_release(&parker->token, NOTIFIED);",
    ),
    Twin(
        "a sleeper believes the first wake-up",
        "sched/idle.c",
        "    while (load_acquire(token) == PARKED)",
        "    if (load_acquire(token) == PARKED)",
    ),
    Twin(
        "a claimed sleeper is not counted as searching",
        "sched/idle.c",
        "    fetch_add_relaxed(&idle->searching, 1u);\n    fetch_add_relaxed",
        "    fetch_add_relaxed",
    ),
    # -------------------------------------------------------------------- task
    Twin(
        "a task is claimed without a compare-exchange",
        "sched/task.c",
        "        if (cas_weak_acq_rel(&task->state, &state, state | SP_RUNNING))\n",
        "        if (fetch_or_acq_rel(&task->state, SP_RUNNING) < UINT32_MAX)\n",
    ),
    Twin(
        "what is needed after the end is read after the end",
        "sched/task.c",
        "    announce_end(task, old, group);\n    if (release &&",
        "    announce_end(task, old, group);\n    release = task->release;\n"
        "    if (release &&",
    ),
    Twin(
        "the group is read after the end",
        "sched/task.c",
        "    announce_end(task, old, group);\n    if (release &&",
        "    announce_end(task, old, task->group ? task->group : group);\n"
        "    if (release &&",
    ),
    Twin(
        "the end does not wake the waiter",
        "sched/task.c",
        "        sp__os_wake_all(&task->state);",
        "        sp__os_pause();",
    ),
    Twin(
        "a waiter asks a task that has ended",
        "sched/task.c",
        "        if (has_ended(state))\n            return false;\n"
        "        uint32_t next = (state | flag) + refs",
        "        uint32_t next = (state | flag) + refs",
    ),
    Twin(
        "the end's results are not published",
        "sched/task.c",
        "    return phase_of(load_acquire(&task->state));",
        "    return phase_of(load_relaxed(&task->state));",
    ),
    Twin(
        "a ticket holds no reference",
        "sched/task.c",
        "set_before_end(task, SP__TASK_TICKET(ticket), 1)",
        "set_before_end(task, SP__TASK_TICKET(ticket), 0)",
    ),
    # ------------------------------------------------- completion queue, group
    Twin(
        "the consumer's sleep is overwritten in silence",
        "sched/completion.c",
        "    if (newest & SLEEPER)",
        "    if (newest & (SLEEPER << 1))",
    ),
    Twin(
        "the bell rings only for a sleeper",
        "sched/completion.c",
        "    if (!ticket_of(push(queue, ticket)) && ring)",
        "    if ((push(queue, ticket) & SLEEPER) && ring)",
    ),
    Twin(
        "a ticket is pushed relaxed",
        "sched/completion.c",
        "cas_weak_release(&queue->newest, &newest, (uintptr_t)ticket)",
        "cas_weak_relaxed(&queue->newest, &newest, (uintptr_t)ticket)",
    ),
    Twin(
        "a group is looked at after its last task has left",
        "sched/group.c",
        "    if ((old & ~SP__GROUP_LOOK) == (SP__GROUP_WAITER | n))",
        "    if (load_acquire(&group->unfinished) == SP__GROUP_WAITER)",
    ),
    Twin(
        "nobody wakes who waits for a group",
        "sched/group.c",
        "    if ((old & ~SP__GROUP_LOOK) == (SP__GROUP_WAITER | n))",
        "    if (old == (SP__GROUP_WAITER | (n + 1)))",
    ),
    # ------------------------------------------------------------------ region
    Twin(
        "a worker looks whether a region is open, then joins",
        "sched/region.c",
        "    fetch_add_seq_cst(&region->inside, 1u);\n"
        "    bool is_open = load_seq_cst(&regions->open) & bit_of(slot);",
        "    bool is_open = load_seq_cst(&regions->open) & bit_of(slot);\n"
        "    fetch_add_seq_cst(&region->inside, 1u);",
    ),
    Twin(
        "a region is left while somebody is inside",
        "sched/region.c",
        "    wait_until_empty(&regions->slots[slot].inside);",
        "    load_seq_cst(&regions->slots[slot].inside);",
    ),
    Twin(
        "the last to leave a region does not wake its owner",
        "sched/region.c",
        "        sp__os_wake_all(&region->inside);",
        "        sp__os_pause();",
    ),
    # ------------------------------------------------------------- worker, pool
    Twin(
        "a worker sleeps without a last look",
        "sched/worker.c",
        "        sp__pool_has_work(pool) || !sp__staff_is_due",
        "        !sp__staff_is_due",
    ),
    Twin(
        "a claimed sleeper does not wait for its waker",
        "sched/worker.c",
        "        learn_keepalive(worker, sp__idle_park(",
        "        if (!sp__pool_has_work(pool))\n"
        "            learn_keepalive(worker, sp__idle_park(",
    ),
    Twin(
        "a mover of tasks tells nobody",
        "sched/worker.c",
        "    if (n > 1 || !sp__injector_is_empty(&pool->injector))\n",
        "    if (n > 1000)\n",
    ),
    Twin(
        "the last searcher does not pass it on",
        "sched/worker.c",
        "    if (sp__idle_end_search(&worker->pool->idle) && ",
        "    if (!sp__idle_end_search(&worker->pool->idle) && ",
    ),
    Twin(
        "the pool is over though somebody woke up meanwhile",
        "sched/pool.c",
        "        sp__pool_has_work(pool) || load_relaxed(&pool->awake) != awake)",
        "        sp__pool_has_work(pool))",
    ),
    Twin(
        "the pool is over when its queues are empty",
        "sched/pool.c",
        "    if (awake & AWAKE_COUNT || ",
        "    if (",
    ),
    Twin(
        "a submitter tells nobody",
        "sched/pool.c",
        "    sp__idle_notify(&pool->idle);\n    return SP_OK;",
        "    return SP_OK;",
    ),
    Twin(
        "who closes the pool wakes nobody",
        "sched/pool.c",
        "    sp__staff_dismiss(pool);\n    sp__idle_notify_all(&pool->idle);",
        "    sp__staff_dismiss(pool);",
    ),
    Twin(
        "who ends the pool wakes nobody",
        "sched/pool.c",
        "    sp__idle_notify_all(&pool->idle);\n    return true;",
        "    return true;",
    ),
    Twin(
        "the last worker to end wakes nobody",
        "sched/worker.c",
        "        sp__os_wake_all(&pool->running);",
        "        sp__os_pause();",
    ),
    # -------------------------------------------------------------------- help
    Twin(
        "a worker that waits keeps back what it has counted",
        "sched/help.c",
        "            sp__detached_tell(worker, NULL);\n            if (spin",
        "            if (spin",
    ),
    Twin(
        "a worker that waits runs strangers' tasks",
        "sched/worker.c",
        "    if (!task || task->group == group)",
        "    if (!task || group)",
    ),
    Twin(
        "what is put back is told to nobody",
        "sched/worker.c",
        "    push_injected(worker, &task, 1);\n"
        "    sp__idle_notify(&worker->pool->idle);",
        "    push_injected(worker, &task, 1);",
    ),
    Twin(
        "what is taken along for a group is told to nobody",
        "sched/worker.c",
        "    if (result != SP__INJECT_NONE &&",
        "    if (result == SP__INJECT_MAYBE &&",
    ),
    Twin(
        "who waits is not asked to look when all are asleep",
        "sched/staff.c",
        "    empty_deques(pool);\n    ask_waiters(pool);",
        "    empty_deques(pool);",
    ),
    Twin(
        "those who sleep keep what is in their deques",
        "sched/staff.c",
        "    empty_deques(pool);\n    ask_waiters(pool);",
        "    ask_waiters(pool);",
    ),
    Twin(
        "who waits is not asked to look at what comes from outside",
        "sched/idle.c",
        "    if (sp_unlikely(load_seq_cst(&idle->is_stuck)))",
        "    if (sp_unlikely(load_seq_cst(&idle->searching) > 1000))",
    ),
    Twin(
        "the last one awake goes and asks nobody to look",
        "sched/staff.c",
        "    look_if_stuck(worker->pool);\n    store_relaxed(&worker->is_called, 0u);",
        "    store_relaxed(&worker->is_called, 0u);",
    ),
    Twin(
        "a group that is to be looked for ends unheard",
        "sched/group.c",
        "    if ((old & ~SP__GROUP_LOOK) == ",
        "    if (old == ",
    ),
    Twin(
        "the place up to which was looked is kept when it is taken",
        "sched/injector.c",
        "        if (entry == lane->walked)",
        "        if (entry == NULL)",
    ),
    Twin(
        "the place up to which was looked counts for every group",
        "sched/injector.c",
        "            injector->lanes[i].walked = NULL;",
        "            injector->lanes[i].walked += 0;",
    ),
    Twin(
        "the newest task is taken out and stays the newest",
        "sched/injector.c",
        "        if (is_taken && !next)",
        "        if (is_taken && !next && !before)",
    ),
    Twin(
        "whoever sleeps for a frame counts as awake",
        "sched/frame.c",
        "    sp__staff_falls_asleep(worker, NULL, false);",
        "    worker->sleeping++, worker->pool->staff.asleep += 0;",
    ),
    Twin(
        "a crate is thrown away with tasks in it",
        "sched/injector.c",
        "        if (crate && crate->begin < crate->end)\n            break;",
        "        if (crate && n == 0)\n            break;",
    ),
    Twin(
        "others' tasks in a crate are lost with those of the group",
        "sched/injector.c",
        "    crate->begin = i - kept;",
        "    crate->begin = i;",
    ),
    Twin(
        "many are taken off a deque without asking the thieves",
        "sched/deque.c",
        "        if (cas_seq_cst(&deque->top, &top, top + n))\n            return n;",
        "        store_seq_cst(&deque->top, top + n);\n        return n;",
    ),
    Twin(
        "a thief is handed what it was not given",
        "sched/worker.c",
        "        if (crate->end > 0)\n            sp__batch_add",
        "        if (most > 0)\n            sp__batch_add",
    ),
    # ------------------------------------------------------------------- staff
    Twin(
        "two threads join the workers",
        "sched/staff.c",
        "        set_presence(&pool->staff, worker, SP__ABSENT);\n    }",
        "    }",
    ),
    Twin(
        "workers that did not start are waited for",
        "sched/staff.c",
        "        if (fetch_sub_relaxed(&pool->running, 1u) == 1)",
        "        if (load_acquire(&pool->running) == 1)",
    ),
    Twin(
        "a worker that did not start counts as awake",
        "sched/staff.c",
        "        sp__pool_worker_sleeps(pool);\n        /* relaxed",
        "        /* relaxed",
    ),
    Twin(
        "a worker that goes keeps its tasks",
        "sched/staff.c",
        "    sp__worker_hand_over(worker);",
        "    (void)sp__worker_hand_over;",
    ),
    Twin(
        "nobody stands in for a blocked worker",
        "sched/staff.c",
        "    staff->blocked++;",
        "    (void)staff->blocked;",
    ),
    # ------------------------------------------------------------------ frames
    Twin(
        "a stolen frame's end is not rung for",
        "sched/frame.c",
        "    ring(&thief->frames);",
        "    (void)ring;",
    ),
    Twin(
        "an owner takes a shown frame back without asking",
        "sched/frame.c",
        "        if (!cas_weak_relaxed(&frames->shown, &shown, "
        "with_split(shown, split)))\n            continue;",
        "        store_relaxed(&frames->shown, with_split(shown, split));",
    ),
    Twin(
        "a thief looks at the slot after its end",
        "sched/frame.c",
        "    store_seq_cst(&slot->state, DONE);",
        "    store_seq_cst(&slot->state, DONE);\n    slot->code = code;",
    ),
    Twin(
        "a refused task keeps the pool's reference",
        "sched/pool.c",
        "        take_back(tasks, n);",
        "        (void)take_back;",
    ),
    Twin(
        "without threads the pool's memory is kept",
        "sched/pool.c",
        "        sp_pool_free(pool);\n    return status;",
        "        (void)status;\n    return status;",
    ),
    # ------------------------------------------------------------------- loops
    Twin(
        "two take the same piece of a loop",
        "par/parallel_for.c",
        "        if (!cas_weak_relaxed(&own->left, &left, left + ((uint64_t)n << 32)))"
        "\n            continue;",
        "        store_relaxed(&own->left, left + ((uint64_t)n << 32));",
    ),
    # ------------------------------------------------- sleeps that end too early
    Twin(
        "who waits for a task believes the first wake-up",
        "sched/task.c",
        "        case SP__OS_WOKEN:\n            break;",
        "        case SP__OS_WOKEN:\n            return ended_status(task);",
    ),
    Twin(
        "a signal ends the wait for a task as its end does",
        "sched/task.c",
        "ended_status(task) : SP_EINTR;",
        "ended_status(task) : SP_OK;",
    ),
    Twin(
        "who waits for a group believes the first wake-up",
        "sched/group.c",
        "        case SP__OS_WOKEN:\n            break;",
        "        case SP__OS_WOKEN:\n            return SP_OK;",
    ),
    Twin(
        "a signal ends the wait for a group as its end does",
        "sched/group.c",
        "SP_EINTR : SP_OK;",
        "SP_OK : SP_OK;",
    ),
    Twin(
        "a consumer believes the first wake-up",
        "sched/completion.c",
        "        case SP__OS_WOKEN:\n            break;",
        "        case SP__OS_WOKEN:\n            return SP_OK;",
    ),
    Twin(
        "the owner of a region believes the first wake-up",
        "sched/region.c",
        "    while ((seen = fetch_or_seq_cst(inside, WAITER)) & ~WAITER)",
        "    if ((seen = fetch_or_seq_cst(inside, WAITER)) & ~WAITER)",
    ),
    Twin(
        "a frame's words are copied into no memory",
        "sched/frame.c",
        "    return copy ? memcpy(copy, words, bytes) : NULL;",
        "    return memcpy(copy, words, bytes);",
    ),
    Twin(
        "who finds no piece leaves while half a range is on its way",
        "par/parallel_for.c",
        "            if (load_relaxed(&loop->moves_begun) == ended)\n",
        "            if (load_relaxed(&loop->moves_begun) >= ended)\n",
    ),
    Twin(
        "errors are recorded without the lock",
        "par/parallel_for.c",
        "    while (!cas_weak_acquire(&loop->error_lock, &unlocked, 1)) {",
        "    while (unlocked) {",
    ),
]


def path_of(file):
    return Path(file) if file.startswith("pyx/") else Path("csrc") / file


class Build:
    """The commands by which meson built the simulator."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        text = subprocess.run(
            ["ninja", "-C", self.folder, "-t", "compdb"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.commands = {
            entry["output"]: entry["command"]
            for entry in json.loads(text)
            if entry["output"].startswith("tests/sim/") and entry["output"][-2:] == ".o"
        }

    def compile(self, file, text, into):
        """Compile `text` as the library's `file`; returns the program's path."""
        name = str(path_of(file)).replace("/", "_")
        [output] = [o for o in self.commands if o.endswith(name + ".o")]
        words = shlex.split(self.commands[output])
        source = into / Path(file).name
        source.write_text(text)
        words[words.index("-o") + 1] = str(into / "twin.o")
        words[words.index("-c") + 1] = str(source)
        for option in ("-MF", "-MQ"):
            words[words.index(option) + 1] = str(into / "twin.d")
        words = [word for word in words if word != "-Werror"]
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True)
        objects = [o for o in self.commands if o != output]
        program = into / "sim"
        link = ["cc", "-o", program, into / "twin.o", *objects, "-lm", "-pthread"]
        subprocess.run(link, cwd=self.folder, check=True)
        return program


def check(build, twin):
    """Returns whether the twin was caught, and a line about it."""
    path = path_of(twin.file)
    text = (ROOT / path).read_text()
    if text.count(twin.old) != 1:
        return False, f"{text.count(twin.old)} places in {path} look like it"
    with tempfile.TemporaryDirectory() as folder:
        try:
            new = text.replace(twin.old, twin.new)
            program = build.compile(twin.file, new, Path(folder))
        except subprocess.CalledProcessError as error:
            return False, f"does not compile: {error.stderr}"
        for schedules in (SCHEDULES // 40, SCHEDULES):
            command = [program, "--schedules", str(schedules)]
            result = subprocess.run(
                command, capture_output=True, text=True, check=False
            )
            if result.returncode == 1:
                break
    if result.returncode != 1:
        return False, "is not noticed"
    scenario = re.search(r"scenario (\w+),.* schedule (\d+)", result.stderr)
    what = re.search(r"^sim: (.*)$", result.stderr, re.M)
    return True, f"{scenario[1]}, schedule {scenario[2]}: {what[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="the folder where meson built the simulator")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the claim or file")
    args = parser.parse_args()
    build = Build(args.build)
    twins = TWINS + [Twin(*words) for words in twins_binding.TWINS]
    twins = [twin for twin in twins if args.only in twin.claim + twin.file]
    with ThreadPoolExecutor(args.jobs) as threads:
        results = threads.map(lambda twin: check(build, twin), twins)
        missed = 0
        for twin, (caught, line) in zip(twins, results, strict=True):
            missed += not caught
            verdict = "caught" if caught else "MISSED"
            print(f"{verdict}  {twin.file}: {twin.claim}\n        {line}", flush=True)
    print(f"{len(twins) - missed} of {len(twins)} twins caught")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())
