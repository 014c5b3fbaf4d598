# What the extension uses of C that is not the public API.
from libc.stdint cimport (
    int32_t,
    int64_t,
    intptr_t,
    uint8_t,
    uint32_t,
    uint64_t,
)
from stealpool_c cimport (
    sp_combine_fn,
    sp_group,
    sp_pool,
    sp_priority,
    sp_range_fn,
    sp_reduce_fn,
    sp_status,
    sp_task,
    sp_token,
)


cdef extern from "kernels/call.h" nogil:
    ctypedef void (*sp__callee_fn)()
    enum: SP__CALL_INTEGERS
    enum: SP__CALL_FLOATS
    enum: SP__CALL_STACK
    enum: SP__CALL_MAX
    enum: SP__CALL_INTEGER
    enum: SP__CALL_REAL

    ctypedef union sp_word "union sp__word":
        int64_t integer
        double real
        float real32
        void *pointer

    ctypedef struct sp_call_shape "struct sp__call_shape":
        uint8_t words

    bint sp__call_lay_out(
        const uint8_t *classes,
        unsigned n,
        int result,
        sp_call_shape *ret_shape,
        uint8_t *ret_words,
    )
    sp_word sp__call(
        sp__callee_fn function, sp_call_shape shape, const sp_word *words
    )


cdef extern from "lane.h" nogil:
    enum: SP_LANE_NOTHING

    ctypedef struct sp_call "struct sp_call":
        pass

    ctypedef struct sp_seat "struct sp_seat":
        bint is_late

    ctypedef struct sp_lane "struct sp_lane":
        pass

    void sp_lane_init(sp_lane *lane, uint32_t threads, bint is_parallel)
    int sp_lane_put(sp_lane *lane, sp_call *call, uint32_t priority)
    void sp_lane_thread_failed(sp_lane *lane)
    bint sp_lane_remove(sp_lane *lane, sp_call *call)
    void sp_lane_sit(sp_lane *lane, sp_seat *seat)
    void sp_lane_leave(sp_lane *lane, sp_seat *seat)
    sp_call *sp_lane_take(sp_lane *lane, sp_seat *seat)
    sp_call *sp_lane_take_any(sp_lane *lane)
    void sp_lane_wait(sp_lane *lane, sp_seat *seat)
    void sp_lane_spin(sp_lane *lane, const sp_task *task)
    void sp_lane_enter(sp_lane *lane)
    sp_lane *sp_lane_current()
    void sp_lane_close(sp_lane *lane)
    bint sp_lane_may_run_more(sp_lane *lane)
    bint sp_lane_is_over(sp_lane *lane)
    uint32_t sp_lane_idle_threads(sp_lane *lane)
    uint32_t sp_lane_queued(sp_lane *lane)


cdef extern from "kernels/array_loop.h" nogil:
    ctypedef void (*sp__loop_fn)(
        char **args, const intptr_t *dims, const intptr_t *steps, void *data
    ) noexcept
    enum: SP__LOOP_MAX_OPERANDS
    enum: SP__LOOP_MAX_AXES

    ctypedef struct sp_array_loop "struct sp__array_loop":
        sp__loop_fn function
        void *data
        int32_t n_operands
        int32_t n_axes
        int32_t n_core_dims
        int32_t n_core_steps
        intptr_t *words

    size_t sp__array_loop_size(
        size_t n_operands, size_t n_axes, size_t n_core_dims, size_t n_core_steps
    )
    void sp__array_loop_coalesce(sp_array_loop *loop, int32_t n_kept)
    int sp__array_loop_run(intptr_t begin, intptr_t end, void *loop) noexcept


cdef extern from "watched.h" nogil:
    ctypedef int (*sp_look_fn)(void *looker, intptr_t done) noexcept

    ctypedef struct sp_watched "struct sp_watched":
        sp_range_fn body
        sp_reduce_fn reduce_body
        sp_combine_fn combine
        void *user
        intptr_t grain
        sp_look_fn look
        void *looker

    void sp_watched_begin(sp_watched *watched)
    int sp_watched_piece(intptr_t begin, intptr_t end, void *watched) noexcept
    int sp_watched_reduce(
        intptr_t begin, intptr_t end, void *acc, void *watched
    ) noexcept
    void sp_watched_combine(void *into, const void *other, void *watched) noexcept


cdef extern from "column.h" nogil:
    ctypedef enum sp_number "enum sp_number":
        SP_NOT_A_NUMBER

    ctypedef struct sp_column "struct sp_column":
        const char *data
        intptr_t stride
        sp_number number "type"

    sp_number sp_number_of(const char *format, intptr_t size)
    bint sp_number_is_real(sp_number number)
    double sp_column_real(const sp_column *column, size_t i)
    int64_t sp_column_integer(const sp_column *column, size_t i)
    size_t sp_column_convert(
        const sp_column *column,
        size_t begin,
        size_t n,
        sp_number type,
        sp_word *ret_words,
        size_t step,
    )


cdef extern from "gate.h" nogil:
    ctypedef struct sp_gate "struct sp_gate":
        uint32_t limit

    enum: SP_GATE_MOST
    void sp_gate_init(sp_gate *gate, uint32_t workers, uint32_t capacity)
    uint32_t sp_gate_enter(sp_gate *gate, uint32_t least, uint32_t most)
    void sp_gate_enter_anyway(sp_gate *gate)
    void sp_gate_leave(sp_gate *gate, uint32_t n)
    uint32_t sp_gate_turn(sp_gate *gate)
    sp_status sp_gate_wait(sp_gate *gate, uint32_t turn, int64_t timeout_ns)
    void sp_gate_wake(sp_gate *gate)
    void sp_gate_reset(sp_gate *gate)
    uint32_t sp_gate_inside(sp_gate *gate)


cdef extern from "canceller.h" nogil:
    ctypedef struct sp_canceller "struct sp_canceller":
        sp_token token

    ctypedef struct sp_home "struct sp_home":
        sp_group group
        sp_gate *gates
        sp_canceller *canceller
        uint32_t timeout_ms
        sp_priority priority
        bint cancels_on_error
        bint is_stale

    sp_canceller *sp_canceller_create(sp_canceller *parent)
    void sp_canceller_unref(sp_canceller *canceller)
    void sp_canceller_attach(sp_canceller *canceller, sp_home *home)
    void sp_canceller_cancel(sp_canceller *canceller)
    bint sp_canceller_is_cancelled(const sp_canceller *canceller)
    void sp_canceller_reset(sp_canceller *canceller)


cdef extern from "home.h" nogil:
    enum: SP_NATIVE_LANE
    enum: SP_PYTHON_LANE

    void sp_home_init(sp_home *home)
    void sp_home_destroy(sp_home *home)
    void sp_home_count_attach(sp_home *home)
    uint64_t sp_home_count_submitted(sp_home *home, size_t n)
    void sp_home_count_ended(sp_home *home, unsigned lane)
    uint64_t sp_home_ended(sp_home *home)
    uint64_t sp_home_submitted(sp_home *home)
    uint64_t sp_home_attaches(sp_home *home)
    void sp_home_cancel(sp_home *home, bint running)
    size_t sp_home_queued(sp_home *home)
    int64_t sp_home_expire(sp_home *home, int64_t now_ns)
    int64_t sp_home_next_due_ns(sp_home *home)
    bint sp_home_is_over(sp_home *home)


cdef extern from "home.h":  # with the GIL, which what it calls needs
    void sp_home_visit_running(
        sp_home *home, int (*visit)(void *keep, void *visitor) noexcept, void *visitor
    )


cdef extern from "block.h" nogil:
    ctypedef struct sp_callee "struct sp_callee":
        sp__callee_fn function
        sp_call_shape shape
        bint returns_status

    ctypedef int (*sp_plan_fn)(void *plan, sp_word *ret_value) noexcept

    ctypedef struct sp_block "struct sp_block":
        void *keep
        unsigned int n_cells

    enum: SP_BLOCK_MOST
    size_t sp_block_cell_bytes(const sp_block *block)
    sp_block *sp_block_for_calls(sp_callee *callee, size_t n, sp_home *home)
    void sp_block_free(sp_block *block)
    void sp_blocks_join(sp_block **blocks, size_t n, sp_home *home)
    sp_status sp_blocks_submit(sp_pool *pool, sp_block **blocks, size_t n)
    void sp_blocks_refuse(sp_block **blocks, size_t n)


cdef extern from "cell.h" nogil:
    ctypedef struct sp_cell "struct sp_cell":
        sp_task task
        void *future
        int32_t error
        sp_word *words

    sp_cell *sp_cell_of(sp_task *task)
    sp_cell *sp_block_cell(sp_block *block, size_t i)
    sp_block *sp_cell_block(const sp_cell *cell)
    sp_home *sp_cell_home(const sp_cell *cell)
    sp_home *sp_cell_unsettled_home(const sp_cell *cell)
    void sp_cell_prefetch(const sp_cell *cell)
    void *sp_cell_plan(sp_cell *cell)
    const char *sp_cell_message(const sp_cell *cell)
    sp_cell *sp_cell_for_call(sp_callee *callee)
    sp_cell *sp_cell_for_plan(sp_plan_fn plan, size_t size)
    sp_cell *sp_cell_for_callable()
    sp_call *sp_cell_call(sp_cell *cell)
    sp_cell *sp_cell_of_call(sp_call *call)
    void sp_cell_join(sp_cell *cell, sp_home *home)
    void sp_cell_join_late(sp_cell *cell, sp_home *home)
    void sp_cell_join_inline(sp_cell *cell, sp_home *home)
    void *sp_cell_settle(sp_cell *cell)
    void *sp_cell_let_go(sp_cell *cell)
    void sp_cell_run_inline(sp_cell *cell)
    unsigned sp_cell_lane(const sp_cell *cell)
    sp_status sp_cell_cancel(sp_cell *cell)
    bint sp_cell_has_ended(const sp_cell *cell)
    bint sp_cell_has_result(const sp_cell *cell)
    bint sp_cell_was_cancelled(const sp_cell *cell)
    bint sp_cell_timed_out(sp_cell *cell)
    bint sp_cell_claim(sp_cell *cell)
    void sp_cell_finish(sp_cell *cell)
    sp_status sp_cells_wait(
        sp_cell **cells, size_t n, int64_t timeout_ns
    )

    bint sp_cell_spin(sp_cell *cell, const sp_pool *pool, int64_t spin_ns)
    void sp_cell_yield(sp_cell *cell, sp_pool *pool)


cdef extern from "room.h" nogil:
    sp_cell *sp_room_create()
    bint sp_room_listen(sp_cell *room, sp_gate *gate, uint32_t turn)
    void sp_room_unlisten(sp_cell *room, sp_gate *gate)


cdef extern from "bell.h" nogil:
    ctypedef struct sp_bell "struct sp_bell":
        pass

    int64_t SP_BELL_NO_ALARM

    void sp_bell_init(sp_bell *bell)
    void sp_bell_ring_lazily(void *bell)
    void sp_bell_ring_urgently(void *bell)
    void sp_bell_wait(sp_bell *bell, int64_t patience_ns, int64_t alarm_ns)
    void sp_bell_leave(sp_bell *bell, int64_t alarm_ns)
    void sp_bell_return(sp_bell *bell)
    bint sp_bell_is_away(const sp_bell *bell)
    void sp_bell_call_deputy(sp_bell *bell)
    bint sp_bell_stand_in(
        sp_bell *bell, uint32_t *calls, int64_t patience_ns, int64_t alarm_ns
    )
