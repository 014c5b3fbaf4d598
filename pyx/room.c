#include "room.h"

/* A plan that is never run has an ear for its data. */
struct ear {
    struct sp_ear ear; /* first: they convert */
    struct sp_cell *room;
};

static struct sp_ear *ear_of(struct sp_cell *room)
{
    return &((struct ear *)sp_cell_plan(room))->ear;
}

static void hear(struct sp_ear *ear)
{
    struct sp_cell *room = ((struct ear *)(void *)ear)->room;
    sp_task_cancel(&room->task);
    sp_task_unref(&room->task); /* taken in sp_room_listen() */
}

struct sp_cell *sp_room_create(void)
{
    return sp_cell_for_plan(NULL, sizeof(struct ear));
}

bool sp_room_listen(struct sp_cell *room, struct sp_gate *gate, uint32_t turn)
{
    *(struct ear *)sp_cell_plan(room) = (struct ear){{.hear = hear}, room};
    sp_task_ref(&room->task);
    if (sp_gate_listen(gate, turn, ear_of(room)))
        return true;
    sp_task_unref(&room->task);
    return false;
}

void sp_room_unlisten(struct sp_cell *room, struct sp_gate *gate)
{
    if (sp_gate_unlisten(gate, ear_of(room)))
        sp_task_unref(&room->task);
}
