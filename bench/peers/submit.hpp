// Small independent tasks: from one thread, and from several that are no workers.
#ifndef PEERS_SUBMIT_HPP
#define PEERS_SUBMIT_HPP

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
// single task. The tasks count themselves, which costs all libraries the same.
template <class R> result run_external(R &runtime, long threads)
{
    constexpr long n = 200000;
    std::atomic<long> ended{0};
    runtime.submit([&ended] { ended.fetch_add(1); }); // or it throws `unsupported`
    while (ended.exchange(0) == 0)
        std::this_thread::yield();
    std::atomic<bool> go{false};
    std::vector<std::thread> submitters;
    for (long t = 0; t < threads; t++)
        submitters.emplace_back([&, threads] {
            while (!go.load())
                std::this_thread::yield();
            for (long i = 0; i < n / threads; i++)
                runtime.submit([&ended] { ended.fetch_add(1, std::memory_order_relaxed); });
        });
    double start = now();
    go = true;
    for (std::thread &t : submitters)
        t.join();
    while (ended.load() < n)
        std::this_thread::yield();
    return {n, "task", {now() - start}};
}

#endif
