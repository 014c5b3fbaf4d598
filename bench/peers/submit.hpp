// Small independent tasks: from one thread, and from several that are no workers.
#ifndef PEERS_SUBMIT_HPP
#define PEERS_SUBMIT_HPP

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "result.hpp"

// A task for each index, from one thread, and wait for all.
template <class R> result run_flat(R &runtime)
{
    constexpr long n = 200000;
    static std::vector<unsigned char> done(n);
    done.assign(n, 0);
    double start = now();
    runtime.spawn_all(n, [](long i) { done[static_cast<std::size_t>(i)]++; });
    double spent = now() - start;
    for (unsigned char d : done)
        check("runs of a task", d, 1);
    return {n, "task", {spent}};
}

// `threads` threads that the library does not know submit together; nobody waits for a
// single task. A count that all tasks share would cost more than a task: each has a byte.
template <class R> result run_external(R &runtime, long threads)
{
    constexpr long n = 200000;
    static std::array<std::atomic<unsigned char>, n> done;
    std::atomic<bool> is_warm{false}, go{false};
    runtime.submit([&is_warm] { is_warm = true; }); // or it throws `unsupported`
    while (!is_warm)
        std::this_thread::yield();
    for (auto &d : done)
        d.store(0, std::memory_order_relaxed);
    std::vector<std::thread> submitters;
    for (long t = 0; t < threads; t++)
        submitters.emplace_back([&, t] {
            while (!go.load())
                std::this_thread::yield();
            for (long i = t * n / threads; i < (t + 1) * n / threads; i++)
                runtime.submit([i] {
                    auto &d = done[static_cast<std::size_t>(i)];
                    d.store(d.load(std::memory_order_relaxed) + 1,
                            std::memory_order_release);
                });
        });
    double start = now();
    go = true;
    for (std::thread &t : submitters)
        t.join();
    for (auto &d : done)
        while (d.load(std::memory_order_acquire) == 0)
            std::this_thread::yield();
    double spent = now() - start;
    for (auto &d : done)
        check("runs of a task", d.load(), 1);
    return {n, "task", {spent}};
}

#endif
