/* The command lines of cfg-train, cfg-infer and cfg-fleet: one table per program feeds the reader and --help.
 *
 * To add an option, give the program's struct of options a member and its table a row:
 *
 *     {"--load", "N", CFG_ARG(struct cfg_infer_options, load), "keep N sequences of its own running (default 0)"},
 *
 * The member's type says how the value is read: bool is a switch (the value in the row is NULL), const char * any text,
 * unsigned, uint64_t and int64_t a whole number. CFG_ARG_WITHIN gives a number its bounds. For whatever else there is,
 * or what may be said repeatedly, CFG_ARG_CALL names a function of the program that takes the text. The default is what
 * the member holds before the command line is read. */
#ifndef CFG_WORKER_ARGS_H
#define CFG_WORKER_ARGS_H

#include <cfg/error.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum cfg_arg_kind { CFG_ARG_SWITCH, CFG_ARG_TEXT, CFG_ARG_U32, CFG_ARG_U64, CFG_ARG_CALLED };

/* Takes `value` (borrowed; it lives as long as argv) into the program's `options`. What it says on failure stands
 * behind the option's name. */
typedef int (*cfg_arg_take)(void *options, const char *value, struct cfg_error *err);

struct cfg_arg {
    const char *name, *value; /* "--load"; "N", or NULL for a switch */
    enum cfg_arg_kind kind;
    size_t at; /* of the member */
    uint64_t min, max;
    cfg_arg_take take;
    const char *help;
};

/* Numbers without bounds of their own. 32 bits: those that are milliseconds stay within them as microseconds. */
#define CFG_ARG_MAX_32 (UINT32_MAX / 1000)
#define CFG_ARG_MAX_64 ((uint64_t)INT64_MAX)

#define CFG_ARG_WITHIN(type, member, least, most) \
    _Generic(((type *)NULL)->member,              \
        bool: CFG_ARG_SWITCH,                     \
        const char *: CFG_ARG_TEXT,               \
        unsigned: CFG_ARG_U32,                    \
        uint64_t: CFG_ARG_U64,                    \
        int64_t: CFG_ARG_U64),                    \
        offsetof(type, member), least, most, NULL
#define CFG_ARG(type, member) \
    CFG_ARG_WITHIN(type, member, 0, sizeof(((type *)NULL)->member) == 4 ? CFG_ARG_MAX_32 : CFG_ARG_MAX_64)
#define CFG_ARG_CALL(function) CFG_ARG_CALLED, 0, 0, 0, function

enum { CFG_ARGS_MAX = 64 };

struct cfg_args {
    const char *program, *about; /* "cfg-infer"; what --help says of it behind its name */
    const char *notes;           /* what --help says below the options */
    const struct cfg_arg *rows;
    size_t n; /* ≤ CFG_ARGS_MAX */
};

/* Reads argv behind the program's name into `options`, which holds the defaults: "--name value" and "--name=value"; the
 * last of several holds. Texts are borrowed from argv. CFG_E_INVALID, or what a function gave, with the option's name
 * in front; the nearest known one is the hint for an unknown one. What was read until then stays in `options`. */
CFG_MUST_CHECK int cfg_args_read(void *options, const struct cfg_args *args, int argc, char **argv,
                                 struct cfg_error *err);
/* What --help prints: the program, a line per row, the notes. */
void cfg_args_help(FILE *out, const struct cfg_args *args);

#endif
