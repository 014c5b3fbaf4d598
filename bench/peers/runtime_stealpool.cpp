// stealpool: frames for fork and join, a task or a loop for the rest.
#include <type_traits>
#include <utility>

#include "programs.hpp"
#include "stealpool.h"

namespace {

template <class F> struct forked : sp_frame {
    F f;

    explicit forked(F f) : f(std::move(f)) {}

    static int call(sp_worker *worker, sp_frame *frame)
    {
        static_cast<forked *>(frame)->f(worker);
        return 0;
    }
};

template <class F> struct forked_index : sp_frame {
    F *f;
    long i;

    static int call(sp_worker *worker, sp_frame *frame)
    {
        auto *self = static_cast<forked_index *>(frame);
        (*self->f)(worker, self->i);
        return 0;
    }
};

template <class F> struct call_index {
    F *f;
    long i;

    static void run(void *self)
    {
        auto *call = static_cast<call_index *>(self);
        (*call->f)(call->i);
    }
};

class stealpool_runtime {
  public:
#ifdef __clang__
    static constexpr const char *name = "stealpool, clang";
#else
    static constexpr const char *name = "stealpool";
#endif
    using context = sp_worker *;

    explicit stealpool_runtime(unsigned threads)
    {
        sp_pool_options options = {};
        options.workers = threads;
        if (sp_pool_create(&pool, &options) != SP_OK)
            std::abort();
    }
    ~stealpool_runtime() { sp_pool_free(pool); }

    template <class F> void run(F f)
    {
        forked<F> root(std::move(f));
        sp_run(pool, &root, forked<F>::call);
    }

    template <class F, class G> static void fork2(context worker, F f, G g)
    {
        forked<F> frame(std::move(f));
        sp_fork(worker, &frame, forked<F>::call);
        g(worker);
        sp_join(worker, &frame);
    }

    template <class F> static void fork_each(context worker, long n, F f)
    {
        fork_range(worker, 0, n, f);
    }

    template <class F> void spawn_all(long n, F f)
    {
        run([&](context) {
            sp_group group;
            sp_group_init(&group);
            for (long i = 0; i < n; i++) {
                call_index<F> call = {&f, i};
                sp_spawn(pool, &group, call_index<F>::run, &call, sizeof call);
            }
            sp_group_wait(&group, -1);
        });
    }

    template <class F> void submit(F f)
    {
        sp_spawn(
            pool, nullptr, [](void *copy) { (*static_cast<F *>(copy))(); }, &f, sizeof f);
    }

    template <class F> void wake(F f) { submit(f); }

    template <class F> void loop(long n, F f)
    {
        sp_parallel_for(pool, 0, n, 0, call_range<F>, &f);
    }

    template <class F> void loop_even(long n, F f)
    {
        sp_loop_options options = {};
        options.schedule = SP_STATIC;
        sp_parallel_for_with(pool, 0, n, &options, call_range<F>, &f);
    }
    template <class F> void loop_uneven(long n, F f) { loop(n, std::move(f)); }

  private:
    enum { AT_ONCE = 16 };

    template <class F> static void fork_range(context worker, long first, long last, F &f)
    {
        if (last - first > AT_ONCE) {
            long middle = first + (last - first) / 2;
            fork2(
                worker, [&](context w) { fork_range(w, first, middle, f); },
                [&](context w) { fork_range(w, middle, last, f); });
            return;
        }
        forked_index<F> frames[AT_ONCE];
        long n = last - first;
        for (long i = n - 1; i > 0; i--) {
            frames[i].f = &f;
            frames[i].i = first + i;
            sp_fork(worker, &frames[i], forked_index<F>::call);
        }
        f(worker, first);
        for (long i = 1; i < n; i++)
            sp_join(worker, &frames[i]);
    }

    template <class F> static int call_range(intptr_t begin, intptr_t end, void *f)
    {
        (*static_cast<F *>(f))(static_cast<long>(begin), static_cast<long>(end));
        return 0;
    }

    sp_pool *pool;
};

} // namespace

int main(int argc, char **argv) { return run_program<stealpool_runtime>(argc, argv); }
