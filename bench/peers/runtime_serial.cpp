// No library: the same programs as plain calls and plain loops, in one thread.
#include "programs.hpp"

namespace {

class serial_runtime {
  public:
    static constexpr const char *name = "serial";
    struct context {};

    explicit serial_runtime(unsigned) {}

    template <class F> void run(F f) { f(context()); }

    template <class F, class G> static void fork2(context c, F f, G g)
    {
        f(c);
        g(c);
    }

    template <class F> static void fork_each(context c, long n, F f)
    {
        for (long i = 0; i < n; i++)
            f(c, i);
    }

    template <class F> void spawn_all(long n, F f)
    {
        for (long i = 0; i < n; i++)
            f(i);
    }

    template <class F> void submit(F) { throw unsupported("no tasks"); }

    template <class F> void loop(long n, F f) { f(0, n); }
    template <class F> void loop_even(long n, F f) { f(0, n); }
    template <class F> void loop_uneven(long n, F f) { f(0, n); }
};

} // namespace

int main(int argc, char **argv) { return run_program<serial_runtime>(argc, argv); }
