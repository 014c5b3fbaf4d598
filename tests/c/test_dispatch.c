#define _POSIX_C_SOURCE 200809L /* setenv */
#include "kernels/dispatch.h"

#include "check.h"

static void the_environment_lowers_the_choice(void)
{
    CHECK_STR_EQ(sp__kernels()->level, "baseline");
    CHECK_STR_EQ(sp_isa(), sp__kernels()->isa);
}

static void an_unknown_level_is_refused_and_changes_nothing(void)
{
    const struct sp__kernels *before = sp__kernels();
    CHECK_EQ(sp__kernels_use("v5"), SP_EINVAL);
    CHECK_EQ(sp__kernels_use(""), SP_EINVAL);
    CHECK(sp__kernels() == before);
}

static void every_level_that_is_there_can_be_used(void)
{
    static const char *const levels[] = {"baseline", "v3", "v4"};
    for (int i = 0; i < 3; i++) {
        if (sp__kernels_use(levels[i]) == SP_OK)
            CHECK_STR_EQ(sp__kernels()->level, levels[i]);
    }
    CHECK_EQ(sp__kernels_use("baseline"), SP_OK);
}

static void every_table_is_complete(void)
{
    const struct sp__kernels *k = sp__kernels();
    for (int fn = 0; fn < SP_MATH_COUNT; fn++)
        CHECK(k->math->map[fn] && k->integrate->math[fn], "function %d", fn);
    CHECK(k->math->polynomial && k->integrate->polynomial);
    CHECK(k->gaussian->tile_u8 && k->gaussian->tile_f32);
    CHECK(k->gray->row_u8 && k->gray->row_f32);
}

int main(void)
{
    setenv("STEALPOOL_CPU", "baseline", 1); /* before the first kernel */
    RUN(the_environment_lowers_the_choice);
    RUN(an_unknown_level_is_refused_and_changes_nothing);
    RUN(every_level_that_is_there_can_be_used);
    RUN(every_table_is_complete);
    return 0;
}
