/* sp_fail() and sp_take_failure(): a kernel's last words, one text a thread. */
#define _POSIX_C_SOURCE 200809L

#include "sched/failure.h"

#include <assert.h>
#include <string.h>

#include "stealpool.h"

static _Thread_local char text[SP__FAILURE_BYTES];
static _Thread_local int is_new;

int sp_fail(int code, const char *message)
{
    assert(code != 0);
    size_t n = strnlen(message, SP__FAILURE_BYTES - 1);
    memcpy(text, message, n);
    text[n] = '\0';
    is_new = 1;
    return code;
}

const char *sp_take_failure(void)
{
    const char *taken = is_new ? text : "";
    is_new = 0;
    return taken;
}
