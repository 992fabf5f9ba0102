/* Cuts the text of a JSON array into the texts of its elements, without reading them. */
#include "tests/conformance/suite.h"

#include <string.h>

/* The end of the value that begins at i: the next comma or bracket outside of strings and nested values. */
static size_t end_of_value(struct cfg_slice text, size_t i)
{
    bool quoted = false;
    for (unsigned depth = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quoted) {
            i += c == '\\';
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            depth++;
        } else if (depth == 0 && (c == ',' || c == ']')) {
            break;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return i < text.len ? i : text.len;
}

static size_t skip_space(struct cfg_slice text, size_t i)
{
    while (i < text.len && strchr(" \t\r\n", text.ptr[i]) && text.ptr[i])
        i++;
    return i;
}

bool cfg_suite_is_array(struct cfg_slice text)
{
    size_t i = skip_space(text, 0);
    return i < text.len && text.ptr[i] == '[';
}

bool cfg_suite_element(struct cfg_slice *out, struct cfg_slice array, size_t *i)
{
    size_t start = skip_space(array, *i);
    if (start >= array.len || (array.ptr[start] != '[' && array.ptr[start] != ','))
        return false;
    start = skip_space(array, start + 1);
    *i = end_of_value(array, start);
    *out = (struct cfg_slice){array.ptr + start, *i - start};
    return *i > start;
}
