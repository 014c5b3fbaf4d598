// Waking up: how long one waits for somebody else to begin, hot and asleep, and what
// a pool costs that has nothing to do.
#ifndef PEERS_LATENCY_HPP
#define PEERS_LATENCY_HPP

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include "loops.hpp"
#include "result.hpp"

inline void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
        check("there are two CPUs", 0, 1);
}

// A task, seen to run by a caller that spins. The caller is pinned to CPU 0, and each
// thread that runs a task to CPU 1, for otherwise the system may put both on one.
template <class R> result run_ping(R &runtime, int trips, std::chrono::microseconds rest)
{
    cpu_set_t before;
    pthread_getaffinity_np(pthread_self(), sizeof before, &before);
    pin_to(0);
    result r = {1, "trip"};
    for (int i = 0; i < trips + trips / 10; i++) {
        std::atomic<bool> ran{false};
        if (rest.count() > 0)
            std::this_thread::sleep_for(rest);
        double start = now();
        runtime.wake([&ran] {
            thread_local bool is_pinned = false;
            if (!is_pinned)
                pin_to(1);
            is_pinned = true;
            ran.store(true, std::memory_order_release);
        });
        while (!ran.load(std::memory_order_acquire))
            ;
        if (i >= trips / 10) // the first ones pin
            r.times.push_back(now() - start);
    }
    pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    return r;
}

// After five milliseconds without work, 64 pieces of 20 microseconds.
template <class R> result run_burst(R &runtime)
{
    static std::uint64_t out[64];
    result r = {1, "burst"};
    for (int i = 0; i < 40; i++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        double start = now();
        runtime.loop_uneven(64, [](long begin, long end) {
            for (long k = begin; k < end; k++)
                out[k] = work(k, 20000);
        });
        r.times.push_back(now() - start);
    }
    check("the work of an index", out[63] == work(63, 20000), 1);
    return r;
}

// How often all threads but the caller's were put on a CPU or taken off.
inline long context_switches()
{
    namespace fs = std::filesystem;
    long sum = 0;
    for (const auto &entry : fs::directory_iterator("/proc/self/task")) {
        if (entry.path().filename() == std::to_string(getpid()))
            continue;
        std::FILE *status = std::fopen((entry.path() / "status").c_str(), "r");
        char line[128];
        long n = 0;
        while (status && std::fgets(line, sizeof line, status))
            if (std::sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1 ||
                std::sscanf(line, "nonvoluntary_ctxt_switches: %ld", &n) == 1)
                sum += n;
        if (status)
            std::fclose(status);
    }
    return sum;
}

// A second after the last work: what the threads do in the next one.
template <class R> result run_idle(R &runtime)
{
    static std::uint64_t out[64];
    runtime.loop_uneven(64, [](long begin, long end) {
        for (long k = begin; k < end; k++)
            out[k] = work(k, 20000);
    });
    check("the work of an index", out[63] == work(63, 20000), 1);
    std::this_thread::sleep_for(std::chrono::seconds(1));
    long before = context_switches();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    result r = {1, "switches"};
    r.times.push_back(static_cast<double>(context_switches() - before));
    return r;
}

#endif
