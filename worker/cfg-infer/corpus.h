/* corpus.txt as bytes of the program (made by CMake): what the model learns at start-up. */
#ifndef CFG_INFER_CORPUS_H
#define CFG_INFER_CORPUS_H

#include <stddef.h>

extern const char cfg_infer_corpus[];
extern const size_t cfg_infer_corpus_len;

#endif
