/* Included before each source under test: library calls that write memory are seen, too,
 * and what the binding asks malloc() for is on the simulator's heap. */
#ifndef SIM_LIBC_H
#define SIM_LIBC_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void *sim_memset(void *to, int byte, size_t n);
void *sim_memcpy(void *to, const void *from, size_t n);
char *sim_strdup(const char *text);
void *sp__alloc(size_t size);
void sp__free(void *memory);

#define memset(to, byte, n) sim_memset(to, byte, n)
#define memcpy(to, from, n) sim_memcpy(to, from, n)
#define strdup(text) sim_strdup(text)
#define malloc(size) sp__alloc(size)
#define calloc(n, size) sp__alloc((n) * (size))
#define free(memory) sp__free(memory)

#endif /* SIM_LIBC_H */
