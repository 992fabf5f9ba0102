/* Numbers under a locale with a decimal comma, without one being installed: snprintf's %e is made to write a comma, and
 * strtod to refuse a point, as both do there. The linker's --wrap brings the calls of our objects here. */
#include "proto/json.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double __real_strtod(const char *text, char **end);
double __wrap_strtod(const char *text, char **end);
int __wrap_snprintf(char *out, size_t room, const char *format, ...) CFG_PRINTF(3, 4);

static unsigned floats_printed, floats_read;

double __wrap_strtod(const char *text, char **end)
{
    floats_read++;
    cr_assert_null(strchr(text, '.'), "strtod saw %s", text);
    return __real_strtod(text, end);
}

int __wrap_snprintf(char *out, size_t room, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, room, format, args);
    va_end(args);
    char *point = strcmp(format, "%.*e") == 0 ? strchr(out, '.') : NULL;
    if (point)
        *point = ',';
    floats_printed += point != NULL;
    return n;
}

Test(locale, numbers_need_no_decimal_point_of_the_library)
{
    static const char in[] = "[1.5,0.000125,123456.789e-30,1e-7,3.141592653589793238462643,-2.2250738585072014e-308]";
    cJSON *v = NULL;
    struct cfg_buf out;
    cfg_buf_init(&out, 1024);
    cr_assert_eq(cfg_json_parse(&v, CFG_SLICE_LIT(in), 0, NULL), 0);
    cfg_json_print(&out, v);
    cr_assert_str_eq(out.data, "[1.5,0.000125,1.23456789e-25,1e-7,3.141592653589793,-2.2250738585072014e-308]");
    cr_assert_gt(floats_printed, 0);
    cr_assert_gt(floats_read, 0);
    cfg_buf_finish(&out);
    cJSON_Delete(v);
}
