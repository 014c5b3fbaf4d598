// oneTBB: a task_group for each set of forks, as its documentation does it.
#include <oneapi/tbb.h>

#include "programs.hpp"

namespace {

class tbb_runtime {
  public:
    static constexpr const char *name = "oneTBB";
    struct context {};

    explicit tbb_runtime(unsigned threads)
        : control(tbb::global_control::max_allowed_parallelism, threads),
          arena(static_cast<int>(threads))
    {
    }

    template <class F> void run(F f)
    {
        arena.execute([&] { f(context()); });
    }

    template <class F, class G> static void fork2(context c, F f, G g)
    {
        tbb::task_group group;
        group.run([&] { f(c); });
        g(c);
        group.wait();
    }

    template <class F> static void fork_each(context c, long n, F f)
    {
        tbb::task_group group;
        for (long i = 1; i < n; i++)
            group.run([&f, c, i] { f(c, i); });
        f(c, 0);
        group.wait();
    }

    template <class F> void spawn_all(long n, F f)
    {
        arena.execute([&] {
            tbb::task_group group;
            for (long i = 0; i < n; i++)
                group.run([&f, i] { f(i); });
            group.wait();
        });
    }

    template <class F> void submit(F f) { arena.enqueue(f); }

    template <class F> void wake(F f) { arena.enqueue(f); }

    template <class F> void loop(long n, F f)
    {
        arena.execute([&] {
            tbb::parallel_for(tbb::blocked_range<long>(0, n),
                              [&](const auto &r) { f(r.begin(), r.end()); });
        });
    }

    template <class F> void loop_even(long n, F f)
    {
        arena.execute([&] {
            tbb::parallel_for(
                tbb::blocked_range<long>(0, n),
                [&](const auto &r) { f(r.begin(), r.end()); }, tbb::static_partitioner());
        });
    }

    template <class F> void loop_uneven(long n, F f) { loop(n, std::move(f)); }

  private:
    tbb::global_control control;
    tbb::task_arena arena;
};

} // namespace

int main(int argc, char **argv) { return run_program<tbb_runtime>(argc, argv); }
