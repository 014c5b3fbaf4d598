# Built-in kernels: a plan is one call of theirs, checked, with its data in C.
#
# Called directly, a plan runs in the calling thread, which splits it over a pool and
# takes part; submitted, it runs on one worker, whole.


cdef class Builtin:
    """A function that executors run on the native lane.

    Calling it calls `function`. Submitting it asks `planner`, with the same arguments,
    for a Plan; None means that it must run as a Python callable after all.
    """

    cdef readonly object function
    cdef readonly object planner
    cdef dict __dict__

    def __init__(self, function, planner):
        self.function = function
        self.planner = planner
        _update_wrapper(self, function)

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)

    def __repr__(self):
        return f"<built-in kernel {self.__module__}.{self.__name__}>"

    def __reduce__(self):
        return self.__qualname__


cdef struct PlanHead:
    sp_pool *pool  # over which the work is split; NULL = the caller does it all


cdef class Plan(Job):
    """One call of a built-in kernel. The data begin with a PlanHead."""

    cdef sp_plan_fn run_fn
    cdef void *data
    cdef size_t size
    cdef Pins pins
    cdef object result  # what the call returns; None = the value it computes

    def __cinit__(self):
        self.pins = None

    def __dealloc__(self):
        free(self.data)

    cdef void *allocate(self, size_t size) except NULL:
        self.data = calloc(1, size)
        if self.data == NULL:
            raise MemoryError("stealpool: no memory for a plan")
        self.size = size
        return self.data

    cdef object result_of(self, sp_cell *cell):
        return cell.words[0].real if self.result is None else self.result

    cdef bint returns_status(self) noexcept:
        return True

    cdef sp_cell *cell_from(self, tuple args) except NULL:
        """A cell for a worker, who does it all."""
        cdef sp_cell *cell = sp_cell_for_plan(self.run_fn, self.size)
        if cell == NULL:
            raise MemoryError("stealpool: no memory for a task")
        memcpy(sp_cell_plan(cell), self.data, self.size)
        keep(cell, self if self.pins is None else self.pins)
        return cell

    def run(self, ExecutorBase executor not None):
        """Run it here, split over the executor's pool, without the GIL."""
        executor.check_open()
        (<PlanHead *>self.data).pool = executor.home.pool.made()
        return self.run_here(executor.home)

    cdef object run_here(self, Home home=None):
        """Run it here; with a home, as the executor's, or view's, that has it."""
        cdef sp_cell *cell = self.cell_from(())
        try:
            if home is not None:
                watch(home, cell)
            run_looking(&cell.task)
            if home is not None:
                sp_home_count_attach(home.home)
            raise_of(self, cell, home)
            return self.result_of(cell)
        finally:
            settle(cell)
            sp_task_unref(&cell.task)


# ------------------------------------------------------------------------- Ctrl-C

# The thread in which signal handlers run.
cdef unsigned long main_thread = _main_thread().ident


cdef struct Interruption:
    sp_task *task
    void *error  # what came out of a signal handler, a reference; or NULL


cdef int check_signals(Interruption *interruption) noexcept:
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        if interruption.error == NULL:
            Py_INCREF(error)  # dropped in run_looking()
            interruption.error = <void *>error
        sp_task_cancel(interruption.task)  # it runs: kernels see it in sp_cancelled()
    return 0


cdef void look_for_signals(void *interruption) noexcept nogil:
    with gil:
        check_signals(<Interruption *>interruption)


cdef int run_looking(sp_task *task) except -1:
    """Run a task here, without the GIL. Ctrl-C stops it between two of its pieces, and
    wherever it asks sp_cancelled(); its exception is raised when it has ended."""
    cdef Interruption interruption
    cdef sp_look look
    cdef sp_look *outer
    if PyThread_get_thread_ident() != main_thread:
        with nogil:
            sp_task_run(task)
        return 0
    interruption.task = task
    interruption.error = NULL
    look.look = look_for_signals
    look.arg = &interruption
    look.next_ns = 0
    with nogil:
        outer = sp__task_set_look(&look)
        sp_task_run(task)
        sp__task_set_look(outer)
    if interruption.error != NULL:
        error = <object>interruption.error
        Py_DECREF(error)  # taken in check_signals()
        raise error
    return 0


# ---------------------------------------------------------------------- quadrature

cdef struct IntegratePlan:
    PlanHead head
    sp_integrand f
    double a
    double b
    int64_t n
    double[64] coefficients  # SP_MAX_COEFFICIENTS


cdef int run_integrate(void *data, sp_word *ret_value) noexcept nogil:
    cdef IntegratePlan *plan = <IntegratePlan *>data
    plan.f.coefficients = plan.coefficients  # the plan may have been copied
    return sp_integrate(
        plan.head.pool, &plan.f, plan.a, plan.b, plan.n, &ret_value.real
    )


cdef dict MATH = {
    "cos": SP_MATH_COS, "sin": SP_MATH_SIN, "exp": SP_MATH_EXP, "log": SP_MATH_LOG,
    "sqrt": SP_MATH_SQRT,
}


def plan_integrate(f, double a, double b, int64_t n):
    """Plan the rectangle rule for `f`: the name of a vectorised function, a sequence
    of ascending coefficients, or a Kernel ``double (double)``."""
    cdef Plan plan = Plan.__new__(Plan)
    cdef IntegratePlan *data = <IntegratePlan *>plan.allocate(sizeof(IntegratePlan))
    cdef Kernel kernel
    plan.name = "integrate"
    plan.run_fn = run_integrate
    data.a = a
    data.b = b
    data.n = n
    if isinstance(f, str):
        data.f.kind = SP_INTEGRAND_MATH
        data.f.math = MATH[f]
    elif isinstance(f, Kernel):
        kernel = f
        plan.pins = Pins(kernel, 0)
        if kernel.bound == NULL:
            data.f.kind = SP_INTEGRAND_SCALAR
            data.f.scalar = <double (*)(double) noexcept nogil>kernel.callee.function
        else:
            data.f.kind = SP_INTEGRAND_SCALAR_USER
            data.f.scalar_user = (
                <double (*)(double, void *) noexcept nogil>kernel.callee.function
            )
            data.f.user = kernel.bound
    else:
        data.f.kind = SP_INTEGRAND_POLYNOMIAL
        data.f.n_coefficients = len(f)
        for i, c in enumerate(f):
            data.coefficients[i] = c
    return plan


# -------------------------------------------------------------------------- images

ctypedef int (*gaussian_fn)(
    sp_pool *, const sp_image *, const sp_image *, const sp_gaussian *
) noexcept nogil
ctypedef int (*gray_fn)(sp_pool *, const sp_image *, const sp_image *) noexcept nogil

cdef struct ImagePlan:
    PlanHead head
    sp_image src
    sp_image dst
    gaussian_fn gaussian  # or NULL
    gray_fn gray          # or NULL
    sp_gaussian options


cdef int run_image(void *data, sp_word *ret_value) noexcept nogil:
    cdef ImagePlan *plan = <ImagePlan *>data
    if plan.gaussian != NULL:
        return plan.gaussian(plan.head.pool, &plan.src, &plan.dst, &plan.options)
    return plan.gray(plan.head.pool, &plan.src, &plan.dst)


cdef dict BORDERS = {
    "reflect": SP_BORDER_REFLECT, "mirror": SP_BORDER_MIRROR,
    "nearest": SP_BORDER_NEAREST, "constant": SP_BORDER_CONSTANT,
    "wrap": SP_BORDER_WRAP,
}


cdef int fill_image(sp_image *image, Pins pins, object array) except -1:
    """Describe an array of shape (H, W) or (H, W, C), whose rows are contiguous."""
    cdef Py_buffer *view = pins.add(array)
    image.data = view.buf
    image.stride = view.strides[0]
    image.height = view.shape[0]
    image.width = view.shape[1]
    image.channels = view.shape[2] if view.ndim == 3 else 1
    return 0


cdef Plan image_plan(str name, object image, object out):
    cdef Plan plan = Plan.__new__(Plan)
    cdef ImagePlan *data = <ImagePlan *>plan.allocate(sizeof(ImagePlan))
    plan.name = name
    plan.run_fn = run_image
    plan.pins = Pins(plan.name, 2)
    plan.result = out
    fill_image(&data.src, plan.pins, image)
    fill_image(&data.dst, plan.pins, out)
    return plan


def plan_gaussian(
    image, out, bint is_uint8, tuple sigma, double truncate, tuple radius, str mode,
    double cval,
):
    """Plan a Gaussian blur of checked arrays; see python/stealpool/image.py."""
    cdef Plan plan = image_plan("gaussian_filter", image, out)
    cdef ImagePlan *data = <ImagePlan *>plan.data
    data.gaussian = sp_gaussian_filter_u8 if is_uint8 else sp_gaussian_filter_f32
    data.options.sigma_y, data.options.sigma_x = sigma
    data.options.truncate = truncate
    data.options.radius_y, data.options.radius_x = radius
    data.options.border = <sp_border><int>BORDERS[mode]
    data.options.cval = cval
    return plan


def plan_gray(image, out, bint is_uint8):
    """Plan a conversion to gray of checked arrays; see python/stealpool/image.py."""
    cdef Plan plan = image_plan("rgb_to_gray", image, out)
    cdef ImagePlan *data = <ImagePlan *>plan.data
    data.gray = sp_rgb_to_gray_u8 if is_uint8 else sp_rgb_to_gray_f32
    return plan
