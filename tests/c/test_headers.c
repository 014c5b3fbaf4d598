/* A public header compiles alone, twice, and without a warning. */
#include HEADER
#include HEADER

int main(void)
{
    return 0;
}
