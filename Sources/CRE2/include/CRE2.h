// SPDX-License-Identifier: Apache-2.0
//
// Regular expressions: the RE2 library behind plain C.
//
// Ownership. A pattern belongs to the caller of cre2_create, who frees it once with cre2_destroy. Texts that come out of
// a pattern belong to it and are valid until it is destroyed. Texts that go in are copied or only read during the call.
//
// Threads. A pattern never changes after cre2_create, so any number of threads may search with it at the same time.
//
// Errors. C++ exceptions do not cross this header. A pattern that RE2 refuses is still an object. Its status gives the
// reason, and the caller must not search it. Lengths are in bytes and explicit; all texts are UTF-8.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    CRE2_OK = 0,
    CRE2_BAD_ESCAPE,              // \1, \k
    CRE2_BAD_CLASS,               // a malformed class
    CRE2_BAD_RANGE,               // z-a, or the name of a class that does not exist
    CRE2_MISSING_BRACKET,         // a class that is never closed
    CRE2_MISSING_PARENTHESIS,     // a group that is never closed
    CRE2_UNEXPECTED_PARENTHESIS,  // a ) without its (
    CRE2_TRAILING_BACKSLASH,
    CRE2_REPEAT_ARGUMENT,         // a repetition of nothing
    CRE2_REPEAT_SIZE,             // {3,2}, or more than 1000 repetitions
    CRE2_REPEAT_OPERATOR,         // a repetition of a repetition
    CRE2_BAD_GROUP,               // a form of group that RE2 does not support, such as (?=
    CRE2_TOO_LARGE,               // a program that exceeds the memory budget
    CRE2_OTHER,                   // cre2_error_text says more
} cre2_status;

typedef struct cre2_pattern cre2_pattern;

// Compiles an expression. NULL: out of memory.
cre2_pattern *cre2_create(const char *expression, size_t length);
void cre2_destroy(cre2_pattern *pattern);

cre2_status cre2_get_status(const cre2_pattern *pattern);

// The part of the expression that RE2 complains about; for CRE2_MISSING_PARENTHESIS and CRE2_UNEXPECTED_PARENTHESIS the
// whole expression.
const char *cre2_error_argument(const cre2_pattern *pattern, size_t *length);

// RE2's own error text, which ends with a zero.
const char *cre2_error_text(const cre2_pattern *pattern);

// 1: a match begins somewhere in the text. 0: the text does not contain a match. -1: out of memory.
int cre2_search(const cre2_pattern *pattern, const char *text, size_t length);

#ifdef __cplusplus
}
#endif
