# cython: language_level=3, embedsignature=False
"""The extension module of stealpool: mechanism, no policy.

One module, because each extension that linked the C core would have a pool of its
own. It is put together from parts, in the order of what needs what:

errors      a status becomes an exception
buffers     arrays that a task uses
kernel      a C function, its arguments, its result
columns     the arguments of many calls, in arrays
calls       the queue of a Python lane
token       cancels from afar
home        an executor's pool, group and counters
drainer     ended tasks that nobody waits for
future      the Future
outcome     how it comes by its result
observers   who must hear of it
deadlock    waiting that can never end
lane        running Python callables
chunks      many of them in one go
waiting     for one future, for many
inbox       what has ended for an event loop
aio         what a coroutine awaits
admission   who may submit now: time limits, tokens, full queues
executor    submit
batch       submit_many: many calls of a kernel
plans       the built-in kernels
abis        kernels that know shapes
ranges      loops over a range
process     facts, fork, exit
native_api  what Cython code can cimport
"""
cimport cython
from cpython.buffer cimport (
    PyBUF_FULL_RO,
    PyBuffer_IsContiguous,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.object cimport PyObject_GenericSetAttr
from cpython.pycapsule cimport (
    PyCapsule_CheckExact,
    PyCapsule_GetContext,
    PyCapsule_GetName,
    PyCapsule_GetPointer,
)
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport (
    int8_t,
    int16_t,
    int32_t,
    int64_t,
    intptr_t,
    uint8_t,
    uint16_t,
    uint32_t,
    uint64_t,
    uintptr_t,
)
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset, strdup

from cell_c cimport *
from stealpool_c cimport *

import concurrent.futures as _cf
import os as _os
import sys as _sys
import sysconfig as _sysconfig
from collections import OrderedDict as _OrderedDict
from collections import deque as _deque
from concurrent.futures import CancelledError as _CancelledError
from concurrent.futures import Future as _StdFuture
from concurrent.futures import InvalidStateError as _InvalidStateError
from concurrent.futures import TimeoutError as _TimeoutError
from concurrent.futures.thread import BrokenThreadPool
from contextvars import Context as _Context
from contextvars import copy_context as _copy_context
from functools import update_wrapper as _update_wrapper
from operator import index as _index
from queue import Full as _Full
from re import sub as _sub
from threading import Condition as _Condition
from threading import RLock as _RLock
from threading import Thread as _Thread
from threading import get_ident as _get_ident
from threading import local as _thread_local
from threading import main_thread as _main_thread
from types import FunctionType as _Function
from types import GenericAlias as _GenericAlias
from weakref import WeakSet as _WeakSet
from weakref import ref as _WeakRef

cdef extern from "base/os.h" nogil:
    int64_t sp__os_now_ns()
    uint32_t sp__os_affinity_cpus()

cdef extern from "base/counters.h" nogil:
    uint32_t SP_FIRST_COUNT

cdef extern from "gauge.h" nogil:
    ctypedef struct sp_gauge "struct sp_gauge":
        pass

    int64_t sp_gauge_read(const sp_gauge *gauge)
    void sp_gauge_set(sp_gauge *gauge, int64_t value)

cdef extern from "latch.h" nogil:
    ctypedef struct sp_latch "struct sp_latch":
        pass

    bint sp_latch_is_set(const sp_latch *latch)
    void sp_latch_set(sp_latch *latch)
    void sp_latch_take_back(sp_latch *latch)
    bint sp_latch_raise(sp_latch *latch)
    void sp_latch_lower(sp_latch *latch)

cdef extern from "sched/task.h" nogil:
    ctypedef struct sp_look "struct sp__look":
        void (*look)(void *arg) noexcept
        void *arg
        int64_t next_ns

    sp_look *sp__task_set_look(sp_look *look)

cdef extern from "sched/pool.h" nogil:
    sp_status sp__pool_wait(sp_pool *pool, int64_t timeout_ns)

cdef extern from "Python.h":
    void PyErr_SetObject(object type, object value)
    unsigned long PyThread_get_thread_ident()
    void PyErr_WriteUnraisable(object where)
    void PyObject_GC_Track(object op)
    void PyObject_GC_UnTrack(object op)
    bint PyObject_GC_IsTracked(object op)

cdef extern from *:
    """
    /* type.__new__(type), without looking it up and without __init__: what a submit
     * makes its Future with. */
    static PyObject *new_without_init(PyObject *type, PyObject *no_args)
    {
        return ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, no_args, NULL);
    }
    """
    object new_without_init(object type, object no_args)

cdef extern from "build.h":
    const char *SP_VERSION
    const char *SP_COMPILER
    const char *SP_BUILD_TYPE

__version__ = SP_VERSION.decode()

cdef object _LOGGER = _cf._base.LOGGER

include "errors.pxi"
include "buffers.pxi"
include "kernel.pxi"
include "columns.pxi"
include "calls.pxi"
include "token.pxi"
include "home.pxi"
include "drainer.pxi"
include "future.pxi"
include "outcome.pxi"
include "observers.pxi"
include "deadlock.pxi"
include "lane.pxi"
include "chunks.pxi"
include "waiting.pxi"
include "inbox.pxi"
include "aio.pxi"
include "admission.pxi"
include "executor.pxi"
include "batch.pxi"
include "room.pxi"
include "plans.pxi"
include "abis.pxi"
include "ranges.pxi"
include "process.pxi"
include "native_api.pxi"

set_gauges()
open_queues()
count_spinning_cpus()
