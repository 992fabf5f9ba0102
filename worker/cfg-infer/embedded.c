/* The model inside the program: the file's bytes, taken in by the assembler (an array in C would be compiled for
 * seconds). engine.c reads them as it would read the file. */
__asm__(".section .rodata\n"
        ".global cfg_infer_weights\n"
        ".global cfg_infer_weights_end\n"
        ".hidden cfg_infer_weights\n"
        ".hidden cfg_infer_weights_end\n"
        ".balign 16\n"
        "cfg_infer_weights:\n"
        ".incbin \"" CFG_WEIGHTS_FILE "\"\n"
        "cfg_infer_weights_end:\n"
        ".byte 0\n"
        ".previous\n");
