/* sp_status_text(): a text for every status. */
#include "check.h"
#include "stealpool.h"

static void every_status_has_a_text_of_its_own(void)
{
    for (int a = SP_EPERM; a <= SP_OK; a++) {
        const char *text = sp_status_text((sp_status)a);
        CHECK(text && *text, "status %d", a);
        CHECK(text[strlen(text) - 1] != '.', "\"%s\" ends with a full stop", text);
        CHECK(strcmp(text, "unknown status") != 0, "status %d", a);
        for (int b = SP_EPERM; b < a; b++)
            CHECK(strcmp(text, sp_status_text((sp_status)b)) != 0, "%d, %d", a, b);
    }
}

static void other_numbers_are_unknown(void)
{
    CHECK_STR_EQ(sp_status_text((sp_status)1), "unknown status");
    CHECK_STR_EQ(sp_status_text((sp_status)(SP_EPERM - 1)), "unknown status");
}

int main(void)
{
    RUN(every_status_has_a_text_of_its_own);
    RUN(other_numbers_are_unknown);
    return 0;
}
