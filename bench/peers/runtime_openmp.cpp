// OpenMP: tasks in a parallel region; compiled with gcc (libgomp) and clang (libomp).
#include <omp.h>

#include "programs.hpp"

namespace {

class openmp_runtime {
  public:
#ifdef __clang__
    static constexpr const char *name = "libomp";
#else
    static constexpr const char *name = "libgomp";
#endif
    struct context {};

    explicit openmp_runtime(unsigned threads)
    {
        omp_set_dynamic(0);
        omp_set_num_threads(static_cast<int>(threads));
    }

    template <class F> void run(F f)
    {
#pragma omp parallel
#pragma omp single
        f(context());
    }

    template <class F, class G> static void fork2(context c, F f, G g)
    {
#pragma omp task default(shared)
        f(c);
        g(c);
#pragma omp taskwait
    }

    template <class F> static void fork_each(context c, long n, F f)
    {
        for (long i = 1; i < n; i++) {
#pragma omp task default(shared) firstprivate(i)
            f(c, i);
        }
        f(c, 0);
#pragma omp taskwait
    }

    template <class F> void spawn_all(long n, F f)
    {
#pragma omp parallel
#pragma omp single
        for (long i = 0; i < n; i++) {
#pragma omp task default(shared) firstprivate(i)
            f(i);
        }
    }

    template <class F> void submit(F) { throw unsupported("no tasks from outside"); }

    template <class F> void wake(F) { throw unsupported("no tasks from outside"); }

    template <class F> void loop(long n, F f)
    {
#pragma omp parallel for
        for (long i = 0; i < n; i++)
            f(i, i + 1);
    }

    template <class F> void loop_even(long n, F f)
    {
#pragma omp parallel for schedule(static)
        for (long i = 0; i < n; i++)
            f(i, i + 1);
    }

    template <class F> void loop_uneven(long n, F f)
    {
#pragma omp parallel for schedule(guided)
        for (long i = 0; i < n; i++)
            f(i, i + 1);
    }
};

} // namespace

int main(int argc, char **argv) { return run_program<openmp_runtime>(argc, argv); }
