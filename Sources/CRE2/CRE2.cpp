// SPDX-License-Identifier: Apache-2.0
#include "CRE2.h"

#include <re2/re2.h>

#include <new>

struct cre2_pattern {
    re2::RE2 expression;

    cre2_pattern(const char *source, size_t length, const re2::RE2::Options &options)
        : expression(re2::StringPiece(source, length), options) {}
};

cre2_pattern *cre2_create(const char *expression, size_t length) {
    try {
        re2::RE2::Options options;
        // The caller reports errors; RE2 would write them to standard error.
        options.set_log_errors(false);
        // The caller only asks whether a match exists, so RE2 does not need to record groups.
        options.set_never_capture(true);
        return new cre2_pattern(expression, length, options);
    } catch (...) {
        return nullptr;
    }
}

void cre2_destroy(cre2_pattern *pattern) { delete pattern; }

cre2_status cre2_get_status(const cre2_pattern *pattern) {
    switch (pattern->expression.error_code()) {
    case re2::RE2::NoError: return CRE2_OK;
    case re2::RE2::ErrorBadEscape: return CRE2_BAD_ESCAPE;
    case re2::RE2::ErrorBadCharClass: return CRE2_BAD_CLASS;
    case re2::RE2::ErrorBadCharRange: return CRE2_BAD_RANGE;
    case re2::RE2::ErrorMissingBracket: return CRE2_MISSING_BRACKET;
    case re2::RE2::ErrorMissingParen: return CRE2_MISSING_PARENTHESIS;
    case re2::RE2::ErrorUnexpectedParen: return CRE2_UNEXPECTED_PARENTHESIS;
    case re2::RE2::ErrorTrailingBackslash: return CRE2_TRAILING_BACKSLASH;
    case re2::RE2::ErrorRepeatArgument: return CRE2_REPEAT_ARGUMENT;
    case re2::RE2::ErrorRepeatSize: return CRE2_REPEAT_SIZE;
    case re2::RE2::ErrorRepeatOp: return CRE2_REPEAT_OPERATOR;
    case re2::RE2::ErrorBadPerlOp: return CRE2_BAD_GROUP;
    case re2::RE2::ErrorPatternTooLarge: return CRE2_TOO_LARGE;
    default: return CRE2_OTHER;
    }
}

const char *cre2_error_argument(const cre2_pattern *pattern, size_t *length) {
    *length = pattern->expression.error_arg().size();
    return pattern->expression.error_arg().data();
}

const char *cre2_error_text(const cre2_pattern *pattern) { return pattern->expression.error().c_str(); }

int cre2_search(const cre2_pattern *pattern, const char *text, size_t length) {
    try {
        return re2::RE2::PartialMatch(re2::StringPiece(text, length), pattern->expression) ? 1 : 0;
    } catch (...) {
        return -1;
    }
}
