// What each library has to offer for the programs to run on it.
//
// A program is a template over `R`, one of the classes in runtime_*.cpp:
//
//     R(threads)                     start that many threads, the caller's included
//     R::name
//     run(f)                         f(context), where forking is cheap
//     fork2(context, f, g)           f(context) and g(context), maybe at once
//     fork_each(context, n, f)       f(context, i) for i < n, maybe at once
//     spawn_all(n, f)                a task for each f(i), from one thread, and wait
//     submit(f)                      a task from any thread; nobody waits for it
//     wake(f)                        a task from outside, to be begun soon
//     loop(n, f)                     f(begin, end), as the library does it by itself
//     loop_even(n, f)                when all indices take the same time
//     loop_uneven(n, f)              when they do not
//
// What a library cannot do throws `unsupported`.
#ifndef PEERS_RUNTIME_HPP
#define PEERS_RUNTIME_HPP

#include <stdexcept>

struct unsupported : std::runtime_error {
    using std::runtime_error::runtime_error;
};

#endif
