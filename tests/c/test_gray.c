#include <math.h>

#include "check.h"
#include "kernels/dispatch.h"

/* Every colour is converted exactly; three colours per pixel, or four. */
static void every_colour_is_rounded_from_15_bits(void)
{
    static uint8_t src[256 * 4], dst[256];
    for (int channels = 3; channels <= 4; channels++) {
        for (int red = 0; red < 256; red += 5) {
            for (int green = 0; green < 256; green++) {
                for (int blue = 0; blue < 256; blue++) {
                    uint8_t *pixel = src + blue * channels;
                    pixel[0] = (uint8_t)red;
                    pixel[1] = (uint8_t)green;
                    pixel[2] = (uint8_t)blue;
                    if (channels == 4)
                        pixel[3] = (uint8_t)(blue * 7);
                }
                sp_image from = {src, 0, 1, 256, channels};
                sp_image to = {dst, 0, 1, 256, 1};
                CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &to), SP_OK);
                for (int blue = 0; blue < 256; blue++)
                    CHECK_EQ(dst[blue],
                             (red * 9798 + green * 19235 + blue * 3735 + 16384) >> 15);
            }
        }
    }
}

enum { HEIGHT = 37, WIDTH = 91, STRIDE = 400 };

/* Rows with gaps, of every width; the gaps stay as they were. */
static void rows_of_any_width_and_stride_work_and_gaps_are_left_alone(void)
{
    static uint8_t src[HEIGHT * STRIDE], dst[HEIGHT * STRIDE];
    for (size_t i = 0; i < sizeof src; i++)
        src[i] = (uint8_t)(i * i * 31 >> 4);
    for (int width = 0; width <= WIDTH; width++) {
        memset(dst, 77, sizeof dst);
        sp_image from = {src, STRIDE, HEIGHT, width, 4};
        sp_image to = {dst + (HEIGHT - 1) * STRIDE, -STRIDE, HEIGHT, width, 1};
        CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &to), SP_OK);
        for (int y = 0; y < HEIGHT; y++) {
            for (int x = 0; x < STRIDE; x++) {
                const uint8_t *rgb = src + y * STRIDE + 4 * (x < width ? x : 0);
                int gray =
                    (rgb[0] * 9798 + rgb[1] * 19235 + rgb[2] * 3735 + 16384) >> 15;
                CHECK_EQ(dst[(HEIGHT - 1 - y) * STRIDE + x], x < width ? gray : 77,
                         "%d, %d of width %d", y, x, width);
            }
        }
    }
}

static void floats_are_weighted(void)
{
    static float src[HEIGHT * WIDTH * 3], dst[HEIGHT * WIDTH];
    for (int i = 0; i < HEIGHT * WIDTH * 3; i++)
        src[i] = (float)(i % 1009) / 4;
    sp_image from = {src, WIDTH * 12, HEIGHT, WIDTH, 3};
    sp_image to = {dst, WIDTH * 4, HEIGHT, WIDTH, 1};
    CHECK_EQ(sp_rgb_to_gray_f32(NULL, &from, &to), SP_OK);
    for (int i = 0; i < HEIGHT * WIDTH; i++) {
        const float *rgb = src + 3 * i;
        double gray = rgb[0] * 0.299 + rgb[1] * 0.587 + rgb[2] * 0.114;
        CHECK(fabs(dst[i] - gray) <= 4e-5, "%d: %g, not %g", i, dst[i], gray);
    }
}

static void a_pool_gives_the_same_image(void)
{
    enum { SIDE = 500 };
    static uint8_t src[SIDE * SIDE * 3], alone[SIDE * SIDE], together[SIDE * SIDE];
    for (size_t i = 0; i < sizeof src; i++)
        src[i] = (uint8_t)(i * 2654435761u >> 13);
    sp_pool *pool;
    sp_pool_options options = {.workers = 3};
    CHECK_EQ(sp_pool_create(&pool, &options), SP_OK);
    sp_image from = {src, SIDE * 3, SIDE, SIDE, 3};
    sp_image one = {alone, SIDE, SIDE, SIDE, 1};
    sp_image other = {together, SIDE, SIDE, SIDE, 1};
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &one), SP_OK);
    CHECK_EQ(sp_rgb_to_gray_u8(pool, &from, &other), SP_OK);
    CHECK(memcmp(alone, together, sizeof alone) == 0);
    sp_pool_free(pool);
}

static void wrong_arguments_are_refused(void)
{
    static uint8_t src[48], dst[16];
    sp_image from = {src, 12, 4, 4, 3};
    sp_image to = {dst, 4, 4, 4, 1};
    sp_image wide = {dst, 5, 3, 5, 1}, high = {dst, 4, 3, 4, 1},
             deep = {dst, 6, 4, 4, 2};
    sp_image two = {src, 8, 4, 4, 2}, same = {src, 4, 4, 4, 1},
             no_memory = {NULL, 4, 4, 4, 1};
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &to), SP_OK);
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, NULL, &to), SP_EINVAL);
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, NULL), SP_EINVAL);
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &wide), SP_EINVAL);
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &high), SP_EINVAL);
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &deep), SP_EINVAL);
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &two, &to), SP_EINVAL);
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &same), SP_EINVAL);
    CHECK_EQ(sp_rgb_to_gray_u8(NULL, &from, &no_memory), SP_EINVAL);
    CHECK_EQ(sp_rgb_to_gray_f32(NULL, &from, &to), SP_EINVAL);
}

int main(void)
{
    static const char *const levels[] = {"baseline", "v3", "v4"};
    for (int i = 0; i < 3; i++) {
        if (sp__kernels_use(levels[i]) != SP_OK)
            continue;
        printf("%s\n", sp_isa());
        RUN(every_colour_is_rounded_from_15_bits);
        RUN(rows_of_any_width_and_stride_work_and_gaps_are_left_alone);
        RUN(floats_are_weighted);
        RUN(a_pool_gives_the_same_image);
    }
    RUN(wrong_arguments_are_refused);
    return 0;
}
