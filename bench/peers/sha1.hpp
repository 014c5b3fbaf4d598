// SHA-1 (FIPS 180-4) of messages of at most 55 bytes: one block. The random numbers
// of UTS are made of it.
#ifndef PEERS_SHA1_HPP
#define PEERS_SHA1_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

using digest = std::array<std::uint8_t, 20>;

inline std::uint32_t rotate(std::uint32_t x, int n) { return x << n | x >> (32 - n); }

inline digest sha1(const std::uint8_t *message, std::size_t bytes)
{
    std::uint8_t block[64] = {};
    std::memcpy(block, message, bytes);
    block[bytes] = 0x80;
    block[62] = static_cast<std::uint8_t>(bytes * 8 >> 8);
    block[63] = static_cast<std::uint8_t>(bytes * 8);

    std::uint32_t w[80];
    for (int i = 0; i < 16; i++)
        w[i] = std::uint32_t(block[4 * i]) << 24 | std::uint32_t(block[4 * i + 1]) << 16 |
               std::uint32_t(block[4 * i + 2]) << 8 | block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);

    const std::uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
                                    0xc3d2e1f0};
    std::uint32_t a = start[0], b = start[1], c = start[2], d = start[3], e = start[4];
    for (int i = 0; i < 80; i++) {
        std::uint32_t f, k;
        if (i < 20)
            f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40)
            f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60)
            f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else
            f = b ^ c ^ d, k = 0xca62c1d6;
        std::uint32_t t = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = t;
    }
    const std::uint32_t h[5] = {start[0] + a, start[1] + b, start[2] + c, start[3] + d,
                                start[4] + e};
    digest out;
    for (int i = 0; i < 20; i++)
        out[i] = static_cast<std::uint8_t>(h[i / 4] >> (24 - 8 * (i % 4)));
    return out;
}

#endif
