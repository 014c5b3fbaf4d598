#include "room.h"

#include <stddef.h>

static struct sp_ear *ear_of(struct sp_cell *room)
{
    return (struct sp_ear *)(void *)room->words;
}

static void hear(struct sp_ear *ear)
{
    struct sp_cell *room =
        (struct sp_cell *)(void *)((char *)ear - offsetof(struct sp_cell, words));
    sp_task_cancel(&room->task);
    sp_task_unref(&room->task); /* taken in sp_room_listen() */
}

struct sp_cell *sp_room_create(void)
{
    return sp_cell_for_plan(NULL, sizeof(struct sp_ear));
}

bool sp_room_listen(struct sp_cell *room, struct sp_gate *gate, uint32_t turn)
{
    struct sp_ear *ear = ear_of(room);
    *ear = (struct sp_ear){.hear = hear};
    sp_task_ref(&room->task);
    if (sp_gate_listen(gate, turn, ear))
        return true;
    sp_task_unref(&room->task);
    return false;
}

void sp_room_unlisten(struct sp_cell *room, struct sp_gate *gate)
{
    if (sp_gate_unlisten(gate, ear_of(room)))
        sp_task_unref(&room->task);
}
