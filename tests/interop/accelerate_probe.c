/* A launch file in, the one that we export of it out: accelerate_probe IN OUT. Prints the flags, one per line. */
#include "client/cfgctl/accelerate.h"

#include <stdio.h>
#include <stdlib.h>

static int read_all(struct cfg_buf *out, const char *name)
{
    char chunk[4096];
    size_t n;
    FILE *f = fopen(name, "r");
    if (f == NULL)
        return -1;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        cfg_buf_put(out, chunk, n);
    return fclose(f);
}

static int write_all(const char *name, const struct cfg_buf *text)
{
    FILE *f = fopen(name, "w");
    if (f == NULL)
        return -1;
    size_t n = fwrite(text->data, 1, text->len, f);
    return fclose(f) == 0 && n == text->len ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct cfg_error err = CFG_ERROR_INIT;
    struct cfg_buf in, out;
    struct accelerate_launch l = {.file = NULL};
    cJSON *launch = NULL, *notes = cJSON_CreateArray(), *violations = cJSON_CreateArray();
    cfg_buf_init(&in, 1 << 20);
    cfg_buf_init(&out, 1 << 20);
    int rc = argc == 3 ? read_all(&in, argv[1]) : -1;
    if (rc == 0)
        rc = accelerate_read(&launch, cfg_buf_slice(&in), ACCELERATE_DROP, notes, violations, &err);
    if (rc == 0)
        rc = accelerate_make(&l, launch, -1, ACCELERATE_DROP, notes, violations, &err);
    if (rc == 0)
        rc = accelerate_print(&out, &l) == 0 ? write_all(argv[2], &out) : -1;
    const cJSON *flag;
    cJSON_ArrayForEach(flag, l.flags)
    {
        (void)puts(flag->valuestring); /* the reader sees what is missing */
    }
    if (rc != 0)
        (void)fprintf(stderr, "%s\n", err.text);
    accelerate_launch_finish(&l);
    cJSON_Delete(launch);
    cJSON_Delete(notes);
    cJSON_Delete(violations);
    cfg_buf_finish(&in);
    cfg_buf_finish(&out);
    return rc == 0 ? 0 : 1;
}
