/*
 * counters.h - where counters begin that only ever grow.
 *
 * At 0. A build with -DSP_LATE_COUNTERS (`late_counters` in meson.options) begins three
 * short of 2^32 instead, so that the wrap, which a program may reach after weeks, comes
 * within every test. Those of 64 bits cross 2^32 there and go on: they wrap in no
 * lifetime, but whoever keeps a copy in fewer bits is found.
 *
 * Only for counters whose values are compared with each other, never with 0. Those that
 * go down again, such as references, are no business of this file.
 */
#ifndef SP_BASE_COUNTERS_H
#define SP_BASE_COUNTERS_H

#include <stdint.h>

#ifdef SP_LATE_COUNTERS
#define SP_FIRST_COUNT 0xfffffffdu
#else
#define SP_FIRST_COUNT 0u
#endif

/** The clocks of homes tick in ms: a time limit that is set soon after such a beginning
 * crosses the wrap. */
#define SP_FIRST_MS (SP_FIRST_COUNT - (SP_FIRST_COUNT ? 50u : 0u))

#endif /* SP_BASE_COUNTERS_H */
