// What a program returns, and how it checks.
#ifndef PEERS_RESULT_HPP
#define PEERS_RESULT_HPP

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

// `times` are the seconds that the program measured itself; if there are none, it
// was measured as a whole. Divided by `operations` they are per `unit`. Where the unit is
// "switches", they are no times but so many context switches.
struct result {
    double operations;
    const char *unit;
    std::vector<double> times = {};
};

template <class T> void check(const char *what, T is, long should)
{
    if (is == static_cast<T>(should))
        return;
    std::fprintf(stderr, "wrong result: %s is %ld, not %ld\n", what,
                 static_cast<long>(is), should);
    std::exit(3);
}

inline double now()
{
    using namespace std::chrono;
    return duration<double>(steady_clock::now().time_since_epoch()).count();
}

#endif
