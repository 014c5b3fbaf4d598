/*
 * room.h - room in a full queue, as the end of a task.
 *
 * An event loop hears of tasks that end: they come to its inbox, and ring. So what a
 * coroutine waits for, when a queue is full, is a task that nobody runs; the gate cancels
 * it when there is room. It is a cell, because inboxes hold cells.
 */
#ifndef SP_PYX_ROOM_H
#define SP_PYX_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "cell.h"
#include "gate.h"

/** A cell for one announcement; the caller's reference. NULL: no memory. */
struct sp_cell *sp_room_create(void);

/**
 * Cancel the cell as soon as the gate says so: see sp_gate_listen(). Until then the gate
 * has a reference.
 * @return false if it says so already: the cell is left as it is.
 */
bool sp_room_listen(struct sp_cell *room, struct sp_gate *gate, uint32_t turn);

/** The gate need not care any more. The caller has a reference. */
void sp_room_unlisten(struct sp_cell *room, struct sp_gate *gate);

#endif /* SP_PYX_ROOM_H */
