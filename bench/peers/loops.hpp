// Loops, from an empty one to a stencil. Each checks its result against the same loop
// in one thread, or against a sum that is known.
#ifndef PEERS_LOOPS_HPP
#define PEERS_LOOPS_HPP

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "result.hpp"

// Computed once, by the calling thread: what the parallel loop must give, too.
template <class F> double reference(F f)
{
    static const double value = f();
    return value;
}

// ----------------------------------------------------- nothing, and little

template <class R> result run_empty_loop(R &runtime)
{
    enum { CALLS = 1000, N = 64 };
    static unsigned char visited[N];
    result r = {1, "loop"};
    for (int call = 0; call < CALLS; call++) {
        double start = now();
        runtime.loop(N, [](long begin, long end) {
            for (long i = begin; i < end; i++)
                visited[i]++;
        });
        r.times.push_back(now() - start);
    }
    static unsigned char rounds;
    rounds = static_cast<unsigned char>(rounds + CALLS);
    for (unsigned char v : visited)
        check("visits of an index", v, rounds);
    return r;
}

// A chain of multiplications, about a nanosecond a step. Not inlined: clang would make
// the chains of neighbouring indices one, in vectors, and compare compilers.
[[gnu::noinline]] inline std::uint64_t work(long i, long steps)
{
    std::uint64_t x = static_cast<std::uint64_t>(i) | 1;
    for (long s = 0; s < steps; s++)
        x = x * 6364136223846793005u + 1442695040888963407u;
    return x;
}

// N indices of `steps` steps each. Long loops are called less often.
template <class R> result run_sweep(R &runtime, long steps)
{
    enum { N = 64 };
    static std::uint64_t out[N];
    long calls = std::clamp(2000000 / (N * steps), 2l, 1000l);
    result r = {1, "loop"};
    for (long call = 0; call < calls; call++) {
        double start = now();
        runtime.loop(N, [steps](long begin, long end) {
            for (long i = begin; i < end; i++)
                out[i] = work(i, steps);
        });
        r.times.push_back(now() - start);
    }
    for (long i = 0; i < N; i += 21)
        check("the work of an index", out[i] == work(i, steps), 1);
    return r;
}

// ------------------------------------------------------------- mandelbrot

inline int escape(double cx, double cy)
{
    double x = 0, y = 0;
    int n = 0;
    for (; n < 500 && x * x + y * y <= 4; n++) {
        double t = x * x - y * y + cx;
        y = 2 * x * y + cy;
        x = t;
    }
    return n;
}

inline void mandelbrot_rows(std::vector<int> &image, long size, long first, long last)
{
    double step = 3.0 / static_cast<double>(size);
    for (long row = first; row < last; row++)
        for (long column = 0; column < size; column++)
            image[static_cast<std::size_t>(row * size + column)] =
                escape(static_cast<double>(column) * step - 2.2,
                       static_cast<double>(row) * step - 1.5);
}

template <class R> result run_mandelbrot(R &runtime)
{
    constexpr long size = 384;
    static std::vector<int> image(size * size);
    std::fill(image.begin(), image.end(), -1);
    double start = now();
    runtime.loop_uneven(
        size, [](long begin, long end) { mandelbrot_rows(image, size, begin, end); });
    double spent = now() - start;
    auto sum = [](const std::vector<int> &v) {
        double s = 0;
        for (int n : v)
            s += n;
        return s;
    };
    double should = reference([&] {
        std::vector<int> serial(size * size);
        mandelbrot_rows(serial, size, 0, size);
        return sum(serial);
    });
    check("iterations of mandelbrot", sum(image), static_cast<long>(should));
    return {1, "run", {spent}};
}

// ------------------------------------------------------------------- spmv

// A sparse matrix whose rows have lengths by a power law, the longest ones first:
// a tenth of the rows holds most of the entries.
struct sparse {
    std::vector<long> starts;
    std::vector<int> columns;
    std::vector<double> values, x, y;

    explicit sparse(long n)
    {
        std::mt19937 random(7);
        starts.push_back(0);
        for (long row = 0; row < n; row++) {
            long length = std::max(
                2l, static_cast<long>(20000 / std::pow(static_cast<double>(row + 1), 0.8)));
            for (long i = 0; i < length; i++) {
                columns.push_back(static_cast<int>(random() % static_cast<unsigned>(n)));
                values.push_back(static_cast<double>(random() % 9));
            }
            starts.push_back(static_cast<long>(columns.size()));
        }
        for (long row = 0; row < n; row++)
            x.push_back(static_cast<double>(random() % 9));
        y.resize(static_cast<std::size_t>(n));
    }

    void rows(long first, long last)
    {
        for (long row = first; row < last; row++) {
            double sum = 0;
            for (long k = starts[std::size_t(row)]; k < starts[std::size_t(row) + 1]; k++)
                sum += values[std::size_t(k)] * x[std::size_t(columns[std::size_t(k)])];
            y[std::size_t(row)] = sum;
        }
    }

    double sum() const
    {
        double s = 0;
        for (double v : y)
            s += v;
        return s;
    }
};

template <class R> result run_spmv(R &runtime)
{
    constexpr long n = 200000;
    static sparse matrix(n);
    double should = reference([] {
        matrix.rows(0, n);
        return matrix.sum();
    });
    std::fill(matrix.y.begin(), matrix.y.end(), -1.0);
    double start = now();
    runtime.loop_uneven(n, [](long begin, long end) { matrix.rows(begin, end); });
    double spent = now() - start;
    check("sum of the product", matrix.sum(), static_cast<long>(should));
    return {1, "run", {spent}};
}

// ----------------------------------------------------------------- matmul

inline void multiply_rows(const std::vector<float> &a, const std::vector<float> &b,
                          std::vector<float> &c, long n, long first, long last)
{
    for (long i = first; i < last; i++) {
        float *to = &c[std::size_t(i * n)];
        std::fill(to, to + n, 0.0f);
        for (long k = 0; k < n; k++) {
            float factor = a[std::size_t(i * n + k)];
            const float *from = &b[std::size_t(k * n)];
            for (long j = 0; j < n; j++)
                to[j] += factor * from[j];
        }
    }
}

template <class R> result run_matmul(R &runtime)
{
    constexpr long n = 320;
    static std::vector<float> a(n * n), b(n * n), c(n * n);
    for (long i = 0; i < n * n; i++) {
        a[std::size_t(i)] = static_cast<float>(i % 7);
        b[std::size_t(i)] = static_cast<float>(i % 5);
    }
    auto sum = [] {
        double s = 0;
        for (float v : c)
            s += static_cast<double>(v);
        return s;
    };
    double should = reference([&] {
        multiply_rows(a, b, c, n, 0, n);
        return sum();
    });
    std::fill(c.begin(), c.end(), -1.0f);
    double start = now();
    // Not loop_even(): where one CPU is slower for a while, equal parts do not end
    // together, and what that costs depends on the hour. For OpenMP it is the same.
    runtime.loop(n,
                 [](long begin, long end) { multiply_rows(a, b, c, n, begin, end); });
    double spent = now() - start;
    check("sum of the product", sum(), static_cast<long>(should));
    return {1, "run", {spent}};
}

// ---------------------------------------------------------------- stencil

// Heat on a square, 100 short sweeps: what counts is the barrier between them.
template <class R> result run_stencil(R &runtime)
{
    constexpr long n = 256, sweeps = 100;
    auto sweep_rows = [](const std::vector<double> &from, std::vector<double> &to,
                         long first, long last) {
        for (long i = first + 1; i < last + 1; i++)
            for (long j = 1; j < n - 1; j++) {
                std::size_t at = std::size_t(i * n + j);
                to[at] = 0.25 * (from[at - 1] + from[at + 1] + from[at - n] + from[at + n]);
            }
    };
    auto heat = [&](auto sweep) {
        std::vector<double> from(n * n), to(n * n);
        for (long i = 0; i < n; i++)
            from[std::size_t(i)] = to[std::size_t(i)] = 1e6;
        double start = now();
        for (long s = 0; s < sweeps; s++) {
            sweep(from, to);
            from.swap(to);
        }
        double spent = now() - start, sum = 0;
        for (double v : from)
            sum += v;
        return std::pair(spent, sum);
    };
    double should = reference([&] {
        return heat([&](auto &from, auto &to) { sweep_rows(from, to, 0, n - 2); }).second;
    });
    auto [spent, sum] = heat([&](auto &from, auto &to) {
        runtime.loop_even(n - 2, [&](long b, long e) { sweep_rows(from, to, b, e); });
    });
    check("the heat", sum == should, 1);
    return {1, "run", {spent}};
}

#endif
