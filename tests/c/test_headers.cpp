/* The same as C++. */
#include "test_headers.c"
