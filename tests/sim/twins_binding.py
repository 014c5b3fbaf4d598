"""Errors in the binding's C, for twins.py: what is wrong, where, the old, the new."""

TWINS = [
    # -------------------------------------------------------------------- gate
    (
        "who leaves does not tell those who wait",
        "pyx/gate.c",
        "    if ((inside ^ next) & SP_GATE_WAITER)\n        tell(gate);",
        "",
    ),
    (
        "who waits does not mind the turn",
        "pyx/gate.c",
        "(inside & SP_GATE_WAKE) == turn) {\n        uint32_t waiting",
        "true) {\n        uint32_t waiting",
    ),
    (
        "who listens does not mind the turn",
        "pyx/gate.c",
        "(inside & SP_GATE_WAKE) == turn) {\n        if (!cas_weak",
        "true) {\n        if (!cas_weak",
    ),
    (
        "the turn changes relaxed",
        "pyx/gate.c",
        "cas_weak_release(&gate->inside, &inside, inside ^ SP_GATE_WAKE)",
        "cas_weak_relaxed(&gate->inside, &inside, inside ^ SP_GATE_WAKE)",
    ),
    (
        "an ear is touched after it has heard",
        "pyx/gate.c",
        "        ear->hear(ear);\n        ear = next;",
        "        ear->hear(ear);\n        next = ear->next;\n        ear = next;",
    ),
    (
        "the lock of the ears is given back relaxed",
        "pyx/gate.c",
        "    store_release(&gate->lock, 0); /* (A2) */",
        "    store_relaxed(&gate->lock, 0);",
    ),
    (
        "the flag is set before the ears are locked",
        "pyx/gate.c",
        "        ear->next = gate->ears;\n        gate->ears = ear;\n",
        "        unlock(gate);\n        lock(gate);\n"
        "        ear->next = gate->ears;\n        gate->ears = ear;\n",
    ),
    # -------------------------------------------------------------------- room
    (
        "the gate has no reference to the room's task",
        "pyx/room.c",
        "    sp_task_ref(&room->task);\n",
        "",
    ),
    (
        "who listens no more takes the reference of one who is told",
        "pyx/room.c",
        "    if (sp_gate_unlisten(gate, ear_of(room)))\n        sp_task_unref",
        "    sp_gate_unlisten(gate, ear_of(room));\n        sp_task_unref",
    ),
    # --------------------------------------------------------- cells and blocks
    (
        "a call is settled relaxed",
        "pyx/home.c",
        "fetch_sub_acq_rel(&block->counts, (uint16_t)SP_BLOCK_UNSETTLED)",
        "fetch_sub_relaxed(&block->counts, (uint16_t)SP_BLOCK_UNSETTLED)",
    ),
    (
        "a call is let go relaxed",
        "pyx/home.c",
        "            if (cas_weak_acq_rel(\n",
        "            if (cas_weak_relaxed(\n",
    ),
    (
        "a cell is freed relaxed",
        "pyx/cell.c",
        "fetch_sub_acq_rel(&block->counts, (uint16_t)SP_BLOCK_CELL)",
        "fetch_sub_relaxed(&block->counts, (uint16_t)SP_BLOCK_CELL)",
    ),
    (
        "the last call is let go as if there were others",
        "pyx/home.c",
        "        while (counts / SP_BLOCK_UNSETTLED > 1)",
        "        while (counts / SP_BLOCK_UNSETTLED > 0)",
    ),
    (
        "a shared call is let go as if nobody else had it",
        "pyx/home.c",
        "        sp__task_is_unshared(&cell->task))",
        "        true)",
    ),
    (
        "a revoked call ends uncounted",
        "pyx/cell.c",
        "    if (may_run(cell, home))\n        run_kernel(cell);\n",
        "    if (!may_run(cell, home))\n        return;\n    run_kernel(cell);\n",
    ),
    (
        "a call is settled twice",
        "pyx/home.c",
        "    if (exchange_acquire(&cell->is_settled, 1))\n        return NULL;",
        "    (void)exchange_acquire(&cell->is_settled, 1);",
    ),
    (
        "a settled block stays in its home's list",
        "pyx/home.c",
        "        unlist_block(block, home);\n",
        "",
    ),
    (
        "the lock of a home is given back relaxed",
        "pyx/home.c",
        "    store_release(&home->lock, 0); /* (H1) */",
        "    store_relaxed(&home->lock, 0);",
    ),
    (
        "calls are cancelled without the home's lock",
        "pyx/home.c",
        "    sp_phase last = running ? SP_RUNNING : SP_PENDING;\n    lock(home);",
        "    sp_phase last = running ? SP_RUNNING : SP_PENDING;\n    unlock(home);",
    ),
    (
        "two may hold the lock of the kept blocks",
        "pyx/block.c",
        "    return cas_acquire(&kept.lock, &unlocked, 1); /* (K2) */",
        "    return fetch_or_acq_rel(&kept.lock, 1u + unlocked) < 2;",
    ),
    (
        "the lock of the kept blocks is given back relaxed",
        "pyx/block.c",
        "    store_release(&kept.lock, 0); /* (K2) */",
        "    store_relaxed(&kept.lock, 0);",
    ),
    (
        "a block that is taken stays among the kept ones",
        "pyx/block.c",
        "            kept.free[words] = block->after;\n",
        "",
    ),
    # --------------------------------------------------------------- cancellers
    (
        "the lock of a canceller is given back relaxed",
        "pyx/canceller.c",
        "    store_release(&canceller->lock, 0); /* (H2) */",
        "    store_relaxed(&canceller->lock, 0);",
    ),
    (
        "a home that goes stays with its canceller",
        "pyx/canceller.c",
        "    if (*link)\n        *link = home->next_of_canceller;\n",
        "",
    ),
    (
        "a canceller that goes stays with its parent",
        "pyx/canceller.c",
        "    if (*link)\n        *link = canceller->next_of_parent;\n",
        "",
    ),
    # -------------------------------------------------------------------- lanes
    (
        "a thread leaves before it has been rung",
        "pyx/lane.c",
        "    while (was_called && !is_called(seat))",
        "    while (was_called && false)",
    ),
    (
        "a thread that sleeps is not woken",
        "pyx/lane.c",
        "    if (exchange_acq_rel(&seat->word, CALLED) == SLEEPS)",
        "    if (exchange_acq_rel(&seat->word, CALLED) == SPINS)",
    ),
    (
        "a thread that was called falls asleep",
        "pyx/lane.c",
        "    cas_seq_cst(&seat->word, &word, SLEEPS);",
        "    word = exchange_acq_rel(&seat->word, SLEEPS);",
    ),
    (
        "who leaves calls nobody for what is left",
        "pyx/lane.c",
        "(lane->called == 0 && has_calls(lane)))",
        "false)",
    ),
    (
        "a called thread stays counted",
        "pyx/lane.c",
        "    if (seat->is_called)\n        lane->called--;",
        "    (void)lane;",
    ),
    (
        "the lock of a lane is given back relaxed",
        "pyx/lane.c",
        "    store_release(&lane->lock, 0); /* (Q1) */",
        "    store_relaxed(&lane->lock, 0);",
    ),
    (
        "who takes calls along looks for no idle thread",
        "pyx/lane.c",
        "    if (seat->taker.has_moved && load_seq_cst(&lane->reserve) > 0) {",
        "    if (false) {",
    ),
    (
        "a thread says that it is idle after it has looked",
        "pyx/lane.c",
        "        store_seq_cst(&lane->reserve, lane->idle_threads + lane->vacant + 1);",
        "        (void)0;",
    ),
    (
        "a lane is over while a call is between two queues",
        "pyx/lane.c",
        "lane->is_closed && count_calls(lane) == 0;",
        "lane->is_closed && !has_calls(lane);",
    ),
    (
        "who ends in a closed lane calls nobody",
        "pyx/lane.c",
        "    if (lane->is_closed || (lane->called",
        "    if ((lane->called",
    ),
    (
        "a call that is moved is not cancelled",
        "pyx/lane.c",
        "    while (!call && count_calls(lane) > 0);",
        "    while (false);",
    ),
    # ------------------------------------------------------------------- queues
    (
        "a call is removed from where it was",
        "pyx/queues.c",
        "        is_here = load_relaxed(&call->place) == place;",
        "        is_here = true;",
    ),
    (
        "a call is in no queue while it is moved",
        "pyx/calls.c",
        "        sp_calls_append(to, serve(from, priority), priority);",
        "    {\n"
        "        struct sp_call *call = sp_calls_pop(from);\n"
        "        sp_calls_append(to, call, priority);\n"
        "    }",
    ),
    (
        "calls are moved into a queue that somebody else has",
        "pyx/queues.c",
        "    if (n > 0 && sp_calls_try_lock(own)) {",
        "    if (n > 0 && (sp_calls_try_lock(own) || true)) {",
    ),
    (
        "the lock of a queue is given back relaxed",
        "pyx/calls.c",
        "    store_release(&calls->lock, 0);",
        "    store_relaxed(&calls->lock, 0);",
    ),
    (
        "a queue is not shown when it is not empty any more",
        "pyx/calls.c",
        "    if (has & ~shown)",
        "    if (false)",
    ),
    # --------------------------------------------------------------------- bell
    (
        "a bell is rung relaxed",
        "pyx/bell.c",
        "    uint32_t before = fetch_or_acq_rel(&bell->rung, how);",
        "    uint32_t before = fetch_or_relaxed(&bell->rung, how);",
    ),
    (
        "a bell wakes nobody",
        "pyx/bell.c",
        "        sp__os_wake_all(&bell->rung);",
        "        (void)0;",
    ),
    (
        "a bell is rung for a listener who is away",
        "pyx/bell.c",
        "    if (before & SP_BELL_AWAY)\n        sp_bell_call_deputy(bell);",
        "    if (before & SP_BELL_AWAY)\n        (void)0;",
    ),
    (
        "a deputy clears the bell of a listener who is there",
        "pyx/bell.c",
        "    while (rung & SP_BELL_AWAY)\n"
        "        if (cas_weak_acquire(&bell->rung, &rung, SP_BELL_AWAY))\n"
        "            return true;\n"
        "    return false;",
        "    exchange_acq_rel(&bell->rung, rung & SP_BELL_AWAY);\n"
        "    return rung & SP_BELL_AWAY;",
    ),
]
