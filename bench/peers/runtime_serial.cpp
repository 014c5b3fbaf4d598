// No library: the same programs as plain calls and plain loops, in one thread.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "programs.hpp"

namespace {

class sleeper {
  public:
    sleeper() : thread([this] { sleep_and_run(); }) {}
    ~sleeper()
    {
        run(nullptr);
        thread.join();
    }

    void run(std::function<void()> f)
    {
        while (word.load(std::memory_order_acquire) != 0) // not asleep yet
            std::this_thread::yield();
        what = std::move(f);
        word.store(1, std::memory_order_release);
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }

  private:
    void sleep_and_run()
    {
        for (;;) {
            while (word.load(std::memory_order_acquire) == 0)
                syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
            std::function<void()> f = std::move(what);
            word.store(0, std::memory_order_release);
            if (!f)
                return;
            f();
        }
    }

    std::atomic<int> word{0};
    std::function<void()> what;
    std::thread thread;
};

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

    // What the kernel takes: a thread that sleeps on a futex, and nothing else.
    template <class F> void wake(F f)
    {
        static sleeper one;
        one.run(f);
    }

    template <class F> void loop(long n, F f) { f(0, n); }
    template <class F> void loop_even(long n, F f) { f(0, n); }
    template <class F> void loop_uneven(long n, F f) { f(0, n); }
};

} // namespace

int main(int argc, char **argv) { return run_program<serial_runtime>(argc, argv); }
