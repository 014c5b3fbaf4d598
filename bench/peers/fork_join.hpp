// Divide and conquer. Each program checks its result against a known number.
#ifndef PEERS_FORK_JOIN_HPP
#define PEERS_FORK_JOIN_HPP

#include <cmath>
#include <cstdint>
#include <vector>

#include "result.hpp"
#include "sha1.hpp"

// ------------------------------------------------------------------- fib

template <class R, class C> long fib(C context, long n)
{
    if (n < 2)
        return n;
    long a, b;
    R::fork2(
        context, [&](C c) { a = fib<R>(c, n - 1); }, [&](C c) { b = fib<R>(c, n - 2); });
    return a + b;
}

template <class R> result run_fib(R &runtime)
{
    long value = 0;
    runtime.run([&](auto context) { value = fib<R>(context, 30); });
    check("fib(30)", value, 832040);
    return {1346268, "task"}; // calls that fork: fib(31) - 1
}

// ---------------------------------------------------------------- skynet

template <class R, class C> std::int64_t skynet(C context, std::int64_t first, long size)
{
    if (size == 1)
        return first;
    std::int64_t sums[10];
    R::fork_each(context, 10, [&](C c, long i) {
        sums[i] = skynet<R>(c, first + i * (size / 10), size / 10);
    });
    std::int64_t sum = 0;
    for (std::int64_t s : sums)
        sum += s;
    return sum;
}

template <class R> result run_skynet(R &runtime)
{
    std::int64_t value = 0;
    runtime.run([&](auto context) { value = skynet<R>(context, 0, 1000000); });
    check("skynet", value, 499999500000);
    return {1111110, "task"};
}

// --------------------------------------------------------------- nqueens

struct board {
    signed char at[16];
};

inline bool fits(const board &b, int row, int column)
{
    for (int i = 0; i < row; i++) {
        int there = b.at[i];
        if (there == column || there == column - (row - i) || there == column + (row - i))
            return false;
    }
    return true;
}

template <class R, class C> long queens(C context, int n, int row, const board &b)
{
    if (row == n)
        return 1;
    long counts[16] = {};
    R::fork_each(context, n, [&, n, row](C c, long column) {
        if (!fits(b, row, static_cast<int>(column)))
            return;
        board next = b;
        next.at[row] = static_cast<signed char>(column);
        counts[column] = queens<R>(c, n, row + 1, next);
    });
    long sum = 0;
    for (long count : counts)
        sum += count;
    return sum;
}

template <class R> result run_nqueens(R &runtime)
{
    long value = 0;
    runtime.run([&](auto context) { value = queens<R>(context, 11, 0, board{}); });
    check("11 queens", value, 2680);
    return {1834031, "task"}; // 11 times the boards that it looks at
}

// ------------------------------------------------------------ quadrature

inline double cubic(double x) { return (x * x + 1.0) * x; }

template <class R, class C>
double integral(C context, double x, double y, double fx, double fy, double area)
{
    double half = (y - x) / 2, middle = x + half, f = cubic(middle);
    double left = (fx + f) * half / 2, right = (f + fy) * half / 2;
    if (std::fabs(left + right - area) <= 1e-2)
        return left + right;
    double a, b;
    R::fork2(
        context, [&](C c) { a = integral<R>(c, x, middle, fx, f, left); },
        [&](C c) { b = integral<R>(c, middle, y, f, fy, right); });
    return a + b;
}

template <class R> result run_quadrature(R &runtime)
{
    double n = 10000, value = 0;
    runtime.run([&](auto context) {
        value = integral<R>(context, 0, n, cubic(0), cubic(n), 0);
    });
    double exact = n * n / 4 * (n * n + 2);
    check("quadrature is close", std::fabs(value / exact - 1) < 1e-6, 1);
    return {1, "run"};
}

// -------------------------------------------------------------------- uts

// Unbalanced tree search (Olivier et al., LCPC 2006), with its two sample trees T1
// and T3 of four million nodes each.
struct tree {
    bool is_geometric;
    double b0, q;
    int m, depth;
    std::uint8_t seed;
    long nodes;
};

constexpr tree t1 = {true, 4, 0, 0, 10, 19, 4130071};
constexpr tree t3 = {false, 2000, 0.124875, 8, 0, 42, 4112897};

inline digest child_of(const digest &parent, std::uint32_t i)
{
    std::uint8_t text[24];
    for (int k = 0; k < 20; k++)
        text[k] = parent[static_cast<std::size_t>(k)];
    for (int k = 0; k < 4; k++)
        text[20 + k] = static_cast<std::uint8_t>(i >> (24 - 8 * k));
    return sha1(text, sizeof text);
}

inline int children_of(const tree &t, const digest &state, int depth)
{
    std::uint32_t random = (std::uint32_t(state[16]) << 24 | std::uint32_t(state[17]) << 16 |
                            std::uint32_t(state[18]) << 8 | state[19]) &
                           0x7fffffff;
    double u = random / 2147483648.0;
    if (!t.is_geometric)
        return depth == 0 ? static_cast<int>(t.b0) : u < t.q ? t.m : 0;
    if (depth >= t.depth)
        return 0;
    int n = static_cast<int>(std::floor(std::log(1 - u) / std::log(t.b0 / (1 + t.b0))));
    return n > 100 ? 100 : n;
}

template <class R, class C>
long count_nodes(C context, const tree &t, const digest &state, int depth)
{
    int n = children_of(t, state, depth);
    if (n == 0)
        return 1;
    long few[16];
    std::vector<long> many(n > 16 ? static_cast<std::size_t>(n) : 0);
    long *counts = n > 16 ? many.data() : few;
    R::fork_each(context, n, [&, depth, counts](C c, long i) {
        digest child = child_of(state, static_cast<std::uint32_t>(i));
        counts[i] = count_nodes<R>(c, t, child, depth + 1);
    });
    long sum = 1;
    for (int i = 0; i < n; i++)
        sum += counts[i];
    return sum;
}

template <class R> result run_uts(R &runtime, const tree &t)
{
    std::uint8_t text[20] = {};
    text[19] = t.seed;
    digest root = sha1(text, sizeof text);
    long value = 0;
    runtime.run([&](auto context) { value = count_nodes<R>(context, t, root, 0); });
    check("nodes of the tree", value, t.nodes);
    return {static_cast<double>(t.nodes), "node"};
}

#endif
