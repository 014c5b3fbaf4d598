#include "stealpool.h"

const char *sp_status_text(sp_status status)
{
    switch (status) {
    case SP_OK:
        return "success";
    case SP_ENOMEM:
        return "out of memory";
    case SP_EINVAL:
        return "an argument is out of range";
    case SP_ECLOSED:
        return "the pool is shut down";
    case SP_ETIMEDOUT:
        return "timed out";
    case SP_EINTR:
        return "interrupted by a signal";
    case SP_EDONE:
        return "the task has ended already";
    case SP_ECANCELLED:
        return "cancelled";
    case SP_ETHREAD:
        return "the system refused to create a thread";
    case SP_EBUSY:
        return "busy";
    case SP_EFILES:
        return "no file descriptor is left";
    case SP_EPERM:
        return "the process may not do that";
    }
    return "unknown status";
}
