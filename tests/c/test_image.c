#include "kernels/image.h"

#include "check.h"

/* The letters at places -9 ... 12 of the row a b c d; '-' is the constant. */
static void check_row(sp_border border, const char *expected)
{
    for (int i = -9; i <= 12; i++) {
        ptrdiff_t from = sp__border_index(i, 4, border);
        char letter = from < 0 ? '-' : (char)('a' + from);
        CHECK_EQ(letter, expected[i + 9], "border %d, place %d", (int)border, i);
    }
}

static void borders_are_those_of_scipy(void)
{
    /*                                    |a  d| */
    check_row(SP_BORDER_REFLECT, "aabcddcbaabcddcbaabcdd");
    check_row(SP_BORDER_MIRROR, "dcbabcdcbabcdcbabcdcba");
    check_row(SP_BORDER_NEAREST, "aaaaaaaaaabcdddddddddd");
    check_row(SP_BORDER_CONSTANT, "---------abcd---------");
    check_row(SP_BORDER_WRAP, "dabcdabcdabcdabcdabcda");
}

static void a_single_pixel_is_its_own_neighbour(void)
{
    for (int i = -5; i <= 5; i++) {
        CHECK_EQ(sp__border_index(i, 1, SP_BORDER_REFLECT), 0);
        CHECK_EQ(sp__border_index(i, 1, SP_BORDER_MIRROR), 0);
        CHECK_EQ(sp__border_index(i, 1, SP_BORDER_NEAREST), 0);
        CHECK_EQ(sp__border_index(i, 1, SP_BORDER_WRAP), 0);
        CHECK_EQ(sp__border_index(i, 1, SP_BORDER_CONSTANT), i == 0 ? 0 : -1);
    }
}

static float memory[64];

static int is_valid(ptrdiff_t stride, ptrdiff_t height, ptrdiff_t width)
{
    sp_image image = {memory + 32, stride, height, width, 1};
    return sp__image_is_valid(&image, sizeof(float));
}

static void strides_are_whole_samples_and_not_shorter_than_a_row(void)
{
    CHECK(is_valid(16, 3, 4));
    CHECK(is_valid(20, 3, 4));
    CHECK(is_valid(-16, 3, 4));
    CHECK(is_valid(0, 1, 4)); /* one row has no stride */
    CHECK(!is_valid(12, 3, 4));
    CHECK(!is_valid(-12, 3, 4));
    CHECK(!is_valid(0, 2, 4));
    CHECK(!is_valid(18, 3, 4));
}

static void shapes_that_overflow_are_refused(void)
{
    sp_image image = {memory, 16, 1, PTRDIFF_MAX / 2, 3};
    CHECK(!sp__image_is_valid(&image, sizeof(float)));
    CHECK(!is_valid(PTRDIFF_MAX / 4 * 4, 3, 4));
    CHECK(!is_valid(16, -1, 4));
    CHECK(!is_valid(16, 3, -4));
}

static void pointers_are_aligned_and_null_only_when_empty(void)
{
    sp_image image = {(char *)memory + 2, 16, 3, 4, 1};
    CHECK(!sp__image_is_valid(&image, sizeof(float)));
    image.data = NULL;
    CHECK(!sp__image_is_valid(&image, sizeof(float)));
    image.height = 0;
    CHECK(sp__image_is_valid(&image, sizeof(float)));
}

static int overlap(ptrdiff_t at, ptrdiff_t stride, ptrdiff_t height)
{
    sp_image fixed = {memory + 16, 16, 4, 4, 1}; /* samples 16 ... 31 */
    sp_image other = {memory + at, stride, height, 4, 1};
    CHECK_EQ(sp__images_overlap(&fixed, &other, sizeof(float)),
             sp__images_overlap(&other, &fixed, sizeof(float)));
    return sp__images_overlap(&fixed, &other, sizeof(float));
}

static void images_overlap_when_their_spans_do(void)
{
    CHECK(overlap(16, 16, 4));
    CHECK(overlap(31, 16, 1));
    CHECK(!overlap(32, 16, 4));
    CHECK(!overlap(12, 16, 1));
    CHECK(overlap(13, 16, 1));
    CHECK(overlap(44, -16, 5));  /* down to 28 */
    CHECK(!overlap(44, -16, 4)); /* down to 32 */
    CHECK(!overlap(16, 16, 0));  /* empty */
}

int main(void)
{
    RUN(borders_are_those_of_scipy);
    RUN(a_single_pixel_is_its_own_neighbour);
    RUN(strides_are_whole_samples_and_not_shorter_than_a_row);
    RUN(shapes_that_overflow_are_refused);
    RUN(pointers_are_aligned_and_null_only_when_empty);
    RUN(images_overlap_when_their_spans_do);
    return 0;
}
