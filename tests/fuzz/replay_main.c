/* Runs a fuzz target once on every file of the folders given, and on every prefix of the small ones: what a fuzzer has
 * found stays tested where there is no libFuzzer. A folder without inputs is an error, because it means that nothing
 * was tested. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { LARGEST = 1 << 20, LARGEST_TO_CUT = 512 };

/* In memory of exactly n bytes, so that a sanitizer sees one byte too many. */
static void run(const uint8_t *bytes, size_t n)
{
    uint8_t *exact = malloc(n > 0 ? n : 1);
    if (exact == NULL)
        abort();
    memcpy(exact, bytes, n);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
}

static int replay_file(const char *path)
{
    static uint8_t bytes[LARGEST];
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return -1;
    size_t n = fread(bytes, 1, sizeof bytes, f);
    int failed = ferror(f);
    (void)fclose(f);
    if (failed)
        return -1;
    run(bytes, n);
    for (size_t cut = 0; cut < n && n <= LARGEST_TO_CUT; cut++)
        run(bytes, cut);
    return 0;
}

/* The number of inputs; −1 when the folder or a file of it cannot be read. */
static int replay_folder(const char *folder)
{
    DIR *d = opendir(folder);
    if (d == NULL)
        return -1;
    int n = 0;
    for (const struct dirent *e; n >= 0 && (e = readdir(d)) != NULL;) {
        char path[4096];
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n = replay_file(path) == 0 ? n + 1 : -1;
    }
    (void)closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n = replay_folder(argv[i]);
        if (n <= 0) {
            (void)fprintf(stderr, "%s: %s\n", argv[i], n == 0 ? "no inputs" : "cannot be read");
            return 1;
        }
        (void)printf("%s: %d inputs\n", argv[i], n);
    }
    return argc > 1 ? 0 : 1;
}
