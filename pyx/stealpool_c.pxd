# What the extension uses of stealpool.h and stealpool_kernels.h, in their order,
# and nothing more.
from libc.stdint cimport int64_t, intptr_t, uint32_t, uint64_t


cdef extern from "stealpool.h" nogil:
    ctypedef enum sp_status:
        SP_OK
        SP_ENOMEM
        SP_EINVAL
        SP_ECLOSED
        SP_ETIMEDOUT
        SP_EINTR
        SP_EDONE
        SP_ECANCELLED
        SP_ETHREAD
        SP_EBUSY
        SP_EFILES
        SP_EPERM

    const char *sp_status_text(sp_status status)

    # pools
    ctypedef struct sp_pool:
        pass

    ctypedef enum sp_pin:
        SP_PIN_NONE
        SP_PIN_COMPACT
        SP_PIN_SPREAD

    ctypedef enum sp_policy:
        SP_POLICY_INHERIT
        SP_POLICY_FIFO
        SP_POLICY_RR

    ctypedef struct sp_pool_options:
        uint32_t workers
        uint32_t keepalive_us
        const char *name
        uint32_t pin
        uint32_t policy
        uint32_t priority
        uint32_t max_workers
        uint32_t max_blocked

    sp_status sp_pool_create(sp_pool **ret_pool, const sp_pool_options *options)
    enum: SP_MAX_WORKERS

    ctypedef enum sp_shutdown_mode:
        SP_DRAIN
        SP_ABANDON

    sp_status sp_pool_shutdown(sp_pool *pool, sp_shutdown_mode mode)
    void sp_pool_close(sp_pool *pool, sp_shutdown_mode mode)
    void sp_pool_free(sp_pool *pool)
    uint32_t sp_pool_workers(const sp_pool *pool)
    sp_status sp_pool_resize(sp_pool *pool, uint32_t workers)
    void sp_blocking_begin()
    void sp_blocking_end()
    int sp_on_worker(const sp_pool *pool)

    ctypedef struct sp_pool_stats:
        uint64_t submitted
        uint64_t executed
        uint64_t stolen
        uint64_t injected
        uint64_t parked
        uint64_t woken
        uint64_t loops

    void sp_pool_get_stats(const sp_pool *pool, sp_pool_stats *ret_stats)
    uint32_t sp_usable_cpus()
    uint32_t sp_cpu_quota()

    # tasks
    ctypedef struct sp_task:
        pass

    ctypedef struct sp_completion:
        pass

    ctypedef struct sp_group:
        pass

    ctypedef struct sp_token:
        pass

    ctypedef struct sp_ticket:
        pass

    ctypedef void (*sp_task_fn)(sp_task *task) noexcept
    ctypedef void (*sp_release_fn)(sp_task *task) noexcept
    void sp_task_init(sp_task *task, sp_task_fn run, sp_release_fn release)
    ctypedef enum sp_priority:
        SP_PRIORITY_LOW
        SP_PRIORITY_NORMAL
        SP_PRIORITY_HIGH

    void sp_task_set_priority(sp_task *task, sp_priority priority)
    sp_status sp_submit(sp_pool *pool, sp_task *task)
    sp_status sp_submit_many(sp_pool *pool, sp_task *const *tasks, size_t n)

    ctypedef enum sp_phase:
        SP_PENDING
        SP_RUNNING
        SP_DONE
        SP_CANCELLED

    sp_phase sp_task_phase(const sp_task *task)
    sp_status sp_task_wait(sp_task *task, int64_t timeout_ns, int64_t spin_ns)
    sp_status sp_task_run(sp_task *task)
    sp_status sp_task_cancel(sp_task *task)
    void sp_task_ref(sp_task *task)
    void sp_task_unref(sp_task *task)
    int sp_cancelled()
    int sp_fail(int code, const char *message)
    const char *sp_take_failure()

    # tokens
    void sp_token_init(sp_token *token, sp_token *parent)
    void sp_token_end(sp_token *token)
    void sp_token_cancel(sp_token *token)
    bint sp_token_is_cancelled(const sp_token *token)
    const int *sp_token_address(const sp_token *token)
    void sp_task_set_token(sp_task *task, sp_token *token)
    sp_token *sp_current_token()

    # groups
    void sp_group_set_token(sp_group *group, sp_token *token)
    void sp_group_init(sp_group *group)
    void sp_group_add(sp_group *group, sp_task *task)
    uint32_t sp_group_unfinished(const sp_group *group)
    sp_status sp_group_wait(sp_group *group, int64_t timeout_ns)

    # completion queues
    ctypedef void (*sp_doorbell_fn)(void *user)

    sp_status sp_completion_create(
        sp_completion **ret_queue, sp_doorbell_fn ring, void *user
    )
    sp_status sp_completion_create_fd(sp_completion **ret_queue, int *ret_fd)
    void sp_completion_free(sp_completion *queue)
    sp_status sp_task_notify(sp_task *task, unsigned ticket, sp_completion *queue)
    sp_status sp_task_unnotify(sp_task *task, unsigned ticket)
    int sp_completion_is_empty(const sp_completion *queue)
    sp_status sp_completion_wait(sp_completion *queue, int64_t timeout_ns)
    sp_ticket *sp_completion_drain(sp_completion *queue)
    sp_ticket *sp_ticket_next(const sp_ticket *ticket)
    sp_task *sp_ticket_task(const sp_ticket *ticket)

    # loops
    ctypedef int (*sp_range_fn)(intptr_t begin, intptr_t end, void *user) noexcept
    int sp_parallel_for(
        sp_pool *pool,
        intptr_t begin,
        intptr_t end,
        intptr_t grain,
        sp_range_fn body,
        void *user,
    )

    ctypedef int (*sp_reduce_fn)(
        intptr_t begin, intptr_t end, void *acc, void *user
    ) noexcept
    ctypedef void (*sp_combine_fn)(void *into, const void *source, void *user) noexcept
    int sp_parallel_reduce(
        sp_pool *pool,
        intptr_t begin,
        intptr_t end,
        intptr_t grain,
        sp_reduce_fn body,
        sp_combine_fn combine,
        void *result,
        size_t size,
        void *user,
    )


cdef extern from "stealpool_kernels.h" nogil:
    const char *sp_isa()

    ctypedef enum sp_math:
        SP_MATH_COS
        SP_MATH_SIN
        SP_MATH_EXP
        SP_MATH_LOG
        SP_MATH_SQRT

    int sp_math_array(sp_math fn, const double *x, double *y, size_t n)
    enum: SP_MAX_COEFFICIENTS
    int sp_polynomial_array(
        const double *c, size_t n_c, const double *x, double *y, size_t n
    )

    ctypedef enum sp_integrand_kind:
        SP_INTEGRAND_MATH
        SP_INTEGRAND_POLYNOMIAL
        SP_INTEGRAND_SCALAR
        SP_INTEGRAND_SCALAR_USER

    ctypedef struct sp_integrand:
        sp_integrand_kind kind
        sp_math math
        const double *coefficients
        size_t n_coefficients
        double (*scalar)(double x)
        double (*scalar_user)(double x, void *user)
        void *user

    int sp_integrate(
        sp_pool *pool,
        const sp_integrand *f,
        double a,
        double b,
        int64_t n,
        double *ret_value,
    )

    ctypedef struct sp_image:
        void *data
        Py_ssize_t stride
        Py_ssize_t height
        Py_ssize_t width
        Py_ssize_t channels

    ctypedef enum sp_border:
        SP_BORDER_REFLECT
        SP_BORDER_MIRROR
        SP_BORDER_NEAREST
        SP_BORDER_CONSTANT
        SP_BORDER_WRAP

    ctypedef struct sp_gaussian:
        double sigma_y
        double sigma_x
        double truncate
        int64_t radius_y
        int64_t radius_x
        sp_border border
        double cval

    enum: SP_MAX_RADIUS

    int sp_gaussian_filter_u8(
        sp_pool *pool,
        const sp_image *src,
        const sp_image *dst,
        const sp_gaussian *options,
    )
    int sp_gaussian_filter_f32(
        sp_pool *pool,
        const sp_image *src,
        const sp_image *dst,
        const sp_gaussian *options,
    )
    int sp_rgb_to_gray_u8(sp_pool *pool, const sp_image *src, const sp_image *dst)
    int sp_rgb_to_gray_f32(sp_pool *pool, const sp_image *src, const sp_image *dst)

    ctypedef sp_image sp_view

    ctypedef struct sp_rect:
        Py_ssize_t y
        Py_ssize_t x
        Py_ssize_t height
        Py_ssize_t width

    ctypedef int (*sp_tile_fn)(
        const sp_view *src, sp_view *dst, const sp_rect *tile, void *user
    ) noexcept

    ctypedef struct sp_tiling:
        Py_ssize_t halo_y
        Py_ssize_t halo_x
        Py_ssize_t tile_height
        Py_ssize_t tile_width
        size_t src_item
        size_t dst_item
        sp_border border
        const void *fill

    int sp_parallel_tiles(
        sp_pool *pool,
        const sp_view *src,
        const sp_view *dst,
        const sp_tiling *options,
        sp_tile_fn body,
        void *user,
    )
