// SPDX-License-Identifier: Apache-2.0

// timegm(3)
#define _DEFAULT_SOURCE

#include "CPlatform.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

static const X509 *x509(const cplatform_certificate *certificate) { return (const X509 *)certificate; }

static const X509_CRL *crl(const cplatform_revocation_list *list) { return (const X509_CRL *)list; }

// Reading a PEM text ends with an error also where nothing is left.
static int is_at_end(void)
{
    unsigned long error = ERR_peek_last_error();
    ERR_clear_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

int cplatform_certificates_read(const void *pem, size_t count, cplatform_certificate *found[], int most)
{
    if (count > INT_MAX) return -1;
    BIO *text = BIO_new_mem_buf(pem, (int)count);
    if (text == NULL) return -1;
    ERR_clear_error();
    int number = 0;
    X509 *next = NULL;
    while (number < most && (next = PEM_read_bio_X509(text, NULL, NULL, NULL)) != NULL)
        found[number++] = (cplatform_certificate *)next;
    int is_whole = number < most && is_at_end();
    BIO_free(text);
    if (is_whole) return number;
    while (number > 0) cplatform_certificate_destroy(found[--number]);
    return -1;
}

cplatform_certificate *cplatform_certificate_decode(const void *der, size_t count)
{
    if (count > LONG_MAX) return NULL;
    const unsigned char *bytes = der;
    X509 *certificate = d2i_X509(NULL, &bytes, (long)count);
    ERR_clear_error();
    return (cplatform_certificate *)certificate;
}

void cplatform_certificate_destroy(cplatform_certificate *certificate) { X509_free((X509 *)certificate); }

static int seconds(const ASN1_TIME *time, int64_t *result)
{
    struct tm parts;
    if (time == NULL || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
    *result = timegm(&parts);
    return 1;
}

int cplatform_certificate_validity(const cplatform_certificate *certificate, int64_t *begin, int64_t *end)
{
    return seconds(X509_get0_notBefore(x509(certificate)), begin) && seconds(X509_get0_notAfter(x509(certificate)), end);
}

// The bytes of a memory BIO as a text, which is freed with the BIO.
static char *text_of(BIO *bio)
{
    char *bytes = NULL;
    long length = BIO_get_mem_data(bio, &bytes);
    char *text = OPENSSL_strndup(length > 0 ? bytes : "", (size_t)(length > 0 ? length : 0));
    BIO_free(bio);
    return text;
}

static char *text_of_name(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL) return NULL;
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    return text_of(bio);
}

char *cplatform_certificate_subject(const cplatform_certificate *certificate)
{
    return text_of_name(X509_get_subject_name(x509(certificate)));
}

char *cplatform_certificate_issuer(const cplatform_certificate *certificate)
{
    return text_of_name(X509_get_issuer_name(x509(certificate)));
}

static void print_name(BIO *bio, const GENERAL_NAME *name)
{
    int type = 0;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_IPADD) return;
    const unsigned char *bytes = ASN1_STRING_get0_data(value);
    int length = ASN1_STRING_length(value);
    char address[INET6_ADDRSTRLEN];
    if (type == GEN_DNS) {
        for (int i = 0; i < length; i++)
            if (!isalnum(bytes[i]) && strchr("-._*", bytes[i]) == NULL) return;
        BIO_printf(bio, "%.*s\n", length, (const char *)bytes);
    } else if (length == 4 || length == 16) {
        inet_ntop(length == 4 ? AF_INET : AF_INET6, bytes, address, sizeof address);
        BIO_printf(bio, "%s\n", address);
    }
}

char *cplatform_certificate_names(const cplatform_certificate *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL) return NULL;
    GENERAL_NAMES *names = X509_get_ext_d2i(x509(certificate), NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) print_name(bio, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return text_of(bio);
}

void cplatform_text_destroy(char *text) { OPENSSL_free(text); }

int cplatform_certificate_is_for(const cplatform_certificate *certificate, const char *host)
{
    X509 *one = (X509 *)certificate;
    unsigned char address[16];
    int is_address = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
    int result = is_address ? X509_check_ip_asc(one, host, 0)
                            : X509_check_host(one, host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL);
    ERR_clear_error();
    return result == 1;
}

int cplatform_certificate_hash(const cplatform_certificate *certificate, uint8_t hash[CPLATFORM_SHA256_SIZE])
{
    return X509_digest(x509(certificate), EVP_sha256(), hash, NULL);
}

int cplatform_certificate_is_self_signed(const cplatform_certificate *certificate)
{
    return X509_self_signed((X509 *)certificate, 0) == 1;
}

int cplatform_certificate_key(const cplatform_certificate *certificate, int *bits)
{
    EVP_PKEY *key = X509_get0_pubkey(x509(certificate));
    *bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);
    switch (key == NULL ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA: return CPLATFORM_KEY_RSA;
    case EVP_PKEY_EC: return CPLATFORM_KEY_EC;
    default: return CPLATFORM_KEY_OTHER;
    }
}

struct password {
    const void *bytes;
    size_t count;
    int is_asked;
};

static int give(char *buffer, int size, int is_written, void *data)
{
    (void)is_written;
    struct password *password = data;
    password->is_asked = 1;
    if (size < 0 || password->count > (size_t)size) return -1;
    if (password->count > 0) memcpy(buffer, password->bytes, password->count);
    return (int)password->count;
}

int cplatform_certificate_check_key(
    const cplatform_certificate *certificate, const void *pem, size_t count, const void *password,
    size_t password_count)
{
    BIO *text = count > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)count);
    if (text == NULL) return CPLATFORM_KEY_UNREADABLE;
    struct password given = {password, password_count, 0};
    EVP_PKEY *key = PEM_read_bio_PrivateKey(text, NULL, give, &given);
    BIO_free(text);
    int result = CPLATFORM_KEY_FITS;
    if (key == NULL) {
        result = given.is_asked ? CPLATFORM_KEY_LOCKED : CPLATFORM_KEY_UNREADABLE;
    } else if (X509_check_private_key(x509(certificate), key) != 1) {
        result = CPLATFORM_KEY_OF_ANOTHER;
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    return result;
}

int cplatform_revocation_lists_read(const void *pem, size_t count, cplatform_revocation_list *found[], int most)
{
    if (count > INT_MAX) return -1;
    BIO *text = BIO_new_mem_buf(pem, (int)count);
    if (text == NULL) return -1;
    ERR_clear_error();
    int number = 0;
    X509_CRL *next = NULL;
    while (number < most && (next = PEM_read_bio_X509_CRL(text, NULL, NULL, NULL)) != NULL)
        found[number++] = (cplatform_revocation_list *)next;
    int is_whole = number < most && is_at_end();
    BIO_free(text);
    if (is_whole) return number;
    while (number > 0) cplatform_revocation_list_destroy(found[--number]);
    return -1;
}

void cplatform_revocation_list_destroy(cplatform_revocation_list *list) { X509_CRL_free((X509_CRL *)list); }

char *cplatform_revocation_list_issuer(const cplatform_revocation_list *list)
{
    return text_of_name(X509_CRL_get_issuer(crl(list)));
}

int cplatform_revocation_list_due(const cplatform_revocation_list *list, int64_t *due)
{
    return seconds(X509_CRL_get0_nextUpdate(crl(list)), due);
}

// Accepts an authority without a revocation list.
static int judge(int is_valid, X509_STORE_CTX *context)
{
    if (is_valid || X509_STORE_CTX_get_error(context) != X509_V_ERR_UNABLE_TO_GET_CRL) return is_valid;
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
}

int cplatform_certificates_verify(
    cplatform_certificate *const chain[], int chain_count, cplatform_certificate *const authorities[],
    int authority_count, cplatform_revocation_list *const lists[], int list_count, int purpose, int *depth)
{
    int result = X509_V_ERR_OUT_OF_MEM;
    *depth = 0;
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    if (store == NULL || context == NULL || others == NULL) goto end;
    for (int i = 0; i < authority_count; i++) X509_STORE_add_cert(store, (X509 *)authorities[i]);
    for (int i = 0; i < list_count; i++) X509_STORE_add_crl(store, (X509_CRL *)lists[i]);
    for (int i = 1; i < chain_count; i++) sk_X509_push(others, (X509 *)chain[i]);
    if (chain_count < 1 || X509_STORE_CTX_init(context, store, (X509 *)chain[0], others) != 1) goto end;
    X509_VERIFY_PARAM *rules = X509_STORE_CTX_get0_param(context);
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
    if (list_count > 0) flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    X509_VERIFY_PARAM_set_flags(rules, flags);
    X509_VERIFY_PARAM_set_auth_level(rules, 2);
    X509_STORE_CTX_set_verify_cb(context, judge);
    if (purpose == CPLATFORM_PURPOSE_CLIENT) X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT);
    if (purpose == CPLATFORM_PURPOSE_SERVER) X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    result = X509_V_OK;
    if (X509_verify_cert(context) != 1) {
        result = X509_STORE_CTX_get_error(context);
        if (result == X509_V_OK) result = X509_V_ERR_UNSPECIFIED;
        *depth = X509_STORE_CTX_get_error_depth(context);
    }
end:
    sk_X509_free(others);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    ERR_clear_error();
    return result;
}

const char *cplatform_certificate_error(int error) { return X509_verify_cert_error_string(error); }
