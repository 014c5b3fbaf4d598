// The list of programs, and the main function of each executable:
//
//     peer_<library> PROGRAM THREADS ROUNDS
//
// prints what it measured as one line of JSON. Results are checked by the programs.
#ifndef PEERS_PROGRAMS_HPP
#define PEERS_PROGRAMS_HPP

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "fork_join.hpp"
#include "latency.hpp"
#include "loops.hpp"
#include "result.hpp"
#include "runtime.hpp"
#include "submit.hpp"

template <class R> struct program {
    const char *name;
    result (*run)(R &);
};

template <class R> constexpr program<R> programs[] = {
    {"fib", run_fib<R>},
    {"skynet", run_skynet<R>},
    {"nqueens", run_nqueens<R>},
    {"quadrature", run_quadrature<R>},
    {"uts-t1", [](R &r) { return run_uts(r, t1); }},
    {"uts-t3", [](R &r) { return run_uts(r, t3); }},
    {"flat", run_flat<R>},
    {"external-1", [](R &r) { return run_external(r, 1); }},
    {"external-2", [](R &r) { return run_external(r, 2); }},
    {"external-8", [](R &r) { return run_external(r, 8); }},
    {"empty", run_empty_loop<R>},
    {"sweep-10ns", [](R &r) { return run_sweep(r, 10); }},
    {"sweep-100ns", [](R &r) { return run_sweep(r, 100); }},
    {"sweep-1us", [](R &r) { return run_sweep(r, 1000); }},
    {"sweep-10us", [](R &r) { return run_sweep(r, 10000); }},
    {"sweep-100us", [](R &r) { return run_sweep(r, 100000); }},
    {"sweep-1ms", [](R &r) { return run_sweep(r, 1000000); }},
    {"mandelbrot", run_mandelbrot<R>},
    {"spmv", run_spmv<R>},
    {"matmul", run_matmul<R>},
    {"stencil", run_stencil<R>},
    {"ping-hot", [](R &r) { return run_ping(r, 5000, std::chrono::microseconds(0)); }},
    {"ping-parked", [](R &r) { return run_ping(r, 200, std::chrono::microseconds(1000)); }},
    {"burst", run_burst<R>},
    {"idle", run_idle<R>},
};

inline double cpu_seconds()
{
    rusage use;
    getrusage(RUSAGE_SELF, &use);
    auto seconds = [](timeval t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(use.ru_utime) + seconds(use.ru_stime);
}

// Not ru_maxrss, which a child begins with that of its parent.
inline double peak_megabytes()
{
    double kilobytes = 0;
    char line[128];
    std::FILE *status = std::fopen("/proc/self/status", "r");
    while (status && std::fgets(line, sizeof line, status))
        if (std::sscanf(line, "VmHWM: %lf", &kilobytes) == 1)
            break;
    if (status)
        std::fclose(status);
    return kilobytes / 1024;
}

template <class R> int measure(const program<R> &p, unsigned threads, int rounds)
{
    R runtime(threads);
    p.run(runtime); // to warm up
    std::vector<double> times;
    result last{};
    double cpu = cpu_seconds();
    for (int i = 0; i < rounds; i++) {
        double start = now();
        last = p.run(runtime);
        double spent = now() - start;
        if (last.times.empty())
            times.push_back(spent);
        else
            times.insert(times.end(), last.times.begin(), last.times.end());
    }
    cpu = (cpu_seconds() - cpu) / rounds;
    std::printf("{\"library\": \"%s\", \"unit\": \"%s\", \"operations\": %.0f, "
                "\"cpu\": %.6f, \"megabytes\": %.1f, \"seconds\": [",
                R::name, last.unit, last.operations, cpu, peak_megabytes());
    for (std::size_t i = 0; i < times.size(); i++)
        std::printf("%s%.9f", i ? ", " : "", times[i]);
    std::printf("]}\n");
    return 0;
}

template <class R> int run_program(int argc, char **argv)
{
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s PROGRAM THREADS ROUNDS; programs:\n", argv[0]);
        for (const auto &p : programs<R>)
            std::fprintf(stderr, "  %s\n", p.name);
        return 2;
    }
    for (const auto &p : programs<R>)
        if (std::strcmp(p.name, argv[1]) == 0)
            try {
                return measure(p, static_cast<unsigned>(std::atoi(argv[2])),
                               std::atoi(argv[3]));
            } catch (const unsupported &why) {
                std::fprintf(stderr, "%s: %s\n", R::name, why.what());
                return 77;
            }
    std::fprintf(stderr, "no program is called \"%s\"\n", argv[1]);
    return 2;
}

#endif
