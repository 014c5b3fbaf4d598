/* build.h - how the extension was built, as strings. */
#ifndef SP_PYX_BUILD_H
#define SP_PYX_BUILD_H

#include "stealpool.h"

#define SP__TEXT_OF(x) #x
#define SP__TEXT(x) SP__TEXT_OF(x)

#define SP_VERSION             \
    SP__TEXT(SP_VERSION_MAJOR) \
    "." SP__TEXT(SP_VERSION_MINOR) "." SP__TEXT(SP_VERSION_PATCH)

#ifdef __clang__
#define SP_COMPILER "clang " __clang_version__
#else
#define SP_COMPILER "gcc " __VERSION__
#endif

#ifdef SP_LATE_COUNTERS
#define SP__COUNTERS ", late counters"
#else
#define SP__COUNTERS ""
#endif

#ifdef NDEBUG
#define SP_BUILD_TYPE "release" SP__COUNTERS
#else
#define SP_BUILD_TYPE "debug (assertions on)" SP__COUNTERS
#endif

#endif /* SP_PYX_BUILD_H */
