/* Answers for the reader of safetensors: a line with a path in, a line of JSON out. */
#include "worker/model/safetensors.h"

#include <stdio.h>
#include <string.h>

static void put_tensors(struct cfg_buf *out, const struct cfg_safetensors *s)
{
    cfg_buf_puts(out, "{\"ok\":true,\"tensors\":{");
    for (size_t i = 0; i < s->n; i++) {
        const struct cfg_st_tensor *t = &s->tensors[i];
        cfg_buf_puts(out, i > 0 ? "," : "");
        cfg_json_put_string(out, cfg_slice_str(t->name));
        cfg_buf_printf(out, ":[\"%s\",[", cfg_st_dtype_name(t->dtype));
        for (unsigned d = 0; d < t->n_dims; d++) {
            cfg_buf_printf(out, "%s%llu", d > 0 ? "," : "", (unsigned long long)t->dims[d]);
        }
        cfg_buf_printf(out, "],%zu]", t->bytes.len);
    }
    cfg_buf_puts(out, "}}");
}

int main(void)
{
    char path[4096];
    while (fgets(path, sizeof path, stdin) != NULL) {
        struct cfg_slice file = {NULL, 0};
        struct cfg_safetensors s = {0};
        struct cfg_error err = CFG_ERROR_INIT;
        struct cfg_buf out;
        path[strcspn(path, "\n")] = '\0';
        cfg_buf_init(&out, 64 << 20);
        int rc = cfg_file_read(&file, path, &err);
        rc = rc == 0 ? cfg_safetensors_parse(&s, file, &err) : rc;
        if (rc == 0) {
            put_tensors(&out, &s);
        } else {
            cfg_buf_puts(&out, "{\"ok\":false,\"error\":");
            cfg_json_put_string(&out, cfg_slice_str(err.text));
            cfg_buf_putc(&out, '}');
        }
        if (cfg_buf_status(&out) != 0) {
            return 1;
        }
        (void)puts(out.data);
        cfg_buf_finish(&out);
        cfg_safetensors_finish(&s);
        cfg_file_free(&file);
    }
    return 0;
}
