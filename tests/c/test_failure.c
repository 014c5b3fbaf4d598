/* sp_fail() and sp_take_failure(). */
#include "check.h"
#include "stealpool.h"
#include "threads.h"

static void check_taken(const char *expected)
{
    const char *taken = sp_take_failure();
    CHECK_STR_EQ(taken, expected);
}

static void the_code_comes_back_and_the_text_is_kept(void)
{
    CHECK_EQ(sp_fail(3, "row 7 is not finite"), 3);
    check_taken("row 7 is not finite");
}

static void a_text_is_taken_once(void)
{
    sp_fail(-1, "no");
    check_taken("no");
    check_taken("");
}

static void the_last_text_wins(void)
{
    sp_fail(1, "a longer first text");
    sp_fail(2, "second");
    check_taken("second");
}

static void the_text_is_a_copy_cut_to_255_bytes(void)
{
    char text[300];
    memset(text, 'x', sizeof text);
    text[299] = '\0';
    sp_fail(1, text);
    memset(text, 'y', sizeof text - 1);
    const char *kept = sp_take_failure();
    CHECK_EQ(strlen(kept), 255);
    CHECK_EQ(strspn(kept, "x"), 255);
}

static void take_elsewhere(unsigned index, void *arg)
{
    (void)arg;
    check_taken("");
    sp_fail(1, index ? "one" : "zero");
    check_taken(index ? "one" : "zero");
}

static void each_thread_has_a_text_of_its_own(void)
{
    sp_fail(1, "mine");
    run_together(2, take_elsewhere, NULL);
    check_taken("mine");
}

int main(void)
{
    RUN(the_code_comes_back_and_the_text_is_kept);
    RUN(a_text_is_taken_once);
    RUN(the_last_text_wins);
    RUN(the_text_is_a_copy_cut_to_255_bytes);
    RUN(each_thread_has_a_text_of_its_own);
    return 0;
}
