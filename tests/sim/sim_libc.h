/* Included before each source under test: library calls that write memory are
 * seen, too. */
#ifndef SIM_LIBC_H
#define SIM_LIBC_H

#include <stddef.h>
#include <string.h>

void *sim_memset(void *to, int byte, size_t n);
void *sim_memcpy(void *to, const void *from, size_t n);

#define memset(to, byte, n) sim_memset(to, byte, n)
#define memcpy(to, from, n) sim_memcpy(to, from, n)

#endif /* SIM_LIBC_H */
